// StyleGAN2's low-pass filter and activation on CUDA, one thread a result; `cuda.py` compiles them.
#include <ATen/Dispatch.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/extension.h>

// Where things lie in a map [batch, channels, height, width] of either memory layout.
struct Map {
    int64_t channels, height, width;
    bool channels_last;

    __host__ __device__ int64_t offset(int64_t n, int64_t c, int64_t y, int64_t x) const {
        return channels_last ? ((n * height + y) * width + x) * channels + c
                             : ((n * channels + c) * height + y) * width + x;
    }

    __host__ __device__ void at(int64_t i, int64_t& n, int64_t& c, int64_t& y, int64_t& x) const {
        if (channels_last) { c = i % channels; i /= channels; }
        x = i % width; i /= width;
        y = i % height; i /= height;
        if (!channels_last) { c = i % channels; i /= channels; }
        n = i;
    }
};

// Pixel (y, x) of the map whose pixels have up - 1 zeros after them and `pad` zeros before the first,
// filtered by the symmetric kernel [taps, taps].
template <typename T>
__host__ __device__ float filtered(const T* in, Map map, const float* kernel, int taps, int up, int pad,
                                   int64_t n, int64_t c, int64_t y, int64_t x) {
    float sum = 0;
    for (int i = 0; i < taps; i++) {
        int64_t row = y + i - pad;
        if (row < 0 || row % up || row / up >= map.height) continue;
        for (int j = 0; j < taps; j++) {
            int64_t column = x + j - pad;
            if (column < 0 || column % up || column / up >= map.width) continue;
            sum += kernel[i * taps + j] * static_cast<float>(in[map.offset(n, c, row / up, column / up)]);
        }
    }
    return sum;
}

template <typename T>
__global__ void upfirdn2d_kernel(const T* in, T* out, Map from, Map to, const float* kernel, int taps,
                                 int up, int pad, int64_t count) {
    int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
    if (i >= count) return;
    int64_t n, c, y, x;
    to.at(i, n, c, y, x);
    out[i] = static_cast<T>(filtered(in, from, kernel, taps, up, pad, n, c, y, x));
}

template <typename T>
__global__ void bias_act_kernel(T* x, Map map, const T* bias, const T* noise, float slope, int64_t count) {
    int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
    if (i >= count) return;
    int64_t n, c, row, column;
    map.at(i, n, c, row, column);
    float value = static_cast<float>(x[i]) + static_cast<float>(bias[c]);
    if (noise) value += static_cast<float>(noise[row * map.width + column]);
    x[i] = static_cast<T>(value < 0 ? value * slope : value);
}

static Map map_of(const torch::Tensor& x) {
    return {x.size(1), x.size(2), x.size(3), !x.is_contiguous()};
}

static constexpr int THREADS = 256;

static unsigned int blocks(int64_t count) { return (count + THREADS - 1) / THREADS; }

// x [B, C, H, W], dense in either layout; kernel float32 -> [B, C, height, width] in the layout of x.
torch::Tensor upfirdn2d(const torch::Tensor& x, const torch::Tensor& kernel, int64_t up, int64_t pad,
                        int64_t height, int64_t width) {
    c10::cuda::CUDAGuard guard(x.device());
    auto out = torch::empty({x.size(0), x.size(1), height, width},
                            x.options().memory_format(x.suggest_memory_format()));
    Map from = map_of(x), to{x.size(1), height, width, from.channels_last};
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "upfirdn2d", [&] {
        upfirdn2d_kernel<scalar_t><<<blocks(out.numel()), THREADS, 0, c10::cuda::getCurrentCUDAStream()>>>(
            x.data_ptr<scalar_t>(), out.data_ptr<scalar_t>(), from, to, kernel.data_ptr<float>(),
            kernel.size(0), up, pad, out.numel());
    });
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return out;
}

// x [B, C, H, W], dense in either layout, changed in place; bias [C]; noise [H, W] or nothing.
void bias_act(torch::Tensor x, const torch::Tensor& bias, const std::optional<torch::Tensor>& noise,
              double slope) {
    c10::cuda::CUDAGuard guard(x.device());
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "bias_act", [&] {
        bias_act_kernel<scalar_t><<<blocks(x.numel()), THREADS, 0, c10::cuda::getCurrentCUDAStream()>>>(
            x.data_ptr<scalar_t>(), map_of(x), bias.data_ptr<scalar_t>(),
            noise ? noise->data_ptr<scalar_t>() : nullptr, slope, x.numel());
    });
    C10_CUDA_KERNEL_LAUNCH_CHECK();
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
    module.def("upfirdn2d", &upfirdn2d);
    module.def("bias_act", &bias_act);
}
