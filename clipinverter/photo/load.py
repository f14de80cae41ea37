"""Uploaded pictures, of any format and size, as plain RGB."""

import contextlib
import functools
import io
import math
import os
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from clipinverter.errors import UserError
from clipinverter.photo.colours import from_16_bits, has_16_bits, to_rgb
from clipinverter.photo.parts import bound_exif, has_too_many_parts

# Formats that cameras, phones and browsers write. Pillow knows more, some of which start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "BMP", "TIFF")
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".bmp", ".tif", ".tiff"
)  # fmt: skip
MAX_KEPT = 52_000_000  # pixels; phones take up to 50 megapixels
MAX_DECODED = MAX_KEPT  # pixels; what one visitor may make the server hold


class PhotoError(UserError):
    """A picture can't be used; the message is a sentence for the person who chose it."""


class MissingPhotoError(PhotoError):
    """There is no picture at a path, which the message names."""


def load_photo(source: str | os.PathLike[str] | bytes | Image.Image) -> Image.Image:
    """A picture as seen: upright, sRGB, transparency on white, the first frame of an animation.

    Args:
        source: a path, the bytes of a file, or a Pillow image of any mode.

    Returns:
        A new RGB image of at most `MAX_KEPT` pixels, without metadata.

    Raises:
        PhotoError: no such file, not a picture, damaged, or too large.
    """
    if isinstance(source, Image.Image):
        return _decode(source)
    with _open(source) as image:
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which spares memory.
            factor = math.ceil(math.sqrt(image.width * image.height / MAX_KEPT))
            image.draft(None, (image.width // factor, image.height // factor))
        return _decode(image, lambda: _open(source))


def find_photos(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures in a folder and its subfolders, known by their suffix, sorted by path.

    Raises:
        PhotoError: there is no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PhotoError(f"There is no folder {folder}.")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    )
    if not found:
        raise PhotoError(f"There are no pictures in the folder {folder}.")
    return found


def as_crop(photo: Image.Image, max_size: int = 1024) -> Image.Image:
    """The centre square of an RGB picture, for faces that are cut out already.

    Square pictures up to `max_size` are returned unchanged; larger ones are reduced to it.
    """
    if photo.width == photo.height <= max_size:
        return photo
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    square = photo.crop((left, top, left + side, top + side))
    size = min(side, max_size)
    return square if size == side else square.resize((size, size), Image.Resampling.LANCZOS)


def _open(source: str | os.PathLike[str] | bytes) -> Image.Image:
    file = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
    if isinstance(file, Path) and not file.is_file():
        raise MissingPhotoError(f"There is no picture at {file}.")
    _learn_heif()
    bound_exif()
    try:
        with file.open("rb") if isinstance(file, Path) else io.BytesIO(source) as opened:
            if has_too_many_parts(opened):
                raise _damaged()
        image = Image.open(file, formats=FORMATS)
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(
            "This file is not a picture of a known format. JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP "
            "and TIFF work; save photos of other formats, such as raw ones, as JPEG first."
        ) from None
    except Image.DecompressionBombError:
        raise PhotoError("This picture has far too many pixels. Please shrink it first.") from None
    except Exception as error:
        raise _damaged() from error
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_odd_tiff(image):
        image.close()
        raise PhotoError(
            "TIFF files in tiles, in YCbCr or compressed as JPEG are not read here. Please save the "
            "picture as PNG or JPEG first."
        )
    return image


def _is_odd_tiff(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Kinds of TIFF of which Pillow before 13.0 reads memory beyond the file's (CVE-2026-112395)."""
    tags = image.tag_v2
    is_ycbcr = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 6
    is_jpeg = tags.get(TiffImagePlugin.COMPRESSION) in (6, 7)
    return is_ycbcr or is_jpeg or TiffImagePlugin.TILEWIDTH in tags


@functools.cache
def _learn_heif() -> None:
    """Teaches Pillow what iPhones write. The plugin has no wheels for some machines."""
    with contextlib.suppress(ImportError):
        import pi_heif

        pi_heif.register_heif_opener(thumbnails=False)


def _decode(image: Image.Image, open_again: Callable[[], Image.Image] | None = None) -> Image.Image:
    if image.width * image.height > MAX_DECODED:
        raise PhotoError(
            f"This picture is too large, {image.width} × {image.height} pixels. "
            f"Please shrink it to at most {MAX_DECODED // 1_000_000} megapixels first."
        )
    try:
        deep = open_again and has_16_bits(image)
        image.load()
        rgb = to_rgb(from_16_bits(image, open_again) if deep else image)
        # Broken camera metadata can fail in many ways; the picture is still good.
        with contextlib.suppress(Exception):
            rgb.info["exif"] = image.getexif().tobytes()
            rgb = ImageOps.exif_transpose(rgb)
    # Decoders raise nearly anything on damaged data.
    except Exception as error:
        raise _damaged() from error
    rgb.info = {}  # where a photo was taken is nobody's business
    if rgb.width * rgb.height > MAX_KEPT:
        scale = math.sqrt(MAX_KEPT / (rgb.width * rgb.height))
        size = tuple(max(1, int(side * scale)) for side in rgb.size)
        rgb = rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return rgb


def _damaged() -> PhotoError:
    return PhotoError("This picture is damaged or incomplete. Please save or download it again.")
