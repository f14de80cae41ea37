"""A portrait as data: `Scene.from_latent(g)` holds the values of everything that the renderer draws.

A scene is a deterministic function of a standard normal vector. It knows its attributes, and `scene.edited("smiling")`
is the same person with one of them changed: ground truth that no set of photos has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from clipinverter.portraits.variables import N_LATENTS, VARIABLES, Choice, Free, Level, slots, years

_HAIR_LENGTH = {
    "short": "short hair",
    "bob": "bob",
    "long": "long hair",
    "bun": "bun",
    "bald": "bald",
}
_PLAIN = {
    "facial_hair": ("clean-shaven", "none"),
    "glasses": ("no glasses", "none"),
    "expression": ("neutral expression", "neutral"),
    "mouth open": ("closed mouth", None),
    "eyes closed": ("open eyes", None),
    "hat": ("no hat", None),
    "earrings": ("no earrings", None),
    "heavy makeup": ("no makeup", None),
}
"""Absences that people ask for by name: variable -> (attribute name, label)."""


@dataclass(frozen=True)
class Attribute:
    """A nameable property: `variable` carries label `label` (None: none of its named ranges)."""

    name: str
    variable: str
    label: str | None


def _name(variable: str, label: str | None) -> str:
    plain = _PLAIN.get(variable)
    if plain and plain[1] == label:
        return plain[0]
    if variable == "hair_style":
        return _HAIR_LENGTH[label]
    suffix = {"hair_colour": " hair", "hair_texture": " hair", "eye_colour": " eyes"}.get(
        variable, ""
    )
    return label + suffix


def _labels(variable: Level | Choice) -> tuple[str | None, ...]:
    if isinstance(variable, Choice):
        return variable.options
    return tuple(name for name, _, _ in variable.labels) + (
        (None,) if variable.name in _PLAIN else ()
    )


ATTRIBUTES: Mapping[str, Attribute] = {
    a.name: a
    for v in VARIABLES
    if not isinstance(v, Free)
    for a in (Attribute(_name(v.name, label), v.name, label) for label in _labels(v))
}
"""All attributes, by name."""


@cache
def groups() -> tuple[tuple[int, ...], ...]:
    """Indices into ATTRIBUTES, grouped by variable: the attributes of a group exclude each other."""
    members: dict[str, list[int]] = {}
    for index, attribute in enumerate(ATTRIBUTES.values()):
        members.setdefault(attribute.variable, []).append(index)
    return tuple(tuple(group) for group in members.values())


_BY_NAME = {v.name: v for v in VARIABLES}
_HAIR_NEEDED = {
    "hair_colour",
    "hair_texture",
    "bangs",
    "receding hairline",
}  # meaningless on a bald head


@dataclass(frozen=True, eq=False)
class Scene:
    """One synthetic person in one picture.

    latent: [N_LATENTS] standard normal numbers.
    values: variable name -> value: u in (0, 1) for levels, the option for choices, an array for free variables.
    """

    latent: np.ndarray
    values: Mapping[str, object]

    @classmethod
    def from_latent(cls, latent: np.ndarray) -> Scene:
        """The scene of a standard normal vector [N_LATENTS]; raises ValueError for another shape."""
        latent = np.asarray(latent, dtype=float)
        if latent.shape != (N_LATENTS,):
            raise ValueError(f"a scene needs {N_LATENTS} latents, got shape {latent.shape}")
        values: dict[str, object] = {}
        for v in VARIABLES:
            values[v.name] = v.value(latent[slots()[v.name]], values)
        return cls(latent, values)

    @classmethod
    def from_seed(cls, seed: int) -> Scene:
        """The scene with the given number: the same on every machine."""
        return cls.from_latent(np.random.default_rng(seed).standard_normal(N_LATENTS))

    # The values that the renderer uses most.
    @property
    def is_woman(self) -> bool:
        return self.label("gender") == "woman"

    @property
    def age(self) -> float:
        """Years, 18 to 90."""
        return years(self.values["age"])

    @cached_property
    def ancestry(self) -> dict[str, float]:
        """Weights of the head shapes african, asian, european; they sum to 1."""
        e = np.exp(1.8 * self.values["ancestry"])
        return dict(zip(("african", "asian", "european"), (e / e.sum()).tolist(), strict=True))

    @property
    def melanin(self) -> float:
        """Darkness of the skin, 0 to 1; independent of ancestry, so that every tone is equally frequent."""
        return float(self.values["skin"])

    def label(self, variable: str) -> str | None:
        """The label of a variable, e.g. label("hair_style") == "long"; None between named ranges."""
        return _BY_NAME[variable].label(self.values[variable], self.values)

    def has(self, attribute: str) -> bool:
        """Whether the attribute shows in the picture (no curls on a bald head, an open mouth when surprised)."""
        a = ATTRIBUTES[attribute]
        if a.variable == "mouth open" and self.label("expression") == "surprised":
            return attribute == "mouth open"
        if attribute == "clean-shaven" and self.is_woman:
            return False
        if self.label("hair_style") == "bald" and a.variable in _HAIR_NEEDED:
            return False
        if a.variable in ("eye_colour", "eyes closed") and self.label("glasses") == "sunglasses":
            return False
        if a.variable == "eye_colour" and self.label("eyes closed"):
            return False
        if self.label("hat") and attribute in ("bangs", "receding hairline", "bald", "bun"):
            return False
        return self.label(a.variable) == a.label

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Names of all attributes that show."""
        return frozenset(name for name in ATTRIBUTES if self.has(name))

    def can_be(self, attribute: str) -> bool:
        """Whether `edited(attribute)` exists: a beard needs a man, curls need hair."""
        try:
            return self.edited(attribute).has(attribute)
        except ValueError:
            return False

    def edited(self, attribute: str) -> Scene:
        """The same person with one attribute changed and every other variable kept.

        Raises ValueError for an unknown attribute and for one that this person cannot have.
        """
        if attribute not in ATTRIBUTES:
            raise ValueError(f"unknown attribute {attribute!r}")
        a = ATTRIBUTES[attribute]
        return self.relabelled(a.variable, a.label)

    def relabelled(self, changed: str, label: str | None) -> Scene:
        """The same person with another label of one variable, None for a value without a name.

        Raises ValueError for a label that this person cannot have.
        """
        latent = self.latent.copy()
        values: dict[str, object] = {}
        for v in VARIABLES:
            slot = slots()[v.name]
            if not isinstance(v, Free):
                wanted = label if v.name == changed else self.label(v.name)
                if v.name == changed and not v.possible(label, values):
                    raise ValueError(f"{label!r} is not possible for this person")
                current = v.label(v.value(latent[slot], values), values)
                if current != wanted and v.possible(wanted, values):
                    latent[slot] = v.relabelled(latent[slot], wanted, values)
            values[v.name] = v.value(latent[slot], values)
        return Scene(latent, values)


@cache
def _mix(size: int) -> np.ndarray:
    """A fixed orthonormal matrix [size, size]."""
    return np.linalg.qr(np.random.default_rng(20231).standard_normal((size, size)))[0]


def to_z(latents: np.ndarray, nuisance: np.ndarray) -> np.ndarray:
    """z [B, N_LATENTS + n] from latents [B, N_LATENTS] and random numbers `nuisance` [B, n], rotated by a fixed matrix.

    z ~ N(0, I), as StyleGAN2's mapping network expects, and every z belongs to a scene that can be rendered.
    """
    g = np.concatenate([latents, nuisance], axis=1)
    return (g @ _mix(g.shape[1]).T).astype(np.float32)


def random_latents(count: int, rng: np.random.Generator) -> np.ndarray:
    """Latents [count, N_LATENTS] of random scenes."""
    return rng.standard_normal((count, N_LATENTS)).astype(np.float32)
