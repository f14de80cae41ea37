"""The identity network of the portraits: an ArcFace backbone that tells persons apart whatever their hair, light, pose,
expression or clothes.

Trained contrastively on the generator's pictures: two pictures of a person share the variables that make the person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.irse import ArcFace, face_features
from clipinverter.portraits.variables import slots
from clipinverter.training import data, weights
from clipinverter.training.loop import Stage, bfloat16, cosine, run, set_rate
from clipinverter.training.mapping import w_of

PERSON = ("gender", "age", "ancestry", "skin", "weight", "shape", "nose", "lips", "eye_colour")
STEPS, PERSONS, TEMPERATURE = 500, 32, 0.1


def pairs(count: int, rng: np.random.Generator) -> np.ndarray:
    """Latents [2 * count, N_LATENTS]; rows i and count + i are the same person on different days."""
    latents = data.random_latents(2 * count, rng)
    for name in PERSON:
        latents[count:, slots()[name]] = latents[:count, slots()[name]]
    return latents


def pair_loss(features: Tensor) -> Tensor:
    """Contrastive loss (NT-Xent) of unit features [2N, D] whose rows i and N + i belong together."""
    count = len(features) // 2
    similarity = (features @ features.t() / TEMPERATURE).fill_diagonal_(float("-inf"))
    partner = torch.arange(2 * count).roll(count)
    return F.cross_entropy(similarity, partner)


def train(domain: Domain, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains the network on the trained generator and writes identity.safetensors."""
    steps = max(1, int(STEPS * scale))
    generator = weights.generator(folder, domain)
    net = ArcFace(**weights.IDENTITY).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, warmup=30))
        w = w_of(pairs(PERSONS, rng), generator.style_dim)
        with torch.no_grad(), bfloat16():
            images = generator(w[:, None].expand(-1, generator.n_latent, -1), noise="none")
        with bfloat16():
            features = face_features(net, data.augment(images.float(), rng))
        loss = pair_loss(features.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()}

    run(Stage("identity", steps, {"net": net, "optimizer": optimizer}, step), folder, resume=resume)
    weights.write(folder, "identity", net.state_dict())
