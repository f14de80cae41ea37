"""A saved picture says how it was made, and nothing about the picture that it was made from."""

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from clipinverter import __version__
from clipinverter.errors import UserError

METHOD = "CLIPInverter"
SIGNATURE = ("method", "model", "prompt", "strength")  # and "wishes" of a mix, as JSON
FORMATS = {"": "PNG", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
FAST_ABOVE = 2_000_000  # pixels; compressing more than that well would take seconds


class SaveError(UserError):
    """A picture can't be written; the message says where, why, and what to do."""


def sign(image: Image.Image, info: Mapping[str, Any]) -> Image.Image:
    """Gives the picture its origin as text entries, which are written into a PNG."""
    image.info["Software"] = f"clipinverter {__version__}"
    image.info |= {key: str(info[key]) for key in SIGNATURE if key in info}
    if wishes := info.get("wishes"):
        image.info["wishes"] = json.dumps(wishes, ensure_ascii=False)
    return image


def save_png(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Writes a PNG with the picture's text entries, see `save_picture`."""
    _save(image, Path(path), "PNG")


def save_picture(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Writes a picture in the format that the path's suffix names, and PNG where it has none.

    The file appears at once or not at all. PNG keeps the text entries; JPEG and WebP keep them as
    EXIF: the program as Software, the others as a JSON object in ImageDescription.

    Raises:
        SaveError: the suffix is of another format, or the file can't be written.
    """
    _save(image, Path(path), format_of(path))


def format_of(path: str | os.PathLike[str]) -> str:
    """The format that a path's suffix names: PNG, JPEG or WEBP. Raises SaveError for others."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise SaveError(
            f"Pictures are not written as {suffix}. Choose a name that ends in .png, .jpg or .webp."
        )
    return FORMATS[suffix]


def _save(image: Image.Image, path: Path, kind: str) -> None:
    entries = {key: value for key, value in image.info.items() if isinstance(value, str)}
    bare = image.copy()
    bare.info = {}
    options: dict[str, Any] = {"exif": _exif(entries)}
    if kind == "PNG":
        level = 1 if image.width * image.height > FAST_ABOVE else 6
        options = {"pnginfo": _text(entries), "compress_level": level}
    elif kind == "JPEG":
        options |= {"quality": 95, "subsampling": 0}
    else:
        options |= {"quality": 95}
    if path.exists() and not path.is_file():  # root could replace a folder's or a device's name
        raise SaveError(f"{path} is no ordinary file, so it is not replaced. Choose another name.")
    partial = path.with_name(f".{secrets.token_hex(8)}.part")  # a long name could get too long
    try:
        bare.save(partial, format=kind, **options)
        partial.replace(path)
    except OSError as error:
        raise SaveError(
            f"{path} could not be written ({error.strerror or error}). Make room there, or choose "
            "another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _text(entries: Mapping[str, str]) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in entries.items():
        info.add_text(key, value)
    return info


def _exif(entries: Mapping[str, str]) -> Image.Exif:
    exif = Image.Exif()
    others = dict(entries)
    exif[ExifTags.Base.Software] = others.pop("Software", "clipinverter")
    exif[ExifTags.Base.ImageDescription] = json.dumps(others)
    return exif
