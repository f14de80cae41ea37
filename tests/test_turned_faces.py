"""Faces that lie on their side, are small, or stand in panoramas; and two eyes in any order."""

import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from PIL import Image

from clipinverter.photo import faces, search
from clipinverter.photo.align import align
from clipinverter.photo.faces import detect_faces, ordered_eyes, turn_of
from clipinverter.photo.load import load_photo


@pytest.fixture(scope="module")
def photo():
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        return load_photo(file.read())


@pytest.fixture(scope="module")
def upright(photo):
    (face,) = detect_faces(photo)
    return face


@pytest.mark.parametrize("degrees", [60, 90, 135, 180, 270])
def test_turned_photos_are_set_upright(photo, upright, degrees):
    """Turned counter-clockwise, so the face is turned clockwise by the rest of a circle."""
    turned = search.turned(photo, degrees)
    (face,) = detect_faces(turned.image)
    assert np.abs(turned.back(face.landmarks) - upright.landmarks).mean() < 6
    assert abs(turn_of(face) - (360 - degrees)) <= 15
    left, top, right, bottom = face.box
    inside = face.landmarks[36:48].mean(axis=0)
    assert left < inside[0] < right
    assert top < inside[1] < bottom
    crop, plain = (np.asarray(align(i).crop, dtype=float) for i in (turned.image, photo))
    assert np.abs(crop - plain)[64:192, 64:192].mean() < 35, "the crop is upright"


def test_an_upright_face_is_not_turned(upright):
    assert turn_of(upright) == 0


def test_small_faces_beside_a_large_one(photo):
    group = Image.fromarray(skimage.data.coffee()).resize((3000, 2250))
    group.paste(photo.resize((1500, 1758)), (0, 200))
    for number in range(5):
        place = (1700 + number % 3 * 430, 200 + number // 3 * 700)
        group.paste(photo.resize((256, 300)), place)
    assert len(detect_faces(group)) == 6


def test_faces_of_forty_pixels(photo):
    """In a photo of 4096 pixels; the face takes 215 of the sample's 512."""
    scene = Image.new("RGB", (4096, 2731), (120, 140, 160))  # what is flat is not searched
    scene.paste(photo.resize((98, 115)), (3000, 1800))
    (face,) = detect_faces(scene)
    assert 3000 < face.box[0] < face.box[2] < 3098
    assert 35 < face.box[2] - face.box[0] < 50


def test_panoramas(photo):
    panorama = Image.new("RGB", (16000, 1200), (120, 140, 160))
    panorama.paste(photo.resize((512, 600)), (12000, 500))
    (face,) = detect_faces(panorama)
    assert 12000 < face.box[0] < face.box[2] < 12512


@pytest.mark.parametrize("degrees", [0, 90, 180, 300])
def test_eyes_are_ordered_by_the_face_between_them(photo, upright, degrees):
    turned = search.turned(photo, degrees)
    matrix, shift = turned.matrix[:, :2], turned.matrix[:, 2]
    eyes = [upright.landmarks[start : start + 6].mean(axis=0) for start in (36, 42)]
    left, right = (tuple(np.linalg.solve(matrix, eye - shift)) for eye in eyes)
    for given in ((left, right), (right, left)):
        assert ordered_eyes(turned.image, *given) == (left, right)


def test_eyes_without_a_face_stay_as_given():
    plain = Image.new("RGB", (300, 200), "gray")
    for given in (((10, 10), (60, 20)), ((60, 20), (10, 10))):
        assert ordered_eyes(plain, *given) == given


def test_flat_pictures_are_not_searched(monkeypatch):
    monkeypatch.setattr(faces, "_find", lambda image: pytest.fail("searched"))
    assert detect_faces(Image.new("RGB", (7000, 7000))) == []
