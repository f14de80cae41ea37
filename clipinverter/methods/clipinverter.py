"""CLIPInverter: a residual from the text-modulated features, and the remapper.

    prompt - CLIP text - t - adapter(c1, c2, c3; t) - style heads - residual   once per prompt
    G(w_plus + strength * 0.1 * residual, rows pulled to MLP(t))               once per strength

Baykal et al., "CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing" (ACM TOG 2023),
section 3.
"""

from __future__ import annotations

from dataclasses import replace

from clipinverter.cache import Cache
from clipinverter.methods.absences import Wish, split
from clipinverter.methods.base import (
    LatentMove,
    OnPreview,
    OnStep,
    Session,
    make_edit,
    size_of_move,
)
from clipinverter.methods.understanding import read
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion


class CLIPInverter:
    """Edits inverted photos by text; computes residual and remapper vectors once per photo and prompt.

    Args:
        session: networks and compute lock.
        cache_bytes: limit of the memory for residuals.
    """

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
        move, cached = self.moves.get(
            (inversion.key, prompt), lambda: self._move(inversion, prompt, on_step)
        )
        edit = make_edit(
            self.session, inversion, move, ("clipinverter", prompt), prompt, strength,
            cached=cached, on_step=on_step, on_preview=on_preview,
        )  # fmt: skip
        reading = read(self.session.models, prompt)
        return replace(edit, understood=reading.understood, unknown_words=reading.unknown_words)

    def _move(self, inversion: Inversion, prompt: str, on_step: OnStep | None) -> LatentMove:
        m = self.session.models
        embedded = m.domain.text_image == "portraits"
        wish = Wish(prompt, ()) if embedded else split(prompt)
        texts = [text for text in (wish.wished, *wish.absent) if text]
        signs = [1.0] * bool(wish.wished) + [-1.0] * len(wish.absent)
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
                vectors = m.generator.remap_vectors(text[:1]).cpu() if wish.wished else None
            return LatentMove(residual.cpu(), vectors, truncated, run.stages)
