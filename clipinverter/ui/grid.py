"""Many edits at once: photos × prompts × strengths, one cell after the other, as a sheet or a table."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from clipinverter.batch import Job, edit_photo
from clipinverter.errors import UserError
from clipinverter.methods.report import harmless
from clipinverter.methods.scores import clip_scores, identity
from clipinverter.photo import contact_sheet

if TYPE_CHECKING:
    from clipinverter.editor import Editor, Photo

log = logging.getLogger(__name__)

WENT_WRONG = (
    "Something went wrong with this one; whoever runs the server finds the reason in its log."
)
COLUMNS = ("photo", "prompt", "strength", "clip_before", "clip_after", "identity", "error")


class Cell(NamedTuple):
    """An edit of a grid, or why there is none.

    Attributes:
        photo: name of the photo.
        wish: what was asked of it.
        image: RGB, signed; None if it failed.
        clip_before, clip_after: CLIP's cosine of the prompt and the picture without and with the edit.
        identity: cosine of the identity features of the two; None without an identity network.
        error: a sentence if it failed.
    """

    photo: str
    wish: Job
    image: Image.Image | None = None
    clip_before: float | None = None
    clip_after: float | None = None
    identity: float | None = None
    error: str = ""


def fill(
    editor: Editor,
    photos: Sequence[tuple[str, Photo]],
    wishes: Sequence[Job],
    stop: Event | None = None,
) -> Iterator[Cell]:
    """Every photo with every wish, photo by photo; a cell as soon as it is there.

    An edit that fails is a cell with a sentence, and the others go on. Setting `stop` ends it after the
    current cell.

    Args:
        photos: name and photo, as `Editor.invert` takes it.
        wishes: without `paste`, since the scores are of the face.
    """
    for name, photo in photos:
        for wish in wishes:
            if stop and stop.is_set():
                return
            yield _cell(editor, name, photo, wish)


def _cell(editor: Editor, name: str, photo: Photo, wish: Job) -> Cell:
    try:
        image, _, edit = edit_photo(editor, photo, wish)
        before = edit.inversion.unedited
        clip = clip_scores(editor.session, wish.prompt, before, image)
        return Cell(name, wish, image, *clip, identity(editor.session, before, image))
    except UserError as error:
        return Cell(name, wish, error=str(error))
    except Exception:  # a bug, or a machine out of memory: the other cells go on
        log.exception("an edit of a grid failed")
        return Cell(name, wish, error=WENT_WRONG)


def sheet(cells: Sequence[Cell], columns: int, title: str = "") -> Image.Image:
    """All cells as one picture, RGB, `columns` in a row, with prompt and strength above each."""
    drawn = [
        contact_sheet.Cell(
            cell.image,
            [f"{cell.photo}: {cell.wish.prompt}, {cell.wish.strength:g}"],
            [cell.error] if cell.error else [],
        )
        for cell in cells
    ]
    rows = [drawn[i : i + columns] for i in range(0, len(drawn), columns)]
    return contact_sheet.draw(rows or [[contact_sheet.Cell(None)]], title=title)


def table(cells: Sequence[Cell]) -> str:
    """All cells as CSV with a header, see `COLUMNS`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in cells:
        figures = (cell.clip_before, cell.clip_after, cell.identity)
        rounded = ["" if figure is None else round(figure, 4) for figure in figures]
        words = [harmless(cell.photo), harmless(cell.wish.prompt)]
        writer.writerow([*words, cell.wish.strength, *rounded, cell.error])
    return out.getvalue()
