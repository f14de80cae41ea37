"""How well edits follow their prompts, on held-out scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.evaluation.metrics import Held, images_of, invert, picture, truth_of
from clipinverter.models.adapter import RESIDUAL_SCALE
from clipinverter.portraits.judge import NAMES, Judge, agreement
from clipinverter.portraits.scene import Scene, groups
from clipinverter.weights.load import Models

EDITS = {
    "smiling": "a smiling face",
    "surprised": "looking surprised",
    "angry": "an angry face",
    "eyes closed": "closed eyes",
    "blond hair": "blond hair",
    "black hair": "black hair",
    "red hair": "red hair",
    "gray hair": "gray hair",
    "blue hair": "blue hair",
    "long hair": "long hair",
    "bald": "a bald head",
    "curly hair": "curly hair",
    "bangs": "bangs",
    "beard": "a beard",
    "eyeglasses": "wearing glasses",
    "sunglasses": "wearing sunglasses",
    "hat": "wearing a hat",
    "lipstick": "red lipstick",
    "old": "an old person",
    "young": "a young person",
    "chubby": "a chubby face",
    "light from the left": "light from the left",
}
"""Attribute -> the prompt that asks for it."""

SEVERAL = {
    "a smiling woman with red hair": ("woman", "smiling", "red hair"),
    "an old man with gray hair": ("man", "old", "gray hair"),
    "a bald man with a beard": ("man", "bald", "beard"),
    "blond hair and glasses": ("blond hair", "eyeglasses"),
    "smiling, with long hair": ("smiling", "long hair"),
    "a surprised face with a hat": ("surprised", "hat"),
    "a young woman with black hair": ("woman", "young", "black hair"),
    "chubby, with sunglasses": ("chubby", "sunglasses"),
    "an angry person with blue hair": ("angry", "blue hair"),
    "curly hair and red lipstick": ("curly hair", "lipstick"),
}
"""Prompt -> the attributes that it asks for."""

STRENGTHS = (0.0, 0.5, 1.0, 1.5)


def wanting(held: Sequence[Held], names: Sequence[str], count: int) -> list[tuple[Held, Scene]]:
    """Up to `count` held-out scenes that lack at least one of the attributes and can have all, each with the edited
    scene that has them."""
    found = []
    for h in held:
        if len(found) == count:
            break
        if all(h.scene.has(name) for name in names):
            continue
        scene = h.scene
        for name in names:
            if not scene.has(name) and scene.can_be(name):
                scene = scene.edited(name)
        if all(scene.has(name) for name in names):
            found.append((h, scene))
    return found


@torch.no_grad()
def edit(
    models: Models,
    images: Tensor,
    prompt: str,
    strengths: Sequence[float],
    residual_scale: float = RESIDUAL_SCALE,
) -> list[Tensor]:
    """Images [B, 3, S, S] inverted and edited by a prompt, [B, 3, S, S] for each strength; strength 0 is the inversion.

    residual_scale: 0 switches the adapter off.
    """
    w_plus, features = invert(models, images)
    text = models.text_image.embed_text([prompt])
    residual = models.encoder.heads(*models.adapter(features, text))
    vectors = models.generator.remap_vectors(text)
    return [
        models.generator(w_plus + s * residual_scale * residual, vectors, s).clamp(-1, 1)
        for s in strengths
    ]


def clip_score(models: Models, images: Tensor, prompt: str) -> Tensor:
    """Cosine similarity [B] of images [B, 3, S, S] and the prompt in the domain's own text-image model."""
    text = F.normalize(models.text_image.embed_text([prompt]), dim=1)
    return (F.normalize(models.text_image.embed_image(images), dim=1) @ text.t()).squeeze(1)


@torch.no_grad()
def measure(
    models: Models,
    judge: Judge,
    held: Sequence[Held],
    prompt: str,
    names: Sequence[str],
    count: int,
    residual_scale: float = RESIDUAL_SCALE,
    strengths: Sequence[float] = STRENGTHS,
) -> dict[str, float]:
    """Measures one prompt on up to `count` scenes that lack its attributes `names`.

    Args:
        strengths: increasing, with 0 and 1 among them.

    Returns:
        An empty dictionary if there are no such scenes, else

        target: share of edits that show all of `names`.
        others_kept: share of the other variables (which the true edit does not change) that the judge reads as in the
            inversion.
        identity: cosine similarity to the inversion.
        counterfactual_ratio: L1 error of the edit to the true edit, over that of the inversion.
        clip_gain, clip_gain_share: mean gain of the CLIP score over the inversion, and the share of edits with a gain.
        monotone: 1 if the mean log odds of `names` grow with the strength, else 0.
    """
    chosen = wanting(held, names, count)
    if not chosen:
        return {}
    images = images_of([h for h, _ in chosen])
    truth = torch.stack([picture(scene, images.shape[-1]) for _, scene in chosen])
    drawn = edit(models, images, prompt, strengths, residual_scale)
    seen = [judge.see(x) for x in drawn]
    before, after = strengths.index(0.0), strengths.index(1.0)
    columns = [NAMES.index(name) for name in names]
    scores = [s.log_odds[:, columns].mean().item() for s in seen]
    return outcome(models, judge, chosen, prompt, names, drawn[before], drawn[after], truth) | {
        "monotone": float(all(np.diff(scores) > 0))
    }


@torch.no_grad()
def outcome(
    models: Models,
    judge: Judge,
    chosen: Sequence[tuple[Held, Scene]],
    prompt: str,
    names: Sequence[str],
    before: Tensor,
    after: Tensor,
    truth: Tensor,
) -> dict[str, float]:
    """The numbers of `measure` without `monotone`, for edits by any method.

    Args:
        chosen: from `wanting`.
        before, after, truth: inversions, their edits, and renders of the true edits, [N, 3, S, S] each.
    """
    seen_before, seen_after = judge.see(before), judge.see(after)
    columns = [NAMES.index(name) for name in names]
    source = truth_of([h.scene for h, _ in chosen])
    untouched = agreement(source, truth_of([scene for _, scene in chosen]))
    untouched[:, [i for i, group in enumerate(groups()) if set(group) & set(columns)]] = False
    kept = agreement(seen_before.shows, seen_after.shows)[untouched]
    error, nothing = ((x - truth).abs().mean(dim=(1, 2, 3)).mean() for x in (after, before))
    gain = clip_score(models, after, prompt) - clip_score(models, before, prompt)
    return {
        "target": float(seen_after.shows[:, columns].all(dim=1).float().mean()),
        "others_kept": float(kept.float().mean()),
        "identity": float((seen_before.person * seen_after.person).sum(dim=1).mean()),
        "counterfactual_ratio": float(error / nothing),
        "clip_gain": float(gain.mean()),
        "clip_gain_share": float((gain > 0).float().mean()),
    }


def single(models: Models, judge: Judge, held: Sequence[Held], *options) -> dict[str, dict]:
    """`measure` for each prompt of EDITS, by attribute; options: what `measure` takes after `names`."""
    asked = {name: (prompt, (name,)) for name, prompt in EDITS.items()}
    return _measured(asked, models, judge, held, *options)


def several(models: Models, judge: Judge, held: Sequence[Held], *options) -> dict[str, dict]:
    """`measure` for each prompt of SEVERAL; options as for `single`."""
    asked = {prompt: (prompt, names) for prompt, names in SEVERAL.items()}
    return _measured(asked, models, judge, held, *options)


def _measured(asked: dict[str, tuple[str, Sequence[str]]], models, judge, held, *options) -> dict:
    rows = {key: measure(models, judge, held, *what, *options) for key, what in asked.items()}
    return {key: row for key, row in rows.items() if row}


def mean(rows: dict[str, dict[str, float]], key: str) -> float:
    """The mean of one number of `single` or `several` over all prompts."""
    return float(np.mean([row[key] for row in rows.values()]))
