"""Aligns a face as in FFHQ: from a photo to the crop that the networks were trained on.

Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks" (CVPR
2019), appendix A, with the constants of the published data set. Eyes and mouth define a square,
the "quad": [4, 2] corners (x, y) in pixels; top left, bottom left, bottom right, top right. The
photo is shrunk, cropped, padded by blurred reflection where the quad leaves it, and resampled.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from clipinverter.photo.faces import Face, detect_faces
from clipinverter.photo.load import PhotoError, as_crop, load_photo

__all__ = [
    "Aligned", "Face", "NoFaceError", "PhotoError",
    "align", "align_face", "as_crop", "choose", "detect_faces", "ffhq_quad", "load_photo",
]  # fmt: skip

CropBox = tuple[int, int, int, int]  # left, top, right, bottom


class NoFaceError(PhotoError):
    """The photo has no face, or no face of that number; the message says so."""


class Aligned(NamedTuple):
    """An aligned face: RGB crop, its quad in the photo's pixels, and how many faces were found."""

    crop: Image.Image
    quad: np.ndarray
    faces: int


def align(photo: Image.Image, size: int = 256, face: int = 0) -> Aligned:
    """Detects the faces of an RGB photo and crops one to size x size pixels; face 0 is the largest.

    Raises NoFaceError.
    """
    faces = detect_faces(photo)
    crop, quad = align_face(photo, choose(faces, face).landmarks, size)
    return Aligned(crop, quad, len(faces))


def choose(faces: Sequence[Face], face: int) -> Face:
    """The face of that index, or a NoFaceError that says why there is none."""
    if not faces:
        raise NoFaceError(
            "No face was found in this picture. Use one where a face looks towards the camera, "
            "well lit and not too small. If the picture is already cropped to a face, say so: align none."
        )
    if not isinstance(face, int) or isinstance(face, bool) or face < 0:
        raise NoFaceError("The faces are numbered from 0, the largest first.")
    if face >= len(faces):
        if len(faces) == 1:
            raise NoFaceError("Only 1 face was found, which is number 0.")
        raise NoFaceError(
            f"Only {len(faces)} faces were found, numbered from 0, the largest, to {len(faces) - 1}."
        )
    return faces[face]


def align_face(
    photo: Image.Image, landmarks: np.ndarray, size: int = 256
) -> tuple[Image.Image, np.ndarray]:
    """The size x size crop of an RGB photo around one face, and its quad [4, 2] in the photo.

    landmarks: [68, 2] in pixels of the photo. Raises ValueError if they are degenerate.
    """
    quad = ffhq_quad(landmarks)
    return cut_out(photo, quad, size), quad


def cut_out(photo: Image.Image, quad: np.ndarray, size: int) -> Image.Image:
    """The part of an RGB photo inside the quad [4, 2], resampled to size x size pixels."""
    image, inner = shrink(photo, quad, size)
    image, inner = cut(image, inner)
    image, inner = pad(image, inner)
    corners = tuple((inner + 0.5).ravel())
    return image.transform((size, size), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def crop_size(quad: np.ndarray, largest: int = 1024) -> int:
    """The quad's side in pixels of the photo, from 256 to `largest`: the crop's full resolution."""
    return max(256, min(largest, round(_side(quad))))


def ffhq_quad(landmarks: np.ndarray) -> np.ndarray:
    """The square [4, 2] around a face, from its landmarks [68, 2] in the same pixels."""
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"68 landmarks are needed, of shape [68, 2], not {list(points.shape)}")
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes, mouth = (left_eye + right_eye) / 2, (points[48] + points[54]) / 2
    across, down = right_eye - left_eye, mouth - eyes

    half_x = across - _turned(down)
    length = np.hypot(*half_x)
    if not length > 0:
        raise ValueError("the landmarks do not span a face")
    half_x *= max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8) / length
    half_y = _turned(half_x)
    centre = eyes + 0.1 * down
    return centre + np.stack([-half_x - half_y, half_y - half_x, half_x + half_y, half_x - half_y])


def shrink(image: Image.Image, quad: np.ndarray, size: int) -> tuple[Image.Image, np.ndarray]:
    """Shrinks image and quad [4, 2] by an integer factor that leaves the quad's side at least 2 * size."""
    factor = math.floor(_side(quad) / size * 0.5)
    if factor <= 1:
        return image, quad
    smaller = tuple(int(np.rint(side / factor)) for side in image.size)
    return image.resize(smaller, Image.Resampling.LANCZOS), quad / factor


def cut(image: Image.Image, quad: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """Crops the image to the quad [4, 2] and a border of a tenth of its side; returns the moved quad."""
    margin = border(quad)
    left, top, right, bottom = _bounds(quad)
    box = (
        max(left - margin, 0),
        max(top - margin, 0),
        min(right + margin, image.width),
        min(bottom + margin, image.height),
    )
    return image.crop(box), quad - box[:2]


def pad(image: Image.Image, quad: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """Pads the image where the quad [4, 2] leaves it: by reflection that blurs into the median colour."""
    if max(missing(image, quad)) <= border(quad) - 4:
        return image, quad
    margin = int(np.rint(0.3 * _side(quad)))
    left, top, right, bottom = (max(width, margin) for width in missing(image, quad))
    widths = ((top, bottom), (left, right), (0, 0))
    pixels = np.pad(np.asarray(image, dtype=np.float32), widths, "reflect")

    height, width = pixels.shape[:2]
    y, x = np.ogrid[:height, :width]
    # At most 0 inside the image, rising to 1 at the outermost padded pixel.
    edge = np.maximum(
        1 - np.minimum(x / left, (width - 1 - x) / right),
        1 - np.minimum(y / top, (height - 1 - y) / bottom),
    )[..., None]
    from scipy.ndimage import gaussian_filter  # slow to import, rarely needed

    sigma = 0.02 * _side(quad)
    blurred = gaussian_filter(pixels, [sigma, sigma, 0])
    pixels += (blurred - pixels) * np.clip(3 * edge + 1, 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(edge, 0, 1)
    padded = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    return padded, quad + np.array([left, top])


def border(quad: np.ndarray) -> int:
    """Width of the border around the quad in pixels: a tenth of its side, at least 3."""
    return max(int(np.rint(0.1 * _side(quad))), 3)


def missing(image: Image.Image, quad: np.ndarray) -> CropBox:
    """Pixels by which the quad and its border leave the image on each side, at least 0."""
    margin = border(quad)
    left, top, right, bottom = _bounds(quad)
    return (
        max(margin - left, 0),
        max(margin - top, 0),
        max(right + margin - image.width, 0),
        max(bottom + margin - image.height, 0),
    )


def _turned(vector: np.ndarray) -> np.ndarray:
    """The vector [2] rotated by 90 degrees, from pointing right to pointing down."""
    return np.array([-vector[1], vector[0]])


def _side(quad: np.ndarray) -> float:
    return float(np.hypot(*(quad[3] - quad[0])))


def _bounds(quad: np.ndarray) -> CropBox:
    (left, top), (right, bottom) = np.floor(quad.min(axis=0)), np.ceil(quad.max(axis=0))
    return int(left), int(top), int(right), int(bottom)
