"""The identity network of the portraits, used for the identity loss: an ArcFace backbone whose features depend on the
person and not on hair, light, pose, expression or clothes.

It is trained on the generator's pictures. The variables that make a person (`PERSON`) are known, so the network
regresses them: every person has a place on the unit sphere. A contrastive loss over a few dozen persons a batch stayed
at chance for as long as we could afford.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models import irse
from clipinverter.models.irse import ArcFace, face_features
from clipinverter.portraits.scene import random_latents
from clipinverter.portraits.variables import slots
from clipinverter.portraits.w_space import (
    average_description,
    descriptions,
    directions,
    w_of,
)
from clipinverter.training.loop import Loss, bfloat16, gradient_run, run
from clipinverter.training.portraits import data
from clipinverter.training.presets import PRESETS
from clipinverter.weights.folder import RunWeights

PERSON = ("gender", "age", "ancestry", "skin", "weight", "shape", "nose", "lips", "eye_colour")


def pairs(count: int, rng: np.random.Generator) -> np.ndarray:
    """Latents [2 * count, N_LATENTS]; rows i and count + i are the same person in two different scenes."""
    latents = random_latents(2 * count, rng)
    for name in PERSON:
        latents[count:, slots()[name]] = latents[:count, slots()[name]]
    return latents


def places(latents: np.ndarray, width: int) -> Tensor:
    """Targets for the persons of scenes with latents [B, N_LATENTS]: unit vectors [B, width], whose cosine is the
    similarity of two persons.

    Raises:
        ValueError: `width` is too small.
    """
    described = descriptions(latents, PERSON) - average_description(2, PERSON)
    to_place = directions(described.shape[1], width, 20234)
    return F.normalize(torch.from_numpy(described @ to_place.T), dim=1)


def train_identity(
    domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0
) -> None:
    """Trains the network on pictures of the trained generator (`images` is not used) and writes identity.safetensors.

    Raises:
        CheckpointError: there is no trained generator.
    """
    preset = PRESETS["identity"]
    weights = RunWeights(domain, folder)
    generator = weights.generator_with_new_remapper()
    net = ArcFace(**irse.SMALL).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=preset.rate, betas=(0.9, 0.98), weight_decay=0.05
    )

    def loss_of(rng: np.random.Generator) -> Loss:
        latents = random_latents(preset.batch, rng)
        w = w_of(latents, generator.style_dim)
        with torch.no_grad(), bfloat16():
            drawn = generator(w[:, None].expand(-1, generator.n_latent, -1), noise="none")
        with bfloat16():
            features = face_features(net, data.augment(drawn.float().clamp(-1, 1), rng))
        loss = 1 - F.cosine_similarity(features.float(), places(latents, features.shape[1])).mean()
        return loss, {"loss": loss.item()}

    steps = preset.scaled_steps(scale)
    training = gradient_run(
        "identity", steps, net, optimizer, loss_of, key="net", warmup=50, max_norm=None
    )
    run(training, folder, resume=resume)
    weights.write("identity", training.state["average"].module.state_dict())
