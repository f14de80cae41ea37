"""Reports of a comparison: a sheet with images and numbers, or a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from PIL import Image

from clipinverter.methods.comparison import Card, row
from clipinverter.methods.names import TITLES
from clipinverter.photo import contact_sheet
from clipinverter.photo.contact_sheet import Cell
from clipinverter.results import Inversion


def draw(inversion: Inversion, prompt: str, cards: Sequence[Card]) -> Image.Image:
    """A sheet with the picture, its inversion and every edit, with times and scores below each."""
    row = [
        Cell(inversion.crop, ["Picture"]),
        Cell(inversion.image, ["Before"], ["as the model draws it"]),
        *(Cell(c.image, [TITLES[c.method]], lines(c)) for c in cards),
    ]
    return contact_sheet.draw([row], title=f"“{prompt}”")


def lines(card: Card) -> list[str]:
    """Scores and times of a method, in short lines."""
    r = row(card)
    if card.state == "failed":
        return [card.note]
    if card.edit is None:
        return [card.state.capitalize()]
    found = ["Stopped; the last step"] if card.state == "stopped" else []
    if card.clip_gain is not None:
        found.append(f"CLIP score {card.clip_gain:+.3f}")
        same = "not measured" if card.identity is None else f"{card.identity:.2f}"
        found.append(f"Same person: {same}")
    for name in ("picture", "prompt", "strength"):
        again = ", kept" if name in r["kept"].split() else ""
        found.append(f"Once a {name}: {duration(r[f'{name}_ms'])}{again}")
    return found


def duration(ms: float | None) -> str:
    """A time as text; None if nothing ran."""
    if ms is None:
        return "–"
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{max(round(ms), 1)} ms"


def as_csv(cards: Sequence[Card]) -> str:
    """The rows of all cards as CSV, with a header."""
    rows = [row(card) for card in cards]
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: harmless(value) for key, value in r.items()} for r in rows)
    return out.getvalue()


def as_json(cards: Sequence[Card]) -> str:
    """The rows of all cards as JSON."""
    return json.dumps([row(card) for card in cards], indent=2, ensure_ascii=False)


def harmless(value: object) -> object:
    """Quotes a text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
