"""Where in a photo, how large and how turned a face is looked for.

A detector sees upright faces of some size. So photos are shown to it reduced, for large faces; less
reduced, for smaller ones; turned, where nothing stands upright; and enlarged in tiles, for small
faces in wide scenes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]
Found = list[tuple[Box, float]]  # boxes and scores
Detector = Callable[[Image.Image], Found]

RIGHT_ANGLES, BETWEEN = (90, 180, 270), (45, 135, 225, 315)  # degrees, counter-clockwise
SURE = 0.5  # score of a face that is small or turned, where patterns are more likely than faces
LARGE = 0.15  # of the photo's side: beside such a face nobody looks for tiny ones
SIDES = 4096, 8192  # of a photo that is searched for small faces, and then for tiny ones
MAX_SCALE, MAX_TILED = 2.0, 72_000_000  # to which it may be enlarged: times its size, pixels
FLAT = 16  # levels of 255: what differs less shows nothing
TILE, OVERLAP = 1536, 320  # pixels; the overlap is more than the largest face that is looked for


class Turned(NamedTuple):
    """A photo that was turned and perhaps reduced, and the way back."""

    image: Image.Image
    matrix: np.ndarray  # [2, 3]: from a point of the turned photo to one of the photo

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 2] of the turned photo as points of the photo."""
        return np.asarray(points) @ self.matrix[:, :2].T + self.matrix[:, 2]


def turned(image: Image.Image, degrees: int, longest: int = 4096) -> Turned:
    """The photo turned counter-clockwise, its longer side at most `longest` pixels."""
    work, scale = image, 1.0
    if max(image.size) > longest:
        scale = longest / max(image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        work = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    result = work.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    centre, turned_centre = (np.array(i.size) / 2 - 0.5 for i in (image, result))
    return Turned(result, np.c_[turn, centre - turn @ turned_centre])


def side_of(image: Image.Image) -> int:
    """The longer side; of a panorama no more than twice the shorter one, whatever its width is."""
    return min(max(image.size), 2 * min(image.size))


def best_turn(
    image: Image.Image, turns: Sequence[int], detect: Detector, sure: float = SURE
) -> int | None:
    """That of the turns at which a face is found best, or None."""
    scores = {}
    for degrees in turns:
        found = detect(turned(image, degrees, 1024).image)
        scores[degrees] = max((score for _, score in found), default=0.0)
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] >= sure else None


def is_flat(image: Image.Image) -> bool:
    """Whether a picture has hardly any contrast, so that nothing can be in it."""
    step = max(1, min(image.size) // 64)
    low, high = image.convert("L").reduce(step).getextrema()
    return high - low < FLAT


def has_large(image: Image.Image, found: Found) -> bool:
    """Whether one of the faces found takes much of the photo."""
    return any(box[2] - box[0] >= LARGE * side_of(image) for box, _ in found)


def small(image: Image.Image, side: int, detect: Detector) -> Found:
    """Small faces: `detect` sees the photo in tiles, its side scaled to about `side` pixels."""
    most = (MAX_TILED / (image.width * image.height)) ** 0.5
    scale = min(MAX_SCALE, side / side_of(image), most)
    found: Found = []
    for box in _tiles(image.size, TILE / scale, OVERLAP / scale):
        size = [max(1, round((box[i + 2] - box[i]) * scale)) for i in (0, 1)]
        tile = image.resize(size, Image.Resampling.BICUBIC, box)
        if is_flat(tile):
            continue
        for (left, top, right, bottom), score in detect(tile):
            x, y = box[:2]
            place = (left / scale + x, top / scale + y, right / scale + x, bottom / scale + y)
            found.append((place, score))
    return merged([], [face for face in found if face[1] >= SURE])


def merged(kept: Found, more: Found) -> Found:
    """The faces kept, and those of `more` that are others, each once: the most certain first."""
    result = list(kept)
    for face in sorted(more, key=lambda face: -face[1]):
        if not any(_same(face[0], other) for other, _ in result):
            result.append(face)
    return result


def _same(one: Box, other: Box) -> bool:
    """Whether two boxes show one face: they share a third of the smaller one."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width > 0 and height > 0 and width * height > smaller / 3


def _tiles(size: Sequence[int], side: float, overlap: float) -> Iterator[Box]:
    """Boxes of about that side which cover the picture."""
    width, height = size
    for top in _starts(height, side, overlap):
        for left in _starts(width, side, overlap):
            yield left, top, min(left + side, width), min(top + side, height)


def _starts(length: int, side: float, overlap: float) -> np.ndarray:
    count = 1 + max(0, int(np.ceil((length - side) / (side - overlap))))
    return np.linspace(0, max(0.0, length - side), count)
