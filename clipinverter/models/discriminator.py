"""StyleGAN2's residual discriminator, for training the generator.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020).
"""

import math

import torch
from torch import Tensor, nn

from clipinverter.models.ops import (
    EqualConv2d,
    EqualLinear,
    at_least_float32,
    blur,
    blur_kernel,
    channels_last,
)
from clipinverter.models.stylegan2 import check_size


class DiscriminatorBlock(nn.Module):
    """Residual block that halves height and width; both branches are blurred before downsampling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        gain = 1 / math.sqrt(2)  # keeps the variance of the sum
        self.conv1 = EqualConv2d(in_channels, in_channels, 3, activate=True)
        self.conv2 = EqualConv2d(
            in_channels, out_channels, 3, stride=2, padding=0, activate=True, gain=gain
        )
        self.skip = EqualConv2d(in_channels, out_channels, 1, stride=2, bias=False, gain=gain)
        self.register_buffer("kernel", blur_kernel())

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H/2, W/2]."""
        skip = self.skip(blur(x, self.kernel, 1))
        return self.conv2(blur(self.conv1(x), self.kernel, 2)) + skip


class Discriminator(nn.Module):
    """StyleGAN2's residual discriminator.

    Args:
        size, channel_base, channel_max: as for the generator.
    """

    def __init__(self, size: int, channel_base: int = 32768, channel_max: int = 512) -> None:
        super().__init__()
        check_size(size)

        def channels(resolution: int) -> int:
            return min(channel_max, channel_base // resolution)

        resolutions = [2**k for k in range(size.bit_length() - 1, 2, -1)]
        self.from_rgb = EqualConv2d(3, channels(size), 1, activate=True)
        self.blocks = nn.ModuleDict(
            {str(r): DiscriminatorBlock(channels(r), channels(r // 2)) for r in resolutions}
        )
        width = channels(4)
        self.final_conv = EqualConv2d(width + 1, width, 3, activate=True)
        self.final_linear = EqualLinear(width * 16, width, activate=True)
        self.score = EqualLinear(width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, size, size] -> scores [B], high for real."""
        x = self.from_rgb(channels_last(images))
        for block in self.blocks.values():
            x = block(x)
        x = torch.cat([x, batch_deviation(x)], dim=1)
        x = self.final_conv(x)
        features = at_least_float32(self.final_linear(x.flatten(1)))
        with torch.autocast(features.device.type, enabled=False):
            return self.score(features).squeeze(1)


def batch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Mean standard deviation within groups of images: x [B, C, H, W] -> a constant map [B, 1, H, W].

    Groups are consecutive images, so that real and generated images in one batch do not mix. Their
    size is the largest number up to `group` that divides the batch.
    """
    batch, _, height, width = x.shape
    group = next(g for g in range(min(group, batch), 0, -1) if batch % g == 0)
    grouped = at_least_float32(x).unflatten(0, (-1, group))
    deviation = torch.sqrt(grouped.var(dim=1, unbiased=False) + 1e-8).mean(dim=(1, 2, 3))
    deviation = deviation.repeat_interleave(group).view(-1, 1, 1, 1)
    return deviation.expand(-1, 1, height, width).to(x.dtype)
