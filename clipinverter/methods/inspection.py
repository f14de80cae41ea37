"""What happens inside an edit of CLIPInverter: sizes of its parts, pictures between the steps, figures.

Baykal et al., "CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing" (ACM TOG 2023),
section 3.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clipinverter.errors import UsageError
from clipinverter.methods.base import Session, make_edit
from clipinverter.methods.moves import LatentMove
from clipinverter.methods.scores import clip_scores, identity
from clipinverter.models.adapter import LEVELS, RESIDUAL_SCALE
from clipinverter.models.remapper import LAMBDA_SCALE
from clipinverter.photo.detail import change_mask
from clipinverter.photo.tensors import psnr, to_pil
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion

Parts = Literal["both", "adapter", "remapper"]
PARTS: tuple[Parts, ...] = ("both", "adapter", "remapper")
CONTRAST = 4  # of the difference that is shown: most edits change few levels


@dataclass(frozen=True, eq=False)
class Modulation:
    """What CLIPAdapter does to one feature map: x * (1 + exp(gamma)) + beta.

    gamma, beta: [C], one number a channel.
    """

    level: str
    gamma: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True, eq=False)
class Inspection:
    """An edit with what it is made of.

    Attributes:
        edit: the edit, with the chosen parts and levels only.
        plain: RGB, what the untuned generator draws of w_plus; the inversion as published.
        tuned: RGB, the same by the tuned generator; None without a tuning.
        difference: RGB, grey where nothing changed, `CONTRAST` times the change elsewhere.
        mask: L, where the detail step takes the edit (white) and where the photo stays (black).
        residual: [n_latent], L2 norm of each row's move, 0.1 * residual, times the strength and, if
            tuned, the gains of `gains`.
        pull: [n_latent - 2], L2 norm of what the remapper moves the rows of its convolutions, with the
            same factors.
        lambdas: [n_latent - 2], the blending weight of each, 0.9 * lambda.
        modulations: of the active levels, coarse first; of the prompt, whatever the parts.
        figures: name -> dB or cosine, see `_figures`.
    """

    edit: Edit
    plain: Image.Image
    tuned: Image.Image | None
    difference: Image.Image
    mask: Image.Image
    residual: np.ndarray
    pull: np.ndarray
    lambdas: np.ndarray
    modulations: tuple[Modulation, ...]
    figures: dict[str, float]


def inspect(
    session: Session,
    inversion: Inversion,
    prompt: str,
    strength: float = 1.0,
    parts: Parts = "both",
    levels: Collection[str] = LEVELS,
) -> Inspection:
    """Edits an inversion, and says what each part of the method did.

    With all parts and levels this is `Editor.edit` to the pixel. An inactive level leaves its feature
    map as the encoder gave it, as the authors' options `no_coarse_mapper`, … do; the embedded weights were
    trained with all three, so this is an ablation of theirs and not another model.

    Args:
        inversion: plain or tuned.
        strength: -2 to 2.
        parts: "adapter" leaves out the remapper's pull, "remapper" the adapter's residual.
        levels: of `LEVELS`, at least one unless only the remapper acts.

    Raises:
        PromptError, StrengthError: see `Editor.edit`.
        UsageError: no such part or level, or none at all.
    """
    prompt, strength = check_prompt(prompt), check_strength(strength)
    if parts not in PARTS:
        raise UsageError(f"Parts must be one of {', '.join(PARTS)}, not {parts!r}.")
    if not set(levels) <= set(LEVELS):
        raise UsageError(f"Levels are {', '.join(LEVELS)}.")
    if not levels and parts != "remapper":
        raise UsageError("Choose at least one level: coarse, medium or fine.")
    move, modulations = _move(session, inversion, prompt, parts, levels)
    edit = make_edit(session, inversion, move, None, prompt, strength, cached=False)
    edit = replace(edit, residual=move.residual)
    move = session.fitted(inversion, move)
    with session.compute():
        plain = to_pil(session.models.generator(inversion.w_plus.to(session.models.device)))
        images = session.before(inversion), session.drawn(inversion, move, strength)
    before, after = (np.asarray(image, dtype=np.float32) for image in images)
    difference = np.clip(128 + CONTRAST * (after - before), 0, 255).astype(np.uint8)
    mask = change_mask(_levels(after), _levels(before))[0, 0]
    pulled, lambdas = _pull(session, inversion, move, strength)
    residual = (strength * RESIDUAL_SCALE * move.residual).norm(dim=2)[0].numpy()
    return Inspection(
        edit,
        plain,
        inversion.image if inversion.tuning else None,
        Image.fromarray(difference),
        Image.fromarray((255 * mask.clamp(0, 1)).round().to(torch.uint8).numpy()),
        residual,
        pulled,
        lambdas,
        tuple(modulation for modulation in modulations if modulation.level in levels),
        _figures(session, inversion, plain, edit),
    )


def _move(
    session: Session, inversion: Inversion, prompt: str, parts: Parts, levels: Collection[str]
) -> tuple[LatentMove, list[Modulation]]:
    """The move of the chosen parts and levels, and what the adapter does at every level."""
    m = session.models
    with session.compute() as run:
        with run("text"):
            truncated = not m.text_image.fits(prompt)
            text = m.text_image.embed_text([prompt])
        modulations = [_modulation(m.adapter, level, text) for level in LEVELS]
        with run("adapter"):
            features = tuple(feature.to(m.device) for feature in inversion.features)
            adapted = m.adapter(features, text)
            active = [level in levels for level in reversed(LEVELS)]  # c1 is the fine one
            mixed = (a if on else f for a, f, on in zip(adapted, features, active, strict=True))
        with run("residual"):
            residual = m.encoder.heads(*mixed)
        if parts == "remapper":
            residual = torch.zeros_like(residual)
        with run("remapper"):
            vectors = None if parts == "adapter" else m.generator.remap_vectors(text).cpu()
        move = LatentMove(residual.cpu(), vectors, truncated, run.stages)
    return move, [modulation for modulation in modulations if modulation]


def _modulation(adapter: torch.nn.Module, level: str, text: Tensor) -> Modulation | None:
    mapping = getattr(adapter, f"{level}_mapping")
    modules = getattr(mapping, "modulation_module_list", None)
    if not modules:  # this adapter was trained without the level
        return None
    gamma, beta = (
        f(text)[0].float().cpu().numpy()
        for f in (modules[0].gamma_function, modules[0].beta_function)
    )
    return Modulation(level, gamma, beta)


def _pull(
    session: Session, inversion: Inversion, move: LatentMove, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    generator = session.models.generator
    lambdas = LAMBDA_SCALE * torch.stack([weight.detach() for weight in generator.lambdas]).cpu()
    if move.remap_vectors is None:
        return np.zeros(len(lambdas), dtype=np.float32), lambdas.numpy()
    rows = inversion.w_plus + strength * RESIDUAL_SCALE * move.residual
    moved = strength * lambdas[:, None] * (move.remap_vectors - rows[:, 1:-1])
    return moved.norm(dim=2)[0].numpy(), lambdas.numpy()


def _levels(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def _figures(
    session: Session, inversion: Inversion, plain: Image.Image, edit: Edit
) -> dict[str, float]:
    """PSNR in dB and identity cosine against the crop, and CLIP's cosine with the prompt."""
    crop = inversion.crop
    pictures = {"inversion": plain}
    if inversion.tuning:
        pictures["tuned inversion"] = inversion.image
    pictures["edit"] = edit.image
    found: dict[str, float] = {}
    for name, image in pictures.items():
        found[f"psnr {name}"] = psnr(image, crop)
        same = identity(session, image, crop)
        if same is not None:
            found[f"identity {name}"] = same
    names = ["photo", *pictures]
    scores = clip_scores(session, edit.prompt, crop, *pictures.values())
    return found | {f"clip {name}": score for name, score in zip(names, scores, strict=True)}
