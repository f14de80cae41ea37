"""What the Editor and the methods hand out: frozen results, and the memory that they take."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from clipinverter.photo.faces import Face

if TYPE_CHECKING:
    from clipinverter.tuning import Tuning


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
    tuning: "Tuning | None" = None
    detail: bool = False

    @property
    def drawn_by(self) -> tuple[str, float | None, bool]:
        """Key of whatever depends on the weights that draw this inversion."""
        return self.key, self.tuning and self.tuning.loss, self.detail

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the inversion with its tuning to a safetensors file, see `inversion_file.py`."""
        from clipinverter.weights.inversion_file import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Inversion":
        """Reads a file that `save` wrote. Raises CheckpointError for any other file."""
        from clipinverter.weights.inversion_file import load

        return load(path)

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
        strength: 0 is the inversion itself, 1 the published edit.
        prompt: as it was used, with normalised white space.
        truncated: the prompt had more tokens than the text model reads; its end was ignored.
        stages: all stages of the edit, in order, without those of the inversion.
        inversion: what was edited.
    """

    image: Image.Image
    residual: Tensor | None
    strength: float
    prompt: str
    truncated: bool
    stages: tuple[Stage, ...]
    inversion: Inversion


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
