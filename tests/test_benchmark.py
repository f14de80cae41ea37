"""The benchmark: that it measures the same edit in two ways, and what it reports."""

import dataclasses
import json
import sys

import pytest
import torch

from clipinverter import domains
from clipinverter.domains import get_domain
from clipinverter.evaluation import __main__ as command
from clipinverter.evaluation import benchmark, plain
from clipinverter.photo.tensors import to_tensor
from clipinverter.weights.load import serve_in
from tests.tiny import DOMAIN, count_calls, picture, tiny_models

OWN_TEXT = dataclasses.replace(DOMAIN, text_image="portraits", text_dim=256)


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_the_plain_way_is_the_same_edit(batch):
    models = benchmark.random_models(OWN_TEXT)
    images = torch.cat([to_tensor(picture(seed)) for seed in range(batch)])
    text = models.text_image.embed_text(["a smiling woman"])
    features = models.encoder.trunk_features(images)
    w_plus = models.encoder.heads(*features) + models.latent_avg
    residual = models.encoder.heads(*models.adapter(features, text))
    expected = models.generator(w_plus + 0.05 * residual, models.generator.remap_vectors(text), 0.5)
    edited = plain.edit(models, images, "a smiling woman", 0.5)
    torch.testing.assert_close(edited, expected, rtol=1e-3, atol=1e-4)


def test_figures_of_the_tiny_model():
    plainly, served = tiny_models(), tiny_models()
    serve_in(torch.bfloat16, served.generator, served.encoder, served.adapter)
    calls = count_calls(served)
    figures = benchmark.measure(plainly, served, repeats=2)
    assert tuple(figures) == benchmark.COLUMNS[:-1]
    assert all(value > 0 for value in figures.values())
    ratio = figures["plain_ms"] / figures["slider_ms"]
    assert figures["ratio_slider"] == pytest.approx(ratio, rel=0.01)
    assert 35 < figures["psnr_db"] < 80, "bfloat16 differs, and not by much"
    # Three turns: a new picture with a prompt, another prompt, another strength.
    assert calls["trunk"] == 3
    assert calls["adapter"] == 6
    assert calls["generator"] == 12


def test_learning_a_photo_comes_as_near_as_the_plain_way(monkeypatch):
    figures = benchmark.learn(tiny_models(), picture(3, (64, 64)), turns=1)
    assert figures["ratio"] == pytest.approx(figures["plain_s"] / figures["tuning_s"], rel=0.2)
    assert 0 < figures["tuning_l1"] < 1.3 * figures["plain_l1"]


def test_the_same_precision_gives_the_same_picture():
    assert benchmark.measure(tiny_models(), tiny_models(), repeats=1)["psnr_db"] > 55


def test_random_models_are_repeatable_and_have_the_contrast_of_photographs():
    first, second = (benchmark.random_models(OWN_TEXT) for _ in range(2))
    for a, b in zip(first.generator.parameters(), second.generator.parameters(), strict=True):
        assert torch.equal(a, b)
    image = first.generator(first.latent_avg[None])
    assert image.std().item() == pytest.approx(benchmark.CONTRAST, rel=0.2)


def test_the_command_reports_every_precision(monkeypatch, tmp_path, capsys):
    """Where the files are missing it says that the weights are random."""
    figures = dict.fromkeys(benchmark.COLUMNS[:-1], 2.5)
    monkeypatch.setattr(domains, "ROOT", tmp_path)
    monkeypatch.setattr(benchmark, "computes_in_bfloat16", lambda: True)
    asked = []

    def alone(function, *arguments):
        asked.append(arguments)
        return 900 if function is benchmark._peak else figures

    monkeypatch.setattr(benchmark, "_alone", alone)
    file = tmp_path / "bench.json"
    monkeypatch.setattr(sys, "argv", ["evaluation", "bench", "--json", str(file)])
    command.main()
    report = json.loads(file.read_text())
    assert report["domain"] == get_domain("faces").name
    assert report["weights"] == "random"
    for precision in ("float32", "bfloat16"):
        assert report[precision] == figures | {"peak_mib": 900}
        assert ("faces", precision) in asked
    printed = capsys.readouterr().out
    assert "random weights" in printed
    assert "| peak_mib | 900 | 900 |" in printed
    monkeypatch.setattr(sys, "argv", ["evaluation", "bench", "--domain", "dogs"])
    with pytest.raises(SystemExit, match="no domain 'dogs'"):
        command.main()
