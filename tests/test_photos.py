"""Whatever a visitor uploads becomes upright RGB, or is refused in a sentence."""

import contextlib
import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from clipinverter.photo import load
from clipinverter.photo.load import PhotoError, as_crop, load_photo


def gradient(width=40, height=30):
    """Red grows to the right, green downwards."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 0 * x + 90], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def assert_close(image, expected, levels):
    assert image.mode == "RGB"
    assert image.size == expected.size
    difference = np.asarray(image, dtype=int) - np.asarray(expected, dtype=int)
    assert np.abs(difference).max() <= levels


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "JPEG", "WEBP", "AVIF"])
def test_formats_from_bytes_and_path(tmp_path, kind):
    lossless = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    options = lossless.get(kind, {"quality": 100} if kind == "AVIF" else {})
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow was built without AVIF")
    levels = {"GIF": 40, "JPEG": 3, "AVIF": 8}.get(kind, 0)
    path = tmp_path / "no-extension"
    path.write_bytes(encoded(gradient(), kind, **options))
    assert_close(load_photo(path.read_bytes()), gradient(), levels)
    assert_close(load_photo(str(path)), gradient(), levels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    """Pixels are stored as the camera saw them; the tag says how to hold the picture."""
    upright = gradient()
    store = {
        2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
        6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270",
    }  # fmt: skip
    name = store.get(orientation)
    stored = upright.transpose(getattr(Image.Transpose, name)) if name else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind, levels in (("PNG", 0), ("JPEG", 3)):
        data = encoded(stored, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))
        loaded = load_photo(data)
        assert_close(loaded, upright, 12 if levels else 0)
        assert loaded.info == {}
    assert_close(load_photo(load_photo(data)), upright, 12)  # not turned twice


def test_heic_as_phones_write_it():
    """Turned by the container, which the EXIF tag repeats: it must not be turned twice."""
    pytest.importorskip("pi_heif")
    path = Path(__file__).parent / "pictures" / "turned.heic"
    for source in (path, path.read_bytes()):
        loaded = load_photo(source)
        assert_close(loaded, gradient(), 8)
        assert loaded.info == {}
    with pytest.raises(PhotoError):
        load_photo(path.read_bytes()[:800])


def test_16_bit_colour():
    """Pillow can't write it, so the chunks are put together here."""
    levels = np.asarray(gradient()).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in levels)

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">II5B", 40, 30, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
    assert_close(load_photo(png + chunk(b"IEND", b"")), gradient(), 0)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_files(kind):
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    assert_close(load_photo(encoded(gradient().convert("CMYK"), kind, **options)), gradient(), 6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_lose_the_photo():
    data = encoded(
        gradient(), "JPEG", quality=100, subsampling=0, exif=b"Exif\0\0II*\0" + b"\xff" * 40
    )
    assert_close(load_photo(data), gradient(), 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_modes(mode):
    grey = Image.new("RGB", (9, 7), (255, 255, 255))
    source = grey.convert("L").convert("LA") if mode == "PA" else grey
    assert_close(load_photo(source.convert(mode)), grey, 1)


def test_transparency_is_laid_on_white():
    rgba = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    rgba.paste((200, 0, 0, 255), (0, 0, 4, 8))
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([255, 0, 255, 200, 0, 0])
    palette.paste(0, (4, 0, 8, 8))
    expected = Image.new("RGB", (8, 8), (255, 255, 255))
    expected.paste((200, 0, 0), (0, 0, 4, 8))
    assert_close(load_photo(rgba), expected, 0)
    assert_close(load_photo(encoded(rgba)), expected, 0)
    assert_close(load_photo(encoded(palette, transparency=0)), expected, 0)


@pytest.mark.parametrize(
    ("dtype", "white"),
    [(np.uint16, 65535), (np.int32, 65535), (np.int32, 255), (np.float32, 1), (np.float32, 255)],
)
def test_deep_grey(dtype, white):
    values = (np.linspace(0, 1, 50) * white).astype(dtype).reshape(5, 10)
    image = Image.fromarray(values)
    expected = Image.fromarray(np.rint(values / white * 255).astype(np.uint8)).convert("RGB")
    assert_close(load_photo(image), expected, 0)
    assert_close(load_photo(encoded(image, "TIFF")), expected, 0)


def test_dark_16_bit_scan_stays_dark():
    image = Image.fromarray(np.full((4, 4), 200, dtype=np.uint16))
    assert_close(load_photo(encoded(image)), Image.new("RGB", (4, 4), (1, 1, 1)), 0)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_animations(kind):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue", "green")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert_close(load_photo(data), frames[0], 0)


def test_colour_profiles_are_applied():
    """A profile whose red and green primaries are swapped must swap the channels."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    red, green, blue = gradient().split()
    expected = Image.merge("RGB", (green, red, blue))
    assert_close(load_photo(encoded(gradient(), icc_profile=swapped)), expected, 2)
    assert_close(load_photo(encoded(gradient(), icc_profile=srgb)), gradient(), 0)
    assert_close(load_photo(encoded(gradient(), icc_profile=b"junk")), gradient(), 0)


class TestRefused:
    @pytest.mark.parametrize(
        "data", [b"", b"just text\n", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 64]
    )
    def test_not_a_picture(self, tmp_path, data):
        path = tmp_path / "text.png"
        path.write_bytes(data)
        for source in (data, path):
            with pytest.raises(PhotoError, match="not a picture of a known format"):
                load_photo(source)

    def test_no_file(self, tmp_path):
        for path in (tmp_path / "none.png", tmp_path):
            with pytest.raises(PhotoError, match="There is no picture at"):
                load_photo(path)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
    def test_cut_short(self, kind):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        data = encoded(Image.fromarray(noise), kind)
        with pytest.raises(PhotoError):
            load_photo(data[: len(data) // 2])

    @pytest.mark.parametrize("kind", ["tiles", "JPEG", "YCbCr"])
    def test_kinds_of_tiff_that_are_read_beyond_their_end(self, kind):
        if kind == "tiles":
            rows, tile_width = struct.pack("<HH", 278, 4), struct.pack("<HH", 322, 4)
            data = encoded(gradient(), "TIFF")
            assert data.count(rows) == 1
            data = data.replace(rows, tile_width)
        elif kind == "JPEG":
            data = encoded(gradient(), "TIFF", compression="jpeg")
        else:
            data = encoded(gradient().convert("YCbCr"), "TIFF")
        with pytest.raises(PhotoError, match="TIFF files in tiles, in YCbCr or compressed as JPEG"):
            load_photo(data)

    @pytest.mark.parametrize(
        ("kind", "part", "count"),
        [
            ("JPEG", b"\xff\xe1" + struct.pack(">H", 14) + b"Exif\0\0" * 2, 100_000),
            ("JPEG", b"\xff", 1_000_000),
            (
                "PNG",
                struct.pack(">I", 0) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd")),
                100_000,
            ),
        ],
    )
    def test_files_of_very_many_parts(self, kind, part, count):
        data = encoded(gradient(), kind)
        begin = 2 if kind == "JPEG" else 33
        start = time.monotonic()
        with pytest.raises(PhotoError, match="damaged"):
            load_photo(data[:begin] + part * count + data[begin:])
        assert time.monotonic() - start < 1
        assert load_photo(data[:begin] + part * 20 + data[begin:]).size == gradient().size

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_exif_of_headers_alone(self, kind):
        """Pillow 12 would take half an hour for 20 MB of them."""
        headers = b"Exif\0\0" * 400_000
        data = encoded(gradient(), kind)
        if kind == "JPEG":
            segment = b"\xff\xe1" + struct.pack(">H", 60_002) + headers[:60_000]
            data = data[:2] + segment * 40 + data[2:]
        elif kind == "PNG":
            chunk = b"eXIf" + headers
            size, crc = struct.pack(">I", len(headers)), struct.pack(">I", zlib.crc32(chunk))
            data = data[:33] + size + chunk + crc + data[33:]
        else:
            data = encoded(gradient(), kind, exif=headers)
        start = time.monotonic()
        assert load_photo(data).size == gradient().size
        assert time.monotonic() - start < 3

    def test_decompression_bombs(self):
        def png(width, height):
            header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
            data = encoded(gradient())
            body = b"IHDR" + header
            return data[:12] + body + struct.pack(">I", zlib.crc32(body)) + data[33:]

        for size in ((9000, 9000), (20000, 20000), (2**31 - 1, 2**31 - 1)):
            with pytest.raises(PhotoError, match=r"too large|too many pixels"):
                load_photo(png(*size))
        assert load_photo(png(40, 30)).size == (40, 30)

    @pytest.mark.filterwarnings("ignore")
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_damage_never_raises_anything_else(self, data):
        kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]))
        damaged = bytearray(encoded(gradient(), kind))
        for _ in range(data.draw(st.integers(1, 10))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(PhotoError):
            assert load_photo(bytes(damaged)).mode == "RGB"


def test_large_photos_are_reduced(monkeypatch):
    monkeypatch.setattr(load, "MAX_KEPT", 1000 * 500)
    big = gradient(2200, 1100)
    for kind, levels in (("PNG", 3), ("JPEG", 8)):
        small = load_photo(encoded(big, kind))
        assert small.width == 2 * small.height
        assert 0.99 < small.width * small.height / load.MAX_KEPT <= 1
        assert_close(small, big.resize(small.size, Image.Resampling.BOX), levels)


def test_jpegs_beyond_the_limit_are_decoded_at_a_fraction(monkeypatch):
    monkeypatch.setattr(load, "MAX_KEPT", 600 * 300)
    monkeypatch.setattr(load, "MAX_DECODED", 1200 * 600)
    big = gradient(2200, 1100)
    assert load_photo(encoded(big, "JPEG")).size == (550, 275)
    with pytest.raises(PhotoError, match="too large, 2200 × 1100 pixels"):
        load_photo(encoded(big, "PNG"))


def test_the_source_is_left_alone():
    source = gradient()
    load_photo(source).paste("black", (0, 0, 9, 9))
    assert_close(source, gradient(), 0)


class TestAsCrop:
    @pytest.mark.parametrize("size", [(256, 256), (100, 100), (1024, 1024)])
    def test_squares_pass_unchanged(self, size):
        photo = gradient(*size)
        assert as_crop(photo) is photo

    def test_centre_square(self):
        wide = gradient(300, 100)
        assert_close(as_crop(wide), wide.crop((100, 0, 200, 100)), 0)
        tall = gradient(100, 301)
        assert_close(as_crop(tall), tall.crop((0, 100, 100, 200)), 0)

    def test_large_squares_are_reduced(self):
        crop = as_crop(gradient(1500, 1300))
        assert crop.size == (1024, 1024)
        assert as_crop(gradient(1500, 1300), 128).size == (128, 128)
