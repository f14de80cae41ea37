"""FFHQ's alignment, stage by stage, against the authors' published code (golden case 10)."""

import numpy as np
import pytest
from PIL import Image

from clipinverter.photo import align
from tests.golden import fill

PIXELS = 1e-6


@pytest.fixture(scope="module", params=["plain", "shrink", "pad"])
def case(request, golden):
    """The arrays of one photo, without their prefix."""
    prefix = f"{request.param}_"
    arrays = golden.case("10_alignment").items()
    return {key.removeprefix(prefix): value for key, value in arrays if key.startswith(prefix)}


@pytest.fixture(scope="module")
def photo(case):
    width, height, phase = case["photo_w_h_phase"]
    pixels = fill.synthetic_photo(int(width), int(height), phase)
    assert pixels.sum(dtype=np.int64) == case["photo_sum"]
    return Image.fromarray(pixels)


def test_quad(case):
    quad = align.ffhq_quad(case["landmarks"])
    assert np.array_equal(case["landmarks"], fill.synthetic_landmarks(*case["landmark_params"]))
    assert quad == pytest.approx(case["quad0"], abs=PIXELS)
    assert np.hypot(*(quad[3] - quad[0])) == pytest.approx(case["qsize0"], abs=PIXELS)


def test_shrink(case, photo):
    image, quad = align.shrink(photo, case["quad0"], 256)
    factor = int(case["shrink"])
    assert quad == pytest.approx(case["quad0"] / factor if factor > 1 else case["quad0"])
    assert image.size == tuple(case["size_shrunk"])
    assert quad == pytest.approx(case["quad_shrunk"], abs=PIXELS)
    assert np.hypot(*(quad[3] - quad[0])) == pytest.approx(case["qsize"], abs=PIXELS)


def test_cut(case, photo):
    assert align.border(case["quad_shrunk"]) == case["border"]
    before = photo.resize(tuple(case["size_shrunk"]))
    image, quad = align.cut(before, case["quad_shrunk"])
    left, top, right, bottom = case["crop"]
    assert case["quad_shrunk"] - quad == pytest.approx(np.tile([left, top], (4, 1)), abs=PIXELS)
    assert image.size == (right - left, bottom - top) == tuple(case["size_cropped"])


def test_pad(case, photo):
    cropped = photo.resize(tuple(case["size_shrunk"])).crop(tuple(case["crop"]))
    inner = case["quad_shrunk"] - case["crop"][:2]
    assert align.missing(cropped, inner) == tuple(case["pad_needed"])
    image, quad = align.pad(cropped, inner)
    left, top, right, bottom = case["pad"] * case["padded"]
    assert image.size == (cropped.width + left + right, cropped.height + top + bottom)
    assert image.size == tuple(case["size_final"])
    assert quad == pytest.approx(case["quad_final"], abs=PIXELS)


def test_aligned(case, photo):
    crop, quad = align.align_face(photo, case["landmarks"], 256)
    assert quad == pytest.approx(case["quad0"], abs=PIXELS)
    difference = np.abs(np.asarray(crop, dtype=int) - case["aligned"])
    assert difference.max() <= 1
    # Equal with Pillow 11 to 13; another release may round another way.
    assert (difference == 0).mean() >= 0.999
    pooled = np.asarray(crop, dtype=np.float32).reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
    assert pooled == pytest.approx(case["aligned_pool32"], abs=0.01)
