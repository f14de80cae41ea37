"""Measures the relevance of every style channel, and the mean and standard deviation of the style vectors.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 6.3: random people are drawn with one channel lowered and raised by a
few standard deviations. The relevance is the mean change of their CLIP embeddings.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.methods.base import MethodError, command
from clipinverter.models.stylegan2 import Generator
from clipinverter.weights.files import CheckpointError, load_weights, save_weights
from clipinverter.weights.load import Models

RELEVANCE, STATISTICS, OFFICIAL = "relevance.safetensors", "statistics.safetensors", "fs3.npy"
RESOLUTION = 128  # the authors measure the channels of layers up to this size
STEP = 5.0  # standard deviations by which a channel is lowered and raised
IMAGES = 16  # random people per channel by default; the authors take 100, the embedded file has 8
SAMPLES, CHUNK = 16_384, 1024  # for the statistics


@dataclass(frozen=True, eq=False)
class Relevance:
    """Relevance of the style channels.

    Attributes:
        vectors: [channels, text_dim], unit vectors, concatenated over `layers`; layers at the end may be missing.
        spread: standard deviation [C] of every style vector.
        layers: indices of the convolutions, see `convolutions`.
    """

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
    """The convolutions whose channels are measured: all up to `RESOLUTION`."""
    layers = convolutions(generator)
    return layers[: 1 + 2 * (min(generator.size, RESOLUTION).bit_length() - 3)]


def save_relevance(folder: Path, vectors: Tensor) -> None:
    """Writes the channels' relevance [channels, text_dim] as fp16."""
    save_weights(folder / RELEVANCE, {"relevance": vectors})


def save_statistics(folder: Path, mean: list[Tensor], spread: list[Tensor]) -> None:
    """Writes mean and standard deviation [C] of every style vector as fp16."""
    save_weights(folder / STATISTICS, {"mean": torch.cat(mean), "std": torch.cat(spread)})


def load_relevance(folder: Path, generator: Generator, domain: Domain) -> Relevance:
    """Reads the folder: our own files, or the authors' fs3.npy instead of our relevance.

    Raises:
        MethodError: a file is missing; the message names the command that creates it.
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
            f"{path} lacks `{key}`. Make it again, by `python -m clipinverter.training.styleclip relevance`."
        )
    return weights[key]


def channel_relevance(minus: Tensor, plus: Tensor) -> Tensor:
    """Relevance of channels, unit vectors [channels, D].

    Args:
        minus, plus: embeddings [channels, images, D] of pictures with the channel lowered and raised.
    """
    steps = F.normalize(F.normalize(plus, dim=2) - F.normalize(minus, dim=2), dim=2)
    return F.normalize(steps.mean(dim=1), dim=1)


def convolutions(generator: Generator) -> tuple[int, ...]:
    """Indices of the convolutions' style vectors in the order of `Generator.styles`; the rest belongs to to_rgb."""
    count = 2 + 3 * len(generator.to_rgbs)
    return tuple(i for i in range(count) if i != 1 and (i < 2 or (i - 2) % 3 != 2))


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


def measure(models: Models, target: Path, run: Path, images: int = IMAGES) -> None:
    """Writes statistics and relevance to `target`; only the statistics if the authors' relevance is there.

    Every finished layer is kept under `run`, in a folder named by the networks' digest, so that a run that was killed
    continues after the last finished layer.
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
    """Relevance [C, text_dim] of the channels of one layer.

    Args:
        people: style vectors [images, C'] for each layer.
        layer: index into `people`.
        spread: [C], standard deviation of the layer's channels.
    """
    minus, plus = [], []
    for channel, deviation in enumerate(spread.tolist()):
        for found, sign in ((minus, -STEP), (plus, STEP)):
            styles = [style.clone() if i == layer else style for i, style in enumerate(people)]
            styles[layer][:, channel] += sign * deviation
            found.append(models.text_image.embed_image(models.generator.render(styles)).cpu())
    return channel_relevance(torch.stack(minus), torch.stack(plus))


def digest(models: Models) -> str:
    """Digest of the generator's and the text-image model's weights, eight hexadecimal digits."""
    digest = hashlib.sha256()
    for network in (models.generator, models.text_image.model):
        for tensor in network.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


def _styles(generator: Generator, z: Tensor) -> list[Tensor]:
    w = generator.mapping(z)
    return generator.styles(w[:, None].expand(-1, generator.n_latent, -1))
