"""A generator that can draw learns what other pictures look like, from a plain folder of them.

Nobody knows the w of these pictures, so the learning is StyleGAN2's own (Karras et al. 2020): z ~ N(0, I), the
non-saturating loss, a discriminator with lazy R1, and a moving average of the weights. A few hundred pictures are soon
known by heart; therefore the discriminator sees real and drawn ones through the same random changes, which the
generator's gradient passes (Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020:
colour, translation and cutout, as far as there).
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
from clipinverter.training.loop import Average, Stage, bfloat16, cosine, run, set_rate
from clipinverter.training.portraits.generator import given, size_of, synthesis_of
from clipinverter.weights import runs
from clipinverter.weights.files import CheckpointError
from clipinverter.weights.load import default_device

STEPS, BATCH, RATE = 10_000, 8, 2e-3
FOLLOWS = 0.1  # share of the steps in which the generator's rate grows: the discriminator knows nothing at first
R1_EVERY = 16  # steps
R1 = 0.0002  # weight of R1, times pixels, over pictures in a batch (Karras et al., "Training GANs with Limited Data")


def augment(images: Tensor) -> Tensor:
    """Differentiable random changes, of every picture its own: images [B, 3, S, S], about [-1, 1] -> the same, not
    clamped."""
    return hide(shift(recolour(images)))


def recolour(images: Tensor) -> Tensor:
    """Brightness moves by up to 0.5, saturation is multiplied by 0 to 2, contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + brightness - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = grey + 2 * saturation * (images - grey)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (0.5 + contrast) * (images - middle)


def shift(images: Tensor) -> Tensor:
    """By whole pixels, up to an eighth of the side in each direction; zeros come in."""
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
    """A square of half the side becomes zero, wherever its centre falls."""
    size = images.shape[-1]
    centres = torch.randint(size + 1, (2, len(images), 1), device=images.device)
    rows, columns = (torch.arange(size, device=images.device) + 0.5 - centres).abs() < size / 4
    return images * ~(rows[:, :, None] & columns[:, None, :])[:, None]


def load_start(domain: Domain, start: Path | None) -> Generator:
    """The generator to adapt.

    Raises:
        CheckpointError: no weights are given, or they are not of the domain's generator.
    """
    if start is None:
        raise CheckpointError(
            "From a plain folder of pictures a generator learns only what it can draw already in another way: "
            "say by --start which weights it has."
        )
    state = given(start)
    generator = Generator(
        domain.image_size, domain.style_dim, domain.n_mlp, domain.channel_base, domain.channel_max
    )
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        size = size_of(state)
        fault = "does not fit the generator"
        if size not in (0, domain.image_size):
            fault = f"draws pictures of {size} px and not of {domain.image_size} px, the size"
        raise CheckpointError(f"{start} {fault} of the domain {domain.name!r}.") from error
    return generator


def read(paths: list[Path], size: int, rng: np.random.Generator) -> Tensor:
    """BATCH of the pictures [BATCH, 3, size, size] in [-1, 1], each of them mirrored half of the time."""
    images = [pictures.read(paths[k], size) for k in rng.integers(len(paths), size=BATCH)]
    return torch.stack([x.flip(2) if rng.random() < 0.5 else x for x in images])


@dataclass(frozen=True)
class Critic:
    """The discriminator with its optimiser and the weight of R1."""

    network: Discriminator
    optimizer: torch.optim.Adam
    gamma: float

    def opinion(self, fake: Tensor) -> Tensor:
        """The generator's non-saturating loss."""
        self.network.requires_grad_(False)
        loss = F.softplus(-self.network(fake)).mean()
        self.network.requires_grad_(True)
        return loss

    def learn(self, real: Tensor, fake: Tensor, i: int) -> float:
        """One step of the discriminator, with lazy R1 in float32; returns its loss."""
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


def train(
    domain: Domain,
    images: Path,
    folder: Path,
    *,
    resume: bool,
    scale: float = 1.0,
    start: Path | None = None,
) -> None:
    """Adapts the generator of the file `start` to the pictures in `images`; writes generator.safetensors to `folder`.

    The mapping network stays as it is, so that directions in W keep their meaning; so do the noise strengths.

    Raises:
        DataError, CheckpointError: with a sentence.
    """
    paths = pictures.find(images)
    device = default_device()
    generator = load_start(domain, start).to(device)
    network = Discriminator(domain.image_size, domain.channel_base, domain.channel_max).to(device)
    judging = torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.0, 0.99))
    critic = Critic(network, judging, gamma=R1 * domain.image_size**2 / BATCH)
    optimizer = torch.optim.Adam(synthesis_of(generator), lr=RATE, betas=(0.0, 0.99))
    average = Average(generator, 0.999)
    steps = max(1, int(STEPS * scale))

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, warmup=int(FOLLOWS * steps), floor=0.1))
        real = read(paths, domain.image_size, rng).to(device)
        w = generator.mapping(torch.randn(BATCH, domain.style_dim, device=device))
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
    run(Stage("generator-adapt", steps, state, step), folder, resume=resume)
    runs.write(folder, "generator", average.module.state_dict())
