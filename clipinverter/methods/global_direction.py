"""Global directions: which style channels change for a pair of texts, and by how much.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 6. Every channel of the generator's style space has a relevance: a
unit vector in CLIP's space, the direction of the image embedding when the channel grows. A channel changes in
proportion to the inner product of its relevance and the direction of the text.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.cache import Cache
from clipinverter.methods.base import (
    OnPreview,
    OnStep,
    Session,
    make_edit,
)
from clipinverter.methods.latent_mapper import folder_of
from clipinverter.methods.moves import StyleMove, size_of_move
from clipinverter.methods.relevance import Relevance, load_relevance
from clipinverter.methods.settings import Settings, settings_of
from clipinverter.models.clip import TextImageModel
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion


@cache
def templates() -> tuple[str, ...]:
    """The 79 prompt templates that the authors average over: CLIP's for ImageNet, without one."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    sentences = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    return tuple(sentence for sentence in sentences if "photo of many" not in sentence)


def text_direction(neutral: Tensor, target: Tensor) -> Tensor:
    """The direction from a neutral text to a target text in CLIP's space: a unit vector [D]; zeros for equal texts.

    Args:
        neutral, target: embeddings [N, D] of each text in all templates.
    """
    means = [F.normalize(F.normalize(x, dim=1).mean(dim=0), dim=0) for x in (neutral, target)]
    return F.normalize(means[1] - means[0], dim=0)


def embed_direction(model: TextImageModel, neutral: str, target: str) -> Tensor:
    """`text_direction` [D] of two texts, each in all templates."""
    rows = [
        model.embed_text([sentence.format(text) for sentence in templates()])
        for text in (neutral, target)
    ]
    return text_direction(*rows)


def boundary(
    agreement: Tensor, beta: float, spread: Sequence[Tensor], layers: Sequence[int]
) -> tuple[list[Tensor], int]:
    """The changes of all style vectors [C] for a text, and the number of channels that change.

    Channels with an absolute agreement below beta do not change. The others change in proportion to their agreement,
    the strongest by one standard deviation.

    Args:
        agreement: [channels], inner products of relevance and text direction, concatenated over `layers`; layers at
            the end may be missing.
        spread: standard deviation [C] of every style vector, for all layers of the generator.
        layers: see `relevance.convolutions`.

    Raises:
        ValueError: the channels do not end with a layer.
    """
    kept = torch.where(agreement.abs() < beta, 0, agreement)
    count = int(kept.count_nonzero())
    if count:
        kept = kept / kept.abs().max()
    moves = [torch.zeros_like(s) for s in spread]
    start = 0
    for index in layers:
        if start == len(kept):
            break
        part = kept[start : start + len(spread[index])]
        if len(part) != len(spread[index]):
            break
        moves[index] = part * spread[index]
        start += len(part)
    if start != len(kept):
        raise ValueError(f"{len(kept)} channels do not fit the generator's layers")
    return moves, count


def auto_beta(agreement: Tensor, least: int, betas: Sequence[float]) -> float:
    """The largest of the ascending `betas` that more than `least` channels reach; else the first.

    agreement: [channels], see `boundary`.
    """
    reached = [beta for beta in betas if int((agreement.abs() >= beta).sum()) > least]
    return float(reached[-1] if reached else betas[0])


class GlobalDirection:
    """Changes the style channels that are relevant for the prompt; computed once per prompt, for all pictures.

    Args:
        session: networks and compute lock.
        folder: of the channels' relevance; default: the domain's.
        settings: default: the domain's.
        cache_bytes: limit of the memory for moves.
    """

    def __init__(
        self,
        session: Session,
        folder: Path | None = None,
        settings: Settings | None = None,
        cache_bytes: int = 2**24,
    ) -> None:
        self.session = session
        self.folder = folder or folder_of(session.models.domain)
        self.settings = settings or settings_of(session.models.domain)
        self._moves: Cache[StyleMove] = Cache(cache_bytes, size_of_move)
        self._relevance: list[
            Relevance
        ] = []  # shared by `with_settings`; empty before the first use

    def with_settings(self, settings: Settings) -> GlobalDirection:
        """The same method with other settings; the two share what they keep."""
        other = copy.copy(self)
        other.settings = settings
        return other

    @property
    def relevance(self) -> Relevance:
        """The channels' relevance, read on first use; raises what `load_relevance` raises."""
        if not self._relevance:
            m = self.session.models
            self._relevance.append(load_relevance(self.folder, m.generator, m.domain))
        return self._relevance[0]

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """As `Editor.edit`, from the settings' neutral text to their target, or to the prompt.

        Strength 1 is the settings' alpha. An article at the start of the prompt is removed, because the templates
        have articles.

        Raises:
            MethodError: the channels' relevance is missing.
            CheckpointError: it is damaged or belongs to another model.
        """
        prompt, strength = check_prompt(prompt), check_strength(strength)
        s = self.settings
        target = re.sub(r"^(an?|the) (?=.)", "", s.target or prompt, flags=re.IGNORECASE)
        key = (s.neutral, target, s.alpha, s.beta, s.betas, s.least)
        move, cached = self._moves.get(key, lambda: self._move(target, on_step))
        return make_edit(
            self.session, inversion, move, ("direction", *key), prompt, strength,
            cached=cached, on_step=on_step, on_preview=on_preview,
        )  # fmt: skip

    def _move(self, target: str, on_step: OnStep | None) -> StyleMove:
        relevance = self.relevance
        model, s = self.session.models.text_image, self.settings
        with self.session.compute(on_step) as run:
            with run("text"):
                wanted = embed_direction(model, s.neutral, target).cpu()
            with run("channels"):
                agreement = relevance.vectors @ wanted
                beta = auto_beta(agreement, s.least, s.betas) if s.beta is None else s.beta
                steps, _ = boundary(agreement, beta, relevance.spread, relevance.layers)
                steps = tuple(s.alpha * step for step in steps)
            return StyleMove(steps, not model.fits(target), run.stages)
