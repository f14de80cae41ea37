"""The three methods of StyleCLIP on the tiny domain: the same contract as the Editor's, and their own limits."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.errors import UsageError
from clipinverter.methods.base import MethodError, Stopped, step_name, times
from clipinverter.methods.global_direction import GlobalDirection
from clipinverter.methods.latent_mapper import LatentMapper, load_mapper, slug, trained_prompts
from clipinverter.methods.latent_optimization import LatentOptimization, image_features, rate_factor
from clipinverter.methods.relevance import (
    covered_layers,
    load_relevance,
    save_relevance,
    save_statistics,
    style_widths,
)
from clipinverter.methods.settings import Settings, adjusted
from clipinverter.models.irse import ArcFace
from clipinverter.models.latent_mapper import LevelsMapper, SingleMapper, StyleSpaceMapper
from clipinverter.request import PromptError, StrengthError
from clipinverter.results import as_cached
from clipinverter.weights.files import CheckpointError, save_weights
from tests.tiny import DOMAIN, count_calls, picture, tiny_models

PROMPT = "a smiling woman"


@pytest.fixture
def editor() -> Editor:
    return Editor(tiny_models())


@pytest.fixture
def inversion(editor):
    return editor.invert(picture(), "none")


@pytest.fixture
def folder(tmp_path, editor):
    """Mapper and relevance of the tiny domain, with random numbers."""
    torch.manual_seed(1)
    save_weights(tmp_path / "mapper-a-smiling-woman.safetensors", LevelsMapper(32, 16).state_dict())
    generator = editor.models.generator
    widths = style_widths(generator)
    channels = sum(widths[i] for i in covered_layers(generator))
    save_relevance(tmp_path, torch.nn.functional.normalize(torch.randn(channels, 32)))
    spread = [torch.rand(width) for width in widths]
    save_statistics(tmp_path, spread, spread)
    return tmp_path


@pytest.fixture(params=["optimization", "mapper", "direction"])
def method(request, editor, folder):
    return {
        "optimization": lambda: LatentOptimization(editor.session, Settings(steps=4)),
        "mapper": lambda: LatentMapper(editor.session, folder),
        "direction": lambda: GlobalDirection(editor.session, folder),
    }[request.param]()


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_strength_zero_is_the_inversion_and_more_changes_more(method, inversion):
    before = pixels(inversion.image)
    edits = [method.edit(inversion, PROMPT, strength) for strength in (0, 0.5, 1)]
    changes = [np.abs(pixels(edit.image) - before).mean() for edit in edits]
    assert np.array_equal(pixels(edits[0].image), before)
    assert 0 < changes[1] < changes[2]
    assert all(edit.inversion is inversion and edit.prompt == PROMPT for edit in edits)


def test_another_strength_runs_the_generator_alone(method, editor, inversion):
    steps = []
    first = method.edit(inversion, f"  {PROMPT} ", 1, steps.append)
    assert "generator" in [stage.name for stage in first.ran]
    assert len(first.ran) > 1
    assert first.cached == ()
    assert steps[-1] == "generator"
    calls = count_calls(editor.models)
    second = method.edit(inversion, PROMPT, 0.5)
    assert [stage.name for stage in second.ran] == ["generator"]
    assert second.cached == tuple(s.name for s in first.ran if s.name != "generator")
    assert calls == {"generator": 1}
    third = method.edit(inversion, PROMPT, 1)
    assert np.array_equal(pixels(third.image), pixels(first.image))


def test_times_are_split_by_how_often_they_are_needed(method, inversion):
    first = times(method.edit(inversion, PROMPT))
    assert first.picture == pytest.approx(sum(stage.ms for stage in inversion.ran))
    assert first.prompt > 0
    assert first.strength > 0
    assert first.kept == ()
    known = dataclasses.replace(inversion, stages=as_cached(inversion.stages))
    again = times(method.edit(known, PROMPT, 0))
    assert again == (first.picture, first.prompt, None, ("picture", "prompt"))


def test_refusals_are_those_of_the_editor(method, inversion):
    with pytest.raises(PromptError):
        method.edit(inversion, " ")
    with pytest.raises(StrengthError):
        method.edit(inversion, PROMPT, 3)


def test_the_optimisation_approaches_the_prompt_and_can_stop_at_any_step(editor, inversion):
    method = LatentOptimization(editor.session, Settings(steps=30))
    text = editor.models.text_image.embed_text([PROMPT])

    def loss(residual: torch.Tensor) -> float:
        image = editor.models.generator(inversion.w_plus + 0.1 * residual)
        fit = torch.cosine_similarity(image_features(editor.models, image), text).item()
        return 1 - fit + 0.008 * (0.1 * residual).square().sum().item()

    def stopped_before(step: int) -> torch.Tensor:
        def on_step(name: str) -> None:
            if name == step_name(step, 30):
                raise Stopped

        return method.edit(inversion, PROMPT, on_step=on_step).residual

    losses = [loss(stopped_before(step)) for step in (2, 6, 11, 21)]
    assert losses[-1] < losses[0] - 0.1
    # A stopped run leaves nothing behind: the next one starts again.
    calls = count_calls(editor.models)
    previews = []
    last = method.edit(inversion, PROMPT, on_preview=previews.append)
    assert len(previews) == 30
    assert calls["generator"] >= 30
    assert loss(last.residual) < losses[0] - 0.1
    calls.clear()
    assert method.edit(inversion, PROMPT).ran == ()  # it is kept now
    assert not calls


@pytest.mark.parametrize("stop", [None, 4])
def test_the_last_latent_is_the_result_even_if_an_earlier_one_was_better(editor, inversion, stop):
    """As in the authors' run_optimization.py. A huge rate walks away from the optimum."""
    settings = Settings(steps=6, rate=50.0, l2=10.0)
    seen = []

    def on_step(name: str) -> None:
        if name == step_name(stop or 100, 6):
            raise Stopped

    method = LatentOptimization(editor.session, settings)
    edit = method.edit(inversion, PROMPT, on_step=on_step, on_preview=seen.append)
    assert len(seen) == (stop - 1 if stop else 6)
    assert np.array_equal(pixels(edit.image), pixels(seen[-1]))
    # Adam by hand, on the same loss.
    start = inversion.w_plus
    text = editor.models.text_image.embed_text([PROMPT])
    latent = start.clone().requires_grad_()
    adam = torch.optim.Adam([latent])
    losses = []
    for step in range(len(seen)):
        features = image_features(editor.models, editor.models.generator(latent))
        loss = 1 - torch.cosine_similarity(features, text).sum()
        loss = loss + 10.0 * (latent - start).square().sum()
        losses.append(loss.item())
        adam.param_groups[0]["lr"] = 50.0 * rate_factor(step / 6, 0.05, 0.25)
        adam.zero_grad()
        loss.backward()
        adam.step()
    torch.testing.assert_close(start + 0.1 * edit.residual, latent.detach(), rtol=1e-2, atol=0.1)
    assert losses[-1] > losses[0]


def test_settings_change_a_method_without_touching_it(editor, inversion):
    method = LatentOptimization(editor.session, Settings(steps=3))
    longer = method.with_settings(Settings(steps=5))
    previews = []
    first = method.edit(inversion, PROMPT)
    second = longer.edit(inversion, PROMPT, on_preview=previews.append)
    assert len(previews) == 5
    assert not torch.equal(first.residual, second.residual)
    assert method.edit(inversion, PROMPT).ran == ()  # both are kept
    assert longer.edit(inversion, PROMPT).ran == ()


def test_the_identity_network_counts_where_there_is_one(editor, inversion):
    free = LatentOptimization(editor.session, Settings(steps=12)).edit(inversion, PROMPT)
    network = ArcFace((16, 16, 16, 16), (1, 1, 1, 1), 8).eval().requires_grad_(False)
    object.__getattribute__(editor.models, "__dict__")["identity"] = network
    bound = LatentOptimization(editor.session, Settings(steps=12, identity=100)).edit(
        inversion, PROMPT
    )
    assert bound.residual.norm() < free.residual.norm()


def test_the_rate_warms_up_and_ramps_down():
    rates = [rate_factor(i / 100, 0.05, 0.25) for i in range(101)]
    assert rates[0] == 0
    assert rates[5:76] == [1] * 71
    assert rates[100] == 0
    assert rates[:6] == sorted(rates[:6])
    assert rates[75:] == sorted(rates[75:], reverse=True)


def test_a_prompt_without_a_mapper_is_told_those_there_are(editor, inversion, folder, tmp_path):
    method = LatentMapper(editor.session, folder)
    with pytest.raises(MethodError) as refusal:
        method.edit(inversion, "a bald man; rm -rf")
    assert "No mapper is trained for this prompt" in str(refusal.value)
    assert "mappers for: a smiling woman." in str(refusal.value)
    assert 'train-mapper "a bald man rm rf" --domain tiny' in str(refusal.value)
    with pytest.raises(MethodError, match="none yet"):
        LatentMapper(editor.session, tmp_path / "nothing").edit(inversion, "x" * 1999)
    method.edit(inversion, "A smiling  woman!")  # the same words


def test_a_mapper_that_is_trained_anew_is_read_anew(editor, inversion, folder):
    method = LatentMapper(editor.session, folder)
    before = method.edit(inversion, PROMPT)
    path = folder / "mapper-a-smiling-woman.safetensors"
    save_weights(path, SingleMapper(32).state_dict())
    assert not torch.equal(method.edit(inversion, PROMPT).residual, before.residual)


def test_official_files_load(editor, inversion, tmp_path):
    """The authors' layout: the decoder beside the mapper is ignored."""
    widths = {i: w for i, w in enumerate(style_widths(editor.models.generator)) if i % 3 != 1}
    for name, network in {"one": LevelsMapper(32), "two": StyleSpaceMapper(widths)}.items():
        state = {f"mapper.{key}": x for key, x in network.state_dict().items()}
        content = {"state_dict": state | {"decoder.x": torch.ones(1)}, "opts": {}}
        torch.save(content, tmp_path / f"mapper-{name}.pt")
        edit = LatentMapper(editor.session, tmp_path).edit(inversion, name)
        assert not np.array_equal(pixels(edit.image), pixels(inversion.image))
        assert (edit.residual is None) == (name == "two")


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"x": torch.ones(1)}, "not the weights"),
        (SingleMapper(8).state_dict() | {"more": torch.ones(1)}, "not the weights"),
        (SingleMapper(8).state_dict(), "another one"),
    ],
)
def test_files_that_do_not_fit_are_named(editor, inversion, tmp_path, weights, sentence):
    save_weights(tmp_path / "mapper-x.safetensors", weights)
    with pytest.raises(CheckpointError, match=sentence) as refusal:
        LatentMapper(editor.session, tmp_path).edit(inversion, "x")
    assert "mapper-x.safetensors" in str(refusal.value)


def test_names_of_mappers(tmp_path):
    assert slug("A Café, with *you*!") == "a-café-with-you"
    for name in ("mapper-b-c.pt", "mapper-a.safetensors", "mapper-z.part", "relevance.safetensors"):
        (tmp_path / name).touch()
    assert list(trained_prompts(tmp_path)) == ["a", "b c"]
    with pytest.raises(CheckpointError, match="empty"):
        load_mapper(tmp_path / "mapper-a.safetensors")


def test_a_direction_is_the_same_for_all_pictures_and_found_once(editor, inversion, folder):
    method = GlobalDirection(editor.session, folder)
    method.edit(inversion, PROMPT)
    calls = count_calls(editor.models)
    edit = method.edit(editor.invert(picture(5), "none"), PROMPT)
    assert "text" not in calls
    assert set(edit.cached) == {"text", "channels"}
    assert edit.residual is None


def test_steering(editor, inversion, folder):
    method = GlobalDirection(editor.session, folder)

    def steer(alpha, beta=None, target="face with glasses"):
        given = {"neutral": "face", "target": target, "alpha": alpha, "beta": beta}
        steered = method.with_settings(adjusted(method.settings, given))
        return pixels(steered.edit(inversion, PROMPT).image)

    assert np.array_equal(steer(0), pixels(inversion.image))
    assert not np.array_equal(steer(5), steer(-5))
    assert not np.array_equal(steer(5, 0.1), steer(5, 0.5))
    assert np.array_equal(steer(5, 1.0), pixels(inversion.image))  # nothing agrees that much
    assert np.array_equal(steer(10, target="face"), pixels(inversion.image))
    # Without a target the prompt is one, without its article.
    plain = method.with_settings(adjusted(method.settings, {"target": "", "alpha": 5}))
    assert np.array_equal(
        pixels(plain.edit(inversion, "a bald man").image), steer(5, target="bald man")
    )


@pytest.mark.parametrize(
    "given",
    [
        {"alpha": 11},
        {"alpha": float("nan")},
        {"alpha": "5"},
        {"alpha": True},
        {"beta": -0.1},
        {"steps": 2.5},
        {"steps": 0},
        {"steps": 10**400},
        {"l2": -1},
        {"identity": float("inf")},
        {"rate": 1},
        {"neutral": 7},
        ["alpha"],
        "alpha",
        '["alpha"]',
    ],
)
def test_settings_that_make_no_sense_are_refused(given):
    with pytest.raises(UsageError) as refusal:
        adjusted(Settings(), given)
    assert str(refusal.value)[-1] in '."' or "woman" in str(refusal.value)


def test_settings_of_a_request():
    own = Settings(steps=7)
    assert adjusted(own, '{"steps": 9, "target": ""}') == Settings(steps=9)
    assert adjusted(own, {}) == adjusted(own, {"alpha": None, "target": ""}) == own
    given = {"neutral": " a  face", "beta": 0, "steps": 5.0, "l2": 0.1, "identity": 1}
    found = adjusted(own, given)
    assert (found.neutral, found.beta, found.steps) == ("a face", 0.0, 5)
    assert isinstance(found.steps, int)
    assert (found.l2, found.identity, found.alpha) == (0.1, 1.0, own.alpha)


def test_the_authors_values():
    """Of github.com/orpatashnik/StyleCLIP, by file."""
    s = Settings()
    # optimization/run_optimization.py: step, lr, rampup, rampdown, l2_lambda; README: id_lambda.
    assert (s.steps, s.rate, s.warm_up, s.ramp_down) == (300, 0.1, 0.05, 0.25)
    assert (s.l2, s.identity) == (0.008, 0.005)
    # StyleCLIP_global.ipynb
    assert (s.neutral, s.alpha, s.least) == ("face", 4.1, 20)
    # global_torch/SingleChannel.py: num_img, num_images, alpha, layers up to 128 px
    assert (s.style_samples, s.relevance_people, s.relevance_step) == (100_000, 100, 5.0)
    assert (s.relevance_layers, s.relevance_size) == (128, None)
    # mapper/options/train_options.py: clip_lambda, latent_l2_lambda, id_lambda, max_steps, batch_size, learning_rate,
    # train_dataset_size
    assert (s.mapper_clip, s.mapper_l2, s.mapper_identity) == (1.0, 0.8, 0.1)
    assert (s.mapper_steps, s.mapper_batch, s.mapper_rate) == (50_000, 2, 0.5)
    assert (s.mapper_people, s.mapper_floor, s.mapper_hidden, s.mapper_size) == (
        5000,
        1,
        None,
        None,
    )


def test_missing_and_wrong_relevance_names_the_command(editor, inversion, folder, tmp_path):
    with pytest.raises(MethodError, match=r"clipinverter\.training\.styleclip relevance"):
        GlobalDirection(editor.session, tmp_path / "nothing").edit(inversion, PROMPT)
    generator = editor.models.generator
    with pytest.raises(CheckpointError, match="32 numbers a channel"):
        load_relevance(folder, generator, dataclasses.replace(DOMAIN, text_dim=512))
    save_relevance(folder, torch.ones(7, 32))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_relevance(folder, generator, DOMAIN)


def test_the_authors_relevance_loads_and_pickles_do_not(editor, inversion, folder):
    generator = editor.models.generator
    ours = load_relevance(folder, generator, DOMAIN)
    np.save(folder / "fs3.npy", ours.vectors.double().numpy())
    theirs = load_relevance(folder, generator, DOMAIN)
    assert torch.equal(theirs.vectors, ours.vectors)
    np.save(folder / "fs3.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(CheckpointError, match="not a plain array"):
        load_relevance(folder, generator, DOMAIN)


def test_relevance_covers_the_authors_layers():
    from clipinverter.models.stylegan2 import Generator

    with torch.device("meta"):
        large, small = Generator(1024), Generator(32)
    assert covered_layers(large)[-1] == 15
    assert len(covered_layers(small)) == 1 + len(small.convs)
    assert DOMAIN.image_size == 32
