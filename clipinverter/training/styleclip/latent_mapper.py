"""Trains mappers: `python -m clipinverter.training.styleclip train-mapper "a smiling face"`.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 5: the mapper learns on inverted pictures, by the CLIP loss of what
the generator draws from the moved latents, the size of the move and the identity loss.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.methods.latent_mapper import PREFIX, slug
from clipinverter.methods.latent_optimization import image_features, person_features
from clipinverter.methods.settings import Settings, settings_of
from clipinverter.models.latent_mapper import SCALE, LevelsMapper
from clipinverter.models.losses import clip_loss
from clipinverter.training.loop import Loss, bfloat16, gradient_run, run
from clipinverter.training.ranger import ranger
from clipinverter.training.styleclip.relevance import digest
from clipinverter.weights.files import load_weights, save_weights
from clipinverter.weights.load import Models

WARM_UP = 20  # steps
BATCH = 4  # people that are inverted at once


class People(NamedTuple):
    """Inverted people: latents [N, n_latent, D], and identity features [N, D], None without an identity network."""

    w_plus: Tensor
    person: Tensor | None


def train_mappers(
    models: Models,
    prompts: Sequence[str],
    target: Path,
    folder: Path,
    steps: int | None = None,
) -> list[Path]:
    """Trains a mapper for each prompt; returns their files in `target`.

    All mappers learn together, on the same people: every step draws the moves of all of them as one batch. They share
    nothing else, so each becomes what it would become alone.

    The state is kept under `folder`, by the digest of the networks: a run that was killed goes on where it stopped, if
    it is started with the same prompts.
    """
    settings = settings_of(models.domain)
    steps = steps or settings.mapper_steps
    networks = (models.generator, models.encoder, models.text_image.model, models.identity)
    folder = folder / f"mappers-{digest(*(net for net in networks if net is not None))}"
    people = inverted_people(models, folder, settings)
    words = {slug(prompt): prompt for prompt in prompts}
    mappers = nn.ModuleDict({name: _new_mapper(models, settings) for name in words})
    optimizer = ranger(mappers.parameters(), settings.mapper_rate)
    texts = models.text_image.embed_text([*words.values()])

    def loss_of(rng: np.random.Generator) -> Loss:
        rows = torch.from_numpy(rng.integers(len(people.w_plus), size=settings.mapper_batch))
        w_plus, person = (x if x is None else x[rows].to(models.device) for x in people)
        moves = torch.stack([SCALE * mapper(w_plus) for mapper in mappers.values()])
        return objective(models, settings, w_plus, moves, person, texts)

    training = gradient_run(
        f"mappers-{zlib.crc32(' '.join(words).encode()):08x}",
        steps,
        mappers,
        optimizer,
        loss_of,
        key="network",
        warmup=min(WARM_UP, steps) if settings.mapper_floor < 1 else 0,
        floor=settings.mapper_floor,
        max_norm=None,
        averaged=False,
    )
    run(training, folder, resume=True)
    paths = [target / f"{PREFIX}{name}.safetensors" for name in words]
    for path, mapper in zip(paths, mappers.values(), strict=True):
        save_weights(path, mapper.state_dict())
    return paths


def _new_mapper(models: Models, settings: Settings) -> LevelsMapper:
    torch.manual_seed(0)
    return LevelsMapper(models.generator.style_dim, settings.mapper_hidden).to(models.device)


def objective(
    models: Models,
    settings: Settings,
    w_plus: Tensor,
    moves: Tensor,
    person: Tensor | None,
    texts: Tensor,
) -> Loss:
    """The sum of the mappers' losses (section 5), and the means of its parts to log.

    Args:
        w_plus: latents [B, n_latent, D].
        moves: [P, B, n_latent, D] of P mappers.
        person: identity features [B, D] of the pictures before the move.
        texts: embeddings [P, text_dim] of their prompts.
    """
    drawn = draw(models, (w_plus + moves).flatten(0, 1), settings.mapper_size)
    seen = image_features(models, drawn).unflatten(0, moves.shape[:2])
    parts = {
        "clip": settings.mapper_clip * clip_loss(seen, texts[:, None]).mean(dim=1),
        "l2": settings.mapper_l2 * moves.square().mean(dim=(1, 2, 3)),
    }
    if person is not None:
        cosine = (person_features(models, drawn).unflatten(0, moves.shape[:2]) * person).sum(dim=2)
        parts["identity"] = settings.mapper_identity * (1 - cosine).mean(dim=1)
    return sum(parts.values()).sum(), {name: part.mean().item() for name, part in parts.items()}


def draw(models: Models, w_plus: Tensor, size: int | None) -> Tensor:
    """Pictures [B, 3, size, size] of latents [B, n_latent, D]; size None: the generator's.

    Only the generator computes in bfloat16: the other networks are not faster in it on a CPU.
    """
    with bfloat16():
        return models.generator.render(models.generator.styles(w_plus), until=size).float()


@torch.no_grad()
def inverted_people(models: Models, folder: Path, settings: Settings) -> People:
    """Inversions of random pictures of the generator; made once and kept in `folder`."""
    path = folder / "people.safetensors"
    if not path.is_file():
        generator, rng = models.generator, torch.Generator().manual_seed(2)
        latents, persons = [], []
        for _ in range(0, settings.mapper_people, BATCH):
            z = torch.randn(BATCH, generator.style_dim, generator=rng).to(models.device)
            w_plus = generator.mapping(z)[:, None].expand(-1, generator.n_latent, -1)
            seen = F.interpolate(
                generator(w_plus).clamp(-1, 1), size=models.domain.encoder_size, mode="area"
            )
            w_plus = models.encoder(seen) + models.latent_avg
            latents.append(w_plus.cpu())
            if models.identity is not None:
                drawn = draw(models, w_plus, settings.mapper_size)
                persons.append(person_features(models, drawn).cpu())
        found = {"w_plus": torch.cat(latents)[: settings.mapper_people]}
        if persons:
            found["person"] = torch.cat(persons)[: settings.mapper_people]
        save_weights(path, found, half=False)
    found = load_weights(path)
    return People(found["w_plus"], found.get("person"))
