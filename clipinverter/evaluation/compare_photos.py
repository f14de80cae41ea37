"""All methods on photographs, each tuned to, with detail: `python -m clipinverter.evaluation compare --photos DIR`.

It serves any domain: with the authors' files in place, `--domain faces` measures the authors' model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

import torch
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.evaluation.compare import PROMPTS
from clipinverter.evaluation.editing import clip_score
from clipinverter.evaluation.identity import SAME_PERSON, descriptor, distance
from clipinverter.evaluation.photo_edits import JUDGED, came_true
from clipinverter.evaluation.published import (
    CELEBA,
    COMPARED_SIZE,
    fid,
    if_possible,
    lpips,
    manipulative_precision,
)
from clipinverter.evaluation.variants import NAMES, all_methods, ground_truth
from clipinverter.methods.base import Method, MethodError
from clipinverter.photo.tensors import to_tensor
from clipinverter.portraits.judge import NAMES as ATTRIBUTES
from clipinverter.portraits.judge import Judge
from clipinverter.results import Inversion

COLUMNS = (
    "target", "came_true", "same_person", "identity_median", "clip_gain", "mp", "mp_celeba", "fid",
    "median_ms",
)  # fmt: skip


class Edited(NamedTuple):
    """One edit of one photo, measured. target: whether the judge sees what was asked for, which the photo lacked; None
    where the photo had it."""

    target: bool | None
    identity: float
    clip_gain: float
    mp: float
    ms: float
    file: Path


def compare(
    editor: Editor,
    judge: Judge,
    photos: Sequence[Path],
    program: Path | None = None,
    *,
    published: bool = False,
    tell: Callable[[str], None] = print,
) -> dict:
    """Measures all methods on aligned photos.

    Args:
        judge: sees the attributes of `compare.PROMPTS`; it was trained on renders.
        program: see `photo_edits`.
        published: measure FID and LPIPS too, see `published`.

    Returns:
        `inversion`: `same_person`, `identity_median` and `lpips` of the tuned inversions. `methods`, by name:
        `prompts`, the number of prompts that the method could do; over `compare.PROMPTS` the means `target`,
        `clip_gain` and `mp`, and for the identity to the photo `same_person` and `identity_median`; `came_true` by
        the program; `mp_celeba` over `published.CELEBA`; `fid` of the edits to the photos; `median_ms` of an edit of
        one more photo, after its inversion and tuning. None where something was not measured.
    """
    methods = all_methods(editor)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        edits: dict[str, dict[str, list[Edited]]] = {name: {} for name in methods}
        inversions = []
        for path in photos:
            inversion = editor.invert(path, align="none")
            if editor.needs_tuning(inversion):
                inversion = editor.tune(inversion)
            inversions.append(_reduced(inversion))
            place = folder / path.stem
            place.mkdir()
            inversion.crop.save(place / "photo.png")
            for name, method in methods.items():
                (place / name).mkdir()
                for number, prompt in enumerate((*PROMPTS, *CELEBA.values())):
                    file = place / name / f"{number}.png"
                    try:
                        edited = _edit(editor, judge, method, inversion, prompt, file)
                    except MethodError:
                        continue
                    edits[name].setdefault(prompt, []).append(edited)
                tell(f"{path.name}: {name}: {len(edits[name])} prompts")
        rows = {name: _row(found) for name, found in edits.items()}
        sources = [folder / path.stem / "photo.png" for path in photos]
        for name, row in rows.items():
            row["came_true"] = _judged(program, sources, edits[name]) if program else None
            files = [edited.file for found in edits[name].values() for edited in found]
            pictures = [_read(path) for path in sources]
            row["fid"] = (
                if_possible(lambda p=pictures, f=files: fid(p, map(_read, f)), tell)
                if published and len(photos) > 1 and files
                else None
            )
    return {
        "domain": editor.models.domain.name,
        "photos": len(photos),
        "inversion": _inversion_row(inversions, published, tell),
        "methods": rows,
    }


def table(report: dict) -> str:
    """The report as a table in Markdown."""
    lines = ["| method | prompts | " + " | ".join(COLUMNS) + " |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for name, row in report["methods"].items():
        cells = [_cell(column, row[column]) for column in COLUMNS]
        lines.append(f"| {NAMES[name]} | {row['prompts']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", ground_truth(report["domain"], report["methods"])])


def _reduced(inversion: Inversion) -> tuple[Image.Image, Image.Image]:
    """Photo and inversion at the size at which they are compared."""
    pair = (inversion.crop, inversion.image)
    return tuple(image.resize((COMPARED_SIZE,) * 2, Image.Resampling.LANCZOS) for image in pair)


@torch.no_grad()
def _edit(
    editor: Editor, judge: Judge, method: Method, inversion: Inversion, prompt: str, file: Path
) -> Edited:
    edit = method.edit(inversion, prompt)
    edit.image.save(file)
    before, after = (to_tensor(x, COMPARED_SIZE) for x in (inversion.crop, edit.image))
    models = editor.models
    start = to_tensor(inversion.unedited, COMPARED_SIZE)
    gain = clip_score(models, after, prompt) - clip_score(models, start, prompt)
    target = None
    if prompt in PROMPTS:
        columns = [ATTRIBUTES.index(name) for name in PROMPTS[prompt]]
        had, has = (bool(judge.see(x).shows[0, columns].all()) for x in (before, after))
        target = None if had else has
    return Edited(
        target,
        distance(descriptor(inversion.crop), descriptor(edit.image)),
        float(gain),
        float(manipulative_precision(models, after, before, prompt)),
        sum(stage.ms for stage in edit.ran),
        file,
    )


def _row(edits: dict[str, list[Edited]]) -> dict[str, float | int | None]:
    ours = [edited for prompt in PROMPTS for edited in edits.get(prompt, ())]
    celeba = [edited for prompt in CELEBA.values() for edited in edits.get(prompt, ())]
    judged = [edited.target for edited in ours if edited.target is not None]
    identity = [edited.identity for edited in ours]
    return {
        "prompts": sum(prompt in edits for prompt in PROMPTS),
        "target": _mean(judged),
        "same_person": _mean([value < SAME_PERSON for value in identity]),
        "identity_median": median(identity) if identity else None,
        "clip_gain": _mean([edited.clip_gain for edited in ours]),
        "mp": _mean([edited.mp for edited in ours]),
        "mp_celeba": _mean([edited.mp for edited in celeba]),
        "median_ms": median([edited.ms for edited in ours]) if ours else None,
    }


def _judged(program: Path, sources: Sequence[Path], edits: dict[str, list[Edited]]) -> float | None:
    """The share of edits that came true to a judging program, over the prompts that it can judge."""
    asked = {names[0]: prompt for prompt, names in PROMPTS.items() if len(names) == 1}
    files = {
        name: [edited.file for edited in edits[asked[name]]]
        for name in JUDGED
        if asked.get(name) in edits
    }
    return _mean(came_true(program, sources, files)) if files else None


def _inversion_row(
    pairs: Sequence[tuple[Image.Image, Image.Image]], published: bool, tell: Callable[[str], None]
) -> dict[str, float | None]:
    identity = [distance(*map(descriptor, pair)) for pair in pairs]
    tensors = [tuple(map(to_tensor, pair)) for pair in pairs]
    return {
        "same_person": _mean([value < SAME_PERSON for value in identity]),
        "identity_median": median(identity),
        "lpips": if_possible(lambda: lpips(tensors), tell) if published else None,
    }


def _read(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return to_tensor(image.convert("RGB"), COMPARED_SIZE)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "–"
    if column in ("median_ms", "fid"):
        return f"{value:.0f}"
    return f"{value:+.3f}" if column == "clip_gain" else f"{value:.2f}"
