"""The Editor with pivotal tuning and detail: what stays the photo, what runs when, and who sees what."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.methods.base import EDITED_SHARE, Stopped, progress_of
from clipinverter.methods.latent_optimization import LatentOptimization
from clipinverter.methods.settings import Settings
from clipinverter.photo import align
from clipinverter.photo.faces import face_of_eyes
from clipinverter.photo.paste import paste
from clipinverter.results import Edit, Inversion
from clipinverter.weights.files import CheckpointError
from tests.tiny import count_calls, picture, tiny_models

PROMPT = "a smiling woman"


@pytest.fixture(scope="module")
def editor():
    return Editor(tiny_models())


@pytest.fixture(scope="module")
def inversion(editor):
    return editor.invert(picture(), "none")


@pytest.fixture(scope="module")
def tuned(editor, inversion):
    return editor.tune(inversion)


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.tobytes() == b.tobytes()


def distance(a: Image.Image, b: Image.Image) -> float:
    b = b.resize(a.size, Image.Resampling.BOX)
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


def test_a_tuned_generator_draws_the_photo_and_the_plain_one_stays(editor, inversion, tuned):
    assert distance(tuned.image, inversion.crop) < 0.7 * distance(inversion.image, inversion.crop)
    assert inversion.tuning is None
    fresh = Editor(tiny_models())
    expected = fresh.edit(fresh.invert(picture(), "none"), PROMPT)
    assert same(editor.edit(inversion, PROMPT).image, expected.image)
    assert same(editor.invert(picture(), "none").image, expected.inversion.image)


def test_strength_zero_is_the_photo_and_without_detail_the_tuned_inversion(
    editor, inversion, tuned
):
    assert same(editor.edit(tuned, PROMPT, 0).image, picture())
    without = editor.tune(inversion, detail=False)
    assert same(editor.edit(without, PROMPT, 0).image, without.image)
    assert same(without.image, tuned.image)


def test_edits_with_detail_are_drawn_by_a_share_of_the_tuning(editor, inversion, tuned):
    plain = editor.models.generator
    part = editor.session.generator_of(tuned)
    whole = editor.session.generator_of(editor.tune(inversion, detail=False))
    name = next(iter(tuned.tuning.changes))
    before, some, all_ = (dict(g.named_parameters())[name] for g in (plain, part, whole))
    assert torch.allclose(some - before, EDITED_SHARE * (all_ - before), atol=1e-5)
    assert not torch.equal(some, before)


def test_tuning_runs_once_a_photo_and_prompts_stay(counted):
    editor, calls = counted
    inversion = editor.invert(picture(), "none")
    editor.edit(inversion, PROMPT)
    assert editor.tuned(inversion) is None
    first = editor.tune(inversion)
    assert [stage.name for stage in first.ran][-1] == "tuning"
    calls.clear()
    steps = []
    again = editor.tune(inversion, steps.append)
    assert not steps
    assert again.cached[-1] == "tuning"
    assert editor.tuned(inversion).tuning is first.tuning
    edit = editor.edit(again, PROMPT)
    assert calls == {"generator": 2}, "the prompt was known; with and without the edit"
    calls.clear()
    editor.edit(again, PROMPT, 0.5)
    assert calls == {"generator": 1}
    assert [stage.name for stage in edit.ran] == ["generator", "detail"]
    assert edit.image.size == picture().size


@pytest.fixture
def counted():
    models = tiny_models()
    return Editor(models), count_calls(models)


def test_steps_and_previews_are_announced(editor):
    steps, previews = [], []
    editor.tune(editor.invert(picture(5), "none"), steps.append, previews.append)
    shares = [progress_of(step) for step in steps]
    assert shares[-1] == 1
    assert shares == sorted(shares)
    assert len(previews) >= 2
    assert all(isinstance(preview, Image.Image) for preview in previews)


def test_a_stopped_tuning_ends_within_a_step_and_keeps_nothing(editor):
    inversion = editor.invert(picture(6), "none")
    steps = []

    def leave(step: str) -> None:
        steps.append(step)
        if len(steps) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        editor.tune(inversion, leave)
    assert len(steps) == 3
    assert editor.tuned(inversion) is None
    assert editor.tune(inversion).tuning is not None


def test_who_waits_for_a_tuning_that_somebody_else_stopped_still_gets_one(editor):
    inversion = editor.invert(picture(7), "none")
    with ThreadPoolExecutor(2) as pool:
        waiting = []

        def leave(step: str) -> None:
            if not waiting:
                waiting.append(pool.submit(editor.tune, inversion))
            if progress_of(step) > 0.3:
                raise Stopped

        with pytest.raises(Stopped):
            editor.tune(inversion, leave)
        assert waiting[0].result(timeout=60).tuning is not None


def test_two_at_once_never_see_each_others_weights(editor):
    inversions = [editor.invert(picture(seed), "none") for seed in (8, 9)]
    with ThreadPoolExecutor(2) as pool:
        together = [*pool.map(editor.tune, inversions)]
    for seed, tuned in zip((8, 9), together, strict=True):
        alone = Editor(tiny_models())
        expected = alone.tune(alone.invert(picture(seed), "none"))
        assert same(tuned.image, expected.image)
        assert same(editor.edit(tuned, PROMPT).image, alone.edit(expected, PROMPT).image)


def test_memory_stays_bounded_over_many_photos():
    one = Editor(tiny_models())
    one.tune(one.invert(picture(), "none"))
    bound = 2 * 4 * one._tunings.bytes + 1
    editor = Editor(tiny_models(), cache_bytes=bound)
    for seed in range(8):
        tuned = editor.tune(editor.invert(picture(seed), "none"))
        editor.edit(tuned, PROMPT)
    assert editor._tunings.bytes <= bound // 2
    assert len(editor._tunings) == 4
    assert editor.session._tuned.bytes <= editor.session._tuned.max_bytes


def test_all_methods_draw_with_the_tuned_generator_and_detail(editor, inversion, tuned):
    method = LatentOptimization(editor.session, Settings(steps=3))
    edit = method.edit(tuned, PROMPT)
    assert edit.image.size == inversion.crop.size
    assert same(method.edit(tuned, PROMPT, 0).image, inversion.crop)
    assert not same(method.edit(inversion, PROMPT).image.resize((64, 64)), edit.image)


def test_a_saved_inversion_repeats_the_edit(editor, tuned, tmp_path):
    path = tmp_path / "face.safetensors"
    tuned.save(path)
    loaded = Inversion.load(path)
    edit = Editor(tiny_models()).edit(loaded, PROMPT)
    assert same(edit.image, editor.edit(tuned, PROMPT).image)
    assert loaded.key == tuned.key
    assert torch.equal(loaded.w_plus, tuned.w_plus)
    assert set(loaded.cached) == {stage.name for stage in tuned.stages}


def test_the_alignment_is_saved_too(editor, tmp_path, monkeypatch):
    found = [face_of_eyes((120, 60), (180, 60)), face_of_eyes((30, 50), (60, 55))]
    monkeypatch.setattr(align, "detect_faces", lambda photo: found)
    photo = picture(3, (300, 200))
    inversion = editor.invert(photo, face=1)
    inversion.save(tmp_path / "face.safetensors")
    loaded = Inversion.load(tmp_path / "face.safetensors")
    edit, again = (editor.edit(i, PROMPT) for i in (inversion, loaded))
    assert same(editor.paste(photo, edit).image, editor.paste(photo, again).image)
    assert loaded.tuning is None


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_files_that_are_no_inversions_are_refused(tmp_path, content):
    path = tmp_path / "face.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"face\.safetensors"):
        Inversion.load(path)


def test_a_large_face_keeps_its_resolution_up_to_1024(editor, monkeypatch):
    photo = picture(4, (3000, 2400))
    sizes = {}
    for eyes in (60, 200, 700):
        found = [face_of_eyes((1200, 900), (1200 + eyes, 900))]
        monkeypatch.setattr(align, "detect_faces", lambda photo, found=found: found)
        inversion = editor.invert(photo.rotate(eyes / 100))
        side = np.hypot(*(inversion.quad[3] - inversion.quad[0]))
        sizes[eyes] = inversion.crop.width
        assert inversion.crop.width == max(256, min(1024, round(side)))
    assert sizes[60] == 256
    assert sizes[700] == 1024


# Pasting back


def placed(photo: Image.Image, quad: np.ndarray) -> Inversion:
    """An inversion with detail whose crop is that quad of the photo."""
    crop = align.cut_out(photo, quad, 128)
    face = face_of_eyes((10, 10), (20, 10))
    return Inversion("", crop, crop, None, None, quad, (face,), 0, (), detail=True)


@settings(max_examples=20, deadline=None)
@given(
    x=st.integers(40, 200), y=st.integers(40, 150), side=st.integers(60, 160),
    turn=st.floats(-3.1, 3.1), box=st.tuples(*[st.integers(20, 100)] * 4),
)  # fmt: skip
def test_pasting_changes_only_the_edited_region(x, y, side, turn, box):
    photo = picture(11, (300, 260))
    c, s = side / 2 * np.cos(turn), side / 2 * np.sin(turn)
    corners = np.array([(-c + s, -s - c), (-c - s, -s + c), (c - s, s + c), (c + s, s - c)])
    inversion = placed(photo, corners + np.array([x, y]))
    left, right, top, bottom = sorted(box[:2]) + sorted(box[2:])
    after = inversion.crop.copy()
    after.paste((255, 0, 0), (left, top, right + 1, bottom + 1))
    result = paste(photo, inversion, after)
    assert result.size == photo.size
    changed = (np.asarray(result) != np.asarray(photo)).any(axis=2)
    ys, xs = np.nonzero(changed)
    # Back in the crop's frame every changed pixel is within the filter's reach of the box.
    frame = np.stack([corners[3] - corners[0], corners[1] - corners[0]], axis=1)
    at = (
        np.linalg.solve(frame, (np.stack([xs, ys]) - (corners[0] + np.array([x, y]))[:, None]))
        * 128
    )
    reach = 3 + 3 * 128 / side
    assert (at[0] >= left - reach).all()
    assert (at[0] <= right + reach).all()
    assert (at[1] >= top - reach).all()
    assert (at[1] <= bottom + reach).all()
    assert same(paste(photo, inversion, inversion.crop), photo)


def test_pasting_is_a_timed_stage_of_the_edit(editor, tuned):
    edit = editor.edit(tuned, PROMPT)
    whole = editor.paste(picture(), edit)
    assert isinstance(whole, Edit)
    assert [stage.name for stage in whole.stages] == [*(s.name for s in edit.stages), "paste"]
    assert whole.image.size == picture().size
    zero = editor.paste(picture(), editor.edit(tuned, PROMPT, 0))
    assert same(zero.image, picture())


def test_renders_that_are_drawn_well_need_no_tuning(editor, inversion):
    assert editor.needs_tuning(inversion)
    assert not editor.needs_tuning(replace(inversion, image=inversion.crop.resize((32, 32), 4)))
