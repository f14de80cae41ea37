"""Edits to learn from: scenes, prompts, and the same scenes with the prompts come true."""

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
from clipinverter.training.presets import MISMATCH

BOLD = {
    "hair_colour": 0.9,  # with more, the hair gets the opposite of its first colour
    "age": 1.4,
    "weight": 1.3,
    "hair_texture": 1.4,
    "expression": 1.4,
    "eyes closed": 1.4,
}
"""Length of the target residual by variable; 1 leads to the exact w of the edited scene. The generator draws wrinkles,
curls and frowns more weakly than w says."""
BOLD_ELSE = 1.1


@dataclass(frozen=True)
class EditBatch:
    """latents and edited_latents [B, N_LATENTS]; prompts, and captions that are true of the unedited scenes; asked
    [B, K] bool: the numbers of a scene's description that each prompt is about."""

    latents: np.ndarray
    edited_latents: np.ndarray
    prompts: list[str]
    captions: list[str]
    asked: Tensor


def fulfilled(scene: Scene, wanted: list[str]) -> tuple[Scene, list[str]]:
    """The scene with those of the wanted attributes that this person can have, and the attributes that it has then."""
    for name in wanted:
        if not scene.has(name):
            try:
                changed = scene.edited(name)
            except ValueError:
                continue
            if changed.has(name):
                scene = changed
    return scene, [name for name in wanted if scene.has(name)]


def sample(
    latents: np.ndarray,
    frequency: np.ndarray,
    rng: np.random.Generator,
    *,
    together: bool = False,
) -> EditBatch:
    """Edits of scenes with latents [B, N_LATENTS]. The prompt describes another person (paper, section 3.4), or, in a
    quarter of the cases, this one.

    Args:
        frequency: [A], how often each attribute shows in the training set; rare ones are asked for more often.
        together: decide for all scenes at once whether the prompts describe others, as in the authors' code.
    """
    edited, prompts, captions, asked = [], [], [], []
    others = rng.random(1 if together else len(latents)) < MISMATCH
    for g, other_person in zip(latents, np.resize(others, len(latents)), strict=True):
        scene = Scene.from_latent(g)
        shown = np.array([scene.has(name) for name in data.NAMES])
        count = int(rng.choice([1, 2, 3, 4], p=[0.42, 0.3, 0.18, 0.1]))
        names = []
        if other_person:
            other = Scene.from_latent(random_latents(1, rng)[0])
            other_shown = np.array([other.has(name) for name in data.NAMES])
            # Mostly attributes that this person lacks, so that most prompts change something.
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


def target_residual(edits: EditBatch, inverted: Tensor) -> Tensor:
    """The residual [B, rows, D] from the encoder's latents `inverted` [B, rows, D] that makes the prompts come true."""
    before, after = (w_of(x, inverted.shape[2]) for x in (edits.latents, edits.edited_latents))
    return residual_from(after - before, before[:, None] - inverted, edits.asked)


def residual_from(change: Tensor, missed: Tensor, asked: Tensor) -> Tensor:
    """The residual to learn, [B, rows, D].

    In what the prompt is about it also corrects the encoder's error: it leads to red hair from the colour that the
    encoder predicted, right or wrong. Everything else changes as the scene does.

    Args:
        change: [B, D], the difference between the exact w after and before the edit.
        missed: [B, rows, D], the exact w minus the encoder's rows.
        asked: [B, K] bool, the numbers of the description that the prompt is about.
    """
    return part_of(change[:, None] + part_of(missed, asked[:, None]), boldness())


@cache
def boldness() -> Tensor:
    """`BOLD` for every number of a scene's description [K]."""
    length = torch.full(described_by(()).shape, BOLD_ELSE)
    for name, factor in BOLD.items():
        length[described_by({name})] = factor
    return length
