"""Regions where hair grows, its fixed roots, and the surface that it lies on, in canonical coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import cKDTree

from clipinverter.portraits.head import Head, template

CENTRE = np.array([0.0, 1.25, 0.15], np.float32)  # of the radius map, inside the skull
_MAP = (96, 192)  # polar, azimuth cells


def scalp(q: np.ndarray, receding: float, woman: bool) -> np.ndarray:
    """A field [n] for points q [n, 3], like a signed distance: above 0 where hair grows."""
    x, y, z = np.abs(q[:, 0]), q[:, 1], q[:, 2]
    temple = np.exp(-(((x - 0.62) / 0.3) ** 2))
    corner = 0.55 * np.clip(x - 0.45, 0, 0.6) ** 2 * (z > 0.5)
    lift = receding * (0.24 + 0.45 * temple) - (0.12 if woman else 0.05 - 0.05 * temple) - corner
    height = z - lift * (y < 1.6) * np.clip((z + 0.2) / 0.5, 0, 1)
    front = np.interp(
        height,
        (-2.3, -1.25, -0.75, -0.45, -0.35, 0.2, 0.55, 0.8, 0.96, 1.08, 1.2, 1.4),
        (3.2, 2.05, 1.75, 1.6, 0.95, 0.8, 0.62, 0.36, 0.12, -0.1, -0.5, -1.2),
    )
    ear = (x > 1.1) & (z < 0.3) & (z > -0.9) & (y > 0.92) & (y < 1.95)
    return np.where(ear, -0.3, y - front).astype(np.float32)


def _fringe(q: np.ndarray) -> np.ndarray:
    """Mask [n] of the roots of bangs, a band behind the hairline."""
    field = scalp(q, 0.0, True)
    return (
        (field > -0.12)
        & (field < 0.7)
        & (q[:, 2] > 0.7)
        & (np.abs(q[:, 0]) < 1.0)
        & (q[:, 1] < 0.7)
    )


def facial(q: np.ndarray, kind: str) -> np.ndarray:
    """Soft mask [n], 0 to 1, of the region where this kind of facial hair grows, without the lips."""
    x, y, z = np.abs(q[:, 0]), q[:, 1], q[:, 2]

    def soft(a: np.ndarray, width: float = 0.08) -> np.ndarray:
        return np.clip(0.5 + a / width, 0, 1)

    upper = (
        soft(0.5 - x - 0.25 * np.maximum(-1.02 - z, 0))
        * soft(-0.72 - z + 0.05 * x)
        * soft(z + 1.09 + 0.5 * x * x, 0.1)
    )
    upper *= soft(-y + 0.2)
    chin = soft(0.42 - x) * soft(-1.27 - z) * soft(0.55 - y) * soft(z + 2.1)
    side = soft(x - 0.36) * soft(0.52 - x) * soft(-0.95 - z) * soft(z + 1.5) * soft(0.3 - y)
    top = np.interp(y, (-0.2, 0.2, 0.6, 0.85, 1.1), (-1.02, -0.9, -0.62, -0.2, 0.2))
    jaw = soft(top - z, 0.14) * soft(1.12 - y) * soft(x - 0.3) * soft(z + 2.0, 0.2)
    neck = soft(0.75 - y, 0.3)
    full = np.maximum(
        jaw * np.maximum(neck, soft(z + 1.4)), soft(-1.27 - z) * neck * soft(z + 2.05, 0.2)
    )
    if kind == "moustache":
        return upper
    if kind == "goatee":
        return np.maximum.reduce([upper, chin, side])
    return np.maximum.reduce([upper, full, side])


@dataclass(frozen=True, eq=False)
class Roots:
    """n fixed points on the head: triangle vertices [n, 3], weights [n, 3], q [n, 3], normal [n, 3], random [n, 6]
    uniform numbers, clump [n]: index of the root that leads its clump."""

    vertices: np.ndarray
    weights: np.ndarray
    q: np.ndarray
    normal: np.ndarray
    random: np.ndarray
    clump: np.ndarray

    def on(self, values: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nkd->nd", self.weights, values[self.vertices])

    def take(self, keep: np.ndarray) -> Roots:
        kept = [a[keep] for a in (self.vertices, self.weights, self.q, self.normal, self.random)]
        leaders = cKDTree(kept[2][::28])
        return Roots(*kept, leaders.query(kept[2])[1] * 28)


@cache
def roots_of(kind: str) -> Roots:
    t = template()
    centre = t.q[t.skin_faces].mean(1)
    n, seed, region = {
        "scalp": (3900, 1, scalp(centre, -0.15, True) > -0.25),
        "face": (3600, 2, facial(centre, "beard") > 0.02),
        "bangs": (900, 3, _fringe(centre)),
    }[kind]
    faces = t.skin_faces[region & (t.cavity[t.skin_faces].max(1) < 0.5)]
    corners = t.q[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(faces), n, p=area / area.sum())
    u = rng.random((n, 2))
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    weights = np.c_[1 - u.sum(1), u].astype(np.float32)
    vertices = faces[chosen]
    q = np.einsum("nk,nkd->nd", weights, t.q[vertices])
    normal = np.einsum("nk,nkd->nd", weights, t.normals[vertices])
    random = rng.random((n, 6)).astype(np.float32)
    random = random[np.argsort(-random[:, 0])]  # outer layers first: what they hide is not shaded
    return Roots(vertices, weights, q, normal, random, np.zeros(n, int)).take(np.arange(n))


@cache
def radius_map() -> np.ndarray:
    """[polar, azimuth] distance from CENTRE to the mean head's surface, a little smoothed and enlarged."""
    t = template()
    faces = t.skin_faces[t.cavity[t.skin_faces].max(1) < 0.5]
    u = np.random.default_rng(0).dirichlet(np.ones(3), size=(24, len(faces)))
    points = np.concatenate([np.einsum("fk,fkd->fd", w, t.q[faces]) for w in u])
    radius = np.zeros(_MAP)
    v = points - CENTRE
    r = np.linalg.norm(v, axis=1)
    np.maximum.at(radius, _cells(v, r), r)
    radius = maximum_filter(radius, 5, mode=("nearest", "wrap"))
    return gaussian_filter(radius, 1.2, mode=("nearest", "wrap")).astype(np.float32)


def _cells(v: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    polar = np.arccos((v[:, 2] / r).clip(-1, 1)) * (_MAP[0] / np.pi)
    azimuth = (np.arctan2(v[:, 0], v[:, 1]) + np.pi) * (_MAP[1] / (2 * np.pi))
    return polar.astype(int).clip(0, _MAP[0] - 1), azimuth.astype(int) % _MAP[1]


def above_head(v: np.ndarray) -> np.ndarray:
    """Distance [...] from CENTRE to the head's surface in the directions v [..., 3] (from CENTRE, any length)."""
    flat = v.reshape(-1, 3)
    return radius_map()[_cells(flat, np.sqrt((flat * flat).sum(1)))].reshape(v.shape[:-1])


def push_out(p: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Points moved out of the head to at least `layer` above its surface."""
    v = p - CENTRE
    r = np.sqrt((v * v).sum(1))
    least = radius_map()[_cells(v, r)] + layer
    return CENTRE + v * (np.maximum(r, least) / r)[:, None]


def to_head(points: np.ndarray, head: Head) -> np.ndarray:
    """Canonical points [..., 3] -> metres, by a per-axis fit to this head's skull."""
    t = template()
    skull = t.q[:, 2] > 0.3
    a, b = t.q[skull], head.neutral[skull]
    scale = (b.max(0) - b.min(0)) / (a.max(0) - a.min(0))
    middle = (b.max(0) + b.min(0)) / 2 - scale * (a.max(0) + a.min(0)) / 2
    return (points * scale + middle).astype(np.float32)
