"""Colours of the large areas of a portrait: backdrop, clothes and hat.

They are not in the renderer, since W describes them too (`w_space.py`).
"""

from __future__ import annotations

import colorsys

import numpy as np
from scipy.special import ndtr

from clipinverter.portraits.scene import Scene


def hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    """Linear RGB of an HSV colour."""
    return tuple(c**2.2 for c in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def clothes_colour(scene: Scene) -> tuple[float, float, float]:
    """Linear red, green and blue of the clothes."""
    a, b, c = (float(ndtr(x)) for x in scene.values["clothes_colour"])
    return hsv(a, 0.75 * b, 0.15 + 0.75 * c)


def hat_colour(scene: Scene) -> tuple[float, float, float]:
    """Linear red, green and blue of the hat, worn or not; it depends on the clothes' colour."""
    a, b, c = (float(ndtr(x)) for x in scene.values["clothes_colour"])
    return hsv(a + 0.45 + 0.2 * b, 0.35 + 0.5 * c, 0.25 + 0.5 * b)


def backdrop(scene: Scene) -> dict[str, object]:
    """Uniforms of the backdrop's shader: a gradient between two linear colours, and its direction."""
    hue, saturation, angle = (float(ndtr(x)) for x in scene.values["backdrop_colour"])
    level = float(np.interp(scene.values["backdrop"], (0, 0.25, 0.75, 1), (0.07, 0.26, 0.62, 0.93)))
    turn = 2 * np.pi * angle
    high = np.array(hsv(hue, 0.55 * saturation * (1 - 0.5 * level), min(1.0, level * 1.12)))
    low = np.array(hsv(hue + 0.04, 0.6 * saturation * (1 - 0.5 * level), level * 0.8))
    return {"low": low, "high": high, "direction": (np.cos(turn), np.sin(turn))}
