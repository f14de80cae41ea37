"""What a stage does to a few pictures, for its log: before, after, and asked for the original caption again."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from clipinverter.images import to_pil

CELL, GAP, LINE, LINES = 256, 8, 16, 2
INK, PAPER = (40, 40, 44), (250, 250, 248)


def strips(
    before: Tensor, after: Tensor, restored: Tensor, prompts: Sequence[str], captions: Sequence[str]
) -> Image.Image:
    """A row for each picture of `before`, `after` and `restored` [B, 3, S, S]; the prompt stands under the second, the
    caption under the third."""
    width, height = 3 * (CELL + GAP) + GAP, CELL + LINES * LINE + 2 * GAP
    sheet = Image.new("RGB", (width, len(before) * height + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for row, texts in enumerate(zip(["before"] * len(before), prompts, captions, strict=True)):
        for column, (images, text) in enumerate(zip((before, after, restored), texts, strict=True)):
            x, y = GAP + column * (CELL + GAP), GAP + row * height
            picture = to_pil(images[row : row + 1])
            sheet.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (x, y))
            lines = textwrap.wrap(text, 40, max_lines=LINES, placeholder=" …")
            pen.multiline_text((x, y + CELL + 2), "\n".join(lines), fill=INK, font=font)
    return sheet
