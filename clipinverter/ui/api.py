"""What the page and the public endpoints do with a request: one function for both.

Requests come unprocessed (a path instead of pixels), so that every refusal is one of our sentences
instead of the framework's, and the same on the page and over the network.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, PngImagePlugin

from clipinverter import __version__
from clipinverter.photos import PhotoError
from clipinverter.request import PromptError, StrengthError, check_prompt, check_strength
from clipinverter.ui import text

if TYPE_CHECKING:
    from clipinverter.editor import Edit, Editor, Inversion, OnStep

log = logging.getLogger(__name__)

METHOD = "CLIPInverter"
SIGNATURE = ("method", "model", "prompt", "strength")


class Refusal(Exception):
    """A request that can't be met; the message is a sentence for the visitor."""


class Answer(NamedTuple):
    """before and after as RGB pictures of one size, and what `describe` says about them."""

    before: Image.Image
    after: Image.Image
    crop: Image.Image
    info: dict[str, Any]


def answer(
    get_editor: "Callable[[], Editor]",
    photo: dict[str, Any] | None,
    prompt: str | None,
    strength: float,
    align: str,
    on_step: "OnStep | None" = None,
) -> Answer:
    """Inverts and edits. A prompt of None asks for the inversion alone.

    Args:
        photo: an uploaded file as the framework describes it; its "path" is read.
        Others as for `Editor.invert` and `Editor.edit`.

    Raises:
        Refusal: with a sentence for the visitor. Anything unexpected is logged and refused too.
    """
    from clipinverter.checkpoints import CheckpointError  # slow: it needs PyTorch

    try:
        if prompt is not None:
            prompt, strength = check_prompt(prompt), check_strength(strength)
        path = photo.get("path") if isinstance(photo, dict) else None
        if not path:
            raise Refusal(text.NO_PICTURE)
        if not Path(path).is_file():
            raise Refusal(text.PICTURE_GONE)
        if align not in ("auto", "none"):
            raise Refusal(text.UNKNOWN_ALIGN)
        editor = get_editor()
        inversion = editor.invert(path, align, on_step)
        edit = None if prompt is None else editor.edit(inversion, prompt, strength, on_step)
        info = describe(editor, inversion, edit)
        after = sign(edit.image if edit else inversion.image.copy(), info)
        return Answer(inversion.image, after, inversion.crop, info)
    except (PhotoError, PromptError, StrengthError, CheckpointError) as error:
        raise Refusal(str(error)) from None
    except Refusal:
        raise
    except Exception:  # a bug, or a machine out of memory: the server has to go on
        log.exception("an edit failed")
        raise Refusal(text.WENT_WRONG) from None


def describe(
    editor: "Editor", inversion: "Inversion", edit: "Edit | None" = None
) -> dict[str, Any]:
    """What happened, for JSON: stages that ran, their times in ms, and stages that were cached."""
    results = [inversion] if edit is None else [inversion, edit]
    stages = [stage for result in results for stage in result.stages]
    domain = editor.models.domain
    info: dict[str, Any] = {
        "stages": [stage.name for stage in stages],
        "timings_ms": {stage.name: round(stage.ms, 1) for stage in stages},
        "cached": [name for result in results for name in result.cached],
        "method": METHOD,
        "model": domain.name,
        "image_size": domain.image_size,
        "faces": len(inversion.faces) or None,
        "quad": None if inversion.quad is None else inversion.quad.round(1).tolist(),
    }
    if edit is not None:
        info |= {"prompt": edit.prompt, "strength": edit.strength, "truncated": edit.truncated}
    return info


def sign(image: Image.Image, info: dict[str, Any]) -> Image.Image:
    """Gives the picture its origin as text entries, which are written into a PNG."""
    image.info["Software"] = f"clipinverter {__version__}"
    image.info |= {key: str(info[key]) for key in SIGNATURE if key in info}
    return image


def save_png(image: Image.Image, path: str) -> None:
    """Writes a PNG with the picture's text entries."""
    entries = PngImagePlugin.PngInfo()
    for key, value in image.info.items():
        if isinstance(value, str):
            entries.add_text(key, value)
    image.save(path, pnginfo=entries)
