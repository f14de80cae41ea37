"""StyleCLIP against outputs of the authors' published code (see tests/golden/fill.py and test_golden.py)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipinverter.methods.global_direction import auto_beta, boundary, templates, text_direction
from clipinverter.methods.relevance import channel_relevance, convolutions
from clipinverter.methods.settings import Settings
from clipinverter.models.latent_mapper import SCALE, network_for
from clipinverter.models.stylegan2 import Generator
from tests.golden import fill
from tests.test_golden import assert_close, assert_image, entries, filled

WIDTHS = [512] * 15 + [256] * 3 + [128] * 3 + [64] * 3 + [32] * 2


@pytest.fixture(scope="module")
def generator(golden) -> Generator:
    with torch.device("meta"):
        net = Generator(1024)
    net.load_state_dict(filled(golden.salt, "styleclip_mapper", "decoder."), assign=True)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def draw(golden):
    """`draw(name, *shape)`: an input tensor."""
    return lambda name, *shape: torch.from_numpy(fill.normal_input(golden.salt, name, shape))


@pytest.mark.parametrize(
    "checkpoint",
    ["styleclip_mapper", "styleclip_mapper_single", "styleclip_mapper_stylespace"],
)
def test_the_keys_of_every_kind_of_mapper_are_the_official_ones(golden, checkpoint):
    weights = filled(golden.salt, checkpoint, "mapper.")
    ours = {(key, tuple(x.shape)) for key, x in network_for(weights).state_dict().items()}
    official = {(key, tuple(shape)) for key, shape, _ in entries(checkpoint, "mapper.")}
    assert {(f"mapper.{key}", shape) for key, shape in ours} == official


def test_case_07_mapper(golden, generator, draw):
    case = golden.case("07_styleclip_mapper")
    weights = filled(golden.salt, "styleclip_mapper", "mapper.")
    mapper = network_for(weights)
    w_plus = draw("wplus_mapper", 1, 18, 512)
    delta = mapper(w_plus)
    w_hat = w_plus + SCALE * delta
    assert_close(delta, case["delta"], "delta")
    assert_close(w_hat, case["w_hat"], "w_hat")
    assert_close(mapper(draw("wplus_mapper_b2", 2, 18, 512)), case["delta_b2"], "delta_b2")
    assert_image(generator(w_plus), case, "image_source")
    assert_image(generator(w_hat), case, "image")

    without = network_for({k: v for k, v in weights.items() if not k.startswith("medium")})
    assert_close(without(w_plus), case["delta_no_medium"], "delta_no_medium")

    single = network_for(filled(golden.salt, "styleclip_mapper_single", "mapper."))
    assert_close(single(w_plus), case["single_delta"], "single_delta")
    space = network_for(filled(golden.salt, "styleclip_mapper_stylespace", "mapper."))
    delta = torch.cat(space(generator.styles(w_hat)), dim=1)
    assert_close(delta, case["stylespace_delta"], "stylespace_delta")


def test_case_08_boundary(golden, draw):
    case = golden.case("08_global_directions")
    dt = F.normalize(draw("dt", 512), dim=0)
    fs3 = F.normalize(draw("fs3", 6048, 512) + draw("fs3_corr", 6048, 1) * dt, dim=1)
    agreement = fs3 @ dt
    assert_close(agreement, case["fs3_dot_dt"], "fs3_dot_dt")
    spread = [1 + 0.1 * draw(f"code_std_{i:02}", width).abs() for i, width in enumerate(WIDTHS)]
    with torch.device("meta"):
        layers = convolutions(Generator(1024))
    assert sum(WIDTHS[i] for i in layers) == 6048
    moves, count = boundary(agreement, case["beta"].item(), spread, layers)
    assert count == case["num_c"]
    assert_close(torch.cat(moves), case["boundary"], "boundary")
    moves, count = boundary(agreement[:5376], case["beta"].item(), spread, layers)
    assert count == case["short_num_c"]
    assert_close(torch.cat(moves), case["short_boundary"], "short_boundary")

    betas = Settings().betas
    assert np.allclose(betas, case["betas"])
    counts = [boundary(agreement, beta, spread, layers)[1] for beta in betas]
    assert counts == case["num_c_per_beta"].tolist()
    assert auto_beta(agreement, Settings().least, betas) == pytest.approx(case["auto_beta"].item())


def test_case_08_style_space(golden, generator, draw):
    case = golden.case("08_global_directions")
    styles = generator.styles(draw("wplus_s", 2, 18, 512))
    assert_close(torch.cat(styles, dim=1), case["s_codes"], "s_codes")
    moves = torch.from_numpy(case["boundary"]).split(WIDTHS)
    alphas = (-4, 0, 3)
    edited = [[s + alpha * move for s, move in zip(styles, moves, strict=True)] for alpha in alphas]
    codes = torch.stack([torch.cat(each, dim=1) for each in edited], dim=1)
    assert_close(codes, case["edited_codes"], "edited_codes")
    two = [s + 3 * m * (i in (5, 6)) for i, (s, m) in enumerate(zip(styles, moves, strict=True))]
    assert_close(
        torch.cat(two, dim=1)[0], case["edited_codes_layers_5_6"], "edited_codes_layers_5_6"
    )
    for alpha, each in zip(alphas[1:], edited[1:], strict=True):
        assert_image(generator.render([s[:1] for s in each]), case, f"image_alpha{alpha}")


def test_case_08_texts_and_relevance(golden, draw):
    case = golden.case("08_global_directions")
    assert len(templates()) == case["n_templates"]
    neutral, target = (draw(f"text_templates_{name}", 79, 512) for name in ("neutral", "target"))
    assert_close(text_direction(neutral, target), case["dt_from_templates"], "dt_from_templates")
    pictures = draw("single_channel", 16, 5, 2, 512)
    relevance = channel_relevance(pictures[:, :, 0], pictures[:, :, 1])
    assert_close(relevance, case["fs3_from_single_channel"], "fs3_from_single_channel")
