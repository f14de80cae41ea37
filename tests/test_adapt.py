"""A generator that learns from a plain folder of pictures."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from clipinverter import domains
from clipinverter.models.discriminator import Discriminator
from clipinverter.models.stylegan2 import Generator
from clipinverter.training import finetune_generator, loop, presets
from clipinverter.training.__main__ import main
from clipinverter.training.portraits import generator
from tests import own
from tests.tiny import DOMAIN

SIZES = (DOMAIN.image_size, DOMAIN.style_dim, DOMAIN.n_mlp, DOMAIN.channel_base, DOMAIN.channel_max)


def set_preset(monkeypatch, **changes):
    preset = replace(presets.PRESETS[finetune_generator.NAME], **changes)
    monkeypatch.setitem(presets.PRESETS, finetune_generator.NAME, preset)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(domains, "DOMAINS", {**domains.DOMAINS, "tiny": DOMAIN})
    set_preset(monkeypatch, steps=4, batch=4)


@pytest.fixture
def start(tmp_path):
    """Weights to start from; their generator draws with noise, as those of photographs do."""
    torch.manual_seed(0)
    net = Generator(*SIZES)
    for name, parameter in net.named_parameters():
        if name.endswith("noise.weight"):
            parameter.data.fill_(0.1)
    save_file(net.state_dict(), tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


@pytest.fixture
def images(tmp_path):
    return own.write_pictures(tmp_path)[0]


def command(images, run, *more, stage="finetune-generator"):
    return main([stage, "--images", str(images), "--run", str(run), *map(str, more)])


def domain_of(start):
    return ("--domain", "tiny", "--start", start)


def test_the_command_adapts_what_draws_and_leaves_the_mapping(start, images, tmp_path):
    assert command(images, tmp_path / "run", *domain_of(start)) == 0
    before, after = load_file(start), load_file(tmp_path / "run" / "generator.safetensors")
    assert before.keys() == after.keys()
    kept = {key for key in before if torch.equal(before[key].half(), after[key])}
    still = {key for key in before if key.startswith(("style.", "noises."))}
    still |= {key for key in before if key.endswith(("noise.weight", "kernel"))}
    assert kept == still


class Killed(Exception):
    pass


def test_a_killed_and_resumed_run_ends_like_an_uninterrupted_one(
    start, images, tmp_path, monkeypatch
):
    def dying(stage, folder, *, resume):
        def step(i, rng):
            numbers = stage.step(i, rng)
            if i == 2:
                raise Killed
            return numbers

        loop.run(replace(stage, step=step), folder, resume=resume, save_every=0)

    assert command(images, tmp_path / "whole", *domain_of(start)) == 0
    with monkeypatch.context() as patch:
        patch.setattr(finetune_generator, "run", dying)
        with pytest.raises(Killed):
            command(images, tmp_path / "parts", *domain_of(start))
    assert not (tmp_path / "parts" / "generator.safetensors").exists()
    assert command(images, tmp_path / "parts", *domain_of(start), "--resume") == 0
    whole, parts = (
        load_file(tmp_path / run / "generator.safetensors") for run in ("whole", "parts")
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_rendered_set_still_trains_in_pairs(start, tmp_path, monkeypatch):
    np.save(tmp_path / "latents-000.npy", np.zeros((1, 2)))
    calls = []
    monkeypatch.setattr(generator, "train_generator", lambda *_, **options: calls.append(options))
    assert command(tmp_path, tmp_path / "run", "--start", start, stage="generator") == 0
    assert calls == [{"resume": False, "scale": 1.0, "start": start}]


def test_a_plain_folder_is_told_the_command_that_takes_it(start, images, tmp_path, capsys):
    assert command(images, tmp_path / "run", "--start", start, stage="generator") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: There is no rendered set in ")
    assert "python -m clipinverter.training finetune-generator" in error


def test_drawn_pictures_take_the_colour_of_the_real_ones(start, tmp_path, monkeypatch):
    for k, colour in enumerate(("#e02010", "#d01008")):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{k}.png")
    set_preset(monkeypatch, steps=60, batch=8)
    run = tmp_path / "run"
    assert command(tmp_path, run, *domain_of(start)) == 0

    def mean(path):
        net = Generator(*SIZES)
        net.load_state_dict({k: v.float() for k, v in load_file(path).items()})
        w = net.mapping(torch.randn(32, DOMAIN.style_dim, generator=torch.manual_seed(1)))
        with torch.no_grad():
            return net(w[:, None].expand(-1, net.n_latent, -1)).mean(dim=(0, 2, 3))

    wanted = torch.tensor([0.7, -0.8, -0.9])
    before, after = mean(start), mean(run / "generator.safetensors")
    assert (after - wanted).norm() < 0.6 * (before - wanted).norm()


# Augmentation.


@pytest.mark.parametrize(
    "change",
    [
        finetune_generator.recolour,
        finetune_generator.shift,
        finetune_generator.hide,
        finetune_generator.augment,
    ],
)
def test_augmentation_passes_gradients_and_treats_every_picture_in_its_own_way(change):
    torch.manual_seed(0)
    images = (torch.rand(1, 3, 16, 16) * 2 - 1).expand(8, -1, -1, -1).clone().requires_grad_()
    changed = change(images)
    assert changed.shape == images.shape
    assert len({x.numpy().tobytes() for x in changed.detach()}) > 4
    assert not torch.equal(changed, change(images))
    changed.square().sum().backward()
    assert (images.grad.flatten(1).abs().amax(dim=1) > 0).all()


def test_augmentation_stays_within_its_bounds():
    torch.manual_seed(0)
    images = torch.full((256, 3, 16, 16), 0.25)
    means = (
        finetune_generator.recolour(images).mean(dim=(1, 2, 3)) - 0.25
    )  # a plain grey has neither saturation nor contrast
    assert -0.5 <= means.min() < -0.4
    assert 0.4 < means.max() <= 0.5
    for change, most in (
        (finetune_generator.shift, 16 * 16 - 14 * 14),
        (finetune_generator.hide, 8 * 8),
    ):
        lost = (change(images) == 0).all(dim=1).sum(dim=(1, 2))
        assert lost.max() == most
        assert set(change(images).unique().tolist()) == {0.0, 0.25}


def test_real_and_drawn_pictures_reach_the_discriminator_changed(
    start, images, tmp_path, monkeypatch
):
    seen, made = [], []

    def augment(images):
        made.append(images + 100)
        return made[-1]

    def forward(self, images):
        seen.append(images.detach().min().item())
        return plain(self, images)

    plain = Discriminator.forward
    monkeypatch.setattr(finetune_generator, "augment", augment)
    monkeypatch.setattr(Discriminator, "forward", forward)
    assert command(images, tmp_path / "run", *domain_of(start), "--scale", 0.25) == 0
    assert min(seen) > 50
    assert len(made) == 3  # for the generator, and of both kinds for the discriminator
    assert [x.requires_grad for x in made] == [True, False, False]


def test_pictures_are_mirrored_half_of_the_time(images):
    paths = [images / "2.jpg"]
    plain = finetune_generator.pictures.read(paths[0], 32)
    rng = np.random.default_rng(0)
    seen = [x for _ in range(10) for x in finetune_generator.read(paths, 4, 32, rng)]
    mirrored = sum(torch.equal(x, plain.flip(2)) for x in seen)
    assert sum(torch.equal(x, plain) for x in seen) + mirrored == 40
    assert 10 < mirrored < 30


# What can be wrong.


def damaged(images, start):
    for path in images.rglob("*.jpg"):
        path.write_bytes(b"no picture")
    return domain_of(start)


def empty(images, start):
    for path in images.rglob("*.jpg"):
        path.unlink()
    return domain_of(start)


def gone(images, start):
    images.rename(images.with_name("moved"))
    return domain_of(start)


def without_start(images, start):
    return ("--domain", "tiny")


def no_file(images, start):
    return domain_of(start.with_name("none.safetensors"))


def other_size(images, start):
    save_file(Generator(16, *SIZES[1:]).state_dict(), start)
    return domain_of(start)


def other_widths(images, start):
    save_file(Generator(*SIZES[:-1], 16).state_dict(), start)
    return domain_of(start)


def no_generator(images, start):
    save_file({"weight": torch.zeros(3)}, start)
    return domain_of(start)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (damaged, r"\.jpg can't be used: This file is not a picture.* --resume\.$"),
        (empty, r"There are no pictures in the folder .*images\.$"),
        (gone, r"There is no folder .*images\.$"),
        (without_start, r"say by --start which weights it has\.$"),
        (no_file, r"none\.safetensors does not exist\."),
        (other_size, r"draws pictures of 16 px and not of 32 px, the size of the domain 'tiny'\.$"),
        (other_widths, r"does not fit the generator of the domain 'tiny'\.$"),
        (no_generator, r"does not fit the generator of the domain 'tiny'\.$"),
    ],
)
def test_what_is_wrong_is_said(start, images, tmp_path, capsys, fault, sentence):
    arguments = fault(images, start)
    assert command(images, tmp_path / "run", *arguments) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert re.search(sentence, error), error


def test_the_adversary_teaches_both_sides():
    """The generator's opinion leaves the critic alone, and the critic learns to tell real from drawn."""
    torch.manual_seed(0)
    net = Discriminator(8, 64, 8)
    critic = finetune_generator.Critic(
        net, torch.optim.Adam(net.parameters(), lr=5e-3, betas=(0.0, 0.99)), gamma=1.0
    )
    fake = torch.rand(8, 3, 8, 8, requires_grad=True)
    critic.opinion(fake).backward()
    assert fake.grad.abs().max() > 0
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    losses = [critic.learn(-torch.rand(8, 3, 8, 8), torch.rand(8, 3, 8, 8), i) for i in range(40)]
    assert losses[-1] < 0.5 * losses[0]
