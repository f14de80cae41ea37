"""Contact sheets: many scenes at a glance, and every attribute before and after."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .render import render
from .scene import ATTRIBUTES, Scene


def sheet(count: int = 36, columns: int = 6, size: int = 192, seed: int = 0) -> Image.Image:
    """`count` scenes, seeds `seed`, `seed` + 1, ..."""
    pictures = [render(Scene.from_seed(seed + i), size) for i in range(count)]
    return _tile(pictures, columns)


def strips(size: int = 128, pairs: int = 3) -> Image.Image:
    """For every attribute a few scenes that lack it, each beside its edited self; the name is written above."""
    pictures, names = [], []
    for k, name in enumerate(ATTRIBUTES):
        found, seed = [], 1000 * k
        while len(found) < pairs and seed < 1000 * k + 300:
            scene = Scene.from_seed(seed)
            if not scene.has(name) and scene.can_be(name):
                found.append((scene, scene.edited(name)))
            seed += 1
        pictures.append(np.hstack([render(s, size) for pair in found for s in pair]))
        names.append(name)
    width = max(p.shape[1] for p in pictures)
    columns = 2
    rows = -(-len(pictures) // columns)
    out = Image.new("RGB", (columns * (width + 8), rows * (size + 16)), "white")
    draw = ImageDraw.Draw(out)
    for i, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        x, y = (i // rows) * (width + 8), (i % rows) * (size + 16)
        draw.text((x + 2, y + 2), name, fill="black")
        out.paste(Image.fromarray(picture), (x, y + 16))
    return out


def _tile(pictures: list[np.ndarray], columns: int) -> Image.Image:
    blank = np.full_like(pictures[0], 255)
    pictures = pictures + [blank] * (-len(pictures) % columns)
    return Image.fromarray(
        np.vstack([np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)])
    )
