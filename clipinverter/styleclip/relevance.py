"""The relevance of every style channel, and how the style vectors of a domain are spread.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 6.3: the generator draws random people, each with one channel lowered
and raised by a few standard deviations, and CLIP says where the pictures went.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipinverter.checkpoints import CheckpointError, load_weights, save_weights
from clipinverter.domains import Domain
from clipinverter.models.stylegan2 import Generator
from clipinverter.styleclip.directions import convolutions
from clipinverter.styleclip.method import MethodError, command

RELEVANCE, STATISTICS, OFFICIAL = "relevance.safetensors", "statistics.safetensors", "fs3.npy"
RESOLUTION = 128  # the authors measure the channels of layers up to this size


@dataclass(frozen=True, eq=False)
class Relevance:
    """vectors [channels, text_dim]: unit vectors of the channels of `layers`, one layer after the other, perhaps not to
    the end. spread: standard deviation of every style vector [C]."""

    vectors: Tensor
    spread: tuple[Tensor, ...]
    layers: tuple[int, ...]


def style_widths(generator: Generator) -> list[int]:
    """Widths of the style vectors in the order of `Generator.styles`."""
    device = generator.input.input.device
    w_plus = torch.zeros(1, generator.n_latent, generator.style_dim, device=device)
    with torch.no_grad():
        return [style.shape[1] for style in generator.styles(w_plus)]


def covered_layers(generator: Generator) -> tuple[int, ...]:
    """The convolutions whose channels are measured: those up to 128 px, both of them."""
    layers = convolutions(generator)
    return layers[: 1 + 2 * (min(generator.size, RESOLUTION).bit_length() - 3)]


def save_relevance(folder: Path, vectors: Tensor) -> None:
    """Writes the channels' relevance as fp16."""
    save_weights(folder / RELEVANCE, {"relevance": vectors})


def save_statistics(folder: Path, mean: list[Tensor], spread: list[Tensor]) -> None:
    """Writes mean and standard deviation of every style vector as fp16."""
    save_weights(folder / STATISTICS, {"mean": torch.cat(mean), "std": torch.cat(spread)})


def load_relevance(folder: Path, generator: Generator, domain: Domain) -> Relevance:
    """What the folder holds: our own files, or the authors' fs3.npy in place of our relevance.

    Raises:
        MethodError: a file is missing; the message names the command that makes it.
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
            f"{path} lacks `{key}`. Make it again, by `python -m clipinverter.styleclip relevance`."
        )
    return weights[key]
