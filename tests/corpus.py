"""Files that are hardly pictures and words that are hardly prompts, made anew and always the same."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests.tiny import picture

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
CUTS = (0.02, 0.1, 0.3, 0.5, 0.8, 0.99)
MODES = ("1", "L", "LA", "P", "RGBA", "CMYK", "I", "I;16", "F", "YCbCr", "LAB")


def files() -> Iterator[tuple[str, bytes]]:
    """Name and content: at least 150, of which some are good pictures of odd kinds."""
    whole = {kind: encoded(picture(5, (48, 40)), kind) for kind in KINDS}
    for kind, data in whole.items():
        for cut in CUTS:
            yield f"cut-{cut}.{kind.lower()}", data[: int(len(data) * cut)]
        random = np.random.default_rng(len(data))
        for number in range(6):
            fuzzed = np.frombuffer(data, np.uint8).copy()
            places = random.integers(
                0, min(len(fuzzed), 200 if number % 2 else 10**9), 1 + 3 * number
            )
            fuzzed[places] = random.integers(0, 256, len(places))
            yield f"fuzzed-{number}.{kind.lower()}", fuzzed.tobytes()
        for name, twisted in (
            ("twice", data * 2), ("after-junk", b"junk" + data), ("tail", data + bytes(5000)),
            ("zeros", data[:20] + bytes(len(data) - 20)), ("reversed", data[::-1]),
        ):  # fmt: skip
            yield f"{name}.{kind.lower()}", twisted
        yield f"other-name.{'png' if kind != 'PNG' else 'jpg'}", data
    for side in (
        (0, 0),
        (1, 0),
        (65536, 65536),
        (2**31 - 1, 1),
        (30000, 30000),
        (9000, 9000),
        (41, 30),
    ):
        yield f"lies-{side[0]}x{side[1]}.png", with_size(whole["PNG"], *side)
    for mode in MODES:
        kind = "TIFF" if mode in ("CMYK", "I", "I;16", "F", "YCbCr", "LAB") else "PNG"
        source = picture(6, (32, 24))
        image = Image.fromarray(np.asarray(source.convert("L")).astype("u2") * 16) if mode == "I;16" else (
            source.convert("L").convert(mode) if mode in "IFLA1" else source.convert(mode)
        )  # fmt: skip
        yield f"mode-{mode}.{kind.lower()}", encoded(image, kind)
    for size in ((1, 1), (1, 3000), (3000, 1), (2, 2), (7, 500)):
        yield f"shape-{size[0]}x{size[1]}.png", encoded(picture(1, size), "PNG")
    texts = (b"", b"\0" * 100, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"%PDF-1.7\n", b"GIF89a",
             b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"II*\0\xff\xff\xff\xff",
             b"BM" + b"\xff" * 60, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P6 9 9 255\n", b"\0\0\0\x1cftypheic" + b"\0" * 30,
             b"\0\0\0\x1cftypavif" + b"\xff" * 30, b"MZ" + bytes(99), b"PK\x03\x04" + bytes(60))  # fmt: skip
    for number, text in enumerate(texts):
        yield f"text-{number}.png", text
    for name in ("ümlaut.png", "spa ce.png", "日本.png", "a" * 200 + ".png", "no-suffix", ".png", "x.exe",
                 "-rf.png", "a;b.png", "$(id).png", "%2e%2e.png", "..png", "quote'\".png"):  # fmt: skip
        yield name, whole["PNG"]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a picture's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_size(png: bytes, width: int, height: int) -> bytes:
    """A PNG whose header claims another size."""
    body = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


# Prompt, strength, align, paste, face, tune: what else a request may hold. At least 60.
GOOD = ("a bald man", 1.0, "none", False, 0, False)
REQUESTS: list[tuple[Any, ...]] = [
    *((prompt, *GOOD[1:]) for prompt in (
        "", " ", "\n\t", "\0", "\u200b", "\ufeff", "\u200b\u2060\ufeff", "\ud800", "\udfff x", "x" * 2001,
        "x" * 100_000, "😀", "👩‍👩‍👧‍👦", "a\0b", "<script>alert(1)</script>", "'; DROP TABLE", "{}", "{0}",
        "%s%n", "../../etc", "مرحبا", "微笑的女人", "Z̷a̷l̷g̷o̷", "‮reversed", "a\r\nb", "-beard", "--help", "NaN", "null",
        None, 5, True, [], {}, ["a"], {"path": "/etc/passwd"}, 1e308,
    )),
    *(("a man", strength, *GOOD[2:]) for strength in (
        -0.1, 2.1, 1e308, -1e308, 10**400, "1", "1,5", "", None, True, [], {}, [1.0], 0, 2, 1e-300,
    )),
    *(("a man", 1.0, align, False, 0, False) for align in ("", "eyes", "AUTO", None, 0, [], {}, "none ")),
    *(("a man", 1.0, "none", paste, 0, False) for paste in (None, 1, "true", [], {})),
    *(("a man", 1.0, "none", False, 0, tune) for tune in (None, 1, "true", [], {})),
    *(("a man", 1.0, "auto", False, face, False) for face in (-1, 10**400, "0", "x", [], {})),
]  # fmt: skip

# What a request for several wishes may hold.
MIXES: list[Any] = [
    None, "", "red hair", 5, True, [], {}, [[]], [None], [5], ["red hair"], [{}], [{"prompt": None}], [{"prompt": ""}],
    [{"prompt": "a man", "strength": None}], [{"prompt": "a man", "strength": "1"}],
    [{"prompt": "a man", "strength": 10**400}], [{"prompt": "\0"}], [{"prompt": "\ud800"}], [{"prompt": ["a man"]}],
    [{"prompt": {"path": "/etc/passwd"}}], [{"prompt": "a man"}] * 100, [{"prompt": "x" * 100_000}],
    [{"prompt": "a man", "strength": -2}, {"prompt": "a man", "strength": 2}],
    [{"prompt": "a man", "path": "/etc/passwd"}],
    {"prompt": "a man"}, [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
]  # fmt: skip
