"""Phrases about hair in any colour that has a name: "maize hair" is blond, "wisteria hair" purple.

Names and colours are matplotlib's (CSS4's, and those of the xkcd survey). A name is assigned to the hair colours whose
own words have the most similar colours. Names with words reserved for the evaluation (`unseen_words.py`) are left out.
"""

from __future__ import annotations

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.portraits.hair_words import COLOURS
from clipinverter.training.portraits.phrases import reserved_words

TEMPLATES = ("{} hair", "a person with {} hair", "{}-coloured hair", "{} haired")
EACH = 10  # phrases for each name
FAR = 15.0  # Euclidean distance in RGB, 0 to 255, over which the similarity of two colours falls by a factor e


def colours() -> dict[str, np.ndarray]:
    """Name -> RGB [3], 0 to 255, of every colour that has a name."""
    from matplotlib.colors import CSS4_COLORS, XKCD_COLORS, to_rgb

    named = {**CSS4_COLORS, **XKCD_COLORS}
    plain = {name.removeprefix("xkcd:").replace("/", " "): name for name in named}
    return {name: 255 * np.array(to_rgb(original)) for name, original in plain.items()}


def phrases(anchors: Tensor, rng: np.random.Generator) -> tuple[list[str], Tensor]:
    """Phrases about hair of every colour, and their targets.

    anchors [len(COLOURS), D]: targets of the hair colours, in the order of `COLOURS`.

    Returns:
        N texts and their targets, unit vectors [N, D].
    """
    rgb = colours()
    reserved = reserved_words()
    names = [name for name in rgb if not reserved & set(re.findall("[a-z]+", name))]
    known = [(i, w) for i, words in enumerate(COLOURS.values()) for w in words if w in rgb]
    distance = np.linalg.norm(
        np.array([rgb[name] for name in names])[:, None] - np.array([rgb[w] for _, w in known]),
        axis=2,
    )
    near = torch.from_numpy(-distance / FAR).float().softmax(dim=1)
    places = F.normalize(near @ anchors[[i for i, _ in known]], dim=1)
    texts = [TEMPLATES[rng.integers(len(TEMPLATES))].format(name) for name in names * EACH]
    return texts, places.repeat(EACH, 1)
