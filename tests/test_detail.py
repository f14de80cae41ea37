"""Detail: the photo's own pixels come back wherever an edit left them alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipinverter.photo import detail
from clipinverter.photo.detail import add_detail, change_mask
from clipinverter.photo.flow import flow_between, warped
from tests.tiny import picture

SIZE = 64


def grainy(seed=0, size=128, grain=12):
    """A soft picture with fine grain, as photos have it."""
    rng = np.random.default_rng(seed)
    pixels = np.asarray(picture(seed, (size, size)), float) + rng.normal(0, grain, (size, size, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def shrunk(photo, size=SIZE):
    return photo.resize((size, size), Image.Resampling.BOX)


def painted(image, box, colour):
    image = image.copy()
    image.paste(colour, box)
    return image


@pytest.mark.parametrize("size", [48, 64, 128, 200])
def test_no_edit_is_the_photo_to_the_pixel(size):
    photo, inversion = grainy(size=size), picture(3)
    assert add_detail(inversion, inversion, photo).tobytes() == photo.tobytes()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 63), st.integers(0, 63), st.integers(1, 40), st.integers(1, 40),
    st.tuples(*[st.integers(0, 255)] * 3), st.integers(0, 9), st.sampled_from([64, 96, 128]),
)  # fmt: skip
def test_any_edit_leaves_the_photo_outside_its_mask(left, top, width, height, colour, seed, size):
    photo = grainy(seed, size)
    inversion = shrunk(photo)
    edit = painted(inversion, (left, top, left + width, top + height), colour)
    result = np.asarray(add_detail(edit, inversion, photo)).astype(int)
    after, before = detail._pixels(edit), detail._pixels(inversion)
    mask = detail._enlarged(change_mask(after, before), size)[0, 0].numpy()
    assert (result == np.asarray(photo))[mask == 0].all()
    # And the mask is where the edit is: nothing changes far from it.
    far = np.ones((SIZE, SIZE), bool)
    far[max(0, top - 24) : top + height + 24, max(0, left - 24) : left + width + 24] = False
    far = np.asarray(Image.fromarray(far).resize((size, size), Image.Resampling.NEAREST))
    assert (result == np.asarray(photo))[far].all()


def test_a_new_colour_keeps_the_grain():
    photo = grainy()
    inversion = shrunk(photo)
    tint = np.asarray(inversion, int) + np.array([40, -20, -20])
    edit = Image.fromarray(np.clip(tint, 0, 255).astype(np.uint8))
    result = add_detail(edit, inversion, photo)
    assert np.asarray(result, float)[..., 0].mean() > np.asarray(photo, float)[..., 0].mean() + 25

    def grain(image):
        grey = np.asarray(image.convert("L"), float)[16:-16, 16:-16]
        return np.diff(grey, axis=1).std()

    assert grain(result) > 0.8 * grain(photo)


def test_something_new_covers_what_was_there():
    photo = grainy(grain=4)
    inversion = shrunk(photo)
    edit = painted(inversion, (20, 20, 44, 44), (10, 200, 10))
    inside = np.asarray(add_detail(edit, inversion, photo), float)[56:72, 56:72]
    assert np.abs(inside - (10, 200, 10)).mean() < 14


def test_flow_finds_what_moved_and_nothing_where_nothing_did():
    still = detail._pixels(picture(5, (96, 96)))
    assert not flow_between(still, still).any()
    assert torch.equal(warped(still, torch.zeros(1, 2, 96, 96)), still)
    moved = torch.roll(still, 3, dims=3)
    flow = flow_between(still, moved)[:, :, 24:-24, 24:-24]
    assert abs(float(flow[:, 0].median()) - 3) < 1
    assert abs(float(flow[:, 1].median())) < 0.5


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="size"):
        add_detail(picture(), picture(size=(32, 32)), grainy())
