"""What the embedded text model reads from a prompt, and which of its words it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.models.clip import TextImageModel
from clipinverter.portraits.captions import plain_caption
from clipinverter.portraits.opposites import OPPOSITES
from clipinverter.portraits.scene import ATTRIBUTES
from clipinverter.portraits.vocabulary import unknown_words
from clipinverter.portraits.words import WORDS
from clipinverter.weights.load import Models

CLEAR = 0.4  # cosine from which an attribute is read; each of five attributes has 0.45
MOST = 5  # attributes


class Reading(NamedTuple):
    """See `results.Edit`."""

    understood: tuple[str, ...]
    unknown_words: tuple[str, ...]


def read(models: Models, prompts: Sequence[str]) -> Reading:
    """What is known of prompts: nothing in a domain with another text model than the embedded one."""
    if models.domain.text_image != "portraits":
        return Reading((), ())
    said = (name for prompt in prompts for name in understood(models.text_image, prompt))
    unknown = (word for prompt in prompts for word in unknown_words(prompt))
    return Reading(tuple(dict.fromkeys(said)), tuple(dict.fromkeys(unknown)))


@lru_cache(maxsize=256)
@torch.no_grad()
def understood(model: TextImageModel, prompt: str) -> tuple[str, ...]:
    """The attributes that a prompt asks for, such as "red hair" or "no bangs", the clearest first; empty if it asks
    for none. These are zero-shot answers over the places of all attributes and of their absences.

    A prompt with several attributes is embedded at the normalised sum of their places. So the nearest place is taken
    away again and again until none is clear (matching pursuit).
    """
    names, places = tuple(_texts()), _places(model)
    rest = F.normalize(model.embed_text([prompt]), dim=1)[0]
    found: dict[str, str] = {}
    for _ in range(MOST):
        near = places @ rest
        best = int(near.argmax())
        name = names[best]
        variable = ATTRIBUTES[_attribute(name)].variable
        if near[best] < CLEAR or variable in found:
            break
        found[variable] = name
        rest = rest - near[best] * places[best]
    return tuple(found.values())


@lru_cache(maxsize=1)
def _places(model: TextImageModel) -> Tensor:
    return F.normalize(model.embed_text(list(_texts().values())), dim=1)


def _attribute(name: str) -> str:
    return name if name in ATTRIBUTES else name.removeprefix("not ").removeprefix("no ")


@cache
def _texts() -> dict[str, str]:
    """What an attribute or its absence is called -> a text that says it. Absences that are attributes themselves, such
    as "no glasses", are not there twice."""
    found = {name: plain_caption(name) for name in ATTRIBUTES}
    for name, opposite in OPPOSITES.items():
        named = opposite is not None and opposite.startswith(("no ", "clean", "closed", "open "))
        if named or name in ("woman", "man", "neutral expression"):
            continue
        look = name.startswith("turned ") or (name in WORDS and name in WORDS[name].adjective)
        found[f"not {name}" if look else f"no {name}"] = f"not {name}" if look else f"no {name}"
    return found
