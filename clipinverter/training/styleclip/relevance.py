"""Measures the relevance of every style channel: `python -m clipinverter.training.styleclip relevance`.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 6.3: random people are drawn with one channel a few standard
deviations below and above its mean. The relevance is the mean change of their CLIP embeddings.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from clipinverter.methods.relevance import (
    OFFICIAL,
    channel_relevance,
    covered_layers,
    save_relevance,
    save_statistics,
    style_widths,
)
from clipinverter.methods.settings import Settings
from clipinverter.models.stylegan2 import Generator
from clipinverter.training.loop import bfloat16
from clipinverter.weights.load import Models

BATCH = 10  # people that are drawn at once
CHUNK = 1000  # people whose style vectors are computed at once


@torch.no_grad()
def statistics(generator: Generator, samples: int) -> tuple[list[Tensor], list[Tensor]]:
    """Mean and standard deviation [C] of every style vector, over `samples` random people."""
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


def measure(models: Models, target: Path, run: Path, settings: Settings) -> None:
    """Writes statistics and relevance to `target`; only the statistics if the authors' relevance is there.

    Every finished layer is kept under `run`, in a folder named by the networks' digest, so that a run that was killed
    continues after the last finished layer.
    """
    from tqdm import tqdm

    count = settings.relevance_people

    generator = models.generator
    mean, spread = statistics(generator, settings.style_samples)
    save_statistics(target, mean, spread)
    if (target / OFFICIAL).is_file():
        return
    parts = run / f"relevance-{digest(generator, models.text_image.model)}-{count}"
    parts.mkdir(parents=True, exist_ok=True)
    z = torch.randn(count, generator.style_dim, generator=torch.Generator().manual_seed(1))
    people = _styles(generator, z.to(models.device))
    layers = covered_layers(generator, settings.relevance_layers)
    rows = []
    for layer in tqdm(layers, desc="relevance", unit="layer"):
        path = parts / f"{layer:02}.npy"
        if not path.is_file():
            part = layer_relevance(models, people, layer, mean[layer], spread[layer], settings)
            partial = path.with_suffix(".partial.npy")
            np.save(partial, part.numpy())
            partial.replace(path)
        rows.append(torch.from_numpy(np.load(path, allow_pickle=False)))
    save_relevance(target, torch.cat(rows))


@torch.no_grad()
def layer_relevance(
    models: Models,
    people: list[Tensor],
    layer: int,
    mean: Tensor,
    spread: Tensor,
    settings: Settings,
) -> Tensor:
    """Relevance [C, text_dim] of the channels of one layer.

    Args:
        people: style vectors [images, C'] for each layer.
        layer: index into `people`.
        mean, spread: [C], mean and standard deviation of the layer's channels. As in the authors' code, everybody's
            channel is set to the mean plus and minus some standard deviations.
    """
    minus, plus, step = [], [], settings.relevance_step
    for channel, (middle, deviation) in enumerate(zip(mean.tolist(), spread.tolist(), strict=True)):
        for found, sign in ((minus, -step), (plus, step)):
            styles = [style.clone() if i == layer else style for i, style in enumerate(people)]
            styles[layer][:, channel] = middle + sign * deviation
            found.append(_embedded(models, styles, settings.relevance_size))
    return channel_relevance(torch.stack(minus), torch.stack(plus))


def _embedded(models: Models, styles: list[Tensor], size: int | None) -> Tensor:
    """CLIP's embeddings [B, text_dim] of the pictures of style vectors [B, C], drawn up to `size`."""
    parts = zip(*(style.split(BATCH) for style in styles), strict=True)
    with bfloat16():
        pictures = [models.generator.render(list(part), until=size).float() for part in parts]
    return torch.cat([models.text_image.embed_image(picture).cpu() for picture in pictures])


def digest(*networks: nn.Module) -> str:
    """Digest of the networks' weights, eight hexadecimal digits."""
    digest = hashlib.sha256()
    for network in networks:
        for tensor in network.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


def _styles(generator: Generator, z: Tensor) -> list[Tensor]:
    w = generator.mapping(z)
    return generator.styles(w[:, None].expand(-1, generator.n_latent, -1))
