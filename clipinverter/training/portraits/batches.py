"""Batches of edits of portraits, and the networks of a run folder that the stages learn against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from clipinverter.models.mobilenet_speed import quicken
from clipinverter.portraits.scene import random_latents
from clipinverter.portraits.w_space import w_of
from clipinverter.training.mobilenet import Perceptual
from clipinverter.training.objective import Batch, Teachers, batch_of
from clipinverter.training.portraits import edits
from clipinverter.training.portraits.data import RenderedSet
from clipinverter.weights.folder import RunWeights


def load_teachers(weights: RunWeights, encoder: str = "editing-encoder") -> Teachers:
    """The frozen networks of a run.

    encoder: "encoder", or "editing-encoder", whose style heads have learnt with the adapter.

    Raises:
        CheckpointError: a stage before has not written its weights.
    """
    network, latent_avg = weights.encoder(encoder)
    text_image = weights.text_image()
    quicken(text_image.model.visual)
    return Teachers(
        weights.generator_with_new_remapper(),
        network.to(memory_format=torch.channels_last),
        latent_avg,
        text_image,
        weights.identity(),
        Perceptual().to(memory_format=torch.channels_last),
    )


@torch.no_grad()
def make_batch(
    teachers: Teachers, rendered: RenderedSet, count: int, rng: np.random.Generator
) -> Batch:
    """`count` edits: half of renders, half of pictures that the generator draws. Their prompts all describe others, or
    all these people, as in the authors' code."""
    indices = rng.integers(len(rendered), size=count // 2)
    latents = np.concatenate([rendered.latents[indices], random_latents(count - count // 2, rng)])
    wanted = edits.sample(latents, rendered.frequency, rng, together=True)
    generator = teachers.generator
    w = w_of(latents[count // 2 :], generator.style_dim)
    drawn = generator(w[:, None].expand(-1, generator.n_latent, -1), noise="none")
    images = torch.cat([rendered.batch(indices, generator.size), drawn.clamp(-1, 1)])
    asks = torch.from_numpy((wanted.edited_latents != latents).any(axis=1))
    batch = batch_of(teachers, images, wanted.prompts, wanted.captions, asks)
    return replace(batch, shift=edits.target_residual(wanted, batch.w_plus.float()))
