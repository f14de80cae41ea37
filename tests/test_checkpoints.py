"""Published containers load, whatever variant; everything else is refused in a clear sentence."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipinverter.weights.files import CheckpointError, load_weights, save_weights
from clipinverter.weights.published import load_arcface, load_clipinverter, load_e4e, load_stylegan2

LOADERS = [load_stylegan2, load_e4e, load_clipinverter, load_arcface]
N_LATENT, WIDTH = 4, 6


def _e4e_content(latent_avg):
    heads = {
        f"encoder.styles.{i}.linear.weight": torch.full((WIDTH, 2), float(i))
        for i in range(N_LATENT)
    }
    return {
        "state_dict": {**heads, "encoder.body.0.weight": torch.ones(2), "decoder.x": torch.ones(1)},
        "latent_avg": latent_avg,
        "opts": {"stylegan_size": 16},
    }


def _clipinverter_content(opts, remapper=True):
    state = {"adapter.a.weight": torch.arange(3.0), "decoder.conv1.bias": torch.ones(1)}
    if remapper:
        state |= {
            "decoder.affine_mlps.0.0.weight": torch.ones(1),
            "decoder.lambdas.0": torch.ones(1),
        }
    return {"state_dict": state, "opts": opts}


def _arcface_content():
    return {"input_layer.0.weight": torch.ones(2), "output_layer.3.weight": torch.ones(2)}


def _saved(path, content, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
class TestPublishedContainers:
    """Both of PyTorch's file formats: the older published files predate the zip format."""

    def test_stylegan2(self, tmp_path, legacy):
        content = {"g_ema": {"input.input": torch.arange(4.0)}, "latent_avg": torch.zeros(WIDTH)}
        state = load_stylegan2(_saved(tmp_path / "g.pt", content, legacy))
        assert state.keys() == {"input.input"}
        assert torch.equal(state["input.input"], torch.arange(4.0))

    @pytest.mark.parametrize("shape", [(WIDTH,), (1, WIDTH), (N_LATENT, WIDTH)])
    def test_e4e(self, tmp_path, legacy, shape):
        latent_avg = torch.randn(shape)
        e4e = load_e4e(_saved(tmp_path / "e.pt", _e4e_content(latent_avg), legacy))
        assert "body.0.weight" in e4e.encoder
        assert len(e4e.encoder) == N_LATENT + 1
        assert torch.equal(e4e.encoder["styles.3.linear.weight"], torch.full((WIDTH, 2), 3.0))
        assert e4e.latent_avg.shape == (N_LATENT, WIDTH)
        assert torch.equal(e4e.latent_avg, latent_avg.broadcast_to(N_LATENT, WIDTH))
        assert e4e.opts == {"stylegan_size": 16}

    @pytest.mark.parametrize("remapper", [True, False])
    def test_clipinverter(self, tmp_path, legacy, remapper):
        opts = {"stylegan_size": 1024, "start_from_latent_avg": True}
        loaded = load_clipinverter(
            _saved(tmp_path / "c.pt", _clipinverter_content(opts, remapper), legacy)
        )
        assert torch.equal(loaded.adapter["a.weight"], torch.arange(3.0))
        assert "conv1.bias" in loaded.decoder
        assert loaded.opts == opts
        assert loaded.has_remapper is remapper

    def test_arcface(self, tmp_path, legacy):
        assert load_arcface(_saved(tmp_path / "a.pth", _arcface_content(), legacy)).keys() == (
            _arcface_content().keys()
        )

    def test_options_as_argparse_leaves_them(self, tmp_path, legacy):
        opts = argparse.Namespace(
            stylegan_size=1024,
            lr=np.float64(5e-4),
            best=np.float32(0.5),
            steps=np.int64(7),
            resume=np.bool_(True),
            checkpoint_path=None,
            layers=[1, (2, "x")],
        )
        loaded = load_clipinverter(_saved(tmp_path / "c.pt", _clipinverter_content(opts), legacy))
        assert loaded.opts == vars(opts)


def test_options_pickled_under_numpy_1(tmp_path):
    """numpy 2 renamed the module that its scalars are pickled by; published files have the old."""
    content = _clipinverter_content({"lr": np.float64(0.25)})
    path = _saved(tmp_path / "c.pt", content, legacy=True)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    assert load_clipinverter(path).opts == {"lr": 0.25}


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, load, legacy):
    trace = tmp_path / "ran"
    content = _clipinverter_content({"x": _Malicious(trace)})
    path = _saved(tmp_path / "bad.pt", content, legacy)
    with pytest.raises(CheckpointError, match=r"bad\.pt asks for \w+\.mkdir.*could run any code"):
        load(path)
    assert not trace.exists()
    with open(path, "rb") as file:  # the attack itself works: an unsafe load would have run it
        torch.load(file, weights_only=False)
    assert trace.exists()


@pytest.mark.parametrize("load", LOADERS)
class TestRefused:
    @pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
    @pytest.mark.parametrize("keep", [0.02, 0.5, 0.99])
    def test_truncated(self, tmp_path, load, legacy, keep):
        content = _e4e_content(torch.zeros(N_LATENT, WIDTH)) | {"g_ema": {"x": torch.ones(999)}}
        path = _saved(tmp_path / "cut.pt", content, legacy)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        with pytest.raises(CheckpointError, match=r"cut\.pt is damaged .* Download it again"):
            load(path)

    @pytest.mark.parametrize("text", ["Quota exceeded, try again later.\n", "<svg/>"])
    def test_text(self, tmp_path, load, text):
        path = tmp_path / "text.pt"
        path.write_text(text)
        with pytest.raises(CheckpointError, match=r"text\.pt is damaged or not a PyTorch"):
            load(path)

    def test_not_there(self, tmp_path, load):
        with pytest.raises(CheckpointError, match=r"none\.pt does not exist"):
            load(tmp_path / "none.pt")
        with pytest.raises(CheckpointError, match="is a folder"):
            load(tmp_path)
        (tmp_path / "empty.pt").touch()
        with pytest.raises(CheckpointError, match=r"empty\.pt is empty"):
            load(tmp_path / "empty.pt")

    def test_other_content(self, tmp_path, load):
        for content, words in [
            ([torch.ones(1)], "holds a list"),
            ({"state_dict": 3}, "holds other weights"),
            ({"state_dict": {"mapper.x": torch.ones(1)}}, "holds StyleCLIP mapper weights"),
        ]:
            with pytest.raises(CheckpointError, match=words):
                load(_saved(tmp_path / "other.pt", content))


@pytest.mark.parametrize(
    ("load", "content", "message"),
    [
        (
            load_clipinverter,
            _e4e_content(torch.zeros(WIDTH)),
            "holds e4e weights; CLIPInverter weights",
        ),
        (load_e4e, _clipinverter_content({}), "holds CLIPInverter weights; e4e weights"),
        (load_stylegan2, _arcface_content(), "holds ArcFace weights"),
        (load_arcface, {"g_ema": {}}, "holds StyleGAN2 weights"),
        (load_e4e, _e4e_content([1.0]), "`latent_avg` should be a tensor"),
        (load_e4e, _e4e_content(torch.zeros(3, WIDTH)), "does not fit 4 latent rows"),
        (load_e4e, _e4e_content(torch.tensor(1.0)), "does not fit 4 latent rows"),
        (load_stylegan2, {"g_ema": {"x": "y"}}, "`x` should be a tensor"),
        (load_stylegan2, {"g_ema": 1}, "holds incomplete StyleGAN2"),
        (load_clipinverter, _clipinverter_content([1]), "`opts` should be a dict, not a list"),
    ],
)
def test_wrong_or_incomplete_files_are_named(tmp_path, load, content, message):
    with pytest.raises(CheckpointError, match=message):
        load(_saved(tmp_path / "file.pt", content))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_damage_is_either_refused_or_harmless(tmp_path, data):
    """Flipped bytes never raise anything but CheckpointError."""
    legacy = data.draw(st.booleans())
    path = _saved(tmp_path / "f.pt", _clipinverter_content({"a": 1}), legacy)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        loaded = load_clipinverter(path)
    except CheckpointError:
        return
    assert all(isinstance(value, torch.Tensor) for value in loaded.adapter.values())


class TestWeights:
    def test_round_trip_is_float32_rounded_to_half(self, tmp_path):
        weights = {"a.weight": torch.randn(5, 3), "n": torch.tensor(7)}
        digest = save_weights(tmp_path / "sub" / "w.safetensors", weights)
        loaded = load_weights(tmp_path / "sub" / "w.safetensors", digest)
        assert loaded["a.weight"].dtype == torch.float32
        assert torch.equal(loaded["a.weight"], weights["a.weight"].half().float())
        assert loaded["n"].dtype == torch.int64
        assert loaded["n"] == 7
        assert [p.name for p in (tmp_path / "sub").iterdir()] == ["w.safetensors"]

    def test_transposed_and_shared_tensors_are_written(self, tmp_path):
        base = torch.arange(6.0).reshape(2, 3)
        save_weights(tmp_path / "w.safetensors", {"a": base.T, "b": base, "c": base})
        loaded = load_weights(tmp_path / "w.safetensors")
        assert torch.equal(loaded["a"], base.T)
        assert torch.equal(loaded["c"], base)

    def test_values_beyond_half_precision_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="not finite in fp16: big"):
            save_weights(tmp_path / "w.safetensors", {"big": torch.tensor([1e6])})
        assert not list(tmp_path.iterdir())

    def test_tampered(self, tmp_path):
        path = tmp_path / "w.safetensors"
        digest = save_weights(path, {"a": torch.ones(8)})
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        assert not torch.equal(load_weights(path)["a"], torch.ones(8))
        with pytest.raises(CheckpointError, match=r"w\.safetensors is not the expected file"):
            load_weights(path, digest)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "does not exist"),
            (b"", "is empty"),
            (b"no weights at all", "damaged or not a safetensors file"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ],
    )
    def test_unusable(self, tmp_path, content, message):
        path = tmp_path / "w.safetensors"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            load_weights(path)

    def test_truncated(self, tmp_path):
        path = tmp_path / "w.safetensors"
        save_weights(path, {"a": torch.ones(8)})
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(CheckpointError, match="damaged"):
            load_weights(path)
