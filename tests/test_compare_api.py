"""The endpoint /compare of a running server: it streams, refuses in sentences, stops, and leaves nothing behind."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.methods import comparison, latent_optimization
from clipinverter.methods.names import TITLES
from clipinverter.methods.settings import Settings
from tests.serving import serve
from tests.tiny import picture, tiny_models

PROMPT = "a smiling woman"
STEPS = 40


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(tiny_models())


@pytest.fixture(scope="module")
def client(editor):
    with pytest.MonkeyPatch.context() as patch, serve(lambda: editor) as address:
        own = Settings(steps=STEPS)
        patch.setattr(latent_optimization, "settings_of", lambda domain: own)
        patch.setattr(comparison, "EVERY", 0.0)
        yield Client(address, verbose=False)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    picture(7).save(path)
    return path


def compare(client, photo, prompt=PROMPT, strength=1.0, align="none", **options):
    """With the plain model, unless `options` say otherwise."""
    options = {"tune": False} | options
    return client.submit(
        handle_file(photo), prompt, strength, align, api_name="/compare", **options
    )


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_it_streams_to_the_results_of_all_methods(client, editor, photo):
    answers = [*compare(client, photo)]
    assert [row["state"] for row in answers[0][-1]] == ["waiting"] * 4
    assert any(row["note"].startswith("step ") for answer in answers for row in answer[-1])
    before, first, mapper, direction, optimized, rows = answers[-1]
    assert [row["method"] for row in rows] == list(TITLES)
    assert [row["state"] for row in rows] == ["done", "failed", "failed", "done"]
    assert "No mapper is trained" in rows[1]["note"]
    assert (mapper, direction) == (None, None)
    inversion = editor.invert(picture(7), "none")
    assert np.array_equal(pixels(before), np.asarray(inversion.image))
    assert np.array_equal(pixels(first), np.asarray(editor.edit(inversion, PROMPT).image))
    assert not np.array_equal(pixels(optimized), pixels(before))
    assert rows[3]["clip_gain"] > 0
    assert rows[3]["prompt_ms"] > 0
    rows = [*compare(client, photo, strength=0.5)][-1][-1]
    assert rows[3]["kept"] == "picture prompt"
    assert rows[3]["strength_ms"] > 0


def test_by_default_all_methods_draw_the_learned_photo(client, editor, tmp_path):
    photo = picture(8, (96, 96))
    photo.save(tmp_path / "photo.png")
    answers = [*compare(client, tmp_path / "photo.png", tune=True)]
    assert all(row["note"].startswith("learning ") for row in answers[0][-1])
    before, first, *_, optimized, rows = answers[-1]
    assert [row["state"] for row in rows] == ["done", "failed", "failed", "done"]
    assert np.array_equal(pixels(before), np.asarray(photo))
    tuned = editor.tuned(editor.invert(photo, "none"))
    assert np.array_equal(pixels(first), np.asarray(editor.edit(tuned, PROMPT).image))
    assert pixels(optimized).shape == (96, 96, 3)


def test_settings_of_styleclip_come_along(client, photo):
    answers = [*compare(client, photo, "a man with settings", styleclip='{"steps": 7}')]
    notes = {row["note"] for answer in answers for row in answer[-1]}
    assert any(note.endswith(" of 7") for note in notes)
    assert not any(note.endswith(f" of {STEPS}") for note in notes)


def test_the_whole_photo_comes_back(client, tmp_path):
    photo = picture(9, (120, 80))
    photo.save(tmp_path / "photo.png")
    *_, (before, first, *_, rows) = compare(client, tmp_path / "photo.png", paste=True)
    assert rows[0]["state"] == "done"
    assert np.array_equal(pixels(before), np.asarray(photo))
    assert pixels(first).shape == (80, 120, 3)
    assert not np.array_equal(pixels(first), np.asarray(photo))


def test_a_client_that_leaves_ends_the_work(client, photo):
    job = compare(client, photo, "a bald man who leaves")
    while not job.outputs():
        time.sleep(0.05)
    job.cancel()
    deadline = time.monotonic() + 20
    while any(t.name == comparison.THREAD for t in threading.enumerate()):
        assert time.monotonic() < deadline, "the comparison runs on"
        time.sleep(0.05)
    assert [*compare(client, photo)][-1][-1][0]["state"] == "done"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": " "}, "Please describe"),
        ({"strength": 9}, "from -2 to 2"),
        ({"align": "eyes"}, "Align must be"),
        ({"styleclip": '{"alpha": 11}'}, "alpha has to be a number from -10 to 10"),
        (
            {"styleclip": '{"rate": 1}'},
            "are named neutral, target, alpha, beta, steps, l2, identity",
        ),
        ({"styleclip": "[1]"}, "are named neutral"),
        ({"styleclip": {"alpha": 1}}, "are named neutral"),
        ({"styleclip": "[" * 9999}, "are named neutral"),
        ({"align": "yes"}, "Align must be"),
    ],
)
def test_refusals_are_sentences(client, photo, changes, sentence):
    with pytest.raises(AppError, match=sentence):
        compare(client, photo, **changes).result()


def test_the_endpoint_is_documented(client):
    endpoint = client.view_api(return_format="dict")["named_endpoints"]["/compare"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == [
        "image", "prompt", "strength", "align", "paste", "face", "tune", "detail", "styleclip"
    ]  # fmt: skip
    assert len(endpoint["returns"]) == 6
