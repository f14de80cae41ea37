"""Who is served worse than others: groups, shares, and a run that goes on from the last one."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.evaluation import fairness, fairness_table, skin
from clipinverter.evaluation.fairness import ManifestError
from clipinverter.evaluation.fairness_table import EDITS
from tests.test_photo_edits import JUDGE
from tests.tiny import picture, tiny_models


@pytest.fixture(scope="module")
def editor():
    return Editor(tiny_models())


@pytest.fixture
def folder(tmp_path):
    faces = tmp_path / "faces"
    faces.mkdir()
    for seed in range(3):
        picture(seed).save(faces / f"{seed}.png")
    return faces


def write_manifest(folder, *rows):
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def plain(colour) -> Image.Image:
    return Image.new("RGB", (256, 256), colour)


def test_the_angle_of_skin_falls_as_it_gets_darker():
    tones = [(245, 215, 200), (225, 180, 155), (180, 130, 100), (120, 80, 60), (70, 45, 35)]
    angles = [skin.angle(plain(tone)) for tone in tones]
    assert angles == sorted(angles, reverse=True)
    assert [skin.group(angle) for angle in angles] == ["light", "light", "medium", "dark", "dark"]
    skimage = pytest.importorskip("skimage.color")
    lightness, _, yellow = skimage.rgb2lab(np.array([[tones[2]]], dtype=np.uint8))[0, 0]
    assert angles[2] == pytest.approx(np.degrees(np.arctan2(lightness - 50, yellow)), abs=1.5)


def test_faces_are_measured_and_grouped(editor, folder, tmp_path):
    program = tmp_path / "judge.py"
    program.write_text(JUDGE)
    write_manifest(
        folder,
        {"file": "0.png", "skin": "pale", "age": "", "gender": "female"},
        {"file": "1.png", "skin": "brown", "age": "71", "gender": ""},
    )
    report = fairness.measure(editor, folder, None, program, say=lambda line: None)
    faces = report["faces"]
    assert {name: faces["0.png"][name] for name in fairness_table.GROUPS} == {
        "skin": "light", "age": "30 to 60", "gender": "female"
    }  # fmt: skip
    assert {name: faces["1.png"][name] for name in fairness_table.GROUPS} == {
        "skin": "dark", "age": "over 60", "gender": "male"
    }  # fmt: skip
    assert faces["2.png"]["skin"] in fairness_table.GROUPS["skin"]  # measured
    row = report["groups"]["everybody"]
    assert row["faces"] == 3
    assert row["found"] == 0  # noise
    assert row["gender_kept"] == 1
    # The judge sees smiles, anger, and 20 years more where they were asked for; of "young" it sees
    # 6 years, and nobody becomes surprised or a woman. "man" counts for nobody.
    assert row["reached"] == pytest.approx(3 / 6)
    assert "| age: over 60 | 1 |" in fairness.table(report["groups"])


def test_more_faces_are_added_to_those_measured_before(editor, folder, monkeypatch, tmp_path):
    first = fairness.measure(editor, folder, 1, say=lambda line: None)
    assert len(first["faces"]) == 1
    file = tmp_path / "faces.json"
    file.write_text(json.dumps(first))
    (done,) = first["faces"]
    original = fairness._edited
    seen = []

    def edited(editor, path, place):
        seen.append(path.name)
        return original(editor, path, place)

    monkeypatch.setattr(fairness, "_edited", edited)
    known = fairness.read_results(file)
    report = fairness.measure(editor, folder, None, known=known, say=lambda line: None)
    assert {*seen} == {"0.png", "1.png", "2.png"} - {done}
    assert report["groups"]["everybody"]["faces"] == 3
    assert report["groups"]["everybody"]["reached"] is None  # no judge
    other = tiny_models()
    next(other.generator.parameters()).data.add_(1)
    with pytest.raises(ManifestError, match="other weights"):
        fairness.measure(Editor(other), folder, known=known)


@pytest.mark.parametrize(
    "row",
    [
        {"name": "0.png"},
        {"file": "0.png", "skin": "green"},
        {"file": "0.png", "age": "old"},
        {"file": "0.png", "gender": "no"},
        {"file": "0.png", "skin_ita": "x"},
    ],
)
def test_a_manifest_that_is_none_is_a_sentence(editor, folder, row):
    write_manifest(folder, row)
    with pytest.raises(ManifestError, match=r"manifest.csv can't be used"):
        fairness.measure(editor, folder)


def test_results_that_are_none(tmp_path):
    assert fairness.read_results(tmp_path / "missing.json") is None
    (tmp_path / "x.json").write_text("no")
    with pytest.raises(ManifestError):
        fairness.read_results(tmp_path / "x.json")


def face(group: str, came: bool, turned_man: bool = False) -> dict:
    """A face of which the smile comes true or not, and whose gender every edit changes or none."""
    before = {"age": 40.0, "male": 0.1, "happy": 0.0, "neutral": 1.0}
    moods = dict.fromkeys(["sad", "angry", "fearful", "disgusted", "surprised"], 0.0)
    after = before | {"male": 0.9 if turned_man else 0.1}
    judged = dict.fromkeys(EDITS, after | moods) | {"photo": before | moods}
    judged["smiling"] |= {"happy": 2.0 * came}
    return {
        "found": True, "plain": 0.7, "tuned": 0.3, "skin": group, "judged": judged,
        "skin_angles": dict.fromkeys(("photo", *EDITS), 20.0),
    }  # fmt: skip


def test_a_group_that_is_behind_is_named():
    dark, medium = face("dark", True, turned_man=True), face("medium", False)
    faces = [face("light", True)] * 5 + [dark] * 5 + [medium] * 5
    report = fairness_table.summary(faces)
    named = {(group, share) for group, share, _ in fairness_table.behind(report)}
    assert named == {
        ("skin: dark", "gender_kept"), ("skin: light", "reached"), ("skin: medium", "reached")
    }  # fmt: skip
    assert "skin: dark: gender kept 100 points below" in fairness_table.table(report)
    assert report["age: over 60"]["faces"] == 0
    even = fairness_table.summary([face("light", True), face("dark", True)])
    assert fairness_table.behind(even) == []
