"""From what a request names as its picture to a file: `path_of` is the only way.

The framework checks a path only where the request itself says that it is a file; we check all.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from clipinverter.errors import UserError
from clipinverter.ui import text

MAX_BYTES = 20 * 1024**2  # of one file
# Stands for a picture that may not be read. It names no file, so the framework lets it pass.
REFUSED = {"path": None, "url": None}
FILE_KEYS = ("path", "url", "meta")  # by which the framework knows a file


class UploadError(UserError):
    """A request names no file that may be read; the message is a sentence for the visitor."""


def path_of(value: Any) -> Path:
    """The file that a request names, which must lie in this server's folder of uploads and results.

    Args:
        value: what came as the picture: any JSON, of which {"path": "…"} is the form that works.

    Raises:
        UploadError: with one and the same sentence for whatever is missing or lies elsewhere, so
            that nobody learns which files exist; with others for no picture and for too large ones.
    """
    if value is None:
        raise UploadError(text.NO_PICTURE)
    path = _find(value)
    if path is None:
        raise UploadError(text.PICTURE_GONE)
    if path.stat().st_size > MAX_BYTES:
        raise UploadError(text.TOO_LARGE)
    return path


def checked(values: Sequence[Any], components: Sequence[Any]) -> list[Any]:
    """The values of a request without anything that the framework would open or fetch.

    A picture that may not be read becomes `REFUSED`. Where no picture is expected, a list or an
    object becomes an empty text: no prompt, number or choice may be one, so it is refused as usual.
    Lists of plain values stay where several choices are expected, and only wishes may be a list of
    objects, whose values are treated alike.
    """
    return [
        _checked(value, component) for value, component in zip(values, components, strict=False)
    ]


def _checked(value: Any, component: Any) -> Any:
    if isinstance(component, gr.File) and isinstance(value, list):
        return [_picture(file) for file in value]
    if isinstance(component, gr.Image | gr.UploadButton | gr.File):
        return _picture(value)
    if isinstance(component, gr.CheckboxGroup) and isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(component, gr.JSON) and isinstance(value, list):
        return [
            {key: _plain(part) for key, part in item.items() if key not in FILE_KEYS}
            if isinstance(item, dict)
            else _plain(item)
            for item in value
        ]
    return _plain(value)


def _find(value: Any) -> Path | None:
    name = value.get("path") if isinstance(value, dict) else None
    if not isinstance(name, str):
        return None
    folder = os.path.abspath(get_upload_folder())
    # The name decides first: of a file that lies elsewhere, not even the existence is looked up.
    if not Path(os.path.abspath(name)).is_relative_to(folder):
        return None
    try:
        path = Path(name).resolve(strict=True)
        is_file = stat.S_ISREG(path.stat().st_mode)
        inside = path.is_relative_to(Path(folder).resolve())
    except (OSError, ValueError, RuntimeError):  # missing, too long, NUL, links in a circle
        return None
    return path if is_file and inside else None


def _picture(value: Any) -> Any:
    if value is None:
        return None
    path = _find(value)
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}} if path else REFUSED


def _plain(value: Any) -> Any:
    return "" if isinstance(value, dict | list) else value
