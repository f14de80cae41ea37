"""Contact sheets: what the numbers look like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clipinverter.editor import Editor
from clipinverter.evaluation.edits import EDITS, SEVERAL
from clipinverter.evaluation.metrics import HELD_OUT, held_out
from clipinverter.images import to_pil

GAP, LABEL = 6, 34
PORTRAITS, PROMPTS = 6, 6  # on a sheet
INK, PAPER = (40, 40, 44), (250, 250, 248)


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
    editor: Editor, photos: Sequence[Image.Image], prompts: Sequence[str], cell: int = 128
) -> Image.Image:
    """Every aligned picture: as it is, inverted, and edited by every prompt."""
    rows = []
    for photo in photos:
        inversion = editor.invert(photo, align="none")
        row = [inversion.crop, inversion.image]
        row += [editor.edit(inversion, prompt).image for prompt in prompts]
        rows.append(row)
    return grid(rows, ["picture", "inversion", *prompts], cell)


def drawn_by_lot(editor: Editor, seed: int, cell: int = 128) -> Image.Image:
    """A sheet of held-out portraits and of prompts that the seed picks, not a hand."""
    held = held_out(PORTRAITS, editor.models.domain.image_size, seed)
    photos = [to_pil(h.image[None]) for h in held]
    every = [*EDITS.values(), *SEVERAL]
    chosen = np.random.default_rng([HELD_OUT, seed]).permutation(len(every))[:PROMPTS]
    return edits(editor, photos, [every[i] for i in sorted(chosen)], cell)
