"""Stage two: CLIPRemapper (paper, sections 3.3 and 3.4). Only the text MLPs and the lambdas learn.

The authors also add 0.35 times L2 and LPIPS of the picture before remapping. With adapter and encoder frozen it has no
gradient, so it is left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from clipinverter.domains import Domain
from clipinverter.models.adapter import RESIDUAL_SCALE
from clipinverter.training.loop import Stage, bfloat16, cosine, run, set_rate
from clipinverter.training.objective import STAGE_TWO, Teachers, edit_loss, make_batch
from clipinverter.training.portraits import data
from clipinverter.weights import runs

STEPS, BATCH = 300, 8
RATE = 1e-3  # the authors' 1.5e-4 is for 20,000 steps
LOSSES = replace(STAGE_TWO, counterfactual=4.0)


def train(domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains the remapper and writes remapper.safetensors: the generator with its remapper."""
    steps = max(1, int(STEPS * scale))
    rendered = data.load(images)
    teachers = Teachers.load(folder, domain)
    adapter = runs.adapter(folder, domain)
    generator = teachers.generator
    learning = [*generator.affine_mlps.parameters(), *generator.lambdas]
    for parameter in learning:
        parameter.requires_grad_(True)
    # The MLPs begin at the average latent, so that the first blends lead towards the mean face.
    for row, mlp in enumerate(generator.affine_mlps):
        mlp[-1].weight.data.mul_(0.1)
        mlp[-1].bias.data.copy_(teachers.latent_avg[row + 1])
    optimizer = torch.optim.AdamW(learning, lr=RATE, weight_decay=0.0)

    def draw(w_plus: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        return generator(w_plus, generator.remap_vectors(text).float(), noise="none").float()

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, warmup=20))
        with bfloat16():
            batch = make_batch(teachers, rendered, BATCH, rng)
            with torch.no_grad():
                residual = teachers.encoder.heads(*adapter(batch.features, batch.prompt)).float()
                w_plus = batch.w_plus + RESIDUAL_SCALE * residual
                truth = generator(batch.w_plus + batch.shift, noise="none").float()
            drawn = draw(w_plus, batch.prompt)
            loss, numbers = edit_loss(teachers, LOSSES, drawn, truth, w_plus, batch, adapter, draw)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lambdas = torch.stack(list(generator.lambdas)).mean().item()
        return numbers | {"lambda": lambdas}

    state = {"generator": generator, "optimizer": optimizer}
    run(Stage("remapper", steps, state, step), folder, resume=resume)
    runs.write(folder, "remapper", generator.state_dict())
