"""Grids of edits: every cell, failures that stop nobody, the sheet and the table."""

import csv
import io
from threading import Event

import pytest

from clipinverter.batch import Job
from clipinverter.editor import Editor
from clipinverter.ui import grid
from tests.tiny import picture, tiny_models

PROMPTS = ("a smiling woman", "=bald")


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(tiny_models())


def wishes(*strengths: float) -> list[Job]:
    return [Job(p, s, align="none", tune=False) for p in PROMPTS for s in strengths]


def test_every_photo_gets_every_wish(editor, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    photos = [("one", picture(1)), ("broken", broken), ("two", picture(2))]
    cells = [*grid.fill(editor, photos, wishes(0.5, 1.0))]
    assert [(c.photo, c.wish.prompt, c.wish.strength) for c in cells][:4] == [
        ("one", "a smiling woman", 0.5), ("one", "a smiling woman", 1.0),
        ("one", "=bald", 0.5), ("one", "=bald", 1.0),
    ]  # fmt: skip
    assert len(cells) == 12
    assert [bool(c.error) for c in cells] == [False] * 4 + [True] * 4 + [False] * 4
    assert "not a picture of a known format" in cells[4].error
    expected = editor.edit(editor.invert(picture(2), "none"), PROMPTS[0], 0.5)
    assert cells[8].image.tobytes() == expected.image.tobytes()
    assert cells[8].clip_after != cells[8].clip_before

    table = [*csv.DictReader(io.StringIO(grid.table(cells)))]
    assert len(table) == 12
    assert table[2]["prompt"] == "'=bald", "no formula"
    assert float(table[8]["clip_after"]) == pytest.approx(cells[8].clip_after, abs=1e-4)
    assert table[4]["error"] == cells[4].error
    sheet = grid.sheet(cells, 4)
    assert sheet.width > 4 * 256
    assert sheet.height > 3 * 256


def test_a_bug_in_one_cell_does_not_stop_the_others(editor, monkeypatch, caplog):
    original = grid.edit_photo

    def breaks(editor, photo, wish):
        if wish.strength == 0.5:
            raise MemoryError("secret detail")
        return original(editor, photo, wish)

    monkeypatch.setattr(grid, "edit_photo", breaks)
    cells = [*grid.fill(editor, [("one", picture(1))], wishes(0.5, 1.0))]
    assert [c.error for c in cells] == [grid.WENT_WRONG, "", grid.WENT_WRONG, ""]
    assert "secret detail" in caplog.text


def test_it_stops_after_the_current_cell(editor):
    stop = Event()
    run = grid.fill(editor, [("one", picture(1))], wishes(0.5, 1.0), stop)
    next(run)
    stop.set()
    assert [*run] == []
