"""The picture in which a visitor points at a face: numbered faces, or the two eyes of one."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from clipinverter.photo.load import load_photo
from clipinverter.request import Point

SIDE = 1024  # pixels of the longer side
ACCENT, PLAIN, INK = "#0f766e", "#ffffff", "#1c1917"


class Pointing(NamedTuple):
    """What the picture shows. Boxes and points are in pixels of the photo.

    Attributes:
        scale: of the picture shown, relative to the photo.
        boxes: left, top, right, bottom of the faces to choose from; empty when eyes are tapped.
        eyes: those tapped so far.
    """

    scale: float = 1.0
    boxes: tuple[tuple[float, ...], ...] = ()
    eyes: tuple[Point, ...] = ()

    def face_at(self, x: float, y: float) -> int:
        """The face nearest to a point of the picture shown."""

        def distance(box: tuple[float, ...]) -> float:
            left, top, right, bottom = (corner * self.scale for corner in box)
            return ((left + right) / 2 - x) ** 2 + ((top + bottom) / 2 - y) ** 2

        return min(range(len(self.boxes)), key=lambda number: distance(self.boxes[number]))

    def tapped(self, x: float, y: float) -> "Pointing":
        """With one more eye, the left one as seen first; a third tap begins anew."""
        kept = self.eyes if len(self.eyes) < 2 else ()
        eyes = sorted({*kept, (x / self.scale, y / self.scale)})
        return self._replace(eyes=tuple(eyes))


def numbered(
    photo: Path | Image.Image, boxes: Sequence[Sequence[float]], chosen: int
) -> tuple[Image.Image, Pointing]:
    """The photo with a numbered frame around each face."""
    image, scale = _reduced(photo)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(18, max(image.size) // 28))
    for number, box in enumerate(boxes):
        left, top, right, bottom = (corner * scale for corner in box)
        colour = ACCENT if number == chosen else PLAIN
        draw.rounded_rectangle((left, top, right, bottom), 8, outline=INK, width=7)
        draw.rounded_rectangle((left, top, right, bottom), 8, outline=colour, width=5)
        label = str(number + 1)
        size = font.size * 1.4
        at = (max(left, 0), max(top, 0))
        draw.rounded_rectangle((*at, at[0] + size, at[1] + size), 8, fill=colour)
        ink = PLAIN if number == chosen else INK
        middle = (at[0] + size / 2, at[1] + size / 2)
        draw.text(middle, label, fill=ink, font=font, anchor="mm")
    return image, Pointing(scale, tuple(map(tuple, boxes)))


def to_tap(photo: Path | Image.Image, eyes: Sequence[Point] = ()) -> tuple[Image.Image, Pointing]:
    """The photo with a ring around every eye that was tapped."""
    image, scale = _reduced(photo)
    draw = ImageDraw.Draw(image)
    radius = max(image.size) / 60
    for x, y in eyes:
        for width, colour in ((6, INK), (4, PLAIN)):
            draw.circle((x * scale, y * scale), radius, outline=colour, width=width)
    return image, Pointing(scale, (), tuple(eyes))


def _reduced(photo: Path | Image.Image) -> tuple[Image.Image, float]:
    if not isinstance(photo, Image.Image):
        photo = load_photo(photo)
    image = photo.copy()
    image.thumbnail((SIDE, SIDE))
    return image, image.width / photo.width
