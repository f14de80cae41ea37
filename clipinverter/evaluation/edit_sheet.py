"""Contact sheets of edits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.evaluation.editing import EDITS, SEVERAL
from clipinverter.evaluation.metrics import HELD_OUT, held_out
from clipinverter.evaluation.photo_edits import choose, names, prompt_of
from clipinverter.photo.contact_sheet import Cell, draw
from clipinverter.photo.tensors import to_pil

ROWS = 6  # portraits on a sheet
COLUMNS = 6  # prompts on a sheet
PHOTOS, PHOTO_PROMPTS = 12, 8  # on a sheet of photos


def grid(
    rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], cell: int = 128
) -> Image.Image:
    """Pictures in rows, with a title over each column."""
    first = [Cell(image, above=[title]) for image, title in zip(rows[0], titles, strict=True)]
    return draw([first, *([Cell(image) for image in row] for row in rows[1:])], cell)


def edits(
    editor: Editor, photos: Sequence[Image.Image], prompts: Sequence[str], cell: int
) -> Image.Image:
    """A row for each aligned picture: as it is, inverted, and edited by every prompt."""
    rows = []
    for photo in photos:
        inversion = editor.invert(photo, align="none")
        row = [inversion.crop, inversion.image]
        row += [editor.edit(inversion, prompt).image for prompt in prompts]
        rows.append(row)
    return grid(rows, ["picture", "inversion", *prompts], cell)


def random_edits(editor: Editor, seed: int, cell: int) -> Image.Image:
    """A sheet of held-out portraits and prompts, both chosen at random by seed."""
    held = held_out(ROWS, editor.models.domain.image_size, seed)
    photos = [to_pil(h.image[None]) for h in held]
    every = [*EDITS.values(), *SEVERAL]
    chosen = np.random.default_rng([HELD_OUT, seed]).permutation(len(every))[:COLUMNS]
    return edits(editor, photos, [every[i] for i in sorted(chosen)], cell)


def tuned_photos(editor: Editor, folder: Path, seed: int, cell: int) -> Image.Image:
    """A sheet of aligned photos, each tuned to, and prompts; both chosen at random by seed."""
    files = choose(folder, PHOTOS, seed)
    every = names()
    chosen = np.random.default_rng([HELD_OUT, seed]).permutation(len(every))[:PHOTO_PROMPTS]
    picked = [every[i] for i in sorted(chosen)]
    rows = []
    for file in files:
        tuned = editor.tune(editor.invert(file, align="none"))
        edited = [editor.edit(tuned, prompt_of(name)).image for name in picked]
        rows.append([tuned.crop, *edited])
    return grid(rows, ["photo", *picked], cell)
