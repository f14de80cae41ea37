"""The relevance of every style channel, and the mean and standard deviation of the style vectors, as files.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 6.3. `training/styleclip/relevance.py` measures them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.methods.base import MethodError, command
from clipinverter.models.stylegan2 import Generator
from clipinverter.weights.files import CheckpointError, load_weights, save_weights

RELEVANCE, STATISTICS, OFFICIAL = "relevance.safetensors", "statistics.safetensors", "fs3.npy"


@dataclass(frozen=True, eq=False)
class Relevance:
    """Relevance of the style channels.

    Attributes:
        vectors: [channels, text_dim], unit vectors, concatenated over `layers`; layers at the end may be missing.
        spread: standard deviation [C] of every style vector.
        layers: indices of the convolutions, see `convolutions`.
    """

    vectors: Tensor
    spread: tuple[Tensor, ...]
    layers: tuple[int, ...]


def style_widths(generator: Generator) -> list[int]:
    """Widths of the style vectors in the order of `Generator.styles`."""
    device = generator.input.input.device
    w_plus = torch.zeros(1, generator.n_latent, generator.style_dim, device=device)
    with torch.no_grad():
        return [style.shape[1] for style in generator.styles(w_plus)]


def covered_layers(generator: Generator, largest: int = 128) -> tuple[int, ...]:
    """The convolutions whose channels are measured: those up to `largest` pixels."""
    layers = convolutions(generator)
    return layers[: 1 + 2 * (min(generator.size, largest).bit_length() - 3)]


def save_relevance(folder: Path, vectors: Tensor) -> None:
    """Writes the channels' relevance [channels, text_dim] as fp16."""
    save_weights(folder / RELEVANCE, {"relevance": vectors})


def save_statistics(folder: Path, mean: list[Tensor], spread: list[Tensor]) -> None:
    """Writes mean and standard deviation [C] of every style vector as fp16."""
    save_weights(folder / STATISTICS, {"mean": torch.cat(mean), "std": torch.cat(spread)})


def load_relevance(folder: Path, generator: Generator, domain: Domain) -> Relevance:
    """Reads the folder: our own files, or the authors' fs3.npy instead of our relevance.

    Raises:
        MethodError: a file is missing; the message names the command that creates it.
        CheckpointError: a file is damaged or belongs to other networks.
    """
    again = command(domain, "relevance")
    official = folder / OFFICIAL
    theirs = official.is_file()
    for path in (official if theirs else folder / RELEVANCE, folder / STATISTICS):
        if not path.is_file():
            raise MethodError(
                f"The global direction needs {path.name} of this model, which is not there. "
                f"This command makes it: {again}"
            )
    vectors = _read_official(official) if theirs else _entry(folder / RELEVANCE, "relevance")
    widths, layers = style_widths(generator), convolutions(generator)
    std = _entry(folder / STATISTICS, "std")
    ends = np.cumsum([widths[i] for i in layers])
    if std.shape != (sum(widths),) or vectors.ndim != 2 or len(vectors) not in ends:
        raise CheckpointError(
            f"The files in {folder} do not fit the generator. Make them again: {again}"
        )
    if vectors.shape[1] != domain.text_dim:
        raise CheckpointError(
            f"The relevance in {folder} has {vectors.shape[1]} numbers a channel, the text-image "
            f"model {domain.text_dim}. Make it again: {again}"
        )
    return Relevance(vectors, std.split(widths), layers)


def _read_official(path: Path) -> Tensor:
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
    except (ValueError, OSError, EOFError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a plain array. Use the file that the authors publish."
        ) from error


def _entry(path: Path, key: str) -> Tensor:
    weights = load_weights(path)
    if key not in weights:
        raise CheckpointError(
            f"{path} lacks `{key}`. Make it again, by `python -m clipinverter.training.styleclip relevance`."
        )
    return weights[key]


def channel_relevance(minus: Tensor, plus: Tensor) -> Tensor:
    """Relevance of channels, unit vectors [channels, D].

    Args:
        minus, plus: embeddings [channels, images, D] of pictures with the channel lowered and raised.
    """
    steps = F.normalize(F.normalize(plus, dim=2) - F.normalize(minus, dim=2), dim=2)
    return F.normalize(steps.mean(dim=1), dim=1)


def convolutions(generator: Generator) -> tuple[int, ...]:
    """Indices of the convolutions' style vectors in the order of `Generator.styles`; the rest belongs to to_rgb."""
    count = 2 + 3 * len(generator.to_rgbs)
    return tuple(i for i in range(count) if i != 1 and (i < 2 or (i - 2) % 3 != 2))
