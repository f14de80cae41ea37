"""Reads and writes the project's files of weights: safetensors, in fp16 or float32.

Every refusal is a `CheckpointError` whose message names the file and says what is wrong and what to do. The authors'
published files are read in `published.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from clipinverter.weights.check import CheckpointError, PathLike, check_file, check_finite

StateDict = dict[str, Tensor]


def save_weights(
    path: PathLike,
    weights: Mapping[str, Tensor],
    half: bool = True,
    notes: Mapping[str, str] | None = None,
) -> str:
    """Write floating-point tensors as safetensors, others unchanged; return the file's sha256.

    The file appears at once or not at all. Raises ValueError for values that fp16 cannot hold.

    Args:
        half: in fp16, otherwise in float32.
        notes: what the file is to say about itself, see `notes_of`.
    """
    kind = torch.float16 if half else torch.float32
    kept = {
        key: (v.to(kind) if v.is_floating_point() else v).detach().cpu().contiguous()
        for key, v in weights.items()
    }
    if bad := [key for key, v in kept.items() if half and not v.isfinite().all()]:
        raise ValueError(f"not finite in fp16: {', '.join(bad)}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        safetensors.torch.save_file(kept, partial, dict(notes) if notes else None)
        partial.chmod(0o644)  # a server may run as somebody else
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return sha256(path)


def notes_of(path: PathLike) -> dict[str, str]:
    """What a safetensors file says about itself."""
    check_file(path)
    with safetensors.safe_open(path, "pt") as file:
        return file.metadata() or {}


def load_weights(path: PathLike, expected_sha256: str | None = None) -> StateDict:
    """Tensors of a safetensors file, floating-point ones as float32, on the CPU.

    With `expected_sha256` a file with any other content is refused.
    """
    weights = mapped(path)
    if expected_sha256 is None:  # nobody has looked at it before
        check_finite(str(path), weights)
    elif (found := sha256(path)) != expected_sha256:
        raise CheckpointError(
            f"{path} is not the expected file: its sha256 is {found}, not {expected_sha256}. "
            "Restore it from the repository, or download it again."
        )
    return {key: v.float() if v.is_floating_point() else v for key, v in weights.items()}


def sha256(path: PathLike) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def mapped(path: PathLike) -> StateDict:
    """Tensors of a safetensors file, mapped into memory: read from disk when they are used."""
    check_file(path)
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({first_line(error)}). "
            "Restore it from the repository, or download it again."
        ) from error


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
