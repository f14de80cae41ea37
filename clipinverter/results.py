"""What the Editor hands out and keeps, and how much memory that takes."""

import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from clipinverter.photo.faces import Face


class Stage(NamedTuple):
    """A stage that ran and the time that it took."""

    name: str
    ms: float


@dataclass(frozen=True, eq=False)
class Inversion:
    """A photo in the generator's terms. Tensors are on the CPU and shared: don't write to them.

    Attributes:
        key: digest of the photo's pixels, and how it was aligned.
        crop: the aligned photo, RGB.
        image: the generator's rendering of w_plus, RGB, without any text.
        w_plus: [1, n_latent, style_dim], with the average latent.
        features: the encoder's c1, c2, c3 (strides 4, 8, 16), [1, C, H, W] each.
        quad: [4, 2] corners of the crop in the photo (pixels; top left, bottom left, bottom right,
            top right), or None for a photo that was aligned already.
        faces: all faces of the photo, the largest first; empty when none were looked for.
        face: index of the one that was cut out.
        stages: what ran for this call; empty when the whole Inversion was cached.
        cached: what did not need to run.
        kept: the same with the times that it took when it ran.
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
    cached: tuple[str, ...] = ()
    kept: tuple[Stage, ...] = ()


@dataclass(frozen=True, eq=False)
class Edit:
    """An edited image and how it came about.

    Attributes:
        image: RGB, of the inversion's size.
        residual: [1, n_latent, style_dim] on the CPU; strength s moves the latent by 0.1 s of it.
            None where a method moves the generator's style vectors instead.
        strength: 0 is the inversion itself, 1 the paper's edit.
        prompt: as it was used: white space normalised.
        truncated: the prompt had more tokens than the text model reads; its end was ignored.
        stages: what ran for this call, in order.
        cached: what did not need to run.
        kept: the same with the times that it took when it ran.
        inversion: what was edited.
    """

    image: Image.Image
    residual: Tensor | None
    strength: float
    prompt: str
    truncated: bool
    stages: tuple[Stage, ...]
    cached: tuple[str, ...]
    inversion: Inversion
    kept: tuple[Stage, ...] = ()


class Direction(NamedTuple):
    """What a prompt means for a photo: everything of an edit that does not depend on strength."""

    residual: Tensor  # [1, n_latent, style_dim]
    remap_vectors: Tensor  # [1, n_latent - 2, style_dim]
    truncated: bool
    stages: tuple[Stage, ...]


class Rendering(NamedTuple):
    image: Image.Image
    stages: tuple[Stage, ...]


def size_of_inversion(inversion: Inversion) -> int:
    tensors = (inversion.w_plus, *inversion.features)
    return _size_of_image(inversion.crop) + _size_of_image(inversion.image) + _size_of(*tensors)


def size_of_faces(faces: tuple[Face, ...]) -> int:
    return sum(face.landmarks.nbytes for face in faces) + sys.getsizeof(faces)


def size_of_direction(direction: Direction) -> int:
    return _size_of(direction.residual, direction.remap_vectors)


def size_of_rendering(rendering: Rendering) -> int:
    return _size_of_image(rendering.image)


def _size_of(*tensors: Tensor) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _size_of_image(image: Image.Image) -> int:
    return image.width * image.height * 4  # Pillow keeps RGB as four bytes a pixel
