"""Rendered sets of portraits on disk, in shards that are complete or absent.

A set is a directory with `meta.json` and, for every shard of 512 scenes, `images-00000.npy` (uint8 [512, S, S, 3]) and
`latents-00000.npy` (float32 [512, N_LATENTS]). Scene i has its own random numbers, so a shard depends on the seed and
nothing else. The latents file is written last: a shard is complete once its latents exist.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipinverter.errors import UserError
from clipinverter.portraits.scene import Scene
from clipinverter.portraits.variables import N_LATENTS

SHARD = 512


def latent(seed: int, index: int) -> np.ndarray:
    """Latent [N_LATENTS], float32, of scene `index` of the set with this seed."""
    return np.random.default_rng([seed, index]).standard_normal(N_LATENTS).astype(np.float32)


def write(
    directory: Path,
    count: int,
    size: int,
    seed: int = 0,
    processes: int | None = None,
) -> None:
    """Render `count` scenes (rounded up to whole shards) on `processes` processes (default: one a core).

    Resumes: shards that exist are kept.

    Raises:
        UserError: the directory holds a different set.
    """
    from tqdm import tqdm

    directory.mkdir(parents=True, exist_ok=True)
    shards = -(-count // SHARD)
    meta = {
        "seed": seed,
        "size": size,
        "count": shards * SHARD,
        "n_latents": N_LATENTS,
        "looks": looks_hash(),
    }
    _check_meta(directory / "meta.json", meta)
    missing = [s for s in range(shards) if not (directory / f"latents-{s:05d}.npy").exists()]
    if not missing:
        return
    # One shard after another, its scenes spread over the processes, so that readers can start early.
    jobs = [(seed, s * SHARD + i, size) for s in missing for i in range(SHARD)]
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
                _save_shard(directory, s, rows)
    finally:
        for k, v in threads.items():
            os.environ.pop(k) if v is None else os.environ.__setitem__(k, v)


def looks_hash() -> str:
    """Hash of the pictures of a few scenes: it changes with the meaning of latents and with the renderer."""
    from clipinverter.portraits.render import render

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
        raise UserError(
            f"{path.parent} holds another set: {', '.join(different)} differ. Choose another directory."
        )
    if meta["count"] > old["count"]:
        _atomic(path, lambda f: f.write(json.dumps(meta, indent=1).encode()))


def _job(job: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Latent and picture of a scene."""
    from clipinverter.portraits.render import render

    seed, index, size = job
    g = latent(seed, index)
    return g, render(Scene.from_latent(g), size)


def _save_shard(directory: Path, shard: int, rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    latents, images = (np.stack(column) for column in zip(*rows, strict=True))
    _atomic(directory / f"images-{shard:05d}.npy", lambda f: np.save(f, images))
    _atomic(directory / f"latents-{shard:05d}.npy", lambda f: np.save(f, latents))


def _atomic(path: Path, write_to) -> None:
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as f:
        write_to(f)
    part.replace(path)
