"""What can be said about a file of weights before it is read, and about weights before they are used."""

import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from clipinverter.errors import UserError

PathLike = str | os.PathLike[str]
UNPACKED = 1.1  # times the file's size, which is what plain weights may unpack to
# What a file begins with that is no weights, and what to say about it.
STARTS = (
    ((b"<!doctype", b"<html", b"<?xml", b"<head"), (
        "is a web page, not weights: the download quota was probably exceeded, or the address asks "
        "for a sign-in. Save the file by a browser."
    )),
    ((b"version https://git-lfs",), (
        "is only a Git LFS pointer, not the weights themselves: run `git lfs pull`."
    )),
    ((b"{\"error", b"{\"message"), "is an answer of a server that refused, not weights. Download it again."),
    ((b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"rar!", b"7z\xbc\xaf"), (
        "is a packed archive, not weights themselves. Unpack it first."
    )),
    ((b"\x89hdf",), "is an HDF5 file; PyTorch or safetensors files are needed."),
)  # fmt: skip


class CheckpointError(UserError):
    """A file of weights is missing, damaged, unsafe or of the wrong kind; the message says so."""


def check_file(path: PathLike) -> None:
    """Raises CheckpointError unless it is a plain file that may hold weights; reads its first bytes."""
    path = Path(path)
    try:
        mode = path.stat().st_mode  # not opened: a pipe would wait for ever
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not exist. Check the path, or download the file."
        ) from error
    if not stat.S_ISREG(mode):
        what = "a folder, not a file" if stat.S_ISDIR(mode) else "no plain file"
        raise CheckpointError(f"{path} is {what}. Check the path, or download the file.")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty. Download it again.")
    try:
        with open(path, "rb") as file:
            start = file.read(64).lstrip().lower()
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}).") from error
    for beginnings, sentence in STARTS:
        if start.startswith(beginnings):
            raise CheckpointError(f"{path} {sentence}")
    _check_directory(path)


def check_finite(where: str, weights: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError where a number is no number or infinite; `where` begins the sentence."""
    for key, value in weights.items():
        # The sum is quick and takes no memory; only where it is odd every number is looked at.
        if not value.is_floating_point() or value.sum(dtype=torch.float64).isfinite():
            continue
        if not value.isfinite().all():
            what = "NaN" if value.isnan().any() else "infinite numbers"
            raise CheckpointError(
                f"{where} holds {what} at `{key}`: it could only draw meaningless pictures. Use "
                "another copy of the file, or one of an earlier step of the training."
            )


def _check_directory(path: Path) -> None:
    """Refuses archives that unpack to more than they are, from their own list of sizes."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except Exception:  # a damaged list; the reader says so
        return
    if unpacked > UNPACKED * path.stat().st_size + 2**20:
        raise CheckpointError(
            f"{path} unpacks to {unpacked / 1e6:,.0f} MB from {path.stat().st_size / 1e6:,.1f} MB, "
            "which plain weights never do, so it is refused. Use the file that the authors publish."
        )
