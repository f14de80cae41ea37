"""The Editor: a photo becomes an Inversion, an Inversion and a prompt become an Edit.

    photo - align - crop - trunk - c1,c2,c3 - heads - codes - w_plus   once a photo: Inversion
    w_plus, crop - pivotal tuning - a generator that draws this photo  once a photo: Tuning
    an Inversion, a prompt and a strength                              `methods/`: Edit
    an Edit, the photo                                                 the whole photo, edited

Caches are keyed by content and shared by all sessions; results are frozen. A new prompt does not run
the trunk, and a new strength runs nothing but the generator. Baykal et al., "CLIP-Guided StyleGAN
Inversion for Text-Driven Real Image Editing" (ACM TOG 2023), section 3.
"""

import functools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from clipinverter.cache import Cache
from clipinverter.methods.base import OnPreview, OnStep, Session, StageTimer, Stopped, step_name
from clipinverter.methods.clipinverter import CLIPInverter
from clipinverter.methods.in_order import InOrder
from clipinverter.photo import align
from clipinverter.photo.digest import file_digest, photo_digest
from clipinverter.photo.faces import Face, Point, face_of_eyes, ordered_eyes
from clipinverter.photo.load import as_crop, load_photo
from clipinverter.photo.paste import paste
from clipinverter.photo.tensors import psnr, to_pil, to_tensor
from clipinverter.request import Wish
from clipinverter.results import (
    Edit,
    Inversion,
    Stage,
    copy_of,
    size_of_faces,
    size_of_image,
    size_of_inversion,
)
from clipinverter.tuning import Tuning, tune, tuned
from clipinverter.weights.load import Models

Photo = str | os.PathLike[str] | bytes | Image.Image
DRAWN_WELL = 26.0  # dB between inversion and crop, from which tuning gains little
Align = Literal["auto", "none"] | tuple[Point, Point]


class _Tuned(NamedTuple):
    """A tuning, the image that it gives w_plus, and the stage that it took."""

    tuning: Tuning
    image: Image.Image
    stage: Stage


def size_of_tuned(tuned: _Tuned) -> int:
    return tuned.tuning.nbytes + size_of_image(tuned.image)


class Editor:
    """Inverts photos and edits them by text. Safe to share between threads and sessions.

    Args:
        models: see `weights.load.load_models`.
        cache_bytes: bound of the memory that all cached results may take.

    Attributes:
        session: what the methods share; another method on the same photos takes it.
    """

    def __init__(self, models: Models, cache_bytes: int = 512 * 2**20) -> None:
        self.models = models
        self.session = Session(models, cache_bytes // 4)
        self._method = CLIPInverter(self.session, cache_bytes // 4)
        # Of files, so that a slider move does not decode the photo again: file -> pixels' digest.
        self._digests: Cache[str] = Cache(2**20, sys.getsizeof)
        self._faces: Cache[tuple[Face, ...]] = Cache(2**20, size_of_faces)
        self._inversions: Cache[Inversion] = Cache(cache_bytes // 2, size_of_inversion)
        self._learning = (
            InOrder()
        )  # one photo at a time: each takes memory, and all would take longer
        self._tunings: Cache[_Tuned] = Cache(cache_bytes // 2, size_of_tuned)

    def invert(
        self,
        photo: Photo,
        align: Align = "auto",
        on_step: OnStep | None = None,
        face: int = 0,
    ) -> Inversion:
        """Finds the latent of a photo.

        Args:
            photo: what `photo.load.load_photo` takes: a path, the bytes of a file, a Pillow image.
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
            digest, _ = self._digests.get(file, lambda: photo_digest(load()))
        key = f"{digest} {align} {face if align == 'auto' else 0}"
        inversion, hit = self._inversions.get(
            key, lambda: self._invert(load(), digest, align, face, key, on_step)
        )
        return copy_of(inversion, cached=hit)

    def tune(
        self,
        inversion: Inversion,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
        detail: bool = True,
    ) -> Inversion:
        """Teaches a copy of the generator to draw this photo: pivotal tuning, see `tuning.tune`.

        Args:
            inversion: from `invert` of this Editor.
            on_step: called with "step 1 of 70" and so on, before that with "waiting" while another photo is learned;
                one that raises `Stopped` ends the tuning within a step.
            on_preview: called with the image as it is drawn so far, every few steps.
            detail: whether edits get the photo's own detail back where they leave it alone, see `photo.detail`. At
                strength 0 the image is then the crop itself, and all images have its size.

        Returns:
            The same inversion with a tuning; `image` is drawn by the tuned generator. All methods draw with it.

        Raises:
            Stopped: a callback raised it; nothing is kept.
        """
        key = inversion.key
        tuned, hit = self._tunings.get(
            key, lambda: self._tune(inversion, on_step, on_preview), retry=Stopped
        )
        stage = tuned.stage._replace(cached=hit)
        return replace(
            inversion,
            image=tuned.image.copy(),
            w_plus=tuned.tuning.w_plus,
            tuning=tuned.tuning,
            detail=detail,
            stages=(*inversion.stages, stage),
        )

    def needs_tuning(self, inversion: Inversion) -> bool:
        """Whether a photo gains by tuning, and this machine can tune in seconds.

        Portraits that the embedded domain rendered are drawn well without it. On a CPU, models above 512 px
        take minutes; `tune` works there all the same.
        """
        m = self.models
        quick = m.device.type == "cuda" or m.domain.image_size <= 512
        return quick and psnr(inversion.image, inversion.crop) < DRAWN_WELL

    def tuned(self, inversion: Inversion, detail: bool = True) -> Inversion | None:
        """The tuned inversion if it is in the cache, see `tune`; never computes."""
        if self._tunings.find(inversion.key) is None:
            return None
        return self.tune(inversion, detail=detail)

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """Edits an inverted photo with CLIPInverter.

        Args:
            inversion: from `invert` of this Editor, or from `tune`.
            prompt: the wanted look, in words, e.g. "a smiling woman with red hair".
            strength: -2 to 2. 0 gives `inversion.unedited` bit for bit, 1 the paper's edit (after
                `tune` as far as `methods.gains` says); it scales the residual and the remapper's pull. Below 0
                both go the opposite way, an extrapolation that the model was not trained for.
            on_step: called with the name of each stage before it runs.
            on_preview: called with the edit in 256 px while one larger than 512 px is drawn.

        Raises:
            PromptError: the prompt is empty or far too long, see `request.check_prompt`.
            StrengthError: the strength is no number from -2 to 2.
            CheckpointError: the text-image model, read with the first prompt, is damaged.
        """
        return self._method.edit(inversion, prompt, strength, on_step, on_preview)

    def mix(
        self,
        inversion: Inversion,
        wishes: Sequence[Wish],
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """Edits an inverted photo by several wishes at once, see `methods.moves.MixedMove`.

        One wish is `edit`, and wishes of strength 0 change nothing, both bit for bit; the order does not
        matter. What a wish means for this photo is cached alone, so a new strength runs the generator only.

        Args:
            wishes: one to three, each with a strength as in `edit`.
            inversion, on_step, on_preview: as in `edit`.

        Raises:
            WishesError: there are none or more than three.
            PromptError, StrengthError, CheckpointError: as in `edit`.
        """
        return self._method.mix(inversion, wishes, on_step, on_preview)

    def paste(self, photo: Image.Image, edit: Edit, on_step: OnStep | None = None) -> Edit:
        """Puts the edited face back into the whole photo, see `photo.paste`.

        Args:
            photo: RGB, what was inverted, as `load_photo` gives it.

        Returns:
            The edit with the whole photo as its image.
        """
        timer = StageTimer(self.models.device, on_step)
        with timer("paste"):
            image = paste(photo, edit.inversion, edit.image)
        return replace(edit, image=image, stages=edit.stages + timer.stages)

    def _tune(
        self, inversion: Inversion, on_step: OnStep | None, on_preview: OnPreview | None
    ) -> _Tuned:
        def announce(step: int, steps: int) -> None:
            if on_step:
                on_step(step_name(step, steps))

        with self._learning.held(on_step and (lambda: on_step("waiting"))):
            start = time.perf_counter()
            crop, turn = inversion.crop, self.session.compute
            tuning = tune(self.models, inversion.w_plus, crop, announce, on_preview, turn=turn)
        with self.session.compute():
            generator = tuned(self.models.generator, tuning)
            image = to_pil(generator(tuning.w_plus.to(self.models.device)))
        return _Tuned(tuning, image, Stage("tuning", (time.perf_counter() - start) * 1000))

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
        with self.session.compute(on_step) as run:
            with run("align"):
                if align_mode == "none":
                    faces, face, quad = (), 0, None
                    crop = seen = as_crop(photo)
                else:
                    if align_mode == "auto":
                        faces, _ = self._faces.get(digest, lambda: tuple(align.detect_faces(photo)))
                    else:
                        faces, face = (face_of_eyes(*ordered_eyes(photo, *align_mode)),), 0
                    seen, quad = align.align_face(photo, align.choose(faces, face).landmarks)
                    size = align.crop_size(quad)
                    crop = seen if size == seen.width else align.cut_out(photo, quad, size)
                images = to_tensor(seen, m.domain.encoder_size).to(m.device)
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


def _are_points(align: object) -> bool:
    try:
        points = np.array(align, dtype=float)
    except (TypeError, ValueError):
        return False
    return points.shape == (2, 2) and bool(np.isfinite(points).all())
