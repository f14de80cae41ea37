"""Metrics of the embedded models, on held-out scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.photo.tensors import fit
from clipinverter.portraits.captions import plain_caption
from clipinverter.portraits.judge import NAMES, Judge, Readings, agreement, shown
from clipinverter.portraits.scene import ATTRIBUTES, Scene, groups
from clipinverter.portraits.unseen_words import UNSEEN
from clipinverter.portraits.variables import N_LATENTS
from clipinverter.portraits.w_space import w_of
from clipinverter.training.portraits.identity import pairs
from clipinverter.weights.load import Models

HELD_OUT = 10_000_019  # a seed that no training set has


@dataclass(frozen=True)
class Held:
    """A held-out scene, which no training set contains, and its picture [3, S, S] in [-1, 1]."""

    scene: Scene
    image: Tensor


def held_out(count: int, size: int, seed: int = 0) -> list[Held]:
    """`count` held-out scenes with pictures of `size` px; other seeds give other scenes."""
    found = []
    for i in range(count):
        rng = np.random.default_rng([HELD_OUT, seed, i])
        scene = Scene.from_latent(rng.standard_normal(N_LATENTS))
        found.append(Held(scene, picture(scene, size)))
    return found


def picture(scene: Scene, size: int) -> Tensor:
    """The render of a scene, [3, size, size] in [-1, 1]."""
    from clipinverter.portraits.render import render

    return torch.from_numpy(render(scene, size)).permute(2, 0, 1).float() / 127.5 - 1


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [-1, 1], the mean over the batch [B, 3, S, S]."""
    error = (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean(dim=(1, 2, 3)) / 4
    return float((-10 * torch.log10(error)).mean())


def images_of(held: Sequence[Held]) -> Tensor:
    """Pictures [N, 3, S, S] of held-out scenes."""
    return torch.stack([h.image for h in held])


def truth_of(scenes: Sequence[Scene]) -> Tensor:
    """The attributes that the judge should find in scenes, bool [N, len(NAMES)]."""
    return torch.stack([shown(scene) for scene in scenes])


def judging(
    judge: Judge, held: Sequence[Held], seen: Readings, persons: int = 64
) -> dict[str, float]:
    """The judge's own accuracy on held-out renders: over variables, and in finding the same person in another scene
    among `persons`."""
    latents = pairs(persons, np.random.default_rng([HELD_OUT, 1]))
    pictures = [picture(Scene.from_latent(g), held[0].image.shape[-1]) for g in latents]
    person = judge.see(torch.stack(pictures)).person
    nearest = (person[:persons] @ person[persons:].t()).argmax(dim=1)
    right = agreement(seen.shows, truth_of([h.scene for h in held]))
    return {
        "judge_attributes": float(right.float().mean()),
        "judge_same_person": float((nearest == torch.arange(persons)).float().mean()),
    }


@torch.no_grad()
def generation(
    models: Models, judge: Judge, held: Sequence[Held], seen: Readings
) -> dict[str, float]:
    """The generator's pictures from the exact w of held-out scenes, compared with their renders: PSNR in dB, and the
    share of variables that the judge reads the same."""
    g = models.generator
    w = w_of(np.stack([h.scene.latent for h in held]), g.style_dim)
    w_plus = w[:, None].expand(-1, g.n_latent, -1)
    drawn = torch.cat([g(part) for part in w_plus.split(16)])
    images = images_of(held)
    same = agreement(judge.see(drawn).shows, seen.shows)
    return {
        "generator_psnr": psnr(drawn, images),
        "generator_attributes_kept": float(same.float().mean()),
    }


@torch.no_grad()
def invert(models: Models, images: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Images [B, 3, S, S] -> w_plus [B, n_latent, D] and the encoder's features c1, c2, c3."""
    features = models.encoder.trunk_features(fit(images, models.encoder.input_size))
    return models.encoder.heads(*features) + models.latent_avg, features


@torch.no_grad()
def inversion(
    models: Models, judge: Judge, held: Sequence[Held], seen: Readings
) -> dict[str, float]:
    """Inversions of renders: PSNR in dB, identity cosine, and the share of variables that the judge reads the same."""
    images = images_of(held)
    drawn = torch.cat([models.generator(invert(models, part)[0]) for part in images.split(16)])
    after = judge.see(drawn)
    return {
        "inversion_psnr": psnr(drawn, images),
        "inversion_identity": float((seen.person * after.person).sum(dim=1).mean()),
        "inversion_attributes_kept": float(agreement(seen.shows, after.shows).float().mean()),
    }


@torch.no_grad()
def clip_accuracy(
    models: Models, held: Sequence[Held], texts_of: Callable[[str], Sequence[str]] | None = None
) -> tuple[float, dict[str, float]]:
    """Zero-shot accuracy: for each variable with several named labels, how often the right label is found (scenes
    without one are left out).

    Args:
        texts_of: other texts for an attribute; each is compared with the plain captions of the other attributes, on
            scenes that show the attribute. Default: every attribute by its plain caption.

    Returns:
        The mean over variables, and the accuracy of each.
    """
    model = models.text_image
    images = images_of(held)
    image = F.normalize(torch.cat([model.embed_image(p) for p in images.split(32)]), dim=1)
    accuracy = {}
    for group in groups():
        if len(group) < 2:
            continue
        names = [NAMES[index] for index in group]
        plain = model.embed_text([plain_caption(name) for name in names])
        right = []
        for i, name in enumerate(names):
            rows = [j for j, h in enumerate(held) if h.scene.has(name)]
            for text in texts_of(name) if texts_of else (None,):
                words = plain if text is None else _replaced(plain, i, model.embed_text([text])[0])
                right.extend((image[rows] @ F.normalize(words, dim=1).t()).argmax(dim=1) == i)
        if right:
            accuracy[ATTRIBUTES[names[0]].variable] = float(torch.stack(right).float().mean())
    return float(np.mean(list(accuracy.values()))), accuracy


def _replaced(rows: Tensor, index: int, row: Tensor) -> Tensor:
    rows = rows.clone()
    rows[index] = row
    return rows


def unseen_synonyms(models: Models, held: Sequence[Held]) -> float:
    """Zero-shot accuracy with words that training never used, over the attributes that have such words."""
    return clip_accuracy(models, held, lambda name: UNSEEN.get(name, ()))[0]
