"""Detection and alignment on the example portraits, and on a real photograph.

The photographs are matplotlib's sample of Rear Admiral Grace Hopper (US Navy, public domain) and
scikit-image's of Eileen Collins (NASA, public domain) and of a cat (CC0).
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from clipinverter.photo import faces
from clipinverter.photo.align import (
    NoFaceError,
    PhotoError,
    align,
    align_face,
    ffhq_quad,
    load_photo,
)
from clipinverter.photo.faces import detect_faces

EXAMPLES = sorted((Path(__file__).parents[1] / "assets" / "portraits").glob("*.png"))
assert EXAMPLES, "the example portraits are missing"

# Looked up by hand: the eyes, the nose's tip and the mouth's corners, from left to right.
POINTS = ((223, 192), (305, 189), (268, 230), (236, 278), (300, 276))
EYES, MOUTH = (264, 190), (268, 277)


@pytest.fixture(scope="session")
def photo():
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        return load_photo(file.read())


@pytest.fixture(scope="session")
def quad(photo):
    return align(photo).quad


def side(quad):
    return np.hypot(*(quad[3] - quad[0]))


# How far corners move on this photo when its size or the detector changes, in sides of the quad:
# up to 0.07, since glasses and hat make dlib's landmarks uncertain.
CLOSE = 0.1


def corner_distance(quad, expected):
    """The largest distance of a corner, in sides of the expected quad."""
    return np.linalg.norm(quad - expected, axis=1).max() / side(expected)


def tilt(quad):
    return np.degrees(np.arctan2(*(quad[3] - quad[0])[::-1]))


def test_one_face_where_it_is(photo):
    (face,) = detect_faces(photo)
    left, top, right, bottom = face.box
    assert all(left < x < right and top < y < bottom for x, y in POINTS)
    points = face.landmarks
    assert points.shape == (68, 2)
    assert np.linalg.norm(points[36:48].mean(axis=0) - EYES) < 8
    assert np.linalg.norm(points[48:60].mean(axis=0) - MOUTH) < 8
    assert points[36:42, 0].max() < points[42:48, 0].min()  # the eye on the left comes first
    assert face.score > 0.5


@pytest.mark.parametrize("scale", [0.2, 0.5, 2.0, 6.0])
def test_size_of_the_photo_does_not_matter(photo, quad, scale):
    resized = photo.resize([round(s * scale) for s in photo.size], Image.Resampling.LANCZOS)
    assert corner_distance(align(resized).quad / scale, quad) < CLOSE


@pytest.mark.parametrize("degrees", [-15, 15])
def test_tilted_heads_are_set_upright(photo, quad, degrees):
    tilted = align(photo.rotate(degrees, Image.Resampling.BICUBIC, center=EYES)).quad
    assert tilt(tilted) - tilt(quad) == pytest.approx(-degrees, abs=4)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_found_where_the_renderer_framed_them(path):
    portrait = load_photo(path)
    aligned = align(portrait)
    assert aligned.faces == 1
    width, height = portrait.size
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)])
    assert corner_distance(aligned.quad, corners) < CLOSE


def test_a_crop_is_nearly_its_own_alignment(photo):
    crop = align(photo, size=512).crop
    corners = np.array([(0, 0), (0, 512), (512, 512), (512, 0)])
    assert corner_distance(align(crop).quad, corners) < CLOSE


def test_faces_are_sorted_by_size_and_can_be_chosen(photo, quad):
    group = Image.new("RGB", (1200, 700), (90, 120, 90))
    group.paste(photo.resize((256, 300)), (40, 60))
    group.paste(photo, (500, 50))
    large, small = detect_faces(group)
    assert large.box[0] > 500 > small.box[2]
    assert align(group).faces == 2
    assert corner_distance(align(group).quad - (500, 50), quad) < CLOSE
    assert corner_distance((align(group, face=1).quad - (40, 60)) * 2, quad) < CLOSE
    with pytest.raises(NoFaceError, match="Only 2 faces"):
        align(group, face=2)


def test_a_face_at_the_edge_is_completed(photo, quad):
    """Half of the quad lies outside: the crop shows a continued picture, not black."""
    cut = photo.crop((140, 90, 400, 370))
    aligned = align(cut)
    assert aligned.crop.size == (256, 256)
    assert corner_distance(aligned.quad + np.array([140, 90]), quad) < CLOSE
    assert (np.asarray(aligned.crop).max(axis=2) == 0).mean() < 0.001


def test_another_photograph():
    """A smaller face in a larger picture."""
    astronaut = Image.fromarray(skimage.data.astronaut())
    (face,) = detect_faces(astronaut)
    points = face.landmarks
    assert np.linalg.norm(points[36:48].mean(axis=0) - (225, 102)) < 4
    assert np.linalg.norm(points[48:60].mean(axis=0) - (224, 144)) < 4
    assert 160 < side(align(astronaut).quad) < 210  # the eyes are 43 apart
    group = Image.new("RGB", (1024, 512))
    group.paste(astronaut)
    group.paste(astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (512, 0))
    assert len(detect_faces(group)) == 2


def test_a_cat_is_no_person():
    with pytest.raises(NoFaceError):
        align(Image.fromarray(skimage.data.cat()))


def test_two_points_place_a_face(photo, quad):
    """A visitor points at the eyes: the crop is nearly the one that the landmarks give."""
    face = faces.face_of_eyes((223, 192), (305, 189))
    assert corner_distance(ffhq_quad(face.landmarks), quad) < 0.15
    points = face.landmarks
    assert points.shape == (68, 2)
    assert points[36:42].mean(axis=0) == pytest.approx((223, 192), abs=1)
    assert points[42:48].mean(axis=0) == pytest.approx((305, 189), abs=1)
    assert np.linalg.norm(points[[48, 54]].mean(axis=0) - MOUTH) < 12
    assert points[8, 1] == points[:, 1].max(), "the chin is the lowest point"
    left, top, right, bottom = face.box
    assert all(left < x < right and top < y < bottom for x, y in POINTS)
    upside_down = faces.face_of_eyes((305, 189), (223, 192)).landmarks
    assert upside_down[8, 1] == upside_down[:, 1].min()
    with pytest.raises(ValueError, match="one place"):
        faces.face_of_eyes((5, 5), (5, 5))


def test_no_face():
    y, x = np.mgrid[:300, :400]
    pixels = np.stack([x * 255 / 400, y * 255 / 300, 128 + 100 * np.sin(x / 9)], axis=-1)
    picture = Image.fromarray(pixels.astype(np.uint8))
    assert detect_faces(picture) == []
    with pytest.raises(NoFaceError, match="No face was found in this picture"):
        align(picture)
    assert issubclass(NoFaceError, PhotoError)


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 1)])
def test_odd_shapes_have_no_face(size):
    with pytest.raises(NoFaceError):
        align(Image.new("RGB", size, "gray"))


def test_the_slow_detector_agrees(photo, quad, monkeypatch):
    """The CNN, which is asked when the HOG detector finds nothing."""
    monkeypatch.setattr(faces, "_hog", lambda *_: [])
    aligned = align(photo)
    assert aligned.faces == 1
    assert corner_distance(aligned.quad, quad) < CLOSE


def test_threads_share_the_detectors(photo, quad):
    with ThreadPoolExecutor(4) as pool:
        quads = list(pool.map(lambda _: align(photo).quad, range(8)))
    assert all(np.array_equal(other, quad) for other in quads)


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [(np.zeros((5, 2)), r"\[5, 2\]"), (np.ones((68, 2)), "do not span a face")],
)
def test_impossible_landmarks_are_refused(photo, landmarks, message):
    with pytest.raises(ValueError, match=message):
        align_face(photo, landmarks)


class TestRetinaFace:
    """Its weights are not at hand, so a stand-in answers; the real network only has to run."""

    def test_boxes_become_what_the_landmarks_expect(self, photo, quad, monkeypatch):
        row = np.array([188, 100, 352, 335, 0.99, *np.ravel(POINTS)])
        stand_in = SimpleNamespace(detect_faces=lambda image, conf_threshold: row[None])
        monkeypatch.setattr(faces, "_hog", lambda *_: [])
        monkeypatch.setattr(faces, "_cnn", lambda *_: [])
        monkeypatch.setattr(faces, "_retinaface_network", lambda: stand_in)
        assert corner_distance(align(photo).quad, quad) < CLOSE

    @pytest.mark.filterwarnings("ignore")
    def test_its_network_loads_from_a_file(self, photo, tmp_path, monkeypatch):
        from facexlib.detection.retinaface import RetinaFace

        package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(faces.importlib.util, "find_spec", lambda name: package)
        assert faces._retinaface_network.__wrapped__() is None  # no weights

        torch.manual_seed(0)
        state = RetinaFace("resnet50", device=torch.device("cpu")).state_dict()
        (tmp_path / "weights").mkdir()
        path = tmp_path / "weights" / "detection_Resnet50_Final.pth"
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
        network = faces._retinaface_network.__wrapped__()
        monkeypatch.setattr(faces, "_retinaface_network", lambda: network)
        assert all(torch.equal(state[key], v) for key, v in network.state_dict().items())
        assert isinstance(faces._retinaface(photo), list)
