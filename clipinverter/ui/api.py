"""What the page and the public endpoints do with a request: one function for both.

Requests come unprocessed (a path instead of pixels), so that every refusal is one of our sentences
instead of the framework's, and the same on the page and over the network.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from clipinverter.errors import UserError
from clipinverter.photo.align import NoFaceError
from clipinverter.photo.faces import turn_of
from clipinverter.photo.load import MissingPhotoError, load_photo
from clipinverter.photo.metadata import METHOD, SaveError, sign
from clipinverter.request import check_prompt, check_strength
from clipinverter.ui import text
from clipinverter.ui.uploads import path_of

if TYPE_CHECKING:
    from clipinverter.editor import Edit, Editor, Inversion, OnStep
    from clipinverter.photo.faces import Point

log = logging.getLogger(__name__)

OnPreview = Callable[[Image.Image, Image.Image], None]


class Refusal(Exception):
    """A request that can't be met; the message is a sentence for the visitor."""


class NoFace(Refusal):
    """No face was found: the visitor may show where it is."""


class Answer(NamedTuple):
    """before and after as RGB pictures of one size, and what `describe` says about them.

    They are the model's own pictures, or the whole photo before and after.
    """

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
    face: int | None = 0,
    eyes: "Sequence[Point]" = (),
    paste: bool = False,
    on_preview: OnPreview | None = None,
) -> Answer:
    """Inverts and edits. A prompt of None asks for the inversion alone.

    Args:
        photo: an uploaded file as the framework describes it; see `uploads.path_of`.
        eyes: with align "eyes", the points that `Editor.invert` takes in its place.
        paste: give the whole photo back, with the edited face in it.
        on_preview: called with the picture before and a small one after the edit while that is
            drawn, see `Editor.edit`; not if the whole photo is asked for.
        Others as for `Editor.invert` and `Editor.edit`.

    Raises:
        Refusal: with a sentence for the visitor. Anything unexpected is logged and refused too.
    """
    with refusals():
        if prompt is not None:
            prompt, strength = check_prompt(prompt), check_strength(strength)
        if not isinstance(paste, bool):
            raise Refusal(text.UNKNOWN_PASTE)
        editor, inversion = invert(get_editor, photo, align, on_step, face, eyes)
        if paste and not editor.models.domain.aligned:
            raise Refusal(text.NO_FACES)
        edit = None
        if prompt is not None:
            show = partial(on_preview, inversion.image) if on_preview and not paste else None
            edit = editor.edit(inversion, prompt, strength, on_step, show)
        info = describe(editor, inversion, edit)
        before, after = inversion.image, edit.image if edit else inversion.image.copy()
        if paste:
            before, after = _pasted(path_of(photo), inversion, after, info, on_step)
        return Answer(before, sign(after, info), inversion.crop, info)


def invert(
    get_editor: "Callable[[], Editor]",
    photo: dict[str, Any] | None,
    align: str,
    on_step: "OnStep | None" = None,
    face: int | None = 0,
    eyes: "Sequence[Point]" = (),
) -> "tuple[Editor, Inversion]":
    """The editor, and the picture in its terms; arguments as for `answer`. To be called within `refusals`."""
    path = str(path_of(photo))
    if align == "eyes" and len(eyes) < 2:
        raise Refusal(text.TAP_EYES)
    if align not in ("auto", "eyes", "none"):
        raise Refusal(text.UNKNOWN_ALIGN)
    editor = get_editor()
    where = tuple(eyes) if align == "eyes" else align
    return editor, editor.invert(path, where, on_step, _index(face))


@contextmanager
def refusals() -> Iterator[None]:
    """Turns every failure inside into a Refusal with a sentence for the visitor."""
    from clipinverter.weights.files import CheckpointError  # slow: it needs PyTorch

    try:
        yield
    except NoFaceError as error:
        raise NoFace(str(error)) from None
    except CheckpointError as error:  # it names files of the server
        log.error("The weights can't be used: %s", error)
        raise Refusal(text.NO_WEIGHTS) from None
    except MissingPhotoError:  # deleted since the request was checked
        raise Refusal(text.PICTURE_GONE) from None
    except (SaveError, OSError) as error:  # a full disk, in most cases; it names files, too
        log.error("The server can't write or read: %s", error)
        raise Refusal(text.NO_ROOM) from None
    except UserError as error:
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
    stages = [stage for result in results for stage in result.ran]
    domain = editor.models.domain
    info: dict[str, Any] = {
        "stages": [stage.name for stage in stages],
        "timings_ms": {stage.name: round(stage.ms, 1) for stage in stages},
        "cached": [name for result in results for name in result.cached],
        "method": METHOD,
        "model": domain.name,
        "image_size": domain.image_size,
        "faces": len(inversion.faces) or None,
        "face": inversion.face if inversion.faces else None,
        "turned": turn_of(inversion.faces[inversion.face]) if inversion.faces else 0,
        "boxes": [[round(corner, 1) for corner in face.box] for face in inversion.faces],
        "quad": None if inversion.quad is None else inversion.quad.round(1).tolist(),
    }
    if edit is not None:
        info |= {"prompt": edit.prompt, "strength": edit.strength, "truncated": edit.truncated}
    return info


def _pasted(
    path: Path,
    inversion: "Inversion",
    after: Image.Image,
    info: dict[str, Any],
    on_step: "OnStep | None",
) -> tuple[Image.Image, Image.Image]:
    """The photo, and the photo with the face after the edit in it; adds the stage to `info`."""
    from clipinverter.photo.paste import paste

    if on_step:
        on_step("paste")
    start = time.perf_counter()
    photo = load_photo(path)
    whole = paste(photo, inversion, after)
    info["stages"].append("paste")
    info["timings_ms"]["paste"] = round((time.perf_counter() - start) * 1000, 1)
    return photo, whole


def _index(face: Any) -> Any:
    """JSON knows no whole numbers; no number at all means the largest face."""
    if face is None:
        return 0
    return int(face) if isinstance(face, float) and face.is_integer() else face
