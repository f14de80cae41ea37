"""Words for faces in several languages: `phrases/*.json`, files that a speaker can mend.

A file holds, for each attribute, things ("a beard", after "with"), looks ("bearded", after "is") and whole phrases
("shave me"), and frames that turn things and looks into what people write, `{}` being the place of the words. The
English file only adds to `words.py` and `hair_words.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clipinverter.portraits.captions import ANYBODY, MAN, WOMAN
from clipinverter.portraits.hair_words import COLOURS, HAIR, HAIRED, LENGTHS, STYLES, TEXTURES
from clipinverter.portraits.words import WORDS

FOLDER = Path(__file__).parent / "phrases"
CODES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


@dataclass(frozen=True)
class Language:
    """What a file of phrases holds.

    frames: "thing", "look", "no thing" and "no look" -> sentences with a `{}`.
    words: attribute -> "thing", "look" and "whole" -> phrases.
    both, holding: the words between two phrases, and between a person and a thing.
    articles: words that a phrase loses after "without".
    looks: a word for a whole appearance -> its attributes.
    not_drawn: words that people write and that change nothing.
    small_words: words of any sentence, which say nothing about a face.
    """

    code: str
    frames: Mapping[str, Sequence[str]]
    words: Mapping[str, Mapping[str, Sequence[str]]]
    both: str
    holding: str
    articles: Sequence[str]
    looks: Mapping[str, Sequence[str]]
    not_drawn: Sequence[str]
    small_words: Sequence[str]

    def bare(self, thing: str) -> str:
        """The thing without its article."""
        first, _, rest = thing.partition(" ")
        return rest if rest and first in self.articles else thing


@cache
def language(code: str) -> Language:
    """The language of a file in `phrases/`."""
    read = json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))
    words = {name: dict(kinds) for name, kinds in read["attributes"].items()}
    if code == "en":
        for name, kinds in _english().items():
            own = words.setdefault(name, {})
            for kind, phrases in kinds.items():
                own[kind] = [*phrases, *own.get(kind, ())]
    return Language(
        code,
        read["frames"],
        words,
        read["and"],
        read["with"],
        read["articles"],
        read.get("looks", {}),
        read.get("not drawn", ()),
        read.get("small words", ()),
    )


@cache
def caption_words() -> frozenset[str]:
    """The words of all captions."""
    phrases = [p for kinds in _english().values() for found in kinds.values() for p in found]
    return frozenset(re.findall(r"\w+", " ".join([*phrases, *WOMAN, *MAN, *ANYBODY])))


def _english() -> dict[str, dict[str, list[str]]]:
    """The phrases of `words.py` and `hair_words.py`, said of oneself and of others."""
    found: dict[str, dict[str, list[str]]] = {
        "woman": {"thing": ["a woman", "a lady"], "look": ["female", "a woman"]},
        "man": {"thing": ["a man", "a guy"], "look": ["male", "a man"]},
    }
    for name, words in WORDS.items():
        kinds = {
            "thing": [*words.having, *words.wearing, *words.setting],
            "look": [*words.adjective, *words.doing],
            "whole": list(words.command),
        }
        kinds["whole"] += [p for p in kinds["thing"] if p.startswith(("no ", "the "))]
        kinds["thing"] = [p for p in kinds["thing"] if not p.startswith(("no ", "the "))]
        found[name] = {kind: _said(phrases) for kind, phrases in kinds.items()}
    for group in (COLOURS, TEXTURES, LENGTHS):
        for name, phrases in group.items():
            found[name] = {"thing": [f"{word} hair" for word in phrases]}
    for name, shapes in STYLES.items():
        plain = [" ".join(shape.format("").split()) for shape in shapes]
        found[name] = {"thing": [p if "hair" in p else f"a {p}" for p in plain]}
    for name in HAIR:
        found[name]["look"] = list(HAIRED.get(name, ()))
    return found


def _said(phrases: Sequence[str]) -> list[str]:
    """Phrases with every pronoun that says nothing of the gender."""
    found = []
    for phrase in phrases:
        if "{" not in phrase:
            found.append(phrase)
            continue
        for them, their in (("me", "my"), ("them", "their"), ("this person", "the")):
            found.append(phrase.replace("{them}", them).replace("{their}", their))
    return found
