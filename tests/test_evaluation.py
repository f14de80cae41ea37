"""The evaluation: what it counts, with a judge and networks that are known."""

import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.evaluation import __main__ as command
from clipinverter.evaluation import edit_sheet, editing, metrics
from clipinverter.portraits import judge
from clipinverter.portraits.judge import NAMES, Judge, Readings, agreement, shown
from clipinverter.portraits.scene import Scene, groups
from clipinverter.training.portraits.judge import attribute_loss
from clipinverter.weights.files import CheckpointError
from tests.tiny import tiny_models


@pytest.fixture(scope="module")
def held():
    return [
        metrics.Held(Scene.from_seed(seed), torch.rand(3, 32, 32) * 2 - 1) for seed in range(40)
    ]


class Oracle:
    """A judge that looks its answers up by the first pixel of a picture."""

    def __init__(self, answers: dict[float, list[str]]) -> None:
        self.answers = answers

    def see(self, images):
        odds = torch.full((len(images), len(NAMES)), -1.0)
        for row, image in zip(odds, images, strict=True):
            for name in self.answers[round(image[0, 0, 0].item(), 2)]:
                row[NAMES.index(name)] = 1 + image[0, 0, 0]
        return Readings(odds, torch.ones(len(images), 1))


def test_the_sheet_command_draws_what_the_seed_picks(tmp_path, monkeypatch, held):
    editor = Editor(tiny_models())
    monkeypatch.setattr(command, "_editor", lambda: editor)
    monkeypatch.setattr(edit_sheet, "held_out", lambda count, size, seed: held[seed:][:count])
    sizes = []
    for seed in ("0", "1"):
        monkeypatch.setattr(
            sys,
            "argv",
            ["evaluation", "sheet", f"{tmp_path / seed}.png", "--seed", seed, "--cell", "40"],
        )
        command.main()
        with Image.open(f"{tmp_path / seed}.png") as sheet:
            sizes.append(sheet.width)
    assert sizes[0] == sizes[1] > 8 * 40
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()


def test_log_odds_compare_an_attribute_with_all_else_its_variable_could_be():
    torch.manual_seed(0)
    net = Judge().eval()
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        by_variable, person = net(images)
    seen = net.see(images, batch=1)
    torch.testing.assert_close(seen.person, person, atol=1e-4, rtol=1e-4)
    for group, logits in zip(groups(), by_variable, strict=True):
        p = logits.softmax(dim=1)[:, :-1]
        odds = seen.log_odds[:, list(group)].sigmoid()
        torch.testing.assert_close(odds, p, atol=1e-4, rtol=1e-4)


def test_agreement_is_counted_by_variable():
    a = shown(Scene.from_seed(3))[None]
    b = a.clone()
    assert agreement(a, b).all()
    which = next(i for i, group in enumerate(groups()) if len(group) > 1 and a[0, group[0]])
    first, second = groups()[which][:2]
    b[0, first], b[0, second] = False, True
    assert agreement(a, b).sum() == len(groups()) - 1


def test_the_judge_learns_from_every_variable():
    torch.manual_seed(0)
    rows = torch.stack([shown(Scene.from_seed(seed)) for seed in range(8)])
    logits = [torch.zeros(8, len(group) + 1, requires_grad=True) for group in groups()]
    loss = attribute_loss(logits, rows)
    expected = np.mean([math.log(len(group) + 1) for group in groups()])
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    for group, scores in zip(groups(), logits, strict=True):
        # The option that shows, or none of them in the last place, is the one that is pulled up.
        wanted = torch.where(
            rows[:, list(group)].any(1), rows[:, list(group)].float().argmax(1), len(group)
        )
        assert torch.equal(scores.grad.argmin(dim=1), wanted)


def test_a_missing_judge_names_the_command_that_trains_it(tmp_path):
    with pytest.raises(CheckpointError, match="make train-judge"):
        judge.load(tmp_path / "judge.safetensors")


def test_scenes_that_lack_what_a_prompt_asks_for(held):
    for h, scene in editing.wanting(held, ("man", "beard"), 5):
        assert not (h.scene.has("man") and h.scene.has("beard"))
        assert scene.has("man")
        assert scene.has("beard")
    assert len(editing.wanting(held, ("smiling",), 3)) == 3
    already = [h for h in held if h.scene.has("smiling")]
    assert already
    assert editing.wanting(already, ("smiling",), 3) == []


def test_every_prompt_asks_for_attributes_that_exist():
    asked = set(editing.EDITS) | {n for names in editing.SEVERAL.values() for n in names}
    assert asked <= set(NAMES)
    assert len(editing.EDITS) == 22


def test_what_is_counted_of_an_edit(held, monkeypatch):
    """Pictures are constant: their value tells how strong the edit was, and the judge what to answer."""

    def edit(models, images, prompt, strengths, residual_scale):
        return [torch.full_like(images, s / 2) for s in strengths]

    monkeypatch.setattr(editing, "edit", edit)
    monkeypatch.setattr(editing, "picture", lambda scene, size: torch.full((3, size, size), 1.0))
    monkeypatch.setattr(
        editing, "clip_score", lambda models, images, prompt: images.mean(dim=(1, 2, 3))
    )
    answers = {0.0: ["hat"], 0.25: ["smiling", "hat"], 0.5: ["smiling", "hat"], 0.75: ["smiling"]}
    row = editing.measure(None, Oracle(answers), held, "a smile", ("smiling",), 4)
    assert row["target"] == row["others_kept"] == row["monotone"] == row["clip_gain_share"] == 1
    assert row["identity"] == pytest.approx(1)
    assert row["counterfactual_ratio"] == pytest.approx(0.5)
    lost = answers | {0.5: ["smiling"]}
    row = editing.measure(None, Oracle(lost), held, "a smile", ("smiling",), 4)
    assert row["others_kept"] < 1
    row = editing.measure(None, Oracle(answers | {0.75: []}), held, "a smile", ("smiling",), 4)
    assert row["monotone"] == 0
    row = editing.measure(None, Oracle(answers | {0.5: ["hat"]}), held, "a smile", ("smiling",), 4)
    assert row["target"] == 0


def test_strength_0_is_the_inversion_in_the_evaluation_too():
    models = tiny_models()
    images = torch.rand(2, 3, models.domain.encoder_size, models.domain.encoder_size) * 2 - 1
    plain, edited = editing.edit(models, images, "a hat", (0.0, 1.0))
    with torch.no_grad():
        drawn = models.generator(metrics.invert(models, images)[0]).clamp(-1, 1)
    assert torch.equal(plain, drawn)
    assert not torch.equal(plain, edited)
