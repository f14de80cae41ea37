"""Settings of StyleCLIP's three methods for each domain, and how a request changes them.

The defaults of `Settings` are the authors' values; the source beside each group is a file of github.com/orpatashnik/
StyleCLIP. `PORTRAITS` says where the embedded model differs, and why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from types import MappingProxyType

import numpy as np

from clipinverter.domains import Domain
from clipinverter.errors import UsageError
from clipinverter.request import check_prompt

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "alpha": (-10.0, 10.0),  # the authors' notebook
        "beta": (0.0, 1.0),  # no relevance is larger than 1; the authors' notebook: 0.08 to 0.3
        "steps": (1, 1000),
        "l2": (0.0, 10.0),
        "identity": (0.0, 10.0),
    }
)
"""The numbers that a request may set."""
TEXTS = ("neutral", "target")


class SettingsError(UsageError):
    """A setting can't be used; the message says which and what is possible."""


@dataclass(frozen=True)
class Settings:
    """Settings of the three methods; the defaults are the authors'.

    Attributes:
        steps, rate, l2, identity: latent optimisation: number of steps, Adam's highest learning rate, weight of the
            squared distance in W+, weight of the identity loss. The CLIP loss has weight 1.
        warm_up, ramp_down: shares of the steps in which the learning rate grows and shrinks.
        neutral, target: global direction: from which text to which; target None is the prompt.
        alpha: global direction: the size of the change at strength 1, -10 to 10.
        beta: global direction: channels with a smaller relevance for the text do not change; None chooses it, see
            `global_direction.auto_beta`.
        betas, least: the thresholds to choose from, and the number of channels that have to exceed the threshold.
        style_samples: random people for the mean and deviation of every channel.
        relevance_people, relevance_step: measuring the channels: random people, and by how many standard deviations
            a channel is lowered and raised.
        relevance_layers: layers up to this size are measured, in pixels.
        relevance_size: the side of the measured pictures; None for the generator's.
        mapper_clip, mapper_l2, mapper_identity: weights of the mapper's training losses.
        mapper_steps, mapper_batch, mapper_rate: of the mapper's training.
        mapper_floor: the share of the learning rate that is left at the end; 1 for a constant rate.
        mapper_people: inverted pictures that mappers learn from.
        mapper_size: the side of the pictures in training; None for the generator's.
        mapper_hidden: width of the mapper's hidden layers; None for the width of the latent.
        mapper_prompts: prompts that are trained by default.
    """

    # optimization/run_optimization.py; the weight of the identity loss is the README's example.
    steps: int = 300
    rate: float = 0.1
    warm_up: float = 0.05
    ramp_down: float = 0.25
    l2: float = 0.008
    identity: float = 0.005
    # StyleCLIP_global.ipynb
    neutral: str = "face"
    target: str | None = None
    alpha: float = 4.1
    beta: float | None = None  # the notebook's first value is 0.15
    betas: tuple[float, ...] = tuple(np.arange(0.1, 0.3, 0.01))
    least: int = 20  # for FFHQ; 100 for the other data sets
    # global_torch/SingleChannel.py
    style_samples: int = 100_000
    relevance_people: int = 100
    relevance_step: float = 5.0
    relevance_layers: int = 128
    relevance_size: int | None = None
    # mapper/options/train_options.py and mapper/training/coach.py, with Ranger
    mapper_clip: float = 1.0
    mapper_l2: float = 0.8
    mapper_identity: float = 0.1
    mapper_steps: int = 50_000
    mapper_batch: int = 2
    mapper_rate: float = 0.5
    mapper_floor: float = 1.0
    mapper_people: int = 5000
    mapper_size: int | None = None
    mapper_hidden: int | None = None
    mapper_prompts: tuple[str, ...] = ()


PORTRAITS = Settings(
    steps=60,  # authors: 300. On a CPU within seconds; the small generator needs no more
    neutral="person",  # authors: "face"; captions of the embedded text-image model speak of persons
    # Authors: 20 for faces, 100 for all other data sets. On eight example pictures and twelve prompts the CLIP score
    # rose in 94 % of the edits, with 20 channels in 91 %. Twice the alpha, or four plain templates, were no better.
    least=100,
    relevance_size=128,  # authors: 1024. The text-image model sees 128 px, and half the size takes half the time
    mapper_steps=5_000,  # authors: 50,000, on a graphics card
    mapper_floor=0.05,  # authors: 1. So few steps end better with a small rate
    mapper_people=1024,  # authors: 5,000; ten passes over them in so few steps
    mapper_size=128,  # authors: 1024. The text-image model sees 128 px
    mapper_hidden=128,  # authors: 512. Eight mappers in 5 MB
    mapper_prompts=(
        "a smiling face",
        "a surprised face",
        "a person with blond hair",
        "a person with red hair",
        "a bald head",
        "a face with a beard",
        "a person wearing glasses",
        "an old person",
    ),
)

_BY_DOMAIN: Mapping[str, Settings] = MappingProxyType({"portraits": PORTRAITS})


def settings_of(domain: Domain) -> Settings:
    """The domain's own settings, or the authors'."""
    return _BY_DOMAIN.get(domain.name, Settings())


def adjusted(settings: Settings, given: object) -> Settings:
    """Settings with what a request sets.

    Args:
        given: a mapping with any of the keys of `RANGES` and `TEXTS`, see `Settings`, or a JSON text of one. None and
            empty texts leave a setting as it is.

    Raises:
        PromptError, SettingsError: `given` can't be used; the message is a sentence.
    """
    known = (*TEXTS, *RANGES)
    if isinstance(given, str):
        given = _parsed(given)
    if not isinstance(given, Mapping) or not set(given) <= set(known):
        raise SettingsError(
            f"The settings of StyleCLIP are named {', '.join(known)}; as a JSON text: "
            '{"alpha": 4.1, "steps": 100}.'
        )
    changed: dict[str, object] = {}
    for name, value in given.items():
        if value not in (None, ""):
            changed[name] = check_prompt(value) if name in TEXTS else _number(name, value)
    return replace(settings, **changed)


def _parsed(text: str) -> object:
    """What a JSON text says; None for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _number(name: str, value: object) -> float:
    low, high = RANGES[name]
    whole = name == "steps"
    number = isinstance(value, Real) and not isinstance(value, bool) and low <= value <= high
    if not number or not math.isfinite(value) or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise SettingsError(f"{name} has to be {kind} from {low:g} to {high:g}.")
    return int(value) if whole else float(value)
