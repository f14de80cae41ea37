"""Words as people write them: phrases in other languages, absences, unknown words, and what is said of them."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from clipinverter.methods.absences import split
from clipinverter.portraits import opposites
from clipinverter.portraits.captions import text_of
from clipinverter.portraits.languages import CODES, caption_words, language
from clipinverter.portraits.scene import ATTRIBUTES, Scene
from clipinverter.portraits.unseen_words import UNSEEN, reserved_prompts, unseen_prompts
from clipinverter.portraits.vocabulary import sentence, suggestion, unknown_words, vocabulary
from clipinverter.training.portraits import wordings
from clipinverter.ui import text, understood


@pytest.mark.parametrize("code", CODES)
def test_a_language_has_words_and_frames_for_every_attribute(code):
    tongue = language(code)
    assert set(tongue.words) == set(ATTRIBUTES)
    for name, kinds in tongue.words.items():
        assert set(kinds) <= {"thing", "look", "whole"}, name
        phrases = [phrase for found in kinds.values() for phrase in found]
        assert phrases, name
        assert all(phrase and phrase == phrase.strip() for phrase in phrases), name
    for frames in tongue.frames.values():
        assert all(frame.count("{}") == 1 for frame in frames)
    assert set(tongue.frames) == {"thing", "look", "no thing", "no look"}


def test_there_are_eleven_languages():
    assert set(CODES) == {"ar", "de", "en", "es", "fr", "it", "ja", "pt", "ru", "tr", "zh"}


def test_words_of_whole_appearances_name_attributes():
    for names in language("en").looks.values():
        assert set(names) <= set(ATTRIBUTES)


def test_an_article_goes_after_without():
    assert language("de").bare("eine Brille") == "Brille"
    assert language("en").bare("a beard") == "beard"
    assert language("en").bare("glasses") == "glasses"


def test_opposites_are_of_the_same_variable():
    for name, opposite in opposites.OPPOSITES.items():
        if opposite is not None:
            assert ATTRIBUTES[name].variable == ATTRIBUTES[opposite].variable
            assert name != opposite


@pytest.mark.parametrize("name", ["beard", "bangs", "old", "lipstick", "red hair", "turned left"])
def test_without_takes_the_attribute_away_and_nothing_else(name):
    scenes = [scene for scene in map(Scene.from_seed, range(300)) if scene.has(name)]
    assert scenes
    variables = {attribute.variable for attribute in ATTRIBUTES.values()}
    for scene in scenes[:10]:
        after = opposites.without(scene, name)
        assert not after.has(name)
        changed = {v for v in variables if scene.label(v) != after.label(v)}
        assert changed == {ATTRIBUTES[name].variable}
    scene = next(s for s in map(Scene.from_seed, range(300)) if not s.has(name))
    assert opposites.without(scene, name) is scene


def samples(count: int = 3000) -> list[wordings.Wording]:
    rng = np.random.default_rng(5)
    return [wordings.sample(rng) for _ in range(count)]


def test_no_training_prompt_is_one_of_the_evaluation():
    reserved = {re.sub(r"\W+", " ", prompt.lower()).strip() for prompt in unseen_prompts()}
    words = {w for phrases in UNSEEN.values() for p in phrases for w in p.split()} - caption_words()
    words -= {
        "that",
        "without",
        "any",
        "in",
        "down",
        "very",
        "look",
        "of",
        "the",
        "a",
        "an",
        "wearing",
    }
    for wording in samples():
        plain = re.sub(r"\W+", " ", wording.text.lower()).strip()
        assert plain not in reserved
        assert not words & set(plain.split()) or "hair" in words, wording.text


def test_training_prompts_name_attributes_and_absences():
    found = samples()
    parts = [part for wording in found for part in wording.meaning]
    assert {part.name for part in parts} == set(ATTRIBUTES)
    assert {part.name for part in parts if part.absent} == set(opposites.OPPOSITES)
    assert any(not wording.meaning for wording in found)
    for wording in found:
        variables = [ATTRIBUTES[part.name].variable for part in wording.meaning]
        assert len(variables) == len(set(variables)) or wording.meaning[0].name in (
            "woman",
            "white hair",
        )


def test_a_typing_error_changes_one_long_word():
    rng = np.random.default_rng(0)
    for _ in range(50):
        wrong = wordings.typo("a smiling man", rng)
        assert re.fullmatch(r"a \S+ man", wrong)
        assert abs(len(wrong) - len("a smiling man")) <= 1
    assert wordings.typo("a cat", rng) == "a cat"


def test_unknown_words_are_named_as_written():
    assert unknown_words("a red Sports car, Sports") == ("Sports", "car")
    assert unknown_words("一辆汽车") != ()
    assert unknown_words("") == ()
    missed = [
        w
        for p, words in reserved_prompts()["unknown"].items()
        for w in words
        if w not in unknown_words(p)
    ]
    assert len(missed) <= 2, missed


def test_known_captions_flag_nothing():
    rng = np.random.default_rng(9)
    for seed in range(200):
        names = sorted(Scene.from_seed(seed).attributes)
        caption = text_of([str(n) for n in rng.choice(names, 3, replace=False)], rng)
        assert unknown_words(caption) == (), caption


def test_names_religions_and_occupations_are_unknown():
    for word in ("Tom", "Cruise", "muslim", "buddhist", "nurse", "asian", "mexican", "doctor"):
        assert unknown_words(word) == (word,)
    assert not set(language("en").not_drawn) & vocabulary()


def test_a_close_word_is_suggested():
    assert suggestion(["galsses"]) == "glasses"
    assert suggestion(["quantum"]) is None
    assert sentence(("smilling",)) == (
        "I know words for faces; ‘smilling’ is not among them. Did you mean ‘smiling’?"
    )
    assert (
        sentence(("sports", "car"))
        == "I know words for faces; ‘sports’ and ‘car’ are not among them."
    )


def test_the_page_shows_what_was_understood():
    assert understood.chips({}) == ""
    assert "red hair</span>" in understood.chips({"understood": ["red hair", "<b>"]})
    assert "<b>" not in understood.chips({"understood": ["<b>"]})
    assert "glasses" in text.status("line", chips=understood.chips({"understood": ["glasses"]}))


def test_the_page_says_that_nothing_changed():
    info = {"strength": 1.0, "change": 4.0}
    assert understood.about(info) == [understood.NOTHING_CHANGED]
    assert understood.about(info | {"strength": 0.0}) == []
    assert understood.about(info | {"change": 15.0}) == []
    assert understood.about(info | {"change": 15.0, "unknown_words": ["car"]}) == [
        sentence(["car"])
    ]


def test_a_small_change_counts_where_it_is():
    before = Image.new("RGB", (100, 100), "gray")
    after = before.copy()
    assert understood.changed(before, after) == 0
    after.paste((255, 255, 255), (0, 0, 20, 10))  # 2 % of the pixels, like earrings
    assert understood.changed(before, after) == 127


def test_batches_embed_as_single_texts_do():
    from clipinverter.domains import PORTRAITS
    from clipinverter.training.portraits.words import embed
    from clipinverter.weights.folder import DomainWeights

    model = DomainWeights(PORTRAITS).text_image()
    texts = [
        "a beard",
        "眼鏡をかけた笑顔の女性",
        "a smiling woman with long red hair and glasses",
        "hat",
        "old",
    ]
    with torch.no_grad():
        assert torch.allclose(embed(model, texts), model.embed_text(texts), atol=1e-4)


@pytest.mark.parametrize(
    ("prompt", "wished", "absent"),
    [
        ("a smiling woman with red hair", "a smiling woman with red hair", ()),
        ("no glasses", "", ("glasses",)),
        ("a smiling woman without glasses", "a smiling woman", ("glasses",)),
        ("remove the beard and add a hat", "add a hat", ("beard",)),
        ("red hair, no hat, with no beard", "red hair", ("hat", "beard")),
        ("a man and without a hat but with glasses", "a man, with glasses", ("a hat",)),
        ("a notable nose", "a notable nose", ()),
    ],
)
def test_prompts_for_clip_are_split(prompt, wished, absent):
    assert split(prompt) == (wished, absent)
