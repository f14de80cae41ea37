"""Stage one: CLIPAdapter (paper, sections 3.2 and 3.4).

For the portraits the truth is known: the same scene with the prompt come true. The first part of the run regresses the
residual to it, which is cheap; the second part adds the paper's losses with their cycle pass.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from clipinverter.domains import Domain
from clipinverter.editor import RESIDUAL_SCALE
from clipinverter.loading import build_networks
from clipinverter.models.adapter import Adapter
from clipinverter.training import data, weights
from clipinverter.training.loop import Average, Stage, bfloat16, cosine, run, set_rate
from clipinverter.training.paper import (
    STAGE_ONE,
    Batch,
    Teachers,
    edit_loss,
    make_batch,
)

STEPS, BATCH = 2200, 16
PICTURES_FROM = 0.75  # share of the steps with the cheap residual loss alone
LOSSES = replace(STAGE_ONE, counterfactual=4.0)


def build(domain: Domain) -> Adapter:
    """The untrained adapter. Its scales start high, since the residual counts for a tenth only."""
    adapter = build_networks(domain)[2]
    for name, parameter in adapter.named_parameters():
        if name.endswith("gamma_function.3.bias"):
            parameter.data.fill_(1.5)
    return adapter


def train(domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains the adapter and writes adapter.safetensors."""
    steps = max(1, int(STEPS * scale))
    rendered = data.load(images)
    frequency = rendered.attributes.mean(axis=0) + 1e-3
    teachers = Teachers.load(folder, domain)
    adapter = build(domain).train()
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3, weight_decay=0.01)
    average = Average(adapter, 0.995)

    def residual(batch: Batch) -> torch.Tensor:
        return (
            RESIDUAL_SCALE * teachers.encoder.heads(*adapter(batch.features, batch.prompt)).float()
        )

    def draw(w_plus: torch.Tensor, text: torch.Tensor | None = None) -> torch.Tensor:
        return teachers.generator(w_plus, noise="none").float()  # without any text in stage one

    def pictures(batch: Batch, shift: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """The paper's losses and the distance to the true edit; the cycle pass takes the edit back."""
        w_plus = batch.w_plus + shift
        drawn = draw(w_plus)
        with torch.no_grad():
            truth = draw(batch.w_plus + batch.shift[:, None])
        return edit_loss(teachers, LOSSES, drawn, truth, w_plus, batch, adapter, draw)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, floor=0.02))
        with bfloat16():
            late = i >= PICTURES_FROM * steps
            batch = make_batch(teachers, rendered, frequency, BATCH // 2 if late else BATCH, rng)
            shift = residual(batch)
            loss = loss_shift = F.mse_loss(shift, batch.shift[:, None].expand_as(shift)) / (
                batch.shift.square().mean() + 1e-6
            )
            numbers = {"shift": loss_shift.item()}
            if late:
                extra, more = pictures(batch, shift)
                loss, numbers = loss + extra, numbers | more
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        average.update(adapter, i)
        return numbers

    state = {"adapter": adapter, "optimizer": optimizer, "average": average}
    run(Stage("adapter", steps, state, step), folder, resume=resume)
    weights.write(folder, "adapter", average.module.state_dict())
