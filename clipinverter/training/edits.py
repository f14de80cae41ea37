"""Edits to learn from: scenes, prompts, and what the same scene looks like when the prompt has come true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipinverter.portraits.captions import caption, prompt_for
from clipinverter.portraits.scene import Scene
from clipinverter.training import data
from clipinverter.training.clip import choose

MISMATCH = 0.75  # share of prompts that ask for a change (the paper's p)


@dataclass(frozen=True)
class EditBatch:
    """latents and edited_latents [B, N_LATENTS]; prompts, and captions that the unedited scenes fulfil."""

    latents: np.ndarray
    edited_latents: np.ndarray
    prompts: list[str]
    captions: list[str]


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
    edited, prompts, captions = [], [], []
    for g in latents:
        scene = Scene.from_latent(g)
        shown = np.array([scene.has(name) for name in data.NAMES])
        count = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.27, 0.15, 0.08]))
        names = []
        if rng.random() < MISMATCH:
            other = Scene.from_latent(data.random_latents(1, rng)[0])
            other_shown = np.array([other.has(name) for name in data.NAMES])
            # Mostly what this person lacks, so that most prompts change something.
            lacking = other_shown & ~shown
            pool = lacking if lacking.any() and rng.random() < 0.8 else other_shown
            target, names = fulfilled(scene, choose(pool, frequency, count, rng))
        if not names:
            target, names = scene, choose(shown, frequency, count, rng)
        edited.append(target.latent)
        prompts.append((caption if rng.random() < 0.5 else prompt_for)(names, rng))
        captions.append(caption(choose(shown, frequency, max(2, count), rng), rng))
    return EditBatch(latents, np.array(edited), prompts, captions)
