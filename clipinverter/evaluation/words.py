"""How well the text model reads what people write: absences, first person, typing errors, languages, unknown words.

The prompts are in `portraits/unseen_prompts.json`; no training uses them. Edits of held-out people at strength 1 are
judged. A prompt works if 80 % of the people who could have what it asks for have it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.evaluation.metrics import Held, images_of, invert
from clipinverter.models.adapter import moved
from clipinverter.portraits.captions import plain_caption, text_of
from clipinverter.portraits.judge import NAMES, Judge, Readings
from clipinverter.portraits.opposites import OPPOSITES
from clipinverter.portraits.scene import Scene
from clipinverter.portraits.unseen_words import reserved_prompts
from clipinverter.portraits.vocabulary import unknown_words
from clipinverter.weights.load import Models

WORKS = 0.8  # share of people for whom a prompt has to come true
CAPTIONS = 400  # known captions that are looked at for unknown words


@dataclass(frozen=True)
class People:
    """Held-out people, inverted: w_plus [N, rows, D], features, and what the judge sees in the inversions."""

    models: Models
    judge: Judge
    held: Sequence[Held]
    w_plus: Tensor
    features: tuple[Tensor, Tensor, Tensor]

    @cached_property
    def seen(self) -> Readings:
        return self.judge.see(self._drawn(self.w_plus, None))

    @torch.no_grad()
    def _drawn(self, w_plus: Tensor, text: Tensor | None) -> Tensor:
        generator = self.models.generator
        vectors = None if text is None else generator.remap_vectors(text)
        parts = w_plus.split(16)
        if vectors is None:
            return torch.cat([generator(part) for part in parts])
        return torch.cat([generator(part, vectors, 1.0).clamp(-1, 1) for part in parts])

    @torch.no_grad()
    def residual(self, rows: Sequence[int], prompt: str) -> Tensor:
        """Residuals [len(rows), n_latent, D] of a prompt."""
        features = tuple(level[list(rows)] for level in self.features)
        text = self.models.text_image.embed_text([prompt])
        return self.models.encoder.heads(*self.models.adapter(features, text))

    def edited(self, rows: Sequence[int], prompt: str, residual: Tensor | None = None) -> Readings:
        """What the judge sees in the people after a prompt, or after another residual with its remapper."""
        residual = self.residual(rows, prompt) if residual is None else residual
        text = self.models.text_image.embed_text([prompt])
        return self.judge.see(self._drawn(moved(self.w_plus[list(rows)], residual), text))

    def having(self, name: str, count: int) -> list[int]:
        """Up to `count` people who show an attribute."""
        return torch.nonzero(self.seen.shows[:, NAMES.index(name)]).flatten().tolist()[:count]

    def lacking(self, names: Sequence[str], count: int, *, able: bool) -> list[int]:
        """Up to `count` people who do not show all of these; able: only those who can have all."""
        columns = [NAMES.index(name) for name in names]
        found = []
        for row in torch.nonzero(~self.seen.shows[:, columns].all(dim=1)).flatten().tolist():
            if len(found) < count and (not able or _can_have(self.held[row].scene, names)):
                found.append(row)
        return found


def _can_have(scene: Scene, names: Sequence[str]) -> bool:
    for name in names:
        if not scene.has(name):
            if not scene.can_be(name):
                return False
            scene = scene.edited(name)
    return all(scene.has(name) for name in names)


@torch.no_grad()
def people(models: Models, judge: Judge, held: Sequence[Held]) -> People:
    """Inverts held-out people."""
    parts = [invert(models, part) for part in images_of(held).split(16)]
    features = tuple(torch.cat([f[level] for _, f in parts]) for level in range(3))
    return People(models, judge, held, torch.cat([w for w, _ in parts]), features)


def removals(them: People, asked: Mapping[str, Sequence[str]], count: int) -> dict[str, dict]:
    """Prompt -> `removed`, of people who had the attribute, `added`, to people who lacked it, and `names`."""
    report = {}
    for name, prompts in asked.items():
        column = NAMES.index(name)
        having, lacking = them.having(name, count), them.lacking([name], count, able=False)
        for prompt in prompts:
            shows = them.edited([*having, *lacking], prompt).shows[:, column].float()
            report[prompt] = {
                "name": name,
                "removed": 1 - _mean(shows[: len(having)]),
                "added": _mean(shows[len(having) :]),
            }
    return report


def reached(them: People, asked: Mapping[str, Sequence[str]], count: int) -> dict[str, dict]:
    """Prompt -> `reached`, share of people without the attribute who have it afterwards; `plain`, the same after the
    attribute's plain caption; `gender`, share whose gender changed."""
    report = {}
    gender = [NAMES.index("woman"), NAMES.index("man")]
    for name, prompts in asked.items():
        column, rows = NAMES.index(name), them.lacking([name], count, able=True)
        plain = _mean(them.edited(rows, plain_caption(name)).shows[:, column])
        before = them.seen.shows[rows][:, gender]
        for prompt in prompts:
            shows = them.edited(rows, prompt).shows
            report[prompt] = {
                "name": name,
                "reached": _mean(shows[:, column]),
                "plain": plain,
                "gender": _mean((shows[:, gender] != before).any(dim=1)),
            }
    return report


def several(them: People, asked: Mapping[str, Sequence[str]], count: int) -> dict[str, dict]:
    """Prompt -> the share of people who have all that it asks for, in one pass and by the sum of single residuals."""
    report = {}
    for prompt, names in asked.items():
        columns, rows = [NAMES.index(n) for n in names], them.lacking(names, count, able=True)
        singles = torch.stack([them.residual(rows, plain_caption(name)) for name in names]).sum(0)
        report[prompt] = {
            "reached": _mean(them.edited(rows, prompt).shows[:, columns].all(dim=1)),
            "sum": _mean(them.edited(rows, prompt, singles).shows[:, columns].all(dim=1)),
        }
    return report


def naming(asked: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """How many of the unknown words are named, and how many known captions are left in peace."""
    words = [(word, word in unknown_words(p)) for p, known in asked.items() for word in known]
    rng = np.random.default_rng(20241)
    scenes = [sorted(Scene.from_seed(seed).attributes) for seed in range(CAPTIONS)]
    captions = [
        text_of([str(n) for n in rng.choice(names, 3, replace=False)], rng) for names in scenes
    ]
    flagged = [caption for caption in captions if unknown_words(caption)]
    return {
        "named": _mean(found for _, found in words),
        "captions_in_peace": 1 - len(flagged) / len(captions),
        "missed": [word for word, found in words if not found],
        "flagged": flagged,
    }


def nearer_to_presence(embed: Callable[[list[str]], Tensor]) -> dict[str, tuple[float, float]]:
    """The absences that are nearer to what they deny than to its opposite: text -> both cosines. Only for attributes
    whose opposite has a name."""
    found = {}
    for name, opposite in OPPOSITES.items():
        if opposite is None:
            continue
        texts = _denials(name)
        vectors = F.normalize(embed([plain_caption(name), plain_caption(opposite), *texts]), dim=1)
        to = (vectors[2:] @ vectors[:2].t()).tolist()
        found |= {t: (a, b) for t, (a, b) in zip(texts, to, strict=True) if a >= b}
    return found


def _denials(name: str) -> list[str]:
    plain = plain_caption(name)
    if " with " in plain:
        thing = plain.split(" with ")[1].removeprefix("a ")
        return [f"no {thing}", f"without {thing}", f"a person without {thing}"]
    look = plain.removeprefix("an ").removeprefix("a ").removesuffix(" person")
    return [f"not {look}", f"a person who is not {look}", f"no longer {look}"]


def measure(them: People, count: int) -> dict[str, Any]:
    """All numbers, each group's prompts with their own."""
    asked = reserved_prompts()
    report: dict[str, Any] = {
        "removals": removals(them, asked["removals"], count),
        "first person": reached(them, asked["first person"], count),
        "typos": reached(them, asked["typos"], count),
        "languages": {c: reached(them, rows, count) for c, rows in asked["languages"].items()},
        "several": several(them, asked["several"], count),
        "unknown": naming(asked["unknown"]),
        "nearer to presence": nearer_to_presence(them.models.text_image.embed_text),
    }
    return {"count": count, "people": len(them.held), "summary": summary(report), **report}


def summary(report: Mapping[str, Any]) -> dict[str, float]:
    """One number for each row of the table."""
    gone, first = report["removals"].values(), report["first person"].values()
    spoken = [row for rows in report["languages"].values() for row in rows.values()]
    return {
        "removal_works": _mean(row["removed"] >= WORKS for row in gone if row["removed"] >= 0),
        "removal_added": _mean(row["added"] for row in gone),
        "removal_added_most": max(row["added"] for row in gone),
        "first_person_gender": _mean(row["gender"] for row in first),
        "first_person_gender_most": max(row["gender"] for row in first),
        "first_person_reached": _mean(row["reached"] for row in first),
        "typos_work": _mean(row["reached"] >= WORKS for row in report["typos"].values()),
        "typos_work_as_captions": _as_plain(report["typos"].values()),
        "languages_work": _mean(row["reached"] >= WORKS for row in spoken),
        "languages_work_as_captions": _as_plain(spoken),
        "unknown_named": report["unknown"]["named"],
        "captions_in_peace": report["unknown"]["captions_in_peace"],
        "several_reached": _mean(row["reached"] for row in report["several"].values()),
        "several_reached_by_sum": _mean(row["sum"] for row in report["several"].values()),
        "nearer_to_presence": float(len(report["nearer to presence"])),
    }


def _as_plain(rows: Iterable[Mapping[str, float]]) -> float:
    """The share of prompts that come true for as many people as 0.8 of those for whom the plain caption does."""
    return _mean(row["reached"] >= WORKS * row["plain"] for row in rows)


def _mean(values: Iterable[Any] | Tensor) -> float:
    """NaN of nothing, as where nobody shows an attribute."""
    numbers = [float(value) for value in values]
    return sum(numbers) / len(numbers) if numbers else float("nan")


def table(report: Mapping[str, Any]) -> str:
    """The summary, a line a number."""
    return "\n".join(f"{name:28s} {value:.3f}" for name, value in report["summary"].items())
