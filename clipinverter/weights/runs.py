"""Finished weights of the stages, between training and the demo: one fp16 safetensors file a part."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import torch
from torch import nn

from clipinverter.domains import Domain
from clipinverter.models import clip, irse
from clipinverter.models.adapter import Adapter
from clipinverter.models.clip import TextImageModel
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace
from clipinverter.models.remapper import PARAMETERS, RemapperGenerator
from clipinverter.weights.files import CheckpointError, load_weights, save_weights
from clipinverter.weights.load import build_networks

PARTS = ("remapper", "editing-encoder", "adapter", "clip", "identity")  # of a finished set
SERVED_AS = {"remapper": "generator", "editing-encoder": "encoder"}  # theirs, trained further


def write(folder: Path, part: str, weights: dict[str, torch.Tensor]) -> None:
    """Saves one part's weights."""
    save_weights(folder / f"{part}.safetensors", weights)


def read(folder: Path, part: str) -> dict[str, torch.Tensor]:
    """One part's weights; raises CheckpointError naming the stage to run where they are missing."""
    return load_weights(_finished(folder, part))


def _finished(folder: Path, part: str) -> Path:
    path = folder / f"{part}.safetensors"
    if not path.exists():
        stage = "adapter" if part == "editing-encoder" else part
        raise CheckpointError(
            f"{path} is missing: run python -m clipinverter.training {stage} first."
        )
    return path


def _filled(network: nn.Module, weights: dict[str, torch.Tensor]) -> nn.Module:
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def generator(folder: Path, domain: Domain) -> RemapperGenerator:
    """The trained generator with a remapper that has not learnt anything yet, frozen.

    Raises:
        CheckpointError: the generator is missing or unfinished.
    """
    network = build_networks(domain)[0]
    missing = network.load_state_dict(read(folder, "generator"), strict=False).missing_keys
    own = [key for key in missing if not key.startswith(PARAMETERS)]
    if own:
        raise CheckpointError(
            f"The generator in {folder} is not finished: "
            "run python -m clipinverter.training generator --resume first."
        )
    return network.eval().requires_grad_(False)


def remapped(folder: Path, domain: Domain) -> RemapperGenerator:
    """The trained generator with its trained remapper, frozen."""
    return _filled(build_networks(domain)[0], read(folder, "remapper"))


def write_encoder(folder: Path, part: str, network: Encoder, latent_avg: torch.Tensor) -> None:
    """Saves an encoder as `part`, with latent_avg [n_latent, style_dim]."""
    write(folder, part, {**network.state_dict(), "latent_avg": latent_avg})


def encoder(
    folder: Path, domain: Domain, part: str = "editing-encoder"
) -> tuple[Encoder, torch.Tensor]:
    """The trained encoder, frozen, and latent_avg [n_latent, style_dim].

    part: "encoder" as its own stage leaves it, or "editing-encoder", whose heads have learnt with the adapter.
    """
    weights = read(folder, part)
    latent_avg = weights.pop("latent_avg")
    return _filled(build_networks(domain)[1], weights), latent_avg


def adapter(folder: Path, domain: Domain) -> Adapter:
    """The adapter of stage one, frozen."""
    return _filled(build_networks(domain)[2], read(folder, "adapter"))


def text_image(folder: Path) -> TextImageModel:
    """The trained text-image model, frozen."""
    model = clip.build(clip.PORTRAITS)
    _filled(model.model, read(folder, "clip"))
    return model


def identity(folder: Path) -> ArcFace:
    """The trained identity network, frozen."""
    return _filled(ArcFace(**irse.SMALL), read(folder, "identity"))


def export(folder: Path, target: Path, parts: Collection[str] = PARTS) -> None:
    """Copies a finished set to where the demo looks for it.

    Raises:
        CheckpointError: a part is missing; nothing was copied.
    """
    files = {part: _finished(folder, part) for part in parts}
    target.mkdir(parents=True, exist_ok=True)
    for part, file in files.items():
        shutil.copyfile(file, target / f"{SERVED_AS.get(part, part)}.safetensors")
