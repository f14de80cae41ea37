"""CLIPInverter: edit real images by text through StyleGAN inversion guided by CLIP.

Baykal et al., "CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing", ACM TOG 2023.

    from clipinverter import Editor, get_domain, load_models

    editor = Editor(load_models(get_domain("portraits")))
    inversion = editor.tune(editor.invert("photo.jpg"))
    editor.edit(inversion, "red hair", 1.0).image.save("after.png")

Importing this package loads nothing heavy: the public names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipinverter.domains import get_domain
    from clipinverter.editor import Editor
    from clipinverter.photo.load import load_photo
    from clipinverter.request import Wish
    from clipinverter.results import Edit, Inversion
    from clipinverter.weights.load import load_models

__version__ = "0.2.0"
__all__ = ["Edit", "Editor", "Inversion", "Wish", "get_domain", "load_models", "load_photo"]

_HOMES = {
    "Edit": "results",
    "Editor": "editor",
    "Inversion": "results",
    "Wish": "request",
    "get_domain": "domains",
    "load_models": "weights.load",
    "load_photo": "photo.load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
