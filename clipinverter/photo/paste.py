"""Pastes an edited face back into the photo that it was cropped from.

The soft mask and the colour correction are computed in the crop's frame, at a small size. Image and
mask are then warped by the inverse of the alignment. Where the mask is 0, no pixel of the photo
changes.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from clipinverter.photo.faces import Face, face_of_eyes

SIZE = 256  # side in pixels at which mask and colour correction are computed
MARGIN = 0.02  # as a share of the crop's side: the mask is 0 within this distance of the border
FADE = 0.06  # as a share of the crop's side: the mask rises from 0 to 1 over this distance
MAX_GAIN = 1.4  # largest change of contrast
CROP_EYES = ((0.375, 0.475), (0.625, 0.475))  # the eyes (x, y) in an aligned crop of side 1


class Inverted(Protocol):
    """What pasting needs of a `results.Inversion`."""

    crop: Image.Image
    image: Image.Image
    quad: np.ndarray | None
    faces: Sequence[Face]
    face: int
    detail: bool


def paste(photo: Image.Image, inversion: Inverted, after: Image.Image) -> Image.Image:
    """The photo with the edited face: a new RGB image of the photo's size.

    With detail, `after` equals the crop except where the edit changed it. The change is added to the
    photo, and all other pixels stay the same. Without detail, `after` is the generator's image. A
    colour correction that matches `inversion.image` to the photo is applied to `after`, so that
    colours that the edit changed stay changed. The mask covers the face, and hair and background
    where the edit changes them.

    Args:
        photo: RGB, the photo that was inverted, from `photo.load.load_photo`.
        inversion: of a face in this photo.
        after: an edit of `inversion`, RGB, square.
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
    """Adds the difference of two crops [S, S, 3] to the photo; it fades out at the crop's border."""
    size = len(before)
    border = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size)) / size
    ramp = _smooth(border / FADE)
    change = (after - before) * (ramp[:, None] * ramp[None, :])[..., None]
    rows, columns = (np.flatnonzero(change.any(axis=(axis, 2))) for axis in (1, 0))
    if not len(rows):
        return photo.copy()
    # The box of the changed pixels in the photo, with 2 pixels around it for the resampling filter.
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
    """Quad [4, 2] and landmarks [68, 2] in the photo; of an aligned photo the centre square and a template."""
    if inversion.quad is not None:
        return inversion.quad, inversion.faces[inversion.face].landmarks
    side = min(photo.size)
    corner = (np.array(photo.size) - side) // 2 - 0.5
    quad = corner + np.array([(0, 0), (0, side), (side, side), (side, 0)])
    landmarks = face_of_eyes(*CROP_EYES).landmarks * side + corner
    return quad, landmarks


def _to_photo(quad: np.ndarray) -> np.ndarray:
    """[3, 3] from the crop's frame, 0 to 1, to the photo's coordinates with pixel centres at .5."""
    origin, down, _, right = quad + 0.5
    return np.stack([np.r_[right - origin, 0], np.r_[down - origin, 0], np.r_[origin, 1]], axis=1)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def _box(photo: Image.Image, quad: np.ndarray) -> tuple[int, int, int, int]:
    """The quad's bounding box within the photo: left, top, right, bottom."""
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
    """A filled polygon [SIZE, SIZE]: the jaw, widened, and a half ellipse above it.

    height: of the ellipse, relative to the distance from the ears to the chin.
    """
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
    """Where an edit changes the image, [SIZE, SIZE]: 0 below 6 levels of difference, 1 above 24."""
    difference = _blurred(np.abs(after - before).mean(axis=2), 0.03 * SIZE)
    return _smooth((difference - 6) / 18)


def _colours(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset [3] that give `source` the mean and the standard deviation of `target`."""

    def moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.average(pixels, axis=(0, 1), weights=weights)
        return mean, np.sqrt(np.average((pixels - mean) ** 2, axis=(0, 1), weights=weights))

    weights = np.broadcast_to(weights[..., None], source.shape)
    (mean, deviation), (wanted_mean, wanted_deviation) = moments(source), moments(target)
    gain = np.clip(wanted_deviation / np.maximum(deviation, 1), 1 / MAX_GAIN, MAX_GAIN)
    return gain, wanted_mean - gain * mean


def _seam(difference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The colour shift that closes the seam where the mask fades; 0 far from there."""
    fading = 4 * mask * (1 - mask)
    near = _blurred(fading, 0.06 * SIZE)
    spread = np.stack([_blurred(d * fading, 0.06 * SIZE) for d in np.moveaxis(difference, 2, 0)], 2)
    return spread / (near[..., None] + 0.1)


def _smooth(x: np.ndarray) -> np.ndarray:
    """Smoothstep: 0 below 0, 1 above 1."""
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
    """Resamples [S, S] or [S, S, 3]; `matrix` [3, 3] maps pixels of the area to 0 to 1."""
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    coefficients = tuple((matrix[:2] * image.width).ravel())
    return image.transform(area, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
