"""Stage one: CLIPAdapter (paper, sections 3.2 and 3.4).

For the portraits the truth is known: the same scene with the prompt come true. The first stages regress the residual
that leads there (`training.edits.aim`), of the base row, which is cheap, then of all rows, from features computed once
(`training.pool`); the last one adds the paper's losses with their cycle pass.

The first stages train the encoder's style heads as well, which everything passes: of the encoder's own features they
go on to say what they said (`KEPT`), of the adapter's they learn to say the residual. Heads that know inversion alone
let little else through: the adapter was at its best with 0.42 of the squared error left, and came to 0.22 in 300 steps
with them. Trunk and taps stay as they are; the last stage has the whole encoder frozen, as the paper has.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models.adapter import RESIDUAL_SCALE, Adapter
from clipinverter.models.ops import channels_last
from clipinverter.training.loop import bfloat16, run, stage_of
from clipinverter.training.objective import STAGE_ONE, Teachers, Weights, edit_loss, make_batch
from clipinverter.training.portraits import data, edits, encoder, pool
from clipinverter.weights import runs
from clipinverter.weights.load import build_networks

Loss = tuple[Tensor, Mapping[str, float]]  # and numbers to log

BASE_STEPS, BASE_BATCH = 6000, 128
ROWS_STEPS, ROWS_BATCH = 700, 32
STEPS, BATCH = 60, 8
LAST_FACTOR = 0.3  # of the usual rate, in the last stage
KEPT = 2.0  # weight of what the heads said before, the squared error against its own square
KEPT_SHARE = 4  # one picture in so many is for that
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
    """Trains in three stages and writes adapter.safetensors after each, and editing-encoder.safetensors, the encoder
    with its new heads, after the first two."""
    rendered = data.load(images)
    teachers = Teachers.load(folder, domain, "encoder")
    heads = teachers.encoder.styles
    adapter = build(domain).train().to(memory_format=torch.channels_last)
    learning = nn.ModuleDict({"adapter": adapter, "heads": heads.requires_grad_(True)})

    @cache
    def known() -> pool.Edits:
        return pool.known_edits(
            teachers, rendered, folder, max(BASE_BATCH, int(pool.EDITS * scale))
        )

    def regression(coarse: bool, count: int) -> Callable[[np.random.Generator], Loss]:
        """The loss of a stage that regresses the residual of the base row, which needs the coarse features alone, or of
        all rows, against the known change. Half of the pictures are augmented."""
        start = replace(teachers, encoder=copy.deepcopy(teachers.encoder))

        @cache
        def seen() -> pool.Seen:
            return pool.seen(start, rendered, coarse=coarse)

        def step(rng: np.random.Generator) -> Loss:
            rows = torch.from_numpy(rng.integers(len(known()), size=count))
            augmented = torch.from_numpy(rng.integers(2, size=count))
            pictures = known().picture[rows] + augmented * len(rendered)
            text, change = known().text[rows], known().shift[rows]
            again = pictures[: count // KEPT_SHARE]  # of which the heads are asked what they said
            c1, c2, c3 = seen().features
            with bfloat16():
                if coarse:
                    plain = channels_last(c3[pictures].float())
                    adapted = adapter.coarse_mapping(plain, text)
                    told = heads[0](torch.cat([adapted, plain[: len(again)]]))[:, None]
                else:
                    plain = tuple(channels_last(x[pictures].float()) for x in (c1, c2, c3))
                    levels = zip(adapter(plain, text), plain, strict=True)
                    told = teachers.encoder.heads(
                        *(torch.cat([adapted, x[: len(again)]]) for adapted, x in levels)
                    )
            residual, codes = told.float().split([count, len(again)])
            way = edits.way(change, seen().missed(pictures), known().asked[rows])
            loss = distance(RESIDUAL_SCALE * residual, way, change.any(dim=1))
            before = seen().w_plus[again].float() - teachers.latent_avg[: codes.shape[1]]
            kept = F.mse_loss(codes, before) / before.square().mean()
            return loss + KEPT * kept, {"shift": loss.item(), "kept": kept.item()}

        return step

    for name, steps, coarse, count, factor in (
        ("adapter-base", BASE_STEPS, True, BASE_BATCH, 1.0),
        ("adapter-rows", ROWS_STEPS, False, ROWS_BATCH, 0.15),
    ):
        optimizer = encoder.optimizer_of(learning, factor)
        step = regression(coarse, count)
        stage = stage_of(name, max(1, int(steps * scale)), learning, optimizer, step)
        run(stage, folder, resume=resume)
        learning.load_state_dict(stage.state["average"].module.state_dict())
        runs.write(folder, "adapter", adapter.state_dict())
        runs.write_encoder(folder, "editing-encoder", teachers.encoder, teachers.latent_avg)

    heads.requires_grad_(False)
    optimizer = encoder.optimizer_of(adapter, LAST_FACTOR)
    loss_of = last_step(teachers, adapter, rendered)
    stage = stage_of("adapter", max(1, int(STEPS * scale)), adapter, optimizer, loss_of)
    run(stage, folder, resume=resume)
    adapter.load_state_dict(stage.state["average"].module.state_dict())
    runs.write(folder, "adapter", adapter.state_dict())


def last_step(
    teachers: Teachers, adapter: Adapter, rendered: data.RenderedSet, losses: Weights = LOSSES
) -> Callable[[np.random.Generator], Loss]:
    """The loss of the last stage, all rows: the paper's losses, the known residual, and the distance to the true
    edit."""

    def draw(w_plus: Tensor, text: Tensor | None = None) -> Tensor:
        return teachers.generator(w_plus, noise="none").float()  # without any text in stage one

    def step(rng: np.random.Generator) -> Loss:
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
