"""The judge: a network that reads attributes and the person in a picture, for the evaluation.

No other network learns from it. It is trained on a rendered set of its own (`training/portraits/judge.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.domains import ROOT
from clipinverter.photo.tensors import fit
from clipinverter.portraits.scene import ATTRIBUTES, Scene, groups
from clipinverter.weights.files import CheckpointError, load_weights

NAMES = tuple(ATTRIBUTES)
PATH = ROOT / "checkpoints" / "judge" / "judge.safetensors"
PERSON_DIM = 128
SIZE = 128  # of its training pictures; larger ones are averaged down


def shown(scene: Scene) -> Tensor:
    """The attributes that the judge should find in a scene, bool [len(NAMES)]."""
    return torch.tensor([scene.has(name) for name in NAMES])


class Readings(NamedTuple):
    """The judge's readings of N pictures.

    log_odds: [N, len(NAMES)] of every attribute against all other values of its variable.
    person: unit vectors [N, PERSON_DIM], whose cosine is the similarity of two persons.
    """

    log_odds: Tensor
    person: Tensor

    @property
    def shows(self) -> Tensor:
        """Attributes that are more likely than not, bool [N, len(NAMES)]."""
        return self.log_odds > 0


def agreement(a: Tensor, b: Tensor) -> Tensor:
    """Whether attributes a and b, bool [N, len(NAMES)], agree on each variable, bool [N, len(groups())]."""
    same = a == b
    return torch.stack([same[:, list(group)].all(dim=1) for group in groups()], dim=1)


class Judge(nn.Module):
    """MobileNetV2 with two heads: one of the attributes of each variable or none, and a vector for the person."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        self.features = mobilenet_v2(weights=None).features
        self.attribute_head = nn.Linear(1280, len(NAMES) + len(groups()))
        self.person_head = nn.Linear(1280, PERSON_DIM)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Images [B, 3, S, S] in [-1, 1] -> logits [B, options + 1] of each variable, the last one for none of its
        attributes, and unit vectors of the persons [B, PERSON_DIM]."""
        features = self.features(images * 2.2 + 0.2)  # close to ImageNet's mean and deviation
        features = features.mean(dim=(2, 3)).float()
        logits = self.attribute_head(features)
        named, none = logits[:, : len(NAMES)], logits[:, len(NAMES) :]
        by_variable = [
            torch.cat([named[:, list(group)], none[:, i : i + 1]], dim=1)
            for i, group in enumerate(groups())
        ]
        return by_variable, F.normalize(self.person_head(features), dim=1)

    @torch.no_grad()
    def see(self, images: Tensor, batch: int = 32) -> Readings:
        """Readings of images [N, 3, S, S] in [-1, 1]."""
        odds, persons = [], []
        for part in images.clamp(-1, 1).split(batch):
            part = fit(part, min(SIZE, part.shape[-1]))
            by_variable, person = self(part)
            columns = torch.zeros(len(part), len(NAMES))
            for group, logits in zip(groups(), by_variable, strict=True):
                others = ~torch.eye(logits.shape[1], dtype=torch.bool)
                columns[:, list(group)] = torch.stack(
                    [
                        logits[:, i] - logits[:, others[i]].logsumexp(dim=1)
                        for i in range(len(group))
                    ],
                    dim=1,
                )
            odds.append(columns)
            persons.append(person)
        return Readings(torch.cat(odds), torch.cat(persons))


def load(path: Path = PATH) -> Judge:
    """The trained judge, frozen.

    Raises:
        CheckpointError: it is missing; the message names the command that trains it.
    """
    if not path.exists():
        raise CheckpointError(f"{path} is missing: run make train-judge.")
    judge = Judge()
    judge.load_state_dict(load_weights(path))
    return judge.eval().requires_grad_(False)
