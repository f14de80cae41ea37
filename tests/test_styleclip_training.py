"""Making mappers and relevance: tiny runs of the real commands."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from clipinverter import domains
from clipinverter.domains import Domain
from clipinverter.editor import Editor
from clipinverter.methods import relevance, settings
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
from clipinverter.training.styleclip.__main__ import main
from clipinverter.weights import files, load
from clipinverter.weights.load import Models
from tests.tiny import DOMAIN, picture, tiny_models


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
    monkeypatch.setattr(latent_mapper, "LATENTS", 8)
    monkeypatch.setattr(relevance, "SAMPLES", 256)
    monkeypatch.chdir(tmp_path)
    return models


def test_a_mapper_from_the_command_to_an_edit(models, capsys, monkeypatch):
    own = Settings(mapper_hidden=16, mapper_prompts=("a bald man", "a smiling woman"))
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
        latents = latent_mapper.inversions(models, tmp_path / "run", 8)
        text = models.text_image.embed_text(["a bald man"])
        move = SCALE * network(latents)
        return latent_mapper.objective(models, Settings(), latents, move, text)[0].item()

    target, run = tmp_path / "out", tmp_path / "run"
    short = load_mapper(latent_mapper.train_mapper(models, "a bald man", target, run / "a", 1))
    long = load_mapper(latent_mapper.train_mapper(models, "a bald man", target, run / "b", 16))
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
            latent_mapper.train_mapper(models, "a bald man", target, run / "c", 16)
    resumed = torch.load(next((run / "c").rglob("mapper-*.pt")), weights_only=True)
    assert resumed["step"] == 10
    again = load_mapper(latent_mapper.train_mapper(models, "a bald man", target, run / "c", 16))
    pairs = zip(again.parameters(), long.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


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
    assert main(["relevance", "--images", "2"]) == 0
    generator = models.generator
    found = load_relevance(models.domain.folder / "styleclip", generator, DOMAIN)
    widths = style_widths(generator)
    assert found.vectors.shape == (sum(widths[i] for i in covered_layers(generator)), 32)
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(1), atol=1e-2)
    # One channel by hand.
    z = torch.randn(2, generator.style_dim, generator=torch.Generator().manual_seed(1))
    w_plus = generator.mapping(z)[:, None].expand(-1, generator.n_latent, -1)
    pictures = []
    for sign in (-5, 5):
        styles = generator.styles(w_plus)
        styles[2][:, 3] += sign * found.spread[2][3]
        pictures.append(models.text_image.embed_image(generator.render(styles))[None])
    row = found.vectors[widths[0] + 3]
    assert torch.allclose(channel_relevance(*pictures)[0], row, atol=2e-3)

    editor = Editor(models)
    inversion = editor.invert(picture(), "none")
    edit = GlobalDirection(editor.session).edit(inversion, "a bald man")
    assert not np.array_equal(np.asarray(edit.image), np.asarray(inversion.image))


def test_measuring_goes_on_after_the_last_layer(models, tmp_path, monkeypatch):
    measured = []
    original = relevance.layer_relevance

    def fails_once(models, people, layer, spread):
        measured.append(layer)
        if len(measured) == 3:
            raise RuntimeError("killed")
        return original(models, people, layer, spread)

    monkeypatch.setattr(relevance, "layer_relevance", fails_once)
    with pytest.raises(RuntimeError, match="killed"):
        relevance.measure(models, tmp_path / "out", tmp_path / "run", 2)
    relevance.measure(models, tmp_path / "out", tmp_path / "run", 2)
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
    mean, spread = relevance.statistics(generator, 4096)
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
