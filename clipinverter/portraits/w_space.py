"""What W means in the embedded domain: w is a linear image of what a scene shows, so every attribute is a direction.

Labels, continuous quantities and the colours of large areas are numbers of a description; each has a fixed orthonormal
direction in W. All networks but the mapping network learn from the exact w of a scene (`w_of`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Literal

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from clipinverter.portraits.colours import backdrop, clothes_colour, hat_colour
from clipinverter.portraits.scene import Scene, random_latents
from clipinverter.portraits.variables import VARIABLES, Choice, Free, Variable

LABEL = 2.0  # how far a label moves w, against 1 for a standard deviation of a continuous quantity
COLOUR = 5.0  # how far black and white are apart
GAMMA = 2.2  # of the pictures, in which colours are described
SPREAD = 1.5  # brings w to about unit variance
LATER = ("eyes closed",)  # variables that w said nothing about at first
GRADUAL = ("light_side",)  # nothing in a picture changes where its label does

Kind = Literal["quantity", "label", "colour"]


def _told(scene: Scene) -> Iterator[tuple[str, Kind, Sequence[float]]]:
    """What w is to say: variables, and numbers of one kind about them. What was added later comes last, so that the
    rest keeps its directions."""
    yield from _drawn(scene, [v for v in VARIABLES if v.name not in LATER])
    for name, numbers in _colours(scene).items():
        yield name, "colour", numbers
    yield from _drawn(scene, [v for v in VARIABLES if v.name in LATER])


def _drawn(
    scene: Scene, variables: Sequence[Variable]
) -> Iterator[tuple[str, Kind, Sequence[float]]]:
    """Variables as the scene draws them."""
    for v in variables:
        value = scene.values[v.name]
        if isinstance(v, Free):
            yield v.name, "quantity", value
        elif isinstance(v, Choice):
            yield v.name, "label", [LABEL * (value == option) for option in v.options]
        else:
            yield v.name, "quantity", [float(ndtri(np.clip(value, 1e-4, 1 - 1e-4)))]
            if v.name in GRADUAL:
                continue
            label = scene.label(v.name)
            yield v.name, "label", [LABEL * (label == name) for name, _, _ in v.labels]


def _colours(scene: Scene) -> dict[str, np.ndarray]:
    """Large areas as they are seen. The scene draws a hue in a circle and a saturation; neither the encoder nor the
    generator finds the way from there to red, green and blue."""
    behind = backdrop(scene)
    middle = (behind["low"] ** (1 / GAMMA) + behind["high"] ** (1 / GAMMA)) / 2
    worn, hat = (np.array(c(scene)) ** (1 / GAMMA) - 0.5 for c in (clothes_colour, hat_colour))
    return {
        "backdrop": np.array([*(COLOUR * (middle - 0.5)), *behind["direction"]]),
        "clothes_colour": COLOUR * worn,
        "hat": COLOUR * hat * (scene.label("hat") is not None),
    }


def description(scene: Scene, names: Collection[str] | None = None) -> np.ndarray:
    """Everything a scene shows as one vector: the continuous quantities, every label as 0 or `LABEL`, and the colours
    of large areas; or only what is about the variables of these names."""
    parts = [numbers for name, _, numbers in _told(scene) if names is None or name in names]
    return np.concatenate(parts).astype(np.float32)


@cache
def directions(size: int, width: int, seed: int, more: int = 0) -> np.ndarray:
    """Fixed orthonormal columns [width, size + more]: where each of `size` numbers points, whatever `more` is, and what
    is orthogonal to them.

    Raises ValueError where there are fewer dimensions than numbers.
    """
    if size + more > width:
        raise ValueError(
            f"a description of {size + more} numbers does not fit into {width} dimensions"
        )
    noise = np.random.default_rng(seed).standard_normal((width, size))
    return np.linalg.qr(noise, mode="complete")[0][:, : size + more].astype(np.float32)


def descriptions(latents: np.ndarray, names: Collection[str] | None = None) -> np.ndarray:
    """`description` of the scenes of latents [B, N_LATENTS], a row each."""
    return np.stack([description(Scene.from_latent(g), names) for g in latents])


@cache
def average_description(seed: int, names: Collection[str] | None = None) -> np.ndarray:
    """Of 4096 random scenes."""
    return descriptions(random_latents(4096, np.random.default_rng(seed)), names).mean(axis=0)


@cache
def axes(style_dim: int) -> Tensor:
    """Where in W each number of a description points: orthonormal columns [style_dim, K].

    Raises ValueError where W has too few dimensions.
    """
    first = int(of_kind("colour").nonzero()[0])  # so many need not move for the sake of the rest
    more = len(of_kind("colour")) - first
    return torch.from_numpy(directions(first, style_dim, 20232, more=more))


def w_of(latents: np.ndarray, style_dim: int) -> Tensor:
    """w [B, style_dim] of scenes with latents [B, N_LATENTS]: exact, where the mapping network is only close.

    Raises ValueError where W has too few dimensions.
    """
    described = torch.from_numpy(descriptions(latents) - average_description(1))
    return described @ (SPREAD * axes(style_dim)).T


def described_by(variables: Collection[str]) -> Tensor:
    """Which numbers of `description` are about these variables: bool [K].

    Raises KeyError for an unknown one.
    """
    about = [name for name, _ in _subjects()]
    if unknown := set(variables) - set(about):
        raise KeyError(min(unknown))
    return torch.tensor([name in variables for name in about])


def of_kind(kind: Kind) -> Tensor:
    """Which numbers of `description` are of one kind: bool [K]."""
    return torch.tensor([each == kind for _, each in _subjects()])


@cache
def _subjects() -> tuple[tuple[str, Kind], ...]:
    """The variable that each number of `description` is about, and its kind."""
    told = _told(Scene.from_seed(0))
    return tuple((name, kind) for name, kind, numbers in told for _ in numbers)


def part_of(w: Tensor, chosen: Tensor) -> Tensor:
    """The part of differences of w [..., D] that says what `chosen` [..., K] of `described_by` are about; with numbers
    in place of yes and no, so many times each."""
    to_w = axes(w.shape[-1])
    return ((w @ to_w) * chosen) @ to_w.T


def sharp_distance(w: Tensor, true: Tensor, asked: Tensor | None = None) -> Tensor:
    """Mean distance of w [..., D] from the true ones, number by number of the description; asked [..., K] bool: only
    of these.

    To the power of 1.5, labels of 1.1: with squares, one who is unsure of a label does best with a bit of each, and
    hair that is probably black, perhaps green, turns out greenish, a woman by three chances of four half a man. So
    what is unlikely is left out.
    """
    to_w = axes(w.shape[-1])
    error = w - true
    described = error @ to_w
    rest = error - described @ to_w.T  # which no scene has
    off = (described / SPREAD).abs()
    distance = torch.where(of_kind("label"), off.pow(1.1), off.pow(1.5))
    if asked is not None:
        distance = distance[asked.expand_as(distance)]
    return distance.mean() + rest.square().mean()
