"""What survives a refresh: the wishes and the number of the example, in the visitor's browser and in
the address of the page. The photo never does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from clipinverter.domains import Domain
from clipinverter.errors import UserError
from clipinverter.photo.digest import file_digest
from clipinverter.request import MAX_WISHES, check_prompt
from clipinverter.ui import wishing
from clipinverter.ui.uploads import path_of
from clipinverter.ui.wishing import PERCENT, Filled

# Fixed, so that what a browser has kept can still be read after the server was restarted. It keeps no
# secret: only the visitor's own browser has the text.
KEY, SECRET = "clipinverter", "clipinverter-kept"

# What a browser has kept reaches the address (`WRITE`) before this is asked; an address that names
# something itself counts as it was when the page was opened.
READ = """(kept, address) => [
  kept, /[?&](wish|example)=/.test(window.opening) ? window.opening : location.search]"""
WRITE = """(kept) => {
  const address = new URLSearchParams(location.search);
  address.delete("example");
  address.delete("wish");
  if (kept?.example) address.set("example", kept.example);
  for (const [words, percent] of kept?.wishes || [])
    if (words) address.append("wish", `${words}:${percent / 100}`);
  const line = address.toString().replaceAll("%3A", ":");
  history.replaceState(history.state, "", line ? "?" + line : location.pathname);
}"""


def draw() -> dict[str, object]:
    return {
        "kept": gr.BrowserState(None, storage_key=KEY, secret=SECRET),
        "address": gr.Textbox(visible=False),
    }


def connect(demo: gr.Blocks, on: Any, domain: Domain) -> Any:
    """The event after which the page holds what it should open with; the address follows the page."""
    on.kept.change(None, on.kept, None, js=WRITE, api_visibility="private")

    def arrive(kept: Any, address: Any) -> dict[Any, Any]:
        number, held = opening(kept, address, domain)
        return wishing.filled(on, held) | {on.photo: str(domain.examples[number - 1])}

    return demo.load(
        arrive, [on.kept, on.address], [*wishing.widgets(on), on.photo], js=READ,
        queue=False, preprocess=False, api_visibility="private", show_progress="hidden",
    )  # fmt: skip


def keep(on: Any, given: dict[Any, Any], domain_examples: Sequence[str]) -> dict[Any, Any]:
    """What the browser keeps of the page as it is."""
    held = [row for row in wishing.rows(on, given) if row[0].strip()]
    return {on.kept: {"wishes": held, "example": number_of(given[on.photo], domain_examples)}}


def digests(domain: Domain) -> tuple[str, ...]:
    """Names of the examples by their content."""
    return tuple(file_digest(path) for path in domain.examples)


def number_of(photo: Any, examples: Sequence[str]) -> int | None:
    """Which example a photo is, counted from 1; None for a visitor's own."""
    try:
        digest = file_digest(Path(path_of(photo)))
    except UserError:
        return None
    return examples.index(digest) + 1 if digest in examples else None


def opening(kept: Any, address: Any, domain: Domain) -> tuple[int, list[Filled]]:
    """The example and the rows that the page opens with: of the address, else those kept, else the first.

    Both come from outside; what can't be used is left out.
    """
    asked = _parsed(address)
    kept = kept if isinstance(kept, dict) else {}
    examples = [*asked.get("example", []), kept.get("example")]
    number = next((n for n in map(_number, examples) if n and n <= len(domain.examples)), 1)
    written = [
        wish.rpartition(":") if ":" in wish else (wish, "", "1") for wish in asked.get("wish", [])
    ]
    held = [
        _row(words, percent * 100)
        for words, _, share in written
        if (percent := _float(share)) is not None
    ]
    if not any(held) and isinstance(kept.get("wishes"), list):
        held = [
            _row(row[0], _float(row[1])) for row in kept["wishes"] if isinstance(row, list) and len(row) == 2
        ]  # fmt: skip
    rows = [row for row in held if row][:MAX_WISHES]
    return number, rows or [(domain.suggestions[0], 100)] if domain.suggestions else rows


def _parsed(address: Any) -> dict[str, list[str]]:
    try:
        return parse_qs(str(address or "").removeprefix("?"), max_num_fields=20)
    except ValueError:  # too many
        return {}


def _row(words: Any, percent: float | None) -> Filled | None:
    try:
        low, high = PERCENT
        return check_prompt(words), round(min(max(percent or 0.0, low), high))
    except UserError:
        return None


def _float(written: Any) -> float | None:
    try:
        number = float(written)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1e6 else None


def _number(written: Any) -> int | None:
    number = _float(written)
    return int(number) if number is not None and number >= 1 else None
