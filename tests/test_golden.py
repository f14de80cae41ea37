"""The networks against outputs of the authors' published code (see tests/golden/fill.py).

Distances are `max|a - b| / rms(golden)`. The published code itself moves by up to 1.5e-5 between
float32 and float64; every mistake that was tried moves a result by 1e-2 or more.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.models.adapter import Adapter
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace, face_crop, face_features
from clipinverter.models.losses import identity_loss
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.models.stylegan2 import Generator
from clipinverter.weights import published
from tests.golden import fill

TOLERANCE = 1e-4
KEYS = json.loads((Path(__file__).parent / "golden" / "keys.json").read_text())


def entries(checkpoint: str, prefix: str = "") -> list[tuple[str, list[int], str]]:
    """Key, shape and dtype of a checkpoint's entries under `prefix`, which the keys keep."""
    return [tuple(entry) for entry in KEYS[checkpoint] if entry[0].startswith(prefix)]


def filled(salt: str, checkpoint: str, prefix: str = "") -> dict[str, Tensor]:
    """State dict by the fill rule, `prefix` removed from the keys."""
    return {
        key.removeprefix(prefix): torch.from_numpy(fill.fill(salt, checkpoint, key, shape))
        for key, shape, _ in entries(checkpoint, prefix)
    }


NETWORKS = {
    "stylegan2_1024": (lambda: Generator(1024), "stylegan2_1024", ""),
    "stylegan2_256": (lambda: Generator(256), "stylegan2_256", ""),
    "encoder": (lambda: Encoder("irse50", 1024), "e4e", "encoder."),
    "adapter": (lambda: Adapter(), "clipinverter", "adapter."),
    "decoder": (lambda: RemapperGenerator(1024), "clipinverter", "decoder."),
    "arcface": (lambda: ArcFace(), "arcface", ""),
}


@pytest.fixture(scope="module")
def network(golden):
    """`network(name)`: a filled network in eval mode, made once."""

    @cache
    def make(name: str) -> nn.Module:
        build, checkpoint, prefix = NETWORKS[name]
        with torch.device("meta"):
            net = build()
        net.load_state_dict(filled(golden.salt, checkpoint, prefix), strict=True, assign=True)
        return net.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="module")
def draw(golden):
    """`draw(name, *shape)`: an input tensor; `draw.image`, `draw.smooth`: image inputs."""

    def normal(name: str, *shape: int) -> Tensor:
        return torch.from_numpy(fill.normal_input(golden.salt, name, shape))

    normal.image = lambda name, size: torch.from_numpy(
        fill.image_input(golden.salt, name, (1, 3, size, size))
    )
    normal.smooth = lambda name, size: torch.from_numpy(fill.smooth_image(golden.salt, name, size))
    return normal


@pytest.fixture(scope="module")
def features(network, draw):
    """c1, c2, c3 of the noise image."""
    return network("encoder").trunk_features(draw.image("face256", 256))


def assert_close(actual: Tensor, expected: np.ndarray, name: str = "") -> None:
    actual = actual.squeeze(0) if actual.ndim == expected.ndim + 1 else actual
    actual = actual.numpy()
    assert actual.shape == expected.shape, name
    if expected.ndim == 0:
        distance = abs(actual - expected)
    else:
        distance = np.abs(actual - expected).max() / np.sqrt(np.mean(np.square(expected)))
    assert distance <= TOLERANCE, f"{name}: {distance:.1e}"


def assert_image(image: Tensor, case: dict[str, np.ndarray], name: str) -> None:
    """Compares the 64 px reduction and five crops at full resolution."""
    size = image.shape[-1]
    middle, end = size // 2 - 8, size - 16
    corners = {"tl": (0, 0), "tr": (0, end), "bl": (end, 0), "br": (end, end)}
    corners["c"] = (middle, middle)
    assert_close(F.avg_pool2d(image, size // 64), case[f"{name}_pool64"], f"{name}_pool64")
    for corner, (y, x) in corners.items():
        crop = image[..., y : y + 16, x : x + 16]
        assert_close(crop, case[f"{name}_crop_{corner}"], f"{name}_crop_{corner}")


def assert_features(features: tuple[Tensor, ...], case: dict[str, np.ndarray]) -> None:
    for name, x in zip(("c1", "c2", "c3"), features, strict=True):
        assert_close(x.mean(dim=(2, 3)), case[f"{name}_mean"], f"{name}_mean")
        assert_close(x.std(dim=(2, 3), correction=0), case[f"{name}_std"], f"{name}_std")
        assert_close(F.adaptive_avg_pool2d(x, 8), case[f"{name}_pool8"], f"{name}_pool8")


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_and_shapes_are_the_official_ones(name):
    build, checkpoint, prefix = NETWORKS[name]
    with torch.device("meta"):
        state = build().state_dict()
    ours = {(key, tuple(x.shape), str(x.dtype)) for key, x in state.items()}
    official = {
        (key.removeprefix(prefix), tuple(shape), f"torch.{dtype}")
        for key, shape, dtype in entries(checkpoint, prefix)
    }
    assert ours == official


@pytest.mark.parametrize("size", [1024, 256])
def test_case_01_generator(golden, network, draw, size):
    case = golden.case(f"01_stylegan2_{size}")
    net = network(f"stylegan2_{size}")
    image = net(draw(f"wplus_{size}", 1, net.n_latent, 512))
    assert_image(image, case, "image")
    assert_close(image.std(correction=0), case["image_std"], "image_std")

    w = net.mapping(draw(f"z_{size}", 2, 512))
    assert_close(w, case["mapping_w"], "mapping_w")
    mean = draw(f"trunc_mean_{size}", 1, 512)
    w_plus = (mean + 0.7 * (w[:1] - mean)).expand(net.n_latent, -1)
    assert_close(w_plus, case["latent_from_z_psi07"], "latent_from_z_psi07")
    assert_image(net(w_plus[None]), case, "image_from_z_psi07")


def test_case_02_encoder(golden, network, features):
    case = golden.case("02_e4e_encoder")
    assert_features(features, case)
    codes = network("encoder").heads(*features)
    assert_close(codes, case["codes"], "codes")
    assert_close(codes, case["forward_features"], "forward_features")
    assert_close(codes - codes[:, :1], case["delta_codes"], "delta_codes")


def test_case_03_adapter(golden, network, features, draw):
    adapted = network("adapter")(features, draw("text", 1, 512))
    assert_features(adapted, golden.case("03_clip_adapter"))


def test_case_04_remapper(golden, network, draw):
    case = golden.case("04_remapper_generator")
    net = network("decoder")
    vectors = net.remap_vectors(draw("text", 1, 512))
    assert_close(vectors, case["affine_out"], "affine_out")
    assert_close(torch.stack(list(net.lambdas)), case["lambdas"], "lambdas")

    w_plus = draw("wplus_remapper", 1, 18, 512)
    plain, remapped = net(w_plus), net(w_plus, vectors)
    assert_image(plain, case, "image_notext")
    assert_image(remapped, case, "image")
    effect = (remapped - plain).square().mean().sqrt()
    assert_close(effect, case["rms_text_effect"], "rms_text_effect")

    pair = net(draw("wplus_remapper_b2", 2, 18, 512), net.remap_vectors(draw("text_b2", 2, 512)))
    assert_close(F.avg_pool2d(pair, 16), case["batch2_pool64"], "batch2_pool64")


@pytest.fixture
def official_files(golden, network, tmp_path):
    """An e4e and a CLIPInverter file in the authors' formats; removed afterwards (1.2 GB)."""

    def part(prefix: str, name: str) -> dict[str, Tensor]:
        return {f"{prefix}.{key}": x for key, x in network(name).state_dict().items()}

    latent_avg = torch.from_numpy(fill.fill(golden.salt, "e4e", "latent_avg", (18, 512)))
    e4e = {"state_dict": part("encoder", "encoder"), "latent_avg": latent_avg, "opts": {}}
    clipinverter = {
        "state_dict": part("adapter", "adapter") | part("decoder", "decoder"),
        "opts": {
            "stylegan_size": 1024,
            "no_coarse_mapper": False,
            "no_medium_mapper": False,
            "no_fine_mapper": False,
            "start_from_latent_avg": True,
        },
    }
    files = tmp_path / "e4e.pt", tmp_path / "clipinverter.pt"
    for file, content in zip(files, (e4e, clipinverter), strict=True):
        torch.save(content, file)
    yield files
    for file in files:
        file.unlink()


def test_case_05_manipulation_from_official_files(golden, draw, official_files):
    """The whole edit, with weights that went through files in the authors' formats."""
    case = golden.case("05_manipulate")
    e4e_file, clipinverter_file = official_files
    e4e = published.load_e4e(e4e_file)
    clipinverter = published.load_clipinverter(clipinverter_file)
    with torch.device("meta"):
        encoder, adapter = Encoder("irse50", 1024), Adapter()
        decoder = RemapperGenerator(clipinverter.opts["stylegan_size"])
    for net, state in (
        (encoder, e4e.encoder),
        (adapter, clipinverter.adapter),
        (decoder, clipinverter.decoder),
    ):
        net.load_state_dict(state, strict=True, assign=True)
        net.eval().requires_grad_(False)
    assert_close(e4e.latent_avg, case["latent_avg"], "latent_avg")
    assert clipinverter.opts["start_from_latent_avg"]

    image, text = draw.image("face256", 256), draw("text", 1, 512)
    features = encoder.trunk_features(image)
    w = encoder.heads(*features) + e4e.latent_avg
    residual = encoder.heads(*adapter(features, text))
    w_hat = w + 0.1 * residual
    assert_close(w, case["w"], "w")
    assert_close(residual, case["residual"], "residual")
    assert_close(w_hat, case["w_hat"], "w_hat")

    vectors = decoder.remap_vectors(text)
    edited = decoder(w_hat, vectors)
    assert_image(edited, case, "image")
    assert_image(decoder(w), case, "inversion_notext")
    assert_image(decoder(w, vectors), case, "inversion_with_text")

    pixels = (((edited[0] + 1) / 2).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    crop = pixels[504:520, 504:520].astype(int)
    assert np.abs(crop - case["image_uint8_crop_c"]).max() <= 1
    means = torch.from_numpy(pixels.mean(axis=(0, 1)))
    assert_close(means, case["image_uint8_mean"], "image_uint8_mean")


def test_case_06_identity(golden, network, draw):
    case = golden.case("06_arcface_id")
    net = network("arcface")
    face, smooth = draw.image("face256", 256), draw.smooth("smooth256", 256)
    large = draw.smooth("smooth1024", 1024)

    crop = face_crop(face)
    assert_close(F.avg_pool2d(crop, 4), case["pooled112"], "pooled112")
    assert_close(net.body(net.input_layer(crop))[:, ::8], case["body_out"], "body_out")
    embedding = net(crop)
    assert_close(embedding, case["embedding_before_l2norm"], "embedding_before_l2norm")
    of_face, of_smooth, of_large = (face_features(net, x) for x in (face, smooth, large))
    assert_close(of_face, case["feat_face256"], "feat_face256")
    assert_close(of_smooth, case["feat_smooth256"], "feat_smooth256")
    assert_close(of_large, case["feat_smooth1024"], "feat_smooth1024")

    edited = torch.cat([of_face, of_smooth])
    target = torch.cat([of_smooth, of_large])
    source = torch.cat([of_large, of_face])
    assert_close(identity_loss(edited, target), case["id_loss"], "id_loss")
    sims = [(a * b).sum(dim=1) for a, b in ((edited, target), (edited, source), (target, source))]
    assert_close(torch.stack(sims, dim=1), case["sims"], "sims")
    improvement = (sims[0] - sims[2]).mean()
    assert_close(improvement, case["sim_improvement"], "sim_improvement")
