"""Faces and their 68 landmarks, offline.

The networks come with the packages `dlib-bin` and `face-recognition-models`. Three detectors are
tried in turn until one finds a face: dlib's HOG detector, which is fast; dlib's CNN, which takes
seconds but also finds turned and half-covered faces; and RetinaFace of `facexlib`, where somebody
has put its weights (`detection_Resnet50_Final.pth`) into that package's folder `weights`. Nothing
is ever downloaded from here.
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

log = logging.getLogger(__name__)

CERTAIN = 0.3  # score of the HOG detector

Box = tuple[float, float, float, float]
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

    Landmarks follow the usual order of 68 points (iBUG 300-W).
    """
    with _lock:
        found = _hog(image, 1024) or _hog(image, 2048) or _cnn(image, 480) or _retinaface(image)
        # dlib's landmarks are whole pixels: too coarse on a small picture.
        work, scale = _resized(image, 512, max(512, *image.size))
        pixels = np.asarray(work)
        faces = [Face(box, _landmarks(pixels, box, scale), score) for box, score in found]
    return sorted(faces, key=lambda face: _area(face.box), reverse=True)


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


def _hog(image: Image.Image, side: int) -> list[tuple[Box, float]]:
    if side > 1024 and max(image.size) <= 1024:
        return []  # tried already
    work, scale = _resized(image, 512, side)
    boxes, scores, _ = _hog_detector().run(np.asarray(work), 0, 0.0)
    found = [(_box(box, scale), score) for box, score in zip(boxes, scores, strict=True)]
    # Beside a real face, which has 0.8 or more, what is hardly found is a pattern on a dress.
    return [face for face in found if face[1] >= CERTAIN] or found


def _cnn(image: Image.Image, side: int) -> list[tuple[Box, float]]:
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


def _retinaface(image: Image.Image) -> list[tuple[Box, float]]:
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
