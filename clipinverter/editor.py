"""The Editor: a photo becomes an Inversion, an Inversion and a prompt become an Edit.

    photo - align - crop - trunk - c1,c2,c3 - heads - codes        once a photo: Inversion
    prompt - CLIP text - t - adapter(c1,c2,c3; t) - same heads - r  once a prompt: residual
    G(codes + latent_avg + strength * 0.1 * r, rows pulled to MLP(t))  once a strength: image

Each line has a cache, so that a new prompt does not run the trunk and a new strength runs nothing
but the generator. Caches are keyed by content and shared by all sessions; results are frozen.
Baykal et al., "CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing" (ACM TOG 2023),
section 3.
"""

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from clipinverter.cache import Cache
from clipinverter.photo import align
from clipinverter.photo.faces import Face, Point, face_of_eyes
from clipinverter.photo.load import load_photo
from clipinverter.photo.tensors import to_pil, to_tensor
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import (
    Direction,
    Edit,
    Inversion,
    Rendering,
    Stage,
    size_of_direction,
    size_of_faces,
    size_of_inversion,
    size_of_rendering,
)
from clipinverter.weights.load import Models

RESIDUAL_SCALE = 0.1  # a constant of the authors' code, in training and inference

Photo = str | os.PathLike[str] | bytes | Image.Image
Align = Literal["auto", "none"] | tuple[Point, Point]
OnStep = Callable[[str], None]
OnPreview = Callable[[Image.Image], None]

INVERSION_STAGES = ("align", "trunk", "heads", "reconstruction")
DIRECTION_STAGES = ("text", "adapter", "residual", "remapper")


class Editor:
    """Edits photos by text with CLIPInverter. Safe to share between threads and sessions.

    One request computes at a time: a second one on the same cores would only slow both down.

    Args:
        models: see `loading.load_models`.
        cache_bytes: bound of the memory that all cached results may take.
    """

    def __init__(self, models: Models, cache_bytes: int = 512 * 2**20) -> None:
        self.models = models
        self._computing = threading.Lock()
        # Of files, so that a slider move does not decode the photo again: file -> pixels' digest.
        self._keys: Cache[str] = Cache(2**20, sys.getsizeof)
        self._faces: Cache[tuple[Face, ...]] = Cache(2**20, size_of_faces)
        self._inversions: Cache[Inversion] = Cache(cache_bytes // 2, size_of_inversion)
        self._directions: Cache[Direction] = Cache(cache_bytes // 4, size_of_direction)
        self._renderings: Cache[Rendering] = Cache(cache_bytes // 4, size_of_rendering)

    def invert(
        self,
        photo: Photo,
        align: Align = "auto",
        on_step: OnStep | None = None,
        face: int = 0,
    ) -> Inversion:
        """Finds the latent of a photo.

        Args:
            photo: what `photos.load_photo` takes: a path, the bytes of a file, a Pillow image.
            align: "auto" finds the faces and crops one as FFHQ does, or is "none" in a domain
                without faces; "none" takes the whole picture as an aligned crop; two points (x, y)
                are the eyes of a face that is not found, the left one as seen first, in pixels of
                the photo as `load_photo` gives it.
            on_step: called with the name of each stage before it runs.
            face: which of the faces that "auto" finds; 0 is the largest, 1 the next.

        Raises:
            NoFaceError: align is "auto", and no face was found or none of that number.
            PhotoError: the picture can't be used.
            ValueError: align is something else.
        """
        if align not in ("auto", "none") and not _are_points(align):
            raise ValueError(f'Align must be "auto", "none" or two points, not {align!r}.')
        if align == "auto" and not self.models.domain.aligned:
            align = "none"
        load = functools.cache(lambda: load_photo(photo))
        if isinstance(photo, Image.Image):
            digest = photo_digest(load())
        else:
            file = file_digest(photo)
            digest, _ = self._keys.get(file, lambda: photo_digest(load()))
        key = f"{digest} {align} {face if align == 'auto' else 0}"
        inversion, hit = self._inversions.get(
            key, lambda: self._invert(load(), digest, align, face, key, on_step)
        )
        if hit:
            kept = inversion.stages
            inversion = replace(inversion, stages=(), cached=INVERSION_STAGES, kept=kept)
        return replace(inversion, crop=inversion.crop.copy(), image=inversion.image.copy())

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """Edits an inverted photo.

        Args:
            inversion: from `invert` of this Editor.
            prompt: the wanted look, in words, e.g. "a smiling woman with red hair".
            strength: 0 to 2. 0 gives `inversion.image` bit for bit, 1 the paper's edit; both the
                residual and the remapper's pull scale with it.
            on_step: called with the name of each stage before it runs.
            on_preview: called with the edit in 256 px while a larger one than 512 px is drawn.

        Raises:
            PromptError: the prompt is empty or far too long, see `request.check_prompt`.
            StrengthError: the strength is no number from 0 to 2.
            CheckpointError: the text-image model, read with the first prompt, is damaged.
        """
        prompt = check_prompt(prompt)
        strength = check_strength(strength)
        key = (inversion.key, prompt)
        direction, direction_hit = self._directions.get(
            key, lambda: self._direct(inversion, prompt, on_step)
        )
        if strength == 0:
            rendering, rendering_hit = Rendering(inversion.image, ()), True
        else:
            rendering, rendering_hit = self._renderings.get(
                (*key, strength),
                lambda: self._render(inversion, direction, strength, on_step, on_preview),
            )
        stages: tuple[Stage, ...] = ()
        cached: tuple[str, ...] = ()
        kept: tuple[Stage, ...] = ()
        if direction_hit:
            cached += DIRECTION_STAGES
            kept += direction.stages
        else:
            stages += direction.stages
        if rendering_hit:
            cached += ("generator",)
            kept += rendering.stages
        else:
            stages += rendering.stages
        return Edit(
            image=rendering.image.copy(),
            residual=direction.residual,
            strength=strength,
            prompt=prompt,
            truncated=direction.truncated,
            stages=stages,
            cached=cached,
            kept=kept,
            inversion=inversion,
        )

    def _invert(
        self,
        photo: Image.Image,
        digest: str,
        align_mode: Align,
        face: int,
        key: str,
        on_step: OnStep | None,
    ) -> Inversion:
        m = self.models
        with self.compute(on_step) as run:
            with run("align"):
                if align_mode == "none":
                    faces, face, quad = (), 0, None
                    crop = align.as_crop(photo)
                else:
                    if align_mode == "auto":
                        faces, _ = self._faces.get(digest, lambda: tuple(align.detect_faces(photo)))
                    else:
                        faces, face = (face_of_eyes(*align_mode),), 0
                    crop, quad = align.align_face(photo, align.choose(faces, face).landmarks)
                images = to_tensor(crop, m.domain.encoder_size).to(m.device)
            with run("trunk"):
                features = m.encoder.trunk_features(images)
            with run("heads"):
                w_plus = m.encoder.heads(*features) + m.latent_avg
            with run("reconstruction"):
                image = to_pil(m.generator(w_plus))
            c1, c2, c3 = (feature.cpu() for feature in features)
            return Inversion(
                key, crop, image, w_plus.cpu(), (c1, c2, c3), quad, faces, face, run.stages
            )

    def _direct(self, inversion: Inversion, prompt: str, on_step: OnStep | None) -> Direction:
        m = self.models
        c1, c2, c3 = inversion.features
        with self.compute(on_step) as run:
            with run("text"):
                truncated = not m.text_image.fits(prompt)
                text = m.text_image.embed_text([prompt])
            with run("adapter"):
                features = (c1.to(m.device), c2.to(m.device), c3.to(m.device))
                adapted = m.adapter(features, text)
            with run("residual"):
                residual = m.encoder.heads(*adapted)
            with run("remapper"):
                remap_vectors = m.generator.remap_vectors(text)
            return Direction(residual.cpu(), remap_vectors.cpu(), truncated, run.stages)

    def _render(
        self,
        inversion: Inversion,
        direction: Direction,
        strength: float,
        on_step: OnStep | None,
        on_preview: OnPreview | None,
    ) -> Rendering:
        m = self.models
        show = on_preview and (lambda image: on_preview(to_pil(image)))
        with self.compute(on_step) as run:
            with run("generator"):
                w_plus = inversion.w_plus + strength * RESIDUAL_SCALE * direction.residual
                vectors = direction.remap_vectors.to(m.device)
                drawn = m.generator(w_plus.to(m.device), vectors, strength, on_preview=show)
                image = to_pil(drawn)
            return Rendering(image, run.stages)

    @contextmanager
    def compute(self, on_step: OnStep | None = None) -> Iterator["Stages"]:
        """The right to compute, and what announces and times the stages: `with run("text"): …`."""
        # Not inference_mode: methods that optimise a latent need gradients through the results.
        with self._computing, torch.no_grad():
            yield Stages(self.models.device, on_step)


class Stages:
    """Announces and times stages."""

    def __init__(self, device: torch.device, on_step: OnStep | None) -> None:
        self.device = device
        self.on_step = on_step
        self.stages: tuple[Stage, ...] = ()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        if self.on_step:
            self.on_step(name)
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.stages += (Stage(name, (time.perf_counter() - start) * 1000),)


def photo_digest(photo: Image.Image) -> str:
    """Digest of an RGB picture's pixels."""
    digest = blake2b(f"{photo.width}x{photo.height} ".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(photo))
    return digest.hexdigest()


def file_digest(file: str | os.PathLike[str] | bytes) -> str:
    """Digest of a file. One that can't be read has the digest of nothing; loading it says why."""
    if not isinstance(file, bytes):
        path = Path(file)
        file = path.read_bytes() if path.is_file() else b""
    return blake2b(file, digest_size=16).hexdigest()


def _are_points(align: object) -> bool:
    try:
        points = np.array(align, dtype=float)
    except (TypeError, ValueError):
        return False
    return points.shape == (2, 2) and bool(np.isfinite(points).all())
