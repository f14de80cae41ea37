"""The methods that evaluations compare: the four of the page, and each part of CLIPInverter alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from clipinverter.domains import PORTRAITS
from clipinverter.editor import Editor
from clipinverter.methods.base import Method
from clipinverter.methods.clipinverter import CLIPInverter
from clipinverter.methods.comparison import Comparison
from clipinverter.methods.moves import LatentMove
from clipinverter.methods.names import TITLES


class AdapterOnly(CLIPInverter):
    """CLIPInverter without CLIPRemapper: the result of the paper's first stage."""

    name = "adapter"

    def _move(self, *arguments) -> LatentMove:
        return replace(super()._move(*arguments), remap_vectors=None)


class RemapperOnly(CLIPInverter):
    """CLIPInverter without the adapter's residual."""

    name = "remapper"

    def _move(self, *arguments) -> LatentMove:
        move = super()._move(*arguments)
        return replace(move, residual=torch.zeros_like(move.residual))


PARTS = {"adapter": "CLIPInverter, adapter only", "remapper": "CLIPInverter, remapper only"}
NAMES: Mapping[str, str] = TITLES | PARTS
"""Titles of all methods."""


def all_methods(editor: Editor) -> dict[str, Method]:
    """The methods by name, in the order of `NAMES`."""
    session = editor.session
    parts = {"adapter": AdapterOnly(session), "remapper": RemapperOnly(session)}
    return {**Comparison(editor).methods, **parts}


def ground_truth(domain: str, methods: Iterable[str]) -> str:
    """A sentence that says which of the methods were trained with the renderer's true edits."""
    taught = {"clipinverter", *PARTS} if domain == PORTRAITS.name else set()
    names = [NAMES[name] for name in methods if name in taught]
    if not names:
        return "No method was trained with true edits."
    return (
        f"Trained with the renderer's true edits: {'; '.join(names)}. The others know CLIP alone."
    )
