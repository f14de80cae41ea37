"""Moves: what an edit changes in the generator's latents or style vectors, before a strength multiplies it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.methods.gains import GAIN, amplified
from clipinverter.models.adapter import moved
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.results import Stage, size_of


@dataclass(frozen=True, eq=False)
class LatentMove:
    """A move in W+, on the CPU.

    Attributes:
        residual: [1, n_latent, style_dim], added to w_plus times 0.1 times the strength.
        remap_vectors: [1, n_latent - 2, style_dim], the vectors that the remapper pulls rows towards;
            None for methods without CLIPRemapper.
        truncated: the prompt has more tokens than the text model reads.
        stages: of the computation of the move.
    """

    residual: Tensor
    remap_vectors: Tensor | None
    truncated: bool
    stages: tuple[Stage, ...]

    @property
    def nbytes(self) -> int:
        vectors = () if self.remap_vectors is None else (self.remap_vectors,)
        return size_of(self.residual, *vectors)

    def amplified(self, domain: Domain) -> LatentMove:
        """The move of a tuned photo, see `gains`."""
        return replace(self, residual=amplified(self.residual, domain))

    def styles(self, generator: RemapperGenerator, w_plus: Tensor, strength: float) -> list[Tensor]:
        """The generator's style vectors, one [1, C] per layer, for w_plus [1, n_latent, style_dim] and a strength."""
        w_plus = moved(w_plus, self.residual.to(w_plus.device), strength)
        vectors = self.remap_vectors
        rows = None
        if vectors is not None:
            rows = generator.remapped_rows(w_plus, vectors.to(w_plus.device), strength)
        return generator.styles(w_plus, rows)


@dataclass(frozen=True, eq=False)
class StyleMove:
    """A move in style space, on the CPU. Other attributes as for `LatentMove`.

    steps: [C] or [1, C] for each style vector, the change at strength 1.
    """

    steps: tuple[Tensor, ...]
    truncated: bool
    stages: tuple[Stage, ...]
    residual: None = None

    @property
    def nbytes(self) -> int:
        return size_of(*self.steps)

    def amplified(self, domain: Domain) -> StyleMove:
        """As `LatentMove.amplified`, with one gain for all channels."""
        return replace(self, steps=tuple(GAIN * step for step in self.steps))

    def styles(self, generator: RemapperGenerator, w_plus: Tensor, strength: float) -> list[Tensor]:
        """As `LatentMove.styles`."""
        pairs = zip(generator.styles(w_plus), self.steps, strict=True)
        return [style + strength * step.to(style.device) for style, step in pairs]


@dataclass(frozen=True, eq=False)
class MixedMove:
    """Several latent moves of one photo, each with a strength of its own; other attributes as for `LatentMove`.

    The residuals add up: w + 0.1 (a1 r1 + a2 r2 + …). So do the remapper's pulls, each taken from the row that all
    residuals together give: row + Σ a_i 0.9 λ (v_i - row). Pulls that were made one after the other would depend on
    the order, and a mean of the vectors would let a wish of strength 0 weaken the others. With the sum, a move
    alone is that move bit for bit, strength 0 is no wish, and both parts stay linear in each strength.
    Sums of floats depend on their order too, so whoever makes a mix sorts its parts.

    parts: moves, each with its strength; at least one.
    stages: of all of them; those of moves that were there already are marked as cached.
    """

    parts: tuple[tuple[LatentMove, float], ...]
    stages: tuple[Stage, ...]

    @property
    def residual(self) -> Tensor:
        """[1, n_latent, style_dim], the sum of the residuals times their strengths."""
        return sum(share * move.residual for move, share in self.parts)

    @property
    def truncated(self) -> bool:
        return any(move.truncated for move, _ in self.parts)

    def amplified(self, domain: Domain) -> MixedMove:
        """As `LatentMove.amplified`, of every part."""
        parts = tuple((move.amplified(domain), share) for move, share in self.parts)
        return replace(self, parts=parts)

    def styles(self, generator: RemapperGenerator, w_plus: Tensor, strength: float) -> list[Tensor]:
        """As `LatentMove.styles`; the strength multiplies those of the parts."""
        for move, share in self.parts:
            w_plus = moved(w_plus, move.residual.to(w_plus.device), strength * share)
        rows = None
        for move, share in self.parts:
            if move.remap_vectors is None:
                continue
            vectors = move.remap_vectors.to(w_plus.device)
            pulled = generator.remapped_rows(w_plus, vectors, strength * share)
            rows = pulled if rows is None else rows + (pulled - w_plus[:, 1:-1])
        return generator.styles(w_plus, rows)


Move = LatentMove | StyleMove | MixedMove


def size_of_move(move: Move) -> int:
    return move.nbytes
