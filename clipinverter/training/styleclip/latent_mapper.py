"""Trains a mapper: `python -m clipinverter.training.styleclip train-mapper "a smiling face"`.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 5: the mapper learns on inverted pictures, by the CLIP loss of what
the generator draws from the moved latents, the size of the move and the identity loss.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.methods.latent_mapper import PREFIX, slug
from clipinverter.methods.latent_optimization import image_features, person_features
from clipinverter.methods.relevance import digest
from clipinverter.methods.settings import Settings, settings_of
from clipinverter.models.latent_mapper import SCALE, LevelsMapper
from clipinverter.models.losses import clip_loss, identity_loss
from clipinverter.training.loop import Loss, gradient_run, run
from clipinverter.training.presets import MAPPER_BATCH
from clipinverter.weights.files import load_weights, save_weights
from clipinverter.weights.load import Models

LATENTS = 1024  # inverted pictures to learn from


def train_mapper(
    models: Models, prompt: str, target: Path, folder: Path, steps: int | None = None
) -> Path:
    """Trains the mapper of a prompt; returns its file in `target`.

    The state is kept under `folder`, by the digest of the networks: a run that was killed goes on where it stopped.
    """
    settings = settings_of(models.domain)
    steps = steps or settings.mapper_steps
    folder = folder / f"mappers-{digest(models)}"
    latents = inversions(models, folder, LATENTS)
    torch.manual_seed(0)
    network = LevelsMapper(models.generator.style_dim, settings.mapper_hidden).to(models.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.mapper_rate)
    text = models.text_image.embed_text([prompt])

    def loss_of(rng: np.random.Generator) -> Loss:
        rows = torch.from_numpy(rng.integers(len(latents), size=MAPPER_BATCH))
        w_plus = latents[rows].to(models.device)
        return objective(models, settings, w_plus, SCALE * network(w_plus), text)

    name = f"{PREFIX}{slug(prompt)}"
    training = gradient_run(
        name,
        steps,
        network,
        optimizer,
        loss_of,
        key="network",
        warmup=min(20, steps),
        floor=0.05,
        max_norm=None,
        averaged=False,
    )
    run(training, folder, resume=True)
    path = target / f"{name}.safetensors"
    save_weights(path, network.state_dict())
    return path


def objective(
    models: Models, settings: Settings, w_plus: Tensor, move: Tensor, text: Tensor
) -> Loss:
    """The mapper's loss for latents and their moves [B, n_latent, D] and an embedding [1, text_dim] (section 5)."""
    drawn = models.generator(w_plus + move)
    parts = {
        "clip": settings.mapper_clip * clip_loss(image_features(models, drawn), text).mean(),
        "l2": settings.mapper_l2 * F.mse_loss(w_plus + move, w_plus),
    }
    if models.identity is not None:
        with torch.no_grad():
            person = person_features(models, models.generator(w_plus))
        same = identity_loss(person_features(models, drawn), person)
        parts["identity"] = settings.mapper_identity * same
    return sum(parts.values()), {name: part.item() for name, part in parts.items()}


@torch.no_grad()
def inversions(models: Models, folder: Path, count: int) -> Tensor:
    """Latents [count, n_latent, D] of inverted random pictures of the generator; made once and kept in `folder`."""
    path = folder / "inversions.safetensors"
    if not path.is_file():
        generator, rng = models.generator, torch.Generator().manual_seed(2)
        found = []
        for _ in range(0, count, MAPPER_BATCH):
            z = torch.randn(MAPPER_BATCH, generator.style_dim, generator=rng).to(models.device)
            w_plus = generator.mapping(z)[:, None].expand(-1, generator.n_latent, -1)
            seen = F.interpolate(
                generator(w_plus).clamp(-1, 1), size=models.domain.encoder_size, mode="area"
            )
            found.append((models.encoder(seen) + models.latent_avg).cpu())
        save_weights(path, {"w_plus": torch.cat(found)[:count]})
    return load_weights(path)["w_plus"]
