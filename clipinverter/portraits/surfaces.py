"""Parametric surfaces, of which clothes, glasses and teeth are made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True, eq=False)
class Part:
    """A surface: vertices, normals [n, 3] in metres, triangles [m, 3], linear RGB, gloss 0..1, alpha 0..1."""

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    colour: tuple[float, float, float]
    gloss: float = 0.0
    alpha: float = 1.0


@cache
def _grid_triangles(rows: int, columns: int) -> np.ndarray:
    i = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, :-1], i[1:, 1:]
    return np.stack([a, b, c, b, d, c], -1).reshape(-1, 3).astype(np.int32)


def surface(points: np.ndarray, colour, gloss: float = 0.0, alpha: float = 1.0) -> Part:
    """The part of a grid of points [rows, columns, 3]; shading is two-sided, so the orientation is free."""
    across, along = np.gradient(points, axis=1), np.gradient(points, axis=0)
    normals = np.cross(across, along)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-12
    rows, columns = points.shape[:2]
    flat = points.reshape(-1, 3).astype(np.float32)
    return Part(
        flat,
        normals.reshape(-1, 3).astype(np.float32),
        _grid_triangles(rows, columns),
        colour,
        gloss,
        alpha,
    )


def tube(path: np.ndarray, radius: float, colour, gloss: float = 0.6, sides: int = 6) -> Part:
    """A tube of `radius` around a path [n, 3]."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    up = np.where(
        np.abs(along[:, 2:3]) > 0.9, np.array([[0.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    )
    a = np.cross(along, up)
    a /= np.linalg.norm(a, axis=1, keepdims=True) + 1e-12
    b = np.cross(along, a)
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    normals = a[:, None] * np.cos(turn)[None, :, None] + b[:, None] * np.sin(turn)[None, :, None]
    part = surface(path[:, None] + radius * normals, colour, gloss)
    return Part(
        part.vertices, normals.reshape(-1, 3).astype(np.float32), part.triangles, colour, gloss
    )
