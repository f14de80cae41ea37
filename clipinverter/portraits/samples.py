"""Contact sheets of random scenes, and of every attribute before and after an edit."""

from __future__ import annotations

from itertools import islice

from PIL import Image

from clipinverter.photo.contact_sheet import Cell, draw
from clipinverter.portraits.render import render
from clipinverter.portraits.scene import ATTRIBUTES, Scene


def sheet(count: int = 36, columns: int = 6, size: int = 192, seed: int = 0) -> Image.Image:
    """`count` scenes, seeds `seed`, `seed` + 1, ..."""
    cells = [_cell(Scene.from_seed(seed + i), size) for i in range(count)]
    return draw([cells[i : i + columns] for i in range(0, count, columns)], size)


def strips(size: int = 128, pairs: int = 3) -> Image.Image:
    """For every attribute a few scenes that lack it, each beside the edited scene, with the name above."""
    rows = []
    for k, name in enumerate(ATTRIBUTES):
        scenes = (Scene.from_seed(1000 * k + i) for i in range(300))
        lacking = islice((s for s in scenes if not s.has(name) and s.can_be(name)), pairs)
        row = [
            _cell(s, size, words)
            for before in lacking
            for s, words in ((before, ""), (before.edited(name), name))
        ]
        rows.append(row + [Cell(None)] * (2 * pairs - len(row)))
    half = -(-len(rows) // 2)  # two columns of rows
    rows += [[]] * (2 * half - len(rows))
    return draw([a + b for a, b in zip(rows[:half], rows[half:], strict=True)], size)


def _cell(scene: Scene, size: int, words: str = "") -> Cell:
    return Cell(Image.fromarray(render(scene, size)), above=[words] if words else [])
