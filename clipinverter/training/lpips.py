"""The perceptual distance of the paper's losses: LPIPS of AlexNet, as in the authors' code, where it can be had.

LPIPS (Zhang et al., CVPR 2018) sums learned distances over five layers. The stand-in `mobilenet.Perceptual` averages
plain squared distances over four layers, so the two have different scales: see docs/training.md.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from clipinverter.training.mobilenet import Perceptual

log = logging.getLogger(__name__)

STAND_IN = (
    "The published LPIPS can't be had (%s). MobileNetV2's features stand in for it, on another scale. LPIPS needs the "
    "package torchmetrics, and torchvision fetches AlexNet's weights once."
)


class LPIPS(nn.Module):
    """LPIPS of AlexNet, version 0.1. Raises OSError or ImportError where weights or packages can't be had."""

    def __init__(self) -> None:
        super().__init__()
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        self.net = LearnedPerceptualImagePatchSimilarity(net_type="alex").net
        self.requires_grad_(False)

    def distances(self, images_hat: Tensor, images: Tensor) -> Tensor:
        """Distances [B] of images [B, 3, S, S] in [-1, 1]; 0 for equal ones."""
        return self.net(images_hat, images).flatten()

    def forward(self, images_hat: Tensor, images: Tensor) -> Tensor:
        """The mean distance of images [B, 3, S, S]. Gradients flow into `images_hat` only."""
        return self.distances(images_hat, images.detach()).mean()


def perceptual(device: torch.device) -> LPIPS | Perceptual:
    """LPIPS where it can be had, else the stand-in, which is said in the log."""
    try:
        return LPIPS().to(device)
    except (OSError, ImportError) as error:
        log.warning(STAND_IN, error)
        return Perceptual().to(device)
