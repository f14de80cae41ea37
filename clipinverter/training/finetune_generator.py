"""Finetunes a trained generator on a plain folder of pictures: `python -m clipinverter.training finetune-generator`.

The w of these pictures is not known, so this is StyleGAN2's own training (Karras et al. 2020): z ~ N(0, I), the
non-saturating loss, a discriminator with lazy R1, and a moving average of the weights. A discriminator memorises a few
hundred pictures soon; therefore it sees real and generated ones through the same random, differentiable changes (Zhao
et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020: colour, translation and cutout,
with the ranges of that paper).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.discriminator import Discriminator
from clipinverter.models.losses import r1_penalty
from clipinverter.models.stylegan2 import Generator
from clipinverter.training import pictures
from clipinverter.training.loop import Average, TrainingRun, bfloat16, cosine, run, set_rate
from clipinverter.training.presets import PRESETS, R1
from clipinverter.training.warm_start import (
    generator_weights,
    image_size_of,
    synthesis_parameters,
)
from clipinverter.weights.files import CheckpointError
from clipinverter.weights.folder import RunWeights
from clipinverter.weights.load import default_device

NAME = "generator-adapt"  # of the preset and of the state in the run folder
WARMUP = 0.1  # share of the steps in which the generator's rate grows: the discriminator is untrained at first
R1_EVERY = 16  # steps


def augment(images: Tensor) -> Tensor:
    """Differentiable random changes, drawn for each picture: images [B, 3, S, S], about [-1, 1] -> the same shape, not
    clamped."""
    return hide(shift(recolour(images)))


def recolour(images: Tensor) -> Tensor:
    """Images [B, 3, S, S] with brightness moved by up to 0.5, saturation times 0 to 2 and contrast times 0.5 to 1.5."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + brightness - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = grey + 2 * saturation * (images - grey)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (0.5 + contrast) * (images - middle)


def shift(images: Tensor) -> Tensor:
    """Images [B, 3, S, S] moved by whole pixels, up to an eighth of the side in each direction, and padded by zeros."""
    size = images.shape[-1]
    reach = size // 8
    corners = torch.randint(2 * reach + 1, (len(images), 2)).tolist()
    padded = F.pad(images, (reach,) * 4)
    return torch.stack(
        [
            x[:, top : top + size, left : left + size]
            for x, (top, left) in zip(padded, corners, strict=True)
        ]
    )


def hide(images: Tensor) -> Tensor:
    """Images [B, 3, S, S] in which a square of half the side is zero, centred anywhere."""
    size = images.shape[-1]
    centres = torch.randint(size + 1, (2, len(images), 1), device=images.device)
    rows, columns = (torch.arange(size, device=images.device) + 0.5 - centres).abs() < size / 4
    return images * ~(rows[:, :, None] & columns[:, None, :])[:, None]


def load_start(domain: Domain, start: Path | None) -> Generator:
    """The generator to finetune.

    Raises:
        CheckpointError: no weights are given, or they are not of the domain's generator.
    """
    if start is None:
        raise CheckpointError(
            "Finetuning goes on from a trained generator: say by --start which weights it has."
        )
    state = generator_weights(start)
    generator = Generator(
        domain.image_size, domain.style_dim, domain.n_mlp, domain.channel_base, domain.channel_max
    )
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        size = image_size_of(state)
        fault = "does not fit the generator"
        if size not in (0, domain.image_size):
            fault = f"draws pictures of {size} px and not of {domain.image_size} px, the size"
        raise CheckpointError(f"{start} {fault} of the domain {domain.name!r}.") from error
    return generator


def read(paths: list[Path], count: int, size: int, rng: np.random.Generator) -> Tensor:
    """`count` random pictures [count, 3, size, size] in [-1, 1], each of them mirrored with probability 0.5."""
    images = [pictures.read(paths[k], size) for k in rng.integers(len(paths), size=count)]
    return torch.stack([x.flip(2) if rng.random() < 0.5 else x for x in images])


@dataclass(frozen=True)
class Critic:
    """The discriminator with its optimiser, and gamma, the weight of R1."""

    network: Discriminator
    optimizer: torch.optim.Adam
    gamma: float

    def opinion(self, fake: Tensor) -> Tensor:
        """The generator's non-saturating loss for its images `fake` [B, 3, S, S]."""
        self.network.requires_grad_(False)
        loss = F.softplus(-self.network(fake)).mean()
        self.network.requires_grad_(True)
        return loss

    def learn(self, real: Tensor, fake: Tensor, i: int) -> float:
        """Step i of the discriminator on images [B, 3, S, S], with lazy R1 in float32; returns its loss."""
        with bfloat16():
            fake_score, real_score = self.network(torch.cat([fake, real])).chunk(2)
            loss = F.softplus(fake_score).mean() + F.softplus(-real_score).mean()
        value = loss.item()
        if i % R1_EVERY == 0:
            few = real[: len(real) // 2].requires_grad_()
            penalty = r1_penalty(self.network(few), few)
            loss = loss + R1_EVERY * 0.5 * self.gamma * penalty
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return value


def finetune_generator(
    domain: Domain,
    images: Path,
    folder: Path,
    *,
    resume: bool,
    scale: float = 1.0,
    start: Path | None = None,
) -> None:
    """Finetunes the generator of the file `start` on the pictures in `images` and writes generator.safetensors.

    The mapping network stays as it is, so that directions in W keep their meaning; so do the noise strengths.

    Raises:
        DataError: the pictures can't be used.
        CheckpointError: the weights are missing or don't fit.
    """
    preset = PRESETS[NAME]
    batch, steps = preset.batch, preset.scaled_steps(scale)
    paths = pictures.find(images)
    device = default_device()
    generator = load_start(domain, start).to(device)
    network = Discriminator(domain.image_size, domain.channel_base, domain.channel_max).to(device)
    judging = torch.optim.Adam(network.parameters(), lr=preset.rate, betas=(0.0, 0.99))
    critic = Critic(network, judging, gamma=R1 * domain.image_size**2 / batch)
    optimizer = torch.optim.Adam(synthesis_parameters(generator), lr=preset.rate, betas=(0.0, 0.99))
    average = Average(generator, 0.999)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, warmup=int(WARMUP * steps), floor=0.1))
        real = read(paths, batch, domain.image_size, rng).to(device)
        w = generator.mapping(torch.randn(batch, domain.style_dim, device=device))
        with bfloat16():
            drawn = generator(w[:, None].expand(-1, generator.n_latent, -1), noise="random")
            loss = critic.opinion(augment(drawn))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(generator, i)
        judged = critic.learn(augment(real), augment(drawn.detach()), i)
        return {"adversary": loss.item(), "critic": judged}

    state = {
        "generator": generator,
        "optimizer": optimizer,
        "average": average,
        "critic": network,
        "critic_optimizer": judging,
    }
    run(TrainingRun(NAME, steps, state, step), folder, resume=resume)
    RunWeights(domain, folder).write("generator", average.module.state_dict())
