"""An edit goes back into the photo: in its place, in its colours, and nowhere else."""

from dataclasses import replace

import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image, ImageDraw

from clipinverter.editor import Editor
from clipinverter.photo.align import align_face, as_crop, detect_faces, load_photo
from clipinverter.photo.faces import face_of_eyes
from clipinverter.photo.paste import paste
from clipinverter.results import Inversion
from tests.tiny import picture, tiny_models


@pytest.fixture(scope="module")
def hopper():
    """Matplotlib's sample photograph (US Navy, public domain), and the face in it."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        photo = load_photo(file.read())
    return photo, detect_faces(photo)[0]


def inverted(photo, face, size=256) -> Inversion:
    """An inversion by a perfect model: it draws the crop itself."""
    crop, quad = align_face(photo, face.landmarks, size)
    return Inversion("", crop, crop, None, None, quad, (face,), 0, ())


def tinted(image, gains, offset=0):
    pixels = np.asarray(image) * np.array(gains) + offset
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def pixels(image) -> np.ndarray:
    return np.asarray(image, dtype=int)


def difference(a, b) -> np.ndarray:
    assert a.size == b.size
    return np.abs(pixels(a) - pixels(b)).max(axis=2)


def inside(photo, quad) -> np.ndarray:
    """Whether each pixel of the photo lies in the quad."""
    image = Image.new("1", photo.size)
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in quad], fill=1)
    return np.asarray(image)


def turned(photo, degrees, scale=1.0):
    resized = photo.resize([round(side * scale) for side in photo.size], Image.Resampling.LANCZOS)
    return resized.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="gray")


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (20, 1), (-170, 1), (0, 3), (33, 0.3)])
def test_an_unchanged_crop_comes_back_to_its_place(hopper, degrees, scale):
    photo = turned(hopper[0], degrees, scale)
    size = np.array(hopper[0].size) * scale
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = (hopper[1].landmarks * scale - size / 2) @ turn + np.array(photo.size) / 2
    inversion = inverted(photo, hopper[1]._replace(landmarks=landmarks), 512)
    result = paste(photo, inversion, inversion.image)
    changed = difference(result, photo)
    assert changed.mean() < 1
    assert changed[inside(photo, inversion.quad)].mean() < (5 if scale < 3 else 3)
    shifted = paste(photo, replace(inversion, quad=inversion.quad + 6 * scale), inversion.image)
    assert difference(shifted, photo).mean() > 2 * changed.mean()


def test_outside_of_the_face_every_pixel_is_kept(hopper):
    photo, face = hopper
    inversion = inverted(photo, face)
    before = photo.tobytes()
    after = Image.new("RGB", (256, 256), "lime")
    result = paste(photo, inversion, after)
    assert photo.tobytes() == before
    assert (result.size, result.mode, result.info) == (photo.size, "RGB", {})
    changed = difference(result, photo) > 0
    assert not changed[~inside(photo, inversion.quad)].any()
    left, top, right, bottom = (round(corner) for corner in face.box)
    assert changed[top:bottom, left:right].mean() > 0.99
    corners = inversion.quad + 0.05 * (inversion.quad.mean(axis=0) - inversion.quad)
    for x, y in corners.round().astype(int).clip(0, np.array(photo.size) - 1):
        assert not changed[y, x]


def test_there_is_no_seam(hopper):
    """A model that draws everything too dark and too blue is corrected."""
    photo, face = hopper
    inversion = inverted(photo, face)
    drawn = tinted(inversion.crop, (0.7, 0.7, 0.9), 10)
    result = paste(photo, replace(inversion, image=drawn), drawn)
    uncorrected = paste(photo, inversion, drawn)
    assert difference(result, photo)[inside(photo, inversion.quad)].mean() < 6
    assert difference(uncorrected, photo)[inside(photo, inversion.quad)].mean() > 20


def test_what_the_edit_changes_in_colour_stays(hopper):
    photo, face = hopper
    inversion = inverted(photo, face)
    result = paste(photo, inversion, tinted(inversion.crop, (1, 1, 0.5)))
    x, y = face.landmarks[30].round().astype(int)
    red, green, blue = pixels(result)[y, x] / pixels(photo)[y, x]
    assert red == pytest.approx(1, abs=0.1)
    assert green == pytest.approx(1, abs=0.1)
    assert blue == pytest.approx(0.5, abs=0.1)


def test_hair_is_replaced_where_the_edit_changes_it(hopper):
    """The mask is the face, and as much of the head as looks different after the edit."""
    photo, face = hopper
    inversion = inverted(photo, face)
    cheek, ear = inversion.crop.copy(), inversion.crop.copy()
    cheek.paste("red", (118, 150, 138, 170))
    ear.paste("red", (10, 90, 60, 140))
    of_cheek, of_ear = (paste(photo, inversion, edit) for edit in (cheek, ear))
    corner = inversion.quad[0]
    across, down = inversion.quad[3] - corner, inversion.quad[1] - corner
    x, y = (corner + across * 40 / 256 + down * 115 / 256).round().astype(int)
    assert difference(of_cheek, photo)[y, x] == 0
    assert difference(of_ear, photo)[y, x] > 60


def test_a_face_that_leaves_the_photo(hopper):
    photo, face = hopper
    left, top = 190, 120
    cut = photo.crop((left, top, 420, 400))
    moved = face._replace(landmarks=face.landmarks - (left, top))
    inversion = inverted(cut, moved)
    assert inversion.quad.min() < -50
    result = paste(cut, inversion, inversion.image)
    assert result.size == cut.size
    assert difference(result, cut).mean() < 6  # the crop is blurred towards the border
    edited = paste(cut, inversion, tinted(inversion.crop, (1, 0.5, 0.5)))
    assert difference(edited, cut)[:, 10:80].max() > 30


@pytest.mark.parametrize("size", [(64, 64), (300, 180), (180, 300), (1500, 1200)])
def test_a_picture_that_is_a_crop_already(size):
    photo = picture(5, size)
    crop = as_crop(photo)
    inversion = Inversion("", crop, crop, None, None, None, (), 0, ())
    same = paste(photo, inversion, crop)
    assert same.size == photo.size
    assert difference(same, photo).mean() < 2
    edited = paste(photo, inversion, Image.new("RGB", (32, 32), "black"))
    changed = difference(edited, photo)
    assert changed[size[1] // 2, size[0] // 2] > 30
    assert not changed[:, [0, -1]].any()
    assert not changed[[0, -1]].any()


@pytest.mark.parametrize("distance", [2, 9])
def test_very_small_faces(distance):
    photo = picture(5, (200, 100))
    result = paste(
        photo,
        inverted(photo, face_of_eyes((150, 40), (150 + distance, 40))),
        Image.new("RGB", (1024, 1024), "red"),
    )
    changed = difference(result, photo) > 0
    assert changed.any()
    assert not changed[:, : 150 - 4 * distance].any()


def test_an_edit_of_the_editor_goes_back():
    editor = Editor(tiny_models())
    photo = picture(1, (400, 300))
    inversion = editor.invert(photo, ((180, 120), (220, 125)))
    results = [
        paste(photo, inversion, editor.edit(inversion, "a bald man", strength).image)
        for strength in (0, 1)
    ]
    assert all(result.size == photo.size for result in results)
    assert difference(*results).max() > 0
    assert not difference(results[1], photo)[:, :80].any()
