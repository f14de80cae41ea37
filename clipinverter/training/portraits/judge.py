"""Training of the evaluation's judge, on a rendered set that the stack has never seen (`make train-judge`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.portraits.judge import PATH, PERSON_DIM, Judge
from clipinverter.portraits.scene import groups
from clipinverter.training import mobilenet
from clipinverter.training.loop import bfloat16, run, stage_of
from clipinverter.training.portraits import data
from clipinverter.training.portraits.identity import places
from clipinverter.weights import runs

STEPS, BATCH = 3950, 32
PERSON = 2.0  # weight of the person beside the attributes


def attribute_loss(logits: list[Tensor], shown: Tensor) -> Tensor:
    """Cross-entropy of every variable's attribute, or of none; the mean over variables.

    Args:
        logits: [B, options + 1] for each variable, as `Judge` returns them.
        shown: bool [B, len(NAMES)].
    """
    losses = []
    for group, scores in zip(groups(), logits, strict=True):
        which = shown[:, list(group)]
        target = torch.where(which.any(dim=1), which.float().argmax(dim=1), len(group))
        losses.append(F.cross_entropy(scores, target))
    return torch.stack(losses).mean()


def train(images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains from ImageNet's features and writes judge.safetensors to where the evaluation looks for it."""
    rendered = data.load(images)
    shown = torch.from_numpy(rendered.attributes)
    judge = Judge()
    judge.features.load_state_dict(
        {k.removeprefix("features."): v for k, v in mobilenet.state().items() if "features" in k}
    )
    judge = mobilenet.quicken(judge).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02)

    def step(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Half of the pictures as they are, half augmented: it has to judge soft drawings too."""
        indices = rng.integers(len(rendered), size=BATCH)
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
        loss = losses["attributes"] + PERSON * losses["person"]
        return loss, {k: v.item() for k, v in losses.items()}

    stage = stage_of("judge", max(1, int(STEPS * scale)), judge, optimizer, step)
    run(stage, folder, resume=resume)
    PATH.parent.mkdir(parents=True, exist_ok=True)
    runs.write(PATH.parent, "judge", stage.state["average"].module.state_dict())
