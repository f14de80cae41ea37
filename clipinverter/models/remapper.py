"""CLIPRemapper: a generator that blends functions of the text into its latent rows.

Baykal et al., "CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing" (ACM TOG 2023),
section 3.3.
"""

import torch
from torch import Tensor, nn

from clipinverter.models.drawing import OnPreview
from clipinverter.models.stylegan2 import Generator, Noise

LAMBDA_SCALE = 0.9  # the authors' code multiplies every lambda by this
LAMBDA_START = 0.05
PARAMETERS = ("affine_mlps.", "lambdas.")  # prefixes of the remapper's own parameters


class RemapperGenerator(Generator):
    """A generator with one text MLP and one blending weight for each convolution above 4x4.

    Convolution j reads latent row j + 1; the MLP's output is blended into that row for this
    convolution alone. The 4x4 convolution and every to_rgb read the original rows.

    Args:
        text_dim: width of the CLIP embedding.
        Others as for `Generator`.
    """

    def __init__(
        self,
        size: int,
        style_dim: int = 512,
        n_mlp: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        text_dim: int = 512,
    ) -> None:
        super().__init__(size, style_dim, n_mlp, channel_base, channel_max)
        count = self.n_latent - 2
        self.affine_mlps = nn.ModuleList(text_mlp(text_dim, style_dim) for _ in range(count))
        self.lambdas = nn.ParameterList(torch.tensor(LAMBDA_START) for _ in range(count))

    def remap_vectors(self, text: Tensor) -> Tensor:
        """Raw CLIP embeddings [B, text_dim] -> vectors [B, n_latent - 2, style_dim] to blend in."""
        return torch.stack([mlp(text) for mlp in self.affine_mlps], dim=1)

    def remapped_rows(self, w_plus: Tensor, remap_vectors: Tensor, strength: float = 1.0) -> Tensor:
        """Latent rows [B, n_latent - 2, style_dim] for the convolutions above 4x4.

        Args:
            w_plus: [B, n_latent, style_dim].
            remap_vectors: [B or 1, n_latent - 2, style_dim], blended into the rows.
            strength: factor of the blending weights; 1 is the paper.
        """
        pull = strength * LAMBDA_SCALE * torch.stack(list(self.lambdas))[:, None]
        return w_plus[:, 1:-1] * (1 - pull) + remap_vectors * pull

    def forward(
        self,
        w_plus: Tensor,
        remap_vectors: Tensor | None = None,
        strength: float = 1.0,
        noise: Noise = "stored",
        on_preview: OnPreview | None = None,
    ) -> Tensor:
        """W+ [B, n_latent, style_dim] -> image [B, 3, size, size].

        Args:
            remap_vectors: from `remap_vectors`, for the whole batch or with a batch of 1.
            strength: factor of the blending weights; 1 is the paper. Without vectors or with
                strength 0 this is the plain generator, bit for bit.
            noise, on_preview: as for `Generator.render`.
        """
        if remap_vectors is None or strength == 0:
            return super().forward(w_plus, noise, on_preview=on_preview)
        rows = self.remapped_rows(w_plus, remap_vectors, strength)
        return super().forward(w_plus, noise, rows, on_preview)


def text_mlp(text_dim: int, style_dim: int) -> nn.Sequential:
    """The MLP from a text embedding [B, text_dim] to a latent row [B, style_dim]."""
    return nn.Sequential(
        nn.Linear(text_dim, style_dim),
        nn.ReLU(),
        nn.Linear(style_dim, style_dim),
        nn.LayerNorm(style_dim),
        nn.ReLU(),
        nn.Linear(style_dim, style_dim),
    )
