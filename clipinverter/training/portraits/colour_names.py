"""What hair of any colour with a name is: "maize hair" is blond, "wisteria hair" purple.

Names and their colours are matplotlib's (CSS4's, and those of the xkcd survey). A colour belongs to the hair colours
whose own words look most like it. Names with words kept for measuring (`unseen_words.py`) are left out.
"""

from __future__ import annotations

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.portraits.hair_words import COLOURS
from clipinverter.training.portraits.phrases import kept_apart

TEMPLATES = ("{} hair", "a person with {} hair", "{}-coloured hair", "{} haired")
EACH = 10  # phrases with each name
FAR = 15.0  # in each of red, green and blue, 0 to 255: colours that differ by more look different


def colours() -> dict[str, np.ndarray]:
    """Red, green and blue, 0 to 255, of every colour with a name."""
    from matplotlib.colors import CSS4_COLORS, XKCD_COLORS, to_rgb

    named = {**CSS4_COLORS, **XKCD_COLORS}
    plain = {name.removeprefix("xkcd:").replace("/", " "): name for name in named}
    return {name: 255 * np.array(to_rgb(original)) for name, original in plain.items()}


def phrases(anchors: Tensor, rng: np.random.Generator) -> tuple[list[str], Tensor]:
    """Phrases about hair of every colour, and where they belong.

    anchors [len(COLOURS), D]: where the hair colours are, in the order of `COLOURS`.

    Returns:
        N texts and their places, unit vectors [N, D].
    """
    rgb = colours()
    apart = kept_apart()
    names = [name for name in rgb if not apart & set(re.findall("[a-z]+", name))]
    known = [(i, w) for i, words in enumerate(COLOURS.values()) for w in words if w in rgb]
    distance = np.linalg.norm(
        np.array([rgb[name] for name in names])[:, None] - np.array([rgb[w] for _, w in known]),
        axis=2,
    )
    near = torch.from_numpy(-distance / FAR).float().softmax(dim=1)
    places = F.normalize(near @ anchors[[i for i, _ in known]], dim=1)
    texts = [TEMPLATES[rng.integers(len(TEMPLATES))].format(name) for name in names * EACH]
    return texts, places.repeat(EACH, 1)
