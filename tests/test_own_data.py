"""Training on pictures with captions, and a domain that a user adds: from published files to an edit on the page."""

import dataclasses
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from safetensors.torch import load_file

from clipinverter import domains
from clipinverter.__main__ import main as command
from clipinverter.domains import get_domain
from clipinverter.editor import Editor
from clipinverter.errors import UserError
from clipinverter.models import clip
from clipinverter.request import Request, Wish
from clipinverter.training import objective, pictures, presets
from clipinverter.training.__main__ import main as training
from clipinverter.training.captioned import learner, moco
from clipinverter.training.captioned import train as course
from clipinverter.ui import api
from clipinverter.ui.demo import create_demo
from clipinverter.weights.build import build_networks
from clipinverter.weights.files import CheckpointError
from clipinverter.weights.folder import DomainWeights
from clipinverter.weights.load import load_models
from tests import own
from tests.own import CATS


@pytest.fixture
def cats(tmp_path, monkeypatch):
    """The domain with the files that a user brings."""
    own.add(tmp_path, monkeypatch.setattr)
    own.write_weights()
    return get_domain("cats")


@pytest.fixture
def folders(tmp_path):
    return own.write_pictures(tmp_path)


@pytest.fixture(autouse=True)
def alone():
    """accelerate keeps its state beyond a run."""
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


# The pictures.


def test_pictures_find_their_captions(folders):
    found = pictures.load(*folders, 32)
    assert [path.relative_to(folders[0]).as_posix() for path in found.paths] == [
        "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg", "more/1.jpg"
    ]  # fmt: skip
    assert all(len(lines) == 10 for lines in found.captions)
    assert found.captions[5][2] == "cat 1, seen for the 2th time"


def test_samples_are_functions_of_their_number(folders):
    found, again = (pictures.load(*folders, 32) for _ in range(2))
    samples = [found[k] for k in range(60)]
    for k in (59, 0, 17):
        other = again[k]
        assert torch.equal(samples[k]["images"], other["images"])
        assert samples[k]["captions"] == other["captions"]
    for epoch in range(10):  # every picture once
        shown = {s["captions"].split(",")[0] for s in samples[6 * epoch : 6 * epoch + 6]}
        assert shown == {f"cat {name}" for name in range(1, 7)}
    orders = {tuple(s["captions"][:5] for s in samples[k : k + 6]) for k in range(0, 60, 6)}
    assert len(orders) > 5
    for s in samples:
        assert s["images"].shape == (3, 32, 32)
        assert -1 <= s["images"].min() < s["images"].max() <= 1


def test_a_batch_gets_its_neighbours_captions_or_its_own(folders):
    """As in the authors' coach_first_stage.py: decided per batch, with probability 3/4, by rolling the captions."""
    found = pictures.load(*folders, 32)
    decided = []
    for first in range(0, 300, 3):
        samples = [found[k] for k in range(first, first + 3)]
        batch = pictures.with_prompts(samples)
        captions = [s["captions"] for s in samples]
        assert batch["captions"] == captions
        assert batch["images"].shape == (3, 3, 32, 32)
        asks = batch["asks"]
        assert asks.dtype == torch.bool
        assert asks.all() or not asks.any()
        rolled = [captions[i] for i in torch.arange(3).roll(1)]
        assert batch["prompts"] == (rolled if asks[0] else captions)
        assert pictures.with_prompts(samples)["prompts"] == batch["prompts"]
        assert pictures.with_prompts(samples, asks=True)["prompts"] == rolled
        decided.append(bool(asks[0]))
    assert 0.6 < np.mean(decided) < 0.9


def test_half_of_the_pictures_are_mirrored(folders):
    found = pictures.load(*folders, 32)
    with Image.open(folders[0] / "2.jpg") as image:
        plain = pictures.to_tensor(image, 32)[0]
    seen = [s["images"] for s in map(found.__getitem__, range(120)) if "cat 2," in s["captions"]]
    straight = sum(torch.equal(image, plain) for image in seen)
    mirrored = sum(torch.equal(image, plain.flip(2)) for image in seen)
    assert straight + mirrored == len(seen) == 20
    assert 3 <= straight <= 17


def test_a_single_picture_has_no_other_captions(tmp_path):
    found = pictures.load(*own.write_pictures(tmp_path, 1), 32)
    assert not any(pictures.with_prompts([found[k]])["asks"].any() for k in range(20))


def missing_captions(images, captions):
    (captions / "3.txt").unlink()
    (captions / "5.txt").unlink()


def empty_captions(images, captions):
    (captions / "3.txt").write_text(" \n\n")


def empty_folder(images, captions):
    for path in images.rglob("*.jpg"):
        path.unlink()


def no_folder(images, captions):
    images.rename(images.with_name("moved"))


def no_captions(images, captions):
    captions.rename(captions.with_name("moved"))


def damaged_picture(images, captions):
    (images / "4.jpg").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            missing_captions,
            r"3\.jpg has no captions: .*3\.txt is missing\. .* The same is true of 1 more\.",
        ),
        (empty_captions, r"3\.jpg has no captions: .*3\.txt is empty\..* a caption a line\.$"),
        (empty_folder, r"There are no pictures in the folder .*images\.$"),
        (no_folder, r"There is no folder .*images\.$"),
        (no_captions, r"There is no folder .*captions\.$"),
        (damaged_picture, r"4\.jpg can't be used: This file is not a picture.* --resume\.$"),
    ],
)
def test_what_is_wrong_with_the_folders_is_said(cats, folders, tmp_path, capsys, fault, sentence):
    fault(*folders)
    arguments = ["adapter", "--images", str(folders[0]), "--captions", str(folders[1])]
    arguments += [
        "--domain",
        "cats",
        "--run",
        str(tmp_path / "run"),
        "--steps",
        "1",
        "--batch",
        "6",
    ]
    assert training(arguments) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert re.search(sentence, error), error


# The networks.


def test_what_a_domain_lacks_is_said(cats, folders, tmp_path):
    device = torch.device("cpu")
    (cats.folder / "identity.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"'cats' has no identity network.* by --moco"):
        learner.load_teachers(cats, device, None)
    with pytest.raises(CheckpointError, match=r"There is no file .*moco\.pth"):
        learner.load_teachers(cats, device, tmp_path / "moco.pth")
    (cats.folder / "encoder.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks encoder\.safetensors\. docs/your-own-data"):
        learner.load_teachers(cats, device, None)


def publish_moco(path):
    """A file of MoCo v2's form, whose numbers are random."""
    torch.manual_seed(0)
    from torchvision.models import resnet50

    net = resnet50()
    state = {f"module.encoder_q.{k}": v for k, v in net.state_dict().items() if k[:3] != "fc."}
    state |= {"module.encoder_q.fc.0.weight": torch.ones(4, 4), "module.queue": torch.ones(4)}
    state |= {f"module.encoder_k.{k}": v + 1 for k, v in net.state_dict().items()}
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": state}, path)
    net.fc = torch.nn.Identity()
    return net.eval()


def test_animals_are_compared_by_moco(cats, tmp_path):
    net = publish_moco(tmp_path / "moco.pth.tar")
    (cats.folder / "identity.safetensors").unlink()
    teachers = learner.load_teachers(cats, torch.device("cpu"), tmp_path / "moco.pth.tar")
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    features = teachers.person(images)
    expected = net(images.repeat_interleave(7, 2).repeat_interleave(7, 3))
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(features, expected)
    assert not any(p.requires_grad for p in teachers.identity.parameters())
    torch.save({"state_dict": {}}, tmp_path / "moco.pth.tar")
    with pytest.raises(CheckpointError, match="does not hold MoCo"):
        moco.load(tmp_path / "moco.pth.tar")


def test_openais_model_sees_pictures_as_the_authors_feed_it(cats):
    teachers = learner.load_teachers(cats, torch.device("cpu"), None)
    assert not teachers.pooled
    seen = []
    model = torch.nn.Module()
    model.encode_image = lambda images: seen.append(images) or images.mean(dim=(2, 3))
    text_image = clip.TextImageModel(model, None, 224, (0.5,) * 3, (0.2,) * 3)
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    replace(teachers, text_image=text_image, pooled=True).look(images)
    torch.testing.assert_close(seen[0], images.repeat_interleave(7, 2).repeat_interleave(7, 3))


@pytest.mark.parametrize("remaps", [False, True])
def test_a_stage_trains_its_own_part_by_the_papers_objective(cats, remaps):
    teachers = learner.load_teachers(cats, torch.device("cpu"), None)
    torch.manual_seed(0)
    adapter = build_networks(cats)[2].requires_grad_(False)
    scales = presets.STAGE_TWO if remaps else presets.STAGE_ONE
    learns = learner.Learner(teachers, adapter, scales, remaps=remaps)
    generator = teachers.generator
    part = [*generator.affine_mlps.parameters(), *generator.lambdas]
    part = part if remaps else [*adapter.parameters()]
    assert {id(p) for p in learns.parameters()} == {id(p) for p in part}
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    texts = learner.Texts(["black", "white"], ["red", "white"], torch.tensor([True, False]))
    loss, numbers = learns(images, texts)
    # By hand, from the networks that the Editor has.
    text, caption = teachers.text_image.embed_text(["black", "white", "red", "white"]).chunk(2)
    features = teachers.features(images)
    w_plus = teachers.encoder.heads(*features) + teachers.latent_avg
    w_plus = w_plus + 0.1 * teachers.encoder.heads(*adapter(features, text))
    drawn = generator(w_plus, generator.remap_vectors(text) if remaps else None)
    asks = texts.asks
    plain = generator(w_plus).detach() if remaps else None
    forth, parts = objective.objective(
        teachers, scales, drawn, images, images, w_plus, caption, text, asks, plain
    )
    edited = drawn.detach()
    features = teachers.features(edited)
    w_plus = teachers.encoder.heads(*features) + teachers.latent_avg
    w_plus = w_plus + 0.1 * teachers.encoder.heads(*adapter(features, caption))
    restored = generator(w_plus, generator.remap_vectors(caption) if remaps else None)
    plain = generator(w_plus).detach() if remaps else None
    back, _ = objective.objective(
        teachers, scales, restored, images, edited, w_plus, text, caption, asks, plain
    )
    assert ("unremapped" in parts) == remaps
    assert loss.item() == pytest.approx((forth + back).item(), rel=1e-4)
    assert numbers["cycle"] == pytest.approx(back.item(), rel=1e-4)
    shown = learns.show(images, texts)
    torch.testing.assert_close(shown[0], edited)
    torch.testing.assert_close(shown[1], restored.detach())
    loss.backward()
    assert all(p.grad.abs().max() > 0 for p in part if p.ndim > 1)


def test_the_remapped_picture_is_held_to_the_one_before(cats):
    """0.35 (L2 + LPIPS) of coach_second_stage.py: its gradient reaches the remapper, and only the remapped picture."""
    teachers = learner.load_teachers(cats, torch.device("cpu"), None)
    adapter = build_networks(cats)[2].requires_grad_(False)
    nothing = dict.fromkeys(("identity", "clip", "w_norm", "cycle"), 0.0)
    alone = replace(presets.STAGE_TWO, **nothing)
    learns = learner.Learner(teachers, adapter, alone, remaps=True)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    batch = objective.batch_of(
        teachers, images, ["black", "white"], ["red", "white"], torch.tensor([True, True])
    )
    drawn, w_plus = learns.edit(batch)
    plain = objective.before_remapping(alone, learns.draw, w_plus)
    assert not plain.requires_grad
    torch.testing.assert_close(plain, teachers.generator(w_plus).detach())
    texts = batch.caption, batch.prompt, batch.asks
    own = replace(
        batch, images=drawn.detach()
    )  # so that the distance to the original has no gradient
    _, numbers = objective.objective(
        teachers, alone, drawn, own.images, images, w_plus, *texts, plain
    )
    l2 = (drawn - plain).square().mean()
    apart = l2 + teachers.perceptual(drawn, plain)
    assert numbers["unremapped"] == pytest.approx(0.35 * 0.15 * apart.item(), rel=1e-4)
    assert numbers["unremapped"] > 0
    far = learns.learning.parameters()
    gradients = torch.autograd.grad(0.35 * 0.15 * apart, [*far], allow_unused=True)
    expected = [None if g is None else g.clone() for g in gradients]
    drawn, w_plus = learns.edit(batch)
    loss, _ = objective.objective(
        teachers, alone, drawn, drawn.detach(), images, w_plus, *texts, plain
    )
    loss.backward()
    pairs = zip(learns.learning.parameters(), expected, strict=True)
    for parameter, gradient in pairs:
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-3)
    assert max(p.grad.abs().max() for p in learns.learning.parameters()) > 0
    first_stage = replace(presets.STAGE_ONE)
    assert objective.before_remapping(first_stage, learns.draw, w_plus) is None


def test_the_published_courses():
    one, two = presets.PAPER["adapter"], presets.PAPER["remapper"]
    assert (one.steps, one.rate, one.losses) == (200_000, 5e-4, presets.STAGE_ONE)
    assert (two.steps, two.rate, two.losses) == (20_000, 1.5e-4, presets.STAGE_TWO)
    assert one.batch == two.batch == 8


# The runs.


def arguments(stage, folders, run, *options):
    images, captions = folders
    found = [stage, "--images", images, "--captions", captions, "--domain", "cats", "--run", run]
    return [str(x) for x in (*found, "--batch", 2, *options)]


def assert_close(one, other, tolerance=2e-4):
    one, other = load_file(one), load_file(other)
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert (value - other[key]).abs().max() <= tolerance, key


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_from_its_last_state(cats, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(course, "SAVE_EVERY", 2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert training(arguments("adapter", folders, whole, "--steps", 5)) == 0
    with monkeypatch.context() as patch:

        def dies(accelerator, learns, found, step):
            assert step == 3
            raise Killed

        patch.setattr(course, "SHOW_EVERY", 3)
        patch.setattr(course, "show", dies)
        with pytest.raises(Killed):
            training(arguments("adapter", folders, parts, "--steps", 5))
    assert course.last_state(parts, "adapter") == (2, parts / "adapter-state-2")
    assert not (parts / "adapter.safetensors").exists()
    (parts / "adapter-state-4.partial").mkdir()  # as a kill while it is written leaves it
    assert training(arguments("adapter", folders, parts, "--steps", 5, "--resume")) == 0
    assert course.states(parts, "adapter") == [(5, parts / "adapter-state-5")]
    assert_close(whole / "adapter.safetensors", parts / "adapter.safetensors", 0)
    # Done already: nothing is trained, the weights are written again.
    (parts / "adapter.safetensors").unlink()
    assert training(arguments("adapter", folders, parts, "--steps", 5, "--resume")) == 0
    assert_close(whole / "adapter.safetensors", parts / "adapter.safetensors", 0)
    # Without --resume it begins anew.
    assert training(arguments("adapter", folders, parts, "--steps", 1)) == 0
    assert course.states(parts, "adapter") == [(1, parts / "adapter-state-1")]


@pytest.mark.parametrize("runs", [[2], pytest.param([1, 2], marks=pytest.mark.slow)])
def test_two_processes_train_like_one(cats, folders, tmp_path, monkeypatch, runs):
    """Two processes share the batches that one process accumulates: the gradients are the same. A second run of the
    two goes on where the first stopped."""
    two, one = tmp_path / "two", tmp_path / "one"
    for steps in runs:
        launched = own.launch(
            tmp_path, "training", *arguments("adapter", folders, two, "--steps", steps, "--resume")
        )
        assert launched.returncode == 0, launched.stderr
        assert course.states(two, "adapter") == [(steps, two / f"adapter-state-{steps}")]
    assert (two / "adapter-state-2" / "random_states_1.pkl").is_file()  # there were two
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    assert training(arguments("adapter", folders, one, "--steps", 2)) == 0
    assert_close(one / "adapter.safetensors", two / "adapter.safetensors")
    start = build_networks(cats)[2].state_dict()
    moved = load_file(two / "adapter.safetensors")
    assert max((moved[key] - value).abs().max() for key, value in start.items()) > 1e-3


def test_from_two_stages_to_an_edit_on_the_page(cats, folders, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    assert training(arguments("remapper", folders, run, "--steps", 2)) == 1
    assert "run python -m clipinverter.training adapter first" in capsys.readouterr().err
    for stage in ("adapter", "remapper"):
        assert training(arguments(stage, folders, run, "--steps", 2)) == 0
        logged = read_log(run / "logs" / stage)
        assert {"identity", "l2", "lpips", "clip", "cycle"} <= logged["numbers"]
        assert ("unremapped" in logged["numbers"]) == (stage == "remapper")
        assert logged["size"] == (3 * 264 + 8, 4 * 290 + 8)
    before = load_file(cats.folder / "generator.safetensors")
    after = load_file(run / "remapper.safetensors")
    assert all(torch.equal(after[key], value) for key, value in before.items())
    with pytest.raises(CheckpointError, match=r"lacks adapter\.safetensors"):
        load_models(cats)
    assert training(["export", "--domain", "cats", "--run", str(run)]) == 0

    editor = Editor(load_models(cats, "cpu"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folders[0]))  # as if they had been uploaded
    photo = {"path": str(folders[0] / "2.jpg")}
    asked = Request(Path(photo["path"]), (Wish("a black cat"),), tune=False)
    (answer,) = api.answers(lambda: editor, asked)  # without a face
    assert answer.after.size == (32, 32)
    assert answer.after.tobytes() != answer.before.tobytes()
    assert answer.info["model"] == "cats"
    with pytest.raises(UserError, match="knows no faces"):
        next(api.answers(lambda: editor, dataclasses.replace(asked, paste=True)))
    out = tmp_path / "out.png"
    arguments_ = ["edit", photo["path"], "a black cat", "-o", str(out), "--domain", "cats"]
    arguments_ += ["--plain"]  # as the endpoint does
    assert command(arguments_) == 0
    with Image.open(out) as image:
        assert np.array_equal(np.asarray(image), np.asarray(answer.after))
    assert command([*arguments_, "--paste"]) == 2
    assert "knows no faces" in capsys.readouterr().err

    page = create_demo(lambda: editor, cats)
    by_id = {c["props"].get("elem_id"): c["props"] for c in page.config["components"]}
    assert not by_id["align"]["visible"]
    assert not by_id["paste"]["visible"]
    assert by_id["prompt"]["label"] == "How should it look?"


def read_log(folder):
    """What TensorBoard would show."""
    from io import BytesIO

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder)).Reload()
    (image,) = log.Images("before | after | restored")
    with Image.open(BytesIO(image.encoded_image_string)) as picture:
        return {"numbers": set(log.Tags()["scalars"]), "size": picture.size}


# Published files of a new domain.


def test_published_files_become_a_domain_to_train(tmp_path, monkeypatch, capsys):
    own.add(tmp_path, monkeypatch.setattr)
    birds = replace(CATS, name="birds", text_image="openai")
    monkeypatch.setattr(domains, "DOMAINS", {"birds": birds})
    folder = tmp_path / "published"
    folder.mkdir()
    generator, encoder, _ = build_networks(birds)
    plain = {k: v for k, v in generator.state_dict().items() if k[:4] not in ("affi", "lamb")}
    torch.save({"g_ema": plain, "latent_avg": torch.zeros(32)}, folder / "cub.pt")
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    content = {"state_dict": state, "latent_avg": torch.ones(32), "opts": {}}
    torch.save(content, folder / "e4e_cub.pt")
    assert command(["convert", "birds", "--from", str(folder)]) == 1
    assert "has no file of CLIP" in capsys.readouterr().err
    text = {"visual.conv1.weight": torch.ones(1), "text_projection": torch.ones(1)}
    safetensors.torch.save_file(text, folder / "clip.safetensors")
    assert command(["convert", "birds", "--from", str(folder)]) == 0
    assert {f.stem for f in birds.folder.iterdir()} == {"generator", "encoder", "clip"}
    loaded = DomainWeights(birds).generator_with_new_remapper().state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in plain.items())
    _, latent_avg = DomainWeights(birds).encoder()
    assert torch.equal(latent_avg, torch.ones(generator.n_latent, 32))


@pytest.mark.parametrize(
    "arguments",
    [
        ["generator", "--captions", "captions"],
        ["all", "--captions", "captions"],
        ["adapter", "--domain", "faces"],
    ],
)
def test_options_that_do_not_go_together(arguments, capsys):
    with pytest.raises(SystemExit):
        training(arguments)
    assert "--captions" in capsys.readouterr().err
