"""Reads weights safely: the authors' published files, and the fp16 files that come with the project.

The published files are pickles, which can run code when they are loaded. They are read with
`weights_only=True` plus an allow-list of the few plain classes that argparse options and logged
numbers need; a file that needs more is refused. Every refusal is a `CheckpointError` whose message
names the file and says what is wrong and what to do.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from clipinverter.errors import UserError

StateDict = dict[str, Tensor]
PathLike = str | os.PathLike[str]

_SAFE_GLOBALS = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")),
    # The same function under the names that numpy 1 and numpy 2 pickle it by.
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]


class CheckpointError(UserError):
    """A file of weights is missing, damaged, unsafe or of the wrong kind; the message says so."""


class E4E(NamedTuple):
    """An e4e encoder as published: keys without their `encoder.` prefix, and [n_latent, width]."""

    encoder: StateDict
    latent_avg: Tensor
    opts: dict[str, Any]


class CLIPInverter(NamedTuple):
    """A CLIPInverter file. A file of training stage one has a plain generator as its decoder."""

    adapter: StateDict
    decoder: StateDict
    opts: dict[str, Any]

    @property
    def has_remapper(self) -> bool:
        """Whether the decoder has the remapper's text MLPs and lambdas (training stage two)."""
        return any(key.startswith("affine_mlps.") for key in self.decoder)


def load_stylegan2(path: PathLike) -> StateDict:
    """The averaged generator (`g_ema`) of a StyleGAN2 file in rosinality's format."""
    content = _read(path)
    if not isinstance(content.get("g_ema"), Mapping):
        raise _wrong_kind(path, content, "StyleGAN2")
    return _tensors(path, content["g_ema"])


def load_e4e(path: PathLike) -> E4E:
    """An e4e file; its own decoder is ignored, and one average latent is spread over all rows."""
    content = _read(path)
    encoder = _part(path, content, "encoder.")
    if not encoder:
        raise _wrong_kind(path, content, "e4e")
    rows = {int(m[1]) for m in (re.match(r"styles\.(\d+)\.", key) for key in encoder) if m}
    latent_avg = content.get("latent_avg")
    if not rows or not isinstance(latent_avg, Tensor):
        raise CheckpointError(
            f"{path} is an e4e file without style heads or without `latent_avg`: it is incomplete. "
            "Use the file that the authors publish."
        )
    if latent_avg.ndim not in (1, 2) or latent_avg[..., 0].numel() not in (1, len(rows)):
        raise CheckpointError(
            f"{path}: `latent_avg` has shape {list(latent_avg.shape)}, which does not fit "
            f"{len(rows)} latent rows."
        )
    latent_avg = latent_avg.float().expand(len(rows), -1).clone()
    return E4E(encoder, latent_avg, _opts(path, content))


def load_clipinverter(path: PathLike) -> CLIPInverter:
    """A CLIPInverter file of either training stage; see `CLIPInverter.has_remapper`."""
    content = _read(path)
    adapter, decoder = (_part(path, content, prefix) for prefix in ("adapter.", "decoder."))
    if not adapter or not decoder:
        raise _wrong_kind(path, content, "CLIPInverter")
    return CLIPInverter(adapter, decoder, _opts(path, content))


def load_arcface(path: PathLike) -> StateDict:
    """An IR-SE ArcFace network: a bare state dict."""
    content = _read(path)
    if _kind(content) != "ArcFace":
        raise _wrong_kind(path, content, "ArcFace")
    return _tensors(path, content)


def load_styleclip_mapper(path: PathLike) -> StateDict:
    """A latent mapper of StyleCLIP: keys without their `mapper.` prefix; the decoder is ignored."""
    content = _read(path)
    mapper = _part(path, content, "mapper.")
    if not mapper:
        raise _wrong_kind(path, content, "StyleCLIP mapper")
    return mapper


def load_clip(path: PathLike) -> StateDict:
    """OpenAI's ViT-B/32 as open_clip publishes it."""
    content = _mapped(path) if Path(path).suffix == ".safetensors" else _read(path)
    if _kind(content) != "CLIP":
        raise _wrong_kind(path, content, "CLIP")
    sizes = ("input_resolution", "context_length", "vocab_size")  # no weights
    return _tensors(path, {key: value for key, value in content.items() if key not in sizes})


def kind_of(path: PathLike) -> str | None:
    """What a published file is: CLIPInverter, e4e, StyleGAN2, ArcFace, CLIP, …; None: unknown.

    Raises CheckpointError for a file that can't be read.
    """
    return _kind(_mapped(path) if Path(path).suffix == ".safetensors" else _read(path))


def save_weights(path: PathLike, weights: Mapping[str, Tensor], half: bool = True) -> str:
    """Write floating-point tensors as safetensors, others unchanged; return the file's sha256.

    The file appears at once or not at all. Raises ValueError for values that fp16 cannot hold.

    Args:
        half: in fp16, otherwise in float32.
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
    safetensors.torch.save_file(kept, partial)
    partial.chmod(0o644)  # a server may run as somebody else
    partial.replace(path)
    return sha256(path)


def load_weights(path: PathLike, expected_sha256: str | None = None) -> StateDict:
    """Tensors of a safetensors file, floating-point ones as float32, on the CPU.

    With `expected_sha256` a file with any other content is refused.
    """
    weights = _mapped(path)
    if expected_sha256 is not None and (found := sha256(path)) != expected_sha256:
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


def _mapped(path: PathLike) -> StateDict:
    """Tensors of a safetensors file, mapped into memory: read from disk when they are used."""
    _check_file(path)
    with open(path, "rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):
            raise CheckpointError(
                f"{path} is only a Git LFS pointer, not the weights themselves: run `git lfs pull`."
            )
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({_first_line(error)}). "
            "Restore it from the repository, or download it again."
        ) from error


def _read(path: PathLike) -> dict[str, Any]:
    _check_file(path)
    try:
        with torch.serialization.safe_globals(_SAFE_GLOBALS):
            # Memory mapping reads only the parts that are used; old files are no zips.
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    # A broken pickle stream can fail in any way that Python code can.
    except Exception as error:
        forbidden = re.search(r"GLOBAL ([\w.]+) (was not an allowed|whose module)", str(error))
        if isinstance(error, pickle.UnpicklingError) and forbidden:
            raise CheckpointError(
                f"{path} asks for {forbidden[1]}, which plain weights never need. It is refused, "
                "since such a file could run any code. Use the file that the authors publish."
            ) from error
        raise CheckpointError(
            f"{path} is damaged or not a PyTorch checkpoint ({_first_line(error)}). "
            "Download it again."
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not the parts of a model. "
            "Use the file that the authors publish."
        )
    return dict(content)


def _check_file(path: PathLike) -> None:
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {what}. Check the path, or download the file.")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty. Download it again.")


def _tensors(path: PathLike, values: Mapping[str, Any]) -> StateDict:
    odd = [str(key) for key, value in values.items() if not isinstance(value, Tensor)]
    if odd:
        raise CheckpointError(f"{path}: `{odd[0]}` should be a tensor. Download the file again.")
    return dict(values)


def _part(path: PathLike, content: Mapping[str, Any], prefix: str) -> StateDict:
    """The entries of `state_dict` under `prefix`, without it; empty where there are none."""
    state = content.get("state_dict")
    if not isinstance(state, Mapping):
        return {}
    part = {k.removeprefix(prefix): v for k, v in state.items() if str(k).startswith(prefix)}
    return _tensors(path, part)


def _opts(path: PathLike, content: Mapping[str, Any]) -> dict[str, Any]:
    opts = content.get("opts", {})
    if isinstance(opts, argparse.Namespace):
        opts = vars(opts)
    if not isinstance(opts, Mapping):
        raise CheckpointError(f"{path}: `opts` should be a dict, not a {type(opts).__name__}.")
    return dict(opts)


def _kind(content: Mapping[str, Any]) -> str | None:
    """The kind of a file, by its keys; None if it is unknown."""
    state = content.get("state_dict")
    first_parts = {str(key).split(".")[0] for key in (state if isinstance(state, Mapping) else ())}
    if "g_ema" in content:
        return "StyleGAN2"
    for part, kind in (("adapter", "CLIPInverter"), ("mapper", "StyleCLIP mapper")):
        if part in first_parts:
            return kind
    if "encoder" in first_parts:
        return "e4e"
    if "input_layer.0.weight" in content and "output_layer.3.weight" in content:
        return "ArcFace"
    if "visual.conv1.weight" in content and "text_projection" in content:
        return "CLIP"
    return None


def _wrong_kind(path: PathLike, content: Mapping[str, Any], wanted: str) -> CheckpointError:
    kind = _kind(content)
    if kind == wanted:
        return CheckpointError(
            f"{path} holds incomplete {wanted} weights. Use the file that the authors publish."
        )
    return CheckpointError(
        f"{path} holds {kind or 'other'} weights; {wanted} weights are needed here."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
