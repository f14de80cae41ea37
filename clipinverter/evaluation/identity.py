"""Whether two pictures show the same person, by dlib's face recognition network.

The network comes with the package `face-recognition-models`. No part of the project trains on it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from clipinverter.photo.faces import model_path

SAME_PERSON = 0.6  # largest distance of descriptors that dlib's authors call the same person
SIZE = 256  # pixels of the pictures that are compared
FACE = (
    46,
    80,
    198,
    231,
)  # where dlib finds the face in most aligned crops, if it finds none itself


def descriptor(image: Image.Image) -> np.ndarray:
    """dlib's descriptor [128] of the face in an aligned RGB crop."""
    import dlib

    pixels = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    found = _detector()(pixels, 0)
    box = max(found, key=lambda b: b.area()) if len(found) else dlib.rectangle(*FACE)
    return np.array(_network().compute_face_descriptor(pixels, _landmarks()(pixels, box)))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Euclidean distance of two descriptors; at most `SAME_PERSON` for the same person."""
    return float(np.linalg.norm(a - b))


@cache
def _detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


@cache
def _landmarks() -> Any:
    import dlib

    return dlib.shape_predictor(model_path("shape_predictor_68_face_landmarks.dat"))


@cache
def _network() -> Any:
    import dlib

    return dlib.face_recognition_model_v1(model_path("dlib_face_recognition_resnet_model_v1.dat"))
