"""Edits of one face by several prompts at several strengths, for the page and for programs."""

from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

from clipinverter.batch import Job
from clipinverter.errors import UsageError
from clipinverter.request import Request, check_prompt, check_strength
from clipinverter.ui import api, text

STRENGTHS = (0.5, 1.0, 1.5, 2.0)
MOST_PROMPTS = 12


def wishes_of(lines: Any, strengths: Any) -> list[tuple[str, float]]:
    """Every prompt with every strength, prompt by prompt.

    Args:
        lines: a prompt in each line; or a list of them.

    Raises:
        UserError: there is none, one can't be used, or there are too many.
    """
    lines = lines.split("\n") if isinstance(lines, str) else lines
    if not isinstance(lines, list) or not isinstance(strengths, list):
        raise UsageError(text.UNKNOWN_PROMPTS)
    prompts = [check_prompt(line) for line in lines if not isinstance(line, str) or line.strip()]
    if not prompts:
        check_prompt("")
    if len(prompts) > MOST_PROMPTS:
        raise UsageError(f"Please use at most {MOST_PROMPTS} prompts at once.")
    chosen = sorted({check_strength(strength) for strength in strengths})
    if not chosen:
        raise UsageError("Please choose at least one strength.")
    if len(chosen) > len(STRENGTHS):
        raise UsageError(f"Please use at most {len(STRENGTHS)} strengths at once.")
    return [(prompt, strength) for prompt in dict.fromkeys(prompts) for strength in chosen]


def cells(
    get_editor: api.GetEditor,
    request: Request,
    wished: Sequence[tuple[str, float]],
    stop: Event | None = None,
) -> Iterator[Any]:
    """Edits of one face: first floats, the share of learning it that is done, then cells (`grid.Cell`).

    Raises:
        UserError: the photo can't be used.
    """
    from clipinverter.methods.base import Stopped
    from clipinverter.ui import grid

    stop = stop or Event()
    opened = api.open_request(get_editor, request)
    if opened.learnable and not opened.learned:
        try:
            for news in api.learning(opened, stop.is_set):
                yield news.progress
        except Stopped:
            return
    wishes = [
        Job(p, s, request.where, request.face, tune=opened.learnable, detail=request.detail)
        for p, s in wished
    ]
    yield from grid.fill(opened.editor, [(request.photo.stem, request.photo)], wishes, stop)
