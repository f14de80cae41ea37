"""Edits to learn from, with the outputs of frozen networks computed once.

The first stages of the adapter repeat the same pictures and kinds of prompts thousands of times, while the encoder's
trunk and the text tower are frozen. Their outputs fit into memory; a step then runs the adapter and the style heads
alone, which allows several times as many edits an hour.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipinverter.models.adapter import Features
from clipinverter.portraits.w_space import w_of
from clipinverter.training.loop import bfloat16, write
from clipinverter.training.objective import Teachers
from clipinverter.training.portraits import data, edits

EDITS = 60_000
CHUNK = 64  # edits that are embedded at once


@dataclass(frozen=True)
class Edits:
    """picture [N]: index of the render; text [N, text_dim]: embedded prompt; shift [N, D]: change of the exact w when
    it comes true; asked [N, K] bool: see `edits.EditBatch`."""

    picture: Tensor
    text: Tensor
    shift: Tensor
    asked: Tensor

    def __len__(self) -> int:
        return len(self.picture)


@torch.no_grad()
def known_edits(
    teachers: Teachers, rendered: data.RenderedSet, folder: Path, count: int = EDITS
) -> Edits:
    """`count` edits of renders. They take minutes and are kept in a file by the digest of the text-image model."""
    from tqdm import trange

    digest = hashlib.sha256((folder / "clip.safetensors").read_bytes()).hexdigest()[:8]
    path = folder / f"edits-{count}-{digest}.pt"
    if not path.exists():
        rng = np.random.default_rng(20235)
        style_dim = teachers.generator.style_dim
        found = []
        for _ in trange(-(-count // CHUNK), desc="edits"):
            picture = rng.integers(len(rendered), size=CHUNK)
            wanted = edits.sample(rendered.latents[picture], rendered.frequency, rng)
            with bfloat16():
                text = teachers.text_image.embed_text(wanted.prompts)
            shift = w_of(wanted.edited_latents, style_dim) - w_of(wanted.latents, style_dim)
            found.append((torch.from_numpy(picture), text.half(), shift.half(), wanted.asked))
        names = ("picture", "text", "shift", "asked")
        parts = (torch.cat(parts) for parts in zip(*found, strict=True))
        write(path, dict(zip(names, parts, strict=True)))
    found = torch.load(path, weights_only=True)
    text, shift = found["text"].float(), found["shift"].float()
    return Edits(found["picture"], text, shift, found["asked"])


@dataclass(frozen=True)
class EncodedSet:
    """M renders as they are, then the same augmented. features: the encoder's maps [2 M, C, H, W] in bfloat16; w_plus
    [2 M, rows, D]: predicted latents in bfloat16; w [M, D]: exact latents."""

    features: Features
    w_plus: Tensor
    w: Tensor

    def missed(self, pictures: Tensor) -> Tensor:
        """The exact minus the predicted latents, [B, rows, D], of pictures with indices [B]."""
        return self.w[pictures % len(self.w), None] - self.w_plus[pictures].float()


@torch.no_grad()
def encode_set(teachers: Teachers, rendered: data.RenderedSet, *, coarse: bool) -> EncodedSet:
    """Encodes all renders as they are, then augmented to look like photographs; with `coarse` c3 and the base row only,
    with empty tensors in place of the other maps."""
    encoder, rng = teachers.encoder, np.random.default_rng(20236)
    maps: tuple[list[Tensor], ...] = ([], [], [])
    w_plus = []
    for _, pictures in data.versions(rendered, encoder.input_size, 2, rng):
        with bfloat16():
            found = teachers.features(pictures)
            rows = encoder.styles[0](found[2])[:, None] if coarse else encoder.heads(*found)
        w_plus.append((rows.float() + teachers.latent_avg[: rows.shape[1]]).bfloat16())
        for level, x in enumerate(found):
            kept = x[:0] if coarse and level < 2 else x
            maps[level].append(kept.bfloat16().contiguous())
    exact = w_of(rendered.latents, teachers.generator.style_dim)
    return EncodedSet(tuple(torch.cat(parts) for parts in maps), torch.cat(w_plus), exact)
