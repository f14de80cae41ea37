"""Inversions of photographs: what the judge reads in them, compared with people's ratings of the photos."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.errors import UserError
from clipinverter.evaluation.edit_sheet import grid
from clipinverter.photo.tensors import to_tensor
from clipinverter.portraits.judge import NAMES, Judge, Readings

SCALES: Mapping[str, Mapping[str, float]] = {
    "smile": {
        "smiling": 1.0,
        "neutral expression": 0.0,
        "sad": 0.0,
        "angry": 0.0,
        "surprised": 0.0,
    },
    "hair_dark": {"black hair": 1.0, "brown hair": 0.7, "red hair": 0.4, "gray hair": 0.3}
    | {"blond hair": 0.15, "white hair": 0.0},
    "skin_dark": {"dark skin": 1.0, "pale skin": -1.0},
    "long_hair": {"long hair": 1.0, "bob": 0.6, "bun": 0.4, "short hair": 0.0, "bald": 0.0},
    "age": {"young": 26.0, "middle-aged": 47.0, "old": 72.0},
}
"""Value of each attribute on a scale; their mean is weighted by the judge's probabilities."""

RATED = {
    "smile": "happy",
    "hair_dark": "hair-color",
    "skin_dark": "skin-color",
    "long_hair": "long-haired",
    "age": "age",
}
"""Scale -> the column of ratings.csv that it is compared with."""
FEMALE, MALE = 40.0, 60.0  # ratings outside of this range count as a clear gender


class RatingsError(UserError):
    """The folder has no usable ratings.csv; the message says what is wrong."""


def read_ratings(folder: Path) -> list[dict[str, str]]:
    """Rows of `ratings.csv`: a file name and ratings, see `measure`.

    Raises:
        RatingsError: the file, a column or a picture is missing, or there are fewer than three rows.
    """
    path = folder / "ratings.csv"
    if not path.exists():
        raise RatingsError(f"{path} is missing: it should name each picture and its ratings.")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {"file", "gender", *RATED.values()}
    lacking = sorted(columns - set(rows[0] if rows else ()))
    if lacking or len(rows) < 3:
        wrong = f"lacks the columns {', '.join(lacking)}" if rows else "is empty"
        raise RatingsError(
            f"{path} {wrong if lacking or not rows else 'has fewer than three rows'}."
        )
    absent = [row["file"] for row in rows if not (folder / row["file"]).exists()]
    if absent:
        raise RatingsError(f"{path} names {absent[0]}, which is not in the folder.")
    return rows


def on_scale(seen: Readings, scale: Mapping[str, float]) -> np.ndarray:
    """Values [N] on a scale of `SCALES`, weighted by the judge's probabilities."""
    columns = [NAMES.index(name) for name in scale]
    p = torch.sigmoid(seen.log_odds[:, columns]).numpy()
    return (p * np.array(list(scale.values()))).sum(axis=1) / (
        p.sum(axis=1) if min(scale.values()) >= 0 else 1.0
    )


def measure(editor: Editor, judge: Judge, folder: Path) -> tuple[dict[str, float], list]:
    """Compares what the judge reads in inversions of aligned photos with people's ratings of the photos.

    Args:
        folder: pictures and `ratings.csv` with the columns file, gender (0 female to 100 male), happy, hair-color and
            skin-color (light to dark), long-haired (all 0 to 100) and age (years).

    Returns:
        gender_accuracy over the photos with a clear gender, the correlations smile_r, hair_dark_r, skin_dark_r,
        long_hair_r and age_r; and the pairs of pictures (photo, inversion).

    Raises:
        RatingsError: see `read_ratings`.
    """
    rows = read_ratings(folder)
    pairs = []
    for row in rows:
        inversion = editor.invert(folder / row["file"], align="none")
        pairs.append((inversion.crop, inversion.image))
    images = torch.cat([to_tensor(image) for _, image in pairs])
    seen = judge.see(images)
    gender = np.array([float(row["gender"]) for row in rows])
    sure = (gender < FEMALE) | (gender > MALE)
    man, woman = (seen.log_odds[:, NAMES.index(name)].numpy() for name in ("man", "woman"))
    numbers = {"gender_accuracy": float(((man > woman) == (gender > 50))[sure].mean())}
    for key, column in RATED.items():
        said = np.array([float(row[column]) for row in rows])
        numbers[f"{key}_r"] = float(np.corrcoef(on_scale(seen, SCALES[key]), said)[0, 1])
    return numbers | {"photos": len(rows)}, pairs


def sheet(pairs: Sequence[tuple[Image.Image, Image.Image]], across: int = 6) -> Image.Image:
    """Photos and their inversions side by side, `across` pairs a row."""
    rows = [
        [image for pair in pairs[i : i + across] for image in pair]
        for i in range(0, len(pairs), across)
    ]
    return grid(rows, ["photo", "inversion"] * across)
