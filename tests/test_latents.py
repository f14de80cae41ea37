"""Latents that a visitor brings back: the same edits as before, and nothing in the file is trusted."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image, PngImagePlugin

from clipinverter.editor import Editor
from clipinverter.errors import UserError
from clipinverter.request import Request
from clipinverter.ui import api, restoring
from clipinverter.ui.latents import restore
from tests.tiny import picture, tiny_models

PROMPT = "a smiling woman"


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(tiny_models())


@pytest.fixture(scope="module")
def plain(editor):
    return editor.invert(picture(), "none")


@pytest.fixture(scope="module")
def tuned(editor, plain):
    return editor.tune(plain)


@pytest.fixture
def path(tuned, tmp_path):
    tuned.save(tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


def test_edits_are_the_same_as_before(editor, plain, tuned, path):
    before = editor.edit(tuned, PROMPT).image.tobytes()
    other = Editor(tiny_models())
    assert other.edit(restore(other, path), PROMPT).image.tobytes() == before
    published = restore(other, path, tune=False)
    assert published.tuning is None
    assert (
        other.edit(published, PROMPT).image.tobytes() == editor.edit(plain, PROMPT).image.tobytes()
    )


def test_a_restored_photo_is_edited_as_a_request(editor, tuned, path, tmp_path):
    photo = restoring.unpack(editor, path, tmp_path)
    opened = api.open_request(lambda: editor, Request(photo, PROMPT, align="none"))
    assert not opened.learnable
    after = editor.edit(opened.inversion, PROMPT).image
    assert after.tobytes() == editor.edit(tuned, PROMPT).image.tobytes()


def test_a_file_changes_nothing_for_others(editor, plain, path, tmp_path):
    """A forged file names the photo of somebody else as its own."""
    forged = replace(plain, w_plus=plain.w_plus + 1)
    forged.save(tmp_path / "forged.safetensors")
    before = editor.edit(plain, PROMPT).image.tobytes()
    restored = restore(editor, tmp_path / "forged.safetensors")
    assert restored.key != plain.key
    assert editor.edit(restored, PROMPT).image.tobytes() != before
    again = editor.edit(editor.invert(picture(), "none"), PROMPT)
    assert again.image.tobytes() == before


def forgeries(tuned):
    nan = tuned.w_plus.clone()
    nan[0, 0, 0] = torch.nan
    name, change = next(iter(tuned.tuning.changes.items()))
    yield "not finite", replace(tuned, w_plus=nan)
    yield "another size", replace(tuned, w_plus=torch.zeros(1, 2, 3))
    yield "features", replace(tuned, features=tuple(f[:, :1] for f in tuned.features))
    yield (
        "unknown weight",
        replace(tuned, tuning=replace(tuned.tuning, changes={"no.such": change})),
    )
    yield (
        "weight's size",
        replace(tuned, tuning=replace(tuned.tuning, changes={name: torch.zeros(1)})),
    )
    yield "no square", replace(tuned, crop=tuned.crop.resize((20, 30)))


def test_forged_and_broken_files_are_refused_with_a_sentence(editor, tuned, path, tmp_path):
    for _, forged in forgeries(tuned):
        forged.save(tmp_path / "forged.safetensors")
        with pytest.raises(UserError, match="another model"):
            restore(editor, tmp_path / "forged.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:1000])
    for broken in ("cut.safetensors", "missing.safetensors"):
        with pytest.raises(UserError, match="another model"):
            restore(editor, tmp_path / broken)


def test_a_saved_picture_carries_its_words(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "a man")
    info.add_text("strength", "1.5")
    Image.new("RGB", (8, 8)).save(tmp_path / "saved.png", pnginfo=info)
    assert restoring.words_of(tmp_path / "saved.png") == ("a man", 1.5)
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    (tmp_path / "text.png").write_text(json.dumps({"prompt": "a man"}))
    for name in ("other.png", "text.png"):
        with pytest.raises(UserError, match="not saved by this page"):
            restoring.words_of(tmp_path / name)
