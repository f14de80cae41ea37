"""Files of which Pillow would read the headers for minutes, since it joins and skips their parts one by one."""

from typing import BinaryIO

from PIL import Image

MAX_EXIF = 2**17  # bytes; a camera's metadata has to fit into half of that in a JPEG
MAX_SEGMENTS = 5_000  # of a JPEG before its pixels; cameras write a few dozen
MAX_CHUNKS = 50_000  # of a PNG; usual ones have 8 kB or more
PNG = b"\x89PNG\r\n\x1a\n"


def has_too_many_parts(file: BinaryIO) -> bool:
    """Whether a JPEG or PNG file has more parts than any camera or program writes."""
    start = file.read(8)
    if start.startswith(b"\xff\xd8"):
        file.seek(2)
        return _jpeg(file)
    return start == PNG and _png(file)


def _jpeg(file: BinaryIO) -> bool:
    for _ in range(MAX_SEGMENTS):
        start, kind = file.read(1), file.read(1)
        if start != b"\xff" or not kind or kind in b"\xda\xd9":  # the pixels, or the end
            return False
        if kind == b"\xff":  # padding
            file.seek(-1, 1)
        elif kind not in b"\x00\x01\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8":  # those have no content
            file.seek(max(0, int.from_bytes(file.read(2), "big") - 2), 1)
    return True


def _png(file: BinaryIO) -> bool:
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return False
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return True


def bound_exif() -> None:
    """Lets Pillow parse no more of EXIF than cameras write; before 13.0 its time grows with the square."""
    original = Image.Exif.load
    if hasattr(original, "is_bounded"):
        return

    def load(self: Image.Exif, data: bytes) -> None:
        original(self, data[:MAX_EXIF] if data else data)

    load.is_bounded = True
    Image.Exif.load = load
