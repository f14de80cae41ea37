"""Training data: a rendered set in memory, and augmentation that makes renders look like snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.portraits.scene import ATTRIBUTES, Scene, to_z
from clipinverter.portraits.variables import N_LATENTS
from clipinverter.training.pictures import DataError
from clipinverter.training.portraits.clutter import clutter

NAMES = tuple(ATTRIBUTES)


@dataclass(frozen=True)
class RenderedSet:
    """images uint8 [N, S, S, 3] and latents float32 [N, N_LATENTS] of a folder written by the dataset command."""

    images: list[np.ndarray]
    latents: np.ndarray

    def __len__(self) -> int:
        return len(self.latents)

    @cached_property
    def attributes(self) -> np.ndarray:
        """bool [N, len(NAMES)]: the attributes that show in each image."""
        rows = [Scene.from_latent(g).attributes for g in self.latents]
        return np.array([[name in row for name in NAMES] for row in rows])

    @cached_property
    def frequency(self) -> np.ndarray:
        """[len(NAMES)]: how often each attribute shows, always above 0."""
        return self.attributes.mean(axis=0) + 1e-3

    def batch(self, indices: np.ndarray, size: int | None = None) -> Tensor:
        """Images [B, 3, size, size] in [-1, 1], averaged down where `size` is smaller than the set's."""
        shard = len(self.images[0])
        pixels = np.stack([self.images[i // shard][i % shard] for i in indices])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        if size is not None and size < images.shape[-1]:
            images = F.avg_pool2d(images, images.shape[-1] // size)
        return images


def load(folder: Path, hint: str = "") -> RenderedSet:
    """Opens the finished shards of a rendered set, mapped from disk. hint: more to say if there are none.

    Raises:
        DataError: there are none.
    """
    latents = sorted(folder.glob("latents-*.npy"))  # written last: these shards are complete
    if not latents:
        raise DataError(
            f"There is no rendered set in {folder}. Render one by `python -m clipinverter.portraits dataset "
            f"{folder} --count 12288 --size 256`, or name its folder by --images.{hint}"
        )
    images = [folder / p.name.replace("latents", "images") for p in latents]
    return RenderedSet(
        [np.load(p, mmap_mode="r") for p in images], np.concatenate([np.load(p) for p in latents])
    )


def versions(
    rendered: RenderedSet, size: int, count: int, rng: np.random.Generator, at_once: int = 64
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """All renders as they are, then `count` - 1 times augmented and with other backgrounds.

    Yields:
        Indices [B] into the set, and pictures [B, 3, size, size].
    """
    from tqdm import tqdm

    parts = np.array_split(np.arange(len(rendered)), -(-len(rendered) // at_once))
    for version in range(count):
        for part in tqdm(parts, desc=f"pictures, {version + 1} of {count}"):
            pictures = rendered.batch(part, size)
            yield part, snapshots(pictures, rendered.latents[part], rng) if version else pictures


def snapshots(images: Tensor, latents: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Renders [B, 3, S, S] of scenes with latents [B, N_LATENTS], with cluttered backgrounds and augmented."""
    return augment(clutter(images, latents, rng), rng)


def z_of(latents: np.ndarray, rng: np.random.Generator, style_dim: int) -> Tensor:
    """z [B, style_dim] of scenes with latents [B, N_LATENTS], filled up with random numbers."""
    nuisance = rng.standard_normal((len(latents), style_dim - N_LATENTS))
    return torch.from_numpy(to_z(latents, nuisance))


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Images [B, 3, S, S] in [-1, 1], each randomly shifted, scaled, blurred, re-coloured, noisy and partly hidden."""
    return blemish(recolour(images, rng), rng)


def recolour(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Images [B, 3, S, S] in [-1, 1] with random gain, cast, contrast and gamma, as of other light and cameras."""
    batch = len(images)
    one = (batch, 1, 1, 1)
    gain = torch.from_numpy(rng.normal(1, 0.12, (batch, 3, 1, 1))).float()
    cast = torch.from_numpy(rng.normal(0, 0.06, (batch, 3, 1, 1))).float()
    contrast = torch.from_numpy(np.exp(rng.normal(0, 0.15, one))).float()
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.15, one))).float()
    images = ((images + 1) / 2).clamp(1e-3, 1) ** gamma * 2 - 1
    return (images * gain * contrast + cast).clamp(-1, 1)


def blemish(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Images [B, 3, S, S] in [-1, 1], randomly shifted, scaled, blurred, noisy and partly hidden; colours stay."""
    batch, _, size, _ = images.shape
    images = _geometry(images, rng)
    out = []
    for image in images:
        image = image[None]
        if rng.random() < 0.4:  # resampling blur
            small = int(size * rng.uniform(0.25, 0.9))
            image = F.interpolate(image, size=small, mode="area")
            image = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        out.append(image)
    images = torch.cat(out)
    noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
    grain = torch.from_numpy(rng.exponential(0.03, (batch, 1, 1, 1))).float()
    images = images + noise * grain
    for i in np.flatnonzero(rng.random(batch) < 0.12):  # like a hand, a scarf or a caption
        h, w = rng.integers(size // 10, size // 3, 2)
        y, x = rng.integers(0, size - h), rng.integers(0, size - w)
        images[i, :, y : y + h, x : x + w] = torch.from_numpy(rng.uniform(-1, 1, (3, 1, 1))).float()
    return images.clamp(-1, 1)


def _geometry(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Images [B, 3, S, S] with small random shifts, scalings and rotations, as of an imperfect alignment."""
    batch = len(images)
    scale, turn = np.exp(rng.normal(0, 0.03, batch)), rng.normal(0, 0.04, batch)
    matrix = np.stack(
        [
            np.stack([scale * np.cos(turn), -scale * np.sin(turn), rng.normal(0, 0.03, batch)], 1),
            np.stack([scale * np.sin(turn), scale * np.cos(turn), rng.normal(0, 0.03, batch)], 1),
        ],
        1,
    )
    grid = F.affine_grid(torch.from_numpy(matrix).float(), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
