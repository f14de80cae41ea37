"""Backgrounds of training pictures."""

import numpy as np
import pytest
import torch
import torchvision  # noqa: F401  (before anything is rendered: afterwards Mesa makes its import crash)

from clipinverter.portraits.render import render
from clipinverter.portraits.scene import Scene
from clipinverter.training.portraits.clutter import clutter, person

SCENES = [Scene.from_seed(seed) for seed in range(4)]
LATENTS = np.stack([scene.latent for scene in SCENES])


@pytest.fixture(scope="module")
def renders() -> torch.Tensor:
    pictures = np.stack([render(scene, 64) for scene in SCENES])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_what_is_not_the_backdrop_is_the_person(renders):
    for image, scene in zip(renders, SCENES, strict=True):
        mask = person(image, scene)[0]
        assert mask[24:44, 24:40].mean() > 0.95  # the face
        assert 0.3 < mask.mean() < 0.9
        wrong = person(image, scene.edited("dark background").edited("bright background"))
        assert wrong.mean() > mask.mean()  # another backdrop is no backdrop of this picture


def test_a_busy_background_leaves_the_person(renders):
    busy = clutter(renders, LATENTS, np.random.default_rng(0), share=1.0)
    assert busy.shape == renders.shape
    assert busy.abs().max() <= 1
    for before, after, scene in zip(renders, busy, SCENES, strict=True):
        mask = person(before, scene)[0] > 0
        assert torch.equal(after[:, mask], before[:, mask])
        assert (after - before).abs().amax(dim=0)[~mask].mean() > 0.05


def test_only_a_share_is_changed(renders):
    assert torch.equal(clutter(renders, LATENTS, np.random.default_rng(0), share=0.0), renders)
