"""The renderer and the sets it writes. Skipped where OpenGL or anny are missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip("moderngl")
pytest.importorskip("anny")

from clipinverter.errors import UserError
from clipinverter.portraits import dataset, hair, head
from clipinverter.portraits.render import camera, render
from clipinverter.portraits.scene import ATTRIBUTES, Scene
from clipinverter.portraits.variables import N_LATENTS
from clipinverter.training.portraits import data
from clipinverter.training.portraits.generator import eyes


@pytest.fixture(scope="module", autouse=True)
def opengl():
    try:
        render(Scene.from_seed(0), 64)
    except RuntimeError as e:
        pytest.skip(str(e))


def test_a_picture_repeats_bit_for_bit():
    first = render(Scene.from_seed(3), 128)
    render(Scene.from_seed(4), 128)  # what was drawn in between leaves no trace
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, render(Scene.from_seed(3), 128))


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_every_attribute_shows(name):
    seeds = range(400)
    scene = next(s for s in map(Scene.from_seed, seeds) if not s.has(name) and s.can_be(name))
    before, after = (render(s, 128).astype(int) for s in (scene, scene.edited(name)))
    assert (np.abs(before - after).max(2) > 12).sum() >= 12, "fewer than 12 pixels change"


def test_a_small_step_of_the_latent_is_a_small_step_of_the_picture():
    scene = Scene.from_seed(5)
    moved = Scene.from_latent(scene.latent + 1e-3)
    assert moved.attributes == scene.attributes
    assert np.abs(render(scene, 128).astype(int) - render(moved, 128)).mean() < 1.0


@pytest.mark.parametrize("seed", range(8))
def test_the_frame_is_ffhq_s_crop(seed):
    """FFHQ's quad, from the projected eyes and mouth, is the picture's frame itself."""
    scene = Scene.from_seed(seed)
    shaped = head.shape(scene)
    mvp, _ = camera(scene, shaped)
    points = np.c_[np.r_[shaped.eye_centres, shaped.mouth], np.ones(4)] @ mvp.T
    xy = points[:, :2] / points[:, 3:] * [1, -1]  # y downwards, as in pictures
    eyes, mouth = xy[:2].mean(0), xy[2:].mean(0)
    to_eye, to_mouth = xy[1] - xy[0], mouth - eyes
    x = to_eye - np.array([-to_mouth[1], to_mouth[0]])
    x *= max(2.0 * np.hypot(*to_eye), 1.8 * np.hypot(*to_mouth)) / np.hypot(*x)
    np.testing.assert_allclose(x, [1, 0], atol=1e-4)
    np.testing.assert_allclose(eyes + 0.1 * to_mouth, [0, 0], atol=1e-4)


def test_expressions_move_the_mouth_and_not_the_skull():
    scene = next(s for s in map(Scene.from_seed, range(99)) if s.label("expression") == "neutral")
    a, b = head.shape(scene), head.shape(scene.edited("smiling"))
    moved = np.linalg.norm(a.vertices - b.vertices, axis=1) / head.template().eye_distance
    q = head.template().q
    assert moved[np.abs(q[:, 2] + 1.15) < 0.1].max() > 0.05
    assert moved[q[:, 2] > 1.0].max() < 0.01


def test_closed_eyes_hide_the_eyes_and_nothing_else():
    """Eyes of any colour look the same once they are closed, and the rest of the picture stays."""
    scene = Scene.from_seed(2).edited("man").edited("neutral expression").edited("no glasses")
    blue, brown = (scene.edited("open eyes").edited(f"{c} eyes") for c in ("blue", "brown"))
    shut = [render(s.edited("eyes closed"), 256).astype(int) for s in (blue, brown)]
    assert np.array_equal(*shut)
    changed = np.abs(render(blue, 256).astype(int) - shut[0]).max(2) > 12
    rows = np.flatnonzero(changed.any(axis=1))
    assert changed.sum() > 100
    assert np.ptp(rows) < 0.15 * 256


@pytest.mark.parametrize("seed", range(12))
def test_the_generator_looks_at_the_eyes(seed):
    """What changes when they close, all but a few lashes, lies in the part that the losses count again."""
    scene = Scene.from_seed(seed).edited("no glasses").edited("no hat").edited("neutral expression")
    pictures = [render(scene.edited(state), 256) for state in ("open eyes", "eyes closed")]
    changed = np.abs(np.subtract(*(x.astype(float) for x in pictures))).max(2)
    part = eyes(torch.from_numpy(changed)[None, None])
    assert part.sum() / 4 > 0.97 * changed.sum()  # at twice the size


def test_light_falls_on_the_side_that_it_comes_from():
    scene = Scene.from_seed(2).edited("man").edited("bald").edited("no glasses")
    scene = scene.edited("clean-shaven")
    left, right = (
        render(scene.edited(f"light from the {side}"), 256)[90:200, 70:186].mean(axis=(0, 2))
        for side in ("left", "right")
    )
    assert left[:40].mean() > right[:40].mean() + 5
    assert left[-40:].mean() < right[-40:].mean() - 5


def test_hair_stays_out_of_the_face():
    """Long hair without bangs leaves eyes, nose and mouth free."""
    checked = 0
    for seed in range(40):
        scene = Scene.from_seed(seed)
        if not scene.has("long hair") and not scene.can_be("long hair"):
            continue
        scene = scene.edited("long hair")
        if scene.label("bangs"):
            continue
        shaped = head.shape(scene)
        points = np.concatenate([s.points.reshape(-1, 3) for s in hair.groom(scene, shaped)])
        local = (points - shaped.eye_centres.mean(0)) / head.template().eye_distance
        face = (
            (np.abs(local[:, 0]) < 0.7)
            & (local[:, 2] < 0.3)
            & (local[:, 2] > -1.3)
            & (local[:, 1] < 0.2)
        )
        if scene.label("facial_hair") in ("none", "stubble"):
            assert not face.any()
            checked += 1
    assert checked > 5


def test_a_set_is_whole_resumes_and_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "SHARD", 4)
    dataset.write(tmp_path / "a", 8, 32, seed=7, processes=1)
    a = data.load(tmp_path / "a")
    assert [x.shape for x in a.images] == [(4, 32, 32, 3)] * 2
    assert a.latents.shape == (8, N_LATENTS)
    assert a.latents.dtype == np.float32
    for i in (0, 5):
        scene = Scene.from_latent(a.latents[i])
        assert np.array_equal(a.images[i // 4][i % 4], render(scene, 32))
    first, second = np.array(a.images[0]), np.array(a.images[1])
    kept = (tmp_path / "a" / "images-00000.npy").stat().st_mtime_ns
    for path in (tmp_path / "a").glob("*-00001.*"):
        path.unlink()
    dataset.write(tmp_path / "a", 8, 32, seed=7, processes=1)
    assert (tmp_path / "a" / "images-00000.npy").stat().st_mtime_ns == kept
    again = data.load(tmp_path / "a")
    assert np.array_equal(again.images[0], first)
    assert np.array_equal(again.images[1], second)
    assert json.loads((tmp_path / "a" / "meta.json").read_text())["count"] == 8
    with pytest.raises(UserError, match="another set"):
        dataset.write(tmp_path / "a", 8, 64, seed=7)
