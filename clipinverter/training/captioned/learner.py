"""Both stages on pictures with captions, as one module with one loss (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models.adapter import RESIDUAL_SCALE, Adapter
from clipinverter.models.irse import ArcFace
from clipinverter.models.losses import clip_pool
from clipinverter.models.remapper import PARAMETERS, RemapperGenerator
from clipinverter.photo.tensors import fit
from clipinverter.training.captioned import moco
from clipinverter.training.mobilenet import Perceptual
from clipinverter.training.objective import Batch, Teachers, Weights, batch_of, edit_loss, way_back
from clipinverter.weights.files import CheckpointError
from clipinverter.weights.load import (
    build_networks,
    check_files,
    fill,
    load_encoder,
    load_identity,
    load_text_image,
    read,
)

SEEN = 256  # px; larger pictures are compared in this size, as the authors do


@dataclass(frozen=True)
class OwnTeachers(Teachers):
    """The frozen networks of any domain. pooled: whether CLIP sees pictures as the authors feed OpenAI's."""

    identity: ArcFace | moco.MoCo
    pooled: bool = False

    def person(self, images: Tensor) -> Tensor:
        if isinstance(self.identity, moco.MoCo):
            return self.identity(images).float()
        return super().person(images)

    def look(self, images: Tensor) -> Tensor:
        if self.pooled:
            return self.text_image.model.encode_image(clip_pool(images)).float()
        return super().look(images)


def load_teachers(domain: Domain, device: torch.device, moco_file: Path | None) -> OwnTeachers:
    """The domain's networks, with a remapper that has not learnt anything yet.

    moco_file: MoCo's published file; without it the domain's ArcFace is who tells persons apart.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    check_files(domain, ("generator", "encoder", "clip"))
    identity = moco.load(moco_file) if moco_file else load_identity(domain, device)
    if identity is None:
        raise CheckpointError(
            f"The domain {domain.name!r} has no identity network. Give MoCo's file by --moco, or, for "
            f"people, put ArcFace's into {domain.folder / 'identity.safetensors'}."
        )
    encoder, latent_avg = load_encoder(domain)
    text_image = load_text_image(domain)
    text_image.model.to(device)
    return OwnTeachers(
        load_generator(domain).to(device),
        encoder.to(device),
        latent_avg.to(device),
        text_image,
        identity.to(device),
        Perceptual().to(device),
        pooled=domain.text_image == "openai",
    )


def load_generator(domain: Domain) -> RemapperGenerator:
    """The domain's generator, frozen; its remapper starts as the authors' does."""
    generator = build_networks(domain)[0]
    fresh = {k: v for k, v in generator.state_dict().items() if k.startswith(PARAMETERS)}
    fill(generator, read(domain, "generator") | fresh, domain, "generator")
    return generator


class Texts(NamedTuple):
    """What a batch is asked, see `pictures.CaptionedPictures`."""

    prompts: Sequence[str]
    captions: Sequence[str]
    asks: Tensor


class Learner(nn.Module):
    """What a stage trains, and the loss that it trains by.

    Its parameters are those that learn, and no others: processes need not exchange what is frozen, nor states hold it.

    Args:
        adapter: of stage one, which trains it; stage two has it frozen.
        remaps: whether this is stage two, which trains the remapper.
    """

    def __init__(
        self, teachers: OwnTeachers, adapter: Adapter, scales: Weights, *, remaps: bool
    ) -> None:
        super().__init__()
        generator = teachers.generator
        learning = [generator.affine_mlps, generator.lambdas] if remaps else [adapter]
        self.learning = nn.ModuleList(learning).requires_grad_(True)
        self.fixed = teachers, adapter  # in a tuple, where PyTorch does not look for parameters
        self.scales = scales
        self.remaps = remaps
        self.size = min(generator.size, SEEN)

    def draw(self, w_plus: Tensor, text: Tensor) -> Tensor:
        """w_plus [B, n_latent, D] and embeddings [B, text_dim] -> images [B, 3, self.size, self.size]."""
        generator = self.fixed[0].generator
        vectors = generator.remap_vectors(text).float() if self.remaps else None
        return fit(generator(w_plus, vectors).float(), self.size)

    def edit(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The edited pictures, and the w_plus that they are drawn from."""
        teachers, adapter = self.fixed
        residual = teachers.encoder.heads(*adapter(batch.features, batch.prompt)).float()
        w_plus = batch.w_plus + RESIDUAL_SCALE * residual
        return self.draw(w_plus, batch.prompt), w_plus

    def forward(self, images: Tensor, texts: Texts) -> tuple[Tensor, dict[str, float]]:
        """The loss of images [B, 3, self.size, self.size] and their texts, and numbers to log."""
        teachers, adapter = self.fixed
        batch = batch_of(teachers, images, *texts)
        drawn, w_plus = self.edit(batch)
        return edit_loss(teachers, self.scales, drawn, None, w_plus, batch, adapter, self.draw)

    @torch.no_grad()
    def show(self, images: Tensor, texts: Texts) -> tuple[Tensor, Tensor]:
        """The pictures after the edit, and asked for their own captions again."""
        teachers, adapter = self.fixed
        batch = batch_of(teachers, images, *texts)
        edited, _ = self.edit(batch)
        edited = edited.clamp(-1, 1)
        return edited, way_back(teachers, edited, batch.caption, adapter, self.draw)[0]
