"""Measures the channels' relevance: `python -m clipinverter.styleclip relevance`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipinverter.loading import Models
from clipinverter.models.stylegan2 import Generator
from clipinverter.styleclip.directions import channel_relevance
from clipinverter.styleclip.relevance import (
    OFFICIAL,
    covered_layers,
    save_relevance,
    save_statistics,
    style_widths,
)

STEP = 5.0  # standard deviations down and up
IMAGES = 16  # random people for each channel; the authors take 100
SAMPLES, CHUNK = 16_384, 1024  # for the statistics


@torch.no_grad()
def statistics(generator: Generator, samples: int) -> tuple[list[Tensor], list[Tensor]]:
    """Mean and standard deviation of every style vector [C] over random people."""
    rng = torch.Generator().manual_seed(0)
    device = generator.input.input.device
    sums = [torch.zeros(width, dtype=torch.float64) for width in style_widths(generator)]
    squares = [torch.zeros_like(total) for total in sums]
    for _ in range(max(1, samples // CHUNK)):
        z = torch.randn(min(samples, CHUNK), generator.style_dim, generator=rng)
        for i, style in enumerate(_styles(generator, z.to(device))):
            style = style.double().cpu()
            sums[i] += style.sum(dim=0)
            squares[i] += style.square().sum(dim=0)
    count = max(1, samples // CHUNK) * min(samples, CHUNK)
    means = [total / count for total in sums]
    pairs = zip(squares, means, strict=True)
    spreads = [(square / count - mean.square()).clamp(min=0).sqrt() for square, mean in pairs]
    return [mean.float() for mean in means], [spread.float() for spread in spreads]


def measure(models: Models, target: Path, run: Path, images: int = IMAGES) -> None:
    """Writes the statistics and the relevance to `target`; only the statistics where the authors' relevance is.

    Every finished layer is kept under `run`, by the digest of the networks: a run that was killed goes on after the
    last of them.
    """
    from tqdm import tqdm

    generator = models.generator
    mean, spread = statistics(generator, SAMPLES)
    save_statistics(target, mean, spread)
    if (target / OFFICIAL).is_file():
        return
    parts = run / f"relevance-{digest(models)}-{images}"
    parts.mkdir(parents=True, exist_ok=True)
    z = torch.randn(images, generator.style_dim, generator=torch.Generator().manual_seed(1))
    people = _styles(generator, z.to(models.device))
    layers = covered_layers(generator)
    rows = []
    for layer in tqdm(layers, desc="relevance", unit="layer"):
        path = parts / f"{layer:02}.npy"
        if not path.is_file():
            part = layer_relevance(models, people, layer, spread[layer])
            partial = path.with_suffix(".partial.npy")
            np.save(partial, part.numpy())
            partial.replace(path)
        rows.append(torch.from_numpy(np.load(path, allow_pickle=False)))
    save_relevance(target, torch.cat(rows))


@torch.no_grad()
def layer_relevance(models: Models, people: list[Tensor], layer: int, spread: Tensor) -> Tensor:
    """Relevance [C, text_dim] of one style vector's channels, from people's style vectors [images, C'] each."""
    minus, plus = [], []
    for channel, deviation in enumerate(spread.tolist()):
        for found, sign in ((minus, -STEP), (plus, STEP)):
            styles = [style.clone() if i == layer else style for i, style in enumerate(people)]
            styles[layer][:, channel] += sign * deviation
            found.append(models.text_image.embed_image(models.generator.render(styles)).cpu())
    return channel_relevance(torch.stack(minus), torch.stack(plus))


def digest(models: Models) -> str:
    """Of the generator's and the text-image model's weights, eight digits."""
    digest = hashlib.sha256()
    for network in (models.generator, models.text_image.model):
        for tensor in network.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


def _styles(generator: Generator, z: Tensor) -> list[Tensor]:
    w = generator.mapping(z)
    return generator.styles(w[:, None].expand(-1, generator.n_latent, -1))
