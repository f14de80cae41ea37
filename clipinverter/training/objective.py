"""The objective of both training stages of CLIPInverter (paper, section 3.4), over the networks of any domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.models.adapter import Adapter, Features, moved
from clipinverter.models.clip import TextImageModel
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace, face_features
from clipinverter.models.losses import directional_clip_loss, identity_loss, w_norm_loss
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.photo.tensors import fit
from clipinverter.training.loop import Loss
from clipinverter.training.presets import LossWeights

Draw = Callable[[Tensor, Tensor | None], Tensor]
"""w_plus [B, n_latent, D] and text embeddings [B, text_dim], or None for no remapping -> images [B, 3, S, S]."""


@dataclass(frozen=True)
class Teachers:
    """The frozen networks that a stage learns against.

    latent_avg: [n_latent, D]. perceptual: the mean distance of images [B, 3, S, S], see `lpips.perceptual` and
    `mobilenet.Perceptual`; gradients flow into the first.
    """

    generator: RemapperGenerator
    encoder: Encoder
    latent_avg: Tensor
    text_image: TextImageModel
    identity: ArcFace
    perceptual: Callable[[Tensor, Tensor], Tensor]

    def features(self, images: Tensor) -> Features:
        """The encoder's feature maps of images [B, 3, S, S]."""
        resized = fit(images, self.encoder.input_size)
        return self.encoder.trunk_features(resized.to(memory_format=torch.channels_last))

    def person(self, images: Tensor) -> Tensor:
        """Identity features of images [B, 3, S, S]: unit vectors [B, D]."""
        return face_features(self.identity, images).float()

    def look(self, images: Tensor) -> Tensor:
        """CLIP's embeddings of images [B, 3, S, S], [B, text_dim]."""
        return self.text_image.embed_image(images).float()


@dataclass(frozen=True)
class Batch:
    """One batch of edits, with everything that does not depend on the networks that learn.

    images [B, 3, S, S]; w_plus [B, n_latent, D] and features: their inversion; prompt, caption [B, text_dim]: raw
    embeddings of the wanted change and of a description of the image; asks [B] bool: whether the prompt asks for a
    change; shift [B, n_latent, D]: the residual that makes the prompt come true, where that is known.
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
    """Inverts images [B, 3, S, S] and embeds their prompts and captions; asks [B] bool."""
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


def objective(
    teachers: Teachers,
    weights: LossWeights,
    drawn: Tensor,
    wanted: Tensor,
    source: Tensor,
    w_plus: Tensor,
    source_text: Tensor,
    target_text: Tensor,
    asks: Tensor,
    unremapped: Tensor | None = None,
) -> Loss:
    """The weighted sum of the paper's losses for pictures `drawn` [B, 3, S, S] from w_plus [B, n_latent, D].

    Args:
        wanted: the originals [B, 3, S, S], which `drawn` is compared with.
        source: [B, 3, S, S], where the CLIP direction starts: the original, or in the cycle pass the edited picture.
        source_text, target_text: embeddings [B, text_dim], from which the text's direction leads to which.
        asks: [B] bool; the direction counts only where it is True.
        unremapped: stage two: what the generator draws from w_plus without the remapper, [B, 3, S, S], without
            gradient. The remapped picture has to stay close to it.
    """
    with torch.no_grad():
        wanted_person = teachers.person(wanted)
        source_clip = teachers.look(source)
    person = teachers.person(drawn)
    direction = directional_clip_loss(source_clip, teachers.look(drawn), source_text, target_text)
    parts = {
        "identity": weights.identity * identity_loss(person, wanted_person),
        "l2": weights.l2 * F.mse_loss(drawn.float(), wanted),
        "lpips": weights.lpips * teachers.perceptual(drawn, wanted),
        "clip": weights.clip * (direction * asks).sum() / asks.sum().clamp(min=1),
        "w_norm": weights.w_norm * w_norm_loss(w_plus, teachers.latent_avg),
    }
    if unremapped is not None:
        l2, lpips = F.mse_loss(drawn.float(), unremapped), teachers.perceptual(drawn, unremapped)
        parts["unremapped"] = weights.unremapped * (weights.l2 * l2 + weights.lpips * lpips)
    return sum(parts.values()), {key: value.item() for key, value in parts.items()}


def before_remapping(weights: LossWeights, draw: Draw, w_plus: Tensor) -> Tensor | None:
    """The `unremapped` pictures of `objective`; None where the losses do not compare with them."""
    if not weights.unremapped:
        return None
    with torch.no_grad():
        return draw(w_plus, None)


def way_back(
    teachers: Teachers,
    edited: Tensor,
    caption: Tensor,
    adapter: Callable[[Features, Tensor], Features],
    draw: Draw,
) -> tuple[Tensor, Tensor]:
    """Pictures `edited` [B, 3, S, S], inverted and edited by captions [B, text_dim]: images [B, 3, S, S], and the
    w_plus [B, n_latent, D] that they are drawn from."""
    with torch.no_grad():
        features = teachers.features(edited)
        w_plus = teachers.encoder.heads(*features) + teachers.latent_avg
    residual = teachers.encoder.heads(*adapter(features, caption)).float()
    w_plus = moved(w_plus, residual)
    return draw(w_plus, caption), w_plus


def cycle_loss(
    teachers: Teachers,
    weights: LossWeights,
    edited: Tensor,
    batch: Batch,
    adapter: Adapter,
    draw: Draw,
) -> Tensor:
    """The objective of the way back: pictures `edited` [B, 3, S, S], edited by their original captions, should become
    the originals again. `draw` is that of the pass that edited. As in the authors' code the edited pictures pass no
    gradient on and are not clamped to [-1, 1]."""
    edited = edited.detach()
    restored, w_plus = way_back(teachers, edited, batch.caption, adapter, draw)
    texts = batch.prompt, batch.caption
    unremapped = before_remapping(weights, draw, w_plus)
    call = (restored, batch.images, edited, w_plus, *texts, batch.asks, unremapped)
    return objective(teachers, weights, *call)[0]


def edit_loss(
    teachers: Teachers,
    weights: LossWeights,
    drawn: Tensor,
    truth: Tensor | None,
    w_plus: Tensor,
    batch: Batch,
    adapter: Adapter,
    draw: Draw,
) -> Loss:
    """The whole loss of edited pictures `drawn` [B, 3, S, S] from w_plus [B, n_latent, D]: the objective, the cycle
    pass, and, where it is known, the distance to the true edit `truth` [B, 3, S, S]."""
    texts = batch.caption, batch.prompt
    unremapped = before_remapping(weights, draw, w_plus)
    call = (drawn, batch.images, batch.images, w_plus, *texts, batch.asks, unremapped)
    loss, numbers = objective(teachers, weights, *call)
    cycle = cycle_loss(teachers, weights, drawn, batch, adapter, draw)
    loss = loss + weights.cycle * cycle
    numbers["cycle"] = cycle.item()
    if truth is None:
        return loss, numbers
    counterfactual = F.l1_loss(drawn, truth) + 0.6 * teachers.perceptual(drawn, truth)
    numbers["counterfactual"] = counterfactual.item()
    return loss + weights.counterfactual * counterfactual, numbers
