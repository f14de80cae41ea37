"""Training a generator from weights that exist already."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from clipinverter.models.remapper import PARAMETERS as REMAPPER
from clipinverter.models.stylegan2 import Generator
from clipinverter.weights.files import load_weights


def generator_weights(path: Path) -> dict[str, Tensor]:
    """A generator's weights from a safetensors file, without the remapper's.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    state = load_weights(path)
    return {k: v for k, v in state.items() if not k.startswith(REMAPPER)}


def image_size_of(weights: dict[str, Tensor]) -> int:
    """Side of the images that a generator with these weights draws; 0 for weights of something else."""
    return max((v.shape[-1] for k, v in weights.items() if k.startswith("noises.")), default=0)


def synthesis_parameters(generator: Generator) -> list[nn.Parameter]:
    """The parameters that learn from pictures. The others, of the mapping network and the noise strengths, are
    frozen."""
    learning = []
    for name, parameter in generator.named_parameters():
        if name.startswith("style.") or name.endswith("noise.weight"):
            parameter.requires_grad_(False)
        else:
            learning.append(parameter)
    return learning
