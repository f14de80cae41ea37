"""A folder of pictures: edited in one go, shared out over processes, and not twice."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipinverter import batch
from clipinverter.__main__ import main
from clipinverter.editor import Editor
from clipinverter.photo.folder import outputs
from clipinverter.weights import load
from clipinverter.weights.files import CheckpointError
from tests import own
from tests.tiny import picture, tiny_models


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three pictures, one in a subfolder, and a fourth that is damaged."""
    monkeypatch.setattr(load, "load_models", lambda domain, device=None: tiny_models())
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    picture(1).save(folder / "a.png")
    picture(2).save(folder / "b.jpg")
    picture(3).save(folder / "sub" / "a.webp")
    (folder / "c.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def edit(folder: Path, out: Path, prompt: str = "a bald man", *options: str) -> int:
    return main(
        ["edit", str(folder), "--prompt", prompt, "-o", str(out), "--align", "none", *options]
    )


def manifest(out: Path) -> dict[str, dict]:
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == sorted(line["file"] for line in lines)
    return {line["file"]: line for line in lines}


def test_without_a_text_image_model_no_picture_is_tried(folder, tmp_path, monkeypatch, capsys):
    def damaged():
        raise CheckpointError("clip.safetensors is damaged")

    models = dataclasses.replace(tiny_models(), read_text_image=damaged)
    calls = []
    monkeypatch.setattr(load, "load_models", lambda domain, device=None: models)
    monkeypatch.setattr(batch, "edit_photo", lambda *asked: calls.append(asked))
    assert edit(folder, tmp_path / "out") == 1
    assert "clip.safetensors is damaged" in capsys.readouterr().err
    assert not calls


def test_every_picture_is_edited_and_a_damaged_one_noted(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert edit(folder, out, " a  bald man", "--strength", "0.5") == 1
    lines = manifest(out)
    assert {file: line["status"] for file, line in lines.items()} == {
        "a.png": "done", "b.jpg": "done", "c.jpg": "failed", "sub/a.webp": "done"
    }  # fmt: skip
    assert "not a picture" in lines["c.jpg"]["error"]
    for line in lines.values():
        assert line["prompt"] == "a bald man"
        assert line["strength"] == 0.5
        assert (line["method"], line["domain"]) == ("CLIPInverter", "portraits")
        assert line["tune"]
        assert line["detail"]
        assert line["seconds"] >= 0
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == {
        "a.png", "b.png", "sub/a.png", "manifest.jsonl"
    }  # fmt: skip
    editor = Editor(tiny_models())
    tuned = editor.tune(editor.invert(folder / "b.jpg", "none"))
    expected = editor.edit(tuned, "a bald man", 0.5).image
    with Image.open(out / lines["b.jpg"]["output"]) as image:
        assert np.array_equal(np.asarray(image), np.asarray(expected))
        assert image.text["prompt"] == "a bald man"
    assert capsys.readouterr().out.endswith(
        f"3 edited, 0 there already, 1 failed: see {out / 'manifest.jsonl'}\n"
    )


def test_what_is_done_is_skipped_and_what_failed_tried_again(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert edit(folder, out) == 1
    before = (out / "a.png").stat().st_mtime_ns
    picture(4).save(folder / "c.jpg")
    (out / "b.png").unlink()
    assert edit(folder, out) == 0
    assert "2 edited, 2 there already, 0 failed" in capsys.readouterr().out
    assert (out / "a.png").stat().st_mtime_ns == before
    assert (out / "b.png").is_file()
    lines = manifest(out)
    assert lines["c.jpg"]["status"] == "done"
    assert lines["c.jpg"]["error"] == ""
    assert edit(folder, out, "a smiling woman") == 0  # another wish: nothing of it is there
    assert "4 edited, 0 there already" in capsys.readouterr().out
    assert {line["prompt"] for line in manifest(out).values()} == {"a smiling woman"}


def test_a_run_that_was_killed_goes_on(folder, tmp_path, capsys):
    """Its processes had noted one picture each; the second one's line was cut off."""
    out = tmp_path / "out"
    assert edit(folder, out) == 1
    first, second, *_ = (out / "manifest.jsonl").read_text().splitlines()
    (out / "manifest.jsonl").unlink()
    (out / "manifest-0.part").write_text(f"{first}\n")
    (out / "manifest-1.part").write_text(second[:40])
    assert edit(folder, out) == 1
    assert "2 edited, 1 there already, 1 failed" in capsys.readouterr().out
    assert len(manifest(out)) == 4
    assert not [*out.glob("*.part*")]


def test_pictures_without_a_face_are_noted(folder, tmp_path):
    out = tmp_path / "out"
    assert main(["edit", str(folder), "a bald man", "-o", str(out)]) == 1
    lines = manifest(out)
    assert lines["a.png"]["error"].startswith("No face was found")
    assert not (out / "a.png").exists()


def test_pictures_of_one_name_keep_their_suffix(tmp_path):
    paths = [tmp_path / name for name in ("a.jpg", "a.webp", "b.jpg", "sub/a.jpg", "c.d.png")]
    assert outputs(tmp_path, paths) == [
        "a.jpg.png", "a.webp.png", "b.png", "sub/a.png", "c.d.png"
    ]  # fmt: skip


def test_edits_within_the_folder_are_no_pictures_to_edit(folder, capsys):
    for _ in range(2):
        assert edit(folder, folder / "edited") == 1
    assert "0 edited, 3 there already, 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["empty", "--prompt", "a man"], 1, "There are no pictures in the folder"),
        (["in", "--prompt", " "], 2, "Please describe"),
        (["in", "--prompt", "a man", "--strength", "3"], 2, "from -2 to 2"),
    ],
)
def test_mistakes_are_said_at_once(
    folder, tmp_path, capsys, monkeypatch, arguments, status, sentence
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert main(["edit", *arguments, "-o", "out"]) == status
    assert sentence in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("prompts", [[], ["a man", "--prompt", "a woman"]])
def test_the_prompt_is_given_once(folder, capsys, prompts):
    with pytest.raises(SystemExit):
        main(["edit", str(folder), *prompts, "-o", "out"])
    assert "the prompt is needed once" in capsys.readouterr().err


def test_one_process_needs_no_accelerate(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)  # importing it fails
    assert edit(folder, tmp_path / "out") == 1


def test_two_processes_share_the_folder(folder, tmp_path, monkeypatch):
    """Started by the launcher, in a domain that a user added: the edits are those of one process."""
    monkeypatch.undo()
    own.add(tmp_path, monkeypatch.setattr)
    own.write_weights()
    own.write_trained()
    out, alone = tmp_path / "out", tmp_path / "alone"
    arguments = ["edit", folder, "--prompt", "a black cat", "--domain", "cats", "-o"]
    launched = own.launch(tmp_path, *arguments, out)
    assert launched.returncode == 1, launched.stderr
    assert launched.stdout.count("3 edited, 0 there already, 1 failed") == 1
    assert launched.stdout.count("c.jpg: This file is not a picture") == 1
    assert not [*out.glob("*.part*")]
    assert main([*map(str, arguments), str(alone)]) == 1
    first, second = (manifest(place) for place in (out, alone))
    for line in (*first.values(), *second.values()):
        assert line.pop("seconds") >= 0
    assert first == second
    for name in ("a.png", "b.png", "sub/a.png"):
        one, two = (np.asarray(Image.open(place / name), dtype=int) for place in (out, alone))
        assert np.abs(one - two).max() <= 1  # levels of 255
