"""Layers that several networks share, in pure PyTorch, differentiable twice.

The equalised learning rate (Karras et al., "Progressive Growing of GANs", section 4.1) keeps
weights at unit variance and scales them by 1/sqrt(fan_in) at run time.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
GAIN = math.sqrt(2)


def leaky_relu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """StyleGAN's activation: leaky ReLU with slope 0.2 of x + bias, times sqrt(2).

    `bias` has one entry a channel (dimension 1 of x).
    """
    if bias is not None:
        x = x + bias.view(1, -1, *[1] * (x.ndim - 2)).to(x.dtype)
    return F.leaky_relu(x, SLOPE) * GAIN


def rms_norm(x: Tensor) -> Tensor:
    """Divides by the root mean square over dimension 1 (the channels), eps 1e-8 inside the root."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class RMSNorm(nn.Module):
    """`rms_norm` as a module, for its place in an `nn.Sequential`."""

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate.

    Args:
        bias_init: initial value of the bias.
        lr_mul: learning-rate multiplier; the stored parameters are 1/lr_mul times the used ones.
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
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_dim,), bias_init / lr_mul))
        self.scale = lr_mul / math.sqrt(in_dim)
        self.lr_mul = lr_mul
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_dim] -> [B, out_dim]."""
        x = F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)
        return leaky_relu(x) if self.activate else x


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate, padded so that stride 1 keeps the size."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.scale = 1 / math.sqrt(in_channels * kernel**2)

    def forward(self, x: Tensor, *, stride: int = 1, padding: int | None = None) -> Tensor:
        if padding is None:
            padding = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight * self.scale, self.bias, stride=stride, padding=padding)


def blur_kernel(gain: float = 1.0) -> Tensor:
    """StyleGAN2's 4x4 low-pass filter, [1, 3, 3, 1] in both directions; sums to `gain`."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) * (gain / 64)


def blur(x: Tensor, kernel: Tensor, padding: tuple[int, int], *, stride: int = 1) -> Tensor:
    """Filters every channel with `kernel`.

    Args:
        x: [B, C, H, W].
        kernel: [k, k], symmetric.
        padding: zeros before and after, the same for rows and columns.
        stride: keep every stride-th row and column of the result.
    """
    before, after = padding
    channels = x.shape[1]
    if before != after:
        x, before = F.pad(x, (before, after, before, after)), 0
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, stride=stride, padding=before, groups=channels)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Doubles height and width: zeros between the pixels, then `kernel` (which sums to 4).

    Zero insertion followed by a filter is a transposed convolution with that filter.
    """
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


class Kernel(nn.Module):
    """Holds a filter as the buffer `kernel`, as the official checkpoints do (gain 4)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", blur_kernel(gain=4.0))
