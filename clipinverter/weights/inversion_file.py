"""Inversions as files: latent, features, images, alignment and tuning, in safetensors without pickle.

A file holds everything that an edit needs, so an edit can be repeated on another day or machine with the same model.
"""

import json
import os

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clipinverter.models.ops import channels_last
from clipinverter.photo.faces import Face
from clipinverter.results import Inversion, Stage, as_cached
from clipinverter.tuning import Tuning
from clipinverter.weights.files import CheckpointError

FORMAT = "clipinverter inversion 1"
CHANGES = "tuning."  # prefix of the changed weights


def save(inversion: Inversion, path: str | os.PathLike[str]) -> None:
    """Writes an inversion. Raises OSError where the file can't be written."""
    tensors = {
        "w_plus": inversion.w_plus,
        **{f"c{i}": feature for i, feature in enumerate(inversion.features, start=1)},
        "crop": _pixels(inversion.crop),
        "image": _pixels(inversion.image),
    }
    if inversion.quad is not None:
        tensors["quad"] = torch.from_numpy(inversion.quad)
    if inversion.faces:
        tensors["landmarks"] = torch.from_numpy(np.stack([f.landmarks for f in inversion.faces]))
        tensors["boxes"] = torch.tensor([f.box for f in inversion.faces], dtype=torch.float64)
        tensors["scores"] = torch.tensor([f.score for f in inversion.faces], dtype=torch.float64)
    meta = {
        "key": inversion.key,
        "face": inversion.face,
        "detail": inversion.detail,
        "stages": [[stage.name, stage.ms] for stage in inversion.stages],
    }
    if (tuning := inversion.tuning) is not None:
        tensors |= {CHANGES + name: change for name, change in tuning.changes.items()}
        meta["tuning"] = {
            "steps": tuning.steps, "seconds": tuning.seconds, "loss": tuning.loss
        }  # fmt: skip
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "inversion": json.dumps(meta)}
    safetensors.torch.save_file(tensors, path, metadata=header)


def load(path: str | os.PathLike[str]) -> Inversion:
    """Reads a file that `save` wrote; its stages are marked as cached.

    Raises:
        CheckpointError: the file is missing, damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise CheckpointError(f"{path} holds no saved inversion.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
        return _inversion(json.loads(header["inversion"]), tensors)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} is missing, damaged or no saved inversion. Save it again."
        ) from error


def _inversion(meta: dict, tensors: dict[str, Tensor]) -> Inversion:
    faces: tuple[Face, ...] = ()
    if "landmarks" in tensors:
        rows = zip(
            tensors["boxes"].tolist(), tensors["landmarks"].numpy(), tensors["scores"].tolist(),
            strict=True,
        )  # fmt: skip
        faces = tuple(Face(tuple(box), landmarks, score) for box, landmarks, score in rows)
    tuning = None
    if "tuning" in meta:
        changes = {
            name.removeprefix(CHANGES): tensor
            for name, tensor in tensors.items()
            if name.startswith(CHANGES)
        }
        tuning = Tuning(changes, tensors["w_plus"], **meta["tuning"])
    return Inversion(
        key=meta["key"],
        crop=_image(tensors["crop"]),
        image=_image(tensors["image"]),
        w_plus=tensors["w_plus"],
        features=tuple(channels_last(tensors[f"c{i}"]) for i in (1, 2, 3)),
        quad=tensors["quad"].numpy() if "quad" in tensors else None,
        faces=faces,
        face=int(meta["face"]),
        stages=as_cached(Stage(name, ms) for name, ms in meta["stages"]),
        tuning=tuning,
        detail=bool(meta["detail"]),
    )


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.convert("RGB")))


def _image(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.numpy())
