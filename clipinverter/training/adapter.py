"""Stage one: CLIPAdapter (paper, sections 3.2 and 3.4).

For the portraits the truth is known: the same scene with the prompt come true. The first stages regress the residual
that leads there (`training.edits.aim`), of the base row, which is cheap, then of all rows, from features computed once
(`training.pool`); the last one adds the paper's losses with their cycle pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.editor import RESIDUAL_SCALE
from clipinverter.loading import build_networks
from clipinverter.models.adapter import Adapter
from clipinverter.models.ops import channels_last
from clipinverter.training import data, edits, pool, weights
from clipinverter.training.loop import bfloat16, run, stage_of
from clipinverter.training.paper import STAGE_ONE, Teachers, Weights, edit_loss, make_batch

BASE_STEPS, BASE_BATCH = 5000, 128
ROWS_STEPS, ROWS_BATCH = 1200, 32
STEPS, BATCH = 60, 8
SHORT = 3.0  # weight of falling short, see `distance`
SHIFT = 2.0  # weight of the known residual beside the paper's losses
LOSSES = replace(STAGE_ONE, counterfactual=4.0)


def build(domain: Domain) -> Adapter:
    """The untrained adapter. Its scales start high, since the residual counts for a tenth only."""
    adapter = build_networks(domain)[2]
    for name, parameter in adapter.named_parameters():
        if name.endswith("gamma_function.3.bias"):
            parameter.data.fill_(1.5)
    return adapter


def train(domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains in three stages and writes adapter.safetensors after each."""
    rendered = data.load(images)
    teachers = Teachers.load(folder, domain)
    heads = teachers.encoder.heads
    adapter = build(domain).train().to(memory_format=torch.channels_last)

    @cache
    def known() -> pool.Edits:
        return pool.known_edits(
            teachers, rendered, folder, max(BASE_BATCH, int(pool.EDITS * scale))
        )

    @cache
    def seen(coarse: bool) -> pool.Seen:
        return pool.seen(teachers, rendered, coarse=coarse)

    def regression(rng: np.random.Generator, count: int, coarse: bool) -> tuple[Tensor, dict]:
        """The residual of the base row, which needs the coarse features alone, or of all rows, against the known
        change. Half of the pictures are augmented."""
        rows = torch.from_numpy(rng.integers(len(known()), size=count))
        augmented = torch.from_numpy(rng.integers(2, size=count))
        pictures = known().picture[rows] + augmented * len(rendered)
        text = known().text[rows]
        maps = seen(coarse).features
        with bfloat16():
            if coarse:
                c3 = channels_last(maps[2][pictures].float())
                codes = teachers.encoder.styles[0](adapter.coarse_mapping(c3, text))[:, None]
            else:
                c1, c2, c3 = (channels_last(x[pictures].float()) for x in maps)
                codes = heads(*adapter((c1, c2, c3), text))
        change = known().shift[rows]
        way = edits.way(change, seen(coarse).missed[pictures].float(), known().asked[rows])
        loss = distance(RESIDUAL_SCALE * codes.float(), way, change.any(dim=1))
        return loss, {"shift": loss.item()}

    def base_step(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        return regression(rng, BASE_BATCH, coarse=True)

    def rows_step(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        return regression(rng, ROWS_BATCH, coarse=False)

    for name, steps, rate, step in (
        ("adapter-base", BASE_STEPS, 1e-3, base_step),
        ("adapter-rows", ROWS_STEPS, 1e-3, rows_step),
        ("adapter", STEPS, 3e-4, last_step(teachers, adapter, rendered)),
    ):
        stage = stage_of(
            name, max(1, int(steps * scale)), adapter, optimizer_of(adapter, rate), step
        )
        run(stage, folder, resume=resume)
        adapter.load_state_dict(stage.state["average"].module.state_dict())
        weights.write(folder, "adapter", adapter.state_dict())


def last_step(
    teachers: Teachers, adapter: Adapter, rendered: data.RenderedSet, losses: Weights = LOSSES
) -> Callable[[np.random.Generator], tuple[Tensor, dict[str, float]]]:
    """The loss of the last stage, all rows: the paper's losses, the known residual, and the distance to the true
    edit."""

    def draw(w_plus: Tensor, text: Tensor | None = None) -> Tensor:
        return teachers.generator(w_plus, noise="none").float()  # without any text in stage one

    def step(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        with bfloat16():
            batch = make_batch(teachers, rendered, BATCH, rng)
            codes = teachers.encoder.heads(*adapter(batch.features, batch.prompt))
            shift = RESIDUAL_SCALE * codes.float()
            loss_shift = distance(shift, batch.shift, batch.asks)
            with torch.no_grad():
                truth = draw(batch.w_plus + batch.shift)
            w_plus = batch.w_plus + shift
            loss, numbers = edit_loss(
                teachers, losses, draw(w_plus), truth, w_plus, batch, adapter, draw
            )
        return loss + SHIFT * loss_shift, {"shift": loss_shift.item(), **numbers}

    return step


def distance(shift: Tensor, true: Tensor, asks: Tensor) -> Tensor:
    """How far residuals [B, rows, D] are from the way to go, the same shape: the squared error, 1 for doing nothing,
    and, where a change is asked for ([B] bool), the squared share that they fall short of it.

    Squared error alone teaches to halve what one is unsure of, and half an edit is none.
    """
    length = true.square().sum(dim=2)
    error = (shift - true).square().sum(dim=2).mean() / (length.mean() + 1e-6)
    reached = (shift * true).sum(dim=2) / (length + 1e-6)
    moves = asks[:, None].float().expand_as(reached)
    short = (F.relu(1 - reached).square() * moves).sum() / moves.sum().clamp(min=1)
    return error + SHORT * short


def optimizer_of(adapter: Adapter, rate: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(adapter.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
