"""Generator and encoder of the portraits that learn photographs beside renders."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipinverter import domains
from clipinverter.domains import PORTRAITS
from clipinverter.models import clip
from clipinverter.models.stylegan2 import Generator
from clipinverter.portraits.scene import random_latents
from clipinverter.training import loop
from clipinverter.training.__main__ import main
from clipinverter.training.portraits import photographs
from clipinverter.weights.build import build_networks
from clipinverter.weights.files import save_weights
from tests import own
from tests.tiny import wake

SMALL = replace(
    PORTRAITS,
    files={},
    image_size=32,
    style_dim=256,
    n_mlp=2,
    channel_base=512,
    channel_max=16,
    text_dim=32,
    encoder_size=32,
    encoder_widths=(32, 32, 32),
    head_width=16,
)
STEPS = 4


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Random weights in the place of the portraits', and a clock on which every step takes a second."""
    monkeypatch.setattr(domains, "ROOT", tmp_path)
    monkeypatch.setattr(domains, "DOMAINS", {"portraits": SMALL})
    monkeypatch.setattr(clip, "SMALL", own.TINY_CLIP)
    monkeypatch.setattr(photographs, "P", replace(photographs.P, texts=8))
    monkeypatch.setattr(photographs.Clock, "add", lambda clock, _: count(clock))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, encoder, adapter = build_networks(SMALL)
        wake(encoder)
        latent_avg = torch.randn(generator.n_latent, SMALL.style_dim)
        parts = {
            "generator": generator.state_dict(),
            "encoder": encoder.state_dict() | {"latent_avg": latent_avg},
            "adapter": adapter.state_dict(),
            "clip": clip.build(clip.SMALL).model.state_dict(),
        }
    for part, weights in parts.items():
        save_weights(SMALL.folder / f"{part}.safetensors", weights)


def count(clock):
    clock.seconds += 1


@pytest.fixture
def photos(tmp_path):
    return own.write_pictures(tmp_path)[0]


@pytest.fixture
def renders(tmp_path):
    """Pictures that stand in for a rendered set."""
    folder, rng = tmp_path / "renders", np.random.default_rng(0)
    folder.mkdir()
    np.save(folder / "images-00000.npy", rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8))
    np.save(folder / "latents-00000.npy", random_latents(6, rng))
    return folder


def command(photos, renders, run, *more):
    folders = {"--photos": photos, "--images": renders, "--run": run}
    options = [str(x) for pair in folders.items() for x in pair]
    return main(["photographs", *options, "--minutes", str(STEPS / 60), "--device", "cpu", *more])


def changed(run, part):
    """Names of a part's weights that differ from those of before."""
    before, after = (load_file(f / f"{part}.safetensors") for f in (SMALL.folder, run))
    assert before.keys() == after.keys()
    return {key for key in before if not torch.equal(before[key], after[key])}


def test_only_what_draws_and_the_offsets_change(photos, renders, tmp_path):
    assert command(photos, renders, tmp_path / "run") == 0
    drawing = changed(tmp_path / "run", "generator")
    assert "convs.1.conv.weight" in drawing
    assert "input.input" in drawing
    assert "convs.5.conv.weight" in drawing  # of the last resolution
    still = ("style.", "affine_mlps.", "lambdas.", "noises.")
    assert not [k for k in drawing if k.startswith(still) or "modulation" in k or "noise" in k]
    seeing = changed(tmp_path / "run", "encoder")
    assert {"styles.1.linear.weight", "styles.7.convs.0.weight", "latlayer1.weight"} <= seeing
    assert all(k.startswith(("styles.", "latlayer")) for k in seeing)
    assert not [k for k in seeing if k.startswith("styles.0.")]


def test_training_ends_when_its_minutes_are_over(photos, renders, tmp_path):
    assert command(photos, renders, tmp_path / "run") == 0
    state = torch.load(tmp_path / "run" / "photographs.pt", weights_only=True)
    assert state["step"] == STEPS
    assert state["clock"] == {"seconds": STEPS}


class Killed(Exception):
    pass


def test_a_killed_and_resumed_run_ends_like_an_uninterrupted_one(
    photos, renders, tmp_path, monkeypatch
):
    def dying(stage, folder, *, resume):
        def step(i, rng):
            numbers = stage.step(i, rng)
            if i == 2:
                raise Killed
            return numbers

        loop.run(replace(stage, step=step), folder, resume=resume, save_every=0)

    assert command(photos, renders, tmp_path / "whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(photographs, "run", dying)
        with pytest.raises(Killed):
            command(photos, renders, tmp_path / "parts")
    assert command(photos, renders, tmp_path / "parts", "--resume") == 0
    for part in ("generator", "encoder"):
        whole, parts = (load_file(tmp_path / x / f"{part}.safetensors") for x in ("whole", "parts"))
        assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_step_counts_so_long_at_most(monkeypatch):
    monkeypatch.undo()
    clock = photographs.Clock(minutes=1)
    clock.add(0.5)
    clock.add(600)  # stopped in between
    assert clock.seconds == 0.5 + photographs.LONGEST
    assert 0 < clock.share < 0.1
    for _ in range(40):
        clock.add(2)
    assert clock.share == 1


def test_half_a_generator_draws_what_the_whole_adds_to():
    torch.manual_seed(0)
    whole = Generator(32, 32, 2, 512, 16)
    half = photographs.half_of(whole)
    w_plus = torch.randn(2, whole.n_latent, 32)
    assert half(w_plus, noise="none").shape == (2, 3, 16, 16)
    assert whole(w_plus, noise="none").shape == (2, 3, 32, 32)
    lower = Generator(16, 32, 2, 512, 16)
    own = lower.state_dict()
    lower.load_state_dict({k: v for k, v in whole.state_dict().items() if k in own})
    expected = lower(w_plus[:, : lower.n_latent], noise="none")
    torch.testing.assert_close(half(w_plus, noise="none"), expected)
    half(w_plus, noise="none").sum().backward()
    assert whole.convs[0].conv.weight.grad is not None


def test_photographs_vary_within_bounds():
    images = torch.rand(6, 3, 32, 32) * 2 - 1
    varied = photographs.vary(images, np.random.default_rng(0))
    assert varied.shape == images.shape
    assert varied.min() >= -1
    assert varied.max() <= 1
    again = photographs.vary(images, np.random.default_rng(0))
    assert torch.equal(varied, again)
    smooth = torch.linspace(-0.5, 0.5, 32).expand(64, 3, 32, 32)
    right = photographs.vary(smooth, np.random.default_rng(1)).diff(dim=3).mean(dim=(1, 2, 3)) > 0
    assert 20 < right.sum() < 44  # about half of them are mirrored


@pytest.mark.parametrize("what", ["photos", "renders"])
def test_an_empty_folder_is_said_in_a_sentence(what, photos, renders, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    folders = {"photos": photos, "renders": renders, what: tmp_path / "none"}
    assert command(folders["photos"], folders["renders"], tmp_path / "run") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert str(tmp_path / "none") in said
    assert len(said.splitlines()) == 1


def test_the_photographs_must_be_named(capsys):
    with pytest.raises(SystemExit):
        main(["photographs"])
    assert "--photos" in capsys.readouterr().err
