"""What the page says of a prompt's words: what was read from it, what is unknown, and that nothing happened."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from clipinverter.portraits.vocabulary import sentence

LITTLE = 10.0  # levels of 255: a prompt that changes nothing moves pixels by 4 to 8, earrings by 12 to 17
NOTHING_CHANGED = "Hardly anything changed. Try stronger."


def changed(before: Image.Image, after: Image.Image) -> float:
    """How much a picture changed where it changed most: the 99th percentile over pixels of the largest difference of
    their channels, 0 to 255. Both pictures are RGB and of one size."""
    pair = (np.asarray(image, dtype=np.int16) for image in (before, after))
    return float(np.percentile(np.abs(np.subtract(*pair)).max(axis=2), 99))


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
    return f"<p class='note understood'><span>Understood:</span> {marks}</p>"
