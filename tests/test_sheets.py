"""Contact sheets: every picture and all words find a place."""

import numpy as np
from PIL import Image

from clipinverter.photo.contact_sheet import GAP, PALE, PAPER, SIDE, Cell, draw


def shows(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    """How many pixels of the sheet have a colour."""
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


def test_rows_may_differ_in_length_and_places_stay_empty():
    red, blue = (Image.new("L", (9, 30), 200), Image.new("RGBA", (5, 5), (0, 0, 250, 255)))
    sheet = draw([[Cell(red)], [Cell(blue), Cell(None), Cell(blue)]], 64)
    assert sheet.width == GAP + 3 * (64 + GAP)
    assert shows(sheet, (200, 200, 200)) == 64 * 64
    assert shows(sheet, (0, 0, 250)) == 2 * 64 * 64
    assert shows(sheet, PALE) == 64 * 64


def test_words_make_room_and_cover_no_picture():
    black = Image.new("RGB", (8, 8), (1, 2, 3))
    bare = draw([[Cell(black)] * 2])
    words = ["a young woman with long wavy red hair and a hat, smiling broadly at somebody"]
    sheet = draw([[Cell(black, above=words), Cell(black, below=words * 3)]], title="a man " * 99)
    assert shows(sheet, (1, 2, 3)) == 2 * SIDE * SIDE == shows(bare, (1, 2, 3))
    assert sheet.width == bare.width
    assert sheet.height > bare.height + 100
    right = np.asarray(sheet)[:, -GAP:]
    assert (right == PAPER).all(), "words end where the cell ends"
