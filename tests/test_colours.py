"""Colour profiles of all kinds of pictures, and depths between 8 and 16 bits."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from clipinverter.photo import load
from clipinverter.photo.load import PhotoError, load_photo
from tests.corpus import encoded
from tests.tiny import picture


@pytest.fixture(scope="module")
def swapped() -> bytes:
    """A profile whose red and green primaries are swapped: far from sRGB, like P3 or ProPhoto."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    changed = srgb.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")
    return changed.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def levels_apart(image: Image.Image, expected: Image.Image) -> int:
    one, two = (np.asarray(i.convert("RGB"), dtype=int) for i in (image, expected))
    return int(np.abs(one - two).max())


def exchanged(image: Image.Image) -> Image.Image:
    red, green, blue = image.convert("RGB").split()
    return Image.merge("RGB", (green, red, blue))


def test_pictures_with_transparency(swapped):
    source = picture(3)
    mask = Image.new("L", source.size, 255)
    mask.paste(0, (0, 0, 20, 64))
    rgba = source.copy()
    rgba.putalpha(mask)
    expected = exchanged(source)
    expected.paste("white", (0, 0, 20, 64))
    for kind, levels in (("PNG", 2), ("WEBP", 2), ("TIFF", 2)):
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        data = encoded(rgba, kind, icc_profile=swapped, **options)
        assert levels_apart(load_photo(data), expected) <= levels


@pytest.mark.parametrize("transparency", [{}, {"transparency": 250}])
def test_pictures_with_a_palette(swapped, transparency):
    palette = picture(3).quantize(200)
    data = encoded(palette, "PNG", icc_profile=swapped, **transparency)
    assert levels_apart(load_photo(data), exchanged(palette)) <= 2


def test_without_a_profile_nothing_changes():
    rgba = picture(3).convert("RGBA")
    assert levels_apart(load_photo(encoded(rgba, "PNG")), picture(3)) == 0
    assert levels_apart(load_photo(encoded(rgba, "PNG", icc_profile=b"junk")), picture(3)) == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_fewer_bits_than_the_file_has_room_for(kind, bits):
    values = np.linspace(0, 2**bits - 1, 64 * 64).astype(np.uint16).reshape(64, 64)
    data = encoded(Image.fromarray(values), kind)
    expected = Image.fromarray((values / (2**bits - 1) * 255).round().astype(np.uint8))
    assert levels_apart(load_photo(data), expected) <= 1


def png_of_16_bits(values: np.ndarray) -> bytes:
    """A PNG of [height, width, channels] in 16 bits, which Pillow can't write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = (
        (b"IHDR", struct.pack(">II5B", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def tiff_of_16_bits(values: np.ndarray, order: str, white: int | None = None) -> bytes:
    """An uncompressed TIFF of [height, width, 3] in 16 bits, in the order "<" or ">" of bytes."""
    height, width, _ = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    entries = [
        (256, width), (257, height), (259, 1), (262, 2), (273, 8), (277, 3), (278, height),
    ]  # fmt: skip
    if white:
        entries += [(281, white)]
    directory = struct.pack(f"{order}H", len(entries) + 2)
    bits = 8 + len(pixels)
    fields = [
        (258, 3, 3, bits),
        *((tag, 4, 1, value) for tag, value in entries),
        (279, 4, 1, len(pixels)),
    ]
    for field in sorted(fields):
        directory += struct.pack(f"{order}HHII", *field)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, bits + 6)
    return head + pixels + struct.pack(f"{order}3H", 16, 16, 16) + directory + bytes(4)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_colours_with_fewer_bits_than_the_file_has_room_for(bits):
    random = np.random.default_rng(bits)
    values = random.integers(0, 2**bits, (24, 40, 3)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    expected = Image.fromarray((values / (2**bits - 1) * 255).round().astype(np.uint8))
    opaque = np.concatenate([values, np.full((24, 40, 1), 65535, np.uint16)], axis=2)
    files = [png_of_16_bits(values), png_of_16_bits(opaque)]
    files += [tiff_of_16_bits(values, order) for order in "<>"]
    for data in files:
        assert levels_apart(load_photo(data), expected) <= 1


def test_the_white_level_of_colours_counts_too():
    values = np.full((8, 8, 3), 1000, dtype=np.uint16)
    data = tiff_of_16_bits(values, "<", white=2000)
    assert levels_apart(load_photo(data), Image.new("RGB", (8, 8), (128, 128, 128))) <= 1


def test_the_files_own_white_level_counts():
    values = np.full((8, 8), 1000, dtype=np.uint16)
    data = encoded(Image.fromarray(values), "TIFF", tiffinfo={281: 2000})
    assert levels_apart(load_photo(data), Image.new("L", (8, 8), 128)) <= 1


def test_huge_pictures_are_refused_before_they_are_decoded(monkeypatch):
    """79 megapixels of black are 230 kB as a PNG."""
    file = io.BytesIO()
    Image.new("1", (9400, 8400)).save(file, "PNG")
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    with pytest.raises(PhotoError, match="too large, 9400 × 8400 pixels"):
        load_photo(file.getvalue())
    assert load.MAX_DECODED <= 52_000_000
