"""Whether the model serves everybody alike: `python -m clipinverter.evaluation fairness DIR`.

DIR holds aligned faces, and perhaps a manifest.csv with the columns

    file     the picture's name
    skin     pale or light, medium or tan, brown or dark; or skin_ita, the angle of `skin.angle` in degrees
    age      in years
    gender   female or male

of which all but the first may be missing or empty. What is missing is taken from the picture (skin) or from a judging
program (age, gender; see `photo_edits`). Without both, faces are in no group of that kind.

Of every face: whether the detector finds it, who the plain and the tuned inversion show (dlib), which edits come true,
and what an edit changes that nobody asked for.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clipinverter.editor import Editor
from clipinverter.errors import UserError
from clipinverter.evaluation import skin
from clipinverter.evaluation.fairness_table import EDITS, GROUPS, Face, summary, table
from clipinverter.evaluation.identity import descriptor, distance
from clipinverter.evaluation.photo_edits import ask, prompt_of
from clipinverter.photo.align import detect_faces
from clipinverter.photo.load import find_photos

__all__ = ["ManifestError", "measure", "read_results", "render", "table"]

MANIFEST = "manifest.csv"
SKINS = {
    "pale": "light", "light": "light", "medium": "medium", "tan": "medium", "brown": "dark",
    "dark": "dark",
}  # fmt: skip


class ManifestError(UserError):
    """A manifest or a file of results can't be used; the message says why."""


def measure(
    editor: Editor,
    folder: Path,
    limit: int | None = None,
    program: Path | None = None,
    known: Mapping[str, Any] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measures faces; returns the table's numbers, and every face's under "faces".

    Args:
        folder: see above.
        limit: so many faces, chosen at random by seed; more contain those of fewer.
        program: a judging program, see `photo_edits`; without it, edits are not judged.
        known: what an earlier call returned; its faces are not measured again.

    Raises:
        PhotoError: there is no picture. ManifestError: the manifest is none, or `known` is of other weights.
        JudgeError: the program failed.
    """
    weights = fingerprint(editor)
    if known and known.get("weights") != weights:
        raise ManifestError("These results are of other weights. Choose another file by --json.")
    faces: dict[str, Face] = dict(known["faces"]) if known else {}
    listed = read_manifest(folder)
    pictures = find_photos(folder)
    order = np.random.default_rng(seed).permutation(len(pictures))[:limit]
    chosen = [pictures[i] for i in order]
    with tempfile.TemporaryDirectory() as temporary:
        new = {}
        for number, path in enumerate(p for p in chosen if p.name not in faces):
            place = Path(temporary) / str(number)
            place.mkdir()
            new[path.name] = _edited(editor, path, place)
            said = new[path.name]
            say(f"{path.name}: {said['plain']:.2f}, tuned {said['tuned']:.2f}")
        if program and new:
            _judge(program, Path(temporary), list(new.values()))
        for name, face in new.items():
            faces[name] = face | groups(listed.get(name, {}), face)
    wanted = [faces[path.name] for path in chosen]
    return {"weights": weights, "faces": faces, "groups": summary(wanted)}


def read_manifest(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of a folder's manifest by file; empty without a manifest. Raises ManifestError."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found = {row["file"]: row for row in rows}
        for row in rows:
            groups(row, {})
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise ManifestError(f"{path} can't be used: {type(error).__name__}, {error}.") from None
    return found


def groups(row: Mapping[str, str], face: Face) -> dict[str, str]:
    """The groups that a face belongs to.

    Args:
        row: of the manifest.
        face: what was measured, of which what the manifest lacks is taken.

    Raises:
        ValueError, KeyError: a value is none.
    """
    before = face.get("judged", {}).get("photo", {})
    found = {}
    if row.get("skin"):
        found["skin"] = SKINS[row["skin"]]
    elif row.get("skin_ita") or "skin_angles" in face:
        found["skin"] = skin.group(float(row.get("skin_ita") or face["skin_angles"]["photo"]))
    age = row.get("age") or before.get("age")
    if age is not None:
        under, between, over = GROUPS["age"]
        found["age"] = under if float(age) < 30 else between if float(age) <= 60 else over
    if row.get("gender"):
        found["gender"] = {g: g for g in GROUPS["gender"]}[row["gender"]]
    elif "male" in before:
        found["gender"] = GROUPS["gender"][before["male"] >= 0.5]
    return found


def render(folder: Path, count: int, size: int, seed: int = 0) -> None:
    """Writes held-out portraits with their manifest; needs the renderer."""
    from clipinverter.evaluation.metrics import held_out
    from clipinverter.photo.tensors import to_pil

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "skin", "age", "gender"])
        for number, held in enumerate(held_out(count, size, seed)):
            name = f"{number:04}.png"
            to_pil(held.image[None]).save(folder / name)
            scene = held.scene
            tone = GROUPS["skin"][min(2, int(3 * scene.melanin))]
            gender = GROUPS["gender"][not scene.is_woman]
            rows.writerow([name, tone, round(scene.age), gender])


def fingerprint(editor: Editor) -> str:
    """Tells weights apart: a digest of everything that edits a face."""
    digest = hashlib.blake2b(digest_size=8)
    m = editor.models
    for network in (m.generator, m.encoder, m.adapter):
        for tensor in network.state_dict().values():
            digest.update(tensor.detach().double().sum().cpu().numpy().tobytes())
    return digest.hexdigest()


def _edited(editor: Editor, path: Path, place: Path) -> Face:
    """What needs no judge; leaves the pictures in `place`."""
    plain = editor.invert(path, align="none")
    photo = plain.crop
    own = descriptor(photo)
    tuned = editor.tune(plain)
    photo.save(place / "photo.png")
    angles = {"photo": skin.angle(photo)}
    for name in EDITS:
        image = editor.edit(tuned, prompt_of(name)).image
        image.save(place / f"{name}.png")
        angles[name] = skin.angle(image)
    return {
        "found": bool(detect_faces(photo)),
        "plain": distance(own, descriptor(plain.image)),
        "tuned": distance(own, descriptor(tuned.image)),
        "skin_angles": {name: round(value, 1) for name, value in angles.items()},
    }


def _judge(program: Path, folder: Path, faces: Sequence[Face]) -> None:
    """Adds a program's answers to faces whose pictures lie in folders numbered from 0."""
    names = ("photo", *EDITS)
    paths = {
        (number, name): folder / str(number) / f"{name}.png"
        for number, _ in enumerate(faces)
        for name in names
    }
    answers = ask(program, list(paths.values()))
    for number, face in enumerate(faces):
        face["judged"] = {
            name: {k: v for k, v in answers[str(paths[number, name])].items() if _is_number(v)}
            for name in names
        }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def read_results(path: Path) -> dict[str, Any] | None:
    """What an earlier run wrote; None where there is nothing. Raises ManifestError."""
    if not path.is_file():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return known if {"weights", "faces"} <= {*known} else None
    except ValueError:
        raise ManifestError(f"{path} is no file of results.") from None
