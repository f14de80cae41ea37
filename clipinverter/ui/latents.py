"""Latents that a visitor saved and brings back: nothing in such a file is trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clipinverter.errors import UserError
from clipinverter.ui import text

if TYPE_CHECKING:
    from clipinverter.editor import Editor
    from clipinverter.results import Inversion
    from clipinverter.weights.load import Models

LATENTS = "latents.safetensors"  # beside the crop of latents that were restored
MOST = 4096  # pixels of the side of a crop


def restore(editor: Editor, path: Path, *, tune: bool = True) -> Inversion:
    """Reads an inversion that `Inversion.save` wrote with these networks, as one of its crop.

    Its key is the digest of the file, so it shares no cached result with the photo that it was made of.

    Args:
        tune: False leaves the tuning out, as for the published method.

    Raises:
        UserError: the file is missing, damaged, something else or of other networks.
    """
    from clipinverter.photo.digest import file_digest
    from clipinverter.photo.tensors import to_pil
    from clipinverter.results import Inversion
    from clipinverter.weights.files import CheckpointError

    try:
        saved = Inversion.load(path)
    except CheckpointError:
        raise UserError(text.OTHER_LATENTS) from None
    if not _fits(editor.models, saved):
        raise UserError(text.OTHER_LATENTS)
    key = f"{file_digest(path)} restored"
    saved = replace(saved, key=key, quad=None, faces=(), face=0)
    if saved.tuning and not tune:
        m = editor.models
        with editor.session.compute():
            plain = to_pil(m.generator(saved.w_plus.to(m.device)))
        return replace(saved, image=plain, tuning=None, detail=False)
    return saved


def _fits(models: Models, saved: Inversion) -> bool:
    """Whether all tensors have the sizes of the networks, and all numbers are finite."""
    d, generator = models.domain, models.generator
    shapes = [
        (1, width, d.encoder_size // stride, d.encoder_size // stride)
        for width, stride in zip(d.encoder_widths, (4, 8, 16), strict=True)
    ]
    tensors = [saved.w_plus, *saved.features]
    right = [tuple(t.shape) for t in tensors] == [
        (1, generator.n_latent, d.style_dim), *shapes
    ]  # fmt: skip
    right = right and saved.image.size == (d.image_size, d.image_size)
    width, height = saved.crop.size
    right = right and width == height <= MOST and saved.crop.mode == saved.image.mode == "RGB"
    if saved.tuning:
        weights = dict(generator.named_parameters())
        changes = saved.tuning.changes
        tensors += changes.values()
        right = right and all(
            name in weights and weights[name].shape == change.shape
            for name, change in changes.items()
        )
    return right and all(t.is_floating_point() and bool(t.isfinite().all()) for t in tensors)
