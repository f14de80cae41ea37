"""Edits to learn from: scenes, prompts, and what the same scene looks like when the prompt has come true."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from clipinverter.portraits.captions import caption, text_of
from clipinverter.portraits.scene import ATTRIBUTES, Scene, random_latents
from clipinverter.portraits.w_space import described_by, part_of, w_of
from clipinverter.training.portraits import data
from clipinverter.training.portraits.clip import choose

MISMATCH = 0.75  # share of prompts that ask for a change (the paper's p)
BOLD = {
    "hair_colour": 0.9,  # beyond, the colour that was there comes back as its opposite
    "age": 1.4,
    "weight": 1.3,
    "hair_texture": 1.4,
    "expression": 1.4,
    "eyes closed": 1.4,
}
"""How far edits go by variable, against 1 for what w should say: the generator draws wrinkles, curls and frowns weaker
than it is told."""
BOLD_ELSE = 1.1


@dataclass(frozen=True)
class EditBatch:
    """latents and edited_latents [B, N_LATENTS]; prompts, and captions that the unedited scenes fulfil; asked
    [B, K]: the numbers of a scene's description that each prompt is about."""

    latents: np.ndarray
    edited_latents: np.ndarray
    prompts: list[str]
    captions: list[str]
    asked: Tensor


def fulfilled(scene: Scene, wanted: list[str]) -> tuple[Scene, list[str]]:
    """The scene with the wanted attributes as far as this person can have them, and those it then has."""
    for name in wanted:
        if not scene.has(name):
            try:
                changed = scene.edited(name)
            except ValueError:
                continue
            if changed.has(name):
                scene = changed
    return scene, [name for name in wanted if scene.has(name)]


def sample(latents: np.ndarray, frequency: np.ndarray, rng: np.random.Generator) -> EditBatch:
    """A prompt for every scene: what another person looks like (paper, section 3.4), or, in a quarter, this one.

    frequency [A]: how often each attribute shows in the training set; rarer ones are asked for more often.
    """
    edited, prompts, captions, asked = [], [], [], []
    for g in latents:
        scene = Scene.from_latent(g)
        shown = np.array([scene.has(name) for name in data.NAMES])
        count = int(rng.choice([1, 2, 3, 4], p=[0.42, 0.3, 0.18, 0.1]))
        names = []
        if rng.random() < MISMATCH:
            other = Scene.from_latent(random_latents(1, rng)[0])
            other_shown = np.array([other.has(name) for name in data.NAMES])
            # Mostly what this person lacks, so that most prompts change something.
            lacking = other_shown & ~shown
            pool = lacking if lacking.any() and rng.random() < 0.8 else other_shown
            target, names = fulfilled(scene, choose(pool, frequency, count, rng))
        if not names:
            target, names = scene, choose(shown, frequency, count, rng)
        edited.append(target.latent)
        prompts.append(text_of(names, rng))
        captions.append(caption(choose(shown, frequency, max(2, count), rng), rng))
        asked.append(described_by({ATTRIBUTES[name].variable for name in names}))
    return EditBatch(latents, np.array(edited), prompts, captions, torch.stack(asked))


def aim(edits: EditBatch, inverted: Tensor) -> Tensor:
    """Where to go from the rows that the encoder found, `inverted` [B, rows, D], for the prompts to come true:
    [B, rows, D]."""
    before, after = (w_of(x, inverted.shape[2]) for x in (edits.latents, edits.edited_latents))
    return way(after - before, before[:, None] - inverted, edits.asked)


def way(change: Tensor, missed: Tensor, asked: Tensor) -> Tensor:
    """The residual to learn, [B, rows, D].

    In what a prompt is about (`asked` [B, K]) it begins where the encoder is: whether that took brown hair for black or
    is undecided (`missed` [B, rows, D]: the true w less its own), the way to red hair starts there. Everything else
    changes as the scene does (`change` [B, D]).
    """
    return part_of(change[:, None] + part_of(missed, asked[:, None]), boldness())


@cache
def boldness() -> Tensor:
    """`BOLD` for every number of a scene's description [K]."""
    far = torch.full(described_by(()).shape, BOLD_ELSE)
    for name, times in BOLD.items():
        far[described_by({name})] = times
    return far
