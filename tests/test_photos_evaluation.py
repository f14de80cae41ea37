"""The evaluation of photographs: a judge that answers as it is told, and folders with mistakes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from clipinverter.evaluation import photos
from clipinverter.portraits.judge import NAMES, Readings

COLUMNS = "file,gender,happy,hair-color,skin-color,long-haired,age"


class Editor:
    """Inverts every picture to itself."""

    def invert(self, photo, align):
        assert align == "none"
        image = Image.open(photo).convert("RGB")
        return SimpleNamespace(crop=image, image=image)


class Judge:
    """Says of a picture what its red channel says: the brighter, the more of these attributes."""

    names = ("man", "smiling", "black hair", "dark skin", "long hair", "old")

    def see(self, images):
        odds = torch.full((len(images), len(NAMES)), -4.0)
        for name in ("woman", "neutral expression", "white hair", "pale skin", "short hair"):
            odds[:, NAMES.index(name)] = 0.0
        odds[:, NAMES.index("young")] = 0.0
        for name in self.names:
            odds[:, NAMES.index(name)] = 4 * images[:, 0].mean(dim=(1, 2))
        return Readings(odds, torch.zeros(len(images), 4))


def folder(path, values, header=COLUMNS):
    """Pictures whose red says the same as all their ratings."""
    rows = [header]
    for i, value in enumerate(values):
        Image.new("RGB", (16, 16), (int(value * 2.55), 0, 0)).save(path / f"{i}.png")
        rows.append(",".join([f"{i}.png", *[str(value)] * (header.count(","))]))
    (path / "ratings.csv").write_text("\n".join(rows) + "\n")
    return path


def test_a_judge_that_agrees_with_people(tmp_path):
    numbers, pairs = photos.measure(Editor(), Judge(), folder(tmp_path, (5, 20, 50, 80, 95)))
    assert numbers.pop("photos") == len(pairs) == 5
    assert numbers.pop("gender_accuracy") == 1
    assert set(numbers) == {"smile_r", "hair_dark_r", "skin_dark_r", "long_hair_r", "age_r"}
    assert all(value > 0.9 for value in numbers.values())


def test_a_judge_that_sees_the_opposite(tmp_path):
    class Contrary(Judge):
        def see(self, images):
            return super().see(-images)

    numbers, _ = photos.measure(Editor(), Contrary(), folder(tmp_path, (5, 20, 50, 80, 95)))
    assert numbers["gender_accuracy"] == 0
    assert all(numbers[key] < -0.9 for key in numbers if key.endswith("_r"))


def test_genders_that_people_did_not_agree_on_do_not_count(tmp_path):
    class Unsure(Judge):
        names = ("smiling",)

    # Everybody is a woman to this judge: right for two of the four that count.
    numbers, _ = photos.measure(Editor(), Unsure(), folder(tmp_path, (5, 20, 45, 55, 80, 95)))
    assert numbers["gender_accuracy"] == 0.5


def test_scales_use_attributes_that_exist():
    for scale in photos.SCALES.values():
        assert set(scale) <= set(NAMES)
    assert set(photos.SCALES) == set(photos.RATED)


def test_a_folder_without_ratings_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(photos.RatingsError, match="is missing"):
        photos.read_ratings(tmp_path)
    folder(tmp_path, (5, 50, 95), header="file,gender,happy")
    with pytest.raises(photos.RatingsError, match="lacks the columns age, hair-color"):
        photos.read_ratings(tmp_path)
    folder(tmp_path, (5, 95))
    with pytest.raises(photos.RatingsError, match="fewer than three"):
        photos.read_ratings(tmp_path)
    folder(tmp_path, (5, 50, 95))
    (tmp_path / "1.png").unlink()
    with pytest.raises(photos.RatingsError, match=r"1\.png"):
        photos.read_ratings(tmp_path)
    (tmp_path / "ratings.csv").write_text(COLUMNS + "\n")
    with pytest.raises(photos.RatingsError, match="is empty"):
        photos.read_ratings(tmp_path)


def test_the_sheet_shows_every_pair():
    pairs = [
        (Image.new("RGB", (8, 8), (i, 0, 0)), Image.new("RGB", (8, 8), (0, i, 0)))
        for i in range(200, 208)
    ]
    sheet = np.array(photos.sheet(pairs))
    for i in range(200, 208):
        assert (sheet == (i, 0, 0)).all(axis=2).any()
        assert (sheet == (0, i, 0)).all(axis=2).any()
