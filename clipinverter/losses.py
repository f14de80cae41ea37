"""Losses that serving needs as well as training, each as the authors of CLIPInverter compute it.

Baykal et al. 2023, section 3.4; StyleCLIP's optimisation minimises them for a single picture.
"""

import torch.nn.functional as F
from torch import Tensor


def clip_pool(images: Tensor) -> Tensor:
    """Images [B, 3, S, S] -> [B, 3, 224, 224] as the authors feed CLIP: nearest neighbour x7, then average pooling by
    S/32; no CLIP mean or deviation is applied. S is a multiple of 32."""
    size = images.shape[-1]
    return F.avg_pool2d(F.interpolate(images, scale_factor=7, mode="nearest"), size // 32)


def clip_loss(image: Tensor, text: Tensor) -> Tensor:
    """1 - cosine of image and text embeddings [B, D], [B]."""
    return 1 - F.cosine_similarity(image, text, dim=-1)


def identity_loss(features_hat: Tensor, features: Tensor) -> Tensor:
    """Mean of 1 - cosine of unit identity features [B, D]."""
    return (1 - (features_hat * features).sum(dim=-1)).mean()
