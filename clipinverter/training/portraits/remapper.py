"""Stage two: CLIPRemapper (paper, sections 3.3 and 3.4). Only its text MLPs and lambdas learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from clipinverter.domains import Domain
from clipinverter.models.adapter import moved
from clipinverter.training.loop import Loss, bfloat16, gradient_run, run
from clipinverter.training.objective import edit_loss
from clipinverter.training.portraits import data
from clipinverter.training.portraits.batches import load_teachers, make_batch
from clipinverter.training.presets import PRESETS
from clipinverter.training.ranger import ranger
from clipinverter.weights.folder import RunWeights


def train_remapper(
    domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0
) -> None:
    """Trains the remapper and writes remapper.safetensors: the generator with its remapper.

    Raises:
        DataError: there is no rendered set.
        CheckpointError: a stage before has not written its weights.
    """
    preset = PRESETS["remapper"]
    rendered = data.load(images)
    weights = RunWeights(domain, folder)
    teachers = load_teachers(weights)
    adapter = weights.adapter()
    generator = teachers.generator
    learning = [*generator.affine_mlps.parameters(), *generator.lambdas]
    for parameter in learning:
        parameter.requires_grad_(True)
    # The MLPs start at the average latent, so that the first blends lead towards the mean face.
    for row, mlp in enumerate(generator.affine_mlps):
        mlp[-1].weight.data.mul_(0.1)
        mlp[-1].bias.data.copy_(teachers.latent_avg[row + 1])
    optimizer = ranger(learning, preset.rate)

    def draw(w_plus: torch.Tensor, text: torch.Tensor | None) -> torch.Tensor:
        vectors = None if text is None else generator.remap_vectors(text).float()
        return generator(w_plus, vectors, noise="none").float()

    def loss_of(rng: np.random.Generator) -> Loss:
        with bfloat16():
            batch = make_batch(teachers, rendered, preset.batch, rng)
            with torch.no_grad():
                residual = teachers.encoder.heads(*adapter(batch.features, batch.prompt)).float()
                w_plus = moved(batch.w_plus, residual)
                truth = generator(batch.w_plus + batch.shift, noise="none").float()
            drawn = draw(w_plus, batch.prompt)
            loss, numbers = edit_loss(
                teachers, preset.losses, drawn, truth, w_plus, batch, adapter, draw
            )
        lambdas = torch.stack(list(generator.lambdas)).mean().item()
        return loss, {**numbers, "lambda": lambdas}

    training = gradient_run(
        "remapper",
        preset.scaled_steps(scale),
        generator,
        optimizer,
        loss_of,
        key="generator",
        warmup=20,
        floor=0.05,
        max_norm=None,
        averaged=False,
    )
    run(training, folder, resume=resume)
    weights.write("remapper", generator.state_dict())
