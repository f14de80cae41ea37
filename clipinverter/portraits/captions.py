"""Captions and prompts for portraits, from a small grammar of English.

`caption(attributes, rng)` mentions all given attributes in a sentence or two; `prompt_for(attributes, rng)` words them
as people type edits: "red hair and glasses", "make her smile". The words are in `words.py` and `hair_words.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from clipinverter.portraits.hair_words import COLOURS, HAIR, HAIRED, LENGTHS, STYLES, TEXTURES
from clipinverter.portraits.words import WORDS, Words

WOMAN = ("woman", "lady", "female", "female person")
MAN = ("man", "guy", "male", "gentleman", "male person")
FACES = ("face", "human face")  # nobody says "a face who has", or "a pale-skinned face"
ANYBODY = ("person", "individual", "adult", *FACES)
OF_PEOPLE = ("black", "white")  # said of people; alone they could mean hair or clothes


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _word(options: Sequence[str], rng: np.random.Generator) -> str:
    """A random option; earlier ones, which are more common, are more likely."""
    return options[int(len(options) * rng.random() ** 1.5)]


def article(phrase: str) -> str:
    """The phrase with its indefinite article."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _listed(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _gender(attributes: Collection[str]) -> str | None:
    return "woman" if "woman" in attributes else "man" if "man" in attributes else None


def _with_pronouns(text: str, attributes: Collection[str]) -> str:
    them, their = {"woman": ("her", "her"), "man": ("him", "his")}.get(
        _gender(attributes), ("them", "their")
    )
    return text.replace("{them}", them).replace("{their}", their)


def _hair_phrase(attributes: Collection[str], rng: np.random.Generator) -> str:
    """All hair attributes among `attributes` (at least one) in one noun phrase."""
    before = [
        _word(group[name], rng)
        for group in (LENGTHS, TEXTURES, COLOURS)
        for name in group
        if name in attributes
    ]
    if rng.random() < 0.25:
        rng.shuffle(before)
    words = " ".join(before)
    for name, shapes in STYLES.items():
        if name in attributes:
            return _styled(_pick(shapes, rng), words)
    return f"{words} hair"


def _styled(shape: str, words: str) -> str:
    """A hair style with words for colour and texture filled in; "hair" takes no article, "a bob" does."""
    phrase = " ".join(shape.format(words).split())
    return phrase if "hair" in phrase.split() else article(phrase)


def _noun(
    attributes: Collection[str], adjectives: Collection[str], rng: np.random.Generator
) -> str:
    """A word for the person, which mentions the gender if it is among the attributes."""
    gender = _gender(attributes)
    if gender:
        nouns = WOMAN if gender == "woman" else MAN
        return _pick(nouns[:2] if rng.random() < 0.8 else nouns, rng)
    if rng.random() < 0.6 or any(a in OF_PEOPLE for a in adjectives):
        return ANYBODY[0]
    return _pick(ANYBODY, rng)


@dataclass(frozen=True)
class _Parts:
    """Phrases of a caption by their place in the sentence, see `Words`."""

    adjective: list[str] = field(default_factory=list)
    having: list[str] = field(default_factory=list)
    wearing: list[str] = field(default_factory=list)
    doing: list[str] = field(default_factory=list)
    setting: list[str] = field(default_factory=list)


def _parts(attributes: Collection[str], rng: np.random.Generator) -> _Parts:
    parts = _Parts()
    hair = [name for name in attributes if name in HAIR]
    if len(hair) == 1 and hair[0] in HAIRED and rng.random() < 0.25:
        parts.adjective.append(_word(HAIRED[hair[0]], rng))
    elif hair:
        parts.having.append(_hair_phrase(hair, rng))
    for name in attributes:
        if name in WORDS:
            words = WORDS[name]
            kinds = [kind for kind in vars(parts) if getattr(words, kind)]
            kind = _pick(kinds, rng)
            getattr(parts, kind).append(_word(getattr(words, kind), rng))
    for phrases in vars(parts).values():
        rng.shuffle(phrases)
    return parts


def _phrase(attributes: Collection[str], rng: np.random.Generator) -> str:
    """ "a young woman with red hair and glasses, smiling" """
    p = _parts(attributes, rng)
    noun = _noun(attributes, p.adjective, rng)
    having, wearing, setting = list(p.having), [], []
    for phrase in p.wearing:  # "with glasses" or "wearing glasses"
        (having if rng.random() < 0.4 else wearing).append(phrase)
    for phrase in p.setting:
        where = ("on", "against", "before", "in front of") if having or wearing else ("with", "on")
        setting.append(f"{_pick(where, rng)} {phrase}")
    adjectives = sorted(p.adjective[:3], key=lambda a: a in OF_PEOPLE)  # next to the noun
    text = article(" ".join([*adjectives, noun]))
    # People say neither "a face who has a beard" nor "a person who has glasses".
    relative = not p.wearing and noun not in FACES and rng.random() < 0.25
    if having:
        text += (" who has " if relative else " with ") + _listed(having)
    tail = [*p.adjective[3:], *p.doing]
    if wearing:
        tail.append(f"wearing {_listed(wearing)}")
    if tail:
        text += (", " if having or rng.random() < 0.5 else " ") + _listed(tail)
    return " ".join([text, *setting])


def _sentences(attributes: Collection[str], rng: np.random.Generator) -> str:
    """ "She has red hair and wears glasses. She is young and smiling." """
    p = _parts(attributes, rng)
    gender = _gender(attributes)
    who = _pick(
        {"woman": ("She", "The woman"), "man": ("He", "The man")}.get(
            gender, ("This person", "The person")
        ),
        rng,
    )
    holds = [f"has {_listed(p.having)}"] if p.having else []
    if p.wearing:
        holds.append(f"wears {_listed(p.wearing)}")
    said = [f"{who} {' and '.join(holds)}"] if holds else []
    being = [*(_predicate(a) for a in p.adjective), *p.doing]
    if being:
        said.append(f"{who} is {_listed(being)}")
    said += [f"There is {phrase}" for phrase in p.setting]
    if gender and (not said or all("There" in s for s in said)):
        said.insert(0, f"This is {article(_noun(attributes, (), rng))}")
    return ". ".join(said) + "."


def _predicate(adjective: str) -> str:
    """The adjective after "is"."""
    return f"{article(adjective)} person" if adjective in OF_PEOPLE else adjective


def caption(attributes: Collection[str], rng: np.random.Generator) -> str:
    """A text that mentions every given attribute (names of `scene.ATTRIBUTES`), in random form and wording."""
    if rng.random() < 0.3:
        text = _sentences(attributes, rng)
    else:
        text = _phrase(attributes, rng)
        if rng.random() < 0.2:
            text = _pick(("a photo of ", "a portrait of ", "a picture of "), rng) + text
    return _with_pronouns(text, attributes)


def plain_caption(attribute: str) -> str:
    """A simple caption of one attribute, always the same."""
    if attribute in ("woman", "man"):
        return f"a {attribute}"
    if attribute in STYLES:
        return f"a person with {_styled(STYLES[attribute][0], '')}"
    if attribute in HAIR:
        return f"a person with {attribute}"
    words = WORDS[attribute]
    if words.adjective:
        return f"{article(words.adjective[0])} person"
    phrase = (words.wearing or words.having or words.setting)[0]
    return _with_pronouns(f"a person with {phrase}", ())


def prompt_for(attributes: Collection[str], rng: np.random.Generator) -> str:
    """The attributes as people type an edit: a caption, phrases, or a command."""
    gender = _gender(attributes)
    shape = rng.random()
    if shape < 0.2:
        text = _with_pronouns(_commands(attributes, rng), attributes)
        if gender is None or re.search(r"\b(her|him|his|woman|man)\b", text):
            return text
    if gender or shape < 0.45:
        return caption(attributes, rng)
    p = _parts(attributes, rng)
    worn = [f"wearing {w}" if rng.random() < 0.3 else w for w in p.wearing]
    phrases = [*(_predicate(a) for a in p.adjective), *p.having, *worn, *p.doing, *p.setting]
    rng.shuffle(phrases)
    if rng.random() < 0.4:
        phrases = [re.sub(r"^an? ", "", phrase) for phrase in phrases]
    text = ", ".join(phrases) if rng.random() < 0.3 else _listed(phrases)
    return _with_pronouns(text, attributes)


def text_of(attributes: Collection[str], rng: np.random.Generator) -> str:
    """A training text for the attributes: a caption or a prompt."""
    return (caption if rng.random() < 0.5 else prompt_for)(attributes, rng)


def _commands(attributes: Collection[str], rng: np.random.Generator) -> str:
    """ "give her red hair and make her smile" """
    hair = [name for name in attributes if name in HAIR]
    commands = [f"give {{them}} {_hair_phrase(hair, rng)}"] if hair else []
    if len(hair) == 1 and hair[0] in COLOURS and rng.random() < 0.5:
        shape = _pick(("dye {{their}} hair {}", "change the hair colour to {}"), rng)
        commands = [shape.format(COLOURS[hair[0]][0])]
    commands += [_command(WORDS[name], rng) for name in attributes if name in WORDS]
    if not commands:
        return f"turn this person into {article(_noun(attributes, (), rng))}"
    return _listed(commands)


def _command(words: Words, rng: np.random.Generator) -> str:
    things = [p for p in (*words.having, *words.wearing) if not p.startswith(("no ", "{", "the "))]
    shapes = [
        *(f"give {{them}} {thing}" for thing in things),
        *(f"add {thing}" for thing in words.wearing if thing in things),
        *(f"make {{them}} {_predicate(adjective)}" for adjective in words.adjective),
        *(f"use {setting}" for setting in words.setting),
    ]
    if words.command and (not shapes or rng.random() < 0.6):
        return _word(words.command, rng)
    return _pick(shapes, rng)
