"""The Editor: what strength means, what runs when, and that nobody waits twice or gets mixed up."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.photo import align
from clipinverter.photo.align import NoFaceError
from clipinverter.photo.faces import face_of_eyes
from clipinverter.photo.tensors import to_pil, to_tensor
from clipinverter.request import PromptError, StrengthError
from tests.tiny import DOMAIN, count_calls, picture, tiny_models


@pytest.fixture(scope="module")
def models():
    return tiny_models()


@pytest.fixture
def editor(models):
    return Editor(models)


@pytest.fixture
def counted():
    """An editor with networks of its own, and the counter of their calls."""
    models = tiny_models()
    return Editor(models), count_calls(models)


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.tobytes() == b.tobytes()


# What an edit is


def test_strength_zero_is_the_inversion_bit_for_bit(editor):
    inversion = editor.invert(picture(), align="none")
    assert same(editor.edit(inversion, "a bald man", 0).image, inversion.image)
    assert same(editor.edit(inversion, "a bald man", 0.0).image, inversion.image)
    assert not same(editor.edit(inversion, "a bald man", 0.5).image, inversion.image)


def test_the_inversion_is_the_plain_generators_image_of_the_codes(editor, models):
    inversion = editor.invert(picture(), align="none")
    with torch.no_grad():
        codes = models.encoder(to_tensor(picture()))
        image = models.generator(codes + models.latent_avg)
    assert same(inversion.image, to_pil(image))
    assert inversion.crop.tobytes() == picture().tobytes()
    assert torch.equal(inversion.w_plus, codes + models.latent_avg)


@pytest.mark.parametrize("strength", [0.3, 1, 2])
def test_an_edit_is_the_papers_formula(editor, models, strength):
    inversion = editor.invert(picture(), align="none")
    edit = editor.edit(inversion, "a bald man", strength)
    with torch.no_grad():
        text = models.text_image.embed_text(["a bald man"])
        features = models.encoder.trunk_features(to_tensor(picture()))
        residual = models.encoder.heads(*models.adapter(features, text))
        w_plus = inversion.w_plus + 0.1 * strength * residual
        image = models.generator(w_plus, models.generator.remap_vectors(text), strength)
    assert torch.allclose(edit.residual, residual, atol=1e-5)
    difference = np.subtract(np.asarray(edit.image, int), np.asarray(to_pil(image), int))
    assert np.abs(difference).max() <= 1
    assert edit.image.size == (DOMAIN.image_size, DOMAIN.image_size)


# What runs when


def test_a_first_edit_runs_everything_once(counted):
    editor, calls = counted
    edit = editor.edit(editor.invert(picture(), align="none"), "a bald man")
    assert calls == {
        "trunk": 1, "heads": 2, "adapter": 1, "text": 1, "remapper": 1, "generator": 2
    }  # fmt: skip
    names = [stage.name for stage in edit.inversion.ran + edit.ran]
    assert names == [
        "align", "trunk", "heads", "reconstruction",
        "text", "adapter", "residual", "remapper", "generator",
    ]  # fmt: skip
    assert edit.inversion.cached == edit.cached == ()
    assert all(stage.ms > 0 for stage in edit.ran)


def test_a_new_prompt_does_not_run_the_trunk(counted):
    editor, calls = counted
    editor.edit(editor.invert(picture(), align="none"), "a bald man")
    calls.clear()
    inversion = editor.invert(picture(), align="none")
    edit = editor.edit(inversion, "a smiling woman")
    assert calls == {"heads": 1, "adapter": 1, "text": 1, "remapper": 1, "generator": 1}
    assert inversion.ran == ()
    assert inversion.cached == ("align", "trunk", "heads", "reconstruction")
    assert [s.name for s in edit.ran] == ["text", "adapter", "residual", "remapper", "generator"]


def test_a_new_strength_runs_only_the_generator(counted):
    editor, calls = counted
    inversion = editor.invert(picture(), align="none")
    editor.edit(inversion, "a bald man", 1.0)
    calls.clear()
    edit = editor.edit(inversion, "a bald man", 0.5)
    assert calls == {"generator": 1}
    assert [stage.name for stage in edit.ran] == ["generator"]
    assert edit.cached == ("text", "adapter", "residual", "remapper")


def test_the_same_again_runs_nothing(counted):
    editor, calls = counted
    first = editor.edit(editor.invert(picture(), align="none"), "a bald man", 0.5)
    calls.clear()
    again = editor.edit(editor.invert(picture(), align="none"), " a\tbald \n man ", 0.5)
    assert not calls
    assert same(first.image, again.image)
    assert again.ran == ()
    assert again.cached == ("text", "adapter", "residual", "remapper", "generator")
    assert tuple(stage.name for stage in again.stages) == again.cached


def test_upper_and_lower_case_are_different_prompts(counted):
    editor, calls = counted
    inversion = editor.invert(picture(), align="none")
    editor.edit(inversion, "a bald man")
    editor.edit(inversion, "A bald man")
    assert calls["text"] == 2


def test_strength_zero_does_not_run_the_generator_again(counted):
    editor, calls = counted
    inversion = editor.invert(picture(), align="none")
    calls.clear()
    editor.edit(inversion, "a bald man", 0)
    assert calls["generator"] == 0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    x=st.integers(0, 63),
    y=st.integers(0, 63),
    channel=st.integers(0, 2),
)
def test_pictures_are_known_by_their_pixels(shared_counted, seed, x, y, channel):
    editor, calls = shared_counted
    photo = picture(seed)
    first = editor.invert(photo, align="none")
    calls.clear()
    again = editor.invert(Image.fromarray(np.asarray(photo).copy()), align="none")
    assert not calls
    assert again.key == first.key
    pixels = np.asarray(photo).copy()
    pixels[y, x, channel] ^= 1
    other = editor.invert(Image.fromarray(pixels), align="none")
    assert calls["trunk"] == 1
    assert other.key != first.key


@pytest.fixture(scope="module")
def shared_counted():
    models = tiny_models()
    return Editor(models), count_calls(models)


def test_the_same_bytes_in_another_shape_are_another_picture(editor):
    pixels = np.asarray(picture(size=(32, 64)))
    wide, tall = Image.fromarray(pixels.reshape(32, 64, 3)), Image.fromarray(pixels)
    assert editor.invert(wide, "none").key != editor.invert(tall, "none").key


def test_memory_is_bounded(models):
    one = Editor(models)
    one.invert(picture(0), align="none")
    bound = 3 * 2 * one._inversions.bytes + 1  # half of the memory is for inversions
    editor = Editor(models, cache_bytes=bound)
    for seed in range(6):
        inversion = editor.invert(picture(seed), align="none")
        for strength in np.linspace(0.1, 2, 10):
            editor.edit(inversion, "a bald man", float(strength))
    caches = (editor._inversions, editor._method.moves, editor.session.drawings)
    assert sum(cache.bytes for cache in caches) <= bound
    assert len(editor._inversions) == 3


# Sharing


def test_many_threads_compute_each_thing_once_and_get_their_own(counted):
    editor, calls = counted
    expected = Editor(tiny_models())
    prompts, strengths, seeds = ("a bald man", "a smiling woman"), (0.5, 1.0), range(3)
    jobs = [(s, p, a) for s in seeds for p in prompts for a in strengths] * 4

    def work(job):
        seed, prompt, strength = job
        return editor.edit(editor.invert(picture(seed), align="none"), prompt, strength).image

    with ThreadPoolExecutor(24) as pool:
        images = list(pool.map(work, jobs))
    assert calls == {
        "trunk": 3, "heads": 3 + 6, "adapter": 6, "text": 6, "remapper": 6, "generator": 3 + 12
    }  # fmt: skip
    for (seed, prompt, strength), image in zip(jobs[:12], images[:12], strict=True):
        inversion = expected.invert(picture(seed), align="none")
        assert same(image, expected.edit(inversion, prompt, strength).image)


def test_writing_on_a_result_does_not_change_the_next_one(editor):
    inversion = editor.invert(picture(), align="none")
    edit = editor.edit(inversion, "a bald man")
    before = edit.image.tobytes()
    for image in (inversion.crop, inversion.image, edit.image):
        image.paste("red", (0, 0, *image.size))
    again = editor.edit(editor.invert(picture(), align="none"), "a bald man")
    assert again.image.tobytes() == before
    assert again.inversion.crop.tobytes() == picture().tobytes()
    assert not same(again.inversion.image, inversion.image)


def test_steps_are_announced_before_they_run(counted):
    editor, calls = counted
    seen = []
    inversion = editor.invert(picture(), "none", lambda name: seen.append((name, calls["trunk"])))
    assert seen == [("align", 0), ("trunk", 0), ("heads", 1), ("reconstruction", 1)]
    seen.clear()
    editor.edit(inversion, "a bald man", on_step=lambda name: seen.append(name))
    assert seen == ["text", "adapter", "residual", "remapper", "generator"]


# Faces


@pytest.fixture
def group(monkeypatch):
    """A picture with two "faces", and how often somebody looked for them."""
    found = [face_of_eyes((120, 60), (180, 60)), face_of_eyes((30, 50), (60, 55))]
    looked = []
    monkeypatch.setattr(align, "detect_faces", lambda photo: looked.append(1) or found)
    return picture(3, (300, 200)), found, looked


def test_a_face_is_chosen_by_its_number(counted, group):
    editor, calls = counted
    photo, found, looked = group
    inversions = [editor.invert(photo, face=number) for number in (0, 1)]
    for number, inversion in enumerate(inversions):
        crop, quad = align.align_face(photo, found[number].landmarks)
        assert same(inversion.crop, crop)
        assert np.array_equal(inversion.quad, quad)
        assert (inversion.face, len(inversion.faces)) == (number, 2)
    assert inversions[0].key != inversions[1].key
    assert calls["trunk"] == 2
    assert len(looked) == 1, "faces are looked for once a photo"
    assert editor.invert(photo, face=1).cached
    assert editor.invert(photo).cached
    editor.edit(inversions[1], "a bald man")
    assert "adapter" not in editor.edit(inversions[0], "a bald man").cached


@pytest.mark.parametrize("number", [2, -1, 0.5, None])
def test_a_face_that_is_not_there_is_refused(editor, group, number):
    with pytest.raises(NoFaceError):
        editor.invert(group[0], face=number)
    assert editor.invert(group[0], face=1).face == 1


def test_a_photo_that_is_cut_out_has_one_face_whatever_its_number(editor):
    first, second = (editor.invert(picture(), "none", face=number) for number in (0, 1))
    assert first.key == second.key
    assert first.faces == ()


def test_the_eyes_say_where_a_face_is(editor, group):
    photo, (face, _), looked = group
    inversion = editor.invert(photo, ((120, 60), (180, 60)))
    assert same(inversion.crop, align.align_face(photo, face.landmarks)[0])
    assert not looked
    assert inversion.key != editor.invert(photo, ((120, 60), (180, 61))).key


# What is refused


@pytest.mark.parametrize("prompt", ["", "  \n\t ", None, 3])
def test_an_empty_prompt_is_refused(editor, prompt):
    with pytest.raises(PromptError, match="Please describe"):
        editor.edit(editor.invert(picture(), align="none"), prompt)


def test_a_very_long_prompt_is_refused_and_a_long_one_reported(editor):
    inversion = editor.invert(picture(), align="none")
    with pytest.raises(PromptError, match="10,000 characters"):
        editor.edit(inversion, "x" * 10_000)
    assert editor.edit(inversion, "one two three four five six seven").truncated
    assert not editor.edit(inversion, "one two three four five six").truncated


@pytest.mark.parametrize("strength", [-2.01, 2.01, math.nan, math.inf, "1", None, True])
def test_a_strength_out_of_range_is_refused(editor, strength):
    with pytest.raises(StrengthError, match="from -2 to 2"):
        editor.edit(editor.invert(picture(), align="none"), "a bald man", strength)


@pytest.mark.parametrize("unknown", ["yes", None, 1, ((1, 2),), ((1, 2), (3, math.nan))])
def test_an_unknown_alignment_is_refused(editor, unknown):
    with pytest.raises(ValueError, match="auto"):
        editor.invert(picture(), align=unknown)


def test_a_refused_prompt_leaves_the_editor_working(editor):
    inversion = editor.invert(picture(), align="none")
    with pytest.raises(PromptError):
        editor.edit(inversion, "")
    assert editor.edit(inversion, "a bald man").image.size == (32, 32)
