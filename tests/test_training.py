"""Training: the loop and what feeds it, and the whole chain of stages in a domain that takes seconds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clipinverter import domains
from clipinverter.domains import PORTRAITS
from clipinverter.editor import Editor
from clipinverter.evaluation import ablation
from clipinverter.models import clip, irse
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.photo.tensors import fit
from clipinverter.portraits import w_space
from clipinverter.portraits.scene import ATTRIBUTES, Scene, random_latents, to_z
from clipinverter.portraits.variables import N_LATENTS, VARIABLES, slots
from clipinverter.training import loop, mobilenet, objective, presets
from clipinverter.training.__main__ import STAGES, train
from clipinverter.training.pictures import DataError
from clipinverter.training.portraits import (
    adapter,
    batches,
    data,
    edits,
    encoder,
    generator,
    identity,
    mapping,
    phrases,
    pool,
    remapper,
)
from clipinverter.training.portraits import clip as clip_stage
from clipinverter.training.presets import ADAPTER_LOSSES, PRESETS
from clipinverter.weights.files import CheckpointError
from clipinverter.weights.folder import RunWeights
from clipinverter.weights.load import load_models
from tests.tiny import picture

TINY = replace(
    PORTRAITS,
    files=dict.fromkeys(PORTRAITS.files, ""),  # what is trained here has digests of its own
    name="tiny",
    image_size=64,
    style_dim=256,
    n_mlp=2,
    channel_base=1024,
    channel_max=32,
    text_dim=96,
    encoder_size=32,
    encoder_widths=(32, 32, 32),
    head_width=32,
)
TINY_CLIP = {
    "embed_dim": 96,
    "vision_cfg": clip.SMALL["vision_cfg"] | {"image_size": 32},
    "text_cfg": clip.SMALL["text_cfg"] | {"width": 32, "heads": 2, "layers": 1},
}
STEPS = 4  # of every stage


# The loop.


class Toy:
    """A stage that fits a small network with a batch norm to random numbers."""

    def __init__(self, steps: int = 12) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1)
        )
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.05)
        self.average = loop.Average(self.net, 0.9)
        self.steps = steps
        self.batches: list[np.ndarray] = []

    def step(self, i: int, rng: np.random.Generator) -> dict[str, float]:
        loop.set_rate(self.optimizer, loop.cosine(i, self.steps, warmup=3))
        batch = rng.standard_normal((16, 4)).astype(np.float32)
        self.batches.append(batch)
        x = torch.from_numpy(batch)
        loss = (self.net(x) - x.sum(dim=1, keepdim=True)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.average.update(self.net, i)
        return {"loss": loss.item()}

    def stage(self, dies_at: int | None = None) -> loop.TrainingRun:
        state = {"net": self.net, "optimizer": self.optimizer, "average": self.average}
        return dying(loop.TrainingRun("toy", self.steps, state, self.step), dies_at)

    def state(self) -> dict[str, Tensor]:
        return {**self.net.state_dict(), **self.average.state_dict()}


class Killed(Exception):
    pass


def dying(stage: loop.TrainingRun, at: int | None) -> loop.TrainingRun:
    """The stage, killed in step `at`: after half of its work has been done."""

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        numbers = stage.step(i, rng)
        if i == at:
            raise Killed
        return numbers

    return replace(stage, step=step)


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def test_a_killed_and_resumed_run_ends_like_an_uninterrupted_one(tmp_path):
    whole = Toy()
    loop.run(whole.stage(), tmp_path / "whole", resume=False)
    with pytest.raises(Killed):
        loop.run(Toy().stage(dies_at=7), tmp_path / "parts", resume=False, save_every=0)
    rest = Toy()
    for parameter in rest.net.parameters():
        parameter.data.add_(1)  # where it starts must not matter
    loop.run(rest.stage(), tmp_path / "parts", resume=True, save_every=0)
    assert_same(rest.state(), whole.state())
    assert len(rest.batches) == 12 - 7
    assert not list(tmp_path.rglob("*.partial"))


def test_every_step_has_its_own_batch(tmp_path):
    toy = Toy()
    loop.run(toy.stage(), tmp_path, resume=False)
    assert len({batch.tobytes() for batch in toy.batches}) == 12


def test_without_resume_a_run_starts_anew(tmp_path):
    loop.run(Toy().stage(), tmp_path, resume=False)
    again = Toy()
    loop.run(again.stage(), tmp_path, resume=False)
    assert len(again.batches) == 12


def test_a_finished_run_is_not_repeated(tmp_path):
    done, again = Toy(), Toy()
    loop.run(done.stage(), tmp_path, resume=False)
    loop.run(again.stage(), tmp_path, resume=True)
    assert not again.batches
    assert_same(again.state(), done.state())


def test_a_checkpoint_that_was_cut_off_leaves_the_one_before(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        loop.run(Toy().stage(dies_at=5), tmp_path, resume=False, save_every=0)

    def cut_off(state: dict, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", cut_off)
        with pytest.raises(loop.DiskError, match="disk full"):
            loop.save(Toy().stage(), tmp_path / "toy.pt", 9)
    assert loop.restore(Toy().stage(), tmp_path / "toy.pt") == 5


def test_the_log_has_a_line_every_hundred_steps(tmp_path):
    loop.run(Toy(250).stage(), tmp_path, resume=False)
    lines = [json.loads(line) for line in (tmp_path / "toy.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [100, 200]
    assert lines[1]["loss"] < lines[0]["loss"]


def test_average_follows_slowly_and_copies_buffers():
    toy = Toy()
    average = loop.Average(toy.net, decay=0.9)
    before = average.module[0].weight.clone()
    toy.net[0].weight.data.fill_(1)
    toy.net[1].running_mean.fill_(5)
    average.update(toy.net, step=10_000)
    torch.testing.assert_close(average.module[0].weight, 0.9 * before + 0.1)
    assert (average.module[1].running_mean == 5).all()
    assert not any(p.requires_grad for p in average.parameters())
    average.update(toy.net, step=0)  # the first steps count more: decay 1/10
    torch.testing.assert_close(
        average.module[0].weight, 0.1 * (0.9 * before + 0.1) + 0.9 * torch.ones_like(before)
    )


def test_cosine():
    rates = [loop.cosine(i, 1000, warmup=100, floor=0.1) for i in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[99] == rates[100] == 1
    assert rates[550] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=1e-4)
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert loop.cosine(5000, 1000) == pytest.approx(0.05)


def test_set_rate_scales_the_first_rate_of_each_group():
    one, other = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([{"params": [one], "lr": 1.0}, {"params": [other], "lr": 0.1}])
    for factor in (0.5, 0.25):
        loop.set_rate(optimizer, factor)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.25, 0.025])


# The data.


def write_shard(folder: Path, number: int, count: int, size: int) -> None:
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    images = coarse.repeat(size // 8, axis=1).repeat(size // 8, axis=2)
    np.save(folder / f"images-{number:05d}.npy", images)
    np.save(folder / f"latents-{number:05d}.npy", random_latents(count, rng))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with two shards of eight pictures that stand in for renders."""
    folder = tmp_path_factory.mktemp("images")
    for number in (0, 1):
        write_shard(folder, number, 8, TINY.image_size)
    return folder


def test_a_set_is_read_across_shards(images):
    rendered = data.load(images)
    assert len(rendered) == 16
    assert rendered.latents.shape == (16, N_LATENTS)
    batch = rendered.batch(np.array([9, 0]))
    stored = np.load(images / "images-00001.npy")[1]
    assert batch.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(batch[0].permute(1, 2, 0), stored / 127.5 - 1, atol=1e-6)
    half = rendered.batch(np.array([9, 0]), 32)
    np.testing.assert_allclose(half, batch[:, :, ::2, ::2], atol=1e-6)  # its blocks are 8 px wide
    assert rendered.attributes.shape == (16, len(ATTRIBUTES))
    shown = {n for n, shows in zip(data.NAMES, rendered.attributes[9], strict=True) if shows}
    assert shown == Scene.from_latent(rendered.latents[9]).attributes


def test_an_unfinished_shard_is_left_out(tmp_path):
    for number in (0, 1):
        write_shard(tmp_path, number, 8, 8)
    (tmp_path / "latents-00001.npy").unlink()  # written last
    assert len(data.load(tmp_path)) == 8


def test_a_missing_set_says_how_to_render_it(tmp_path):
    with pytest.raises(DataError, match=r"python -m clipinverter\.portraits dataset"):
        data.load(tmp_path)


def test_augmented_pictures_keep_shape_and_range(images):
    batch = data.load(images).batch(np.arange(16))
    torch.manual_seed(0)
    seen = data.augment(batch, np.random.default_rng(0))
    assert seen.shape == batch.shape
    assert -1 <= seen.min() < seen.max() <= 1
    assert seen.isfinite().all()
    change = (seen - batch).abs().mean(dim=(1, 2, 3))
    assert (change > 0.01).all()
    assert change.std() > 0.01  # each picture draws its own
    assert (batch == data.load(images).batch(np.arange(16))).all()
    torch.manual_seed(0)
    assert torch.equal(seen, data.augment(batch, np.random.default_rng(0)))


def test_blemishes_leave_colours_alone():
    flat = torch.tensor([0.5, -0.2, 0.1]).view(1, 3, 1, 1).expand(64, 3, 32, 32)
    rng = np.random.default_rng(0)
    off = (data.blemish(flat, rng) - flat).flatten(2).median(dim=2).values.abs()
    assert off.max() < 0.02
    assert (data.recolour(flat, rng) - flat).abs().mean() > 0.05


def test_z_is_standard_normal_and_holds_the_latents():
    latents = random_latents(2000, np.random.default_rng(0))
    z = data.z_of(latents, np.random.default_rng(1), 256)
    assert z.shape == (2000, 256)
    assert z.mean(dim=0).abs().max() < 5 / np.sqrt(2000)
    covariance = z.t() @ z / 2000
    assert (covariance.diagonal() - 1).abs().max() < 5 * np.sqrt(2 / 2000)
    assert (covariance - torch.diag(covariance.diagonal())).abs().max() < 6 / np.sqrt(2000)
    rotation = to_z(*np.split(np.eye(256), [N_LATENTS], axis=1))
    np.testing.assert_allclose((z.numpy() @ rotation.T)[:, :N_LATENTS], latents, atol=1e-5)
    other = data.z_of(latents, np.random.default_rng(2), 256)
    assert (z - other).abs().mean() > 0.1  # the rest is fresh


# Edits and texts.


@pytest.fixture(scope="module")
def frequency():
    scenes = [Scene.from_seed(seed) for seed in range(300)]
    return np.mean([[s.has(name) for name in data.NAMES] for s in scenes], axis=0) + 1e-3


def test_chosen_attributes_show_and_rare_ones_come_often(frequency):
    rng = np.random.default_rng(0)
    shown = np.zeros(len(data.NAMES), bool)
    common, rare = data.NAMES.index("no glasses"), data.NAMES.index("hat")
    shown[[common, rare]] = True
    assert set(clip_stage.choose(shown, frequency, 5, rng)) == {"no glasses", "hat"}
    first = [clip_stage.choose(shown, frequency, 1, rng)[0] for _ in range(300)]
    assert 0.7 < first.count("hat") / 300 < 0.95


def test_sampled_edits_come_true(frequency, monkeypatch):
    said = lambda names, rng: "|".join(names)  # noqa: E731
    monkeypatch.setattr(edits, "caption", said)
    monkeypatch.setattr(edits, "text_of", said)
    latents = random_latents(300, np.random.default_rng(0))
    batch = edits.sample(latents, frequency, np.random.default_rng(1))
    assert batch.latents is latents
    assert batch.edited_latents.shape == latents.shape
    changed = (batch.edited_latents != latents).any(axis=1)
    # A quarter asks for nothing new; of the rest, some ask for what shows already or cannot be.
    assert 0.55 < changed.mean() < edits.MISMATCH + 0.05
    rows = zip(latents, batch.edited_latents, batch.prompts, batch.captions, strict=True)
    for latent, edited, prompt, caption in rows:
        before, after = Scene.from_latent(latent), Scene.from_latent(edited)
        assert set(prompt.split("|")) <= after.attributes
        assert set(caption.split("|")) <= before.attributes
        assert (edited == latent).all() == (set(prompt.split("|")) <= before.attributes)


def test_impossible_wishes_are_left_out():
    woman = Scene.from_seed(0).edited("woman").edited("no glasses").edited("no hat")
    scene, names = edits.fulfilled(woman, ["beard", "eyeglasses"])
    assert names == ["eyeglasses"]
    assert scene.has("eyeglasses")


def test_half_of_the_pictures_are_drawn_from_beyond():
    """What their w says of some variables with attributes lies further from another scene, at most as far again."""
    latents = random_latents(40, np.random.default_rng(5))
    w = w_space.w_of(latents, 256)
    found, clearer = generator.stretched(w, np.random.default_rng(6))
    assert torch.equal(found[::2], w[::2])
    assert not clearer[::2].any()
    other = w_space.w_of(random_latents(40, np.random.default_rng(6)), 256)
    change, beyond = ((x @ w_space.axes(256))[1::2] for x in (w - other, found - w))
    seen = []
    for name in (v.name for v in VARIABLES):
        part = w_space.described_by({name})
        moved = beyond[:, part].abs().amax(dim=1) > 1e-5
        beyond_it, change_it = beyond[moved][:, part], change[moved][:, part]
        share = beyond_it.norm(dim=1) / change_it.norm(dim=1)
        torch.testing.assert_close(beyond_it, share[:, None] * change_it, atol=1e-4, rtol=1e-3)
        assert ((share > 0) & (share <= generator.FURTHEST - 1 + 1e-4)).all()
        for place, attribute in enumerate(ATTRIBUTES.values()):
            if attribute.variable == name:  # what lies further is to be clearer
                told = clearer[1::2, place][moved]
                torch.testing.assert_close(told, generator.CLEARER * share, atol=1e-3, rtol=1e-3)
        differ = change[:, part].abs().amax(dim=1) > 1e-5
        named = name in {attribute.variable for attribute in ATTRIBUTES.values()}
        assert named or not moved.any()  # a shape of the head has no name
        if named:
            seen.append((name in generator.STRETCHED, moved.sum(), differ.sum()))
    for often, expected in (
        (False, generator.STRETCHED_ELSE),
        (True, generator.STRETCHED["hair_colour"]),
    ):
        moved, differ = (sum(x[i] for x in seen if x[0] == often) for i in (1, 2))
        assert abs(moved / differ - expected) < (0.2 if often else 0.08)  # of one variable or 28


def test_an_edit_starts_where_the_encoder_is_wrong(frequency, monkeypatch):
    """After the edit w says what was asked for whatever the encoder saw; in everything else it keeps its errors."""
    latents = random_latents(40, np.random.default_rng(2))
    batch = edits.sample(latents, frequency, np.random.default_rng(3))
    rows = [w_space.w_of(random_latents(40, np.random.default_rng(i)), 256) for i in (4, 5)]
    inverted = torch.stack(rows, dim=1)
    before, after = (w_space.w_of(x, 256)[:, None] for x in (latents, batch.edited_latents))
    asked = batch.asked[:, None]
    bold = edits.target_residual(batch, inverted)
    monkeypatch.setattr(edits, "boldness", lambda: torch.ones(len(batch.asked[0])))
    edited = inverted + edits.target_residual(batch, inverted)
    for name in ("hair_colour", "age", "gender"):
        part = w_space.described_by({name})
        far = edits.BOLD.get(name, edits.BOLD_ELSE)
        true = far * w_space.part_of(edited - inverted, part)
        torch.testing.assert_close(w_space.part_of(bold, part), true, atol=1e-4, rtol=0)

    def assert_equal_in(asked, one, other):
        pair = w_space.part_of(one, asked), w_space.part_of(other, asked)
        torch.testing.assert_close(*pair, atol=1e-4, rtol=0)

    assert_equal_in(asked, edited, after.expand_as(edited))
    assert_equal_in(~asked, edited - after, inverted - before)
    torch.testing.assert_close(
        edits.target_residual(batch, before), after - before, atol=1e-5, rtol=0
    )


def test_what_is_unlikely_is_left_out_of_w():
    """A picture whose hair is black in 70 % of such cases and green in 30: with squares it would be 0.3 green."""
    scene = Scene.from_seed(0).edited("long hair").edited("black hair")
    pair = np.stack([scene.latent, scene.edited("green hair").latent])
    black, green = w_space.w_of(pair, 256)
    cases = torch.stack([black] * 7 + [green] * 3)
    shares = torch.linspace(0, 1, 101)
    losses = torch.stack(
        [w_space.sharp_distance(black.lerp(green, share).expand(10, -1), cases) for share in shares]
    )
    assert shares[losses.argmin()] < 0.05
    assert w_space.sharp_distance(cases, cases) == 0
    aside = black + torch.randn(256, generator=torch.Generator().manual_seed(0))
    assert w_space.sharp_distance(aside, black) > 0.1  # outside of what scenes have, too


def test_w_says_the_colours_that_are_seen():
    """Two reds at the ends of the renderer's scale of hues are one place in W; unasked colours don't count."""
    slot = slots()["clothes_colour"]
    pair = np.stack([Scene.from_seed(3).latent] * 3)
    pair[:, slot] = [[-3.0, 1, 1], [3.0, 1, 1], [0.0, 1, 1]]  # red, red, cyan
    w = w_space.w_of(pair, 256)
    red, same, cyan = w @ w_space.axes(256)[:, w_space.of_kind("colour")]
    assert (red - same).norm() < 0.1 * (red - cyan).norm()
    told = w_space.of_kind("colour") & w_space.described_by({"clothes_colour"})
    assert told.sum() == 3
    raw = w_space.described_by({"clothes_colour"}) & ~told
    assert w_space.sharp_distance(w[0], w[2]) > 0
    assert w_space.sharp_distance(w[0], w[2], ~told & ~raw) == pytest.approx(0, abs=1e-5)


def test_numbers_of_the_description_belong_to_their_variable():
    scene = Scene.from_seed(1).edited("eyeglasses")
    changed = w_space.description(scene.edited("sunglasses")) - w_space.description(scene)
    assert not (torch.from_numpy(changed != 0) & ~w_space.described_by({"glasses"})).any()
    assert w_space.described_by({"glasses", "hat"}).sum() == 3 + 2 + 3
    with pytest.raises(KeyError):
        w_space.described_by({"monocle"})


def test_what_was_added_later_takes_directions_that_were_empty():
    """Networks that were trained before keep what they know."""
    later = w_space.of_kind("colour") | w_space.described_by(w_space.LATER)
    first = int((~later).sum())
    assert not later[:first].any()
    assert torch.equal(
        w_space.axes(256)[:, :first], torch.from_numpy(w_space.directions(first, 256, 20232))
    )
    first = [i for i, a in enumerate(ATTRIBUTES.values()) if a.variable not in clip_stage.LATER]
    anchors = clip_stage.anchors(256)
    old = w_space.directions(len(first), 256, 20233).T
    assert torch.equal(anchors[first], torch.from_numpy(old))
    assert torch.allclose(anchors @ anchors.T, torch.eye(len(anchors)), atol=1e-5)
    after = w_space.directions(len(first), 256, 20233, more=2).T
    assert torch.equal(
        anchors[data.NAMES.index("eyes closed")], torch.from_numpy(after[len(first)])
    )


def test_every_attribute_is_a_direction_in_w():
    """Adding a label moves w by a fixed vector, along with the quantity behind it; nothing else moves."""
    moves = []
    for seed in range(5):
        scene = Scene.from_seed(seed).edited("no earrings")
        adorned = scene.edited("earrings")
        changed = w_space.description(adorned) - w_space.description(scene)
        assert (changed == w_space.LABEL).sum() == 1  # the label
        assert np.count_nonzero(changed) == 2  # and the quantity
        w, w_adorned = w_space.w_of(np.stack([scene.latent, adorned.latent]), 256)
        assert (w_adorned - w).norm() == pytest.approx(
            w_space.SPREAD * np.linalg.norm(changed), rel=1e-4
        )
        moves.append(w_adorned - w)
    cosines = torch.nn.functional.cosine_similarity(moves[0][None], torch.stack(moves[1:]))
    assert cosines.min() > 0.7


def test_w_is_as_spread_as_a_mapping_network_makes_it():
    w = w_space.w_of(random_latents(500, np.random.default_rng(0)), 256)
    assert w.dtype == torch.float32
    assert w.mean().abs() < 0.1
    assert 0.5 < w.var(dim=0).mean() < 2
    with pytest.raises(ValueError, match="does not fit"):
        w_space.w_of(random_latents(1, np.random.default_rng(0)), N_LATENTS + 1)


def test_the_mapping_network_learns_w(tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "SCENES", 2000)
    shorter = replace(PRESETS["mapping"], steps=100)
    monkeypatch.setitem(presets.PRESETS, "mapping", shorter)
    torch.manual_seed(0)
    net = generator.Generator(8, 256, 2, 64, 8)
    average = mapping.train_mapping(net, tmp_path, resume=False)
    latents = random_latents(200, np.random.default_rng(5))
    wanted = w_space.w_of(latents, 256)
    z = data.z_of(latents, np.random.default_rng(2), 256)
    for network in (net.style, average):
        # A network that says nothing would be as wrong as w is spread.
        assert (network(z) - wanted).square().mean() < 0.8 * wanted.var(dim=0).mean()


def test_two_pictures_of_a_person():
    latents = identity.pairs(50, np.random.default_rng(0))
    one, other = latents[:50], latents[50:]
    same = (one == other).all(axis=0)
    wanted = np.zeros(N_LATENTS, bool)
    for name in identity.PERSON:
        wanted[slots()[name]] = True
    np.testing.assert_array_equal(same, wanted)


# The stages.


def test_phases_go_up_to_the_size_of_the_domain():
    sizes = [p.size for p in generator.phases(128)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 128
    assert [p.size for p in generator.phases(64)] == [s for s in sizes if s <= 64]
    assert all(p.steps == 1 for p in generator.phases(128, scale=1e-9))


def test_mapping_and_noise_stand_while_the_rest_learns():
    net = generator.Generator(32, 128, 2, 512, 32)
    generator.optimizer_of(net, generator.Phase(32, 1, 1))
    fixed = {n for n, p in net.named_parameters() if not p.requires_grad}
    strengths = {n for n, _ in net.named_parameters() if n.endswith("noise.weight")}
    assert fixed == strengths | {n for n, _ in net.named_parameters() if n.startswith("style.")}


def test_persons_have_places_of_their_own():
    latents = identity.pairs(20, np.random.default_rng(1))
    places = identity.places(latents, 128)
    similarity = places[:20] @ places[20:].t()
    # Same numbers, but what they mean may hang on the day: hair has a say in nothing here.
    assert (similarity.argmax(dim=1) == torch.arange(20)).all()
    torch.testing.assert_close(similarity.diagonal(), torch.ones(20), atol=1e-4, rtol=0)


def test_the_encoder_starts_without_offsets(small):
    net = encoder.build(TINY, clip.build(TINY_CLIP)).eval()
    images = torch.rand(2, 3, TINY.encoder_size, TINY.encoder_size) * 2 - 1
    codes = net(images)
    assert (codes == codes[:, :1]).all()
    for head in net.styles:
        torch.nn.init.normal_(head.linear.weight)
    net.styles[1:].requires_grad_(False)
    for head in net.styles[1:]:
        head.linear.weight.zero_()
    assert net(images).std() > 0.01  # the signal comes through all layers of a head


@pytest.fixture(scope="module")
def small():
    """Makes the stages small: the text-image model, the identity network and the batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip, "SMALL", TINY_CLIP)
        patch.setattr(irse, "SMALL", {"widths": (16,) * 4, "units": (1,) * 4, "embedding_dim": 96})
        patch.setattr(mapping, "SCENES", 300)
        patch.setattr(pool, "EDITS", 300)
        grown = (generator.Phase(32, STEPS, 4), generator.Phase(64, STEPS, 4))
        patch.setattr(generator, "phases", lambda size, scale: grown)
        for name, preset in [*PRESETS.items()]:
            batch = preset.batch if name == "mapping" else 4
            shorter = replace(preset, steps=STEPS, batch=batch)
            patch.setitem(presets.PRESETS, name, shorter)
        yield


def prepare(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    words = torch.randn(49408, 48, generator=torch.Generator().manual_seed(0))
    torch.save(words, folder / "words.pt")  # in place of a sentence model's
    places = torch.randn(8, 96, generator=torch.Generator().manual_seed(1))
    torch.save({"texts": ["a spotted face"] * 8, "places": places}, folder / "phrases.pt")
    return folder


@pytest.fixture(scope="module")
def trained(small, images, tmp_path_factory):
    """The run folder after all stages, a few steps each."""
    folder = prepare(tmp_path_factory.mktemp("run"))
    for stage in STAGES:
        train(stage, TINY, images, folder, resume=False, scale=1)
    return folder


def test_training_can_start_from_given_weights(trained, images, tmp_path):
    net = RemapperGenerator(64, 256, 2, TINY.channel_base, TINY.channel_max, TINY.text_dim)
    save_file(net.state_dict(), tmp_path / "given.safetensors")
    run = prepare(tmp_path / "run")
    (run / "clip.safetensors").symlink_to(trained / "clip.safetensors")
    generator.train_generator(TINY, images, run, resume=False, start=tmp_path / "given.safetensors")
    after = load_file(run / "generator.safetensors")
    stages = {f.stem for f in run.glob("generator*.pt")}
    assert stages == {"generator-32", "generator-64"}  # the lower layers first
    for key, value in net.style.state_dict().items():
        assert torch.equal(after[f"style.{key}"].float(), value.half().float())
    change = after["conv1.conv.weight"].float() - net.conv1.conv.weight
    assert 0 < change.abs().max() < 0.5


def test_every_stage_writes_its_weights(trained):
    for stage in STAGES:
        state = load_file(trained / f"{stage}.safetensors")
        floats = [x for x in state.values() if x.is_floating_point()]
        assert all(x.dtype == torch.float16 and x.isfinite().all() for x in floats)


def test_the_remapper_stage_trains_nothing_else(trained):
    before = load_file(trained / "generator.safetensors")
    after = load_file(trained / "remapper.safetensors")
    assert all(torch.equal(after[key], value) for key, value in before.items())
    own = after.keys() - before.keys()
    assert {key.split(".")[0] for key in own} == {"affine_mlps", "lambdas"}
    start = torch.tensor(0.05).half()
    assert any(not torch.equal(after[k], start) for k in own if k.startswith("lambdas"))


def test_the_demo_takes_what_training_exports(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(domains, "ROOT", tmp_path)
    RunWeights(TINY, trained).export(TINY.folder)
    editor = Editor(load_models(TINY))
    inversion = editor.invert(picture(), align="none")
    edit = editor.edit(inversion, "a smiling woman with red hair")
    assert edit.image.size == (64, 64)
    assert edit.image.tobytes() != inversion.image.tobytes()
    assert editor.edit(inversion, "glasses", 0).image.tobytes() == inversion.image.tobytes()


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_resumes_to_the_same_weights(stage, trained, images, tmp_path, monkeypatch):
    folder = prepare(tmp_path / "again")
    made_by = {stage: stage for stage in STAGES} | {"editing-encoder": "adapter"}
    for file in trained.glob("*.safetensors"):
        if STAGES.index(made_by[file.stem]) < STAGES.index(stage):
            (folder / file.name).symlink_to(file)
    module = {
        "generator": generator,
        "clip": clip_stage,
        "identity": identity,
        "encoder": encoder,
        "adapter": adapter,
        "remapper": remapper,
    }[stage]

    def run(part: loop.TrainingRun, folder: Path, *, resume: bool) -> None:
        first = part.name in (
            "generator-32",
            "clip-text",
            "encoder-base",
            "adapter-base",
            "adapter-rows",
        )
        killed = part if first else dying(part, STEPS - 1)
        loop.run(killed, folder, resume=resume, save_every=0)

    with monkeypatch.context() as patch:
        patch.setattr(module, "run", run)
        with pytest.raises(Killed):
            train(stage, TINY, images, folder, resume=False, scale=1)
    train(stage, TINY, images, folder, resume=True, scale=1)
    for file in trained.glob("*.safetensors"):
        if made_by[file.stem] == stage:
            assert_same(load_file(folder / file.name), load_file(file))


def test_teachers_are_frozen(trained):
    teachers = batches.load_teachers(RunWeights(TINY, trained))
    nets = [teachers.generator, teachers.encoder, teachers.text_image.model, teachers.identity]
    for net in [*nets, teachers.perceptual.layers]:
        assert not any(p.requires_grad for p in net.parameters())
        assert not any(m.training for m in net.modules())


@pytest.fixture(scope="module")
def batch(trained, images):
    teachers = batches.load_teachers(RunWeights(TINY, trained))
    rendered = data.load(images)
    rngs = (np.random.default_rng(seed) for seed in range(1, 20))
    drawn = (batches.make_batch(teachers, rendered, 8, rng) for rng in rngs)
    return teachers, next(batch for batch in drawn if batch.asks.any())


def test_a_batch_of_edits(batch):
    teachers, b = batch
    assert b.images.shape == (8, 3, 64, 64)
    assert b.w_plus.shape == (8, teachers.generator.n_latent, 256)
    assert b.prompt.shape == b.caption.shape == (8, 96)
    assert b.prompt.dtype == b.shift.dtype == torch.float32
    assert b.asks.sum() > 2
    # The generator's own pictures are its pictures of the scenes' w, the renders are not.
    codes = teachers.encoder(fit(b.images, 32)) + teachers.latent_avg
    torch.testing.assert_close(codes, b.w_plus, atol=1e-4, rtol=1e-4)


def test_the_objective_is_the_weighted_sum_of_the_paper(batch):
    teachers, b = batch
    torch.manual_seed(0)
    drawn = (b.images + 0.3 * torch.randn_like(b.images)).requires_grad_()
    source = b.images.flip(0)
    faces = [objective.face_features(teachers.identity, x) for x in (drawn, b.images)]
    embedded = [teachers.text_image.embed_image(x) for x in (source, drawn)]
    way = objective.directional_clip_loss(*embedded, b.caption, b.prompt)
    scales = replace(presets.STAGE_ONE, clip=1.75)
    expected = {
        "identity": 0.1 * (1 - (faces[0] * faces[1]).sum(dim=1)).mean(),
        "l2": 1.0 * (drawn - b.images).square().mean(),
        "lpips": 0.6 * teachers.perceptual(drawn, b.images),
        "clip": 1.75 * way[b.asks].mean(),
        "w_norm": 0.005 * objective.w_norm_loss(b.w_plus, teachers.latent_avg),
    }
    call = (drawn, b.images, source, b.w_plus, b.caption, b.prompt)
    loss, parts = objective.objective(teachers, scales, *call, b.asks)
    assert parts == pytest.approx({k: v.item() for k, v in expected.items()}, rel=1e-4)
    assert loss.item() == pytest.approx(sum(v.item() for v in expected.values()), rel=1e-4)
    (gradient,) = torch.autograd.grad(loss, drawn)
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).all()
    _, parts = objective.objective(teachers, scales, *call, torch.zeros_like(b.asks))
    assert parts["clip"] == 0  # a prompt that asks for nothing has no direction


def test_the_prompts_of_a_batch_all_ask_or_none_does(frequency):
    """As in the authors' code."""
    latents = random_latents(12, np.random.default_rng(0))
    shares = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        batch = edits.sample(latents, frequency, rng, together=True)
        shares.append((batch.edited_latents != latents).any(axis=1).mean())
    none = [share for share in shares if share == 0]
    assert 2 <= len(none) <= 20
    assert min(share for share in shares if share) > 0.4


def test_the_cycle_pass_asks_for_the_original_caption(trained, batch):
    teachers, b = batch
    learner = adapter.build(TINY)
    edited = (1.5 * b.images.flip(3)).requires_grad_()  # the authors do not clamp it
    asked = []

    def draw(w_plus: Tensor, text: Tensor) -> Tensor:
        asked.append((w_plus, text))
        return teachers.generator(w_plus, noise="none")

    loss = objective.cycle_loss(teachers, presets.STAGE_ONE, edited, b, learner, draw)
    ((w_plus, text),) = asked
    assert text is b.caption
    features = teachers.encoder.trunk_features(fit(edited.detach(), 32))
    codes = teachers.encoder.heads(*features) + teachers.latent_avg
    residual = teachers.encoder.heads(*learner(features, b.caption))
    torch.testing.assert_close(w_plus, codes + 0.1 * residual)
    # From the edited pictures, which the prompt describes, back to the originals and their caption.
    drawn, texts = teachers.generator(w_plus, noise="none"), (b.prompt, b.caption)
    expected, _ = objective.objective(
        teachers, presets.STAGE_ONE, drawn, b.images, edited, w_plus, *texts, b.asks
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward()
    assert edited.grad is None
    assert all(p.grad is not None for p in learner.parameters())


# Weights.


def test_weights_go_through_fp16(tmp_path):
    state = {"a": torch.randn(3, 4), "count": torch.tensor(7)}
    weights = RunWeights(TINY, tmp_path)
    weights.write("encoder", state)
    back = weights.read("encoder")
    assert torch.equal(back["a"], state["a"].half().float())
    assert torch.equal(back["count"], state["count"])


@pytest.mark.parametrize(
    ("part", "stage"), [("encoder", "encoder"), ("editing-encoder", "adapter")]
)
def test_a_missing_part_names_the_stage_to_run(part, stage, tmp_path):
    with pytest.raises(CheckpointError, match=rf"python -m clipinverter\.training {stage} first"):
        RunWeights(TINY, tmp_path).encoder(part)


def test_an_unfinished_generator_is_refused(tmp_path):
    half = replace(TINY, image_size=32)
    small_one = generator.Generator(32, 256, 2, half.channel_base, half.channel_max)
    RunWeights(half, tmp_path).write("generator", small_one.state_dict())
    with pytest.raises(CheckpointError, match="not finished"):
        RunWeights(TINY, tmp_path).generator_with_new_remapper()
    assert RunWeights(half, tmp_path).generator_with_new_remapper().size == 32


def test_export_takes_the_networks_that_were_trained_further(tmp_path):
    weights = RunWeights(TINY, tmp_path / "run")
    for part in (*STAGES, "editing-encoder"):
        weights.write(part, {part: torch.ones(1)})
    weights.export(tmp_path / "out")
    found = {f.stem: set(load_file(f)) for f in (tmp_path / "out").iterdir()}
    wanted = {part: {part} for part in ("adapter", "clip", "identity")}
    assert found == wanted | {"generator": {"remapper"}, "encoder": {"editing-encoder"}}


def test_the_adapter_trains_the_heads_and_nothing_else_of_the_encoder(trained):
    before = load_file(trained / "encoder.safetensors")
    after = load_file(trained / "editing-encoder.safetensors")
    assert before.keys() == after.keys()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert {key.split(".")[0] for key in changed} == {"styles"}


def test_the_distance_of_residuals_counts_error_and_shortfall():
    true = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    rows = true[:, None].expand(-1, 3, -1)
    asks = torch.tensor([True, False])

    def distance(shift: Tensor) -> float:
        return adapter.distance(shift, rows, asks).item()

    assert distance(rows) == pytest.approx(0, abs=1e-5)
    assert distance(0 * rows) == pytest.approx(1 + ADAPTER_LOSSES.short, rel=1e-4)
    assert distance(0.5 * rows) == pytest.approx(0.25 + 0.25 * ADAPTER_LOSSES.short, rel=1e-4)
    # Going too far is an error, but no shortfall; so is going anywhere where nothing was asked for.
    assert distance(2 * rows) == pytest.approx(1, rel=1e-4)
    aside = torch.zeros(2, 3, 2)
    aside[1, :, 1] = 2.0
    assert distance(rows + aside) == pytest.approx(1, rel=1e-4)


def test_labels_are_compared_by_what_the_anchors_say():
    """Only what the zero-shot questions ask about counts."""
    places = clip_stage.anchors(256)
    hat, smile = (places[data.NAMES.index(name)] for name in ("hat", "smiling"))
    image = (hat + smile)[None].repeat(2, 1)
    assert clip_stage.label_distance(image, image).item() == pytest.approx(0, abs=1e-5)
    other = (hat + 0.2 * smile)[None].repeat(2, 1).requires_grad_()
    loss = clip_stage.label_distance(other, image)
    loss.backward()
    assert loss > 0
    assert (other.grad @ smile < 0).all()


def test_what_is_to_be_clearer_counts_until_it_is():
    places = clip_stage.anchors(256)
    hat, smile = (places[data.NAMES.index(name)] for name in ("hat", "smiling"))
    image = (hat + 0.05 * smile)[None]
    clearer = torch.zeros(1, len(data.NAMES))
    clearer[0, data.NAMES.index("smiling")] = 1.0
    asked = image.clone().requires_grad_()
    loss = clip_stage.label_distance(asked, image, clearer)
    loss.backward()
    assert loss > 0
    assert asked.grad[0] @ smile < 0
    clear = (hat + 0.1 * smile)[None]
    excess = clip_stage.label_distance(clear, image, clearer)
    assert excess.item() == pytest.approx(clip_stage.label_distance(clear, image).item(), abs=1e-6)


def test_a_plain_tower_sees_the_same():
    model = clip.build(TINY_CLIP)
    for module in model.model.visual.modules():
        if hasattr(module, "running_var"):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.uniform_(-0.5, 0.5)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = model.embed_image(images)
        model.model.visual = mobilenet.plain_tower(model.model.visual)
        torch.testing.assert_close(model.embed_image(images), expected, rtol=1e-3, atol=1e-4)


def test_word_vectors_become_a_plain_table():
    net = clip_stage.WordVectors(torch.randn(50, 24), 8).eval()
    tokens = torch.tensor([[1, 7, 49]])
    table = net.embedding()
    torch.testing.assert_close(table(tokens), net(tokens))
    assert table.weight.shape == (50, 8)
    assert not torch.equal(net.train()(tokens), net(tokens))  # neighbours in meaning


def test_words_kept_for_measuring_are_in_no_phrase():
    from open_clip import SimpleTokenizer

    texts = phrases.phrases(SimpleTokenizer(), np.random.default_rng(0))
    assert len(texts) > 20_000
    said = {word for text in texts for word in text.split()}
    assert not said & phrases.reserved_words()
    assert {"spectacles", "auburn", "whiskers"} <= phrases.reserved_words()
    assert "cheerful" in said


def test_phrases_mean_what_they_resemble(monkeypatch):
    """Texts as points on a circle: the place of a text lies between those of the known ones, near the nearest."""
    angles = {"glasses": 0.0, "a hat": 90.0, "specs": 0.0, "goggles": 30.0, "a helmet": 85.0}

    def vectors(texts):
        turned = torch.deg2rad(torch.tensor([angles[text] for text in texts]))
        return 3 * torch.stack([turned.cos(), turned.sin()], dim=1)

    monkeypatch.setattr(phrases, "sentence_vectors", vectors)
    places = torch.eye(4)[:2]
    found = phrases.meanings(["glasses", "a hat"], places, ["specs", "goggles", "a helmet"])
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(found[0], places[0], atol=1e-4, rtol=0)
    assert found[1, 0] > found[1, 1] > found[0, 1]
    assert found[2, 1] > 0.99


def test_edits_and_features_are_computed_once(trained, images, monkeypatch):
    teachers = batches.load_teachers(RunWeights(TINY, trained))
    rendered = data.load(images)
    seen = pool.encode_set(teachers, rendered, coarse=False)
    maps = seen.features
    assert all(len(x) == 2 * len(rendered) for x in (*maps, seen.w_plus))
    picture, augmented = seen.missed(torch.tensor([1, 1 + len(rendered)]))
    w_plus = w_space.w_of(rendered.latents[1:2], TINY.style_dim) - picture
    torch.testing.assert_close(w_plus, seen.w_plus[1].float(), rtol=1e-4, atol=1e-4)
    assert not torch.equal(picture, augmented)
    plain = teachers.features(rendered.batch(np.arange(len(rendered)), TINY.encoder_size))
    for kept, x in zip(maps, plain, strict=True):  # bfloat16 where the CPU has it
        torch.testing.assert_close(kept[: len(rendered)].float(), x, rtol=0.1, atol=0.1)
        assert not torch.equal(kept[: len(rendered)], kept[len(rendered) :])
    found = pool.known_edits(teachers, rendered, trained, count=64)
    assert len(found) == 64
    assert 0 < (found.shift.abs().amax(dim=1) > 0).float().mean() < 1
    assert found.asked.any(dim=1).all()
    monkeypatch.setattr(pool.edits, "sample", None)  # kept in a file
    assert torch.equal(pool.known_edits(teachers, rendered, trained, count=64).text, found.text)


def test_the_ablation_measures_each_part(trained, images, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "STEPS", 1)
    monkeypatch.setattr(ablation, "SCENES", 4)
    monkeypatch.setattr(ablation, "EACH", 1)
    monkeypatch.setattr(ablation, "LOSSES", ("clip",))
    monkeypatch.setattr(ablation.editing, "EDITS", {"hat": "a hat"})
    monkeypatch.setattr(ablation.editing, "SEVERAL", {"a hat and a smile": ("hat", "smiling")})
    ablation.ablate(TINY, images, trained, resume=False)
    report = json.loads((trained / "ablation.json").read_text())
    nothing, clip_off = (f"last stage, 1 steps, {x}" for x in ("all losses", "without clip"))
    assert set(report) == {"finished", "adapter only", "remapper only", nothing, clip_off}
    # Each case is another edit.
    assert len({row["counterfactual_ratio"] for row in report.values()}) == 5
    monkeypatch.setattr(ablation, "measure", None)  # what it has is kept
    ablation.ablate(TINY, images, trained, resume=True)
    assert "remapper only" in capsys.readouterr().out
