"""The command line."""

import numpy as np
import pytest
from PIL import Image

from clipinverter.__main__ import main
from clipinverter.editor import Editor
from clipinverter.photo import align
from clipinverter.photo.faces import face_of_eyes
from clipinverter.photo.paste import paste
from clipinverter.weights import load
from tests.tiny import picture, tiny_models


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "load_models", lambda domain: tiny_models())
    path = tmp_path / "photo.png"
    picture().save(path)
    return path


@pytest.mark.parametrize("options", [(), ("--no-detail",), ("--plain",)])
def test_edit_writes_the_editors_picture(photo, tmp_path, options):
    out = tmp_path / "out.png"
    command = ["edit", str(photo), "a bald man", "-o", str(out), *options]
    assert main([*command, "--strength", "0.5", "--align", "none"]) == 0
    editor = Editor(tiny_models())
    inversion = editor.invert(picture(), "none")
    if "--plain" not in options:
        inversion = editor.tune(inversion, detail="--no-detail" not in options)
    expected = editor.edit(inversion, "a bald man", 0.5)
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(expected.image))


def test_the_picture_says_how_it_was_made(photo, tmp_path):
    out = tmp_path / "out.png"
    assert main(["edit", str(photo), " a  bald man", "-o", str(out), "--align", "none"]) == 0
    with Image.open(out) as image:
        assert image.text.pop("Software").startswith("clipinverter ")
        assert image.text == {
            "method": "CLIPInverter", "model": "tiny", "prompt": "a bald man", "strength": "1.0"
        }  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--plain",)])
def test_the_face_goes_back_into_the_photo(photo, tmp_path, monkeypatch, options):
    found = [face_of_eyes((120, 60), (180, 60)), face_of_eyes((30, 50), (60, 55))]
    monkeypatch.setattr(align, "detect_faces", lambda photo: found)
    group = picture(3, (300, 200))
    group.save(photo)
    out = tmp_path / "out.png"
    command = ["edit", str(photo), "a man", "-o", str(out), "--face", "1", "--paste", *options]
    assert main(command) == 0
    editor = Editor(tiny_models())
    inversion = editor.invert(group, face=1)
    if "--plain" not in options:
        inversion = editor.tune(inversion)
    expected = paste(group, inversion, editor.edit(inversion, "a man").image)
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(expected))


@pytest.mark.parametrize(
    ("photo_name", "prompt", "options", "sentence"),
    [
        ("missing.png", "a man", (), "no picture at"),
        ("photo.png", "a man", ("-o", "no/such/folder/out.png"), "no/such/folder"),
    ],
)
def test_a_mistake_is_one_line(photo, capsys, photo_name, prompt, options, sentence):
    path = photo.with_name(photo_name)
    out = photo.with_name("out.png")
    assert main(["edit", str(path), prompt, "-o", str(out), "--align", "none", *options]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert sentence in captured.err
    assert not out.exists()
