"""Initialises a larger generator, of higher resolution or wider layers, with the weights of a trained one."""

from __future__ import annotations

import torch
from torch import Tensor

from clipinverter.models.stylegan2 import Generator
from clipinverter.weights.files import CheckpointError


def fits(name: str, old: Tensor, new: Tensor) -> bool:
    """Whether a tensor fits into the larger network's; those of the mapping network must have the same shape."""
    if name.startswith("style."):
        return old.shape == new.shape
    return old.ndim == new.ndim and all(a <= b for a, b in zip(old.shape, new.shape, strict=True))


@torch.no_grad()
def grow(smaller: dict[str, Tensor], larger: Generator) -> None:
    """Loads the weights of a smaller generator into `larger`, in place. At first `larger` draws the same image,
    upsampled if it has more resolutions.

    New channels keep their initial weights, but the layers after them ignore them at first; new to_rgb layers start at
    zero.

    Raises:
        CheckpointError: the networks have different W spaces, or a layer of the smaller one is missing in the larger
            one or wider than there.
    """
    own = larger.state_dict()
    for name, old in smaller.items():
        new = own.get(name)
        if new is None or not fits(name, old, new):
            raise CheckpointError(
                f"The weights to start from do not fit the generator, at `{name}`: it has to have the same W, and "
                "at least as many channels and resolutions."
            )
        corner = tuple(slice(n) for n in old.shape)
        if old.ndim == 5:  # a convolution [1, out, in, kernel, kernel], scaled by 1 / sqrt(in)
            new[:, : old.shape[1]] = 0.0
            old = old * (new.shape[2] / old.shape[2]) ** 0.5
        new[corner] = old
    for index, to_rgb in enumerate(larger.to_rgbs):
        if f"to_rgbs.{index}.bias" not in smaller:
            to_rgb.bias.zero_()
            to_rgb.conv.weight.zero_()
