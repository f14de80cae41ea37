"""StyleGAN2's skip generator; the discriminator is in `discriminator.py`.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020). Names of modules
and parameters follow rosinality's checkpoint format, which CLIPInverter and StyleCLIP use.

Weight modulation (equation 1) is applied to the activations: the input channels are scaled by the
style, convolved with the shared weight, and the output channels are scaled by the demodulation
factor (equation 3). That is the same function, and on a CPU far faster than a separate weight for
each image. `drawing.py` draws single images without gradients.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.models.drawing import OnPreview, draw
from clipinverter.models.ops import (
    GAIN,
    SLOPE,
    EqualLinear,
    Kernel,
    RMSNorm,
    at_least_float32,
    blur,
    channels_last,
    upsample,
)

Noise = Literal["stored", "random", "none"]


class ModulatedConv(nn.Module):
    """Modulated convolution without demodulation; `modulation` maps a row of W+ to the style.

    Args:
        up: double height and width by a transposed convolution and a blur.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, style_dim: int, *, up: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel, kernel))
        self.modulation = EqualLinear(style_dim, in_channels, bias_init=1.0)
        self.scale = 1 / math.sqrt(in_channels * kernel**2)
        if up:
            self.blur = Kernel()
        self.up = up

    def scaled_weight(self) -> Tensor:
        """[out_channels, in_channels, kernel, kernel]."""
        return self.weight[0] * self.scale

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x [B, C, H, W], style [B, C] -> [B, C', H', W']."""
        x = x * style[:, :, None, None].to(x.dtype)
        weight = self.scaled_weight()
        if not self.up:
            return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), self.blur.kernel, 1)


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """Equation 3: 1 / norm of each modulated filter, in float32 or higher precision.

    weight [out, in, kernel, kernel], style [B, in] -> [B, out].
    """
    with torch.autocast(weight.device.type, enabled=False):
        energy = at_least_float32(weight).square().sum(dim=(2, 3))
        return torch.rsqrt(at_least_float32(style).square() @ energy.t() + 1e-8)


class NoiseStrength(nn.Module):
    """Learnt strength of the noise added after a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class ActivationBias(nn.Module):
    """Bias of a convolution, added after the noise."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, demodulation, noise, bias, activation."""

    def __init__(self, in_channels: int, out_channels: int, style_dim: int, *, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, 3, style_dim, up=up)
        self.noise = NoiseStrength()
        self.activate = ActivationBias(out_channels)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """x [B, C, H, W], style [B, C], noise [1 or B, 1, H', W'] -> [B, C', H', W']."""
        x = self.conv(x, style)
        # The gain commutes with the leaky ReLU; applied to these small tensors it costs less.
        factor = demodulation(self.conv.scaled_weight(), style) * GAIN
        shift = (self.activate.bias * GAIN)[None, :, None, None].to(x.dtype)
        if noise is not None:
            shift = shift + (noise * (self.noise.weight * GAIN)).to(x.dtype)
        x = torch.addcmul(shift, x, factor[:, :, None, None].to(x.dtype))
        return F.leaky_relu(x, SLOPE, inplace=True)


class ToRGB(nn.Module):
    """1x1 modulated convolution to colours, added to the upsampled image of the lower resolution."""

    def __init__(self, in_channels: int, style_dim: int, *, up: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.conv = ModulatedConv(in_channels, 3, 1, style_dim)
        if up:
            self.upsample = Kernel()

    def forward(self, x: Tensor, style: Tensor, image: Tensor | None = None) -> Tensor:
        """x [B, C, H, W], style [B, C], image [B, 3, H/2, W/2] -> [B, 3, H, W]."""
        # A 1x1 convolution to three channels is faster as one matrix product per image.
        weight = self.conv.scaled_weight().squeeze((2, 3)) * style[:, None, :]
        rgb = torch.bmm(weight.to(x.dtype), x.flatten(2)).unflatten(2, x.shape[2:])
        rgb = at_least_float32(rgb) + self.bias
        return rgb if image is None else rgb + upsample(image, self.upsample.kernel)


class ConstantInput(nn.Module):
    """The learnt 4x4 input of the synthesis network."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class Generator(nn.Module):
    """StyleGAN2's generator. Images are [B, 3, size, size], about [-1, 1], not clamped.

    Args:
        size: side of the image, a power of two, 8 or more.
        style_dim: width of z, w and the rows of W+.
        n_mlp: number of mapping layers.
        channel_base, channel_max: channels at resolution r are min(channel_max, channel_base // r).

    Attributes:
        precision: for drawing a single image without gradients; None is that of the weights.
    """

    precision: torch.dtype | None = None

    def __init__(
        self,
        size: int,
        style_dim: int = 512,
        n_mlp: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
    ) -> None:
        super().__init__()
        check_size(size)
        self.size = size
        self.style_dim = style_dim
        resolutions = [2**k for k in range(3, size.bit_length())]
        self.n_latent = 2 * len(resolutions) + 2

        def channels(resolution: int) -> int:
            return min(channel_max, channel_base // resolution)

        self.style = nn.Sequential(
            RMSNorm(),
            *(EqualLinear(style_dim, style_dim, lr_mul=0.01, activate=True) for _ in range(n_mlp)),
        )
        self.input = ConstantInput(channels(4))
        self.conv1 = StyledConv(channels(4), channels(4), style_dim, up=False)
        self.to_rgb1 = ToRGB(channels(4), style_dim, up=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = nn.Module()
        self.noises.register_buffer("noise_0", torch.randn(1, 1, 4, 4))
        for i, resolution in enumerate(resolutions):
            below, here = channels(resolution // 2), channels(resolution)
            self.convs.append(StyledConv(below, here, style_dim, up=True))
            self.convs.append(StyledConv(here, here, style_dim, up=False))
            self.to_rgbs.append(ToRGB(here, style_dim, up=True))
            for j in (2 * i + 1, 2 * i + 2):
                noise = torch.randn(1, 1, resolution, resolution)
                self.noises.register_buffer(f"noise_{j}", noise)

    def mapping(self, z: Tensor) -> Tensor:
        """z [B, style_dim], about standard normal -> w [B, style_dim]."""
        return self.style(z)

    def styles(self, w_plus: Tensor, conv_rows: Tensor | None = None) -> list[Tensor]:
        """Style vectors (the S space), one [B, channels] for each layer, before any gain.

        Their order is conv1, to_rgb1, then for each resolution: convolution, convolution, to_rgb.

        Args:
            w_plus: [B, n_latent, style_dim]. The 4x4 convolution reads row 0 and its to_rgb row 1.
                Above 4x4, convolution j reads row j + 1 and to_rgb k reads row 2k + 3, so each
                to_rgb shares its row with the first convolution of the next resolution.
            conv_rows: [B, n_latent - 2, style_dim], replaces the rows of w_plus for the
                convolutions above 4x4.
        """
        if conv_rows is None:
            conv_rows = w_plus[:, 1:-1]
        styles = [
            self.conv1.conv.modulation(w_plus[:, 0]),
            self.to_rgb1.conv.modulation(w_plus[:, 1]),
        ]
        for k, to_rgb in enumerate(self.to_rgbs):
            for j in (2 * k, 2 * k + 1):
                styles.append(self.convs[j].conv.modulation(conv_rows[:, j]))
            styles.append(to_rgb.conv.modulation(w_plus[:, 2 * k + 3]))
        return styles

    def render(
        self,
        styles: list[Tensor],
        noise: Noise = "stored",
        on_preview: OnPreview | None = None,
        until: int | None = None,
    ) -> Tensor:
        """Style vectors [B, C] in the order of `styles` -> images [B, 3, size, size].

        Args:
            noise: "stored" uses the checkpoint's buffers, "random" new noise for every image,
                "none" no noise.
            on_preview: see `drawing.draw`; not called for batches or with gradients.
            until: the size at which to stop, e.g. 128: the sum of the colours so far, [B, 3, until, until]. It is
                close to the reduced image and costs less. Default: the generator's.
        """
        batch = styles[0].shape[0]
        if batch == 1 and until is None and not self._learns(styles):
            noises = (self._noise(i, 1, noise) for i in range(len(self.convs) + 1))
            return draw(self, styles, noises, on_preview)
        remaining = iter(styles)
        style = next(remaining)
        x = channels_last(self.input.input.expand(batch, -1, -1, -1))
        x = self.conv1(x, style, self._noise(0, batch, noise))
        image = self.to_rgb1(x, next(remaining))
        for k, to_rgb in enumerate(self.to_rgbs):
            if image.shape[2] == until:
                break
            for j in (2 * k, 2 * k + 1):
                x = self.convs[j](x, next(remaining), self._noise(j + 1, batch, noise))
            image = to_rgb(x, next(remaining), image)
        return image

    def forward(
        self,
        w_plus: Tensor,
        noise: Noise = "stored",
        conv_rows: Tensor | None = None,
        on_preview: OnPreview | None = None,
    ) -> Tensor:
        """W+ [B, n_latent, style_dim] -> images [B, 3, size, size]; arguments as in `styles` and `render`."""
        return self.render(self.styles(w_plus, conv_rows), noise, on_preview)

    def _learns(self, styles: list[Tensor]) -> bool:
        """Whether gradients may be needed."""
        tensors = (*styles, *self.parameters())
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)

    def _noise(self, index: int, batch: int, noise: Noise) -> Tensor | None:
        if noise == "none":
            return None
        stored = self.noises.get_buffer(f"noise_{index}")
        if noise == "stored":
            return stored
        return torch.randn(batch, *stored.shape[1:], device=stored.device)


def check_size(size: int) -> None:
    """Raises ValueError unless `size` is a power of two of at least 8."""
    if size < 8 or size & (size - 1):
        raise ValueError(f"the image size must be a power of two of at least 8, not {size}")
