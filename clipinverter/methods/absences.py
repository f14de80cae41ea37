"""Prompts for OpenAI's CLIP, which reads "no glasses" nearly as "glasses": what is wished, and what is to be absent.

The edit then goes along what is wished and against what is to be absent. The embedded text model has learnt absences
and gets prompts as they are.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_DENIAL = re.compile(
    r"\b(?:with no|without(?: any| the)?|remove(?: the| my| all)?|take off(?: the| my)?|take away(?: the| my)?|"
    r"get rid of(?: the| my)?|stop|not wearing|not|no)\s+([^,;]+?)(?=\s*(?:[,;]|\bbut\b|\band\b|$))",
    re.IGNORECASE,
)
_JOINT = r"\s*(?:\b(?:but|and)\b)?\s*"


class Split(NamedTuple):
    """wished: a text, empty if nothing is. absent: a text for each thing that is to be absent."""

    wished: str
    absent: tuple[str, ...]


def split(prompt: str) -> Split:
    """A prompt as `check_prompt` gives it -> its two parts; the same text if it denies nothing."""
    absent = tuple(match[1] for match in _DENIAL.finditer(prompt))
    if not absent:
        return Split(prompt, ())
    rest = (
        re.sub(rf"^{_JOINT}|{_JOINT}$", "", part)
        for part in re.split(r"[,;]", _DENIAL.sub(",", prompt))
    )
    return Split(", ".join(part for part in rest if part), absent)
