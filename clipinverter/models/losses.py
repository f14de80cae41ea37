"""Losses of CLIPInverter (Baykal et al. 2023, section 3.4) and StyleCLIP, computed as in the authors' code."""

import torch
import torch.nn.functional as F
from torch import Tensor

_EPS = 1e-6


def clip_pool(images: Tensor) -> Tensor:
    """Images [B, 3, S, S] -> [B, 3, 224, 224], the authors' input of CLIP: nearest neighbour x7, then average pooling
    by S/32, without CLIP's mean and std. S is a multiple of 32."""
    size = images.shape[-1]
    return F.avg_pool2d(F.interpolate(images, scale_factor=7, mode="nearest"), size // 32)


def clip_loss(image: Tensor, text: Tensor) -> Tensor:
    """1 - cosine of image and text embeddings [B, D] -> [B]."""
    return 1 - F.cosine_similarity(image, text, dim=-1)


def identity_loss(features_hat: Tensor, features: Tensor) -> Tensor:
    """Mean of 1 - cosine of unit identity features [B, D] -> []."""
    return (1 - (features_hat * features).sum(dim=-1)).mean()


def directional_clip_loss(
    source_image: Tensor, target_image: Tensor, source_text: Tensor, target_text: Tensor
) -> Tensor:
    """1 - cosine between the change of the image and the change of the text in CLIP's space -> [B].

    Embeddings [B, D] are normalised before the differences are taken, and the differences again.
    """
    image_way = _unit(_unit(target_image) - _unit(source_image))
    text_way = _unit(_unit(target_text) - _unit(source_text))
    return 1 - (image_way * text_way).sum(dim=-1)


def w_norm_loss(w_plus: Tensor, latent_avg: Tensor) -> Tensor:
    """Mean over the batch of the norm of w_plus [B, n_latent, D] minus latent_avg [n_latent, D] -> []."""
    return (w_plus - latent_avg).norm(2, dim=(1, 2)).mean()


def r1_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Mean squared norm of the gradient of scores [B] at real images [B, 3, S, S] (Mescheder et al. 2018), in
    float32 -> []."""
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()


def _unit(x: Tensor) -> Tensor:
    return x / (x.norm(dim=-1, keepdim=True) + _EPS)
