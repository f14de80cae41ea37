"""Several wishes for one photo: how they add up, and what runs when one of them changes."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipinverter.editor import Editor
from clipinverter.photo.tensors import to_pil
from clipinverter.request import PromptError, StrengthError, Wish, WishesError, opposite
from tests.tiny import count_calls, picture, tiny_models

RED, BALD, SMILE = "red hair", "a bald man", "a smiling face"
STRENGTHS = st.one_of(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0]), st.floats(-2, 2))
PROMPTS = st.sampled_from([RED, BALD, SMILE])
WISHES = st.lists(st.builds(Wish, PROMPTS, STRENGTHS), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def models():
    return tiny_models()


@pytest.fixture(scope="module")
def editor(models):
    return Editor(models)


@pytest.fixture(scope="module")
def plain(editor):
    return editor.invert(picture(), "none")


@pytest.fixture(scope="module")
def tuned(editor, plain):
    return editor.tune(plain)


def bits(edit) -> bytes:
    return edit.image.tobytes()


@pytest.mark.parametrize("strength", [-2, -0.5, 0, 0.3, 1, 2])
def test_one_wish_is_the_edit(editor, plain, tuned, strength):
    for inversion in (plain, tuned):
        mixed = editor.mix(inversion, [Wish(RED, strength)])
        edit = editor.edit(inversion, RED, strength)
        assert bits(mixed) == bits(edit)
        assert (mixed.prompt, mixed.strength, mixed.wishes) == (RED, strength, ())


@settings(max_examples=25, deadline=None)
@given(strength=STRENGTHS.filter(bool))
def test_a_wish_of_strength_zero_is_none(editor, plain, strength):
    edit = editor.edit(plain, RED, strength)
    assert bits(editor.mix(plain, [Wish(RED, strength), Wish(BALD, 0)])) == bits(edit)
    assert bits(editor.mix(plain, [Wish(BALD, 0.0), Wish(RED, strength)])) == bits(edit)


def test_all_of_strength_zero_are_the_photo(editor, plain, tuned):
    wishes = [Wish(RED, 0), Wish(BALD, 0), Wish(SMILE, 0)]
    assert bits(editor.mix(plain, wishes)) == plain.image.tobytes()
    assert bits(editor.mix(tuned, wishes)) == picture().tobytes()


@settings(max_examples=15, deadline=None)
@given(wishes=WISHES)
def test_the_order_does_not_matter(models, plain, wishes):
    images = {bits(Editor(models).mix(plain, order)) for order in permutations(wishes)}
    assert len(images) == 1


@settings(max_examples=15, deadline=None)
@given(strengths=st.lists(STRENGTHS, min_size=2, max_size=3))
def test_the_picture_is_that_of_the_sums(editor, models, plain, strengths):
    wishes = [Wish(p, s) for p, s in zip((RED, BALD, SMILE), strengths, strict=False)]
    edit = editor.mix(plain, wishes)
    generator = models.generator
    with torch.no_grad():
        residuals = [editor.edit(plain, w.prompt).residual for w in wishes]
        total = sum(w.strength * r for w, r in zip(wishes, residuals, strict=True))
        w_plus = plain.w_plus + 0.1 * total
        pull = 0.9 * torch.stack(list(generator.lambdas))[:, None]
        rows = w_plus[:, 1:-1]
        for wish in wishes:
            vectors = generator.remap_vectors(models.text_image.embed_text([wish.prompt]))
            rows = rows + wish.strength * pull * (vectors - w_plus[:, 1:-1])
        image = to_pil(generator.render(generator.styles(w_plus, rows)))
    assert torch.allclose(edit.residual, total, atol=1e-4)
    difference = np.subtract(np.asarray(edit.image, int), np.asarray(image, int))
    assert np.abs(difference).max() <= 1


def test_below_zero_is_the_opposite_direction(editor, plain):
    residual = editor.edit(plain, RED).residual
    mixed = editor.mix(plain, [Wish(RED, -1), Wish(BALD, 0)])
    assert torch.equal(mixed.residual, -residual)
    assert bits(mixed) not in (bits(editor.edit(plain, RED)), plain.image.tobytes())
    assert opposite([Wish(RED, -1), Wish(BALD, 1)]).startswith(
        "Below 0 the edit goes away from “red hair”:"
    )
    assert opposite([Wish(RED, 0), Wish(BALD, 1)]) is None


def test_a_new_strength_draws_and_nothing_else():
    models = tiny_models()
    editor, calls = Editor(models), count_calls(models)
    inversion = editor.invert(picture(), "none")
    calls.clear()
    editor.mix(inversion, [Wish(RED, 1), Wish(BALD, 1)])
    assert calls == {"text": 2, "adapter": 2, "heads": 2, "remapper": 2, "generator": 1}
    calls.clear()
    edit = editor.mix(inversion, [Wish(RED, 1), Wish(BALD, 0.5)])
    assert calls == {"generator": 1}
    assert [stage.name for stage in edit.ran] == ["generator"]
    calls.clear()
    editor.mix(inversion, [Wish(BALD, 0.5), Wish(RED, 1)])
    assert not calls, "the same wishes in another order"
    editor.mix(inversion, [Wish(BALD, 0.5), Wish(RED, 1), Wish(SMILE, -1)])
    assert calls == {"text": 1, "adapter": 1, "heads": 1, "remapper": 1, "generator": 1}
    calls.clear()
    editor.edit(inversion, SMILE, 1)
    assert calls == {"generator": 1}, "what a wish means is known from the mix"


def test_a_mix_says_what_it_is(editor, plain):
    edit = editor.mix(plain, [("red  hair", 1), Wish("one two three four five six seven", -0.5)])
    assert edit.prompt == "red hair + one two three four five six seven"
    assert edit.strength == 1
    assert edit.wishes == (("red hair", 1.0), ("one two three four five six seven", -0.5))
    assert edit.truncated


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ([], WishesError),
        ([Wish(RED)] * 4, WishesError),
        ([Wish(RED), Wish(" ")], PromptError),
        ([Wish(RED), Wish(BALD, 2.1)], StrengthError),
        ([Wish(RED), Wish(BALD, None)], StrengthError),
    ],
)
def test_what_is_refused(editor, plain, wishes, error):
    with pytest.raises(error):
        editor.mix(plain, wishes)
