"""What tuning and detail keep of photographs: `python -m clipinverter.evaluation photos DIR`.

Every photo is inverted and edited by a fixed list of prompts, with the plain model and with the tuned one. The
distance of dlib's face descriptors says whether the person stays. `--judge PATH` names a program that judges age,
gender and expression: `python PATH FOLDER --json FILE` writes, for each picture, `age` (years), `male` (0 to 1) and
shares of `neutral happy sad angry fearful disgusted surprised`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.errors import UserError
from clipinverter.evaluation.identity import SAME_PERSON, descriptor, distance
from clipinverter.photo.load import find_photos
from clipinverter.photo.tensors import psnr
from clipinverter.results import Inversion

PROMPTS: Mapping[str, Mapping[str, str]] = {
    "local": {
        "red hair": "red hair",
        "blond hair": "blond hair",
        "eyeglasses": "wearing eyeglasses",
        "sunglasses": "wearing sunglasses",
        "beard": "a face with a beard",
        "hat": "wearing a hat",
        "lipstick": "she wears red lipstick",
    },
    "expression": {
        "smiling": "a smiling face",
        "surprised": "a surprised face",
        "angry": "an angry face",
    },
    "global": {
        "old": "an old person",
        "young": "a young person",
        "man": "a man",
        "woman": "a woman",
        "bald": "a bald head",
        "curly hair": "curly hair",
    },
}
CHANGED = 4  # levels of 255 from which a pixel counts as changed
JUDGED: Mapping[str, tuple[Callable[[dict], bool], Callable[[dict, dict], bool]]] = {
    "smiling": (lambda before: _mood(before) != "happy", lambda _, after: _mood(after) == "happy"),
    "surprised": (
        lambda before: _mood(before) != "surprised",
        lambda _, after: _mood(after) == "surprised",
    ),
    "angry": (lambda before: _mood(before) != "angry", lambda _, after: _mood(after) == "angry"),
    "old": (
        lambda before: before["age"] < 55,
        lambda before, after: after["age"] >= before["age"] + 10,
    ),
    "young": (
        lambda before: before["age"] > 35,
        lambda before, after: after["age"] <= before["age"] - 8,
    ),
    "woman": (lambda before: before["male"] > 0.5, lambda _, after: after["male"] < 0.5),
    "man": (lambda before: before["male"] < 0.5, lambda _, after: after["male"] > 0.5),
}
"""Of each edit: the photos that count, and when a judge's answers before and after say that it came true."""


class JudgeError(UserError):
    """The judging program failed; the message says how."""


@dataclass(frozen=True)
class Measured:
    """What was measured of one photo with one model, plain or tuned.

    Attributes:
        identity: distance of the descriptors of photo and inversion.
        psnr: of the inversion, dB.
        seconds: of the tuning; 0 for the plain model.
        edits: by prompt, the distance of descriptors to the photo, and the share of changed pixels.
    """

    identity: float
    psnr: float
    seconds: float
    edits: dict[str, tuple[float, float]] = field(default_factory=dict)


def choose(folder: Path, limit: int | None = None, seed: int = 0) -> list[Path]:
    """The pictures of a folder, or `limit` of them chosen at random by seed, sorted by name.

    Raises PhotoError where there are none.
    """
    found = find_photos(folder)
    if limit is None or limit >= len(found):
        return found
    picked = np.random.default_rng(seed).permutation(len(found))[:limit]
    return [found[i] for i in sorted(picked)]


def names() -> list[str]:
    """All prompts' names, local ones first."""
    return [name for group in PROMPTS.values() for name in group]


def prompt_of(name: str) -> str:
    """The prompt of a name of `names`."""
    return next(group[name] for group in PROMPTS.values() if name in group)


def measure(editor: Editor, inversion: Inversion, photo: Image.Image, folder: Path) -> Measured:
    """Edits one inversion by every prompt; keeps the edited pictures in `folder` for a judge."""
    own = descriptor(photo)
    seconds = sum(stage.ms for stage in inversion.stages if stage.name == "tuning") / 1000
    before = np.asarray(inversion.unedited, dtype=int)
    found = Measured(
        distance(own, descriptor(inversion.image)), psnr(inversion.image, photo), seconds
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name in names():
        image = editor.edit(inversion, prompt_of(name)).image
        image.save(folder / f"{name}.png")
        change = np.abs(np.asarray(image, dtype=int) - before).max(axis=2)
        found.edits[name] = (
            distance(own, descriptor(image)), float((change >= CHANGED).mean())
        )  # fmt: skip
    return found


def summary(measured: Sequence[Measured]) -> dict[str, float]:
    """Means and medians over photos, by the keys that the command reports."""
    identity = np.array([m.identity for m in measured])
    report = {
        "inversion_identity_median": float(np.median(identity)),
        "inversion_same_person": float((identity < SAME_PERSON).mean()),
        "inversion_psnr": float(np.mean([m.psnr for m in measured])),
        "seconds": float(np.median([m.seconds for m in measured])),
    }
    for group, prompts in PROMPTS.items():
        edits = np.array([[m.edits[name] for name in prompts] for m in measured])
        report[f"{group}_identity_median"] = float(np.median(edits[..., 0]))
        report[f"{group}_same_person"] = float((edits[..., 0] < SAME_PERSON).mean())
        report[f"{group}_changed"] = float(edits[..., 1].mean())
        for k, name in enumerate(prompts):
            report[f"{name}/same_person"] = float((edits[:, k, 0] < SAME_PERSON).mean())
    return report


def judged(program: Path, folder: Path, photos: Sequence[str], kind: str) -> dict[str, float]:
    """How often edits came true to a judging program, of the photos that lacked what was asked for.

    Args:
        program: see above.
        folder: holds `<photo>/photo.png` and `<photo>/<kind>/<prompt>.png`.
        kind: "plain" or "tuned".

    Raises:
        JudgeError: the program fails or writes something else.
    """
    sources = [folder / photo / "photo.png" for photo in photos]
    edited = {name: [folder / photo / kind / f"{name}.png" for photo in photos] for name in JUDGED}
    answers = ask(program, [*sources, *(path for paths in edited.values() for path in paths)])
    report = {}
    for name, (counts, came_true) in JUDGED.items():
        pairs = [
            (answers[str(a)], answers[str(b)])
            for a, b in zip(sources, edited[name], strict=True)
        ]  # fmt: skip
        asked = [pair for pair in pairs if counts(pair[0])]
        report[f"{name}/photos"] = len(asked)
        if asked:
            report[f"{name}/judged"] = sum(came_true(*pair) for pair in asked) / len(asked)
        if name in ("old", "young"):
            change = [after["age"] - before["age"] for before, after in asked]
            report[f"{name}/years"] = float(np.mean(change)) if change else 0.0
    return report


def came_true(
    program: Path, sources: Sequence[Path], edited: Mapping[str, Sequence[Path]]
) -> list[bool]:
    """Whether edits came true to a judging program, for each edit of a picture that lacked what was asked for.

    Args:
        sources: the unedited pictures.
        edited: name of `JUDGED` -> the edits of the sources, in their order.

    Raises:
        JudgeError: the program fails or writes something else.
    """
    answers = ask(program, [*sources, *(path for paths in edited.values() for path in paths)])
    found = []
    for name, paths in edited.items():
        counts, is_true = JUDGED[name]
        pairs = [(answers[str(a)], answers[str(b)]) for a, b in zip(sources, paths, strict=True)]
        found += [is_true(*pair) for pair in pairs if counts(pair[0])]
    return found


def _mood(answer: Mapping[str, float]) -> str:
    moods = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
    return max(moods, key=lambda mood: answer[mood])


def ask(program: Path, pictures: Sequence[Path]) -> dict[str, dict]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answers.json"
        command = [sys.executable, str(program), *map(str, pictures), "--json", str(out)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
            return json.loads(out.read_text())
        except (OSError, subprocess.CalledProcessError, ValueError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise JudgeError(f"The judge {program} failed: {said.strip()[-500:]}") from error


def compare(
    editor: Editor,
    photos: Sequence[Path],
    program: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Measures plain and tuned model on aligned photos; the keys begin with "plain/" and "tuned/"."""
    measured: dict[str, list[Measured]] = {"plain": [], "tuned": []}
    report = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for path in photos:
            plain = editor.invert(path, align="none")
            (folder / path.stem).mkdir()
            plain.crop.save(folder / path.stem / "photo.png")
            for kind, inversion in (("plain", plain), ("tuned", editor.tune(plain))):
                place = folder / path.stem / kind
                measured[kind].append(measure(editor, inversion, plain.crop, place))
            last = measured["tuned"][-1]
            say(f"{path.name}: {last.identity:.2f}, {last.psnr:.1f} dB, {last.seconds:.1f} s")
        for kind, found in measured.items():
            numbers = summary(found)
            if program is not None:
                numbers |= judged(program, folder, [path.stem for path in photos], kind)
            report |= {f"{kind}/{key}": round(value, 4) for key, value in numbers.items()}
    return report
