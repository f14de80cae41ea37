"""Layers that several networks share, in pure PyTorch; twice differentiable.

The equalised learning rate (Karras et al., "Progressive Growing of GANs", section 4.1) keeps
weights at unit variance and scales them by 1/sqrt(fan_in) at run time.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.models import cuda

# StyleGAN's activation: leaky ReLU with this slope, times this gain.
SLOPE = 0.2
GAIN = math.sqrt(2)


def channels_last(x: Tensor) -> Tensor:
    """x [B, C, H, W] in the channels-last memory layout, in which CPU convolutions are fastest.

    The outputs of all following layers get the same layout; values do not change.
    """
    return x.contiguous(memory_format=torch.channels_last)


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32 if it has a lower precision, as under autocast; otherwise unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rms_norm(x: Tensor) -> Tensor:
    """Divides by the root mean square over dimension 1 (the channels), eps 1e-8 inside the root."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class RMSNorm(nn.Module):
    """`rms_norm` as a module, for use in an `nn.Sequential`."""

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate.

    Args:
        bias_init: initial value of the bias.
        lr_mul: learning-rate multiplier; stored parameters are the effective ones divided by lr_mul.
        activate: apply StyleGAN's leaky ReLU.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        bias_init: float = 0.0,
        lr_mul: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        # No arithmetic on tensors: on the meta device, where models are built, it imports torch._dynamo.
        self.weight = nn.Parameter(torch.normal(0.0, 1 / lr_mul, (out_dim, in_dim)))
        self.bias = nn.Parameter(torch.full((out_dim,), bias_init / lr_mul))
        self.scale = lr_mul / math.sqrt(in_dim)
        self.lr_mul = lr_mul
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_dim] -> [B, out_dim]."""
        x = F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)
        return F.leaky_relu(x, SLOPE) * GAIN if self.activate else x


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate.

    Args:
        padding: default: half of the kernel, so that stride 1 keeps the size.
        activate: apply StyleGAN's leaky ReLU.
        gain: factor of the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
        activate: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.stride = stride
        self.padding = kernel // 2 if padding is None else padding
        self.activate = activate
        # Gains commute with the leaky ReLU; applied to the weights they cost less.
        self.gain = gain * GAIN if activate else gain
        self.scale = self.gain / math.sqrt(in_channels * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H', W']."""
        bias = None if self.bias is None else self.bias * self.gain
        x = F.conv2d(x, self.weight * self.scale, bias, self.stride, self.padding)
        return F.leaky_relu(x, SLOPE, inplace=True) if self.activate else x


def blur_kernel(gain: float = 1.0) -> Tensor:
    """StyleGAN2's 4x4 low-pass filter, [1, 3, 3, 1] in both directions; sums to `gain`."""
    taps = (1.0, 3.0, 3.0, 1.0)
    return torch.tensor([[a * b * gain / 64 for a in taps] for b in taps])


def blur(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Filters every channel of x [B, C, H, W] with the symmetric `kernel` [K, K], zero padded by `padding`."""
    if compiled := cuda.kernels(x, kernel):
        smaller = kernel.shape[0] - 1 - 2 * padding
        size = x.shape[2] - smaller, x.shape[3] - smaller
        return compiled.upfirdn2d(_dense(x), kernel.float(), 1, padding, *size)
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, padding=padding, groups=channels)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """x [B, C, H, W] -> [B, C, 2H, 2W]: inserts zeros, then filters with `kernel` [4, 4], which sums to 4.

    Zero insertion followed by a filter is a transposed convolution with that filter.
    """
    if compiled := cuda.kernels(x, kernel):
        size = 2 * x.shape[2], 2 * x.shape[3]
        return compiled.upfirdn2d(_dense(x), kernel.float(), 2, 2, *size)
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


def bias_act(x: Tensor, bias: Tensor, noise: Tensor | None = None) -> Tensor:
    """x [B, C, H, W] plus bias [C] and noise [1, 1, H, W], then StyleGAN's leaky ReLU without its gain.

    Works in place, so it must not be used where gradients are needed.
    """
    tensors = (x, bias) if noise is None else (x, bias, noise)
    if compiled := cuda.kernels(*tensors):
        x = _dense(x)
        noise = None if noise is None else noise.to(x.dtype).contiguous()
        compiled.bias_act(x, bias.to(x.dtype), noise, SLOPE)
        return x
    x.add_(bias[:, None, None])
    if noise is not None:
        x.add_(noise)
    return F.leaky_relu(x, SLOPE, inplace=True)


def _dense(x: Tensor) -> Tensor:
    """x contiguous in its own memory layout, else in channels last."""
    if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last):
        return x
    return channels_last(x)


class Kernel(nn.Module):
    """Holds the filter, with gain 4, as the buffer `kernel`, to match the official parameter names."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", blur_kernel(gain=4.0))
