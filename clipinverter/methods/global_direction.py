"""Global directions: which style channels change for a pair of texts, and by how much.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 6. Every channel of the generator's style space has a relevance: a
unit vector in CLIP's space, the direction of the image embedding when the channel grows. A channel changes in
proportion to the inner product of its relevance and the direction of the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.cache import Cache
from clipinverter.methods.base import (
    MethodError,
    OnPreview,
    OnStep,
    Session,
    make_edit,
)
from clipinverter.methods.latent_mapper import folder_of
from clipinverter.methods.moves import StyleMove, size_of_move
from clipinverter.methods.relevance import Relevance, load_relevance
from clipinverter.methods.settings import BETAS, LEAST, Settings, settings_of
from clipinverter.models.clip import TextImageModel
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion

ALPHA_RANGE, BETA_RANGE = (-10.0, 10.0), (0.0, 1.0)


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


def auto_beta(agreement: Tensor, least: int = LEAST, betas: Sequence[float] = BETAS) -> float:
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

    @cached_property
    def relevance(self) -> Relevance:
        """The channels' relevance, read on first use; raises what `load_relevance` raises."""
        m = self.session.models
        return load_relevance(self.folder, m.generator, m.domain)

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """As `Editor.edit`, from the domain's neutral text to the prompt, with the automatic threshold.

        Strength 1 is the settings' alpha. An article at the start of the prompt is removed, because the templates
        have articles.

        Raises:
            MethodError: the channels' relevance is missing.
            CheckpointError: it is damaged or belongs to another model.
        """
        prompt, strength = check_prompt(prompt), check_strength(strength)
        s = self.settings
        target = re.sub(r"^(an?|the) (?=.)", "", prompt, flags=re.IGNORECASE)
        return self._edit(
            inversion, s.neutral, target, s.alpha, None, prompt, strength, on_step, on_preview
        )

    def steer(
        self,
        inversion: Inversion,
        neutral: str,
        target: str,
        alpha: float,
        beta: float | None = None,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """The edit from one text to another with its own alpha and beta, as in StyleCLIP's notebook.

        Args:
            neutral, target: texts without an article, e.g. "face" and "face with glasses".
            alpha: the size of the change, -10 to 10; negative values reverse it.
            beta: the threshold, 0 to 1: channels with less agreement do not change; None chooses it automatically.

        Raises:
            MethodError, CheckpointError: as `edit`; MethodError too where alpha or beta is out of range.
        """
        neutral, target = check_prompt(neutral), check_prompt(target)
        for name, value, (low, high) in (("alpha", alpha, ALPHA_RANGE), ("beta", beta, BETA_RANGE)):
            if value is not None and not low <= value <= high:
                raise MethodError(f"{name} has to be a number from {low:g} to {high:g}.")
        return self._edit(inversion, neutral, target, alpha, beta, target, 1.0, on_step, on_preview)

    def _edit(
        self,
        inversion: Inversion,
        neutral: str,
        target: str,
        alpha: float,
        beta: float | None,
        prompt: str,
        strength: float,
        on_step: OnStep | None,
        on_preview: OnPreview | None,
    ) -> Edit:
        key = (neutral, target, alpha, beta)
        move, cached = self._moves.get(
            key, lambda: self._move(neutral, target, alpha, beta, on_step)
        )
        return make_edit(
            self.session, inversion, move, ("direction", *key), prompt, strength,
            cached=cached, on_step=on_step, on_preview=on_preview,
        )  # fmt: skip

    def _move(
        self, neutral: str, target: str, alpha: float, beta: float | None, on_step: OnStep | None
    ) -> StyleMove:
        relevance = self.relevance
        model, s = self.session.models.text_image, self.settings
        with self.session.compute(on_step) as run:
            with run("text"):
                wanted = embed_direction(model, neutral, target).cpu()
            with run("channels"):
                agreement = relevance.vectors @ wanted
                if beta is None:
                    beta = auto_beta(agreement, s.least, s.betas)
                steps, _ = boundary(agreement, beta, relevance.spread, relevance.layers)
                steps = tuple(alpha * step for step in steps)
            return StyleMove(steps, not model.fits(target), run.stages)
