"""Pivotal tuning: a copy of the generator learns a photo, and nobody else's generator changes."""

import threading

import pytest
import torch

from clipinverter.editor import Editor
from clipinverter.methods.base import Stopped
from clipinverter.models import learning
from clipinverter.models.stylegan2 import Generator
from clipinverter.photo.tensors import to_tensor
from clipinverter.tuning import Settings, Tuning, learnt_names, tune, tuned
from tests.tiny import picture, tiny_models

FEW = Settings(steps=8, preview_every=4)


def inverted(models, seed=0):
    return Editor(models).invert(picture(seed), "none")


def state(generator):
    return {name: tensor.clone() for name, tensor in generator.state_dict().items()}


def unchanged(generator, before):
    return all(torch.equal(t, before[n]) for n, t in generator.state_dict().items())


def error(generator, inversion):
    drawn = generator(inversion.w_plus)
    return float((drawn - to_tensor(inversion.crop, generator.size)).abs().mean())


def test_the_picture_comes_closer_and_the_shared_generator_stays():
    models = tiny_models()
    before, inversion = state(models.generator), inverted(models)
    tuning = tune(models, inversion.w_plus, inversion.crop, settings=Settings(steps=50))
    mine = tuned(models.generator, tuning)
    assert error(mine, inversion) < 0.6 * error(models.generator, inversion)
    assert unchanged(models.generator, before)
    assert not any(p.requires_grad for p in (*models.generator.parameters(), *mine.parameters()))
    assert tuning.steps == 50
    assert torch.equal(tuning.w_plus, inversion.w_plus)


def test_only_what_was_learnt_is_kept_and_the_rest_is_shared():
    models = tiny_models()
    inversion = inverted(models)
    tuning = tune(models, inversion.w_plus, inversion.crop, settings=FEW)
    mine, shared = tuned(models.generator, tuning), dict(models.generator.named_parameters())
    assert set(tuning.changes) == set(learnt_names(models.generator, Settings().first))
    assert not any("modulation" in name or "lambdas" in name for name in tuning.changes)
    for name, parameter in mine.named_parameters():
        assert (parameter is shared[name]) == (name not in tuning.changes)
    for name, buffer in mine.named_buffers():
        assert buffer is models.generator.get_buffer(name)
    learnt = sum(shared[name].numel() for name in tuning.changes)
    assert tuning.nbytes == 2 * learnt + tuning.w_plus.nbytes


def test_no_change_draws_the_same_picture():
    models = tiny_models()
    inversion = inverted(models)
    none = {n: torch.zeros_like(p).half() for n, p in models.generator.named_parameters()}
    mine = tuned(models.generator, Tuning(none, inversion.w_plus, 0, 0.0, 0.0))
    assert torch.equal(mine(inversion.w_plus), models.generator(inversion.w_plus))


def test_steps_and_previews_are_announced():
    models = tiny_models()
    inversion, steps, previews = inverted(models), [], []
    tune(models, inversion.w_plus, inversion.crop, lambda *s: steps.append(s), previews.append,
         settings=FEW)  # fmt: skip
    assert steps == [(k + 1, 8) for k in range(8)]
    assert [p.size for p in previews] == [(32, 32), (32, 32)]


def test_it_stops_within_a_step():
    models = tiny_models()
    before, inversion, steps = state(models.generator), inverted(models), []

    def on_step(done, total):
        steps.append(done)
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        tune(models, inversion.w_plus, inversion.crop, on_step, settings=FEW)
    assert steps == [1, 2]
    assert unchanged(models.generator, before)


def test_two_at_once_do_not_mix():
    models = tiny_models()
    before = state(models.generator)
    inversions = [inverted(models, seed) for seed in (0, 1)]
    alone = [tune(models, i.w_plus, i.crop, settings=FEW) for i in inversions]
    together: list[Tuning | None] = [None, None]
    both = threading.Barrier(2)

    def work(index):
        inversion = inversions[index]
        together[index] = tune(
            models, inversion.w_plus, inversion.crop, lambda *_: both.wait(30), settings=FEW
        )

    threads = [threading.Thread(target=work, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, two in zip(alone, together, strict=True):
        for name, change in one.changes.items():
            torch.testing.assert_close(change, two.changes[name], rtol=0.1, atol=5e-3)
    assert any(not torch.equal(c, alone[1].changes[n]) for n, c in alone[0].changes.items())
    pictures = [tuned(models.generator, t)(inversions[0].w_plus) for t in together]
    assert not torch.equal(*pictures)
    assert unchanged(models.generator, before)


def test_each_step_takes_its_turn():
    models, held = tiny_models(), []
    lock = threading.Lock()
    inversion = inverted(models)
    tune(models, inversion.w_plus, inversion.crop, lambda *_: held.append(lock.locked()),
         settings=FEW, turn=lambda: lock)  # fmt: skip
    assert held == [False] * 8


def test_it_learns_under_no_grad():
    models = tiny_models()
    inversion = inverted(models)
    with torch.no_grad():
        tuning = tune(models, inversion.w_plus, inversion.crop, settings=FEW)
    assert any(change.any() for change in tuning.changes.values())


@pytest.mark.parametrize(
    ("first", "left_out"),
    [(4, ()), (8, ("conv1", "to_rgb1")), (32, ("convs.0", "convs.3", "to_rgbs.0", "to_rgbs.1"))],
)
def test_layers_below_the_first_resolution_stay(first, left_out):
    names = learnt_names(tiny_models().generator, first)
    assert ("conv1.conv.weight" in names) == (first == 4)
    assert {"convs.4.conv.weight", "convs.5.activate.bias", "to_rgbs.2.bias"} <= set(names)
    assert not any(name.startswith(left_out) for name in names if left_out)
    models = tiny_models()
    inversion = inverted(models)
    tuning = tune(models, inversion.w_plus, inversion.crop, settings=Settings(4, first))
    assert set(tuning.changes) == set(names)
    assert all(change.any() for change in tuning.changes.values())


@pytest.mark.parametrize("large", [8, 1024])
def test_learning_draws_what_the_generator_draws(monkeypatch, large):
    monkeypatch.setattr(learning, "LARGE", large)
    torch.manual_seed(0)
    net = Generator(32, 16, 1, channel_base=512, channel_max=16)
    for name, parameter in net.named_parameters():
        if name.endswith(("noise.weight", "bias")):
            parameter.data += 0.3 * torch.rand_like(parameter)
    w_plus = torch.randn(1, net.n_latent, 16)
    styles = net.styles(w_plus)
    torch.testing.assert_close(learning.draw(net, styles).image, net(w_plus), rtol=1e-4, atol=1e-4)
    begun = learning.draw(net, styles, until=16)
    assert begun.image.shape == (1, 3, 16, 16)
    image = learning.draw(net, styles, begun).image
    torch.testing.assert_close(image, net(w_plus), rtol=1e-4, atol=1e-4)
