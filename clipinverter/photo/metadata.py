"""A saved picture says how it was made, and nothing about the picture that it was made from."""

import os
from collections.abc import Mapping
from typing import Any

from PIL import Image, PngImagePlugin

from clipinverter import __version__

METHOD = "CLIPInverter"
SIGNATURE = ("method", "model", "prompt", "strength")
FAST_ABOVE = 2_000_000  # pixels; compressing more than that well would take seconds


def sign(image: Image.Image, info: Mapping[str, Any]) -> Image.Image:
    """Gives the picture its origin as text entries, which are written into a PNG."""
    image.info["Software"] = f"clipinverter {__version__}"
    image.info |= {key: str(info[key]) for key in SIGNATURE if key in info}
    return image


def save_png(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Writes a PNG with the picture's text entries."""
    entries = PngImagePlugin.PngInfo()
    for key, value in image.info.items():
        if isinstance(value, str):
            entries.add_text(key, value)
    level = 1 if image.width * image.height > FAST_ABOVE else 6
    image.save(path, format="PNG", pnginfo=entries, compress_level=level)
