"""Sets of portraits on disk, in shards that are whole or absent.

A set is a directory with `meta.json` and, for every shard of 512 scenes, `images-00000.npy` (uint8 [512, S, S, 3]) and
`latents-00000.npy` (float32 [512, N_LATENTS]); with edits also `edited-00000.npy`, `edited-latents-00000.npy` and
`edits-00000.json` (the attribute that was changed; null where no edit is possible). Scene i has its own random numbers,
so a shard depends on nothing but the seed. The latents file is written last: a shard exists once its latents do.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .scene import ATTRIBUTES, Scene
from .variables import N_LATENTS

SHARD = 512


def latent(seed: int, index: int) -> np.ndarray:
    """Latent [N_LATENTS], float32, of scene `index` of the set with this seed."""
    return np.random.default_rng([seed, index]).standard_normal(N_LATENTS).astype(np.float32)


def random_edit(scene: Scene, seed: int, index: int) -> str | None:
    """An attribute that the scene lacks and can have, drawn for scene `index`; None if there is none."""
    order = np.random.default_rng([seed, index, 1]).permutation(list(ATTRIBUTES))
    return next((str(a) for a in order if not scene.has(a) and scene.can_be(a)), None)


def write(
    directory,
    count: int,
    size: int,
    seed: int = 0,
    edits: bool = False,
    processes: int | None = None,
) -> None:
    """Render `count` scenes (rounded up to whole shards) on `processes` processes (default: one a core).

    Resumes: shards that exist are kept. Raises ValueError when the directory holds a different set.
    """
    from tqdm import tqdm

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    shards = -(-count // SHARD)
    meta = {
        "seed": seed,
        "size": size,
        "count": shards * SHARD,
        "edits": edits,
        "n_latents": N_LATENTS,
        "looks": looks_hash(),
    }
    _check_meta(directory / "meta.json", meta)
    missing = [s for s in range(shards) if not (directory / f"latents-{s:05d}.npy").exists()]
    if not missing:
        return
    # One shard after another, its scenes spread over the processes, so that readers can start early.
    jobs = [(seed, s * SHARD + i, size, edits) for s in missing for i in range(SHARD)]
    context = multiprocessing.get_context("spawn")
    threads = {k: os.environ.get(k) for k in ("OMP_NUM_THREADS", "LP_NUM_THREADS")}
    os.environ.update(
        OMP_NUM_THREADS="1", LP_NUM_THREADS="0"
    )  # read by the children when they start
    try:
        with (
            context.Pool(processes or os.cpu_count()) as pool,
            tqdm(total=len(jobs), unit="img") as bar,
        ):
            results = pool.imap(_job, jobs, chunksize=8)
            for s in missing:
                rows = []
                for _ in range(SHARD):
                    rows.append(next(results))
                    bar.update()
                _save_shard(directory, s, rows, edits)
    finally:
        for k, v in threads.items():
            os.environ.pop(k) if v is None else os.environ.__setitem__(k, v)


@dataclass(frozen=True)
class Portraits:
    """A set as memory maps, one a shard: images uint8 [512, S, S, 3], latents float32 [512, N_LATENTS]; the same for
    the edited scenes, and the names of their edits, when the set has them (else empty lists)."""

    images: list[np.ndarray]
    latents: list[np.ndarray]
    edited: list[np.ndarray]
    edited_latents: list[np.ndarray]
    edits: list[list[str | None]]


def load(directory) -> Portraits:
    """All finished shards of a set, in order; raises FileNotFoundError when there is none."""
    directory = Path(directory)
    names = sorted(p.stem.removeprefix("latents-") for p in directory.glob("latents-*.npy"))
    if not names:
        raise FileNotFoundError(f"no finished shard of portraits in {directory}")

    def maps(kind: str) -> list[np.ndarray]:
        paths = [directory / f"{kind}-{n}.npy" for n in names]
        return [np.load(p, mmap_mode="r") for p in paths if p.exists()]

    edit_files = [directory / f"edits-{n}.json" for n in names]
    edits = [json.loads(p.read_text()) for p in edit_files if p.exists()]
    return Portraits(maps("images"), maps("latents"), maps("edited"), maps("edited-latents"), edits)


def looks_hash() -> str:
    """Hash of the pictures of a few scenes: it changes when latents change their meaning or their looks."""
    from .render import render

    return hashlib.sha256(
        b"".join(render(Scene.from_seed(i), 64).tobytes() for i in range(24))
    ).hexdigest()[:16]


def _check_meta(path: Path, meta: dict) -> None:
    if not path.exists():
        _atomic(path, lambda f: f.write(json.dumps(meta, indent=1).encode()))
        return
    old = json.loads(path.read_text())
    different = [k for k in meta if k != "count" and old.get(k) != meta[k]]
    if different:
        raise ValueError(
            f"{path.parent} holds another set: {', '.join(different)} differ; choose another directory"
        )
    if meta["count"] > old["count"]:
        _atomic(path, lambda f: f.write(json.dumps(meta, indent=1).encode()))


def _job(job: tuple[int, int, int, bool]):
    from .render import render

    seed, index, size, edits = job
    g = latent(seed, index)
    scene = Scene.from_latent(g)
    image = render(scene, size)
    if not edits:
        return g, image
    name = random_edit(scene, seed, index)
    edited = scene.edited(name) if name else scene
    # Latents are stored as float32, and the picture must be the stored latents' picture.
    stored = edited.latent.astype(np.float32)
    return g, image, stored, render(Scene.from_latent(stored), size), name


def _save_shard(directory: Path, shard: int, rows: list[tuple], edits: bool) -> None:
    columns = list(zip(*rows, strict=True))
    if edits:
        _atomic(directory / f"edited-{shard:05d}.npy", lambda f: np.save(f, np.stack(columns[3])))
        _atomic(
            directory / f"edited-latents-{shard:05d}.npy",
            lambda f: np.save(f, np.stack(columns[2])),
        )
        _atomic(
            directory / f"edits-{shard:05d}.json",
            lambda f: f.write(json.dumps(columns[4]).encode()),
        )
    _atomic(directory / f"images-{shard:05d}.npy", lambda f: np.save(f, np.stack(columns[1])))
    _atomic(directory / f"latents-{shard:05d}.npy", lambda f: np.save(f, np.stack(columns[0])))


def _atomic(path: Path, write_to) -> None:
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as f:
        write_to(f)
    part.replace(path)
