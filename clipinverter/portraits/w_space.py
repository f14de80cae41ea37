"""The latent space W of the embedded domain: w is a linear function of what a scene shows, so every attribute is a
direction.

A scene is described by numbers: labels, continuous quantities and the colours of large areas. Each number has a fixed
direction in W, orthogonal to the others. Except for the mapping network, all networks learn from the exact w of scenes
(`w_of`).
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

LABEL = 2.0  # value of a label that applies; a standard deviation of a continuous quantity counts 1
COLOUR = 5.0  # distance between black and white in each channel
GAMMA = 2.2  # of pictures; colours are described with it
SPREAD = 1.5  # scales w to about unit variance
LATER = ("eyes closed",)  # variables that were added to w after the first training
GRADUAL = (
    "light_side",
)  # variables without labels in w: the picture does not change abruptly with the label

Kind = Literal["quantity", "label", "colour"]


def _numbers(scene: Scene) -> Iterator[tuple[str, Kind, Sequence[float]]]:
    """The description as (variable, kind, numbers). Variables that were added later come last, so that the others keep
    their directions."""
    yield from _drawn(scene, [v for v in VARIABLES if v.name not in LATER])
    for name, numbers in _colours(scene).items():
        yield name, "colour", numbers
    yield from _drawn(scene, [v for v in VARIABLES if v.name in LATER])


def _drawn(
    scene: Scene, variables: Sequence[Variable]
) -> Iterator[tuple[str, Kind, Sequence[float]]]:
    """The values of variables as quantities and labels."""
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
    """Colours of large areas as red, green and blue. The scene has hue and saturation instead, from which neither the
    encoder nor the generator learns these colours."""
    behind = backdrop(scene)
    middle = (behind["low"] ** (1 / GAMMA) + behind["high"] ** (1 / GAMMA)) / 2
    worn, hat = (np.array(c(scene)) ** (1 / GAMMA) - 0.5 for c in (clothes_colour, hat_colour))
    return {
        "backdrop": np.array([*(COLOUR * (middle - 0.5)), *behind["direction"]]),
        "clothes_colour": COLOUR * worn,
        "hat": COLOUR * hat * (scene.label("hat") is not None),
    }


def description(scene: Scene, names: Collection[str] | None = None) -> np.ndarray:
    """The description of a scene as one vector [K]: continuous quantities, every label as 0 or `LABEL`, and the colours
    of large areas; with `names` only the numbers of these variables."""
    parts = [numbers for name, _, numbers in _numbers(scene) if names is None or name in names]
    return np.concatenate(parts).astype(np.float32)


@cache
def directions(size: int, width: int, seed: int, more: int = 0) -> np.ndarray:
    """Fixed orthonormal columns [width, size + more]: a direction for each number. The first `size` do not depend on
    `more`.

    Raises:
        ValueError: there are fewer dimensions than numbers.
    """
    if size + more > width:
        raise ValueError(
            f"a description of {size + more} numbers does not fit into {width} dimensions"
        )
    noise = np.random.default_rng(seed).standard_normal((width, size))
    return np.linalg.qr(noise, mode="complete")[0][:, : size + more].astype(np.float32)


def descriptions(latents: np.ndarray, names: Collection[str] | None = None) -> np.ndarray:
    """Descriptions [B, K] of the scenes with latents [B, N_LATENTS]."""
    return np.stack([description(Scene.from_latent(g), names) for g in latents])


@cache
def average_description(seed: int, names: Collection[str] | None = None) -> np.ndarray:
    """The mean description [K] of 4096 random scenes."""
    return descriptions(random_latents(4096, np.random.default_rng(seed)), names).mean(axis=0)


@cache
def axes(style_dim: int) -> Tensor:
    """The direction in W of each number of a description: orthonormal columns [style_dim, K].

    Raises:
        ValueError: W has too few dimensions.
    """
    first = int(of_kind("colour").nonzero()[0])  # numbers that were there before colours were added
    more = len(of_kind("colour")) - first
    return torch.from_numpy(directions(first, style_dim, 20232, more=more))


def w_of(latents: np.ndarray, style_dim: int) -> Tensor:
    """The exact w [B, style_dim] of scenes with latents [B, N_LATENTS], which the mapping network approximates.

    Raises:
        ValueError: W has too few dimensions.
    """
    described = torch.from_numpy(descriptions(latents) - average_description(1))
    return described @ (SPREAD * axes(style_dim)).T


def described_by(variables: Collection[str]) -> Tensor:
    """Which numbers of `description` are about these variables: bool [K].

    Raises:
        KeyError: there is no such variable.
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
    described = _numbers(Scene.from_seed(0))
    return tuple((name, kind) for name, kind, numbers in described for _ in numbers)


def part_of(w: Tensor, chosen: Tensor) -> Tensor:
    """The part of differences of w [..., D] along the numbers of the description that are `chosen` [..., K]. Floats
    in place of bools multiply the component of each number."""
    to_w = axes(w.shape[-1])
    return ((w @ to_w) * chosen) @ to_w.T


def sharp_distance(w: Tensor, true: Tensor, counted: Tensor | None = None) -> Tensor:
    """Mean distance of w [..., D] from the true w, over the numbers of the description, or those `counted` [..., K].

    Errors have the power of 1.5, those of labels 1.1. With squares an unsure network predicts a mixture: hair that is
    probably black and perhaps green turns out greenish. With lower powers it predicts the likely label.
    """
    to_w = axes(w.shape[-1])
    error = w - true
    described = error @ to_w
    rest = error - described @ to_w.T  # outside of the space of descriptions
    off = (described / SPREAD).abs()
    distance = torch.where(of_kind("label"), off.pow(1.1), off.pow(1.5))
    if counted is not None:
        distance = distance[counted.expand_as(distance)]
    return distance.mean() + rest.square().mean()
