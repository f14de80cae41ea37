"""Global directions as a method: the style vectors of any picture move the same way for a prompt."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from clipinverter.cache import Cache
from clipinverter.editor import Editor, OnStep
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion
from clipinverter.styleclip.directions import auto_beta, boundary, embed_direction
from clipinverter.styleclip.mapper import folder_of
from clipinverter.styleclip.method import MethodError, Move, apply, size_of_move
from clipinverter.styleclip.relevance import Relevance, load_relevance
from clipinverter.styleclip.settings import Settings, settings_of

ALPHAS, BETAS = (-10.0, 10.0), (0.0, 1.0)


class GlobalDirection:
    """Moves the style channels that the prompt agrees with; finds them once a prompt, for all pictures.

    Args:
        editor: whose networks, turn to compute and inversions are used.
        folder: of the channels' relevance; default: the domain's.
        settings: default: the domain's.
        cache_bytes: bound of the memory for prompts.
    """

    def __init__(
        self,
        editor: Editor,
        folder: Path | None = None,
        settings: Settings | None = None,
        cache_bytes: int = 2**24,
    ) -> None:
        self.editor = editor
        self.folder = folder or folder_of(editor.models.domain)
        self.settings = settings or settings_of(editor.models.domain)
        self._moves: Cache[Move] = Cache(cache_bytes, size_of_move)

    @cached_property
    def relevance(self) -> Relevance:
        """Read when it is first needed; see `load_relevance` for what it raises."""
        m = self.editor.models
        return load_relevance(self.folder, m.generator, m.domain)

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Edit:
        """As `Editor.edit`, from the domain's neutral text to the prompt, with the automatic threshold.

        Strength 1 is the settings' alpha. The sentences around a text have articles of their own: the prompt's is
        left out.

        Raises:
            MethodError: the channels' relevance is not there.
            CheckpointError: it is damaged or of another model.
        """
        prompt, strength = check_prompt(prompt), check_strength(strength)
        s = self.settings
        target = re.sub(r"^(an?|the) (?=.)", "", prompt, flags=re.IGNORECASE)
        return self._edit(inversion, s.neutral, target, s.alpha, None, prompt, strength, on_step)

    def steer(
        self,
        inversion: Inversion,
        neutral: str,
        target: str,
        alpha: float,
        beta: float | None = None,
        on_step: OnStep | None = None,
    ) -> Edit:
        """The edit from one text to another, as StyleCLIP's own page has it.

        Args:
            neutral, target: texts without an article, e.g. "face" and "face with glasses".
            alpha: how far to go, -10 to 10; negative goes the other way.
            beta: 0 to 1: channels that agree less stay as they are; None chooses it automatically.

        Raises:
            MethodError, CheckpointError: as `edit`; MethodError too where alpha or beta is out of range.
        """
        neutral, target = check_prompt(neutral), check_prompt(target)
        for name, value, (low, high) in (("alpha", alpha, ALPHAS), ("beta", beta, BETAS)):
            if value is not None and not low <= value <= high:
                raise MethodError(f"{name} has to be a number from {low:g} to {high:g}.")
        return self._edit(inversion, neutral, target, alpha, beta, target, 1.0, on_step)

    def _edit(
        self,
        inversion: Inversion,
        neutral: str,
        target: str,
        alpha: float,
        beta: float | None,
        prompt: str,
        strength: float,
        on_step: OnStep | None,
    ) -> Edit:
        move, cached = self._moves.get(
            (neutral, target, alpha, beta),
            lambda: self._move(neutral, target, alpha, beta, on_step),
        )
        return apply(self.editor, inversion, move, prompt, strength, cached=cached, on_step=on_step)

    def _move(
        self, neutral: str, target: str, alpha: float, beta: float | None, on_step: OnStep | None
    ) -> Move:
        relevance = self.relevance
        model, s = self.editor.models.text_image, self.settings
        with self.editor.compute(on_step) as run:
            with run("text"):
                wanted = embed_direction(model, neutral, target).cpu()
            with run("channels"):
                agreement = relevance.vectors @ wanted
                if beta is None:
                    beta = auto_beta(agreement, s.least, s.betas)
                steps, _ = boundary(agreement, beta, relevance.spread, relevance.layers)
                styles = tuple(alpha * step for step in steps)
            return Move(None, styles, not model.fits(target), run.stages)
