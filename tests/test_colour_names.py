"""Hair of any colour with a name belongs to the hair colour that it looks like."""

import numpy as np
import pytest
import torch

from clipinverter.portraits.hair_words import COLOURS
from clipinverter.training.portraits import colour_names


@pytest.fixture(scope="module")
def found():
    return colour_names.phrases(torch.eye(len(COLOURS)), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("fire engine red", "red hair"),
        ("maize", "blond hair"),
        ("wisteria", "purple hair"),
        ("cocoa", "brown hair"),
        ("bubblegum pink", "pink hair"),
        ("cornflower", "blue hair"),
    ],
)
def test_colours_belong_where_they_look_alike(found, name, colour):
    texts, places = found
    rows = [i for i, text in enumerate(texts) if text.startswith((f"{name} ", f"{name}-"))]
    rows += [i for i, text in enumerate(texts) if f"with {name} hair" in text]
    assert rows
    assert {list(COLOURS)[i] for i in places[rows].argmax(dim=1)} == {colour}


def test_places_are_unit_vectors_a_text_each(found):
    texts, places = found
    assert len(texts) == len(places) > 900
    torch.testing.assert_close(places.norm(dim=1), torch.ones(len(places)))


def test_words_kept_for_measuring_are_left_out(found):
    assert not [t for t in found[0] for word in ("lilac", "magenta", "yellow") if word in t.split()]
