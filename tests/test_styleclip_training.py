"""Making mappers and relevance: tiny runs of the real commands."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from clipinverter import domains
from clipinverter.domains import Domain
from clipinverter.editor import Editor
from clipinverter.methods import settings
from clipinverter.methods.global_direction import GlobalDirection
from clipinverter.methods.latent_mapper import LatentMapper, load_mapper
from clipinverter.methods.relevance import (
    channel_relevance,
    covered_layers,
    load_relevance,
    style_widths,
)
from clipinverter.methods.settings import Settings
from clipinverter.models import irse
from clipinverter.models.irse import ArcFace
from clipinverter.models.latent_mapper import SCALE
from clipinverter.training.styleclip import latent_mapper
from clipinverter.training.styleclip import relevance as measuring
from clipinverter.training.styleclip.__main__ import main
from clipinverter.weights import files, load
from clipinverter.weights.load import Models
from tests.tiny import DOMAIN, picture, tiny_models

OWN = Settings(mapper_people=8)


@dataclasses.dataclass(frozen=True)
class Elsewhere(Domain):
    """A domain whose weights lie somewhere else."""

    place: object = None

    @property
    def folder(self):
        return self.place


@pytest.fixture
def models(tmp_path, monkeypatch) -> Models:
    """Tiny models that the commands find, in a folder of their own."""
    fields = {f.name: getattr(DOMAIN, f.name) for f in dataclasses.fields(DOMAIN)}
    domain = Elsewhere(**fields, place=tmp_path / "weights")
    models = dataclasses.replace(tiny_models(), domain=domain)
    monkeypatch.setattr(domains, "get_domain", lambda name: domain)
    monkeypatch.setattr(load, "load_models", lambda domain: models)
    own = Settings(mapper_people=8, style_samples=2000)
    monkeypatch.setattr(latent_mapper, "settings_of", lambda domain: own)
    monkeypatch.setattr(settings, "settings_of", lambda domain: own)
    monkeypatch.chdir(tmp_path)
    return models


def test_a_mapper_from_the_command_to_an_edit(models, capsys, monkeypatch):
    own = Settings(
        mapper_hidden=16, mapper_people=8, mapper_prompts=("a bald man", "a smiling woman")
    )
    monkeypatch.setattr(latent_mapper, "settings_of", lambda domain: own)
    monkeypatch.setattr(settings, "settings_of", lambda domain: own)
    assert main(["train-mapper", "--steps", "3"]) == 0
    names = sorted(path.name for path in (models.domain.folder / "styleclip").iterdir())
    assert names == ["mapper-a-bald-man.safetensors", "mapper-a-smiling-woman.safetensors"]
    assert "mapper-a-bald-man" in capsys.readouterr().out
    editor = Editor(models)
    inversion = editor.invert(picture(), "none")
    edit = LatentMapper(editor.session).edit(inversion, "a bald man")
    assert not np.array_equal(np.asarray(edit.image), np.asarray(inversion.image))


def test_training_lowers_the_loss_and_resumes(models, tmp_path):
    def loss(network) -> float:
        people = latent_mapper.inverted_people(models, tmp_path / "run", OWN)
        text = models.text_image.embed_text(["a bald man"])
        moves = SCALE * network(people.w_plus)[None]
        return latent_mapper.objective(models, OWN, people.w_plus, moves, None, text)[0].item()

    def train(name, steps):
        (path,) = latent_mapper.train_mappers(models, ["a bald man"], target, run / name, steps)
        return load_mapper(path)

    target, run = tmp_path / "out", tmp_path / "run"
    short, long = train("a", 1), train("b", 16)
    assert loss(long) < loss(short)

    killed = RuntimeError("killed")
    objective, count = latent_mapper.objective, iter(range(100))

    def fails(*args):
        if next(count) == 10:
            raise killed
        return objective(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_mapper, "objective", fails)
        patch.setattr(latent_mapper, "run", partial(latent_mapper.run, save_every=0.0))
        with pytest.raises(RuntimeError, match="killed"):
            train("c", 16)
    resumed = torch.load(next((run / "c").rglob("mappers-*.pt")), weights_only=True)
    assert resumed["step"] == 10
    pairs = zip(train("c", 16).parameters(), long.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_mappers_that_learn_together_become_what_each_becomes_alone(models, tmp_path):
    prompts = ["a bald man", "a smiling woman"]
    together = latent_mapper.train_mappers(models, prompts, tmp_path / "two", tmp_path / "a", 8)
    for prompt, path in zip(prompts, together, strict=True):
        (alone,) = latent_mapper.train_mappers(
            models, [prompt], tmp_path / "one", tmp_path / "b", 8
        )
        assert alone.name == path.name
        pairs = zip(*(load_mapper(p).parameters() for p in (alone, path)), strict=True)
        for one, other in pairs:
            torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-2)


def test_mappers_keep_the_person_where_there_is_an_identity_network(models, tmp_path):
    network = ArcFace((16, 16, 16, 16), (1, 1, 1, 1), 8).eval().requires_grad_(False)
    models.__dict__["identity"] = network
    people = latent_mapper.inverted_people(models, tmp_path, OWN)
    assert people.person.shape == (8, 8)
    again = latent_mapper.inverted_people(models, tmp_path, OWN)  # from the file
    assert torch.equal(again.person, people.person)
    text = models.text_image.embed_text(["a bald man"])
    still = torch.zeros(1, *people.w_plus.shape)
    _, parts = latent_mapper.objective(models, OWN, people.w_plus, still, people.person, text)
    assert parts["identity"] == pytest.approx(0, abs=1e-3)
    assert parts["l2"] == 0
    moves = torch.randn_like(still)
    _, parts = latent_mapper.objective(models, OWN, people.w_plus, moves, people.person, text)
    assert parts["identity"] > 1e-3
    assert parts["l2"] == pytest.approx(0.8 * moves.square().mean().item(), rel=1e-4)


def test_the_shipped_mappers_fit_their_bound(tmp_path):
    """Eight of them, at the domain's sizes, in at most 6 MiB."""
    from clipinverter.domains import PORTRAITS
    from clipinverter.models.latent_mapper import LevelsMapper

    own = settings.settings_of(PORTRAITS)
    path = tmp_path / "one.safetensors"
    network = LevelsMapper(PORTRAITS.style_dim, own.mapper_hidden)
    files.save_weights(path, network.state_dict())
    assert len(own.mapper_prompts) >= 8
    assert path.stat().st_size * len(own.mapper_prompts) <= 6 * 2**20


def test_relevance_from_the_command_to_an_edit(models):
    assert main(["relevance", "--people", "2"]) == 0
    generator = models.generator
    found = load_relevance(models.domain.folder / "styleclip", generator, DOMAIN)
    widths = style_widths(generator)
    assert found.vectors.shape == (sum(widths[i] for i in covered_layers(generator)), 32)
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(1), atol=1e-2)
    # One channel by hand.
    z = torch.randn(2, generator.style_dim, generator=torch.Generator().manual_seed(1))
    w_plus = generator.mapping(z)[:, None].expand(-1, generator.n_latent, -1)
    pictures = []
    mean, _ = measuring.statistics(generator, 2000)
    for sign in (-5, 5):
        styles = generator.styles(w_plus)
        styles[2][:, 3] = mean[2][3] + sign * found.spread[2][3]
        pictures.append(models.text_image.embed_image(generator.render(styles))[None])
    row = found.vectors[widths[0] + 3]
    # Measured in bfloat16 where the CPU has it.
    assert torch.allclose(channel_relevance(*pictures)[0], row, atol=1e-2)

    editor = Editor(models)
    inversion = editor.invert(picture(), "none")
    edit = GlobalDirection(editor.session).edit(inversion, "a bald man")
    assert not np.array_equal(np.asarray(edit.image), np.asarray(inversion.image))


def test_measuring_goes_on_after_the_last_layer(models, tmp_path, monkeypatch):
    measured, two = [], Settings(relevance_people=2, style_samples=1000)
    original = measuring.layer_relevance

    def fails_once(models, people, layer, *arguments):
        measured.append(layer)
        if len(measured) == 3:
            raise RuntimeError("killed")
        return original(models, people, layer, *arguments)

    monkeypatch.setattr(measuring, "layer_relevance", fails_once)
    with pytest.raises(RuntimeError, match="killed"):
        measuring.measure(models, tmp_path / "out", tmp_path / "run", two)
    measuring.measure(models, tmp_path / "out", tmp_path / "run", two)
    layers = list(covered_layers(models.generator))
    assert measured == [*layers[:3], *layers[2:]]


def test_beside_the_authors_relevance_only_statistics_are_measured(models):
    folder = models.domain.folder / "styleclip"
    folder.mkdir(parents=True)
    (folder / "fs3.npy").touch()
    assert main(["relevance"]) == 0
    assert sorted(p.name for p in folder.iterdir()) == ["fs3.npy", "statistics.safetensors"]


def test_the_statistics_are_those_of_the_styles(models):
    generator = models.generator
    mean, spread = measuring.statistics(generator, 4096)
    w = generator.mapping(torch.randn(4096, generator.style_dim))
    styles = generator.styles(w[:, None].expand(-1, generator.n_latent, -1))
    for style, m, s in zip(styles, mean, spread, strict=True):
        assert torch.allclose(style.mean(dim=0), m, atol=0.1)
        assert torch.allclose(style.std(dim=0), s, rtol=0.1)


def test_an_unknown_domain_and_an_empty_prompt_are_one_line(models, capsys, monkeypatch):
    assert main(["train-mapper", " "]) == 1
    monkeypatch.undo()
    assert main(["relevance", "--domain", "dogs"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(line.startswith("error: ") for line in errors)


def test_the_identity_network_is_read_where_there_is_one(tmp_path):
    fields = {f.name: getattr(DOMAIN, f.name) for f in dataclasses.fields(DOMAIN)}
    domain = Elsewhere(**fields | {"text_image": "portraits"}, place=tmp_path)

    def identity() -> ArcFace | None:
        return dataclasses.replace(tiny_models(), domain=domain).identity

    assert identity() is None

    network = ArcFace(**irse.SMALL)
    files.save_weights(tmp_path / "identity.safetensors", network.state_dict())
    loaded = identity()
    assert not loaded.training
    weight = network.state_dict()["output_layer.3.weight"]
    assert torch.allclose(loaded.state_dict()["output_layer.3.weight"], weight, atol=1e-3)
    (tmp_path / "identity.safetensors").write_bytes(b"broken")
    with pytest.raises(files.CheckpointError):
        identity()
