"""The identity network of the portraits: an ArcFace backbone that tells persons apart whatever their hair, light, pose,
expression or clothes.

Trained on the generator's pictures. What makes a person is known (the variables in `PERSON`), so the features
regress it: every person has a place on the unit sphere. Contrasting a few dozen persons a batch stayed at chance
for as long as we could afford.
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
from clipinverter.training.loop import Average, Stage, bfloat16, cosine, run, set_rate
from clipinverter.training.portraits import data
from clipinverter.weights import runs

PERSON = ("gender", "age", "ancestry", "skin", "weight", "shape", "nose", "lips", "eye_colour")
STEPS, BATCH = 600, 32


def pairs(count: int, rng: np.random.Generator) -> np.ndarray:
    """Latents [2 * count, N_LATENTS]; rows i and count + i are the same person on different days."""
    latents = random_latents(2 * count, rng)
    for name in PERSON:
        latents[count:, slots()[name]] = latents[:count, slots()[name]]
    return latents


def places(latents: np.ndarray, width: int) -> Tensor:
    """Where the persons of these scenes belong: unit vectors [B, width]; the cosine says how alike two persons are.

    Raises ValueError where there are too few dimensions.
    """
    described = descriptions(latents, PERSON) - average_description(2, PERSON)
    to_place = directions(described.shape[1], width, 20234)
    return F.normalize(torch.from_numpy(described @ to_place.T), dim=1)


def train(domain: Domain, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains the network on the trained generator and writes identity.safetensors."""
    steps = max(1, int(STEPS * scale))
    generator = runs.generator(folder, domain)
    net = ArcFace(**irse.SMALL).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05)
    average = Average(net, 0.99)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, warmup=50, floor=0.01))
        latents = random_latents(BATCH, rng)
        w = w_of(latents, generator.style_dim)
        with torch.no_grad(), bfloat16():
            images = generator(w[:, None].expand(-1, generator.n_latent, -1), noise="none")
        with bfloat16():
            features = face_features(net, data.augment(images.float().clamp(-1, 1), rng))
        loss = 1 - F.cosine_similarity(features.float(), places(latents, features.shape[1])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(net, i)
        return {"loss": loss.item()}

    state = {"net": net, "optimizer": optimizer, "average": average}
    run(Stage("identity", steps, state, step), folder, resume=resume)
    runs.write(folder, "identity", average.module.state_dict())
