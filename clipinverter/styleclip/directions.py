"""Global directions: which style channels move for a pair of texts, and how far.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 6. Every channel c of the generator's style space has a relevance, a
unit vector of CLIP's space: where the picture's embedding goes when c grows. A text's direction activates the channels
that it agrees with.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.clip import TextImageModel
from clipinverter.models.stylegan2 import Generator

LEAST = 20  # channels that the authors' automatic threshold leaves for faces
BETAS = np.arange(0.1, 0.3, 0.01)  # the thresholds that it tries


@cache
def templates() -> tuple[str, ...]:
    """The 79 sentences around a text that the authors average over: CLIP's for ImageNet but one."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    sentences = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    return tuple(sentence for sentence in sentences if "photo of many" not in sentence)


def text_direction(neutral: Tensor, target: Tensor) -> Tensor:
    """Where a text lies from a neutral one in CLIP's space: a unit vector [D], zeros for equal texts.

    Args:
        neutral, target: embeddings [N, D] of the sentences around either text.
    """
    means = [F.normalize(F.normalize(x, dim=1).mean(dim=0), dim=0) for x in (neutral, target)]
    return F.normalize(means[1] - means[0], dim=0)


def embed_direction(model: TextImageModel, neutral: str, target: str) -> Tensor:
    """`text_direction` of two texts, each in all templates."""
    rows = [
        model.embed_text([sentence.format(text) for sentence in templates()])
        for text in (neutral, target)
    ]
    return text_direction(*rows)


def channel_relevance(minus: Tensor, plus: Tensor) -> Tensor:
    """Relevance of channels, unit vectors [channels, D].

    Args:
        minus, plus: embeddings [channels, images, D] of pictures whose channel was lowered and raised.
    """
    steps = F.normalize(F.normalize(plus, dim=2) - F.normalize(minus, dim=2), dim=2)
    return F.normalize(steps.mean(dim=1), dim=1)


def convolutions(generator: Generator) -> tuple[int, ...]:
    """Indices of the convolutions' style vectors in the order of `Generator.styles`; the others are to_rgb's."""
    count = 2 + 3 * len(generator.to_rgbs)
    return tuple(i for i in range(count) if i != 1 and (i < 2 or (i - 2) % 3 != 2))


def boundary(
    agreement: Tensor, beta: float, spread: Sequence[Tensor], layers: Sequence[int]
) -> tuple[list[Tensor], int]:
    """How the style vectors move for a text, and how many channels of them do.

    Channels whose agreement is below beta stay; the others move in proportion to it, the strongest by one standard
    deviation. Where nothing reaches beta nothing moves.

    Args:
        agreement: [channels] relevance times text direction, of the `layers` one after the other from the first;
            it may end after any of them.
        spread: standard deviation of every style vector [C], for all layers of the generator.
        layers: see `convolutions`.

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
    """The largest of ascending `betas` that more than `least` channels reach; the first when none is."""
    reached = [beta for beta in betas if int((agreement.abs() >= beta).sum()) > least]
    return float(reached[-1] if reached else betas[0])
