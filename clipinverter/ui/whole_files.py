"""Results appear whole: two visitors who get the same picture share its file, and one may be reading it.

The framework names the file of a picture by its content and writes it anew for every answer. While
it does, whoever downloads it gets half of it.
"""

import contextlib
import os
import tempfile
from functools import wraps
from pathlib import Path
from typing import Any

from gradio import processing_utils
from PIL import Image


def write_whole_results() -> None:
    """Makes the framework write pictures beside their place and rename them; once is enough."""
    original = processing_utils.save_pil_to_cache
    if hasattr(original, "writes_whole"):
        return

    @wraps(original)
    def save(img: Image.Image, cache_dir: str, *args: Any, **options: Any) -> str:
        with tempfile.TemporaryDirectory(dir=_made(cache_dir), prefix="result-") as beside:
            written = Path(original(img, beside, *args, **options))
            place = Path(cache_dir).resolve() / written.relative_to(Path(beside).resolve())
            place.parent.mkdir(parents=True, exist_ok=True)
            written.replace(place)
            with contextlib.suppress(OSError):  # files are deleted by their age
                os.utime(place)
        return str(place)

    save.writes_whole = True
    processing_utils.save_pil_to_cache = save


def _made(folder: str) -> str:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return folder
