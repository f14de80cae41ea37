"""Both stages on pictures with captions, as one module with one loss (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models.adapter import Adapter, moved
from clipinverter.models.irse import ArcFace
from clipinverter.models.losses import clip_pool
from clipinverter.photo.tensors import fit
from clipinverter.training.captioned import moco
from clipinverter.training.lpips import perceptual
from clipinverter.training.objective import Batch, Teachers, batch_of, edit_loss, way_back
from clipinverter.training.presets import LossWeights
from clipinverter.weights.files import CheckpointError
from clipinverter.weights.folder import DomainWeights

COMPARED_SIZE = 256  # px; larger pictures are compared in this size, as the authors do


@dataclass(frozen=True)
class CaptionedTeachers(Teachers):
    """The frozen networks of any domain.

    pooled: whether pictures are resized for CLIP as the authors do it for OpenAI's model, see `losses.clip_pool`.
    """

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


def load_teachers(
    domain: Domain, device: torch.device, moco_file: Path | None
) -> CaptionedTeachers:
    """The domain's networks, with an untrained remapper.

    moco_file: MoCo's published file, used for the identity loss; without it the domain's ArcFace is.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    weights = DomainWeights(domain)
    weights.check(("generator", "encoder", "clip"))
    if moco_file is None and not weights.file("identity").is_file():
        raise CheckpointError(
            f"The domain {domain.name!r} has no identity network. Give MoCo's file by --moco, or, for "
            f"people, put ArcFace's into {weights.file('identity')}."
        )
    identity = moco.load(moco_file) if moco_file else weights.identity()
    encoder, latent_avg = weights.encoder()
    text_image = weights.text_image(device)
    return CaptionedTeachers(
        weights.generator_with_new_remapper().to(device),
        encoder.to(device),
        latent_avg.to(device),
        text_image,
        identity.to(device),
        perceptual(device),
        pooled=domain.text_image == "openai",
    )


class Texts(NamedTuple):
    """The texts of a batch, see `pictures.with_prompts`. asks: [B] bool."""

    prompts: Sequence[str]
    captions: Sequence[str]
    asks: Tensor


class Learner(nn.Module):
    """The networks that a stage trains, and its loss.

    Only what learns is registered as a parameter, so that processes do not exchange frozen weights and saved states do
    not contain them.

    Args:
        adapter: trained in stage one, frozen in stage two.
        remaps: whether this is stage two, which trains the remapper.
    """

    def __init__(
        self, teachers: CaptionedTeachers, adapter: Adapter, losses: LossWeights, *, remaps: bool
    ) -> None:
        super().__init__()
        generator = teachers.generator
        learning = [generator.affine_mlps, generator.lambdas] if remaps else [adapter]
        self.learning = nn.ModuleList(learning).requires_grad_(True)
        self.networks = teachers, adapter  # in a tuple, so that PyTorch registers no parameters
        self.losses = losses
        self.remaps = remaps
        self.size = min(generator.size, COMPARED_SIZE)

    def draw(self, w_plus: Tensor, text: Tensor | None) -> Tensor:
        """w_plus [B, n_latent, D] and embeddings [B, text_dim], or None for no remapping -> images
        [B, 3, self.size, self.size]."""
        generator = self.networks[0].generator
        remaps = self.remaps and text is not None
        vectors = generator.remap_vectors(text).float() if remaps else None
        return fit(generator(w_plus, vectors).float(), self.size)

    def edit(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The edited pictures [B, 3, self.size, self.size] and their w_plus [B, n_latent, D]."""
        teachers, adapter = self.networks
        residual = teachers.encoder.heads(*adapter(batch.features, batch.prompt)).float()
        w_plus = moved(batch.w_plus, residual)
        return self.draw(w_plus, batch.prompt), w_plus

    def forward(self, images: Tensor, texts: Texts) -> tuple[Tensor, dict[str, float]]:
        """The loss of images [B, 3, self.size, self.size] and their texts, and numbers to log."""
        teachers, adapter = self.networks
        batch = batch_of(teachers, images, *texts)
        drawn, w_plus = self.edit(batch)
        return edit_loss(teachers, self.losses, drawn, None, w_plus, batch, adapter, self.draw)

    @torch.no_grad()
    def show(self, images: Tensor, texts: Texts) -> tuple[Tensor, Tensor]:
        """Images [B, 3, self.size, self.size] edited by the prompts, and these edited back by their own captions."""
        teachers, adapter = self.networks
        batch = batch_of(teachers, images, *texts)
        edited, _ = self.edit(batch)
        return edited, way_back(teachers, edited, batch.caption, adapter, self.draw)[0]
