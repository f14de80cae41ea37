"""Runs all methods on one picture and reports their results; used by the page, the endpoint and the command line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Literal, Protocol

from PIL import Image

from clipinverter.errors import UserError
from clipinverter.methods.base import Method, Session, Stopped, progress_of, times
from clipinverter.methods.global_direction import GlobalDirection
from clipinverter.methods.latent_mapper import LatentMapper
from clipinverter.methods.latent_optimization import LatentOptimization
from clipinverter.methods.names import TITLES
from clipinverter.methods.scores import clip_scores, identity
from clipinverter.methods.settings import Settings
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion

log = logging.getLogger(__name__)

EVERY = 0.3  # seconds between two updates
THREAD = "comparison"  # name of the worker thread
GRACE = 0.6  # seconds to wait for the current step after a stop
WENT_WRONG = "Something went wrong here; whoever runs the server finds the reason in its log."

State = Literal["waiting", "running", "done", "stopped", "failed"]


@dataclass(frozen=True, eq=False)
class Card:
    """State and result of one method.

    Attributes:
        note: the current stage, or a sentence that says why the method failed.
        progress: 0 to 1, for a method with steps.
        preview: the image so far, while the method runs.
        edit: the result; if the method was stopped between two steps, the last so far.
        clip_gain: CLIP's cosine of picture and prompt after the edit, minus that before.
        identity: cosine of the identity features before and after; None without an identity network.
    """

    method: str
    state: State = "waiting"
    note: str = ""
    progress: float | None = None
    preview: Image.Image | None = None
    edit: Edit | None = None
    clip_gain: float | None = None
    identity: float | None = None

    @property
    def over(self) -> bool:
        return self.state in ("done", "stopped", "failed")

    @property
    def image(self) -> Image.Image | None:
        """The result, or the latest preview."""
        return self.edit.image if self.edit else self.preview


class SessionMethod(Method, Protocol):
    """CLIPInverter as the Editor offers it, with the session that the other methods share."""

    session: Session


class Comparison:
    """All four methods on the networks of one Editor. Safe to share between threads and sessions."""

    def __init__(self, editor: SessionMethod, methods: Mapping[str, Method] | None = None) -> None:
        self.editor = editor
        self.methods = methods or {
            "clipinverter": editor,
            "mapper": LatentMapper(editor.session),
            "direction": GlobalDirection(editor.session),
            "optimization": LatentOptimization(editor.session),
        }

    def run(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        stop: Event | None = None,
        settings: Settings | None = None,
    ) -> Iterator[tuple[Card, ...]]:
        """All cards, again and again, until every one is over; the last time with all results.

        Methods that fail or are not available say so on their cards, and the others go on. Setting `stop` closes all
        cards within a second; so does closing the iterator. Nothing runs on after it has ended.

        Args:
            settings: of StyleCLIP's methods, see `settings.adjusted`; default: the domain's.

        Raises:
            PromptError, StrengthError: before anything runs.
        """
        prompt, strength = check_prompt(prompt), check_strength(strength)
        stop = stop or Event()
        methods = self.with_settings(settings)
        cards = {name: Card(name) for name in methods}
        news: SimpleQueue[Card | None] = SimpleQueue()
        worker = Thread(
            name=THREAD,
            target=self._work,
            args=(methods, inversion, prompt, strength, stop, news.put),
            daemon=True,
        )
        yield tuple(cards.values())
        worker.start()
        try:
            shown, new, stopped = time.monotonic(), False, None
            while True:
                over = False
                try:
                    card = news.get(timeout=0.1)
                    if card is None:
                        break
                    cards[card.method] = card
                    new, over = True, card.over
                except Empty:
                    pass
                now = time.monotonic()
                stopped = stopped or (now if stop.is_set() else None)
                if stopped and now - stopped > GRACE:
                    cards = {name: _stopped(card) for name, card in cards.items()}
                    break
                if over or (new and now - shown > EVERY):
                    shown, new = now, False
                    yield tuple(cards.values())
            yield tuple(cards.values())
        finally:
            stop.set()
            worker.join()

    def with_settings(self, settings: Settings | None) -> Mapping[str, Method]:
        """The methods with other settings of those that have some; they share what they keep."""
        if settings is None:
            return self.methods
        adjustable = (GlobalDirection, LatentOptimization)
        return {
            name: method.with_settings(settings) if isinstance(method, adjustable) else method
            for name, method in self.methods.items()
        }

    def _work(
        self,
        methods: Mapping[str, Method],
        inversion: Inversion,
        prompt: str,
        strength: float,
        stop: Event,
        tell: Callable[[Card | None], None],
    ) -> None:
        for name, method in methods.items():
            if stop.is_set():
                tell(Card(name, "stopped"))
                continue
            try:
                tell(self._one(name, method, inversion, prompt, strength, stop, tell))
            except UserError as error:
                tell(Card(name, "failed", str(error)))
            except Exception:  # a bug, or a machine out of memory: the others go on
                log.exception("%s failed in a comparison", name)
                tell(Card(name, "failed", WENT_WRONG))
        tell(None)

    def _one(
        self,
        name: str,
        method: Method,
        inversion: Inversion,
        prompt: str,
        strength: float,
        stop: Event,
        tell: Callable[[Card | None], None],
    ) -> Card:
        state = "done"
        card = Card(name, "running")

        def show(**changed: Any) -> None:
            nonlocal card
            card = replace(card, **changed)
            tell(card)

        def on_step(stage: str) -> None:
            nonlocal state
            if stop.is_set() and progress_of(stage) is not None:
                state = "stopped"
                raise Stopped
            show(note=stage, progress=progress_of(stage))

        show()
        edit = method.edit(inversion, prompt, strength, on_step, lambda image: show(preview=image))
        gain, identity = self.clip_gain(edit), self.identity(edit)
        return Card(name, state, edit=edit, clip_gain=gain, identity=identity)

    def clip_gain(self, edit: Edit) -> float:
        """How much closer the edit brought the picture to its prompt, see `Card`."""
        images = edit.inversion.image, edit.image
        before, after = clip_scores(self.editor.session, edit.prompt, *images)
        return after - before

    def identity(self, edit: Edit) -> float | None:
        """How much the face stayed the same, see `Card`."""
        return identity(self.editor.session, edit.inversion.image, edit.image)


def row(card: Card) -> dict[str, Any]:
    """A card in numbers and words, for JSON and CSV. Times in ms; `kept` names those of an earlier edit."""
    took = times(card.edit) if card.edit else None

    def rounded(value: float | None, digits: int) -> float | None:
        return None if value is None else round(value, digits)

    return {
        "method": card.method,
        "title": TITLES[card.method],
        "state": card.state,
        "note": card.note,
        "prompt": card.edit.prompt if card.edit else None,
        "strength": card.edit.strength if card.edit else None,
        "clip_gain": rounded(card.clip_gain, 4),
        "identity": rounded(card.identity, 4),
        "picture_ms": rounded(took and took.picture, 1),
        "prompt_ms": rounded(took and took.prompt, 1),
        "strength_ms": rounded(took and took.strength, 1),
        "kept": " ".join(took.kept) if took else "",
    }


def _stopped(card: Card) -> Card:
    return card if card.over else Card(card.method, "stopped", preview=card.preview)
