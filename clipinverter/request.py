"""What a person may ask for: the limits of prompt and strength, and the sentences of a refusal.

Apart from the Editor, so that the page needs no PyTorch to be drawn.
"""

import math
from numbers import Real

from clipinverter.errors import UserError

MAX_STRENGTH = 2.0
MAX_PROMPT_LENGTH = 2000


class PromptError(UserError):
    """The prompt can't be used; the message is a sentence for the person who wrote it."""


class StrengthError(UserError):
    """The strength is no number or out of range; the message is a sentence."""


def check_prompt(prompt: str) -> str:
    """The prompt with its white space normalised. Raises PromptError, see `Editor.edit`."""
    prompt = " ".join(prompt.split()) if isinstance(prompt, str) else ""
    try:
        prompt.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can carry
        raise PromptError("The prompt holds a character that is no text.") from None
    if not prompt:
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
    if not number or not math.isfinite(strength) or not 0 <= strength <= MAX_STRENGTH:
        raise StrengthError(f"The strength has to be a number from 0 to {MAX_STRENGTH:g}.")
    return float(strength)
