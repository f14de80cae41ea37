"""Captions and prompts: true, complete, grammatical, varied."""

import re
from functools import cache

import numpy as np
import pytest

from clipinverter.portraits import hair_words, unseen_words, words
from clipinverter.portraits.captions import MAN, WOMAN, article, caption, plain_caption, prompt_for
from clipinverter.portraits.scene import ATTRIBUTES, Scene

PRONOUNS = {"{their}": ("their", "her", "his"), "{them}": ("them", "her", "him")}


@cache
def written() -> list[tuple[tuple[str, ...], str]]:
    """2,800 texts as training makes them, each with the attributes that it says."""
    rng = np.random.default_rng(0)
    texts = []
    for seed in range(700):
        shown = sorted(Scene.from_seed(seed).attributes)
        for write in (caption, caption, prompt_for, prompt_for):
            count = min(len(shown), int(rng.integers(1, 6)))
            chosen = tuple(shown[i] for i in rng.permutation(len(shown))[:count])
            texts.append((chosen, write(chosen, rng)))
    return texts


def phrases(name: str) -> list[str]:
    """All the ways in which an attribute is said, with every pronoun."""
    if name in ("woman", "man"):
        pronouns = ("she", "her") if name == "woman" else ("he", "his", "him")
        return [*(WOMAN if name == "woman" else MAN), *pronouns]
    found = []
    if name in hair_words.HAIR:
        found += hair_words.HAIRED.get(name, ())
        for phrase in hair_words.HAIR[name]:
            # The wording around colour and texture has to be there, in this order.
            found.append(re.sub(r"\s*\{\}\s*", " ", phrase).strip())
            found.append(phrase.split("{}")[-1].strip() if "{}" in phrase else phrase)
    else:
        said = vars(words.WORDS[name])
        found += [phrase for kind in said.values() for phrase in kind]
    for hole, options in PRONOUNS.items():
        found = [p.replace(hole, o) for p in found for o in options]
    # Bare prompts may drop the article.
    return found + [re.sub(r"^an? ", "", p) for p in found]


@cache
def pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)({'|'.join(re.escape(p) for p in phrases(name))})(?!\w)")


def says(text: str, name: str) -> bool:
    return pattern(name).search(text.lower()) is not None


def test_every_attribute_has_words():
    named = {*words.WORDS, *hair_words.HAIR, "woman", "man"}
    assert named == set(ATTRIBUTES)
    for name, phrases_of in words.WORDS.items():
        said = vars(phrases_of)
        assert any(said[kind] for kind in said if kind != "command"), name
        assert all(phrase and phrase == phrase.strip() for kind in said.values() for phrase in kind)


@pytest.mark.parametrize("write", [caption, prompt_for])
@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_one_attribute_is_said(name, write):
    rng = np.random.default_rng(1)
    for _ in range(40):
        text = write([name], rng)
        assert says(text, name), text


def test_captions_say_all_of_their_attributes():
    for names, text in written():
        for name in names:
            assert says(text, name), (name, text)


def test_plain_captions_differ_and_say_their_attribute():
    texts = {name: plain_caption(name) for name in ATTRIBUTES}
    assert len(set(texts.values())) == len(ATTRIBUTES)
    assert texts["eyeglasses"] == "a person with glasses"
    assert texts["old"] == "an old person"
    assert texts["bob"] == "a person with a bob"
    assert texts["bun"] == "a person with hair in a bun"
    assert texts["turned left"] == "a person with their head turned to the left"
    for name, text in texts.items():
        assert says(text, name), text


@pytest.mark.parametrize(
    ("what", "mistake"),
    [
        ("article before a vowel", r"\ba [aeiou]"),
        ("article before a consonant", r"\ban [^aeiou]"),
        ("two articles", r"\ban? an?\b"),
        ("article before a plural or a mass noun", r"\ban? (bangs|hair|glasses|lips|someone)\b"),
        ("spaces", r"\s\s|^\s|\s$|\s[.,]"),
        ("punctuation", r"[.,]{2}|,$|^[.,]|[{}]"),
        ("a word twice", r"\b(\w+) \1\b"),
        ("a negated gift", r"(give|add) (them |her |him )?(no|not|without)\b"),
        (
            "verbs",
            r"\bis (has|wears|with|a (black|white)(?! person| background))\b|\bhas (wearing|not)\b",
        ),
        ("colour without a noun", r"(^|, |and )(black|white)($|,| and)"),
    ],
)
def test_texts_are_free_of(what, mistake):
    assert not [text for _, text in written() if re.search(mistake, text)], what


def test_the_text_tower_reads_nearly_all_texts_whole():
    from open_clip import SimpleTokenizer

    from clipinverter.models.clip import SMALL

    length = SMALL["text_cfg"]["context_length"]
    tokenizer = SimpleTokenizer(context_length=length)
    longest = sorted((text for _, text in written()), key=lambda text: -len(text.split()))[:30]
    assert sum(len(tokenizer.encode(text)) > length - 2 for text in longest) < 0.005 * len(
        written()
    )


def test_unseen_words_are_unseen():
    assert set(unseen_words.UNSEEN) <= set(ATTRIBUTES)
    everything = "\n".join(text.lower() for _, text in written())
    for synonyms in unseen_words.UNSEEN.values():
        for synonym in synonyms:
            assert not re.search(rf"\b{re.escape(synonym.lower())}\b", everything), synonym


def test_plainer_words_are_said_more_often():
    rng = np.random.default_rng(3)
    said = "\n".join(caption(["smiling"], rng) for _ in range(600))
    assert said.count("smil") > said.count("happy") > said.count("jovial") > 0


def test_shapes_vary():
    rng = np.random.default_rng(2)
    names = ["woman", "red hair", "eyeglasses", "smiling"]
    assert len({caption(names, rng) for _ in range(300)}) > 150
    texts = [text for _, text in written()]
    for beginning in ("a photo of ", "She ", "The man ", "This person ", "give ", "make ", "red "):
        assert any(text.startswith(beginning) for text in texts), beginning
    for inside in (" who has ", " wearing ", " wears ", " without ", ". There is ", " hair and "):
        assert any(inside in text for text in texts), inside


def test_pronouns_agree():
    for names, text in written():
        said = set(re.findall(r"\b(she|her|he|his|him|they|them|their)\b", text.lower()))
        fitting = (
            {"she", "her"}
            if "woman" in names
            else {"he", "his", "him"}
            if "man" in names
            else {"them", "their"}
        )
        assert said <= fitting, text


@pytest.mark.parametrize(
    ("phrase", "whole"),
    [("old man", "an old man"), ("bob", "a bob"), ("unhappy face", "an unhappy face")],
)
def test_article(phrase, whole):
    assert article(phrase) == whole
