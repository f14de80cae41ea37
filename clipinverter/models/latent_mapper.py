"""The latent mapper's networks: each maps a latent to its change for one prompt.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 5. Module names follow the authors' checkpoints, including
`course_mapping`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from clipinverter.models.ops import EqualLinear, RMSNorm

SCALE = 0.1  # of a mapper's output, in training and inference
DEPTH = 4
LEVELS = {
    "course_mapping": slice(0, 4),
    "medium_mapping": slice(4, 8),
    "fine_mapping": slice(8, None),
}


class Level(nn.Module):
    """Normalisation and four linear layers with activation.

    The normalisation is over dimension 1, as in the authors' code: the rows of latents [B, rows, C], the channels of
    style vectors [B, C].

    Args:
        dim: width of the input and the output.
        hidden: width of the hidden layers; default: `dim`, as in the authors' code.
    """

    def __init__(self, dim: int, hidden: int | None = None) -> None:
        super().__init__()
        widths = [dim, *[hidden or dim] * (DEPTH - 1), dim]
        layers = [EqualLinear(a, b, lr_mul=0.01, activate=True) for a, b in pairwise(widths)]
        self.mapping = nn.Sequential(RMSNorm(), *layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, rows, dim] or [B, dim] -> the same shape."""
        return self.mapping(x)


class SingleMapper(nn.Module):
    """One mapper for all rows."""

    def __init__(self, dim: int = 512, hidden: int | None = None) -> None:
        super().__init__()
        self.mapping = Level(dim, hidden)

    def forward(self, w_plus: Tensor) -> Tensor:
        """W+ [B, n_latent, dim] -> its change [B, n_latent, dim], before multiplication by `SCALE`."""
        return self.mapping(w_plus)


class LevelsMapper(nn.Module):
    """One mapper each for the coarse rows 0..3, the medium rows 4..7 and the fine rows from 8.

    Args:
        levels: names of the levels that exist; the rows of the others do not change.
    """

    def __init__(
        self, dim: int = 512, hidden: int | None = None, levels: Sequence[str] = tuple(LEVELS)
    ) -> None:
        super().__init__()
        for name in levels:
            self.add_module(name, Level(dim, hidden))

    def forward(self, w_plus: Tensor) -> Tensor:
        """As `SingleMapper.forward`."""
        moves = torch.zeros_like(w_plus)
        for name, level in self.named_children():
            moves[:, LEVELS[name]] = level(w_plus[:, LEVELS[name]])
        return moves


class StyleSpaceMapper(nn.Module):
    """One mapper each for some of the generator's style vectors.

    Args:
        widths: index of a style vector in the order of `Generator.styles` -> its width. Vectors without a mapper do
            not change; in the authors' variant without to_rgb these are the vectors of to_rgb.
    """

    def __init__(self, widths: Mapping[int, int]) -> None:
        super().__init__()
        for index, width in widths.items():
            self.add_module(f"mapper_{index}", Level(width))

    def forward(self, styles: Sequence[Tensor]) -> list[Tensor]:
        """Style vectors [B, C] each -> their changes [B, C] each, before multiplication by `SCALE`."""
        mappers = dict(self.named_children())
        return [
            mappers[f"mapper_{i}"](style) if f"mapper_{i}" in mappers else torch.zeros_like(style)
            for i, style in enumerate(styles)
        ]


MapperNetwork = SingleMapper | LevelsMapper | StyleSpaceMapper


def network_for(weights: Mapping[str, Tensor]) -> MapperNetwork:
    """Builds the network of a mapper's weights, loads them and freezes it.

    Args:
        weights: keys without the `mapper.` prefix of the authors' files.

    Raises:
        ValueError: the keys or shapes are not those of a mapper.
    """
    firsts = {
        match[1]: weight.shape
        for key, weight in weights.items()
        if (match := re.fullmatch(r"(\w+)\.mapping\.1\.weight", key))
    }
    space = {name: re.fullmatch(r"mapper_(\d+)", name) for name in firsts}
    with torch.device("meta"):
        if set(firsts) == {"mapping"}:
            hidden, dim = firsts["mapping"]
            network: MapperNetwork = SingleMapper(dim, hidden)
        elif firsts and set(firsts) <= set(LEVELS):
            hidden, dim = next(iter(firsts.values()))
            network = LevelsMapper(dim, hidden, [name for name in LEVELS if name in firsts])
        elif firsts and all(space.values()):
            network = StyleSpaceMapper({int(space[name][1]): firsts[name][1] for name in firsts})
        else:
            raise ValueError("these are not the weights of a StyleCLIP mapper")
    try:
        network.load_state_dict(dict(weights), assign=True)
    except RuntimeError as error:
        raise ValueError("these are not the weights of a StyleCLIP mapper") from error
    return network.eval().requires_grad_(False)
