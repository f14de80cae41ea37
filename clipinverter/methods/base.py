"""What the methods share: they all are `edit(inversion, prompt, strength, on_step=None) -> Edit`.

StyleCLIP's methods find, for a picture and a prompt, how the generator's input moves; the strength multiplies the move.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.editor import INVERSION_STAGES, RESIDUAL_SCALE, Editor, OnStep
from clipinverter.photo.tensors import to_pil
from clipinverter.results import Edit, Inversion, Stage

PER_STRENGTH = ("generator",)
"""Stages that run for every strength; those of an inversion run once a picture, all others once a prompt."""


class MethodError(ValueError):
    """A method can't do what is asked; the message is a sentence for the person who asked."""


def command(domain: Domain, what: str) -> str:
    """How to call `python -m clipinverter.styleclip` for a domain."""
    option = "" if domain.name == "portraits" else f" --domain {domain.name}"
    return f"python -m clipinverter.styleclip {what}{option}"


class Method(Protocol):
    """One way to edit by text; strength 0 gives `inversion.image` bit for bit, 1 the published method."""

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Edit: ...


class Move(NamedTuple):
    """How the generator's input moves at strength 1, on the CPU; one of the two is None.

    residual: [1, n_latent, style_dim], to be multiplied by 0.1. styles: [C] or [1, C] for each style vector.
    """

    residual: Tensor | None
    styles: tuple[Tensor, ...] | None
    truncated: bool
    stages: tuple[Stage, ...]


def size_of_move(move: Move) -> int:
    tensors = [move.residual] if move.styles is None else move.styles
    return sum(tensor.nbytes for tensor in tensors)


def apply(
    editor: Editor,
    inversion: Inversion,
    move: Move,
    prompt: str,
    strength: float,
    *,
    cached: bool = False,
    on_step: OnStep | None = None,
) -> Edit:
    """The edit that a move makes. `cached`: the move was there already, so its stages did not run."""
    m = editor.models
    stages: tuple[Stage, ...] = ()
    image = inversion.image.copy()
    if strength != 0:
        with editor.compute(on_step) as run:
            with run("generator"):
                w_plus = inversion.w_plus.to(m.device)
                if move.residual is not None:
                    w_plus = w_plus + strength * RESIDUAL_SCALE * move.residual.to(m.device)
                styles = m.generator.styles(w_plus)
                if move.styles is not None:
                    steps = zip(styles, move.styles, strict=True)
                    styles = [s + strength * step.to(m.device) for s, step in steps]
                image = to_pil(m.generator.render(styles))
            stages = run.stages
    return Edit(
        image=image,
        residual=move.residual,
        strength=strength,
        prompt=prompt,
        truncated=move.truncated,
        stages=stages if cached else move.stages + stages,
        cached=tuple(stage.name for stage in move.stages) if cached else (),
        inversion=inversion,
        kept=move.stages if cached else (),
    )


class Times(NamedTuple):
    """Milliseconds that an edit takes, by how often they are needed, and which of the three are from an earlier edit.

    None where nothing ever ran: an edit of strength 0 draws nothing.
    """

    picture: float | None
    prompt: float | None
    strength: float | None
    kept: tuple[str, ...]


def times(edit: Edit) -> Times:
    """Of the stages of an edit and of its inversion, those included that did not need to run again."""
    ran = edit.inversion.stages + edit.stages
    kept = edit.inversion.kept + edit.kept
    found: dict[str, float] = {}
    for stage in ran + kept:
        found[_per(stage)] = found.get(_per(stage), 0.0) + stage.ms
    again = {_per(stage) for stage in ran}
    return Times(
        found.get("picture"),
        found.get("prompt"),
        found.get("strength"),
        tuple(name for name in ("picture", "prompt", "strength") if name in {*found} - again),
    )


def _per(stage: Stage) -> str:
    if stage.name in INVERSION_STAGES:
        return "picture"
    return "strength" if stage.name in PER_STRENGTH else "prompt"
