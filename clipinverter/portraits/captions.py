"""What people say about a portrait: a small grammar of English captions and prompts, with many synonyms.

`caption(attributes, rng)` says all the given attributes in one sentence; `prompt_for(attributes, rng)` says them the way
people type edits ("red hair and glasses", "make her smile"). `UNSEEN` holds synonyms that training never uses, for
measuring how far the text-image model carries over to new words.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Words:
    """How an attribute is said. `adjective` stands before the noun, `having` after "with" or "has", `doing` after "is" or
    on its own ("smiling", "wearing glasses")."""

    adjective: tuple[str, ...] = ()
    having: tuple[str, ...] = ()
    doing: tuple[str, ...] = ()


def _w(adjective: str = "", having: str = "", doing: str = "") -> Words:
    def split(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    return Words(split(adjective), split(having), split(doing))


WOMAN = ("woman", "lady", "female", "female person")
MAN = ("man", "guy", "male", "gentleman", "male person")
ANYBODY = ("person", "face", "portrait of a person", "human face", "someone", "adult")

WORDS: dict[str, Words] = {
    "young": _w(
        "young, youthful, younger, young adult", "a youthful face, young skin", "in the twenties"
    ),
    "middle-aged": _w("middle-aged, mature", "a middle-aged face", "in the forties"),
    "old": _w(
        "old, elderly, aged, older, senior, wrinkled",
        "wrinkles, an old face, wrinkled skin, aged skin",
    ),
    "pale skin": _w(
        "pale, fair-skinned, light-skinned, white",
        "pale skin, fair skin, light skin, a pale complexion",
    ),
    "dark skin": _w(
        "dark-skinned, black, brown-skinned",
        "dark skin, deep brown skin, a dark complexion, black skin",
    ),
    "thin face": _w("thin, slim, skinny", "a thin face, a slim face, hollow cheeks, a narrow face"),
    "chubby": _w(
        "chubby, fat, plump, overweight",
        "a chubby face, full cheeks, a round face, chubby cheeks, a double chin",
    ),
    "small nose": _w("", "a small nose, a little nose, a tiny nose"),
    "big nose": _w("", "a big nose, a large nose, a wide nose, a prominent nose"),
    "thin lips": _w("", "thin lips, narrow lips"),
    "big lips": _w("", "big lips, full lips, thick lips, plump lips"),
    "bald": _w(
        "bald, bald-headed, hairless",
        "a bald head, no hair, a shaved head, a bald scalp",
        "going bald",
    ),
    "mouth open": _w(
        "open-mouthed",
        "an open mouth, the mouth open, the mouth slightly open, parted lips",
        "opening the mouth",
    ),
    "closed mouth": _w("", "a closed mouth, the mouth closed, closed lips"),
    "neutral expression": _w(
        "expressionless", "a neutral expression, a straight face, a calm face", "not smiling"
    ),
    "smiling": _w(
        "smiling, happy, cheerful, grinning",
        "a smile, a big smile, a happy face, a happy expression, a wide smile, a grin",
        "smiling, grinning, laughing, smiling happily",
    ),
    "sad": _w(
        "sad, unhappy, gloomy",
        "a sad face, a sad expression, a frown",
        "frowning, looking sad, looking unhappy",
    ),
    "angry": _w(
        "angry, furious, mad",
        "an angry face, an angry expression, a furious look",
        "looking angry, scowling",
    ),
    "surprised": _w(
        "surprised, shocked, astonished",
        "a surprised face, a surprised expression, raised eyebrows",
        "looking surprised, looking shocked",
    ),
    "clean-shaven": _w(
        "clean-shaven, beardless", "no beard, no facial hair, a clean-shaven face, a shaved face"
    ),
    "stubble": _w(
        "unshaven, stubbly", "stubble, a five o'clock shadow, a light stubble beard, facial stubble"
    ),
    "moustache": _w(
        "mustached", "a moustache, a mustache, a thick moustache", "wearing a moustache"
    ),
    "goatee": _w("", "a goatee, a goatee beard, a chin beard", "wearing a goatee"),
    "beard": _w(
        "bearded",
        "a beard, a full beard, a thick beard, a big beard, a bushy beard",
        "wearing a beard",
    ),
    "thin eyebrows": _w("", "thin eyebrows, fine eyebrows, plucked eyebrows"),
    "bushy eyebrows": _w("", "bushy eyebrows, thick eyebrows, heavy eyebrows, big eyebrows"),
    "arched eyebrows": _w("", "arched eyebrows, high eyebrows, curved eyebrows"),
    "brown eyes": _w("brown-eyed", "brown eyes, dark eyes"),
    "blue eyes": _w("blue-eyed", "blue eyes, bright blue eyes"),
    "green eyes": _w("green-eyed", "green eyes"),
    "no glasses": _w("", "no glasses, no eyeglasses", "not wearing glasses"),
    "eyeglasses": _w(
        "",
        "glasses, eyeglasses, a pair of glasses, reading glasses",
        "wearing glasses, wearing eyeglasses",
    ),
    "sunglasses": _w(
        "",
        "sunglasses, dark glasses, a pair of sunglasses, shades",
        "wearing sunglasses, wearing dark glasses",
    ),
    "hat": _w(
        "", "a hat, a cap, a beanie, a hat on", "wearing a hat, wearing a cap, wearing a beanie"
    ),
    "no hat": _w("", "no hat", "not wearing a hat"),
    "earrings": _w("", "earrings, a pair of earrings, gold earrings", "wearing earrings"),
    "no earrings": _w("", "no earrings", "not wearing earrings"),
    "lipstick": _w(
        "",
        "lipstick, red lips, red lipstick, painted lips",
        "wearing lipstick, wearing red lipstick",
    ),
    "heavy makeup": _w(
        "",
        "heavy makeup, makeup, eye shadow, a lot of makeup",
        "wearing makeup, wearing heavy makeup",
    ),
    "no makeup": _w("", "no makeup, no make-up", "not wearing makeup"),
    "rosy cheeks": _w(
        "blushing, rosy-cheeked", "rosy cheeks, red cheeks, pink cheeks, flushed cheeks", "blushing"
    ),
    "freckles": _w("freckled", "freckles, a freckled face, freckles on the cheeks"),
    "turned left": _w(
        "", "the head turned to the left", "looking left, looking to the left, facing left"
    ),
    "turned right": _w(
        "", "the head turned to the right", "looking right, looking to the right, facing right"
    ),
    "dark background": _w(
        "", "a dark background, a black background", "standing before a dark background"
    ),
    "bright background": _w(
        "", "a bright background, a light background", "standing before a bright background"
    ),
    "t-shirt": _w("", "a t-shirt", "wearing a t-shirt"),
    "shirt": _w("", "a shirt with a collar, a collared shirt", "wearing a shirt"),
    "turtleneck": _w(
        "", "a turtleneck, a turtleneck sweater", "wearing a turtleneck, wearing a sweater"
    ),
    "bangs": _w("", "bangs, a fringe, bangs over the forehead", "wearing bangs"),
    "receding hairline": _w("balding", "a receding hairline, a high forehead, thinning hair"),
}

# Hair is said as one phrase: "long wavy red hair", "a blond bob", "black hair tied in a bun".
COLOURS = {
    "black hair": ("black", "jet black", "dark", "raven"),
    "brown hair": ("brown", "brunette", "chestnut", "dark brown"),
    "blond hair": ("blond", "blonde", "golden", "fair", "light yellow"),
    "red hair": ("red", "ginger", "copper", "orange"),
    "gray hair": ("gray", "grey", "silver", "graying"),
    "white hair": ("white", "snow white", "platinum white"),
    "blue hair": ("blue", "dyed blue", "bright blue"),
    "pink hair": ("pink", "dyed pink", "hot pink"),
    "green hair": ("green", "dyed green", "bright green"),
    "purple hair": ("purple", "violet", "dyed purple"),
}
TEXTURES = {
    "straight hair": ("straight", "smooth", "sleek"),
    "wavy hair": ("wavy", "waved", "slightly curled"),
    "curly hair": ("curly", "frizzy", "curled", "kinky"),
}
LENGTHS = {
    "short hair": ("short", "cropped", "short-cut"),
    "long hair": ("long", "very long", "shoulder-length long"),
}
_BOB = ("{} bob", "{} hair in a bob", "chin-length {} hair", "{} bob cut", "medium-length {} hair")
_BUN = ("{} hair in a bun", "{} hair tied up", "{} hair tied in a bun", "a bun of {} hair")
HAIR = {**COLOURS, **TEXTURES, **LENGTHS, "bob": _BOB, "bun": _BUN}

_HAIRED_ADJECTIVES = {
    "blond hair": ("blond", "blonde", "blond-haired"),
    "red hair": ("red-haired", "redheaded", "ginger"),
    "black hair": ("black-haired", "dark-haired"),
    "brown hair": ("brown-haired", "brunette"),
    "gray hair": ("gray-haired", "grey-haired"),
    "white hair": ("white-haired",),
    "long hair": ("long-haired",),
    "short hair": ("short-haired",),
    "curly hair": ("curly-haired",),
}

UNSEEN: dict[str, tuple[str, ...]] = {
    "old": ("a grandparent", "a pensioner", "an ageing person", "a very aged face"),
    "young": ("a youngster", "a person in early adulthood", "a youth"),
    "woman": ("a feminine face", "a madam"),
    "man": ("a masculine face", "a fellow", "a bloke"),
    "smiling": ("a joyful person", "a delighted expression", "beaming", "a cheery grin"),
    "sad": ("a sorrowful face", "a depressed look", "miserable"),
    "angry": ("an enraged face", "a hostile expression", "irate"),
    "surprised": ("an amazed face", "a startled look", "stunned"),
    "eyeglasses": ("spectacles", "wearing spectacles"),
    "sunglasses": ("tinted glasses", "black shades"),
    "hat": ("headwear", "wearing headgear"),
    "beard": ("whiskers", "a hairy chin"),
    "bald": ("a hairless scalp", "without any hair"),
    "red hair": ("auburn hair", "reddish hair"),
    "blond hair": ("flaxen hair", "yellow hair"),
    "gray hair": ("greyish hair", "ashen hair"),
    "purple hair": ("lilac hair", "magenta hair"),
    "long hair": ("lengthy hair", "hair that flows down"),
    "curly hair": ("ringlets", "wiry curls"),
    "chubby": ("an obese face", "a stout person"),
    "dark skin": ("ebony skin", "an African complexion"),
    "lipstick": ("lip gloss", "coloured lips"),
    "earrings": ("ear jewellery", "ear studs"),
}


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def article(phrase: str) -> str:
    """The phrase with its indefinite article."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _hair_phrase(attributes: Collection[str], rng: np.random.Generator) -> str | None:
    """All hair attributes among `attributes` in one noun phrase, or None."""
    before = [
        _pick(group[name], rng)
        for group in (LENGTHS, TEXTURES, COLOURS)
        for name in group
        if name in attributes
    ]
    if rng.random() < 0.25:
        rng.shuffle(before)
    words = " ".join(before)
    for name, shapes in (("bob", _BOB), ("bun", _BUN)):
        if name in attributes:
            phrase = " ".join(_pick(shapes, rng).format(words).split())
            return phrase if "hair" in phrase.split() else article(phrase.removeprefix("a "))
    return f"{words} hair" if words else None


def noun(attributes: Collection[str], rng: np.random.Generator) -> str:
    """A word for the person that says the gender when it is among the attributes."""
    if "woman" in attributes:
        return _pick(WOMAN[: 2 if rng.random() < 0.8 else None], rng)
    if "man" in attributes:
        return _pick(MAN[: 2 if rng.random() < 0.8 else None], rng)
    return _pick(ANYBODY[: 1 if rng.random() < 0.6 else None], rng)


@dataclass(frozen=True)
class _Parts:
    adjectives: list[str]
    having: list[str]
    doing: list[str]


def _parts(attributes: Collection[str], rng: np.random.Generator) -> _Parts:
    parts = _Parts([], [], [])
    hair = [name for name in attributes if name in HAIR]
    if len(hair) == 1 and hair[0] in _HAIRED_ADJECTIVES and rng.random() < 0.25:
        parts.adjectives.append(_pick(_HAIRED_ADJECTIVES[hair[0]], rng))
    elif hair:
        parts.having.append(_hair_phrase(hair, rng))
    for name in attributes:
        words = WORDS.get(name)
        if words is None:
            continue
        kinds = [
            (bucket, options)
            for bucket, options in (
                (parts.adjectives, words.adjective),
                (parts.having, words.having),
                (parts.doing, words.doing),
            )
            if options
        ]
        bucket, options = kinds[int(rng.integers(len(kinds)))]
        bucket.append(_pick(options, rng))
    rng.shuffle(parts.adjectives)
    rng.shuffle(parts.having)
    return parts


def _listed(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _full(attributes: Collection[str], rng: np.random.Generator) -> str:
    """ "a young woman with red hair and glasses, smiling" """
    p = _parts(attributes, rng)
    text = article(" ".join([*p.adjectives[:3], noun(attributes, rng)]))
    if p.having:
        text += (" with " if rng.random() < 0.75 else " who has ") + _listed(p.having)
    tail = [*p.doing, *p.adjectives[3:]]
    if tail:
        text += (", " if p.having or rng.random() < 0.5 else " ") + _listed(tail)
    return text


def _sentences(attributes: Collection[str], rng: np.random.Generator) -> str:
    """ "She has red hair. She is young and smiling." """
    p = _parts(attributes, rng)
    who = "She" if "woman" in attributes else "He" if "man" in attributes else "This person"
    said = []
    if p.having:
        said.append(f"{who} has {_listed(p.having)}")
    if p.adjectives or p.doing:
        said.append(f"{who} is {_listed([*p.adjectives, *p.doing])}")
    return ". ".join(said) + "." if said else f"This is {article(noun(attributes, rng))}."


def caption(attributes: Collection[str], rng: np.random.Generator) -> str:
    """One sentence that says every given attribute (names of `scene.ATTRIBUTES`), in a random shape and wording."""
    text = _full(attributes, rng) if rng.random() < 0.7 else _sentences(attributes, rng)
    if text[0] == "a" and rng.random() < 0.2:
        text = _pick(("a photo of ", "a portrait of ", "a picture of "), rng) + text
    return text


def prompt_for(attributes: Collection[str], rng: np.random.Generator) -> str:
    """The attributes as people type an edit: a bare phrase, or a caption."""
    p = _parts(attributes, rng)
    gendered = {"woman", "man"} & set(attributes)
    if gendered or rng.random() < 0.3:
        return caption(attributes, rng)
    phrases = [*p.adjectives, *p.having, *p.doing]
    rng.shuffle(phrases)
    if rng.random() < 0.4:
        phrases = [phrase.removeprefix("a ").removeprefix("an ") for phrase in phrases]
    return _listed(phrases)


def captions(attributes: Collection[str], rng: np.random.Generator, count: int = 10) -> list[str]:
    """`count` captions of an image, each about one to five of its attributes (Multi-Modal CelebA-HQ has ten an image)."""
    names = sorted(attributes)
    found = []
    for _ in range(count):
        size = min(len(names), int(rng.integers(1, 6)))
        found.append(caption([names[i] for i in rng.permutation(len(names))[:size]], rng))
    return found
