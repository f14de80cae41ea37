"""Contact sheets: images in rows, with text above and below each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP = 256, 8
INK, PALE, PAPER = (40, 40, 44), (232, 230, 226), (250, 250, 248)


@dataclass(frozen=True)
class Cell:
    """One image of a sheet, or None for an empty place, and lines of text, wrapped to its width."""

    image: Image.Image | None
    above: Sequence[str] = ()
    below: Sequence[str] = ()


def draw(rows: Sequence[Sequence[Cell]], side: int = SIDE, title: str = "") -> Image.Image:
    """Draws rows of images, each scaled to `side` x `side` pixels, under an optional title."""
    size = max(11, side // 18)  # of the font
    line, letters = size + 4, int(side / (0.56 * size))
    font = ImageFont.load_default(size=size)
    wrapped = [[(_wrap(c.above, letters), _wrap(c.below, letters)) for c in row] for row in rows]
    highest = [[line * max(len(words[i]) for words in row) for i in (0, 1)] for row in wrapped]
    head = 2 * line if title else 0
    width = GAP + max(map(len, rows)) * (side + GAP)
    height = GAP + head + sum(above + side + below + 2 * GAP for above, below in highest)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), textwrap.shorten(title, width // size, placeholder=" …"), INK, font)
    y = GAP + head
    for row, words, (above, below) in zip(rows, wrapped, highest, strict=True):
        for i, (cell, (over, under)) in enumerate(zip(row, words, strict=True)):
            x = GAP + i * (side + GAP)
            top = y + above
            pen.multiline_text((x, top - 4), "\n".join(over), INK, font, anchor="ld", spacing=4)
            if cell.image is None:
                pen.rectangle((x, top, x + side - 1, top + side - 1), fill=PALE)
            else:
                image = cell.image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
                sheet.paste(image, (x, top))
            pen.multiline_text((x, top + side + 4), "\n".join(under), INK, font, spacing=4)
        y += above + side + below + 2 * GAP
    return sheet


def _wrap(lines: Sequence[str], letters: int) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, letters)]
