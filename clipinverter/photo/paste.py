"""The way back: an edited face is pasted into the photo that it was cut from.

A soft mask after the landmarks and a colour correction are made in the crop's own frame, where they
are small. Picture and mask then go through the inverse of the alignment together. Where the mask is
0 the photo keeps every pixel as it is.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from clipinverter.photo.faces import Face, face_of_eyes

SIZE = 256  # pixels of the frame in which mask and colours are made
MARGIN = 0.02  # of the crop's side: the mask is 0 up to this far from the border
FADE = 0.06  # and rises from there to 1 over this
MAX_GAIN = 1.4  # by which contrast may be changed
CROP_EYES = ((0.375, 0.475), (0.625, 0.475))  # in an aligned crop of side 1, as `align` makes it


class Inverted(Protocol):
    """What pasting needs of a `results.Inversion`."""

    crop: Image.Image
    image: Image.Image
    quad: np.ndarray | None
    faces: Sequence[Face]
    face: int
    detail: bool


def paste(photo: Image.Image, inversion: Inverted, after: Image.Image) -> Image.Image:
    """The photo with its face edited: a new RGB picture of the photo's size.

    With detail, `after` is the crop but for what the edit changed. That change is added to the photo,
    and all other pixels stay as they are. Without detail, `after` is the generator's drawing: the
    colours of `inversion.image` are matched to those of the photo and `after` is corrected likewise,
    so that what the edit changes on purpose stays changed. The mask is then the face; hair and
    surroundings belong to it as far as the edit changes them.

    Args:
        photo: what was inverted, as `photos.load_photo` gives it.
        after: an edit of `inversion`.
    """
    quad, landmarks = _place(photo, inversion)
    if inversion.detail:
        return _with_change(photo, quad, _pixels(inversion.crop), _pixels(after))
    to_crop = np.linalg.inv(_to_photo(quad))
    crop, before, edited = (
        _pixels(_resized(image, SIZE)) for image in (inversion.crop, inversion.image, after)
    )
    face, head = _shapes(_moved(landmarks + 0.5, to_crop) * SIZE)
    mask = face + (head - face) * _change(before, edited)
    gain, offset = _colours(before, crop, face)
    shift = _seam(crop - (before * gain + offset), mask)

    side = math.ceil(np.hypot(*(quad[3] - quad[0])))
    size = max(SIZE, min(after.width, side))  # no larger than the photo can show
    pixels = _pixels(_resized(after, size)) * gain + offset
    pixels += np.stack([_resized(Image.fromarray(s), size) for s in np.moveaxis(shift, 2, 0)], 2)

    left, top, right, bottom = box = _box(photo, quad)
    back = to_crop @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    area = (right - left, bottom - top)
    result = photo.copy()
    result.paste(_warped(pixels, back, area), box, _warped(mask * 255, back, area))
    return result


def _with_change(
    photo: Image.Image, quad: np.ndarray, before: np.ndarray, after: np.ndarray
) -> Image.Image:
    """The photo plus the change between two crops [S, S, 3] of its quad, which fades at the crop's border."""
    size = len(before)
    border = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size)) / size
    ramp = _smooth(border / FADE)
    change = (after - before) * (ramp[:, None] * ramp[None, :])[..., None]
    rows, columns = (np.flatnonzero(change.any(axis=(axis, 2))) for axis in (1, 0))
    if not len(rows):
        return photo.copy()
    # The part of the photo that the changed rows and columns cover, with the filter's reach around it.
    (top, bottom), (left, right) = ((i[0] - 2, i[-1] + 3) for i in (rows, columns))
    corners = np.array([(left, top), (left, bottom), (right, bottom), (right, top)]) / size
    to_photo = _to_photo(quad)
    area = _box(photo, _moved(corners, to_photo) - 0.5)
    left, top, right, bottom = area
    if right <= left or bottom <= top:
        return photo.copy()
    back = np.linalg.inv(to_photo) @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    coefficients = tuple((back[:2] * size).ravel())
    moved = [
        Image.fromarray(np.ascontiguousarray(channel)).transform(
            (right - left, bottom - top),
            Image.Transform.AFFINE,
            coefficients,
            Image.Resampling.BICUBIC,
        )
        for channel in np.moveaxis(change, 2, 0)
    ]
    pixels = np.asarray(photo.crop(area), dtype=np.float32) + np.stack(moved, axis=2)
    result = photo.copy()
    result.paste(Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)), area[:2])
    return result


def _place(photo: Image.Image, inversion: Inverted) -> tuple[np.ndarray, np.ndarray]:
    """Quad and landmarks in the photo, also for one that is an aligned crop itself."""
    if inversion.quad is not None:
        return inversion.quad, inversion.faces[inversion.face].landmarks
    side = min(photo.size)
    corner = (np.array(photo.size) - side) // 2 - 0.5
    quad = corner + np.array([(0, 0), (0, side), (side, side), (side, 0)])
    landmarks = face_of_eyes(*CROP_EYES).landmarks * side + corner
    return quad, landmarks


def _to_photo(quad: np.ndarray) -> np.ndarray:
    """[3, 3] from the crop's frame, 0 to 1, to the photo, whose pixels' centres are at .5."""
    origin, down, _, right = quad + 0.5
    return np.stack([np.r_[right - origin, 0], np.r_[down - origin, 0], np.r_[origin, 1]], axis=1)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def _box(photo: Image.Image, quad: np.ndarray) -> tuple[int, int, int, int]:
    """What of the photo the quad covers: left, top, right, bottom."""
    low = np.clip(np.floor(quad.min(axis=0)), 0, photo.size)
    high = np.clip(np.ceil(quad.max(axis=0)) + 1, 0, photo.size)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _shapes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Soft masks [SIZE, SIZE] of the face and of the head with its hair, from 0 to 1."""
    border = np.minimum(np.arange(SIZE) + 0.5, SIZE - 0.5 - np.arange(SIZE)) / SIZE
    ramp = _smooth((border - MARGIN) / FADE)
    inside = ramp[:, None] * ramp[None, :]
    face = _blurred(_outline(landmarks, 1.05, 0.75), 0.03 * SIZE) * inside
    head = _blurred(_outline(landmarks, 1.55, 1.6), 0.05 * SIZE) * inside
    return face, np.maximum(face, head)


def _outline(landmarks: np.ndarray, width: float, height: float) -> np.ndarray:
    """The jaw, widened, and half an ellipse over it whose height is in lengths of the jaw."""
    jaw = landmarks[:17]
    middle = (jaw[0] + jaw[16]) / 2
    across, up = (jaw[16] - jaw[0]) / 2 * width, (middle - jaw[8]) * height
    angles = np.linspace(0, np.pi, 24)[1:-1, None]
    dome = middle + np.cos(angles) * across + np.sin(angles) * up
    image = Image.new("F", (SIZE, SIZE))
    outline = np.concatenate([middle + (jaw - middle) * width, dome])
    ImageDraw.Draw(image).polygon([tuple(point) for point in outline], fill=1.0)
    return np.asarray(image)


def _change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where an edit shows, [SIZE, SIZE] from 0 to 1: from 6 to 24 levels of difference."""
    difference = _blurred(np.abs(after - before).mean(axis=2), 0.03 * SIZE)
    return _smooth((difference - 6) / 18)


def _colours(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset [3] that give `source` the mean and the deviation of `target`."""

    def moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.average(pixels, axis=(0, 1), weights=weights)
        return mean, np.sqrt(np.average((pixels - mean) ** 2, axis=(0, 1), weights=weights))

    weights = np.broadcast_to(weights[..., None], source.shape)
    (mean, deviation), (wanted_mean, wanted_deviation) = moments(source), moments(target)
    gain = np.clip(wanted_deviation / np.maximum(deviation, 1), 1 / MAX_GAIN, MAX_GAIN)
    return gain, wanted_mean - gain * mean


def _seam(difference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What to add so that the colours meet where the mask fades; nothing far from there."""
    fading = 4 * mask * (1 - mask)
    near = _blurred(fading, 0.06 * SIZE)
    spread = np.stack([_blurred(d * fading, 0.06 * SIZE) for d in np.moveaxis(difference, 2, 0)], 2)
    return spread / (near[..., None] + 0.1)


def _smooth(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a smooth step between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter  # slow to import

    return gaussian_filter(values, sigma, mode="nearest", truncate=3)


def _resized(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32)


def _warped(pixels: np.ndarray, matrix: np.ndarray, area: tuple[int, int]) -> Image.Image:
    """[S, S] or [S, S, 3] sampled at `matrix` (pixels of the area -> 0 to 1) of every pixel."""
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    coefficients = tuple((matrix[:2] * image.width).ravel())
    return image.transform(area, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
