"""Measuring the four methods against each other, with a judge and networks that are known."""

import json

import pytest
import torch
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.evaluation import compare, editing, metrics
from clipinverter.methods import latent_optimization
from clipinverter.methods.settings import PORTRAITS, Settings
from clipinverter.portraits.judge import Judge
from clipinverter.portraits.scene import ATTRIBUTES, Scene
from clipinverter.results import Edit, Stage
from tests.tiny import tiny_models

PROMPTS = {"a smiling face": ("smiling",), "an old person with gray hair": ("old", "gray hair")}


@pytest.fixture(scope="module")
def held():
    return [metrics.Held(Scene.from_seed(s), torch.rand(3, 32, 32) * 2 - 1) for s in range(5)]


@pytest.fixture
def report(held, monkeypatch):
    monkeypatch.setattr(latent_optimization, "settings_of", lambda domain: Settings(steps=3))
    monkeypatch.setattr(compare, "picture", lambda scene, size: torch.zeros(3, size, size))
    torch.manual_seed(0)
    return compare.compare(Editor(tiny_models()), Judge().eval(), held, PROMPTS, lambda line: None)


def test_the_report(report, held):
    methods = report["methods"]
    assert list(methods) == [
        "clipinverter", "mapper", "direction", "optimization", "adapter", "remapper"
    ]  # fmt: skip
    for name in ("clipinverter", "optimization"):
        row = methods[name]
        assert row["available"] == 2
        assert set(compare.COLUMNS) < set(row)
        assert row["median_ms"] > 0
        for column in ("target", "others_kept", "clip_gain_share"):
            assert 0 <= row[column] <= 1
    for part in ("adapter", "remapper"):
        assert (
            methods[part]["counterfactual_ratio"] != methods["clipinverter"]["counterfactual_ratio"]
        )
    assert methods["mapper"]["available"] == 0
    assert methods["mapper"]["target"] is None
    wanted = [len(editing.wanting(held, names, 9)) for names in PROMPTS.values()]
    assert [rows["clipinverter"]["portraits"] for rows in report["prompts"].values()] == wanted
    json.dumps(report)
    lines = compare.table(report).splitlines()
    assert len(lines) == 10
    assert lines[3] == "| StyleCLIP mapper | 0 |" + " – |" * len(compare.COLUMNS)
    assert lines[-1] == "No method was trained with true edits."  # these are not the portraits
    assert compare.table(report | {"domain": "portraits"}).splitlines()[-1] == (
        "Trained with the renderer's true edits: CLIPInverter; CLIPInverter, adapter only; CLIPInverter, remapper "
        "only. The others know CLIP alone."
    )


class Known:
    """A method that draws the same gray for everybody, or nothing new at all."""

    def __init__(self, gray: bool) -> None:
        self.gray = gray

    def edit(self, inversion, prompt):
        image = Image.new("RGB", (32, 32), (127,) * 3) if self.gray else inversion.image
        stages = (Stage("text", 30.0), Stage("generator", 10.0))
        return Edit(image, None, 1.0, prompt, False, stages, inversion)


def test_the_truth_scores_best_and_doing_nothing_changes_nothing(held, monkeypatch):
    methods = {"truth": Known(True), "nothing": Known(False)}
    monkeypatch.setattr(compare, "all_methods", lambda editor: methods)
    monkeypatch.setattr(compare, "picture", lambda scene, size: torch.zeros(3, size, size))
    report = compare.compare(
        Editor(tiny_models()), Judge().eval(), held, PROMPTS, lambda line: None
    )
    truth, nothing = report["methods"].values()
    assert truth["counterfactual_ratio"] < 0.05
    assert nothing["counterfactual_ratio"] == pytest.approx(1)
    assert (nothing["others_kept"], nothing["identity"]) == pytest.approx((1, 1))
    assert nothing["clip_gain_share"] == nothing["clip_gain"] == 0
    assert nothing["same_person"] == 1
    assert truth["median_ms"] == nothing["median_ms"] == 40


def test_the_prompts_are_those_that_were_agreed():
    assert tuple(compare.PROMPTS)[:8] == PORTRAITS.mapper_prompts
    several = [names for names in compare.PROMPTS.values() if len(names) > 1]
    assert len(several) == 4
    assert {name for names in compare.PROMPTS.values() for name in names} <= set(ATTRIBUTES)
