"""What is measured of tuned photographs: keys, shares and a judging program."""

import json

import numpy as np
import pytest
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.evaluation import photo_edits
from clipinverter.evaluation.edit_sheet import tuned_photos
from clipinverter.evaluation.identity import SAME_PERSON, descriptor, distance
from clipinverter.photo.load import PhotoError
from tests.tiny import picture, tiny_models


def test_the_person_is_told_apart_from_another():
    import matplotlib.cbook

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        photo = Image.open(file).convert("RGB").crop((60, 0, 512, 452))
    hopper, brighter = descriptor(photo), descriptor(photo.point(lambda level: level * 1.1))
    assert distance(hopper, brighter) < SAME_PERSON / 2
    assert distance(hopper, descriptor(photo.transpose(Image.Transpose.ROTATE_180))) > SAME_PERSON


@pytest.fixture
def folder(tmp_path):
    for seed in range(3):
        picture(seed).save(tmp_path / f"{seed}.png")
    return tmp_path


JUDGE = """
import json, sys
from pathlib import Path
pictures, out = sys.argv[1:-2], Path(sys.argv[-1])
moods = "neutral happy sad angry fearful disgusted surprised".split()
def answer(path):
    name = Path(path).stem
    sure = {"smiling": "happy", "angry": "angry"}.get(name, "neutral")
    age = {"old": 65.0, "young": 39.0}.get(name, 45.0)
    return {"age": age, "male": 0.9} | {mood: float(mood == sure) for mood in moods}
out.write_text(json.dumps({path: answer(path) for path in pictures}))
"""


def test_plain_and_tuned_are_measured_side_by_side(folder, tmp_path):
    program = tmp_path / "judge.py"
    program.write_text(JUDGE)
    lines = []
    photos = photo_edits.choose(folder, 2)
    report = photo_edits.compare(Editor(tiny_models()), photos, program, lines.append)
    assert len(lines) == 2
    keys = {key.split("/", 1)[1] for key in report if key.startswith("tuned/")}
    assert keys == {key.split("/", 1)[1] for key in report if key.startswith("plain/")}
    assert {"inversion_identity_median", "local_same_person", "expression_same_person"} <= keys
    assert report["tuned/inversion_psnr"] > report["plain/inversion_psnr"] + 3
    assert report["tuned/seconds"] > 0 == report["plain/seconds"]
    assert report["tuned/smiling/judged"] == report["tuned/angry/judged"] == 1
    assert report["tuned/surprised/judged"] == report["tuned/woman/judged"] == 0
    assert report["tuned/old/judged"] == 1
    assert report["tuned/old/years"] == 20
    assert report["tuned/young/judged"] == 0
    assert report["tuned/young/years"] == -6
    assert report["tuned/man/photos"] == 0
    assert "tuned/man/judged" not in report
    json.dumps(report)


def test_a_judge_that_fails_is_a_sentence(folder, tmp_path):
    program = tmp_path / "judge.py"
    program.write_text("import sys; sys.exit('no network here')")
    with pytest.raises(photo_edits.JudgeError, match="no network here"):
        photo_edits.judged(program, folder, [], "plain")


def test_photos_are_chosen_at_random_by_seed(folder):
    assert photo_edits.choose(folder) == photo_edits.choose(folder, 3)
    assert len(photo_edits.choose(folder, 2)) == 2
    assert photo_edits.choose(folder, 2, seed=1) == photo_edits.choose(folder, 2, seed=1)
    with pytest.raises(PhotoError):
        photo_edits.choose(folder / "gone")


def test_the_sheet_has_a_row_for_each_photo(folder, monkeypatch):
    monkeypatch.setattr("clipinverter.evaluation.edit_sheet.PHOTO_PROMPTS", 2)
    sheet = tuned_photos(Editor(tiny_models()), folder, seed=0, cell=64)
    assert sheet.width > 3 * 64
    assert sheet.height > 3 * 64
    assert np.asarray(sheet).std() > 10
