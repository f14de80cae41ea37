"""The mapping network, taught before the rest of the generator: w is to be a linear image of what the scene shows.

z mixes the scene's latents beyond recognition, and which hair style wins is a discontinuous function of
them. Left to the losses on pictures, the mapping network learns this very slowly; asked directly, it
learns most of it in minutes. All other networks learn from the exact w of a scene (`w_of`), in which
every attribute is a direction.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import ndtri
from torch import Tensor

from clipinverter.models.stylegan2 import Generator
from clipinverter.portraits.scene import Scene
from clipinverter.portraits.variables import VARIABLES, Choice, Free
from clipinverter.training import data
from clipinverter.training.loop import Average, Stage, cosine, run, set_rate

STEPS, BATCH, SCENES = 4000, 256, 40_000
LABEL = 2.0  # how far a label moves w, against 1 for a standard deviation of a continuous quantity
SPREAD = 1.5  # brings w to about unit variance


def description(scene: Scene, names: Collection[str] | None = None) -> np.ndarray:
    """Everything a scene shows as one vector: the continuous quantities, and every label as 0 or `LABEL`; or only
    what the variables of these names say."""
    parts: list[float] = []
    for v in VARIABLES:
        if names is not None and v.name not in names:
            continue
        value = scene.values[v.name]
        if isinstance(v, Free):
            parts.extend(value)
        elif isinstance(v, Choice):
            parts.extend(LABEL * (value == option) for option in v.options)
        else:
            label = scene.label(v.name)
            parts.append(float(ndtri(np.clip(value, 1e-4, 1 - 1e-4))))
            parts.extend(LABEL * (label == name) for name, _, _ in v.labels)
    return np.array(parts, dtype=np.float32)


@cache
def directions(size: int, width: int, seed: int) -> np.ndarray:
    """Fixed orthonormal columns [width, size]: where each of `size` numbers points.

    Raises ValueError where there are fewer dimensions than numbers.
    """
    if size > width:
        raise ValueError(f"a description of {size} numbers does not fit into {width} dimensions")
    noise = np.random.default_rng(seed).standard_normal((width, size))
    return np.linalg.qr(noise)[0].astype(np.float32)


def descriptions(latents: np.ndarray, names: Collection[str] | None = None) -> np.ndarray:
    """`description` of the scenes of latents [B, N_LATENTS], a row each."""
    return np.stack([description(Scene.from_latent(g), names) for g in latents])


@cache
def average_description(seed: int, names: Collection[str] | None = None) -> np.ndarray:
    """Of 4096 random scenes."""
    return descriptions(data.random_latents(4096, np.random.default_rng(seed)), names).mean(axis=0)


def axes(style_dim: int) -> Tensor:
    """Where in W each number of a description points: orthonormal columns [style_dim, K].

    Raises ValueError where W has too few dimensions.
    """
    return torch.from_numpy(directions(len(average_description(1)), style_dim, 20232))


def w_of(latents: np.ndarray, style_dim: int) -> Tensor:
    """w [B, style_dim] of scenes with latents [B, N_LATENTS]: exact, where the mapping network is only close.

    Raises ValueError where W has too few dimensions.
    """
    described = torch.from_numpy(descriptions(latents) - average_description(1))
    return described @ (SPREAD * axes(style_dim)).T


@cache
def columns_of(name: str) -> slice:
    """Where `description` speaks of a variable."""
    scene = Scene.from_seed(0)
    start = 0
    for v in VARIABLES:
        length = len(description(scene, (v.name,)))
        if v.name == name:
            return slice(start, start + length)
        start += length
    raise KeyError(name)


def described_by(variables: Collection[str]) -> Tensor:
    """Which numbers of `description` speak of these variables: bool [K]."""
    chosen = torch.zeros(len(average_description(1)), dtype=torch.bool)
    for name in variables:
        chosen[columns_of(name)] = True
    return chosen


def part_of(w: Tensor, chosen: Tensor) -> Tensor:
    """The part of differences of w [..., D] that says what `chosen` [..., K] of `described_by` are about."""
    to_w = axes(w.shape[-1])
    return ((w @ to_w) * chosen) @ to_w.T


def sharp_distance(w: Tensor, true: Tensor) -> Tensor:
    """Mean distance of w [..., D] from the true ones, number by number of the description.

    To the power of 1.5: with squares, one who is unsure of a label does best with a bit of each, and hair that is
    probably black, perhaps green, turns out greenish. So what is unlikely is left out.
    """
    to_w = axes(w.shape[-1])
    error = w - true
    described = error @ to_w
    rest = error - described @ to_w.T  # which no scene has
    return (described / SPREAD).abs().pow(1.5).mean() + rest.square().mean()


def train(generator: Generator, folder: Path, *, resume: bool, scale: float = 1.0) -> Average:
    """Teaches `generator.style`; returns its average."""
    steps = max(1, int(STEPS * scale))
    latents = data.random_latents(max(BATCH, int(SCENES * scale)), np.random.default_rng(1))
    targets = w_of(latents, generator.style_dim)
    net = generator.style
    optimizer = torch.optim.Adam(net.parameters(), lr=5.0, betas=(0.9, 0.99))  # times lr_mul 0.01
    average = Average(net, 0.99)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, floor=0.01))
        rows = rng.integers(len(latents), size=BATCH)
        w = net(data.z_of(latents[rows], rng, generator.style_dim))
        loss = F.mse_loss(w, targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(net, i)
        return {"loss": loss.item(), "variance": targets[rows].var().item()}

    state = {"net": net, "optimizer": optimizer, "average": average}
    run(Stage("mapping", steps, state, step), folder, resume=resume)
    return average
