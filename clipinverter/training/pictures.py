"""Folders of pictures, with or without a folder of captions, in the layout of CelebA-HQ, AFHQ and CUB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from clipinverter.errors import UserError
from clipinverter.photo.load import PhotoError, as_crop, find_photos, load_photo
from clipinverter.photo.tensors import to_tensor
from clipinverter.training.presets import MISMATCH

SEED = 20231


class DataError(UserError):
    """A training set can't be used; the message names the file and says what is wrong."""


@dataclass(frozen=True)
class CaptionedPictures(Dataset):
    """Aligned pictures with captions, as an endless list of samples.

    Sample k depends on k only, so that any number of processes can share the samples, and a resumed run goes on with
    those that it has not used. Each len(paths) samples contain every picture once.

    paths: of the pictures. captions: one or more for each path. size: side of the images in pixels.
    """

    paths: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]
    size: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, sample: int) -> Mapping[str, Any]:
        """A sample: its number; `images`, the picture [3, size, size] in [-1, 1], mirrored with probability 0.5;
        `captions`, one of its captions."""
        count = len(self.paths)
        index = int(_order(count, sample // count)[sample % count])
        rng = np.random.default_rng([SEED, sample])
        caption = str(rng.choice(self.captions[index]))
        image = read(self.paths[index], self.size)
        if rng.random() < 0.5:
            image = image.flip(2)
        return {"number": sample, "images": image, "captions": caption}


def with_prompts(
    samples: Sequence[Mapping[str, Any]], asks: bool | None = None
) -> Mapping[str, Any]:
    """A batch of samples of `CaptionedPictures`, with `prompts` and `asks` [B] bool.

    As in the authors' code, with probability `MISMATCH` (paper, section 3.4) all pictures of the batch get the caption
    of the picture before them, and otherwise all keep their own.

    Args:
        asks: which of both; default: decided by the number of the first sample.
    """
    batch = default_collate(samples)
    if asks is None:
        asks = np.random.default_rng([SEED, samples[0]["number"], 1]).random() < MISMATCH
    asks = bool(asks) and len(samples) > 1  # a single picture has no other captions
    captions = batch["captions"]
    prompts = captions[-1:] + captions[:-1] if asks else captions
    return batch | {"prompts": prompts, "asks": torch.full((len(samples),), asks)}


@lru_cache(maxsize=2)
def _order(count: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([SEED, count, epoch]).permutation(count)


def find(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, sorted by path.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """
    try:
        return find_photos(folder)
    except PhotoError as error:
        raise DataError(str(error)) from None


def read(path: Path, size: int) -> torch.Tensor:
    """The centre square of a picture, [3, size, size] in [-1, 1].

    Raises:
        DataError: the picture can't be read.
    """
    try:
        return to_tensor(as_crop(load_photo(path)), size)[0]
    except PhotoError as error:
        raise DataError(
            f"{path} can't be used: {error} Repair or remove it, and go on with --resume."
        ) from error


def load(images: Path, captions: Path, size: int) -> CaptionedPictures:
    """Finds the pictures in `images`, and the captions of a/b.jpg in `captions`/a/b.txt, one a line.

    Raises:
        DataError: there are no pictures, or captions are missing.
    """
    paths = find(images)
    if not captions.is_dir():
        raise DataError(f"There is no folder {captions}.")
    files = [captions / path.relative_to(images).with_suffix(".txt") for path in paths]
    texts = [_lines(file) for file in files]
    lacking = [place for place, lines in enumerate(texts) if not lines]
    if lacking:
        path, file = paths[lacking[0]], files[lacking[0]]
        fault = "is empty" if file.is_file() else "is missing"
        more = f" The same is true of {len(lacking) - 1} more." if len(lacking) > 1 else ""
        raise DataError(
            f"{path} has no captions: {file} {fault}. "
            f"Every picture needs a text file of the same name with a caption a line.{more}"
        )
    return CaptionedPictures(tuple(paths), tuple(texts), size)


def _lines(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        return ()
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(" ".join(line.split()) for line in lines if line.strip())
