"""Generator and encoder of the portraits learn photographs: pivotal tuning of many pictures at once.

The generator learns to draw every photograph of a folder from the latent that the encoder gives it, and renders from
their exact w, so that directions in W keep their meaning (Roich et al. 2022, for many pictures). The encoder's rows
from the second on learn with it, as in e4e (Tov et al. 2021), by the losses on images alone.

What edits depend on is frozen: the mapping network, the modulations, the remapper, the encoder's trunk and taps, and
its base row. The adapter therefore reads the features that it was trained on, and the heads learn to keep the residuals
that they predicted from its features (loss "edits").
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models.encoder import Encoder
from clipinverter.models.remapper import PARAMETERS as REMAPPER
from clipinverter.models.stylegan2 import Generator
from clipinverter.photo.tensors import fit
from clipinverter.portraits.captions import text_of
from clipinverter.portraits.w_space import w_of
from clipinverter.training import pictures
from clipinverter.training.loop import Average, TrainingRun, bfloat16, run, set_rate
from clipinverter.training.mobilenet import Perceptual
from clipinverter.training.portraits import data
from clipinverter.training.portraits.clip import choose
from clipinverter.training.portraits.encoder import delta_loss
from clipinverter.training.portraits.generator import eyes
from clipinverter.training.presets import PHOTOGRAPHS as P
from clipinverter.weights.folder import RunWeights
from clipinverter.weights.load import Models, load_models

LONGEST = 3.0  # seconds that a step counts at most; a paused process must not use up the time
EXPORT_EVERY = 200  # steps


class Clock:
    """The time that training has taken, kept in its checkpoint."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.seconds = 0.0

    @property
    def share(self) -> float:
        """Of the time that is given, 0 to 1."""
        return min(1.0, self.seconds / (60 * self.minutes))

    def add(self, seconds: float) -> None:
        self.seconds += min(seconds, LONGEST)

    def state_dict(self) -> Mapping[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seconds = state["seconds"]


@dataclass(frozen=True)
class Pictures:
    """Pictures in memory, on the device that trains: uint8 [N, 3, S, S]."""

    pixels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: np.ndarray) -> Tensor:
        """[B, 3, S, S] in [-1, 1]."""
        return self.pixels[torch.from_numpy(indices)].float() / 127.5 - 1


def read_pictures(folder: Path, size: int) -> Tensor:
    """The pictures in a folder and its subfolders, uint8 [N, 3, size, size].

    Raises:
        DataError: there are none, or one can't be read.
    """
    found = [pictures.read(path, size) for path in pictures.find(folder)]
    return torch.stack([((x + 1) * 127.5).round().to(torch.uint8) for x in found])


def vary(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Photographs as they could have been taken: mirrored, a little shifted, scaled, turned and re-coloured.

    images [B, 3, S, S] in [-1, 1] -> the same; every image draws its own changes.
    """
    count = len(images)
    mirror = rng.choice([-1.0, 1.0], count)
    scale, turn = np.exp(rng.normal(0, 0.03, count)), rng.normal(0, 0.03, count)
    right, down = rng.normal(0, 0.02, (2, count))
    rows = [
        np.stack([mirror * scale * np.cos(turn), -scale * np.sin(turn), right], 1),
        np.stack([mirror * scale * np.sin(turn), scale * np.cos(turn), down], 1),
    ]
    matrix = torch.from_numpy(np.stack(rows, 1)).float().to(images.device)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    gain, gamma = np.exp(rng.normal(0, 0.05, (count, 3))), np.exp(rng.normal(0, 0.12, (count, 1)))
    gain, gamma = (
        torch.from_numpy(x).float().to(images.device)[:, :, None, None] for x in (gain, gamma)
    )
    return (((images + 1) / 2).clamp(1e-3, 1) ** gamma * gain * 2 - 1).clamp(-1, 1)


def synthesis_of(generator: Generator) -> list[nn.Parameter]:
    """What of the generator learns: its convolutions, biases and constant input. The rest is frozen."""
    learning = []
    for name, parameter in generator.named_parameters():
        frozen = name.startswith(("style.", *REMAPPER)) or ".modulation." in name
        frozen = frozen or name.endswith("noise.weight")
        parameter.requires_grad_(not frozen)
        if not frozen:
            learning.append(parameter)
    return learning


def half_of(generator: Generator) -> Generator:
    """The same generator without its last resolution: what it draws has half the size, and costs half the time."""
    half = copy.copy(generator)
    less = {"convs": generator.convs[:-2], "to_rgbs": generator.to_rgbs[:-1]}
    half.__dict__ = {**generator.__dict__, "_modules": {**generator._modules, **less}}
    return half


def offsets_of(encoder: Encoder) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What of the encoder learns, the heads' convolutions with the lateral layers, and the heads' linear layers: all
    that leads to the offsets of the rows from the second on, and to nothing else. The rest is frozen."""
    encoder.requires_grad_(False)
    parts = nn.ModuleList([encoder.styles[1:], encoder.latlayer1, encoder.latlayer2])
    rest, linear = [], []
    for name, parameter in parts.requires_grad_(True).named_parameters():
        (linear if ".linear." in name else rest).append(parameter)
    return rest, linear


@torch.no_grad()
def texts_of(models: Models, rendered: data.RenderedSet) -> Tensor:
    """Embeddings [P.texts, text_dim] of prompts that ask for what some render shows."""
    rng = np.random.default_rng(20238)
    prompts = []
    for i in rng.integers(len(rendered), size=P.texts):
        count = int(rng.integers(1, 4))
        names = choose(rendered.attributes[i], rendered.frequency, count, rng)
        prompts.append(text_of(names, rng))
    parts = [models.text_image.embed_text(prompts[i : i + 128]) for i in range(0, P.texts, 128)]
    return torch.cat(parts).float()


def rate(step: int, share: float, floor: float = 0.02) -> float:
    """Factor of the learning rates after a share of the time: half a cosine down to `floor`."""
    cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))
    return min(1.0, (step + 1) / P.warm_up) * cosine


def full(share: float) -> float:
    """How many of the steps draw the full size after a share of the time."""
    return P.full_size[0] + share * (P.full_size[1] - P.full_size[0])


def likeness(drawn: Tensor, wanted: Tensor, perceptual: Perceptual) -> dict[str, Tensor]:
    """How far drawn pictures [B, 3, S, S] are from the wanted ones; around the eyes it counts again."""
    drawn_eyes, wanted_eyes = eyes(drawn), eyes(wanted)
    near = F.l1_loss(drawn_eyes.float(), wanted_eyes) + P.perceptual * perceptual(
        drawn_eyes, wanted_eyes
    )
    return {
        "l1": F.l1_loss(drawn.float(), wanted),
        "perceptual": P.perceptual * perceptual(drawn, wanted),
        "eyes": P.eyes * near,
    }


def train_photographs(
    domain: Domain,
    photos: Path,
    images: Path,
    folder: Path,
    *,
    minutes: float,
    resume: bool,
    batch: int = 8,
    device: str | None = None,
) -> None:
    """Trains the domain's generator and encoder on the photographs in `photos` (cut as FFHQ is) and the rendered set
    in `images` for so many minutes; writes generator.safetensors and encoder.safetensors to `folder` as it goes.

    Raises:
        DataError, CheckpointError: with a sentence.
    """
    pixels = read_pictures(photos, domain.image_size)
    rendered = data.load(images)
    models = load_models(domain, device)
    device, latent_avg = models.device, models.latent_avg
    faces = Pictures(pixels.to(device))
    w = w_of(rendered.latents, domain.style_dim).to(device)
    texts = texts_of(models, rendered)
    perceptual = Perceptual().to(device, memory_format=torch.channels_last)

    net = nn.ModuleDict({"generator": models.generator, "encoder": models.encoder})
    generator, encoder = models.generator, models.encoder
    half = half_of(generator)
    before = copy.deepcopy(encoder)
    rest, linear = offsets_of(encoder)
    groups = [
        {"params": synthesis_of(generator), "lr": P.generator_rate},
        {"params": rest, "lr": P.heads_rate},
        {"params": linear, "lr": P.linear_rate},
    ]
    times = max(1, batch // (P.photos + P.encoded_renders + P.exact_renders))
    photographs, encoded, known, asking = (
        times * n for n in (P.photos, P.encoded_renders, P.exact_renders, P.prompts)
    )
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    average, clock = Average(net, 0.996), Clock(minutes)

    def export() -> None:
        found = average.module
        target = RunWeights(domain, folder)
        target.write("generator", found["generator"].state_dict())
        target.write_encoder("encoder", found["encoder"], latent_avg)

    def step(i: int, rng: np.random.Generator) -> Mapping[str, float]:
        begin = time.monotonic()
        set_rate(optimizer, rate(i, clock.share))
        photo = vary(faces.batch(rng.integers(len(faces), size=photographs)), rng)
        chosen = rng.integers(len(rendered), size=encoded + known)
        renders = rendered.batch(chosen).to(device)
        seen = torch.cat([photo, vary(renders[:encoded], rng)])
        text = texts[torch.from_numpy(rng.integers(len(texts), size=asking))]
        with bfloat16():
            with torch.no_grad():
                features = encoder.trunk_features(fit(seen, domain.encoder_size))
                adapted = models.adapter(tuple(x[:asking] for x in features), text)
                said = before.heads(*adapted).float()
            told = encoder.heads(*map(torch.cat, zip(features, adapted, strict=True)))
            codes, residual = told.float().split([len(seen), asking])
            exact = w[torch.from_numpy(chosen[encoded:])][:, None].expand(-1, len(latent_avg), -1)
            network = generator if rng.random() < full(clock.share) else half
            drawn = network(torch.cat([codes + latent_avg, exact]), noise="none")
            wanted = fit(torch.cat([seen, renders[encoded:]]), drawn.shape[-1])
            losses = likeness(drawn, wanted, perceptual)
        losses["delta"] = P.delta * delta_loss(codes)
        losses["edits"] = P.edits * F.mse_loss(residual, said) / said.square().mean()
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        if i % 2:
            average.update(net, i // 2)
        if (i + 1) % EXPORT_EVERY == 0:
            export()
        numbers = {name: loss.item() for name, loss in losses.items()}
        clock.add(time.monotonic() - begin)
        return {**numbers, "minutes": clock.seconds / 60}

    state = {"net": net, "optimizer": optimizer, "average": average, "clock": clock}
    training = TrainingRun("photographs", None, state, step, over=lambda: clock.share == 1)
    run(training, folder, resume=resume)
    export()
