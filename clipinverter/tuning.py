"""Pivotal tuning: the generator learns to draw one photo.

    w (the pivot) - generator - picture - L1 and perceptual distance to the crop - gradient - weights

The latent of a photo stays where the encoder put it, so that edits of it mean what they meant, and
the weights learn the rest. Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images"
(ACM TOG 2022). Few large steps do what hundreds of small ones do: what each setting gave is in
docs/performance.md.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipinverter.models import learning
from clipinverter.models.ops import channels_last
from clipinverter.models.perceptual import Perceptual, perceptual
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.photo.tensors import to_pil, to_tensor
from clipinverter.weights.load import Models, computes_in_bfloat16

OnStep = Callable[[int, int], None]
OnPreview = Callable[[Image.Image], None]


@dataclass(frozen=True)
class Settings:
    """How a generator is tuned.

    Attributes:
        steps: of Adam.
        first: the resolution from which on layers learn, pixels; below it they keep what they know
            of faces, and are drawn once.
        rate: of Adam; rises over `warm_up` steps and falls to 0 along a cosine.
        betas: of Adam.
        perceptual_size: largest side of what the perceptual distance sees, pixels.
        perceptual_weight: of that distance, beside 1 for L1.
        preview_every: steps from preview to preview.
    """

    steps: int = 75
    first: int = 16
    rate: float = 1.6e-2
    betas: tuple[float, float] = (0.8, 0.99)
    warm_up: int = 8
    perceptual_size: int = 128
    perceptual_weight: float = 1.0
    preview_every: int = 10


@dataclass(frozen=True, eq=False)
class Tuning:
    """What a generator learnt of one photo. Tensors are on the CPU and shared: don't write to them.

    Attributes:
        changes: what to add to the weights, by name, in half precision.
        w_plus: [1, n_latent, style_dim], the pivot.
        steps: that were made.
        seconds: that they took.
        loss: after the last one.
    """

    changes: dict[str, Tensor]
    w_plus: Tensor
    steps: int
    seconds: float
    loss: float

    @property
    def nbytes(self) -> int:
        """Memory that it occupies."""
        return sum(t.nbytes for t in self.changes.values()) + self.w_plus.nbytes


def tune(
    models: Models,
    w_plus: Tensor,
    crop: Image.Image,
    on_step: OnStep | None = None,
    on_preview: OnPreview | None = None,
    settings: Settings | None = None,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tuning:
    """Tunes a copy of the domain's generator to one photo; the domain's own stays as it is.

    Args:
        w_plus: [1, n_latent, style_dim], the photo's latent as the encoder gives it.
        crop: the aligned photo, RGB, square, of any size.
        on_step: called with the number of steps done and of all steps, after each; what it raises ends the tuning.
        on_preview: called with the picture as it is drawn so far.
        turn: entered for each step; a lock that is shared with others lets them in between.
    """
    start = time.perf_counter()
    settings = settings or Settings()
    learner = _Learner(models, w_plus, crop, settings)
    total = settings.steps
    for step in range(total):
        with turn(), torch.enable_grad():
            drawn, loss = learner.step(step)
        if on_step is not None:
            on_step(step + 1, total)
        if on_preview is not None and (step + 1) % settings.preview_every == 0:
            on_preview(to_pil(drawn))
    return Tuning(learner.changes(), w_plus.cpu(), total, time.perf_counter() - start, float(loss))


def tuned(generator: RemapperGenerator, tuning: Tuning, share: float = 1.0) -> RemapperGenerator:
    """A generator that draws with a tuning, or a share of it. All other weights are those of the one given."""
    parameters = dict(generator.named_parameters())
    memo: dict[int, object] = {id(t): t for t in (*parameters.values(), *generator.buffers())}
    for name, change in tuning.changes.items():
        weight = parameters[name]
        learnt = weight.detach() + share * change.to(weight.device, weight.dtype)
        memo[id(weight)] = torch.nn.Parameter(learnt, requires_grad=False)
    return copy.deepcopy(generator, memo)


class _Learner:
    """A generator on its way to one photo."""

    def __init__(
        self, models: Models, w_plus: Tensor, crop: Image.Image, settings: Settings
    ) -> None:
        self.settings = settings
        self.device = models.device
        self.shared = models.generator
        self.generator = copy.deepcopy(models.generator).requires_grad_(False)
        names = learnt_names(self.generator, settings.first)
        self.learnt = {n: self.generator.get_parameter(n) for n in names}
        for parameter in self.learnt.values():
            if parameter.dim() == 5:  # in the layout in which CPU convolutions take it as it lies
                parameter.data = channels_last(parameter.data[0])[None]
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.Adam(
            self.learnt.values(), lr=settings.rate, betas=settings.betas, fused=True
        )
        with torch.no_grad():
            self.styles = self.generator.styles(w_plus.to(self.device))
            below = settings.first // 2
            self.begun = (
                learning.draw(self.generator, self.styles, until=below) if below >= 4 else None
            )
            target = to_tensor(crop, self.generator.size).to(self.device)
            self.goal = _Goal(target, perceptual(models.encoder), settings)

    def step(self, step: int) -> tuple[Tensor, Tensor]:
        """One step of Adam -> the picture before it, [1, 3, size, size], and its loss."""
        s = self.settings
        rise, fall = (step + 1) / s.warm_up, 0.5 + 0.5 * math.cos(math.pi * step / s.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = s.rate * min(1.0, rise) * fall
        with torch.autocast(self.device.type, torch.bfloat16, enabled=_is_quick(self.device)):
            drawn = learning.draw(self.generator, self.styles, self.begun).image
            loss = self.goal.loss(drawn)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return drawn.detach(), loss.detach()

    def changes(self) -> dict[str, Tensor]:
        """What was learnt, in half precision on the CPU."""
        before = dict(self.shared.named_parameters())
        return {n: (p.detach() - before[n]).half().cpu() for n, p in self.learnt.items()}


class _Goal:
    """The photo at the generator's size, and what the perceptual distance sees of it."""

    def __init__(self, target: Tensor, measure: Perceptual, settings: Settings) -> None:
        self.target = target
        self.measure = measure
        self.seen_size = min(target.shape[2], settings.perceptual_size)
        self.weight = settings.perceptual_weight
        self.features = measure.features(self._seen(target))

    def loss(self, drawn: Tensor) -> Tensor:
        distance = self.measure(self._seen(drawn), self.features)
        return (drawn - self.target).abs().mean() + self.weight * distance

    def _seen(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, images.shape[2] // self.seen_size)


def learnt_names(generator: RemapperGenerator, first: int) -> list[str]:
    """Names of the parameters that tuning changes: convolutions, colours and biases from a size on.

    What a latent or a text means stays: the mapping network, the modulations, the remapper.
    """
    blocks = range(max(0, first.bit_length() - 4), len(generator.to_rgbs))
    layers = [f"convs.{2 * k + j}." for k in blocks for j in (0, 1)]
    layers += [f"to_rgbs.{k}." for k in blocks]
    if first <= 4:
        layers += ["input.", "conv1.", "to_rgb1."]
    return [
        name
        for name, _ in generator.named_parameters()
        if name.startswith(tuple(layers)) and "modulation" not in name and "noise" not in name
    ]


def _is_quick(device: torch.device) -> bool:
    """Whether bfloat16 is the faster precision there."""
    return device.type == "cuda" or computes_in_bfloat16()
