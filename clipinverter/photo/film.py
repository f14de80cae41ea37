"""Pictures together: before and after side by side, and a sequence as GIF or MP4."""

import os
from collections.abc import Sequence
from fractions import Fraction

import av
from PIL import Image

GAP = 8  # pixels between two pictures
RATE = 12  # frames a second
HOLD = 10  # frames that the first and the last picture stay


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Two pictures at the height of the second, the first one on the left."""
    width = max(1, round(before.width * after.height / before.height))
    before = before.convert("RGB").resize((width, after.height), Image.Resampling.LANCZOS)
    both = Image.new("RGB", (width + GAP + after.width, after.height), "white")
    both.paste(before, (0, 0))
    both.paste(after, (width + GAP, 0))
    return both


def there_and_back(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """From the first picture to the last and back, staying a moment at both ends."""
    first, last = [pictures[0]] * HOLD, [pictures[-1]] * HOLD
    between = list(pictures[1:-1])
    return [*first, *between, *last, *reversed(between)]


def save_gif(pictures: Sequence[Image.Image], path: str | os.PathLike[str]) -> None:
    """Writes pictures of one size as an endless GIF, all with the colours of the last one."""
    palette = pictures[-1].convert("RGB").quantize(255, Image.Quantize.MEDIANCUT)
    frames = [picture.convert("RGB").quantize(palette=palette) for picture in pictures]
    frames[0].save(
        path, "GIF", save_all=True, append_images=frames[1:], duration=1000 // RATE, loop=0
    )


def save_mp4(pictures: Sequence[Image.Image], path: str | os.PathLike[str]) -> None:
    """Writes pictures of one size as H.264, which needs even sides: an odd row or column is cut off."""
    width, height = (side // 2 * 2 for side in pictures[0].size)
    with av.open(os.fspath(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", RATE, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for picture in pictures:
            frame = av.VideoFrame.from_image(picture.convert("RGB").crop((0, 0, width, height)))
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
