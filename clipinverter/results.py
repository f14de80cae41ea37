"""What the Editor and the methods hand out: frozen results, and the memory that they take."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clipinverter.models.ops import channels_last
from clipinverter.photo.faces import Face
from clipinverter.request import Wish
from clipinverter.tuning import Tuning
from clipinverter.weights.files import CheckpointError

FORMAT = "clipinverter inversion 1"
CHANGES = "tuning."  # prefix of the changed weights


class Stage(NamedTuple):
    """A stage of a computation.

    Attributes:
        name: e.g. "trunk" or "generator".
        ms: the time that it took when it ran.
        cached: it did not run for this result; an earlier one had computed it.
    """

    name: str
    ms: float
    cached: bool = False


def as_cached(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """The same stages, marked as cached."""
    return tuple(stage._replace(cached=True) for stage in stages)


class _WithStages:
    """Views of `stages`."""

    stages: tuple[Stage, ...]

    @property
    def ran(self) -> tuple[Stage, ...]:
        """The stages that ran for this result."""
        return tuple(stage for stage in self.stages if not stage.cached)

    @property
    def cached(self) -> tuple[str, ...]:
        """Names of the stages that did not need to run."""
        return tuple(stage.name for stage in self.stages if stage.cached)


@dataclass(frozen=True, eq=False)
class Inversion(_WithStages):
    """A photo in the generator's latent space. Tensors are on the CPU and shared: don't write to them.

    Attributes:
        key: digest of the photo's pixels, and how it was aligned.
        crop: the aligned photo, RGB.
        image: the generator's rendering of w_plus, RGB, without any text.
        w_plus: [1, n_latent, style_dim], with the average latent.
        features: the encoder's c1, c2, c3 (strides 4, 8, 16), [1, C, H, W] each.
        quad: [4, 2] corners of the crop in the photo (pixels; top left, bottom left, bottom right,
            top right), or None for a photo that was aligned already.
        faces: all faces of the photo, the largest first; empty when none were looked for.
        face: index of the face in the crop.
        stages: all stages of the inversion and of its tuning, in order.
        tuning: what the generator learnt of this photo, see `Editor.tune`; `image` is then drawn by the
            tuned generator. None for the plain model.
        detail: whether edits get the photo's own detail and resolution back; only with a tuning.
    """

    key: str
    crop: Image.Image
    image: Image.Image
    w_plus: Tensor
    features: tuple[Tensor, Tensor, Tensor]
    quad: np.ndarray | None
    faces: tuple[Face, ...]
    face: int
    stages: tuple[Stage, ...]
    tuning: Tuning | None = None
    detail: bool = False

    @property
    def drawn_by(self) -> tuple[str, float | None, bool]:
        """Key of whatever depends on the weights that draw this inversion."""
        return self.key, self.tuning and self.tuning.loss, self.detail

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything that an edit needs to a safetensors file: latent, features, images, alignment and tuning.

        Raises OSError where the file can't be written.
        """
        _save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Inversion":
        """Reads a file that `save` wrote; its stages are marked as cached.

        Raises CheckpointError for a file that is missing, damaged or something else.
        """
        return _load(path)

    @property
    def unedited(self) -> Image.Image:
        """The image at strength 0: the crop itself with detail, `image` otherwise."""
        return self.crop if self.detail else self.image


@dataclass(frozen=True, eq=False)
class Edit(_WithStages):
    """An edited image, and how it was made.

    Attributes:
        image: RGB, of the size of `inversion.unedited`.
        residual: [1, n_latent, style_dim] on the CPU; strength s moves the latent by 0.1 s of it.
            None where a method moves the generator's style vectors instead.
        strength: 0 is the inversion itself, 1 the published edit, below 0 the opposite direction. Of a mix it is 1.
        prompt: as it was used, with normalised white space. Of a mix, the prompts with " + " between them.
        truncated: the prompt had more tokens than the text model reads; its end was ignored.
        stages: all stages of the edit, in order, without those of the inversion.
        inversion: what was edited.
        wishes: of a mix; empty for an edit by one prompt.
        understood: the attributes that the embedded text model reads from the prompt, such as "red hair" or
            "no bangs"; empty in other domains.
        unknown_words: words of the prompt that the embedded text model does not know, as written.
    """

    image: Image.Image
    residual: Tensor | None
    strength: float
    prompt: str
    truncated: bool
    stages: tuple[Stage, ...]
    inversion: Inversion
    wishes: tuple[Wish, ...] = ()
    understood: tuple[str, ...] = ()
    unknown_words: tuple[str, ...] = ()


class Drawing(NamedTuple):
    """An image that the generator drew, and the stages that it took."""

    image: Image.Image
    stages: tuple[Stage, ...]


def copy_of(inversion: Inversion, *, cached: bool) -> Inversion:
    """An inversion with images of its own, which its owner may write to."""
    stages = as_cached(inversion.stages) if cached else inversion.stages
    crop, image = inversion.crop.copy(), inversion.image.copy()
    return replace(inversion, crop=crop, image=image, stages=stages)


def size_of_inversion(inversion: Inversion) -> int:
    tensors = (inversion.w_plus, *inversion.features)
    return size_of_image(inversion.crop) + size_of_image(inversion.image) + size_of(*tensors)


def size_of_faces(faces: tuple[Face, ...]) -> int:
    return sum(face.landmarks.nbytes for face in faces) + sys.getsizeof(faces)


def size_of_drawing(drawing: Drawing) -> int:
    return size_of_image(drawing.image)


def size_of(*tensors: Tensor) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def size_of_image(image: Image.Image) -> int:
    return image.width * image.height * 4  # Pillow keeps RGB as four bytes a pixel


def _save(inversion: Inversion, path: str | os.PathLike[str]) -> None:
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


def _load(path: str | os.PathLike[str]) -> Inversion:
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
