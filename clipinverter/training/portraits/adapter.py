"""Stage one: CLIPAdapter (paper, sections 3.2 and 3.4).

For portraits the true edit is known: the same scene with the prompt come true. The first two stages regress the
residual that leads to it (`edits.target_residual`), from features computed once (`pool.py`): of the base row, which is
cheap, then of all rows. The last stage adds the paper's losses with their cycle pass.

The first two stages train the encoder's style heads as well, since the residual passes through them. From the encoder's
own features they have to predict the same codes as before (`AdapterLosses.kept`), from the adapter's features the
residual. Heads trained on inversion alone limit the adapter: 0.42 of the squared error was left, and 0.22 after 300
steps of training both. Trunk and taps are frozen; in the last stage the whole encoder is, as in the paper.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
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
from clipinverter.training.loop import Loss, bfloat16, gradient_run, run
from clipinverter.training.objective import Teachers, edit_loss
from clipinverter.training.portraits import data, edits, pool
from clipinverter.training.portraits.batches import load_teachers, make_batch
from clipinverter.training.portraits.encoder import optimizer_of
from clipinverter.training.presets import ADAPTER_LOSSES, PRESETS, LossWeights
from clipinverter.weights.build import build_networks
from clipinverter.weights.folder import RunWeights

KEPT_SHARE = 4  # one picture of so many is for the style heads' earlier predictions


def build(domain: Domain) -> Adapter:
    """The untrained adapter. Its scales start high, since the residual is multiplied by 0.1."""
    adapter = build_networks(domain)[2]
    for name, parameter in adapter.named_parameters():
        if name.endswith("gamma_function.3.bias"):
            parameter.data.fill_(1.5)
    return adapter


def train_adapter(
    domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0
) -> None:
    """Trains in three stages and writes adapter.safetensors after each, and editing-encoder.safetensors, the encoder
    with its new heads, after the first two.

    Raises:
        DataError: there is no rendered set.
        CheckpointError: a stage before has not written its weights.
    """
    rendered = data.load(images)
    weights = RunWeights(domain, folder)
    teachers = load_teachers(weights, "encoder")
    heads = teachers.encoder.styles
    adapter = build(domain).train().to(memory_format=torch.channels_last)
    learning = nn.ModuleDict({"adapter": adapter, "heads": heads.requires_grad_(True)})

    @cache
    def known() -> pool.Edits:
        count = max(PRESETS["adapter-base"].batch, int(pool.EDITS * scale))
        return pool.known_edits(teachers, rendered, folder, count)

    def regression(coarse: bool, count: int) -> Callable[[np.random.Generator], Loss]:
        """The loss of a stage that regresses the residual: of the base row, which needs the coarse features only, or
        of all rows. Half of the pictures are augmented."""
        start = replace(teachers, encoder=copy.deepcopy(teachers.encoder))

        @cache
        def encoded() -> pool.EncodedSet:
            return pool.encode_set(start, rendered, coarse=coarse)

        def loss_of(rng: np.random.Generator) -> Loss:
            rows = torch.from_numpy(rng.integers(len(known()), size=count))
            augmented = torch.from_numpy(rng.integers(2, size=count))
            pictures = known().picture[rows] + augmented * len(rendered)
            text, change = known().text[rows], known().shift[rows]
            again = pictures[: count // KEPT_SHARE]  # whose codes the heads should keep
            c1, c2, c3 = encoded().features
            with bfloat16():
                if coarse:
                    plain = channels_last(c3[pictures].float())
                    adapted = adapter.coarse_mapping(plain, text)
                    predicted = heads[0](torch.cat([adapted, plain[: len(again)]]))[:, None]
                else:
                    plain = tuple(channels_last(x[pictures].float()) for x in (c1, c2, c3))
                    levels = zip(adapter(plain, text), plain, strict=True)
                    predicted = teachers.encoder.heads(
                        *(torch.cat([adapted, x[: len(again)]]) for adapted, x in levels)
                    )
            residual, codes = predicted.float().split([count, len(again)])
            target = edits.residual_from(change, encoded().missed(pictures), known().asked[rows])
            loss = distance(RESIDUAL_SCALE * residual, target, change.any(dim=1))
            before = encoded().w_plus[again].float() - teachers.latent_avg[: codes.shape[1]]
            kept = F.mse_loss(codes, before) / before.square().mean()
            return loss + ADAPTER_LOSSES.kept * kept, {"shift": loss.item(), "kept": kept.item()}

        return loss_of

    for name, coarse in (("adapter-base", True), ("adapter-rows", False)):
        preset = PRESETS[name]
        optimizer = optimizer_of(learning, preset.rate)
        loss_of = regression(coarse, preset.batch)
        training = gradient_run(name, preset.scaled_steps(scale), learning, optimizer, loss_of)
        run(training, folder, resume=resume)
        learning.load_state_dict(training.state["average"].module.state_dict())
        weights.write("adapter", adapter.state_dict())
        weights.write_encoder("editing-encoder", teachers.encoder, teachers.latent_avg)

    heads.requires_grad_(False)
    preset = PRESETS["adapter"]
    optimizer = optimizer_of(adapter, preset.rate)
    loss_of = last_loss(teachers, adapter, rendered, preset.losses)
    training = gradient_run("adapter", preset.scaled_steps(scale), adapter, optimizer, loss_of)
    run(training, folder, resume=resume)
    adapter.load_state_dict(training.state["average"].module.state_dict())
    weights.write("adapter", adapter.state_dict())


def last_loss(
    teachers: Teachers, adapter: Adapter, rendered: data.RenderedSet, losses: LossWeights
) -> Callable[[np.random.Generator], Loss]:
    """The loss of the last stage, of all rows: the paper's losses, the distance to the true edit, and the known
    residual."""
    batch_size = PRESETS["adapter"].batch

    def draw(w_plus: Tensor, text: Tensor | None = None) -> Tensor:
        return teachers.generator(w_plus, noise="none").float()  # stage one has no remapper

    def loss_of(rng: np.random.Generator) -> Loss:
        with bfloat16():
            batch = make_batch(teachers, rendered, batch_size, rng)
            codes = teachers.encoder.heads(*adapter(batch.features, batch.prompt))
            shift = RESIDUAL_SCALE * codes.float()
            loss_shift = distance(shift, batch.shift, batch.asks)
            with torch.no_grad():
                truth = draw(batch.w_plus + batch.shift)
            w_plus = batch.w_plus + shift
            loss, numbers = edit_loss(
                teachers, losses, draw(w_plus), truth, w_plus, batch, adapter, draw
            )
        loss = loss + ADAPTER_LOSSES.shift * loss_shift
        return loss, {"shift": loss_shift.item(), **numbers}

    return loss_of


def distance(shift: Tensor, true: Tensor, asks: Tensor) -> Tensor:
    """Distance of residuals `shift` from `true` [B, rows, D]: the relative squared error, which is 1 for a residual of
    zero, and, where a change is asked for (`asks` [B] bool), the squared share by which the residual is too short.

    With squared error alone an unsure adapter learns half of an edit, which is not visible.
    """
    length = true.square().sum(dim=2)
    error = (shift - true).square().sum(dim=2).mean() / (length.mean() + 1e-6)
    reached = (shift * true).sum(dim=2) / (length + 1e-6)
    moves = asks[:, None].float().expand_as(reached)
    short = (F.relu(1 - reached).square() * moves).sum() / moves.sum().clamp(min=1)
    return error + ADAPTER_LOSSES.short * short
