"""The variables of a synthetic portrait, each a function of a few standard normal latents.

There are three kinds:

* `Level`: one latent through the normal distribution function gives u in (0, 1); named ranges of u are its labels
  (age, weight, pose, every yes/no attribute).
* `Choice`: one latent for each option; the Gumbel trick makes of them an exact categorical sample, whose
  probabilities may depend on earlier variables (gender, age).
* `Free`: latents without labels (shape, colours), which no text edit changes.

Latents are stored one after another in the order of `VARIABLES`, so `N_LATENTS` and every slot are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

_EDGE = 1e-4  # keeps u away from 0 and 1, where the normal quantile is infinite

Values = Mapping[str, object]
Probabilities = Callable[[Values], Mapping[str, float]]


@dataclass(frozen=True)
class Level:
    """One latent; `labels` are (name, lower, upper) ranges of u, of which the first match counts. Outside of all, the
    label is None.

    `share` (only for yes/no variables, whose label is the top of the range) returns the probability of the label,
    depending on earlier variables.
    """

    name: str
    labels: tuple[tuple[str, float, float], ...] = ()
    share: Callable[[Values], float] | None = None
    size: int = 1

    def ranges(self, earlier: Values) -> tuple[tuple[str, float, float], ...]:
        if self.share is None:
            return self.labels
        return ((self.labels[-1][0], 1.0 - self.share(earlier), 1.0),)

    def value(self, latents: np.ndarray, earlier: Values) -> float:
        return float(ndtr(latents[0]))

    def label(self, value: float, earlier: Values) -> str | None:
        for name, low, high in self.ranges(earlier):
            if low <= value <= high:
                return name
        return None

    def possible(self, label: str | None, earlier: Values) -> bool:
        return any(high > low for low, high in self._intervals(label, earlier))

    def relabelled(self, latents: np.ndarray, label: str | None, earlier: Values) -> np.ndarray:
        """The latent moved into `label`'s range, at the same rank within the range, which keeps the intensity."""
        value = self.value(latents, earlier)
        low, high = self._enclosing(value, earlier)
        rank = (value - low) / max(high - low, _EDGE)
        intervals = self._intervals(label, earlier)
        target_low, target_high = min(intervals, key=lambda r: abs((r[0] + r[1]) / 2 - value))
        margin = 0.1 * (
            target_high - target_low
        )  # away from the border: a clear member of the class
        u = target_low + margin + rank * (target_high - target_low - 2 * margin)
        return np.array([ndtri(np.clip(u, _EDGE, 1 - _EDGE))])

    def _intervals(self, label: str | None, earlier: Values) -> list[tuple[float, float]]:
        named = sorted((low, high, name) for name, low, high in self.ranges(earlier))
        if label is not None:
            return [(low, high) for low, high, name in named if name == label]
        edges = [0.0, *(edge for low, high, _ in named for edge in (low, high)), 1.0]
        return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]

    def _enclosing(self, value: float, earlier: Values) -> tuple[float, float]:
        label = self.label(value, earlier)
        return next(
            (r for r in self._intervals(label, earlier) if r[0] <= value <= r[1]), (0.0, 1.0)
        )


@dataclass(frozen=True)
class Choice:
    """One latent for each option; exactly `probabilities(earlier)`-distributed."""

    name: str
    options: tuple[str, ...]
    probabilities: Probabilities

    @property
    def size(self) -> int:
        return len(self.options)

    def _scores(self, latents: np.ndarray, earlier: Values) -> np.ndarray:
        p = self.probabilities(earlier)
        weights = np.array([p.get(option, 0.0) for option in self.options])
        u = np.clip(ndtr(latents), _EDGE, 1 - _EDGE)
        with np.errstate(divide="ignore"):
            return np.log(weights) - np.log(-np.log(u))

    def value(self, latents: np.ndarray, earlier: Values) -> str:
        return self.options[int(np.argmax(self._scores(latents, earlier)))]

    def label(self, value: str, earlier: Values) -> str:
        return value

    def possible(self, label: str | None, earlier: Values) -> bool:
        return self.probabilities(earlier).get(label, 0.0) > 0

    def relabelled(self, latents: np.ndarray, label: str | None, earlier: Values) -> np.ndarray:
        """The latents changed so that `label` wins: the winner's and the wanted option's latents are swapped, then
        others are lowered as far as needed."""
        new = np.array(latents, dtype=float)
        wanted = self.options.index(label)
        winner = int(np.argmax(self._scores(new, earlier)))
        new[wanted], new[winner] = new[winner], new[wanted]
        new[wanted] = max(new[wanted], 0.5)
        margin = 0.5
        for _ in range(len(self.options)):
            scores = self._scores(new, earlier)
            scores[wanted] -= margin
            rival = int(np.argmax(scores))
            if rival == wanted:
                break
            # Solve log p - log(-log u) = wanted score for the rival's u.
            log_p = scores[rival] + np.log(-np.log(np.clip(ndtr(new[rival]), _EDGE, 1 - _EDGE)))
            u = np.exp(-np.exp(log_p - scores[wanted] + 0.01))
            if u <= _EDGE:  # the wanted option is much rarer: raise it instead
                new[wanted] += 0.5
            else:
                new[rival] = ndtri(u)
        return new


@dataclass(frozen=True)
class Free:
    """`size` unnamed standard normal numbers."""

    name: str
    size: int = 1

    def value(self, latents: np.ndarray, earlier: Values) -> np.ndarray:
        return np.asarray(latents, dtype=float)


Variable = Level | Choice | Free


def _is_woman(v: Values) -> bool:
    return v["gender"] <= 0.5


def years(u: float) -> float:
    """Age in years for u in (0, 1): every age from 18 to 90 equally likely."""
    return 18.0 + 72.0 * u


def _hair_style(v: Values) -> Mapping[str, float]:
    if _is_woman(v):
        return {"bald": 0.03, "short": 0.21, "bob": 0.24, "long": 0.38, "bun": 0.14}
    return {"bald": 0.18, "short": 0.54, "bob": 0.12, "long": 0.12, "bun": 0.04}


def _hair_colour(v: Values) -> Mapping[str, float]:
    age = years(v["age"])
    grey = 0.03 if age < 40 else 0.14 if age < 58 else 0.5
    natural = {"black": 0.3, "brown": 0.26, "blond": 0.22, "red": 0.22}
    dyed = dict.fromkeys(("blue", "pink", "green", "purple"), 0.045)
    left = 1 - grey - sum(dyed.values())
    return (
        {k: p * left for k, p in natural.items()} | {"gray": grey * 0.6, "white": grey * 0.4} | dyed
    )


def _facial_hair(v: Values) -> Mapping[str, float]:
    if _is_woman(v):
        return {"none": 1.0}
    return {"none": 0.42, "stubble": 0.14, "moustache": 0.13, "goatee": 0.11, "beard": 0.2}


def _fixed(**p: float) -> Probabilities:
    return lambda _: p


def _yes(name: str, share: float | Callable[[Values], float]) -> Level:
    """A yes/no variable: its label is its own name."""
    return Level(name, ((name, 0.0, 1.0),), share if callable(share) else lambda _: share)


VARIABLES: tuple[Variable, ...] = (
    Level("gender", (("woman", 0.0, 0.5), ("man", 0.5, 1.0))),
    Level("age", (("young", 0.0, 0.25), ("middle-aged", 0.32, 0.58), ("old", 0.65, 1.0))),
    Free("ancestry", 3),
    Level("skin", (("pale skin", 0.0, 0.2), ("dark skin", 0.8, 1.0))),
    Level("weight", (("thin face", 0.0, 0.2), ("chubby", 0.78, 1.0))),
    Free("shape", 32),
    Level("nose", (("small nose", 0.0, 0.2), ("big nose", 0.8, 1.0))),
    Level("lips", (("thin lips", 0.0, 0.2), ("big lips", 0.8, 1.0))),
    Choice("hair_style", ("bald", "short", "bob", "long", "bun"), _hair_style),
    Choice(
        "hair_colour",
        ("black", "brown", "blond", "red", "gray", "white", "blue", "pink", "green", "purple"),
        _hair_colour,
    ),
    Choice(
        "hair_texture", ("straight", "wavy", "curly"), _fixed(straight=0.4, wavy=0.32, curly=0.28)
    ),
    _yes("bangs", 0.25),
    _yes("receding hairline", lambda v: 0.02 if _is_woman(v) else 0.25),
    Choice(
        "expression",
        ("neutral", "smiling", "sad", "angry", "surprised"),
        _fixed(neutral=0.36, smiling=0.34, sad=0.1, angry=0.1, surprised=0.1),
    ),
    Level("expression_strength"),
    _yes("mouth open", 0.3),
    Choice("facial_hair", ("none", "stubble", "moustache", "goatee", "beard"), _facial_hair),
    Level("brows", (("thin eyebrows", 0.0, 0.18), ("bushy eyebrows", 0.78, 1.0))),
    _yes("arched eyebrows", 0.2),
    Choice("eye_colour", ("brown", "blue", "green"), _fixed(brown=0.5, blue=0.26, green=0.24)),
    Choice(
        "glasses",
        ("none", "eyeglasses", "sunglasses"),
        _fixed(none=0.7, eyeglasses=0.2, sunglasses=0.1),
    ),
    _yes("hat", 0.1),
    _yes("earrings", lambda v: 0.32 if _is_woman(v) else 0.05),
    _yes("lipstick", lambda v: 0.38 if _is_woman(v) else 0.03),
    _yes("heavy makeup", lambda v: 0.26 if _is_woman(v) else 0.02),
    _yes("rosy cheeks", 0.2),
    _yes("freckles", 0.12),
    Level("yaw", (("turned left", 0.0, 0.16), ("turned right", 0.84, 1.0))),
    Level("pitch"),
    Level("backdrop", (("dark background", 0.0, 0.25), ("bright background", 0.75, 1.0))),
    Free("backdrop_colour", 3),
    Choice(
        "clothes",
        ("t-shirt", "shirt", "turtleneck"),
        _fixed(**{"t-shirt": 0.4, "shirt": 0.35, "turtleneck": 0.25}),
    ),
    Free("clothes_colour", 3),
    Level("light_side", (("light from the left", 0.0, 0.2), ("light from the right", 0.8, 1.0))),
    Free("light", 3),
    Free("hair_detail", 4),
    Free("glasses_detail", 2),
    _yes("eyes closed", lambda v: 0.0 if v["expression"] == "surprised" else 0.1),
)

N_LATENTS = sum(v.size for v in VARIABLES)


@cache
def slots() -> Mapping[str, slice]:
    """Variable name -> its slice of the latent vector."""
    ends = np.cumsum([v.size for v in VARIABLES])
    return {v.name: slice(int(e - v.size), int(e)) for v, e in zip(VARIABLES, ends, strict=True)}
