"""Colour profiles of all kinds of pictures, and depths between 8 and 16 bits."""

import io

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
