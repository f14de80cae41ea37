"""The portrait generator: StyleGAN2 distilled from the renderer.

Every z has a teacher image (`portraits.scene.to_z`), so training is paired. The mapping network learns what is in the
scene (`mapping.py`), the rest of the generator how it looks: coarse to fine, by L1, a perceptual distance, and the
text-image model's zero-shot answers about the picture, since wrinkles, curls and frowns are few pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.clip import TextImageModel
from clipinverter.models.stylegan2 import Generator
from clipinverter.photo.tensors import fit
from clipinverter.portraits.scene import ATTRIBUTES, random_latents
from clipinverter.portraits.w_space import described_by, part_of, w_of
from clipinverter.training.loop import (
    Average,
    Step,
    TrainingRun,
    bfloat16,
    cosine,
    run,
    set_rate,
)
from clipinverter.training.mobilenet import Perceptual, plain_tower
from clipinverter.training.portraits import data
from clipinverter.training.portraits.clip import label_distance
from clipinverter.training.portraits.growth import grow
from clipinverter.training.portraits.mapping import train_mapping
from clipinverter.training.presets import GENERATOR_LOSSES, MODULATION_RATE, PRESETS
from clipinverter.training.warm_start import (
    generator_weights,
    image_size_of,
    synthesis_parameters,
)
from clipinverter.weights.folder import RunWeights

SIZES = (64, 128, 256)  # sides of the images, one phase each
EYE_ROWS, EYE_COLUMNS = (0.36, 0.62), (0.18, 0.82)  # of aligned images, as shares of the side
FURTHEST = 2.0  # most by which differences of w are multiplied, see `stretched`
STRETCHED, STRETCHED_ELSE = {"hair_colour": 0.8}, 0.4  # how often, by variable
FINETUNING = " For other pictures there is `python -m clipinverter.training finetune-generator`."
CLEARER = 3.0  # log odds that an attribute gains when its difference is multiplied by two


@dataclass(frozen=True)
class Phase:
    """Training at one resolution."""

    size: int
    steps: int
    batch: int
    rate: float = 2e-3  # learning rate

    @property
    def name(self) -> str:
        return f"generator-{self.size}"


def phases(size: int, scale: float = 1.0) -> tuple[Phase, ...]:
    """Coarse to fine up to `size`; `scale` multiplies the number of steps."""
    presets = ((side, PRESETS[f"generator-{side}"]) for side in SIZES if side <= size)
    return tuple(Phase(side, p.scaled_steps(scale), p.batch, p.rate) for side, p in presets)


def optimizer_of(generator: Generator, phase: Phase) -> torch.optim.Adam:
    """Adam. The mapping network is trained already, and the noise strengths stay zero: renders have no noise. The
    layers that read w learn faster than the rest: their learning rate is equalised, so that in a few thousand steps
    they would hardly learn what w says about colours."""
    synthesis_parameters(generator)
    reading, rest = [], []
    for name, parameter in generator.named_parameters():
        if parameter.requires_grad:
            (reading if ".modulation." in name else rest).append(parameter)
    groups = [{"params": reading, "lr": MODULATION_RATE * phase.rate}, {"params": rest}]
    return torch.optim.Adam(groups, lr=phase.rate, betas=(0.9, 0.99))


def draw(generator: Generator, w: Tensor) -> Tensor:
    """w [B, style_dim] -> images [B, 3, size, size]."""
    return generator(w[:, None].expand(-1, generator.n_latent, -1), noise="none")


def eyes(images: Tensor) -> Tensor:
    """The part around the eyes of aligned images [B, C, S, S], at twice the size.

    The losses count it once more, since lids, lashes and pupils are few pixels and matter most.
    """
    size = images.shape[-1]
    (top, bottom), (left, right) = (
        [round(size * x) for x in pair] for pair in (EYE_ROWS, EYE_COLUMNS)
    )
    part = images[..., top:bottom, left:right]
    return F.interpolate(part, scale_factor=2, mode="bilinear", align_corners=False)


def stretched(w: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """w [B, style_dim] of scenes, every second one changed as strong edits change it.

    In some variables its difference from another scene's w is multiplied, by up to `FURTHEST`. The picture should
    still look like its scene, with the attributes of these variables shown more clearly.

    Returns:
        w [B, style_dim], and by how many log odds each attribute that shows should show more, [B, len(data.NAMES)].
    """
    other = w_of(random_latents(len(w), rng), w.shape[1])
    named = sorted({attribute.variable for attribute in ATTRIBUTES.values()})
    strong = [
        {name for name in named if rng.random() < STRETCHED.get(name, STRETCHED_ELSE)} for _ in w
    ]
    further = torch.from_numpy(rng.uniform(0, FURTHEST - 1, (len(w), 1))).float()
    further[::2] = 0
    moved = further * part_of(w - other, torch.stack([described_by(names) for names in strong]))
    affected = [[a.variable in names for a in ATTRIBUTES.values()] for names in strong]
    return w + moved, CLEARER * further * torch.tensor(affected)


def step_of(
    phase: Phase,
    generator: Generator,
    average: Average,
    text_image: TextImageModel,
    rendered: data.RenderedSet,
) -> tuple[torch.optim.Adam, Step]:
    """A phase's optimiser and step."""
    losses = GENERATOR_LOSSES
    optimizer = optimizer_of(generator, phase)
    perceptual = Perceptual().to(memory_format=torch.channels_last)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, phase.steps, floor=0.1))
        indices = rng.integers(len(rendered), size=phase.batch)
        real = rendered.batch(indices, phase.size)
        latents = rendered.latents[indices]
        w, clearer = stretched(w_of(latents, generator.style_dim), rng)
        clearer = clearer * torch.from_numpy(rendered.attributes[indices])
        with bfloat16():
            drawn = draw(generator, w)
            fake = drawn.detach().requires_grad_()
            loss_l1 = F.l1_loss(fake.float(), real)
            loss_perceptual = perceptual(fake, real)
            fake_eyes, real_eyes = eyes(fake), eyes(real)
            loss_eyes = F.l1_loss(fake_eyes.float(), real_eyes)
            loss_eyes = loss_eyes + losses.perceptual * perceptual(fake_eyes, real_eyes)
            with torch.no_grad():
                wanted = text_image.embed_image(fit(real, text_image.image_size))
            described = text_image.embed_image(fit(fake, text_image.image_size))
            loss_labels = label_distance(described, wanted, clearer)
        loss = loss_l1 + losses.perceptual * loss_perceptual
        loss = loss + losses.eyes * loss_eyes + losses.labels * loss_labels
        (gradient,) = torch.autograd.grad(loss, fake)
        optimizer.zero_grad()
        drawn.backward(gradient)
        optimizer.step()
        average.update(generator, i)
        return {
            "l1": loss_l1.item(),
            "perceptual": loss_perceptual.item(),
            "eyes": loss_eyes.item(),
            "labels": loss_labels.item(),
        }

    return optimizer, step


def train_generator(
    domain: Domain,
    images: Path,
    folder: Path,
    *,
    resume: bool,
    scale: float = 1.0,
    start: Path | None = None,
) -> None:
    """Trains all phases in turn; each one writes generator.safetensors.

    With `resume` a finished phase is not repeated; the next one starts from its average.

    Args:
        images: a rendered set.
        start: weights of a generator that is no wider, to go on from at half the rate: first the layers up to half its
            size, where most is learnt at half the cost, then all.

    Raises:
        DataError: there is no rendered set.
        CheckpointError: weights are missing or don't fit.
    """
    rendered = data.load(images, FINETUNING)
    weights = RunWeights(domain, folder)
    text_image = weights.text_image()
    text_image.model.visual = plain_tower(text_image.model.visual)
    before = None if start is None else generator_weights(start)
    smallest = 0 if before is None else image_size_of(before)
    for phase in phases(domain.image_size, scale):
        if phase.size < smallest // 2:
            continue
        generator = Generator(
            phase.size, domain.style_dim, domain.n_mlp, domain.channel_base, domain.channel_max
        )
        if before is None:
            mapping = train_mapping(generator, folder, resume=resume, scale=scale)
            generator.style.load_state_dict(mapping.state_dict())
        else:
            own = generator.state_dict()
            lower = {name: old for name, old in before.items() if name in own}
            grow(lower if phase.size < smallest else before, generator)
        average = Average(generator, 0.998)
        if start is not None:
            phase = replace(phase, rate=phase.rate / 2)
        optimizer, step = step_of(phase, generator, average, text_image, rendered)
        state = {"generator": generator, "optimizer": optimizer, "average": average}
        run(TrainingRun(phase.name, phase.steps, state, step), folder, resume=resume)
        before = {**(before or {}), **average.module.state_dict()}
        weights.write("generator", before)
