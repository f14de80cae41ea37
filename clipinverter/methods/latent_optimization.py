"""Latent optimisation: gradient descent on the latent of one picture, for one prompt.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 4, equation 1, with the learning rate of the authors' code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from clipinverter.cache import Cache
from clipinverter.editor import RESIDUAL_SCALE, Editor, OnStep
from clipinverter.methods.base import Move, apply, size_of_move
from clipinverter.methods.settings import Settings, settings_of
from clipinverter.models.irse import face_features
from clipinverter.models.losses import clip_loss, clip_pool, identity_loss
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion, Stage
from clipinverter.weights.load import Models

WARM_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps


class Preview(NamedTuple):
    """step: how many of `steps` are done. edit: the best of them."""

    step: int
    steps: int
    edit: Edit


class Optimization:
    """Finds the latent whose picture fits the prompt best while it stays close to where it started.

    At strength s the picture is that of the latent s times as far from the start as the one found.

    Args:
        editor: whose networks, turn to compute and inversions are used.
        settings: default: the domain's.
        cache_bytes: bound of the memory for finished latents.
    """

    def __init__(
        self, editor: Editor, settings: Settings | None = None, cache_bytes: int = 2**23
    ) -> None:
        self.editor = editor
        self.settings = settings or settings_of(editor.models.domain)
        self._moves: Cache[Move] = Cache(cache_bytes, size_of_move)

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Edit:
        """As `Editor.edit`; takes seconds to minutes."""
        prompt, strength = check_prompt(prompt), check_strength(strength)
        cached = self._moves.find((inversion.key, prompt))
        move = cached or [*self._steps(inversion, prompt, on_step)][-1]
        return apply(
            self.editor,
            inversion,
            move,
            prompt,
            strength,
            cached=cached is not None,
            on_step=on_step,
        )

    def previews(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Iterator[Preview]:
        """The edit so far after every step; whoever stops asking stops the optimisation.

        A finished latent is kept, so that another strength of it is one preview. Others may compute
        between two steps.
        """
        prompt, strength = check_prompt(prompt), check_strength(strength)
        count = self.settings.steps
        if self._moves.find((inversion.key, prompt)) is not None:
            yield Preview(count, count, self.edit(inversion, prompt, strength, on_step))
            return
        for step, move in enumerate(self._steps(inversion, prompt, on_step), start=1):
            yield Preview(step, count, apply(self.editor, inversion, move, prompt, strength))

    def _steps(self, inversion: Inversion, prompt: str, on_step: OnStep | None) -> Iterator[Move]:
        """The best move so far after every step; the last one is kept."""
        run = _Run(self.editor, inversion, prompt, self.settings, on_step)
        for step in range(self.settings.steps):
            if on_step:
                on_step(f"step {step + 1} of {self.settings.steps}")
            move = run.step(step)
            if step + 1 == self.settings.steps:
                self._moves.get((inversion.key, prompt), lambda kept=move: kept)
            yield move
            time.sleep(0.001)  # whoever waits for a turn gets it now


class _Run:
    """One optimisation: the latent as it is, and the best so far."""

    def __init__(
        self,
        editor: Editor,
        inversion: Inversion,
        prompt: str,
        settings: Settings,
        on_step: OnStep | None,
    ) -> None:
        self.editor, self.settings = editor, settings
        m = editor.models
        with editor.compute(on_step) as run:
            with run("text"):
                self.truncated = not m.text_image.fits(prompt)
                self.text = m.text_image.embed_text([prompt])
            self.text_stages = run.stages
            self.start = inversion.w_plus.to(m.device)
            self.person = person_features(m, m.generator(self.start))
        self.latent = self.start.clone().requires_grad_()
        self.optimizer = torch.optim.Adam([self.latent], lr=settings.rate)
        self.lowest = math.inf
        self.best = self.start
        self.ms = 0.0

    def step(self, index: int) -> Move:
        """Looks at the latent, then moves it; the best latent that was looked at."""
        m, s = self.editor.models, self.settings
        with self.editor.compute() as run:
            with run("optimisation"), torch.enable_grad():
                image = m.generator(self.latent)
                loss = clip_loss(image_features(m, image), self.text).sum()
                loss = loss + s.l2 * (self.latent - self.start).square().sum()
                if self.person is not None:
                    loss = loss + s.identity * identity_loss(person_features(m, image), self.person)
                if loss.item() < self.lowest:
                    self.lowest, self.best = loss.item(), self.latent.detach().clone()
                for group in self.optimizer.param_groups:
                    group["lr"] = s.rate * rate_factor(index / s.steps)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            self.ms += run.stages[-1].ms
        residual = (self.best - self.start).cpu() / RESIDUAL_SCALE
        stages = (*self.text_stages, Stage("optimisation", self.ms))
        return Move(residual, None, self.truncated, stages)


def rate_factor(progress: float) -> float:
    """The learning rate after a share of the steps, over its maximum: linear up, at the end a cosine down."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - progress) / RAMP_DOWN))
    return down * min(1.0, progress / WARM_UP)


def image_features(models: Models, images: Tensor) -> Tensor:
    """Raw embeddings [B, text_dim] of images [B, 3, S, S] as StyleCLIP's losses have them: OpenAI's model gets its
    pictures enlarged and pooled, without colour statistics; the embedded model as ever."""
    if models.domain.text_image == "openai":
        return models.text_image.model.encode_image(clip_pool(images))
    return models.text_image.embed_image(images)


def person_features(models: Models, images: Tensor) -> Tensor | None:
    """Identity features of images; None in a domain without an identity network."""
    return None if models.identity is None else face_features(models.identity, images)
