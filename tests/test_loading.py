"""Building the networks of a domain from its files."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from clipinverter import domains
from clipinverter.domains import DOMAINS, get_domain
from clipinverter.editor import Editor
from clipinverter.models import clip
from clipinverter.weights import files, published
from clipinverter.weights.build import build_networks
from clipinverter.weights.files import CheckpointError
from clipinverter.weights.load import load_models
from tests.tiny import DOMAIN, picture

PARTS = ("generator", "encoder", "adapter", "clip")


@pytest.fixture
def domain(tmp_path, monkeypatch):
    """A tiny domain, with the real text-image model, whose files lie in a temporary folder."""
    monkeypatch.setattr(domains, "ROOT", tmp_path)
    torch.manual_seed(0)
    domain = dataclasses.replace(DOMAIN, text_image="portraits", text_dim=256)
    generator, encoder, adapter = build_networks(domain)
    weights = {
        "generator": generator.state_dict(),
        "encoder": encoder.state_dict()
        | {"latent_avg": torch.randn(generator.n_latent, domain.style_dim)},
        "adapter": adapter.state_dict(),
        "clip": clip.build(clip.SMALL).model.state_dict(),
    }
    digests = {
        f"{part}.safetensors": files.save_weights(
            domain.folder / f"{part}.safetensors", weights[part]
        )
        for part in PARTS
    }
    return dataclasses.replace(domain, files=digests)


def test_a_domain_from_its_files_edits(domain):
    models = load_models(domain, "cpu")
    networks = (models.generator, models.encoder, models.adapter, models.text_image.model)
    assert not any(network.training for network in networks)
    editor = Editor(models)
    inversion = editor.invert(picture(), align="none")
    edit = editor.edit(inversion, "a smiling woman with red hair")
    assert edit.image.size == (32, 32)
    assert edit.image.tobytes() != inversion.image.tobytes()
    assert not edit.truncated
    assert editor.edit(inversion, "a smiling woman " * 20).truncated
    again = Editor(load_models(domain, "cpu"))
    repeated = again.edit(again.invert(picture(), align="none"), "a smiling woman with red hair")
    assert repeated.image.tobytes() == edit.image.tobytes()


def test_a_start_maps_the_needed_parts_and_unpickles_nothing(domain, monkeypatch):
    read = []
    load_weights = files.load_weights

    def recorded(path, *digest):
        read.append(path.stem)
        return load_weights(path, *digest)

    monkeypatch.setattr("clipinverter.weights.folder.load_weights", recorded)
    monkeypatch.setattr(published, "_read", lambda path: pytest.fail(f"{path} is unpickled"))
    (domain.folder / "identity.safetensors").write_bytes(b"damaged, and nobody asks for it")
    models = load_models(domain, "cpu")
    photos_need = ["adapter", "encoder", "generator"]
    assert sorted(read) == photos_need
    Editor(models).invert(picture(), align="none")
    assert sorted(read) == photos_need
    assert models.text_image is models.text_image
    assert sorted(read) == sorted(PARTS)
    with pytest.raises(CheckpointError):
        models.identity  # noqa: B018


def test_models_are_built_without_the_compiler():
    """torch._dynamo takes longer to import than all weights to map."""
    code = (
        "import sys, torch; from clipinverter.domains import get_domain; "
        "from clipinverter.weights.build import build_networks; torch.set_default_device('meta'); "
        "build_networks(get_domain('faces')); sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_damaged_text_image_model_is_refused_with_the_first_prompt(domain):
    (domain.folder / "clip.safetensors").write_bytes(b"damaged")
    editor = Editor(load_models(domain, "cpu"))
    inversion = editor.invert(picture(), align="none")
    with pytest.raises(CheckpointError, match="damaged"):
        editor.edit(inversion, "a smiling woman")


def test_missing_files_are_named(domain):
    (domain.folder / "adapter.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"checkpoints/tiny lacks adapter\.safetensors\."):
        load_models(domain, "cpu")


def test_files_to_be_downloaded_say_how(domain):
    with pytest.raises(CheckpointError, match="Run `python -m clipinverter download faces`"):
        load_models(dataclasses.replace(domain, name="faces"), "cpu")


def test_another_file_than_the_expected_one_is_refused(domain):
    path = domain.folder / "adapter.safetensors"
    changed = {key: value + 1 for key, value in files.load_weights(path).items()}
    files.save_weights(path, changed)
    with pytest.raises(CheckpointError, match="not the expected file"):
        load_models(domain, "cpu")


def test_weights_of_other_sizes_are_refused(domain):
    larger = dataclasses.replace(domain, head_width=64)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_models(larger, "cpu")


def test_serving_imports_nothing_of_the_training():
    code = (
        "import sys, clipinverter.ui.demo, clipinverter.editor, clipinverter.methods.comparison\n"
        "print([name for name in sys.modules if name.startswith('clipinverter.training')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_registry():
    assert set(DOMAINS) == {"portraits", "faces"}
    assert get_domain("portraits") is DOMAINS["portraits"]
    with pytest.raises(ValueError, match="there are: portraits, faces"):
        get_domain("dogs")
    for domain in DOMAINS.values():
        assert domain.suggestions
        assert {f"{part}.safetensors" for part in PARTS} <= set(domain.files)
