"""Cluttered backgrounds for renders, as photographs have them.

The renderer's backdrop is a formula, so every pixel that differs from it belongs to the person: no masks are stored.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.portraits.colours import backdrop
from clipinverter.portraits.scene import Scene

FAR = 10 / 127.5  # a pixel that differs more from the backdrop belongs to the person


@cache
def _coordinates(size: int) -> tuple[Tensor, Tensor]:
    """x [1, size] and y [size, 1] of pixels relative to the centre, in shares of the side; y points upwards."""
    at = (torch.arange(size) + 0.5) / size - 0.5
    return at[None], -at[:, None]


def person(image: Tensor, scene: Scene) -> Tensor:
    """The mask [1, S, S] of the person in a render [3, S, S] in [-1, 1] of a scene: 0 or 1."""
    x, y = _coordinates(image.shape[-1])
    look = {k: torch.tensor(v, dtype=torch.float32) for k, v in backdrop(scene).items()}
    t = ((x * look["direction"][0] + y * look["direction"][1] + 0.8) / 1.6).clamp(0, 1)
    t = t * t * (3 - 2 * t)
    colour = look["low"][:, None, None].lerp(look["high"][:, None, None], t)
    colour = (colour * (1 - 0.35 * (x * x + y * y))).clamp(min=0) ** (1 / 2.2)
    return ((image - (colour * 2 - 1)).abs().amax(dim=0, keepdim=True) > FAR).float()


def backgrounds(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Backgrounds [B, 3, S, S] made from images of the same shape: enlarged details of other pictures, rotated, blurred
    and in other colours, mixed with patches of random colours."""
    count, _, size, _ = images.shape
    zoom, turn = rng.uniform(0.15, 0.7, count), rng.uniform(0, 2 * np.pi, count)
    row = np.stack([np.cos(turn), -np.sin(turn), rng.uniform(-0.6, 0.6, count) / zoom], 1)
    other = np.stack([np.sin(turn), np.cos(turn), rng.uniform(-0.6, 0.6, count) / zoom], 1)
    matrix = torch.from_numpy(zoom[:, None, None] * np.stack([row, other], 1)).float()
    source = images[torch.from_numpy(rng.permutation(count))]
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    detail = F.grid_sample(source, grid, padding_mode="reflection", align_corners=False)
    detail = detail[:, torch.from_numpy(rng.permutation(3))]
    cells = int(rng.integers(2, 9))
    patches = torch.from_numpy(rng.uniform(-1, 1, (count, 3, cells, cells))).float()
    mode = "nearest" if rng.random() < 0.3 else "bicubic"
    patches = F.interpolate(patches, size=size, mode=mode)
    share = torch.from_numpy(rng.uniform(0, 1, (count, 1, 1, 1))).float()
    mixed = detail.lerp(patches, share)
    gain = torch.from_numpy(rng.uniform(0.4, 1.2, (count, 3, 1, 1))).float()
    shift = torch.from_numpy(rng.normal(0, 0.3, (count, 1, 1, 1))).float()
    mixed = mixed * gain + shift
    if rng.random() < 0.5:  # out of focus
        small = F.interpolate(mixed, size=int(rng.integers(6, size // 2)), mode="area")
        mixed = F.interpolate(small, size=size, mode="bilinear")
    return mixed.clamp(-1, 1)


def clutter(
    images: Tensor, latents: np.ndarray, rng: np.random.Generator, share: float = 0.6
) -> Tensor:
    """Renders [B, 3, S, S] of scenes with latents [B, N_LATENTS], a random share of them with another background."""
    images = images.clone()
    chosen = np.flatnonzero(rng.random(len(images)) < share)
    if len(chosen) == 0:
        return images
    behind = backgrounds(images, rng)
    for i in chosen:
        mask = person(images[i], Scene.from_latent(latents[i]))
        images[i] = behind[i].lerp(images[i], mask)
    return images
