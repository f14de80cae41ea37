"""What a person may ask for: a `Request`, its limits, and the sentences of a refusal.

Apart from the Editor, so that the page needs no PyTorch to be drawn.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import NamedTuple

from clipinverter.errors import UsageError

MIN_STRENGTH, MAX_STRENGTH = -2.0, 2.0
MAX_WISHES = 3
MAX_PROMPT_LENGTH = 2000

_RANGE = f"from {MIN_STRENGTH:g} to {MAX_STRENGTH:g}"

Point = tuple[float, float]


class PromptError(UsageError):
    """The prompt can't be used; the message is a sentence for the person who wrote it."""


class StrengthError(UsageError):
    """The strength is no number or out of range; the message is a sentence."""


class WishesError(UsageError):
    """There are no wishes or too many; the message is a sentence."""


class Wish(NamedTuple):
    """Words and how strongly they act: 1 is the published edit, 0 none, below 0 the opposite direction.

    The opposite is an extrapolation: the model was trained from 0 to 1 only, so what "less of it"
    looks like is not promised.
    """

    prompt: str
    strength: float = 1.0


@dataclass(frozen=True)
class Request:
    """An edit that somebody asks for. `ui.receive.receive` makes it of what came over the network.

    Attributes:
        photo: a file that the server may read.
        wishes: as `check_wishes` gives them; none ask for the unedited picture.
        align: "auto" finds the face, "none" takes the picture as an aligned face, "eyes" means the
            face at `eyes`.
        eyes: the two eyes in pixels of the photo, the left one as seen first.
        face: which of the faces that were found; 0 is the largest.
        paste: give the whole photo back with the edited face in it.
        tune: teach the generator this photo first, where that is needed.
        detail: bring back what of the photo the generator can't draw.
    """

    photo: Path
    wishes: tuple[Wish, ...] = ()
    align: str = "auto"
    eyes: tuple[Point, ...] = ()
    face: int = 0
    paste: bool = False
    tune: bool = True
    detail: bool = True

    @property
    def prompt(self) -> str | None:
        """Of the first wish; None if there is none."""
        return self.wishes[0].prompt if self.wishes else None

    @property
    def strength(self) -> float:
        """Of the first wish."""
        return self.wishes[0].strength if self.wishes else 1.0

    @property
    def where(self) -> str | tuple[Point, ...]:
        """Where the face is, as `Editor.invert` takes it."""
        return self.eyes if self.align == "eyes" else self.align

    @property
    def picture(self) -> tuple[Path, str | tuple[Point, ...], int]:
        """What the inversion depends on: equal for requests about the same face."""
        return self.photo, self.where, self.face


def check_prompt(prompt: str) -> str:
    """The prompt with its white space normalised. Raises PromptError, see `Editor.edit`."""
    prompt = prompt if isinstance(prompt, str) else ""
    prompt = " ".join("".join(map(_without_control, prompt)).split())
    try:
        prompt.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can carry
        raise PromptError("The prompt holds a character that is no text.") from None
    if not any(map(_is_visible, prompt)):
        raise PromptError('Please describe the look that you want, e.g. "a smiling woman".')
    if len(prompt) > MAX_PROMPT_LENGTH:
        raise PromptError(
            f"The prompt has {len(prompt):,} characters; please use at most "
            f"{MAX_PROMPT_LENGTH:,}. One short sentence works best."
        )
    return prompt


def check_strength(strength: float) -> float:
    """The strength as a float. Raises StrengthError, see `Editor.edit`."""
    number = isinstance(strength, Real) and not isinstance(strength, bool)
    # Compared before anything else: whole numbers can be too large for a float.
    if not number or not MIN_STRENGTH <= strength <= MAX_STRENGTH or not math.isfinite(strength):
        raise StrengthError(f"The strength has to be a number {_RANGE}.")
    return float(strength)


def check_wishes(wishes: Sequence[Wish]) -> tuple[Wish, ...]:
    """One to `MAX_WISHES` wishes, checked. Raises WishesError, PromptError or StrengthError."""
    if not 1 <= len(wishes) <= MAX_WISHES:
        raise WishesError(f"Please give one to {MAX_WISHES} wishes, not {len(wishes)}.")
    return tuple(
        Wish(check_prompt(prompt), check_strength(strength)) for prompt, strength in wishes
    )


def opposite(wishes: Sequence[Wish]) -> str | None:
    """Says that an edit goes the opposite way of words; None where none does."""
    words = [f"“{wish.prompt}”" for wish in wishes if wish.strength < 0]
    if not words:
        return None
    return f"Below 0 the edit goes away from {' and '.join(words)}: the model was not trained for that."


def read_strength(written: str) -> float:
    """The strength that somebody wrote, as a float. Raises StrengthError."""
    try:
        return check_strength(float(written))
    except (ValueError, OverflowError):
        raise StrengthError(
            f"The strength has to be a number {_RANGE}, written like 1.5, not {written[:40]!r}."
        ) from None


def _without_control(character: str) -> str:
    """A space in place of a control character, which no text holds on purpose."""
    return " " if unicodedata.category(character) == "Cc" else character


def _is_visible(character: str) -> bool:
    """Whether a character can be seen: no space, no joiner, no mark of byte order."""
    return unicodedata.category(character)[0] not in "CZ"


def turned(degrees: int) -> str:
    """Says that the face does not stand upright in the photo."""
    return f"The face in this picture is turned by {degrees}°; it was set upright for the edit."
