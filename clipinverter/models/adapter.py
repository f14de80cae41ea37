"""CLIPAdapter: modulates the encoder's feature maps by a text embedding.

Baykal et al., "CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing" (ACM TOG 2023),
section 3.2.
"""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.models.ops import rms_norm

Features = tuple[Tensor, Tensor, Tensor]
LEVELS = ("coarse", "medium", "fine")
RESIDUAL_SCALE = 0.1  # as in the authors' code, in training and inference


def moved(w_plus: Tensor, residual: Tensor, strength: float = 1.0) -> Tensor:
    """w_plus [B, n_latent, D] plus 0.1 * strength * residual [B, n_latent, D]; strength 1 is the paper's edit."""
    return w_plus + strength * RESIDUAL_SCALE * residual


class Adapter(nn.Module):
    """CLIPAdapter: one modulation each for the coarse, medium and fine feature map.

    Args:
        channels: channels of c1, c2 and c3 (strides 4, 8 and 16), multiples of 32.
        text_dim: width of the CLIP embedding.
        levels: the active levels of `LEVELS`. The others return their features unchanged, as with
            the authors' options `no_coarse_mapper`, `no_medium_mapper`, `no_fine_mapper`.
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (128, 256, 512),
        text_dim: int = 512,
        levels: Collection[str] = LEVELS,
    ) -> None:
        super().__init__()
        for level, width in zip(LEVELS, reversed(channels), strict=True):
            mapping = AdapterLevel(width, text_dim) if level in levels else Unchanged()
            self.add_module(f"{level}_mapping", mapping)

    def forward(self, features: Features, text: Tensor) -> Features:
        """Features (c1, c2, c3) and raw CLIP embeddings [B, text_dim] -> features, same shapes.

        The embedding is not normalised. Features or embedding may have a batch of 1.
        """
        c1, c2, c3 = features
        return (
            self.fine_mapping(c1, text),
            self.medium_mapping(c2, text),
            self.coarse_mapping(c3, text),
        )


class AdapterLevel(nn.Module):
    """The modulation of one feature map; a list with one module, to match the official parameter names."""

    def __init__(self, channels: int, text_dim: int) -> None:
        super().__init__()
        self.modulation_module_list = nn.ModuleList([TextModulation(channels, text_dim)])

    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        """Features [B, C, H, W] and raw CLIP embeddings [B, text_dim] -> features, same shape."""
        for module in self.modulation_module_list:
            features = module(rms_norm(features), text)
        return features


class Unchanged(nn.Module):
    """An inactive level: returns its features."""

    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        return features


class TextModulation(nn.Module):
    """Convolution and group norm, scaled and shifted by functions of the text."""

    def __init__(self, channels: int, text_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(32, channels)
        self.gamma_function = text_mlp(text_dim, channels)
        self.beta_function = text_mlp(text_dim, channels)

    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        """Features [B, C, H, W] and raw CLIP embeddings [B, text_dim] -> features, same shape."""
        x = self.norm(self.conv(features))
        gamma = self.gamma_function(text)[:, :, None, None]
        beta = self.beta_function(text)[:, :, None, None]
        return F.leaky_relu(x * (1 + torch.exp(gamma)) + beta, 0.01)


def text_mlp(text_dim: int, channels: int) -> nn.Sequential:
    """The MLP from a text embedding [B, text_dim] to one number per channel, [B, channels]."""
    return nn.Sequential(
        nn.Linear(text_dim, text_dim),
        nn.LayerNorm(text_dim),
        nn.LeakyReLU(0.01),
        nn.Linear(text_dim, channels),
    )
