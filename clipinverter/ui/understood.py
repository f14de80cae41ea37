"""What the page says of a prompt's words: what was read from it, what is unknown, and that nothing happened."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from clipinverter.portraits.vocabulary import sentence

LITTLE = 0.5  # levels of 255 by which a picture changes on average, below which nobody sees it
NOTHING_CHANGED = "Hardly anything changed. Try stronger."


def changed(before: Image.Image, after: Image.Image) -> float:
    """Mean absolute difference of two RGB pictures of one size, in levels of 255."""
    pair = (np.asarray(image, dtype=np.float32) for image in (before, after))
    return float(np.abs(np.subtract(*pair)).mean())


def about(info: Mapping[str, Any]) -> list[str]:
    """Sentences about the words of a prompt; `info` is what `api.describe` returns."""
    found = [sentence(info["unknown_words"])] if info.get("unknown_words") else []
    if info.get("strength") and info.get("change", LITTLE) < LITTLE:
        found.append(NOTHING_CHANGED)
    return found


def chips(info: Mapping[str, Any]) -> str:
    """HTML of what was read from the prompt; empty where nothing was."""
    read = info.get("understood") or ()
    if not read:
        return ""
    marks = " ".join(f"<span class='chip'>{escape(name)}</span>" for name in read)
    return f"<p class='note understood'>Understood: {marks}</p>"
