"""What the four methods share: the session with its networks, and drawing the image of a move.

Every method is `edit(inversion, prompt, strength, on_step, on_preview) -> Edit`. For a photo and a prompt it
computes a move: a change of the generator's latents or style vectors. The strength multiplies the move.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from PIL import Image

from clipinverter.cache import Cache
from clipinverter.domains import Domain
from clipinverter.errors import UserError
from clipinverter.methods.in_order import InOrder
from clipinverter.methods.moves import Move
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.photo.detail import add_detail
from clipinverter.photo.tensors import to_pil
from clipinverter.results import (
    Drawing,
    Edit,
    Inversion,
    Stage,
    as_cached,
    size_of_drawing,
)
from clipinverter.tuning import tuned
from clipinverter.weights.load import Models

OnStep = Callable[[str], None]
OnPreview = Callable[[Image.Image], None]

PHOTO_STAGES = ("align", "trunk", "heads", "reconstruction", "tuning")
STRENGTH_STAGES = ("generator", "detail", "paste")
"""Stages that run once a photo, and once a strength; all others run once a prompt."""
# Of a tuning, when detail is added: a fully tuned generator answers edits weakly.
EDITED_SHARE = 0.35
GENERATORS = 2**28  # bytes that tuned generators may take; one of `portraits` takes 2^25


class MethodError(UserError):
    """A method can't do the edit, e.g. because a file is missing; the message says why."""


class Stopped(Exception):
    """Raised by a callback to stop a method; latent optimisation then returns its last latent so far."""


def step_name(step: int, steps: int) -> str:
    """The name that `OnStep` is called with for a step, counted from 1."""
    return f"step {step} of {steps}"


def progress_of(name: str) -> float | None:
    """The share of steps done, from a name that `step_name` made; None for any other name."""
    match = re.fullmatch(r"step (\d+) of (\d+)", name)
    return int(match[1]) / int(match[2]) if match else None


def command(domain: Domain, what: str) -> str:
    """The command line that prepares a method of StyleCLIP in a domain."""
    option = "" if domain.name == "portraits" else f" --domain {domain.name}"
    return f"python -m clipinverter.training.styleclip {what}{option}"


class _Tuned(NamedTuple):
    generator: RemapperGenerator
    nbytes: int  # in float32; a tuning is kept in half precision


class Session:
    """The networks, the compute lock, stage timing and the cache of images; safe to share between threads.

    One request computes at a time: a second one on the same cores would only slow both down.

    Args:
        models: see `weights.load.load_models`.
        cache_bytes: bound of the memory for images.
    """

    def __init__(self, models: Models, cache_bytes: int = 128 * 2**20) -> None:
        self.models = models
        self.drawings: Cache[Drawing] = Cache(cache_bytes, size_of_drawing)
        self._computing = InOrder()
        self._tuned: Cache[_Tuned] = Cache(GENERATORS, lambda kept: kept.nbytes)

    def generator_of(self, inversion: Inversion) -> RemapperGenerator:
        """The generator that draws the edits of an inversion: the domain's, or one with the inversion's tuning.

        With detail it has a share of the tuning only, see `EDITED_SHARE`: the photo itself is then taken
        from the photo, and the generator is asked what an edit changes.
        """
        tuning = inversion.tuning
        if tuning is None:
            return self.models.generator
        share = EDITED_SHARE if inversion.detail else 1.0
        kept, _ = self._tuned.get(
            inversion.drawn_by,
            lambda: _Tuned(tuned(self.models.generator, tuning, share), 2 * tuning.nbytes),
        )
        return kept.generator

    def fitted(self, inversion: Inversion, move: Move) -> Move:
        """The move as it is drawn: larger than published on a tuned photo, see `gains`."""
        return move if inversion.tuning is None else move.amplified(self.models.domain)

    def drawn(
        self,
        inversion: Inversion,
        move: Move,
        strength: float,
        on_preview: Callable[[torch.Tensor], None] | None = None,
    ) -> Image.Image:
        """What `generator_of` draws after a move that is `fitted`, without detail; with the compute lock held."""
        generator = self.generator_of(inversion)
        styles = move.styles(generator, inversion.w_plus.to(self.models.device), strength)
        return to_pil(generator.render(styles, on_preview=on_preview))

    def before(self, inversion: Inversion) -> Image.Image:
        """The unedited latent, drawn by `generator_of`: what an edit is compared with when detail is added.

        Call it with the compute lock held.
        """

        def draw() -> Drawing:
            generator = self.generator_of(inversion)
            styles = generator.styles(inversion.w_plus.to(self.models.device))
            return Drawing(to_pil(generator.render(styles)), ())

        return self.drawings.get((inversion.drawn_by, "before"), draw)[0].image

    @contextmanager
    def compute(self, on_step: OnStep | None = None) -> Iterator[StageTimer]:
        """Holds the compute lock; yields a stage timer: `with run("text"): …`."""
        # Not inference_mode: methods that optimise a latent need gradients through the results.
        with self._computing.held(), torch.no_grad():
            yield StageTimer(self.models.device, on_step)


class StageTimer:
    """Announces and times stages."""

    def __init__(self, device: torch.device, on_step: OnStep | None) -> None:
        self.device = device
        self.on_step = on_step
        self.stages: tuple[Stage, ...] = ()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        if self.on_step:
            self.on_step(name)
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.stages += (Stage(name, (time.perf_counter() - start) * 1000),)


class Method(Protocol):
    """A method that edits by text. Strength 0 gives the unedited image bit for bit, 1 the published strength."""

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit: ...


def make_edit(
    session: Session,
    inversion: Inversion,
    move: Move,
    key: Hashable,
    prompt: str,
    strength: float,
    *,
    cached: bool,
    on_step: OnStep | None = None,
    on_preview: OnPreview | None = None,
) -> Edit:
    """Draws the image of an inversion after a move.

    Args:
        key: identifies the move in the cache of images; None does not cache, as for previews.
        cached: whether the move came from a cache, so that its stages did not run.
        on_preview: called with the image at 256 px while one above 512 px is drawn.
    """
    stages = as_cached(move.stages) if cached else move.stages
    if strength == 0:
        image = inversion.unedited.copy()
        stages += (Stage("generator", 0.0, cached=True),)
    else:

        def draw() -> Drawing:
            return _draw(session, inversion, move, strength, on_step, on_preview)

        if key is None:
            drawing, hit = draw(), False
        else:
            drawing, hit = session.drawings.get((inversion.drawn_by, key, strength), draw)
        image = drawing.image.copy()
        stages += as_cached(drawing.stages) if hit else drawing.stages
    return Edit(image, move.residual, strength, prompt, move.truncated, stages, inversion)


def _draw(
    session: Session,
    inversion: Inversion,
    move: Move,
    strength: float,
    on_step: OnStep | None,
    on_preview: OnPreview | None,
) -> Drawing:
    show = on_preview and (lambda image: on_preview(to_pil(image)))
    with session.compute(on_step) as run:
        with run("generator"):
            image = session.drawn(inversion, session.fitted(inversion, move), strength, show)
        if inversion.detail:
            with run("detail"):
                image = add_detail(image, session.before(inversion), inversion.crop)
        return Drawing(image, run.stages)


class Times(NamedTuple):
    """Milliseconds of an edit's stages: those that run once per picture, per prompt and per strength.

    None if no stage of the group ran: an edit of strength 0 draws nothing. kept: the groups that were cached.
    """

    picture: float | None
    prompt: float | None
    strength: float | None
    kept: tuple[str, ...]


def times(edit: Edit) -> Times:
    """The times of an edit's and its inversion's stages, including those of cached stages when they ran."""
    found: dict[str, float] = {}
    ran = set()
    for stage in edit.inversion.stages + edit.stages:
        if stage.ms == 0:
            continue
        found[_per(stage)] = found.get(_per(stage), 0.0) + stage.ms
        if not stage.cached:
            ran.add(_per(stage))
    return Times(
        found.get("picture"),
        found.get("prompt"),
        found.get("strength"),
        tuple(name for name in ("picture", "prompt", "strength") if name in {*found} - ran),
    )


def _per(stage: Stage) -> str:
    if stage.name in PHOTO_STAGES:
        return "picture"
    return "strength" if stage.name in STRENGTH_STAGES else "prompt"
