"""What is measured of the embedded models, on scenes that no training set holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.editor import RESIDUAL_SCALE
from clipinverter.loading import Models
from clipinverter.models.irse import ArcFace, face_features
from clipinverter.portraits.scene import ATTRIBUTES, Scene
from clipinverter.portraits.variables import N_LATENTS
from clipinverter.training.mapping import w_of

HELD_OUT = 10_000_019  # training sets count their scenes from their own small seeds

EDITS = {
    "smiling": "a smiling face",
    "surprised": "looking surprised",
    "angry": "an angry face",
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
}
"""Attribute -> the prompt that asks for it."""


@dataclass(frozen=True)
class Held:
    """A scene that was never trained on, and its picture [3, S, S] in [-1, 1]."""

    scene: Scene
    image: Tensor


def held_out(count: int, size: int, seed: int = 0) -> list[Held]:
    """`count` rendered scenes for a seed."""
    found = []
    for i in range(count):
        rng = np.random.default_rng([HELD_OUT, seed, i])
        scene = Scene.from_latent(rng.standard_normal(N_LATENTS))
        found.append(Held(scene, picture(scene, size)))
    return found


def picture(scene: Scene, size: int) -> Tensor:
    """The teacher's picture of a scene, [3, size, size] in [-1, 1]."""
    from clipinverter.portraits.render import render

    return torch.from_numpy(render(scene, size)).permute(2, 0, 1).float() / 127.5 - 1


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [-1, 1], the mean over the batch [B, 3, S, S]."""
    error = (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean(dim=(1, 2, 3)) / 4
    return float((-10 * torch.log10(error)).mean())


@torch.no_grad()
def generator_psnr(models: Models, held: Sequence[Held]) -> float:
    """How close the generator draws unseen scenes, from their exact w, to the renderer, in dB."""
    g = models.generator
    w = w_of(np.stack([h.scene.latent for h in held]), g.style_dim)
    w_plus = w[:, None].expand(-1, g.n_latent, -1)
    drawn = torch.cat([g(part) for part in w_plus.split(16)])
    return psnr(drawn, torch.stack([h.image for h in held]))


@torch.no_grad()
def invert(models: Models, images: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Images [B, 3, S, S] -> W+ and features."""
    features = models.encoder.trunk_features(images)
    return models.encoder.heads(*features) + models.latent_avg, features


@torch.no_grad()
def inversion(models: Models, identity: ArcFace | None, held: Sequence[Held]) -> dict[str, float]:
    """PSNR in dB and, where there is an identity network, mean identity cosine of inverted renders."""
    images = torch.stack([h.image for h in held])
    drawn = torch.cat([models.generator(invert(models, part)[0]) for part in images.split(16)])
    return {"inversion_psnr": psnr(drawn, images)} | _same(
        "inversion_identity", identity, drawn, images
    )


def _same(key: str, identity: ArcFace | None, a: Tensor, b: Tensor) -> dict[str, float]:
    """The mean identity cosine of two batches under `key`; nothing without a network."""
    if identity is None:
        return {}
    return {key: float((face_features(identity, a) * face_features(identity, b)).sum(dim=1).mean())}


@torch.no_grad()
def clip_accuracy(models: Models, held: Sequence[Held]) -> tuple[float, dict[str, float]]:
    """Zero-shot accuracy: for each variable with several named labels, the right one among them (scenes that carry
    none are left out). Returns the mean over variables, and each."""
    from clipinverter.portraits.captions import plain_caption

    model = models.text_image
    images = torch.stack([h.image for h in held])
    image = F.normalize(torch.cat([model.embed_image(p) for p in images.split(32)]), dim=1)
    by_variable: dict[str, list[str]] = {}
    for name, attribute in ATTRIBUTES.items():
        by_variable.setdefault(attribute.variable, []).append(name)
    accuracy = {}
    for variable, names in by_variable.items():
        if len(names) < 2:
            continue
        texts = [plain_caption(name) for name in names]
        scores = image @ F.normalize(model.embed_text(texts), dim=1).t()
        right = [
            names[int(scores[i].argmax())] in h.scene.attributes
            for i, h in enumerate(held)
            if any(name in h.scene.attributes for name in names)
        ]
        if right:
            accuracy[variable] = float(np.mean(right))
    return float(np.mean(list(accuracy.values()))), accuracy


@torch.no_grad()
def edit(
    models: Models, images: Tensor, prompts: list[str], strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Inversions and edits [B, 3, S, S] of images, each with its prompt."""
    w_plus, features = invert(models, images)
    text = models.text_image.embed_text(prompts)
    residual = models.encoder.heads(*models.adapter(features, text))
    edited = models.generator(
        w_plus + strength * RESIDUAL_SCALE * residual,
        models.generator.remap_vectors(text),
        strength,
    )
    return models.generator(w_plus), edited


@torch.no_grad()
def edits(
    models: Models, identity: ArcFace | None, held: Sequence[Held], per_prompt: int = 8
) -> dict[str, dict[str, float]]:
    """Each prompt of `EDITS` on scenes that lack the attribute and could have it.

    counterfactual_ratio: mean absolute error to the render of the edited scene, over that of the unedited inversion;
    clip_gain_share: share of pictures whose CLIP similarity to the prompt rises; identity: cosine to the inversion.
    """
    results = {}
    for name, prompt in EDITS.items():
        fit = [h for h in held if name not in h.scene.attributes and h.scene.can_be(name)][
            :per_prompt
        ]
        if not fit:
            continue
        images = torch.stack([h.image for h in fit])
        truth = torch.stack([picture(h.scene.edited(name), images.shape[-1]) for h in fit])
        before, after = edit(models, images, [prompt] * len(fit))
        error = (after.clamp(-1, 1) - truth).abs().mean(dim=(1, 2, 3))
        nothing = (before.clamp(-1, 1) - truth).abs().mean(dim=(1, 2, 3))
        text = F.normalize(models.text_image.embed_text([prompt]), dim=1)
        gain = F.normalize(models.text_image.embed_image(after), dim=1) @ text.t()
        gain = gain - F.normalize(models.text_image.embed_image(before), dim=1) @ text.t()
        results[name] = {
            "counterfactual_ratio": float(error.mean() / nothing.mean()),
            "clip_gain_share": float((gain > 0).float().mean()),
        } | _same("identity", identity, after, before)
    return results
