"""Latent optimisation: gradient descent on the latent of one picture, for one prompt.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 4, equation 1, with the learning rate of the authors' code. As there,
the result is the last latent.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from clipinverter.cache import Cache
from clipinverter.methods.base import (
    OnPreview,
    OnStep,
    Session,
    Stopped,
    make_edit,
    step_name,
)
from clipinverter.methods.moves import LatentMove, size_of_move
from clipinverter.methods.settings import Settings, settings_of
from clipinverter.models.adapter import RESIDUAL_SCALE
from clipinverter.models.irse import face_features
from clipinverter.models.losses import clip_loss, clip_pool, identity_loss
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion, Stage
from clipinverter.weights.load import Models


class LatentOptimization:
    """Minimises the CLIP loss of picture and prompt, with penalties on the distance in W+ and on identity.

    At strength s, s times the difference between the found latent and the start is added to the start.

    Args:
        session: networks and compute lock.
        settings: default: the domain's.
        cache_bytes: limit of the memory for finished latents.
    """

    def __init__(
        self, session: Session, settings: Settings | None = None, cache_bytes: int = 2**23
    ) -> None:
        self.session = session
        self.settings = settings or settings_of(session.models.domain)
        self._moves: Cache[LatentMove] = Cache(cache_bytes, size_of_move)

    def with_settings(self, settings: Settings) -> LatentOptimization:
        """The same method with other settings; the two share what they keep."""
        other = copy.copy(self)
        other.settings = settings
        return other

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """As `Editor.edit`; takes seconds to minutes.

        Args:
            on_step: called with "step 1 of 60" and so on. If it raises `Stopped`, the result is the last latent so
                far, which is not cached. Other requests can compute between two steps.
            on_preview: called with the edit so far after every step.
        """
        prompt, strength = check_prompt(prompt), check_strength(strength)
        s = self.settings
        asked = (prompt, s.steps, s.rate, s.warm_up, s.ramp_down, s.l2, s.identity)
        key = (inversion.drawn_by, asked)
        move = self._moves.find(key)
        cached = move is not None
        finished = True
        if move is None:
            move, finished = self._optimise(inversion, prompt, strength, on_step, on_preview)
            if finished:
                self._moves.get(key, lambda: move)
        return make_edit(
            self.session, inversion, move, ("optimization", asked) if finished else None, prompt,
            strength, cached=cached, on_step=on_step if finished else None,
        )  # fmt: skip

    def _optimise(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float,
        on_step: OnStep | None,
        on_preview: OnPreview | None,
    ) -> tuple[LatentMove, bool]:
        """The last move, and whether all steps were done."""
        run = _Run(self.session, inversion, prompt, self.settings, on_step)
        move = run.move()
        for step in range(self.settings.steps):
            try:
                if on_step:
                    on_step(step_name(step + 1, self.settings.steps))
            except Stopped:
                return move, False
            move = run.step(step)
            if on_preview:
                preview = make_edit(
                    self.session, inversion, move, None, prompt, strength, cached=False
                )
                on_preview(preview.image)
        return move, True


class _Run:
    """One optimisation and its current latent [1, n_latent, style_dim]."""

    def __init__(
        self,
        session: Session,
        inversion: Inversion,
        prompt: str,
        settings: Settings,
        on_step: OnStep | None,
    ) -> None:
        self.session, self.settings = session, settings
        m = session.models
        with session.compute(on_step) as run:
            with run("text"):
                self.truncated = not m.text_image.fits(prompt)
                self.text = m.text_image.embed_text([prompt])
            self.text_stages = run.stages
            self.generator = session.generator_of(inversion)
            self.start = inversion.w_plus.to(m.device)
            self.person = person_features(m, self.generator(self.start))
        self.latent = self.start.clone().requires_grad_()
        self.optimizer = torch.optim.Adam([self.latent], lr=settings.rate)
        self.ms = 0.0

    def step(self, index: int) -> LatentMove:
        """Updates the latent by the loss at it; returns the move so far."""
        m, s = self.session.models, self.settings
        with self.session.compute() as run:
            with run("optimisation"), torch.enable_grad():
                image = self.generator(self.latent)
                loss = clip_loss(image_features(m, image), self.text).sum()
                loss = loss + s.l2 * (self.latent - self.start).square().sum()
                if self.person is not None:
                    loss = loss + s.identity * identity_loss(person_features(m, image), self.person)
                for group in self.optimizer.param_groups:
                    group["lr"] = s.rate * rate_factor(index / s.steps, s.warm_up, s.ramp_down)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            self.ms += run.stages[-1].ms
        return self.move()

    def move(self) -> LatentMove:
        """The move from the start to the current latent."""
        residual = (self.latent.detach() - self.start).cpu() / RESIDUAL_SCALE
        stages = (*self.text_stages, Stage("optimisation", self.ms))
        return LatentMove(residual, None, self.truncated, stages)


def rate_factor(progress: float, warm_up: float, ramp_down: float) -> float:
    """The learning rate relative to its maximum, at a share of the steps: linear warm-up, cosine ramp-down."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - progress) / ramp_down))
    return down * min(1.0, progress / warm_up)


def image_features(models: Models, images: Tensor) -> Tensor:
    """Raw embeddings [B, text_dim] of images [B, 3, S, S] in [-1, 1], for StyleCLIP's losses.

    OpenAI's model gets the images enlarged, pooled and without CLIP's mean and std, as in the authors' code; the
    embedded model gets them as everywhere.
    """
    if models.domain.text_image == "openai":
        return models.text_image.model.encode_image(clip_pool(images))
    return models.text_image.embed_image(images)


def person_features(models: Models, images: Tensor) -> Tensor | None:
    """Identity features of images [B, 3, S, S]: unit vectors [B, D]; None without an identity network."""
    return None if models.identity is None else face_features(models.identity, images)
