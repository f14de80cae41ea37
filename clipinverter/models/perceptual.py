"""Distance of pictures in the features of a network that every domain has: its encoder's trunk.

In the manner of LPIPS (Zhang et al., CVPR 2018): feature vectors at unit length, squared
differences, averaged over positions and layers. Nothing is needed beyond what serves edits.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.models import irse
from clipinverter.models.encoder import Encoder
from clipinverter.models.mobilenet_speed import fold, quicken
from clipinverter.models.ops import channels_last

MOBILENET_TAPS = (1, 3, 6, 10)  # strides 2, 4, 8, 16


class Perceptual(nn.Module):
    """Features of a frozen chain of layers, tapped on the way.

    Args:
        layers: the chain; images in [-1, 1] go in.
        taps: indices of the layers whose outputs count.
    """

    def __init__(self, layers: nn.Sequential, taps: Sequence[int]) -> None:
        super().__init__()
        self.layers = layers[: max(taps) + 1].eval().requires_grad_(False)
        self.layers.to(memory_format=torch.channels_last)
        self.taps = frozenset(taps)

    def features(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, S, S] in [-1, 1] -> feature maps in float32, vectors of unit length."""
        x = channels_last(images)
        maps = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.taps:
                maps.append(F.normalize(x.float(), dim=1, eps=1e-4))
        return maps

    def forward(self, images: Tensor, wanted: Sequence[Tensor]) -> Tensor:
        """Mean distance of images [B, 3, S, S] to the `features` of others; 0 for equal ones."""
        pairs = zip(self.features(images), wanted, strict=True)
        return torch.stack([(a - b).square().sum(dim=1).mean() for a, b in pairs]).mean()


def perceptual(encoder: Encoder) -> Perceptual:
    """The trunk of a domain's encoder as a measure of likeness. The encoder stays as it is."""
    if encoder.trunk == "mobilenet_v2":
        layers = copy.deepcopy(encoder.mobilenet.features).float()
        return Perceptual(quicken(fold(layers.eval())), MOBILENET_TAPS)
    layers = nn.Sequential(encoder.input_layer, *encoder.body)
    taps = [sum(irse.UNITS[: stage + 1]) for stage in range(3)]  # the last blocks of three stages
    return Perceptual(copy.deepcopy(layers).float(), taps)
