"""What the text model's weights make of absences and of the first person.

    CLIP_FOLDER=runs/words python -m pytest tests/test_words_weights.py

looks at a training run's clip.safetensors in place of the embedded one.
"""

import os
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import PORTRAITS
from clipinverter.evaluation.words import nearer_to_presence
from clipinverter.methods.understanding import understood
from clipinverter.models.clip import TextImageModel
from clipinverter.portraits.captions import plain_caption
from clipinverter.weights.folder import DomainWeights, RunWeights

FOLDER = os.environ.get("CLIP_FOLDER")


@cache
def model() -> TextImageModel:
    weights = RunWeights(PORTRAITS, Path(FOLDER)) if FOLDER else DomainWeights(PORTRAITS)
    return weights.text_image()


@torch.no_grad()
def embed(texts: list[str]) -> Tensor:
    return model().embed_text(texts)


def test_no_x_is_never_nearer_to_x_than_to_its_opposite():
    assert nearer_to_presence(embed) == {}


@pytest.mark.parametrize("name", ["blond hair", "smiling", "old", "eyeglasses", "hat", "angry"])
def test_the_first_person_has_no_gender(name):
    plain = plain_caption(name)
    what = plain.removeprefix("a person with ").removeprefix("an ").removeprefix("a ")
    what = what.removesuffix(" person")
    texts = [f"give me {what}" if "with" in plain else f"make me {what}"]
    vectors = F.normalize(embed([*texts, "a man", "a woman", plain]), dim=1)
    man, woman, same = (vectors[1:] @ vectors[0]).tolist()
    assert max(man, woman) < 0.4 < same


def test_words_that_cannot_be_drawn_are_read_as_nothing():
    assert [
        w for w in ("viking", "a tattoo", "Tom Cruise", "sports car") if understood(model(), w)
    ] == []


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("a smiling woman with red hair", {"smiling", "woman", "red hair"}),
        ("eine Frau mit Brille", {"woman", "eyeglasses"}),
        ("no bangs", {"no bangs"}),
        ("make me smile", {"smiling"}),
    ],
)
def test_what_is_understood(prompt, read):
    assert set(understood(model(), prompt)) == read
