"""The command line with what people mistype: a sentence, an exit status, and nothing half written."""

import errno
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from clipinverter import batch
from clipinverter.__main__ import main
from clipinverter.editor import Editor
from clipinverter.photo import align
from clipinverter.photo.faces import face_of_eyes
from clipinverter.photo.folder import outputs
from clipinverter.photo.metadata import SaveError, save_png
from clipinverter.weights import load
from tests.tiny import picture, tiny_models


@pytest.fixture(scope="module")
def models():
    return tiny_models()


@pytest.fixture
def photo(tmp_path, monkeypatch, models):
    monkeypatch.setattr(load, "load_models", lambda domain, device=None: models)
    monkeypatch.chdir(tmp_path)
    picture().save("photo.png")
    return tmp_path / "photo.png"


def run(*arguments: object) -> int:
    """The exit status, whoever ends the command."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def edit(*arguments: object) -> int:
    return run("edit", "--plain", "--align", "none", *arguments)


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["", "a man", "-o", "out"], 2, "path of the picture or folder is empty"),
        (["photo.png", "a man", "-o", ""], 2, "path after -o is empty"),
        (["a\0b.png", "a man", "-o", "out.png"], 2, "no path can hold"),
        (["photo.png", "", "-o", "out.png"], 2, "Please describe"),
        (["photo.png", "\0", "-o", "out.png"], 2, "Please describe"),
        (["photo.png", "\u200b\ufeff\u2060", "-o", "out.png"], 2, "Please describe"),
        (["photo.png", "\ud800", "-o", "out.png"], 2, "no text"),
        (["photo.png", "a " * 2000, "-o", "out.png"], 2, "at most 2,000"),
        (["photo.png", "a man", "-o", "out.png", "--strength", "1,5"], 2, "written like 1.5"),
        (["photo.png", "a man", "-o", "out.png", "--strength", "nan"], 2, "from -2 to 2"),
        (["photo.png", "a man", "-o", "out.png", "--strength", "1e999"], 2, "from -2 to 2"),
        (["photo.png", "a man", "-o", "out.png", "--strength", "9" * 500], 2, "from -2 to 2"),
        (["photo.png", "a man", "-o", "out.png", "--strength", ""], 2, "from -2 to 2"),
        (["photo.png", "a man", "-o", "out.png", "--domain", "dogs"], 2, "There is no domain"),
        (["photo.png", "a man", "-o", "out.png", "--face", "x"], 2, "invalid int value"),
        (["photo.png", "a man", "-o", "out.gif"], 1, "not written as .gif"),
        (["photo.png", "a man", "-o", "."], 2, "is a folder"),
        (["photo.png", "a man", "-o", "photo.png"], 2, "replace photo.png itself"),
        (["photo.png", "a man", "-o", "no/folder/out.png"], 1, "no/folder/out.png could not"),
        (["photo.png", "-beard", "-o", "out.png"], 2, '-- photo.png "-beard"'),
        (["photo.png", "--prompt", "-beard", "-o", "out.png"], 2, '-- photo.png "-beard"'),
        (["photo.png", "-o", "out.png"], 2, "prompt is needed once"),
        (["missing.png", "a man", "-o", "out.png"], 1, "no picture at missing.png"),
        (["/dev/null", "a man", "-o", "out.png"], 1, "no picture at /dev/null"),
        (["x" * 5000, "a man", "-o", "out.png"], 1, "x"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_sentence(photo, capsys, arguments, status, sentence):
    assert edit(*arguments) == status
    written = capsys.readouterr().err
    assert sentence in written
    assert "Traceback" not in written
    assert os.listdir() == ["photo.png"]


def test_what_is_no_ordinary_file_is_not_replaced(photo, capsys):
    """Such as /dev/null, which root would replace for everybody."""
    os.mkfifo("pipe.png")
    assert edit("photo.png", "a man", "-o", "pipe.png") == 2
    assert "pipe.png is no ordinary file" in capsys.readouterr().err
    with pytest.raises(SaveError, match="no ordinary file"):
        save_png(picture(), "pipe.png")
    assert stat.S_ISFIFO(os.stat("pipe.png").st_mode)


def test_folders_with_the_name_of_a_picture_are_no_pictures(photo, capsys):
    Path("in/holiday.jpg").mkdir(parents=True)
    picture().save("in/holiday.jpg/a.png")
    assert edit("in", "a man", "-o", "out") == 0
    assert "1 edited, 0 there already, 0 failed" in capsys.readouterr().out


def test_what_the_system_refuses_is_said_with_the_path(photo, capsys):
    Path("in").mkdir()
    picture().save("in/a.png")
    Path("out/manifest.jsonl").mkdir(parents=True)
    assert edit("in", "a man", "-o", "out") == 1
    said = capsys.readouterr().err
    assert re.search(r"error: .*out/manifest.jsonl: Is a directory\.\n", said)


def test_a_prompt_with_a_dash_goes_after_two(photo):
    assert (
        run("edit", "--plain", "-o", "out.png", "--align", "none", "--", "photo.png", "-beard") == 0
    )
    assert edit("photo.png", "--prompt=-beard", "-o", "two.png") == 0
    with Image.open("out.png") as image:
        assert image.text["prompt"] == "-beard"


@pytest.mark.parametrize(
    ("name", "kind"), [("x.jpg", "JPEG"), ("x.JPEG", "JPEG"), ("x.webp", "WEBP"), ("x", "PNG")]
)
def test_the_suffix_chooses_the_format(photo, name, kind):
    assert edit("photo.png", "a man", "-o", name) == 0
    with Image.open(name) as image:
        assert image.format == kind
        if kind != "PNG":
            exif = image.getexif()
            assert json.loads(exif[ExifTags.Base.ImageDescription])["prompt"] == "a man"
            assert exif[ExifTags.Base.Software].startswith("clipinverter ")
    assert sorted(os.listdir()) == sorted(["photo.png", name])


def test_several_faces_are_counted_and_a_cut_prompt_is_said(photo, monkeypatch, capsys):
    found = [face_of_eyes((120, 60), (180, 60)), face_of_eyes((60, 55), (30, 50))]
    monkeypatch.setattr(align, "detect_faces", lambda photo: found)
    assert (
        run("edit", "--plain", "photo.png", "one two three four five six seven", "-o", "out.png")
        == 0
    )
    said = capsys.readouterr().out
    assert "There are 2 faces in this picture; number 0 was edited" in said
    assert "--face, from 0 to 1" in said
    assert "its end was ignored" in said
    assert run("edit", "--plain", "photo.png", "a man", "-o", "out.png", "--face", "1") == 0
    said = capsys.readouterr().out
    assert "number 1 was edited" in said
    assert "turned by" in said
    assert run("edit", "--plain", "photo.png", "a man", "-o", "out.png", "--face", "2") == 1
    assert "Only 2 faces were found" in capsys.readouterr().err


class TestFolder:
    @pytest.fixture
    def folder(self, photo, tmp_path):
        folder = tmp_path / "in"
        (folder / "sub").mkdir(parents=True)
        picture(1).save(folder / "dup.jpg", "JPEG")
        picture(2).save(folder / "dup.webp")
        picture(3).save(folder / "dup.jpg.png")
        picture(4).save(folder / "sub" / "dup.jpg")
        return folder

    def manifest(self, out="out"):
        lines = Path(out, "manifest.jsonl").read_text().splitlines()
        return {line["file"]: line for line in map(json.loads, lines)}

    def test_no_edit_replaces_another(self, folder, models):
        assert edit(folder, "a man", "-o", "out") == 0
        entries = self.manifest()
        assert len({entry["output"] for entry in entries.values()}) == 4
        assert entries["sub/dup.jpg"]["output"] == "sub/dup.png"
        editor = Editor(models)
        for file, entry in entries.items():
            expected = editor.edit(editor.invert(folder / file, "none"), "a man").image
            got = np.asarray(Image.open(Path("out", entry["output"])))
            assert np.array_equal(got, np.asarray(expected))

    def test_names_that_differ_in_case_or_meet_a_folder(self, tmp_path):
        names = ["A.jpg", "a.JPG", "b.jpg", "b.png/c.jpg", "B.webp.png", "b.webp"]
        found = outputs(tmp_path, [tmp_path / name for name in names])
        assert len({name.casefold() for name in found}) == len(names)
        assert "b.png" not in found

    @pytest.mark.parametrize("out", ["in", ".", "in/../in", "in/sub/.."])
    def test_the_edits_can_not_go_into_or_above_the_pictures(self, folder, capsys, out):
        before = sorted(Path().rglob("*"))
        assert edit(folder, "a man", "-o", out) == 2
        assert "Choose another folder by -o" in capsys.readouterr().err
        assert sorted(Path().rglob("*")) == before

    def test_nor_where_a_file_is(self, folder, capsys):
        assert edit(folder, "a man", "-o", "photo.png") == 2
        assert "that is a file" in capsys.readouterr().err

    def test_a_picture_that_failed_is_the_exit_status(self, folder):
        (folder / "bad.jpg").write_bytes(b"no picture")
        assert edit(folder, "a man", "-o", "out") == 1
        (folder / "bad.jpg").unlink()
        assert edit(folder, "a man", "-o", "out") == 0

    def test_killed_between_picture_and_manifest(self, folder, monkeypatch):
        """Wish A is done; B replaced a picture but did not get to say so; then A is asked again."""
        assert edit(folder, "A", "-o", "out") == 0
        before = {path: path.read_bytes() for path in Path("out").rglob("*.png")}
        save = batch.save_png

        def killed(image, path):
            save(image, path)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(batch, "save_png", killed)
            assert edit(folder, "B", "-o", "out") == 130
        assert {path: path.read_bytes() for path in before} != before
        assert edit(folder, "A", "-o", "out") == 0
        assert {path: path.read_bytes() for path in before} == before

    def test_a_name_that_is_not_utf8(self, folder, capfdbinary):
        name = os.fsdecode(b"caf\xe9.png")
        try:
            picture(5).save(folder / name)
        except OSError:
            pytest.skip("this file system takes no such names")
        for _ in range(2):
            assert edit(folder, "a man", "-o", "out") == 0
        assert self.manifest()[name]["status"] == "done"
        assert Path("out", name).is_file()
        assert b"5 there already" in capfdbinary.readouterr().out

    def test_names_with_line_breaks(self, folder):
        for name in ("a\nb.png", "a\u2028b.png", "a\x85b.png", "  .png"):
            picture(6).save(folder / name)
        for _ in range(2):
            assert edit(folder, "a man", "-o", "out") == 0
        assert len(self.manifest()) == 8

    def test_a_full_disk(self, folder, monkeypatch, capsys):
        def full(self, path, **options):
            Path(path).write_bytes(b"half a pic")
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Image.Image, "save", full)
            assert edit(folder, "a man", "-o", "out") == 1
            assert edit("photo.png", "a man", "-o", "one.png") == 1
        said = capsys.readouterr().err
        assert "dup.jpg.png could not be written (No space left on device)" in said
        assert "one.png could not be written" in said
        assert not [path for path in Path().rglob("*") if b"half" in path.name.encode()]
        assert not [*Path("out").rglob("*.png"), *Path().rglob(".*.part"), *Path().glob("one*")]


@pytest.mark.parametrize(
    "environment", [{"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, {"HOME": ""}]
)
def test_odd_surroundings(tmp_path, environment):
    """Terminals that know few characters, and no home folder: still a sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "clipinverter", "edit", "Zoë.png", "ein Lächeln", "-o", "x.png"],
        env=os.environ | environment, cwd=Path(__file__).parents[1],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no picture at Zo")
