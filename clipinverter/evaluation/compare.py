"""The four methods, and each part of CLIPInverter alone, on the same held-out portraits and prompts:
`python -m clipinverter.evaluation compare`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import fmean, median

import torch
from torch import Tensor

from clipinverter.editor import Editor
from clipinverter.evaluation.editing import outcome, wanting
from clipinverter.evaluation.identity import SAME_PERSON, descriptor, distance
from clipinverter.evaluation.metrics import Held, images_of, picture
from clipinverter.evaluation.published import manipulative_precision
from clipinverter.evaluation.variants import NAMES, all_methods, ground_truth
from clipinverter.methods.base import Method, MethodError
from clipinverter.methods.settings import settings_of
from clipinverter.photo.tensors import to_pil, to_tensor
from clipinverter.portraits.judge import Judge

PROMPTS = {
    "a smiling face": ("smiling",),
    "a surprised face": ("surprised",),
    "a person with blond hair": ("blond hair",),
    "a person with red hair": ("red hair",),
    "a bald head": ("bald",),
    "a face with a beard": ("beard",),
    "a person wearing glasses": ("eyeglasses",),
    "an old person": ("old",),
    "a smiling person with red hair": ("smiling", "red hair"),
    "an old person with gray hair": ("old", "gray hair"),
    "a surprised person with a hat": ("surprised", "hat"),
    "a person with long blond hair and glasses": ("long hair", "blond hair", "eyeglasses"),
}
"""Prompt -> the attributes that it asks for. The first eight have mappers; the others ask for several attributes."""

COLUMNS = (
    "target", "others_kept", "identity", "same_person", "counterfactual_ratio", "clip_gain_share",
    "clip_gain", "mp", "median_ms",
)  # fmt: skip


def compare(
    editor: Editor,
    judge: Judge,
    held: Sequence[Held],
    prompts: dict[str, tuple[str, ...]] = PROMPTS,
    tell: Callable[[str], None] = print,
) -> dict:
    """Measures all methods. `methods` of the report holds the means over prompts of `editing.outcome`, of
    `same_person` (share of edits that dlib takes for the person of the inversion) and of `mp` (see
    `published.manipulative_precision`), and `median_ms`; `prompts` the numbers of each prompt.

    All methods edit the same portraits: for each prompt those that lack the attributes and can have them. median_ms is
    the time of an edit of one more portrait after its inversion. A method that is not available for a prompt has no
    numbers there; `available` counts its prompts.
    """
    methods = all_methods(editor)
    by_prompt: dict[str, dict[str, dict]] = {}
    for prompt, names in prompts.items():
        chosen = wanting(held, names, len(held))
        if not chosen:
            continue
        size = editor.models.domain.image_size
        truth = torch.stack([picture(scene, size) for _, scene in chosen])
        by_prompt[prompt] = {}
        for name, method in methods.items():
            try:
                before, after, ms = _edited(editor, method, [h for h, _ in chosen], prompt)
            except MethodError as error:
                tell(f"{prompt}: {name}: {error}")
                continue
            found = outcome(editor.models, judge, chosen, prompt, names, before, after, truth)
            crops = images_of([h for h, _ in chosen])
            mp = manipulative_precision(editor.models, after, crops, prompt).mean()
            by_prompt[prompt][name] = found | {
                "same_person": fmean(map(_same_person, before, after)),
                "mp": float(mp),
                "median_ms": median(ms),
                "portraits": len(chosen),
            }
            tell(f"{prompt}: {name}: {found}")
    return {
        "domain": editor.models.domain.name,
        "portraits": len(held),
        "settings": asdict(settings_of(editor.models.domain)),
        "methods": {name: _mean(by_prompt, name) for name in methods},
        "prompts": by_prompt,
    }


def table(report: dict) -> str:
    """The report as a table in Markdown."""
    lines = ["| method | prompts | " + " | ".join(COLUMNS) + " |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for name, row in report["methods"].items():
        cells = ["–" if row[c] is None else _cell(c, row[c]) for c in COLUMNS]
        lines.append(f"| {NAMES[name]} | {row['available']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", ground_truth(report["domain"], report["methods"])])


def _edited(
    editor: Editor, method: Method, held: Sequence[Held], prompt: str
) -> tuple[Tensor, Tensor, list[float]]:
    """Inversions and edits [N, 3, S, S], and the time of each edit in ms after the inversion."""
    before, after, ms = [], [], []
    for h in held:
        inversion = editor.invert(to_pil(h.image[None]), "none")
        edit = method.edit(inversion, prompt)
        before.append(to_tensor(inversion.image))
        after.append(to_tensor(edit.image))
        ms.append(sum(stage.ms for stage in edit.ran))
    return torch.cat(before), torch.cat(after), ms


def _same_person(before: Tensor, after: Tensor) -> bool:
    pair = (descriptor(to_pil(image[None])) for image in (before, after))
    return distance(*pair) < SAME_PERSON


def _mean(by_prompt: dict[str, dict[str, dict]], name: str) -> dict[str, float | int | None]:
    rows = [rows[name] for rows in by_prompt.values() if name in rows]
    means = {c: fmean(row[c] for row in rows) if rows else None for c in COLUMNS[:-1]}
    ms = median(row["median_ms"] for row in rows) if rows else None
    return {"available": len(rows)} | means | {"median_ms": ms}


def _cell(column: str, value: float) -> str:
    return f"{value:.0f}" if column == "median_ms" else f"{value:.2f}"
