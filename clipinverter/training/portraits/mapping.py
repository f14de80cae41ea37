"""The mapping network, taught before the rest of the generator: w is a linear image of what the scene shows.

z mixes the scene's latents beyond recognition, and which hair style wins is a discontinuous function of them. From the
losses on images alone the mapping network learns this very slowly; with w as target it learns most in minutes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from clipinverter.models.stylegan2 import Generator
from clipinverter.portraits.scene import random_latents
from clipinverter.portraits.w_space import w_of
from clipinverter.training.loop import Average, Stage, cosine, run, set_rate
from clipinverter.training.portraits import data

STEPS, BATCH, SCENES = 4000, 256, 40_000


def train(generator: Generator, folder: Path, *, resume: bool, scale: float = 1.0) -> Average:
    """Teaches `generator.style`; returns its average."""
    steps = max(1, int(STEPS * scale))
    latents = random_latents(max(BATCH, int(SCENES * scale)), np.random.default_rng(1))
    targets = w_of(latents, generator.style_dim)
    net = generator.style
    optimizer = torch.optim.Adam(net.parameters(), lr=5.0, betas=(0.9, 0.99))  # times lr_mul 0.01
    average = Average(net, 0.99)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, floor=0.01))
        rows = rng.integers(len(latents), size=BATCH)
        w = net(data.z_of(latents[rows], rng, generator.style_dim))
        loss = F.mse_loss(w, targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(net, i)
        return {"loss": loss.item(), "variance": targets[rows].var().item()}

    state = {"net": net, "optimizer": optimizer, "average": average}
    run(Stage("mapping", steps, state, step), folder, resume=resume)
    return average
