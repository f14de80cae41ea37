"""The objective of both training stages of CLIPInverter (paper, section 3.4), over the networks of a domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.adapter import RESIDUAL_SCALE, Adapter, Features
from clipinverter.models.clip import TextImageModel
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace, face_features
from clipinverter.models.losses import directional_clip_loss, identity_loss, w_norm_loss
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.photo.tensors import fit
from clipinverter.portraits.scene import random_latents
from clipinverter.portraits.w_space import w_of
from clipinverter.training.mobilenet import Perceptual, quicken
from clipinverter.training.portraits import data, edits
from clipinverter.weights import runs


@dataclass(frozen=True)
class Weights:
    """How much each loss counts. `counterfactual` is ours: the distance to the picture that the renderer's edited
    scene stands for; 0 is the paper."""

    identity: float
    l2: float
    lpips: float
    clip: float
    w_norm: float
    cycle: float = 1.0
    counterfactual: float = 0.0


STAGE_ONE = Weights(identity=0.1, l2=1.0, lpips=0.6, clip=1.0, w_norm=0.005)
STAGE_TWO = Weights(identity=0.15, l2=0.15, lpips=0.15, clip=1.75, w_norm=0.0)
"""The published weights. The authors' second stage logs the w-norm and does not add it."""


@dataclass(frozen=True)
class Teachers:
    """The frozen networks that a stage learns against."""

    generator: RemapperGenerator
    encoder: Encoder
    latent_avg: Tensor
    text_image: TextImageModel
    identity: ArcFace
    perceptual: Perceptual

    @classmethod
    def load(cls, folder: Path, domain: Domain, encoder: str = "editing-encoder") -> Teachers:
        """encoder: which, see `runs.encoder`."""
        network, latent_avg = runs.encoder(folder, domain, encoder)
        text_image = runs.text_image(folder)
        quicken(text_image.model.visual)
        return cls(
            runs.generator(folder, domain),
            network.to(memory_format=torch.channels_last),
            latent_avg,
            text_image,
            runs.identity(folder),
            Perceptual().to(memory_format=torch.channels_last),
        )

    def features(self, images: Tensor) -> Features:
        """The encoder's feature maps of images [B, 3, S, S]."""
        seen = fit(images, self.encoder.input_size)
        return self.encoder.trunk_features(seen.to(memory_format=torch.channels_last))

    def person(self, images: Tensor) -> Tensor:
        """Who is in images [B, 3, S, S]: unit vectors [B, D]."""
        return face_features(self.identity, images).float()

    def look(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in the space of texts, [B, text_dim]."""
        return self.text_image.embed_image(images).float()


@dataclass(frozen=True)
class Batch:
    """One batch of edits, with everything that does not depend on what is trained.

    images [B, 3, S, S]; w_plus [B, n_latent, D] and features: their inversion; prompt, caption [B, text_dim]: raw
    embeddings of the wanted change and of what is there; asks [B] bool: whether the prompt asks for a change;
    shift [B, n_latent, D]: how w_plus has to change for the prompt to come true, where that is known.
    """

    images: Tensor
    w_plus: Tensor
    features: Features
    prompt: Tensor
    caption: Tensor
    asks: Tensor
    shift: Tensor | None = None


@torch.no_grad()
def batch_of(
    teachers: Teachers,
    images: Tensor,
    prompts: Sequence[str],
    captions: Sequence[str],
    asks: Tensor,
) -> Batch:
    """Inverts images [B, 3, S, S] and embeds their prompts and captions."""
    features = teachers.features(images)
    texts = teachers.text_image.embed_text([*prompts, *captions]).float()
    return Batch(
        images=images,
        w_plus=teachers.encoder.heads(*features) + teachers.latent_avg,
        features=features,
        prompt=texts[: len(images)],
        caption=texts[len(images) :],
        asks=asks,
    )


@torch.no_grad()
def make_batch(
    teachers: Teachers,
    rendered: data.RenderedSet,
    count: int,
    rng: np.random.Generator,
) -> Batch:
    """Half renders, half pictures of the generator, each with a prompt."""
    indices = rng.integers(len(rendered), size=count // 2)
    latents = np.concatenate([rendered.latents[indices], random_latents(count - count // 2, rng)])
    wanted = edits.sample(latents, rendered.frequency, rng)
    generator = teachers.generator
    w = w_of(latents[count // 2 :], generator.style_dim)
    own = generator(w[:, None].expand(-1, generator.n_latent, -1), noise="none")
    images = torch.cat([rendered.batch(indices, generator.size), own.clamp(-1, 1)])
    asks = torch.from_numpy((wanted.edited_latents != latents).any(axis=1))
    batch = batch_of(teachers, images, wanted.prompts, wanted.captions, asks)
    return replace(batch, shift=edits.aim(wanted, batch.w_plus.float()))


def objective(
    teachers: Teachers,
    scales: Weights,
    drawn: Tensor,
    wanted: Tensor,
    source: Tensor,
    w_plus: Tensor,
    source_text: Tensor,
    target_text: Tensor,
    asks: Tensor,
) -> tuple[Tensor, dict[str, float]]:
    """The sum of the paper's losses for pictures `drawn` [B, 3, S, S].

    wanted: what they are compared with (the original); source: where the CLIP direction starts (the original, or in
    the cycle pass the edited picture); the direction counts only where `asks`.
    """
    with torch.no_grad():
        wanted_person = teachers.person(wanted)
        source_clip = teachers.look(source)
    person = teachers.person(drawn)
    way = directional_clip_loss(source_clip, teachers.look(drawn), source_text, target_text)
    parts = {
        "identity": scales.identity * identity_loss(person, wanted_person),
        "l2": scales.l2 * F.mse_loss(drawn.float(), wanted),
        "lpips": scales.lpips * teachers.perceptual(drawn, wanted),
        "clip": scales.clip * (way * asks).sum() / asks.sum().clamp(min=1),
        "w_norm": scales.w_norm * w_norm_loss(w_plus, teachers.latent_avg),
    }
    return sum(parts.values()), {key: value.item() for key, value in parts.items()}


def way_back(
    teachers: Teachers,
    edited: Tensor,
    caption: Tensor,
    adapter: Callable[[Features, Tensor], Features],
    draw: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Pictures `edited` [B, 3, S, S] asked for captions [B, text_dim]: the pictures, and the w_plus they are drawn
    from; `draw` as for `cycle_loss`."""
    with torch.no_grad():
        features = teachers.features(edited)
        w_plus = teachers.encoder.heads(*features) + teachers.latent_avg
    residual = teachers.encoder.heads(*adapter(features, caption)).float()
    w_plus = w_plus + RESIDUAL_SCALE * residual
    return draw(w_plus, caption), w_plus


def cycle_loss(
    teachers: Teachers,
    scales: Weights,
    edited: Tensor,
    batch: Batch,
    adapter: Adapter,
    draw: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """The objective of the way back: pictures `edited` [B, 3, S, S], asked for their original captions, should become
    the originals again.

    draw: w_plus and text embeddings -> images, as in the pass that edited.
    """
    edited = edited.detach().clamp(-1, 1)
    restored, w_plus = way_back(teachers, edited, batch.caption, adapter, draw)
    texts = batch.prompt, batch.caption
    return objective(teachers, scales, restored, batch.images, edited, w_plus, *texts, batch.asks)[
        0
    ]


def edit_loss(
    teachers: Teachers,
    scales: Weights,
    drawn: Tensor,
    truth: Tensor | None,
    w_plus: Tensor,
    batch: Batch,
    adapter: Adapter,
    draw: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, dict[str, float]]:
    """Everything a stage asks of edited pictures `drawn` [B, 3, S, S], drawn from w_plus: the objective, the
    way back, and the distance to the true edit `truth` where there is one; `draw` as for `cycle_loss`."""
    texts = batch.caption, batch.prompt
    loss, numbers = objective(
        teachers, scales, drawn, batch.images, batch.images, w_plus, *texts, batch.asks
    )
    cycle = cycle_loss(teachers, scales, drawn, batch, adapter, draw)
    loss = loss + scales.cycle * cycle
    numbers["cycle"] = cycle.item()
    if truth is None:
        return loss, numbers
    counterfactual = F.l1_loss(drawn, truth) + 0.6 * teachers.perceptual(drawn, truth)
    numbers["counterfactual"] = counterfactual.item()
    return loss + scales.counterfactual * counterfactual, numbers
