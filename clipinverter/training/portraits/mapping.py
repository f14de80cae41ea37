"""Trains the mapping network before the rest of the generator, on the exact w of random scenes.

z is a random rotation of the scene's latents, and which hair style is drawn is a discontinuous function of them. From
losses on images alone the mapping network learns this very slowly; with w as target it learns most of it in minutes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clipinverter.models.stylegan2 import Generator
from clipinverter.portraits.scene import random_latents
from clipinverter.portraits.w_space import w_of
from clipinverter.training.loop import Loss, gradient_run, run
from clipinverter.training.portraits import data
from clipinverter.training.presets import PRESETS

SCENES = 40_000  # random scenes to learn from


def train_mapping(
    generator: Generator, folder: Path, *, resume: bool, scale: float = 1.0
) -> nn.Module:
    """Trains `generator.style`; returns the moving average of its weights."""
    preset = PRESETS["mapping"]
    count = max(preset.batch, int(SCENES * scale))
    latents = random_latents(count, np.random.default_rng(1))
    targets = w_of(latents, generator.style_dim)
    net = generator.style
    optimizer = torch.optim.Adam(net.parameters(), lr=preset.rate, betas=(0.9, 0.99))

    def loss_of(rng: np.random.Generator) -> Loss:
        rows = rng.integers(len(latents), size=preset.batch)
        w = net(data.z_of(latents[rows], rng, generator.style_dim))
        loss = F.mse_loss(w, targets[rows])
        return loss, {"loss": loss.item(), "variance": targets[rows].var().item()}

    training = gradient_run(
        "mapping", preset.scaled_steps(scale), net, optimizer, loss_of, key="net", max_norm=None
    )
    run(training, folder, resume=resume)
    return training.state["average"].module
