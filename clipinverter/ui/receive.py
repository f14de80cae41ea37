"""From what a request brings over the network to a `Request`: everything is checked here, once.

Requests come unprocessed (a path instead of pixels), so that every refusal is one of our sentences
instead of the framework's, and the same on the page and over the network.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from clipinverter.errors import UserError
from clipinverter.request import Point, Request, Wish, check_wishes
from clipinverter.ui import text
from clipinverter.ui.uploads import path_of


class Defaults(NamedTuple):
    """The arguments of the endpoints in their order, and what a program may leave out."""

    image: Any = None
    prompt: Any = None
    strength: Any = 1.0
    align: Any = "auto"
    paste: Any = False
    face: Any = 0
    tune: Any = True
    detail: Any = True


DEFAULTS = Defaults()


def receive(
    given: Defaults, eyes: Sequence[Point] | None = None, wishes: Sequence[Wish] | None = None
) -> Request:
    """The request that `given` describes.

    Args:
        given: JSON values of any kind. A prompt of None asks for the unedited picture.
        wishes: take the place of prompt and strength; None does not.
        eyes: those that a visitor tapped; None where nobody can tap, so that "eyes" is no choice.

    Raises:
        UserError: with a sentence for whoever asked.
    """
    if wishes is None:
        wishes = () if given.prompt is None else (Wish(given.prompt, given.strength),)
    wishes = check_wishes(wishes) if wishes else ()
    flags = (
        (given.paste, text.UNKNOWN_PASTE),
        (given.tune, text.UNKNOWN_TUNE),
        (given.detail, text.UNKNOWN_DETAIL),
    )
    for flag, sentence in flags:
        if not isinstance(flag, bool):
            raise UserError(sentence)
    photo = path_of(given.image)
    if given.align not in (("auto", "none") if eyes is None else ("auto", "none", "eyes")):
        raise UserError(text.UNKNOWN_ALIGN)
    if given.align == "eyes" and len(eyes or ()) < 2:
        raise UserError(text.TAP_EYES)
    return Request(
        photo, wishes, given.align, tuple(eyes or ()), _index(given.face),
        given.paste, given.tune, given.detail,
    )  # fmt: skip


def wishes_of(value: Any) -> tuple[Wish, ...]:
    """The wishes in a JSON list of {"prompt": …, "strength": …}. Raises UserError."""
    if not isinstance(value, list) or not value:
        raise UserError(text.UNKNOWN_WISHES)
    if not all(
        isinstance(item, dict) and {"prompt"} <= {*item} <= {*Wish._fields} for item in value
    ):
        raise UserError(text.UNKNOWN_WISHES)
    return check_wishes([Wish(**item) for item in value])


def _index(face: Any) -> Any:
    """JSON knows no whole numbers; no number at all means the largest face."""
    if face is None:
        return 0
    return int(face) if isinstance(face, float) and face.is_integer() else face
