"""The measures that papers report, and the comparison on photographs."""

import json

import numpy as np
import pytest
import torch

from clipinverter.editor import Editor
from clipinverter.evaluation import compare_photos, published
from clipinverter.evaluation.variants import NAMES, all_methods
from clipinverter.methods import latent_optimization
from clipinverter.methods.settings import Settings
from clipinverter.portraits.judge import Judge
from clipinverter.training import lpips
from tests.test_photo_edits import JUDGE
from tests.tiny import picture, tiny_models

PROMPTS = {"a smiling face": ("smiling",), "an old person with a hat": ("old", "hat")}


def test_the_fifteen_attributes_are_those_of_the_first_author():
    """calculate_mp_caption.py of github.com/johnberg1/textmodulationrestyle."""
    assert " ".join(published.CELEBA).replace("_", " ").lower() == (
        "blond hair bushy eyebrows chubby double chin eyeglasses goatee gray hair heavy makeup male mouth slightly "
        "open mustache rosy cheeks smiling wearing lipstick wearing necktie"
    )


def test_manipulative_precision():
    models = tiny_models()
    inputs = torch.rand(2, 3, 256, 256) * 2 - 1
    results = inputs.clone()
    results[1] = inputs[1] - 0.25  # the mean absolute difference counts, in [-1, 1]
    text = models.text_image.embed_text(["a hat"])
    cosine = torch.cosine_similarity(models.text_image.embed_image(results), text)
    found = published.manipulative_precision(models, results, inputs, "a hat")
    torch.testing.assert_close(found, cosine * torch.tensor([1.0, 0.75]))


class Colours(torch.nn.Module):
    """In the place of InceptionV3: the mean colours of images in [0, 1]."""

    num_features = 3

    def forward(self, images):
        return images.float().mean(dim=(2, 3))


def test_fid_compares_sets(monkeypatch):
    monkeypatch.setattr(published, "inception", Colours)
    torch.manual_seed(0)
    images = [torch.rand(4, 3, 16, 16) * torch.rand(4, 3, 1, 1) - 0.5 for _ in range(4)]
    assert published.fid(images, images) == pytest.approx(0, abs=0.05)
    far = published.fid(images, [x + 0.5 for x in images])
    further = published.fid(images, [x + 1.0 for x in images])
    # The distance of the means alone: 0.5 of [-1, 1] is a quarter of [0, 1].
    assert far == pytest.approx(3 * 0.25**2, rel=0.01)
    assert further > 2 * far


@pytest.fixture
def offline(monkeypatch):
    def fails(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(published, "inception", fails)
    monkeypatch.setattr(lpips, "LPIPS", fails)


def test_what_cannot_be_fetched_is_said_once_and_left_out(offline, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for seed in range(3):
            picture(seed, (40, 40)).save(tmp_path / name / f"{seed}.png")
    picture(9).save(tmp_path / "b" / "9.png")
    said = []
    report = published.folders(tmp_path / "a", tmp_path / "b", said.append)
    assert report == {"real": 3, "drawn": 4, "pairs": 3, "l1": 0.0, "lpips": None, "fid": None}
    assert [line.split(" can't be measured: no route")[0] for line in said] == ["LPIPS", "FID"]


def test_the_parts_of_clipinverter():
    editor = Editor(tiny_models())
    inversion = editor.invert(picture(), "none")
    methods = all_methods(editor)
    assert list(methods) == list(NAMES)
    whole, adapter, remapper = (
        methods[name].edit(inversion, "a smiling woman")
        for name in ("clipinverter", "adapter", "remapper")
    )
    assert torch.equal(whole.residual, adapter.residual)
    assert not remapper.residual.any()
    generator = editor.models.generator
    plain = generator(inversion.w_plus + 0.1 * whole.residual).clamp(-1, 1)
    pixels = np.asarray(adapter.image) / 127.5 - 1
    assert np.abs(plain[0].permute(1, 2, 0).detach().numpy() - pixels).max() < 0.02
    images = [edit.image.tobytes() for edit in (whole, adapter, remapper)]
    assert len({*images, inversion.image.tobytes()}) == 4


@pytest.fixture
def report(tmp_path, monkeypatch, offline):
    monkeypatch.setattr(latent_optimization, "settings_of", lambda domain: Settings(steps=2))
    monkeypatch.setattr(compare_photos, "PROMPTS", PROMPTS)
    monkeypatch.setattr(compare_photos, "CELEBA", {"Chubby": "This person is chubby."})
    monkeypatch.setattr(compare_photos, "JUDGED", {"smiling": compare_photos.JUDGED["smiling"]})
    program = tmp_path / "judge.py"
    program.write_text(
        JUDGE.replace("name = Path(path).stem", "name = {'0': 'smiling'}.get(Path(path).stem)")
    )
    photos = [tmp_path / f"{name}.jpg" for name in "xy"]
    for seed, path in enumerate(photos):
        picture(seed, (64, 64)).save(path)
    torch.manual_seed(0)
    editor = Editor(tiny_models())
    return compare_photos.compare(
        editor, Judge().eval(), photos, program, published=True, tell=lambda line: None
    )


def test_photographs(report):
    assert report["photos"] == 2
    assert list(report["methods"]) == list(NAMES)
    assert report["inversion"]["lpips"] is None
    assert 0 <= report["inversion"]["same_person"] <= 1
    for name in ("clipinverter", "optimization", "adapter", "remapper"):
        row = report["methods"][name]
        assert row["prompts"] == 2
        assert row["came_true"] == 1  # the program says so of the first prompt's pictures
        assert row["fid"] is None
        assert row["median_ms"] > 0
        assert -1 < row["mp"] < 1
        assert -1 < row["mp_celeba"] < 1
    mapper = report["methods"]["mapper"]
    assert mapper["prompts"] == 0
    assert mapper["target"] is mapper["mp"] is mapper["came_true"] is None
    json.dumps(report)
    lines = compare_photos.table(report).splitlines()
    assert len(lines) == 10
    assert lines[3].startswith("| StyleCLIP mapper | 0 | –")


def test_the_official_model_needs_its_files(capsys, monkeypatch, tmp_path):
    from clipinverter import domains
    from clipinverter.evaluation.__main__ import main

    picture().save(tmp_path / "a.png")
    monkeypatch.setattr(domains, "ROOT", tmp_path)
    command = ["evaluation", "compare", "--photos", str(tmp_path), "--domain", "faces"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match=r"error: .*download faces"):
        main()
