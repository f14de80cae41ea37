"""All methods on one picture: cards, refusals, stopping, what is written; and the command."""

import csv
import dataclasses
import gc
import io
import json
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from clipinverter.__main__ import main
from clipinverter.methods.comparison import THREAD, WENT_WRONG, Comparison, row
from clipinverter.methods.latent_optimization import LatentOptimization
from clipinverter.methods.names import TITLES
from clipinverter.methods.report import as_csv, as_json, draw, duration, lines
from clipinverter.methods.settings import Settings
from clipinverter.photo.contact_sheet import GAP, PAPER, SIDE
from clipinverter.request import PromptError
from clipinverter.results import as_cached
from clipinverter.weights import load
from tests.test_styleclip_methods import PROMPT, editor, folder, inversion  # noqa: F401
from tests.tiny import picture, tiny_models


class Broken:
    """A method with a bug."""

    def edit(self, *args):
        raise MemoryError("secret detail")


class Slow(LatentOptimization):
    """An optimisation whose steps take their time."""

    seconds = 0.05

    def edit(self, photo, prompt, strength, on_step, on_preview):
        def slowly(image):
            on_preview(image)
            time.sleep(self.seconds)

        return super().edit(photo, prompt, strength, on_step, slowly)


@pytest.fixture
def methods(editor):  # noqa: F811
    return Comparison(editor).methods | {
        "optimization": LatentOptimization(editor.session, Settings(steps=6))
    }


def states(cards) -> list[str]:
    return [card.state for card in cards]


def test_every_method_ends_with_its_own_result(editor, inversion, methods):  # noqa: F811
    snapshots = [*Comparison(editor, methods).run(inversion, PROMPT)]
    assert states(snapshots[0]) == ["waiting"] * 4
    cards = {card.method: card for card in snapshots[-1]}
    assert list(cards) == list(TITLES)
    assert {name: card.state for name, card in cards.items()} == {
        "clipinverter": "done", "mapper": "failed", "direction": "failed", "optimization": "done"
    }  # fmt: skip
    assert "No mapper is trained" in cards["mapper"].note
    assert "styleclip relevance" in cards["direction"].note
    expected = editor.edit(inversion, PROMPT)
    edit = cards["clipinverter"].edit
    assert np.array_equal(np.asarray(edit.image), np.asarray(expected.image))
    assert cards["optimization"].clip_gain > 0
    assert cards["optimization"].identity is None
    found = row(cards["optimization"])
    assert found["prompt_ms"] > 0
    assert found["strength_ms"] > 0
    assert found["picture_ms"] == pytest.approx(sum(s.ms for s in inversion.ran), abs=0.1)


def test_a_method_with_a_bug_does_not_stop_the_others(editor, inversion, methods, caplog):  # noqa: F811
    broken = Comparison(editor, {"clipinverter": Broken()} | dict([*methods.items()][1:]))
    *_, cards = broken.run(inversion, PROMPT)
    assert states(cards) == ["failed", "failed", "failed", "done"]
    assert cards[0].note == WENT_WRONG
    assert "secret detail" in caplog.text


def test_a_bad_prompt_is_refused_before_anything_runs(editor, inversion):  # noqa: F811
    with pytest.raises(PromptError):
        next(Comparison(editor).run(inversion, " "))


def test_stopped_in_the_middle_the_best_so_far_stays(editor, inversion, methods):  # noqa: F811
    threads = workers()
    slow = methods | {"optimization": Slow(editor.session, Settings(steps=1000))}
    stop, stopped = threading.Event(), None
    for cards in Comparison(editor, slow).run(inversion, PROMPT, 1, stop):
        if cards[-1].preview and stopped is None:
            assert cards[0].state == "done"
            assert 0 < cards[-1].progress < 1
            stopped = time.monotonic()
            stop.set()
    assert cards[-1].state == "stopped"
    assert cards[-1].clip_gain is not None
    assert workers() == threads
    *_, cards = Comparison(editor, methods).run(inversion, PROMPT)  # and again
    assert cards[-1].state == "done"


def test_a_step_that_takes_long_does_not_hold_the_cards_up(editor, inversion):  # noqa: F811
    slow = Slow(editor.session, Settings(steps=9))
    slow.seconds = 3
    stop = threading.Event()
    run = Comparison(editor, {"optimization": slow, "clipinverter": editor}).run(
        inversion, PROMPT, 1, stop
    )
    before = workers()
    for cards in run:
        if cards[0].state == "running":
            break
    stop.set()
    while not all(card.over for card in cards):
        cards = next(run)
    assert states(cards) == ["stopped", "stopped"]
    assert workers() > before  # that step is still under way
    assert next(run, None) is None  # waits for it
    assert workers() == before


def test_closing_the_iterator_ends_the_work(editor, inversion):  # noqa: F811
    threads = workers()
    run = Comparison(editor, {"optimization": Slow(editor.session, Settings(steps=1000))}).run(
        inversion, PROMPT
    )
    for cards in run:
        if cards[0].preview:
            break
    assert workers() == threads + 1
    assert optimized() > 0
    run.close()
    del run
    assert workers() == threads
    assert optimized() == 0


def workers() -> int:
    """Threads of comparisons."""
    return sum(thread.name == THREAD for thread in threading.enumerate())


def optimized() -> int:
    """Latents in memory that an optimisation is working on."""
    gc.collect()
    return sum(type(o) is torch.Tensor and o.requires_grad for o in gc.get_objects())


def test_others_edit_while_a_comparison_runs(editor, inversion):  # noqa: F811
    run = Comparison(
        editor, {"optimization": LatentOptimization(editor.session, Settings(steps=400))}
    ).run(inversion, PROMPT)
    for cards in run:
        if cards[0].preview:
            break
    editor.edit(inversion, "a bald man")
    cards = next(run)
    assert cards[0].state == "running"
    run.close()


@pytest.fixture
def finished(editor, inversion, methods):  # noqa: F811
    *_, cards = Comparison(editor, methods).run(inversion, "=1+1 is a man", 0.5)
    return cards


def test_the_table(finished):
    rows = json.loads(as_json(finished))
    assert [r["method"] for r in rows] == list(TITLES)
    assert rows[0]["prompt"] == "=1+1 is a man"
    assert rows[1]["clip_gain"] is None
    table = [*csv.DictReader(io.StringIO(as_csv(finished)))]
    assert [r["method"] for r in table] == list(TITLES)
    assert table[0]["prompt"].startswith("'=")  # no formula
    assert float(table[0]["clip_gain"]) == rows[0]["clip_gain"]
    assert list(table[0]) == list(rows[0])


def test_the_sheet(finished, inversion):  # noqa: F811
    sheet = draw(inversion, "a man " * 300, finished)
    assert sheet.width > 6 * SIDE
    inverted = np.asarray(inversion.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    second = np.asarray(sheet)[:, SIDE + 2 * GAP :][:, :SIDE]
    places = [y for y in range(len(second) - SIDE) if (second[y : y + SIDE] == inverted).all()]
    assert len(places) == 1
    assert (second[: places[0]] != PAPER).any(), "the title and the name of the column"
    assert (second[places[0] + SIDE :] != PAPER).any(), "what is said of it"


def test_what_is_said_of_a_card(finished):
    done = dataclasses.replace(finished[0], clip_gain=0.0314, identity=0.87)
    said = lines(done)
    assert said[:2] == ["CLIP score +0.031", "Same person: 0.87"]
    assert [line.split(":")[0] for line in said[2:]] == [
        "Once a picture", "Once a prompt", "Once a strength"
    ]  # fmt: skip
    kept = dataclasses.replace(done.edit, stages=as_cached(done.edit.stages))
    said = lines(dataclasses.replace(done, edit=kept))
    assert [line.endswith(" ms, kept") for line in said[2:]] == [False, True, True]
    assert "Stopped; the last step" in lines(dataclasses.replace(done, state="stopped"))
    assert lines(finished[1]) == [finished[1].note]
    assert [duration(ms) for ms in (None, 0.2, 999.4, 61_000)] == [
        "–",
        "1 ms",
        "999 ms",
        "61.0 s",
    ]


def test_the_command_writes_the_sheet(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(load, "load_models", lambda domain: tiny_models())
    own = Settings(steps=3)
    monkeypatch.setattr("clipinverter.methods.latent_optimization.settings_of", lambda domain: own)
    photo, out = tmp_path / "photo.png", tmp_path / "sheet.png"
    picture().save(photo)
    assert main(["compare", str(photo), PROMPT, "-o", str(out), "--align", "none"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == list(TITLES.values())
    assert "No mapper is trained" in said[1]
    with Image.open(out) as sheet:
        assert sheet.width > 6 * SIDE
    plain = ["compare", str(photo), PROMPT, "-o", str(out), "--align", "none", "--plain"]
    assert main(plain) == 0
    with Image.open(out) as first:
        before = np.asarray(first)
    options = [
        "--align",
        "none",
        "--steps",
        "6",
        "--l2",
        "0",
        "--neutral",
        "a face",
        "--alpha",
        "-4",
    ]
    assert main(["compare", str(photo), PROMPT, "-o", str(out), "--plain", *options]) == 0
    with Image.open(out) as second:
        assert not np.array_equal(np.asarray(second), before)
    assert main(["compare", str(photo), PROMPT, "-o", str(out), "--alpha", "40"]) == 2
    assert "alpha has to be a number from -10 to 10." in capsys.readouterr().err
    assert main(["compare", str(photo), " ", "-o", str(out)]) == 2
    assert "Please describe" in capsys.readouterr().err
