"""Trains the judge of the evaluation, on a rendered set that nothing else is trained on (`make train-judge`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.mobilenet_speed import quicken
from clipinverter.portraits.judge import PATH, PERSON_DIM, Judge
from clipinverter.portraits.scene import groups
from clipinverter.training import mobilenet
from clipinverter.training.loop import Loss, bfloat16, gradient_run, run
from clipinverter.training.portraits import data
from clipinverter.training.portraits.identity import places
from clipinverter.training.presets import JUDGE_PERSON, PRESETS
from clipinverter.weights.files import save_weights


def attribute_loss(logits: list[Tensor], shown: Tensor) -> Tensor:
    """Cross-entropy of every variable's attribute, or of none; the mean over variables.

    Args:
        logits: [B, options + 1] for each variable, as `Judge` returns them.
        shown: bool [B, len(NAMES)]: the attributes that show.
    """
    losses = []
    for group, scores in zip(groups(), logits, strict=True):
        which = shown[:, list(group)]
        target = torch.where(which.any(dim=1), which.float().argmax(dim=1), len(group))
        losses.append(F.cross_entropy(scores, target))
    return torch.stack(losses).mean()


def train_judge(
    domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0
) -> None:
    """Trains from ImageNet's features and writes the file that the evaluation reads (`domain` is not used).

    Raises:
        DataError: there is no rendered set.
    """
    preset = PRESETS["judge"]
    rendered = data.load(images)
    shown = torch.from_numpy(rendered.attributes)
    judge = Judge()
    judge.features.load_state_dict(
        {k.removeprefix("features."): v for k, v in mobilenet.state().items() if "features" in k}
    )
    judge = quicken(judge).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        judge.parameters(), lr=preset.rate, betas=(0.9, 0.98), weight_decay=0.02
    )

    def loss_of(rng: np.random.Generator) -> Loss:
        """Half of the pictures are augmented: the judge sees the generator's soft pictures too."""
        indices = rng.integers(len(rendered), size=preset.batch)
        pictures = rendered.batch(indices)
        pictures = torch.cat([data.augment(pictures[::2], rng), pictures[1::2]])
        indices = np.concatenate([indices[::2], indices[1::2]])
        with bfloat16():
            logits, person = judge(pictures)
        person_place = places(rendered.latents[indices], PERSON_DIM)
        losses = {
            "attributes": attribute_loss(logits, shown[indices]),
            "person": (1 - F.cosine_similarity(person, person_place)).mean(),
        }
        loss = losses["attributes"] + JUDGE_PERSON * losses["person"]
        return loss, {k: v.item() for k, v in losses.items()}

    training = gradient_run("judge", preset.scaled_steps(scale), judge, optimizer, loss_of)
    run(training, folder, resume=resume)
    save_weights(PATH, training.state["average"].module.state_dict())
