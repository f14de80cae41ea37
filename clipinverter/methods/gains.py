"""How far the edits of a tuned photo go.

A photo's own detail is stronger than a render's, and what it shows changes less for the same move of the latent. So the
moves of tuned photos are larger than the published ones: some quantities of W more than others, since a new colour
is there at once, and age needs its wrinkles. Measured in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from clipinverter.domains import Domain

GAIN = 1.3  # of everything that the table does not name
EXPRESSION = 1.4
GAINS: Mapping[str, float] = {
    "gender": 2.0,
    "age": 2.5,
    "expression": EXPRESSION,
    "expression_strength": EXPRESSION,
    "mouth open": EXPRESSION,
    "hair_colour": 1.0,
    "eye_colour": 1.0,
    "lipstick": 0.6,
    "hat": 1.5,
}
"""By variable of a scene of the embedded domain, whose W says which part of a residual is about which."""


def amplified(residual: Tensor, domain: Domain) -> Tensor:
    """A residual [..., style_dim] as a tuned photo needs it; in other domains than `portraits` times `GAIN`."""
    if domain.name != "portraits":
        return GAIN * residual
    from clipinverter.portraits.w_space import part_of  # takes longer to import than an edit

    beyond = _gains() - GAIN
    return GAIN * residual + part_of(residual, beyond)


@cache
def _gains() -> Tensor:
    """The gain of each number of a scene's description, [K]."""
    from clipinverter.portraits.w_space import described_by

    gains = torch.full_like(described_by([]), GAIN, dtype=torch.float32)
    for variable, gain in GAINS.items():
        gains[described_by([variable])] = gain
    return gains
