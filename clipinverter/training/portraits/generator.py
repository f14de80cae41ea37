"""The portrait generator: StyleGAN2 distilled from the renderer.

Every z has a teacher image (`portraits.scene.to_z`), so the learning is paired: the mapping network is
taught what is in the scene (`training.mapping`), the rest of the generator how it looks, coarse to fine,
by L1, a perceptual distance, and how the text-image model would describe it: wrinkles, curls and frowns are few
pixels that say much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models.clip import TextImageModel
from clipinverter.models.remapper import PARAMETERS as REMAPPER
from clipinverter.models.stylegan2 import Generator
from clipinverter.photo.tensors import fit
from clipinverter.portraits.scene import ATTRIBUTES, random_latents
from clipinverter.portraits.w_space import described_by, part_of, w_of
from clipinverter.training.loop import Average, Stage, Step, bfloat16, cosine, run, set_rate
from clipinverter.training.mobilenet import Perceptual, plain_tower
from clipinverter.training.portraits import data, mapping
from clipinverter.training.portraits.clip import label_distance
from clipinverter.training.portraits.growth import grow
from clipinverter.weights import runs
from clipinverter.weights.files import load_weights

MODULATION = 5.0  # times the rate: layers that read w
PERCEPTUAL, LABELS = 0.6, 0.12
EYES = 0.5  # what the losses on pictures count again around the eyes
# Where the alignment puts them, in shares of the side.
EYE_ROWS, EYE_COLUMNS = (0.36, 0.62), (0.18, 0.82)
FURTHEST = 2.0  # how far beyond a scene the w of half of the pictures may lie, see `stretched`
STRETCHED, STRETCHED_ELSE = {"hair_colour": 0.8}, 0.4  # in which share of them, by variable
CLEARER = 3.0  # log odds by which what is stretched to twice its length is to show more


@dataclass(frozen=True)
class Phase:
    """Training at one resolution."""

    size: int
    steps: int
    batch: int
    rate: float = 2e-3

    @property
    def name(self) -> str:
        return f"generator-{self.size}"


def phases(size: int, scale: float = 1.0) -> tuple[Phase, ...]:
    """Coarse to fine up to `size`; `scale` stretches the number of steps."""
    plan = (
        Phase(64, 4000, 16, 3e-3),
        Phase(128, 7500, 8, 2e-3),
        Phase(256, 5700, 8, 2e-3),
    )
    return tuple(replace(p, steps=max(1, int(p.steps * scale))) for p in plan if p.size <= size)


def synthesis_of(generator: Generator) -> list[nn.Parameter]:
    """What learns from pictures: everything but the mapping network and the noise strengths, which are frozen."""
    learning = []
    for name, parameter in generator.named_parameters():
        if name.startswith("style.") or name.endswith("noise.weight"):
            parameter.requires_grad_(False)
        else:
            learning.append(parameter)
    return learning


def optimizer_of(generator: Generator, phase: Phase) -> torch.optim.Adam:
    """Adam. The mapping network is taught already, and the noise strengths stay zero: the teacher has nothing
    random. What reads w learns faster than the rest: its learning rate is equalised, so that in some thousand steps
    it could hardly turn to what w says of colours."""
    synthesis_of(generator)
    reading, rest = [], []
    for name, parameter in generator.named_parameters():
        if parameter.requires_grad:
            (reading if ".modulation." in name else rest).append(parameter)
    groups = [{"params": reading, "lr": MODULATION * phase.rate}, {"params": rest}]
    return torch.optim.Adam(groups, lr=phase.rate, betas=(0.9, 0.99))


def given(path: Path) -> dict[str, Tensor]:
    """A generator's weights from a safetensors file, without the remapper's."""
    state = load_weights(path)
    return {k: v for k, v in state.items() if not k.startswith(REMAPPER)}


def size_of(state: dict[str, Tensor]) -> int:
    """Side of the images that a generator with these weights draws; 0 for weights of something else."""
    return max((v.shape[-1] for k, v in state.items() if k.startswith("noises.")), default=0)


def draw(generator: Generator, w: Tensor) -> Tensor:
    """w [B, style_dim] -> images."""
    return generator(w[:, None].expand(-1, generator.n_latent, -1), noise="none")


def eyes(images: Tensor) -> Tensor:
    """The part around the eyes of aligned images [B, 3, S, S], at twice the size.

    Lids, lashes and pupils are few pixels and most of a look.
    """
    size = images.shape[-1]
    (top, bottom), (left, right) = (
        [round(size * x) for x in pair] for pair in (EYE_ROWS, EYE_COLUMNS)
    )
    part = images[..., top:bottom, left:right]
    return F.interpolate(part, scale_factor=2, mode="bilinear", align_corners=False)


def stretched(w: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Half of w [B, style_dim] of scenes as strong edits would leave them: in some of what attributes are about they
    lie further from another scene, up to `FURTHEST` times as far. They are to look like their scenes still, and what
    is stretched is to be clearer.

    Returns:
        w, and by how many log odds each attribute that shows should show more, [B, len(data.NAMES)].
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
            loss_eyes = loss_eyes + PERCEPTUAL * perceptual(fake_eyes, real_eyes)
            with torch.no_grad():
                wanted = text_image.embed_image(fit(real, text_image.image_size))
            described = text_image.embed_image(fit(fake, text_image.image_size))
            loss_labels = label_distance(described, wanted, clearer)
        loss = loss_l1 + PERCEPTUAL * loss_perceptual + EYES * loss_eyes + LABELS * loss_labels
        (pull,) = torch.autograd.grad(loss, fake)
        optimizer.zero_grad()
        drawn.backward(pull)
        optimizer.step()
        average.update(generator, i)
        return {
            "l1": loss_l1.item(),
            "perceptual": loss_perceptual.item(),
            "eyes": loss_eyes.item(),
            "labels": loss_labels.item(),
        }

    return optimizer, step


def train(
    domain: Domain,
    images: Path,
    folder: Path,
    *,
    resume: bool,
    scale: float = 1.0,
    start: Path | None = None,
) -> None:
    """All phases in turn; each one writes generator.safetensors.

    A phase that is finished is not repeated on `resume`; the next one starts from its average. With `start`, the
    weights of a generator that is no wider, training goes on from there at half the rate: first the layers up to half
    its size, where most is learnt at half the cost, then all.
    """
    rendered = data.load(images)
    text_image = runs.text_image(folder)
    text_image.model.visual = plain_tower(text_image.model.visual)
    before = None if start is None else given(start)
    smallest = 0 if before is None else size_of(before)
    for phase in phases(domain.image_size, scale):
        if phase.size < smallest // 2:
            continue
        generator = Generator(
            phase.size, domain.style_dim, domain.n_mlp, domain.channel_base, domain.channel_max
        )
        if before is None:
            taught = mapping.train(generator, folder, resume=resume, scale=scale).module
            generator.style.load_state_dict(taught.state_dict())
        else:
            own = generator.state_dict()
            lower = {name: old for name, old in before.items() if name in own}
            grow(lower if phase.size < smallest else before, generator)
        average = Average(generator, 0.998)
        if start is not None:
            phase = replace(phase, rate=phase.rate / 2)
        optimizer, step = step_of(phase, generator, average, text_image, rendered)
        state = {"generator": generator, "optimizer": optimizer, "average": average}
        stage = Stage(phase.name, phase.steps, state, step)
        run(stage, folder, resume=resume)
        before = {**(before or {}), **average.module.state_dict()}
        runs.write(folder, "generator", before)
