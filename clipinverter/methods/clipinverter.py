"""CLIPInverter: a residual from the text-modulated features, and the remapper.

    prompt - CLIP text - t - adapter(c1, c2, c3; t) - style heads - residual   once per prompt
    G(w_plus + strength * 0.1 * residual, rows pulled to MLP(t))               once per strength

Several wishes: their residuals and pulls add up, see `moves.MixedMove`.

Baykal et al., "CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing" (ACM TOG 2023),
section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clipinverter.cache import Cache
from clipinverter.methods.absences import Split, split
from clipinverter.methods.base import (
    OnPreview,
    OnStep,
    Session,
    make_edit,
)
from clipinverter.methods.moves import LatentMove, MixedMove, size_of_move
from clipinverter.methods.understanding import read
from clipinverter.request import Wish, check_prompt, check_strength, check_wishes
from clipinverter.results import Edit, Inversion, as_cached


class CLIPInverter:
    """Edits inverted photos by text; computes residual and remapper vectors once per photo and prompt.

    Args:
        session: networks and compute lock.
        cache_bytes: limit of the memory for residuals.
    """

    name = "clipinverter"  # in the cache of images

    def __init__(self, session: Session, cache_bytes: int = 128 * 2**20) -> None:
        self.session = session
        self.moves: Cache[LatentMove] = Cache(cache_bytes, size_of_move)

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """See `Editor.edit`."""
        prompt, strength = check_prompt(prompt), check_strength(strength)
        move, cached = self._cached_move(inversion, prompt, on_step)
        edit = make_edit(
            self.session, inversion, move, (self.name, prompt), prompt, strength,
            cached=cached, on_step=on_step, on_preview=on_preview,
        )  # fmt: skip
        return replace(edit, **read(self.session.models, [prompt])._asdict())

    def mix(
        self,
        inversion: Inversion,
        wishes: Sequence[Wish],
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """See `Editor.mix`."""
        wishes = check_wishes(wishes)
        if len(wishes) == 1:
            return self.edit(inversion, *wishes[0], on_step, on_preview)
        parts, stages = [], ()
        for wish in sorted(wishes):
            move, cached = self._cached_move(inversion, wish.prompt, on_step)
            parts.append((move, wish.strength))
            stages += as_cached(move.stages) if cached else move.stages
        edit = make_edit(
            self.session, inversion, MixedMove(tuple(parts), stages), ("mix", *sorted(wishes)),
            " + ".join(wish.prompt for wish in wishes), float(any(w.strength for w in wishes)),
            cached=False, on_step=on_step, on_preview=on_preview,
        )  # fmt: skip
        reading = read(self.session.models, [wish.prompt for wish in wishes])
        return replace(edit, strength=1.0, wishes=wishes, **reading._asdict())

    def _cached_move(
        self, inversion: Inversion, prompt: str, on_step: OnStep | None
    ) -> tuple[LatentMove, bool]:
        return self.moves.get(
            (inversion.key, prompt), lambda: self._move(inversion, prompt, on_step)
        )

    def _move(self, inversion: Inversion, prompt: str, on_step: OnStep | None) -> LatentMove:
        m = self.session.models
        embedded = m.domain.text_image == "portraits"
        parts = Split(prompt, ()) if embedded else split(prompt)
        texts = [text for text in (parts.wished, *parts.absent) if text]
        signs = [1.0] * bool(parts.wished) + [-1.0] * len(parts.absent)
        with self.session.compute(on_step) as run:
            with run("text"):
                truncated = not all(map(m.text_image.fits, texts))
                text = m.text_image.embed_text(texts)
            with run("adapter"):
                features = tuple(feature.to(m.device) for feature in inversion.features)
                adapted = [m.adapter(features, row[None]) for row in text]
            with run("residual"):
                residual = sum(
                    sign * m.encoder.heads(*levels)
                    for sign, levels in zip(signs, adapted, strict=True)
                )
            with run("remapper"):  # it pulls towards a text, so only a wish can go there
                vectors = m.generator.remap_vectors(text[:1]).cpu() if parts.wished else None
            return LatentMove(residual.cpu(), vectors, truncated, run.stages)
