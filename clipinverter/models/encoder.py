"""e4e encoder: maps an image to one latent row for each layer of the generator.

Tov et al., "Designing an Encoder for StyleGAN Image Manipulation" (SIGGRAPH 2021). Its two halves
can be called separately: the trunk runs once per photo, the style heads once more for every prompt.
The embedded domain replaces e4e's IR-SE-50 trunk by MobileNetV2.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.models import irse
from clipinverter.models.adapter import Features
from clipinverter.models.ops import EqualLinear, at_least_float32, channels_last
from clipinverter.models.stylegan2 import check_size

COARSE_ROWS = 3  # rows 0..2 read c3
MEDIUM_ROWS = 7  # rows 3..6 read c3 + c2, rows from 7 on c3 + c2 + c1

SMALL = 16  # output positions of a convolution: 4x4 for one photo


class Encoder(nn.Module):
    """Feature pyramid and style heads. The defaults are e4e's.

    Args:
        trunk: "irse50" is e4e's; "mobilenet_v2" is torchvision's, which is far faster. Its feature
            maps pass through 1x1 convolutions.
        size: side of the generator's image, which decides the number of latent rows.
        style_dim: width of a latent row.
        head_width: channels inside the style heads.
        input_size: side of the input images, a multiple of 16.
        widths: channels of c1, c2 and c3; fixed for "irse50".
    """

    def __init__(
        self,
        trunk: Literal["irse50", "mobilenet_v2"],
        size: int,
        style_dim: int = 512,
        head_width: int = 512,
        input_size: int = 256,
        widths: tuple[int, int, int] = (128, 256, 512),
    ) -> None:
        super().__init__()
        check_size(size)
        check_size(input_size)
        self.input_size = input_size
        self.n_latent = 2 * (size.bit_length() - 1) - 2
        if trunk == "irse50":
            if widths != irse.WIDTHS[1:]:
                raise ValueError(f"the trunk irse50 has widths {irse.WIDTHS[1:]}, not {widths}")
            self.input_layer = irse.input_layer(irse.WIDTHS[0])
            self.body = irse.body()
        elif trunk == "mobilenet_v2":
            self.mobilenet = MobileNetTrunk(widths)
        else:
            raise ValueError(f"unknown trunk {trunk!r}: use 'irse50' or 'mobilenet_v2'")
        self.trunk = trunk
        c1_width, c2_width, c3_width = widths
        self.latlayer1 = nn.Conv2d(c2_width, c3_width, 1)
        self.latlayer2 = nn.Conv2d(c1_width, c3_width, 1)
        self.styles = nn.ModuleList(
            StyleHead(c3_width, head_width, style_dim, input_size // stride)
            for stride in (
                16 if row < COARSE_ROWS else 8 if row < MEDIUM_ROWS else 4
                for row in range(self.n_latent)
            )
        )

    def trunk_features(self, images: Tensor) -> Features:
        """Images [B, 3, S, S] in [-1, 1] -> feature maps (c1, c2, c3) at strides 4, 8 and 16."""
        images = channels_last(images)
        if self.trunk == "mobilenet_v2":
            return self.mobilenet(images)
        # The last block of each of the stages 2, 3 and 4.
        taps = [sum(irse.UNITS[: stage + 1]) - 1 for stage in (1, 2, 3)]
        features = []
        x = self.input_layer(images)
        for index, block in enumerate(self.body):
            x = block(x)
            if index in taps:
                features.append(x)
        return tuple(features)

    def heads(self, c1: Tensor, c2: Tensor, c3: Tensor) -> Tensor:
        """Feature maps -> codes [B, n_latent, style_dim], without the average latent.

        Row 0 is the base of all rows; the other heads add their offsets to it.
        """
        p2 = enlarge(c3, c2) + self.latlayer1(c2)
        p1 = enlarge(p2, c1) + self.latlayer2(c1)
        # The heads' convolutions may have a lower precision than the rest.
        c3, p2, p1 = (x.to(self.styles[0].convs[0].weight.dtype) for x in (c3, p2, p1))
        inputs = [c3] * COARSE_ROWS + [p2] * (MEDIUM_ROWS - COARSE_ROWS)
        inputs += [p1] * (self.n_latent - MEDIUM_ROWS)
        base, *offsets = (head(x) for head, x in zip(self.styles, inputs, strict=True))
        return torch.stack([base, *(base + offset for offset in offsets)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [-1, 1] -> codes [B, n_latent, style_dim], see `heads`."""
        return self.heads(*self.trunk_features(images))


class StyleHead(nn.Module):
    """Maps a feature map to one latent row: convolutions that halve the size down to 1x1, then a linear layer."""

    def __init__(self, in_channels: int, width: int, style_dim: int, spatial: int) -> None:
        super().__init__()
        layers = []
        for index in range(int(math.log2(spatial))):
            layers.append(nn.Conv2d(in_channels if index == 0 else width, width, 3, 2, padding=1))
            layers.append(nn.LeakyReLU(0.01))
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(width, style_dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, S, S] in the convolutions' precision -> [B, style_dim]."""
        for layer in self.convs:
            x = _as_product(layer, x) if _is_small(layer, x) else layer(x)
        return self.linear(at_least_float32(x.flatten(1)))


class MobileNetTrunk(nn.Module):
    """MobileNetV2 (Sandler et al., CVPR 2018), tapped at strides 4, 8, 16 and 32; c3 is the sum of the last two.

    Architecture and input are those of the portraits' image tower without its last layer.
    """

    TAPS = {3: 24, 6: 32, 13: 96, 17: 320}  # layer -> channels

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2  # slow to import, only needed here

        self.features = mobilenet_v2(weights=None).features[: max(self.TAPS) + 1]
        self.taps = nn.ModuleList(
            nn.Conv2d(channels, width, 1)
            for channels, width in zip(self.TAPS.values(), (*widths, widths[-1]), strict=True)
        )

    def layers(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images [B, 3, S, S] in [-1, 1] -> the tapped layers' outputs [B, C, S/s, S/s], s = 4, 8, 16, 32."""
        x = images
        tapped = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.TAPS:
                tapped.append(x)
        return tuple(tapped)

    def coarse(self, layer: Tensor, deepest: Tensor) -> Tensor:
        """The last two of `layers`, at strides 16 and 32 -> c3 [B, width, S/16, S/16]."""
        return self.taps[2](layer) + enlarge(self.taps[3](deepest), layer)

    def forward(self, images: Tensor) -> Features:
        """Images [B, 3, S, S] in [-1, 1] -> feature maps (c1, c2, c3) at strides 4, 8 and 16."""
        first, second, *rest = self.layers(images)
        return self.taps[0](first), self.taps[1](second), self.coarse(*rest)


def _is_small(layer: nn.Module, x: Tensor) -> bool:
    """Whether x goes into a convolution with so few outputs that reading its weights takes most of the time."""
    positions = x.shape[0] * x.shape[2] * x.shape[3] // 4
    return isinstance(layer, nn.Conv2d) and positions <= SMALL and not layer.weight.requires_grad


def _as_product(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """The same convolution as a matrix product, which reads channels-last weights in memory order."""
    x = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    patches = x.unfold(1, 3, 2).unfold(2, 3, 2).permute(0, 1, 2, 4, 5, 3).flatten(3)
    weight = conv.weight.permute(0, 2, 3, 1).flatten(1)
    return F.linear(patches, weight, conv.bias).permute(0, 3, 1, 2)


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Resizes x [B, C, H, W] to the height and width of `like`, bilinearly with aligned corners."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)
