"""Prompts as people write them, each with its meaning: first person, absences, other languages, typing errors.

A meaning is a tuple of attributes that are there and attributes that are not; it is empty for words that change
nothing. The wordings reserved for the evaluation (`unseen_words.py`) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from clipinverter.portraits.captions import text_of
from clipinverter.portraits.languages import CODES, Language, caption_words, language
from clipinverter.portraits.opposites import OPPOSITES
from clipinverter.portraits.scene import ATTRIBUTES
from clipinverter.portraits.unseen_words import reserved_typos, unseen_prompts
from clipinverter.training.portraits.phrases import reserved_words

LETTERS = "abcdefghijklmnopqrstuvwxyz"
NEAR = {
    "a": "sq",
    "e": "rw",
    "i": "uo",
    "o": "ip",
    "s": "ad",
    "t": "ry",
    "n": "bm",
    "r": "et",
    "l": "k",
    "d": "sf",
}
LONG = 4  # letters of a word that may get a typing error
TYPOS = 0.3  # share of the prompts with one
ABSENT = tuple(OPPOSITES)
OTHERS = tuple(code for code in CODES if code != "en")
JOINS = (" and ", ", ", " but ", " and ", " with ", " & ", " plus ")
PERSONS = (
    "a person", "someone", "me", "this person", "a face", "my face", "a photo of me", "a selfie"
)  # fmt: skip
AS = (
    "{}", "a {}", "make me a {}", "make me look like a {}", "like a {}", "turn me into a {}",
    "me as a {}", "as {}",
)  # fmt: skip
BESIDE = ("with a {}", "add a {}", "{} please", "me in a {}", "with {}", "in {}")
EMPTY = ("portrait", "hello", "edit this", "photo", "do something", "make me", "I want", "picture")


class Part(NamedTuple):
    """An attribute that a prompt asks for, or whose absence it asks for."""

    name: str
    absent: bool = False


class Wording(NamedTuple):
    """A prompt and what it means."""

    text: str
    meaning: tuple[Part, ...]


def sample(rng: np.random.Generator) -> Wording:
    """A random prompt; none of those that the evaluation asks."""
    while True:
        found = _any(rng)
        if rng.random() < TYPOS:
            found = found._replace(text=typo(found.text, rng))
        if not _reserved(found.text):
            return found


def _any(rng: np.random.Generator) -> Wording:
    kind = rng.random()
    english = language("en")
    if kind < 0.05:
        return _nothing(english, rng)
    if kind < 0.08:
        return _look(english, rng)
    tongue = english if kind < 0.62 else language(_pick(OTHERS, rng))
    count = int(rng.choice([1, 2, 3], p=[0.72, 0.2, 0.08]))
    parts = _parts(count, 0.42 if tongue is english else 0.3, rng)
    if count == 1:
        return Wording(_single(tongue, parts[0], rng), tuple(parts))
    return Wording(_several(tongue, parts, rng), tuple(parts))


def _parts(count: int, absent: float, rng: np.random.Generator) -> list[Part]:
    """`count` attributes of different variables, each absent with this probability."""
    found: dict[str, Part] = {}
    while len(found) < count:
        gone = rng.random() < absent
        name = _pick(ABSENT if gone else tuple(ATTRIBUTES), rng)
        found.setdefault(ATTRIBUTES[name].variable, Part(name, gone))
    return list(found.values())


def _single(tongue: Language, part: Part, rng: np.random.Generator) -> str:
    """One attribute in a sentence."""
    words = tongue.words[part.name]
    kinds = [
        k for k in ("thing", "look", "whole") if words.get(k) and not (part.absent and k == "whole")
    ]
    if not kinds:  # only whole phrases, and none of them says what is not there
        return f"{tongue.frames['no look'][0].format(_pick(words['whole'], rng))}"
    share = np.array([len(words[k]) ** 0.5 for k in kinds])
    kind = kinds[rng.choice(len(kinds), p=share / share.sum())]
    phrase = _pick(words[kind], rng)
    if kind == "whole":
        return phrase
    if part.absent:
        frames = tongue.frames[f"no {kind}"]
        return _pick(frames, rng).format(tongue.bare(phrase) if kind == "thing" else phrase)
    if rng.random() < 0.3:
        return tongue.bare(phrase) if rng.random() < 0.5 else phrase
    return _pick(tongue.frames[kind], rng).format(phrase)


def _several(tongue: Language, parts: Sequence[Part], rng: np.random.Generator) -> str:
    """Several attributes, joined as people join them."""
    phrases = [_short(tongue, part, rng) for part in parts]
    english = tongue.code == "en"
    join = _pick(JOINS, rng) if english else _pick((tongue.both, tongue.both, ", "), rng)
    text = join.join(phrases) if len(phrases) == 2 else ", ".join(phrases[:-1]) + join + phrases[-1]
    if english and rng.random() < 0.3:
        return f"{_pick(PERSONS, rng)} {_pick(('', 'with ', ', ', 'but '), rng)}{text}"
    if rng.random() < 0.2 and not any(part.absent for part in parts):
        return _pick(tongue.frames["thing"], rng).format(text)
    return text


def _short(tongue: Language, part: Part, rng: np.random.Generator) -> str:
    """One attribute as a part of a longer prompt."""
    words = tongue.words[part.name]
    kind = (
        "thing" if words.get("thing") and (rng.random() < 0.7 or not words.get("look")) else "look"
    )
    if not words.get(kind):
        return _single(tongue, part, rng)
    phrase = _pick(words[kind], rng)
    if part.absent:
        frame = tongue.frames[f"no {kind}"][int(3 * rng.random())]
        return frame.format(tongue.bare(phrase) if kind == "thing" else phrase)
    if tongue.code == "en" and kind == "thing":
        return _pick(("{}", "with {}", "{}"), rng).format(phrase)
    return phrase


def _look(english: Language, rng: np.random.Generator) -> Wording:
    """A word for a whole appearance, such as santa."""
    word = _pick(tuple(english.looks), rng)
    frame = _pick(AS, rng)
    return Wording(frame.format(word), tuple(Part(name) for name in english.looks[word]))


def _nothing(english: Language, rng: np.random.Generator) -> Wording:
    """Words that change nothing, alone or beside some that do."""
    frame = _pick((*AS, *BESIDE), rng)
    text = frame.format(_pick(english.not_drawn, rng))
    if rng.random() < 0.15:
        text = _pick((*PERSONS, *EMPTY), rng)
    if rng.random() < 0.6:
        return Wording(text, ())
    part = _parts(1, 0.3, rng)[0]
    both = [text, _short(english, part, rng)]
    rng.shuffle(both)
    return Wording(_pick((" and ", ", ", " with "), rng).join(both), (part,))


def typo(text: str, rng: np.random.Generator) -> str:
    """The text with one typing error in a long word, if it has one: a letter too few, too many or wrong, or two of
    them swapped."""
    places = [m for m in re.finditer(r"\w+", text) if len(m[0]) >= LONG]
    if not places:
        return text
    found = places[int(rng.integers(len(places)))]
    word, i = found[0], int(rng.integers(len(found[0]) - 1))
    wrong = _pick(NEAR.get(word[i], LETTERS), rng) if rng.random() < 0.6 else _pick(LETTERS, rng)
    changed = _pick(
        (
            word[:i] + word[i + 1 :],
            word[: i + 1] + word[i:],
            word[:i] + word[i + 1] + word[i] + word[i + 2 :],
            word[:i] + wrong + word[i + 1 :],
            word[:i] + wrong + word[i:],
        ),
        rng,
    )
    return text[: found.start()] + changed + text[found.end() :]


def canonical(rng: np.random.Generator) -> Wording:
    """A text of the grammar of captions, which the model knows."""
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.35, 0.25, 0.2, 0.12, 0.08]))
    parts = _parts(count, 0.0, rng)
    return Wording(text_of([part.name for part in parts], rng), tuple(parts))


@cache
def _kept_apart() -> tuple[frozenset[str], frozenset[str]]:
    words = (reserved_words() - caption_words()) | reserved_typos()
    return frozenset(map(_plain, unseen_prompts())), frozenset(words)


def _reserved(text: str) -> bool:
    prompts, words = _kept_apart()
    return _plain(text) in prompts or bool(words & set(re.findall(r"\w+", text.lower())))


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
