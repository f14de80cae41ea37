"""Contact sheets: what the numbers look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from clipinverter.editor import Editor

GAP, LABEL = 6, 34
INK, PAPER = (40, 40, 44), (250, 250, 248)

PROMPTS = (
    "a smiling woman",
    "a woman with long red hair, smiling",
    "a man with a beard",
    "an old person with gray hair",
    "a young person",
    "blond hair",
    "a bald head",
    "wearing glasses",
    "wearing sunglasses and a hat",
    "a surprised face",
)


def grid(
    rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], cell: int = 128
) -> Image.Image:
    """Pictures in rows under column titles, which wrap to two lines."""
    width = len(titles) * (cell + GAP) + GAP
    sheet = Image.new("RGB", (width, LABEL + len(rows) * (cell + GAP) + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for x, title in enumerate(titles):
        pen.multiline_text(
            (GAP + x * (cell + GAP) + cell // 2, LABEL // 2 + 2),
            _wrapped(title, 22),
            fill=INK,
            font=font,
            anchor="mm",
            align="center",
            spacing=1,
        )
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(
                image.resize((cell, cell), Image.Resampling.LANCZOS),
                (GAP + x * (cell + GAP), LABEL + GAP + y * (cell + GAP)),
            )
    return sheet


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width)[:2])


def edits(
    editor: Editor, photos: Sequence[Path], prompts: Sequence[str] = PROMPTS, cell: int = 128
) -> Image.Image:
    """Every photo: as it is, inverted, and edited by every prompt."""
    rows = []
    for photo in photos:
        inversion = editor.invert(photo, align="none")
        row = [inversion.crop, inversion.image]
        row += [editor.edit(inversion, prompt).image for prompt in prompts]
        rows.append(row)
    return grid(rows, ["picture", "inversion", *prompts], cell)
