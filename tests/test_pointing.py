"""Pointing at faces and eyes in a reduced picture of the photo."""

import numpy as np
import pytest
from PIL import Image

from clipinverter.ui.pointing import Pointing, numbered, to_tap
from tests.tiny import picture

BOXES = [[1000, 300, 1600, 900], [200, 200, 400, 400]]


@pytest.fixture
def path(tmp_path) -> str:
    """A phone's photo: large, and turned by its EXIF tag."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, (1024, 2048)).save(tmp_path / "photo.jpg", exif=exif)
    return str(tmp_path / "photo.jpg")


def test_faces_are_framed_where_they_are(path):
    plain, _ = to_tap(path)
    image, pointing = numbered(path, BOXES, chosen=1)
    assert image.size == plain.size == (1024, 512)
    changed = (np.asarray(image) != np.asarray(plain)).any(axis=2)
    for left, top, right, bottom in BOXES:
        middle = (top + bottom) // 4
        assert changed[middle, left // 2 + 1]
        assert changed[middle, right // 2 - 1]
        assert not changed[middle + 5, (left + right) // 4 + 30]
    assert not changed[:90].any()
    assert not changed[460:].any()
    assert pointing.scale == 0.5
    other, _ = numbered(path, BOXES, chosen=0)
    assert other.tobytes() != image.tobytes()


def test_the_nearest_face_is_meant(path):
    _, pointing = numbered(path, BOXES, chosen=0)
    assert [pointing.face_at(*at) for at in [(650, 300), (150, 150), (5, 5), (1000, 5)]] == [
        0,
        1,
        1,
        0,
    ]


def test_eyes_are_kept_in_pixels_of_the_photo(path):
    _, pointing = to_tap(path)
    one = pointing.tapped(400, 100)
    assert one.eyes == ((800, 200),)
    assert one.tapped(400, 100).eyes == one.eyes, "the same place twice is one eye"
    both = one.tapped(300, 110)
    assert both.eyes == ((600, 220), (800, 200)), "the left one first"
    assert both.tapped(10, 10).eyes == ((20, 20),), "a third tap begins anew"
    image, again = to_tap(path, both.eyes)
    assert again == both
    assert image.tobytes() != to_tap(path)[0].tobytes()
    assert Pointing().eyes == ()
