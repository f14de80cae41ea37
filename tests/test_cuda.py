"""The CUDA kernels: when they are used, and, on a host compiler, what they compute."""

import ctypes
import logging
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from clipinverter.models import cuda, ops

SOURCE = Path(cuda.__file__).with_name("kernels.cu").read_text()
LAUNCH = """
#include <cstdint>
#define __host__
#define __device__
#define __global__
static struct { int64_t x; } blockIdx, blockDim{1}, threadIdx;
%s
extern "C" void upfirdn2d(const float* in, float* out, Map from, Map to, const float* kernel, int up, int pad,
                          int64_t count) {
    for (blockIdx.x = 0; blockIdx.x < count; blockIdx.x++)
        upfirdn2d_kernel<float>(in, out, from, to, kernel, 4, up, pad, count);
}
extern "C" void bias_act(float* x, Map map, const float* bias, const float* noise, float slope, int64_t count) {
    for (blockIdx.x = 0; blockIdx.x < count; blockIdx.x++)
        bias_act_kernel<float>(x, map, bias, noise, slope, count);
}
"""


class Map(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("channels", "height", "width")]
    _fields_ += [("channels_last", ctypes.c_bool)]


@pytest.fixture(scope="module")
def on_host(tmp_path_factory):
    """The kernels behind the functions of the compiled module, for the CPU."""
    if not shutil.which("g++"):
        pytest.skip("needs g++")
    folder = tmp_path_factory.mktemp("kernels")
    kernels = SOURCE[SOURCE.index("struct Map") : SOURCE.index("static Map map_of")]
    (folder / "kernels.cpp").write_text(LAUNCH % kernels)
    built = ["g++", "-shared", "-fPIC", "-o", folder / "kernels.so", folder / "kernels.cpp"]
    subprocess.run(built, check=True)
    library = ctypes.CDLL(str(folder / "kernels.so"))

    def pointer(x):
        return None if x is None else ctypes.c_void_p(x.data_ptr())

    def map_of(x):
        return Map(*x.shape[1:], not x.is_contiguous())

    def upfirdn2d(x, kernel, up, pad, height, width):
        layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        out = torch.empty(*x.shape[:2], height, width).contiguous(memory_format=layout)
        count = ctypes.c_int64(out.numel())
        library.upfirdn2d(
            pointer(x), pointer(out), map_of(x), map_of(out), pointer(kernel), up, pad, count
        )
        return out

    def bias_act(x, bias, noise, slope):
        slope, count = ctypes.c_float(slope), ctypes.c_int64(x.numel())
        library.bias_act(pointer(x), map_of(x), pointer(bias), pointer(noise), slope, count)

    return SimpleNamespace(upfirdn2d=upfirdn2d, bias_act=bias_act)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 2])
def test_kernels_compute_what_torch_computes(monkeypatch, on_host, layout, batch):
    torch.manual_seed(0)
    x = torch.randn(batch, 5, 9, 7).contiguous(memory_format=layout)
    kernel, bias, noise = ops.blur_kernel(4), torch.randn(5), torch.randn(1, 1, 9, 7)
    functions = (
        lambda: ops.blur(x, kernel, 1),
        lambda: ops.blur(x, kernel, 2),
        lambda: ops.upsample(x, kernel),
        lambda: ops.bias_act(x.clone(), bias, noise),
        lambda: ops.bias_act(x.clone(), bias),
    )
    expected = [function() for function in functions]
    monkeypatch.setattr(cuda, "kernels", lambda *tensors: on_host)
    for function, result in zip(functions, expected, strict=True):
        torch.testing.assert_close(function(), result)


def test_maps_on_the_cpu_and_gradients_do_not_ask_for_kernels(monkeypatch):
    monkeypatch.setattr(cuda, "_compiled", lambda: "kernels")
    there = SimpleNamespace(is_cuda=True, requires_grad=False)
    learnt = SimpleNamespace(is_cuda=True, requires_grad=True)
    assert cuda.kernels(torch.zeros(1), there) is None
    assert cuda.kernels(there, learnt) is None
    assert cuda.kernels(there, there) == "kernels"
    with torch.no_grad():
        assert cuda.kernels(there, learnt) == "kernels"


def test_without_a_compiler_it_says_so_once(monkeypatch, caplog):
    from torch.utils import cpp_extension

    def load(*args, **kwargs):
        raise OSError("CUDA_HOME environment variable is not set.\nPlease set it.")

    monkeypatch.setattr(cpp_extension, "load", load)
    cuda._compiled.cache_clear()
    there = SimpleNamespace(is_cuda=True, requires_grad=False)
    with caplog.at_level(logging.INFO, cuda.__name__):
        assert cuda.kernels(there) is None
        assert cuda.kernels(there) is None
    cuda._compiled.cache_clear()
    said = [entry.message for entry in caplog.records if entry.name == cuda.__name__]
    assert said == ["CUDA kernels are not used: CUDA_HOME environment variable is not set."]
