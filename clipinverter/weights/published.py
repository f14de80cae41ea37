"""Read the authors' published files: pickles, without ever running what is in them.

They are read with `weights_only=True` plus an allow-list of the few plain classes that argparse options and logged
numbers need; whatever asks for more is refused. Every refusal is a `CheckpointError` whose message names the file, says
what is wrong and what to do about it.
"""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipinverter.weights.check import CheckpointError, PathLike, check_file
from clipinverter.weights.files import StateDict, first_line, mapped

MAX_WIDTH = 4096  # of a latent

_SAFE_GLOBALS = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")),
    # The same function under the names that numpy 1 and numpy 2 pickle it by.
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]


class E4E(NamedTuple):
    """An e4e encoder as published: keys without their `encoder.` prefix, and [n_latent, width] if it is there."""

    encoder: StateDict
    latent_avg: Tensor | None
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
    if not rows:
        raise CheckpointError(
            f"{path} is an e4e file without style heads: it is incomplete. Use the file that the "
            "authors publish."
        )
    average = content.get("latent_avg")
    latent_avg = None if average is None else spread(path, average, len(rows))
    return E4E(encoder, latent_avg, _opts(path, content))


def load_average(path: PathLike, rows: int) -> Tensor | None:
    """The average latent [rows, width] that any published file holds; None where it has none."""
    average = _read(path).get("latent_avg")
    return None if average is None else spread(path, average, rows)


def spread(path: PathLike, average: Any, rows: int) -> Tensor:
    """An average latent as [rows, width], from one that was saved for all rows or for each."""
    if not isinstance(average, Tensor):
        raise CheckpointError(f"{path}: `latent_avg` should be a tensor. Download the file again.")
    fits = average.ndim in (1, 2) and 0 < average.shape[-1] <= MAX_WIDTH
    if not fits or (average.ndim == 2 and average.shape[0] not in (1, rows)):
        raise CheckpointError(
            f"{path}: `latent_avg` has shape {list(average.shape)}, which does not fit {rows} "
            "latent rows. Use the file that the authors publish."
        )
    return average.float().expand(rows, -1).clone()


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
    content = mapped(path) if Path(path).suffix == ".safetensors" else _read(path)
    if _kind(content) != "CLIP":
        raise _wrong_kind(path, content, "CLIP")
    sizes = ("input_resolution", "context_length", "vocab_size")  # no weights
    return _tensors(path, {key: value for key, value in content.items() if key not in sizes})


def kind_of(path: PathLike) -> str | None:
    """What a published file is: CLIPInverter, e4e, StyleGAN2, ArcFace, CLIP, …; None: unknown.

    Raises CheckpointError for a file that can't be read.
    """
    return _kind(mapped(path) if Path(path).suffix == ".safetensors" else _read(path))


def _read(path: PathLike) -> dict[str, Any]:
    check_file(path)
    try:
        with torch.serialization.safe_globals(_SAFE_GLOBALS):
            # Memory mapping reads only the parts that are used; old files are no zips.
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    # A broken pickle stream can fail in any way that Python code can.
    except Exception as error:
        forbidden = re.search(r"GLOBAL ([\w.]+) (?:was not an allowed|whose module)", str(error))
        if isinstance(error, pickle.UnpicklingError) and forbidden:
            raise CheckpointError(
                f"{path} asks for {forbidden[1]}, which plain weights never need. It is refused, "
                "since such a file could run any code. Use the file that the authors publish."
            ) from error
        raise CheckpointError(
            f"{path} is damaged or not a PyTorch checkpoint ({_reason(error)}). Download it again."
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not the parts of a model. "
            "Use the file that the authors publish."
        )
    return dict(content)


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


def _reason(error: Exception) -> str:
    """Why PyTorch could not read a file, without its advice to read it unsafely."""
    if isinstance(error, pickle.UnpicklingError) or "eights only load failed" in str(error):
        return "its list of contents is not that of plain weights"
    return first_line(error)
