"""Faces and their 68 landmarks, offline.

The networks come with the packages `dlib-bin` and `face-recognition-models`. Detectors are tried
until one finds a face: dlib's HOG detector, which is fast, on the photo as it is and turned; dlib's
CNN, which takes seconds but also finds turned and half-covered faces; the HOG detector for small
faces; and RetinaFace of `facexlib`, where somebody has put its weights
(`detection_Resnet50_Final.pth`) into that package's folder `weights`. Nothing is ever downloaded
from here. How a photo is shown to them: `search.py`.
"""

import importlib.util
import logging
import math
import threading
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from clipinverter.photo import search
from clipinverter.photo.search import Box, Found

log = logging.getLogger(__name__)

CERTAIN = 0.3  # score of the HOG detector

Point = tuple[float, float]

# dlib is not documented to be thread-safe, and a detection uses a whole core anyway.
_lock = threading.Lock()


class Face(NamedTuple):
    """Pixels of the picture: box (left, top, right, bottom), landmarks [68, 2] as (x, y)."""

    box: Box
    landmarks: np.ndarray
    score: float


def detect_faces(image: Image.Image) -> list[Face]:
    """All faces in an RGB picture, the largest first; an empty list when there is none.

    Faces may be turned by any angle: the photo is turned for the detectors if nothing stands upright
    in it, and boxes and landmarks are those of the photo as it is. Landmarks follow the usual order
    of 68 points (iBUG 300-W): the eye 36 to 41 is the left one as seen in the upright face.
    """
    if search.is_flat(image):
        return []
    with _lock:
        degrees, found = _find(image)
        if not degrees:
            faces = _with_landmarks(image, found)
        else:
            turned = search.turned(image, degrees)
            found = _find_upright(turned.image) or _cnn(turned.image, 480)
            seen = _with_landmarks(turned.image, found)
            faces = [_turned_back(face, turned) for face in seen]
    return sorted(faces, key=lambda face: _area(face.box), reverse=True)


def turn_of(face: Face) -> int:
    """By how many degrees a face is turned in its photo, clockwise; 0 for up to about 45."""
    left, right = face.landmarks[36:42].mean(axis=0), face.landmarks[42:48].mean(axis=0)
    angle = math.degrees(math.atan2(*(right - left)[::-1]))
    return 0 if abs(angle) < 45 else round(angle / 15) * 15 % 360


def ordered_eyes(image: Image.Image, one: Point, other: Point) -> tuple[Point, Point]:
    """Two eyes in an RGB photo, the left one as seen in the upright face first.

    The detector looks at the face both ways up; if it can't tell, eyes are ordered as they are seen.
    """
    left, right = sorted((one, other))
    with _lock:
        scores = [_upright_score(image, *eyes) for eyes in ((left, right), (right, left))]
    return (left, right) if scores[0] >= scores[1] else (right, left)


def face_of_eyes(left: Point, right: Point) -> Face:
    """A face of usual proportions whose eyes' centres are there, for one that no detector finds.

    left and right are as seen in the picture. Raises ValueError when they are the same point.
    """
    (x, y), (dx, dy) = left, (right[0] - left[0], right[1] - left[1])
    if not math.hypot(dx, dy) > 0:
        raise ValueError("the eyes are in one place")
    # Turned, scaled and moved, so that the template's eyes at (±0.5, 0) come to lie there.
    turn = np.array([[dx, dy], [-dy, dx]])
    landmarks = _template() @ turn + (x + dx / 2, y + dy / 2)
    (x0, y0), (x1, y1) = landmarks.min(axis=0), landmarks.max(axis=0)
    return Face((float(x0), float(y0), float(x1), float(y1)), landmarks, 1.0)


def _template() -> np.ndarray:
    """A frontal face's 68 landmarks in distances of the eyes, from the point between them."""

    def arc(count: int, x: float, y: float, start: float, end: float, *at: float) -> np.ndarray:
        angles = np.radians(np.linspace(start, end, count))
        return np.stack([x * np.cos(angles), -y * np.sin(angles)], axis=1) + at

    return np.concatenate([
        arc(17, 1.15, 1.6, 180, 360, 0, 0.15),  # jaw
        arc(5, 0.45, 0.2, 180, 0, -0.62, -0.3), arc(5, 0.45, 0.2, 180, 0, 0.62, -0.3),  # brows
        np.stack([np.zeros(4), np.linspace(0, 0.5, 4)], axis=1),  # bridge of the nose
        arc(5, 0.25, 0.1, 180, 360, 0, 0.6),  # its tip
        arc(6, 0.2, 0.08, 180, -120, -0.5, 0), arc(6, 0.2, 0.08, 180, -120, 0.5, 0),  # eyes
        arc(12, 0.42, 0.17, 180, -150, 0, 1.05), arc(8, 0.3, 0.08, 180, -135, 0, 1.05),  # mouth
    ])  # fmt: skip


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _resized(image: Image.Image, lowest: int, highest: int) -> tuple[Image.Image, float]:
    """The picture with its longer side within bounds, and its size relative to the original."""
    longer = max(image.size)
    scale = min(max(longer, lowest), highest) / longer
    if scale == 1:
        return image, 1.0
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0), scale


def _find(image: Image.Image) -> tuple[int, Found]:
    """How far the photo has to be turned, and the faces in it if that is 0."""
    upright = _find_upright(image)
    sure = max((score for _, score in upright), default=0.0)
    if sure < search.SURE:
        # Something that is hardly a face must not win over one that lies on its side.
        for turns in (search.RIGHT_ANGLES, search.BETWEEN):
            if degrees := search.best_turn(
                image, turns, lambda turned: _hog(turned, 1024), search.SURE + sure
            ):
                return degrees, []
    if not upright:
        upright = _cnn(image, 480)
    if not upright and (
        degrees := search.best_turn(image, search.RIGHT_ANGLES, lambda turned: _cnn(turned, 400))
    ):
        return degrees, []
    for side in search.SIDES:
        if (side == search.SIDES[0] and not search.has_large(image, upright)) or not upright:
            small = search.small(image, side, lambda tile: _hog(tile, max(tile.size)))
            upright = search.merged(upright, small)
    return 0, upright or _retinaface(image)


def _find_upright(image: Image.Image) -> Found:
    """Faces that are upright and not small."""
    found = _hog(image, 1024)
    finer = _hog(image, 2048) if search.side_of(image) > 1024 else []
    return search.merged(found, [f for f in finer if f[1] >= search.SURE]) if found else finer


def _with_landmarks(image: Image.Image, found: Found) -> list[Face]:
    # dlib's landmarks are whole pixels: too coarse on a small picture.
    work, scale = _resized(image, 512, max(512, *image.size))
    pixels = np.asarray(work)
    return [Face(box, _landmarks(pixels, box, scale), score) for box, score in found]


def _turned_back(face: Face, turned: search.Turned) -> Face:
    left, top, right, bottom = face.box
    corners = turned.back(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    box = (float(x0), float(y0), float(x1), float(y1))
    return Face(box, turned.back(face.landmarks), face.score)


def _upright_score(image: Image.Image, left: Point, right: Point) -> float:
    """How sure the detector is of a face that has its eyes there, on a crop that sets it upright."""
    (x, y), size = left, 256
    # From the crop, where the eyes lie at 3/8 and 5/8 of its width, to the photo.
    dx, dy = (right[0] - x) / (size / 4), (right[1] - y) / (size / 4)
    eye = (size * 3 / 8, size * 0.42)
    matrix = (
        dx, -dy, x - dx * eye[0] + dy * eye[1],
        dy, dx, y - dy * eye[0] - dx * eye[1],
    )  # fmt: skip
    crop = image.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    _, scores, _ = _hog_detector().run(np.asarray(crop), 1, -1.0)
    return max(scores, default=-1.0)


def _hog(image: Image.Image, side: int) -> Found:
    side = round(side * max(image.size) / search.side_of(image))  # panoramas are shown larger
    work, scale = _resized(image, 512, side)
    boxes, scores, _ = _hog_detector().run(np.asarray(work), 0, 0.0)
    found = [(_box(box, scale), score) for box, score in zip(boxes, scores, strict=True)]
    # Beside a real face, which has 0.8 or more, what is hardly found is a pattern on a dress.
    return [face for face in found if face[1] >= CERTAIN] or found


def _cnn(image: Image.Image, side: int) -> Found:
    work, scale = _resized(image, 400, side)
    if min(work.size) < 80:  # the network fails on narrow strips
        return []
    found = _cnn_detector()(np.asarray(work), 0)
    return [(_box(f.rect, scale), f.confidence) for f in found]


def _box(rectangle: Any, scale: float) -> Box:
    corners = (rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom())
    return tuple(corner / scale for corner in corners)


def _landmarks(pixels: np.ndarray, box: Box, scale: float) -> np.ndarray:
    import dlib

    rectangle = dlib.rectangle(*(round(corner * scale) for corner in box))
    points = _landmark_predictor()(pixels, rectangle).parts()
    return np.array([(p.x, p.y) for p in points], dtype=np.float64) / scale


def model_path(name: str) -> str:
    # Located, not imported: importing the package needs pkg_resources, which setuptools dropped.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise RuntimeError("The package face-recognition-models is not installed.")
    return str(Path(spec.origin).parent / "models" / name)


@cache
def _hog_detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


@cache
def _cnn_detector() -> Any:
    import dlib

    return dlib.cnn_face_detection_model_v1(model_path("mmod_human_face_detector.dat"))


@cache
def _landmark_predictor() -> Any:
    import dlib

    return dlib.shape_predictor(model_path("shape_predictor_68_face_landmarks.dat"))


def _retinaface(image: Image.Image) -> Found:
    network = _retinaface_network()
    if network is None:
        return []
    import torch

    work, scale = _resized(image, 400, 1024)
    with torch.inference_mode():
        found = network.detect_faces(work, conf_threshold=0.8)
    # Its boxes include the forehead. dlib's landmarks expect a square around eyes, nose and mouth.
    result = []
    for row in found:
        half = (row[2] - row[0]) / 2
        x, y = row[5:].reshape(5, 2).mean(axis=0)
        box = tuple(float(v) / scale for v in (x - half, y - half, x + half, y + half))
        result.append((box, float(row[4])))
    return result


@cache
def _retinaface_network() -> Any:
    """The network, or None where its weights or a library that it needs are missing."""
    spec = importlib.util.find_spec("facexlib")
    if spec is None or spec.origin is None:
        return None
    weights = Path(spec.origin).parent / "weights" / "detection_Resnet50_Final.pth"
    if not weights.is_file():
        return None
    import torch

    try:
        from facexlib.detection.retinaface import RetinaFace
    except ImportError as error:  # OpenCV needs system libraries that a bare machine lacks
        log.warning("RetinaFace can't be used: %s", error)
        return None
    network = RetinaFace("resnet50", device=torch.device("cpu"))
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict({key.removeprefix("module."): v for key, v in state.items()})
    return network.eval()
