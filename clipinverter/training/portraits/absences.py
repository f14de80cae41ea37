"""Embeddings that ask for the absence of an attribute: "no lipstick", "not old", "without bangs".

Captions of the absence train the adapter for eight variables only ("without glasses"). For the others there is an
embedding all the same: the adapter and the style heads are frozen, and gradient descent finds the text embedding whose
residual takes the attribute from those who have it and changes nobody else. The search looks at the base row only,
which the other rows add their offsets to. The text tower then learns to say it (`words.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from clipinverter.models.adapter import RESIDUAL_SCALE
from clipinverter.models.ops import channels_last
from clipinverter.photo.tensors import fit
from clipinverter.portraits.captions import plain_caption
from clipinverter.portraits.opposites import OPPOSITES, without
from clipinverter.portraits.scene import ATTRIBUTES, Scene
from clipinverter.portraits.w_space import described_by, w_of
from clipinverter.training.loop import Loss, bfloat16, gradient_run, run
from clipinverter.training.portraits import data
from clipinverter.training.portraits.adapter import distance
from clipinverter.training.portraits.edits import residual_from
from clipinverter.training.presets import PRESETS
from clipinverter.weights.load import Models

SAID = ("woman", "man", "smiling", "mouth open", "beard", "eyeglasses", "hat", "earrings")
SAID += ("heavy makeup", "eyes closed")  # the adapter learnt from captions of the opposite
NAMES = tuple(name for name in OPPOSITES if name not in SAID)
PEOPLE = 512  # of the rendered set
HAVING = 0.5  # share of the people in a batch who have what is to go
KEPT = 2.0  # weight of changes where there is nothing to take away
STARTS = {  # where the opposite has no name: what the search starts from
    "pale skin": "dark skin",
    "dark skin": "pale skin",
    "thin face": "chubby",
    "chubby": "thin face",
    "small nose": "big nose",
    "big nose": "small nose",
    "thin lips": "big lips",
    "big lips": "thin lips",
    "bangs": "receding hairline",
    "receding hairline": "bangs",
    "thin eyebrows": "bushy eyebrows",
    "bushy eyebrows": "thin eyebrows",
    "arched eyebrows": "bushy eyebrows",
    "lipstick": "no makeup",
    "rosy cheeks": "no makeup",
    "freckles": "no makeup",
    "turned left": "turned right",
    "turned right": "turned left",
    "dark background": "bright background",
    "bright background": "dark background",
    "light from the left": "light from the right",
    "light from the right": "light from the left",
}


class Absences(nn.Module):
    """texts: embeddings [len(NAMES), text_dim], one for the absence of each attribute in NAMES. They start at the
    opposite."""

    def __init__(self, models: Models) -> None:
        super().__init__()
        embed = models.text_image.embed_text
        with torch.no_grad():
            starts = [plain_caption(OPPOSITES[name] or STARTS[name]) for name in NAMES]
            rows = embed(starts)
        self.texts = nn.Parameter(rows.float())


@torch.no_grad()
def encoded(models: Models, rendered: data.RenderedSet, count: int) -> tuple[Tensor, Tensor]:
    """What the base row reads of the first `count` renders: c3 [count, C, H, W] in half precision, and the base row
    itself, [count, D]."""
    features, latents = [], []
    for part in np.array_split(np.arange(count), -(-count // 64)):
        pictures = fit(rendered.batch(part), models.encoder.input_size)
        c3 = models.encoder.trunk_features(pictures)[2]
        latents.append(models.encoder.styles[0](c3) + models.latent_avg[0])
        features.append(c3.half())
    return torch.cat(features), torch.cat(latents)


def find_absences(
    models: Models, rendered: data.RenderedSet, folder: Path, *, resume: bool, scale: float = 1.0
) -> dict[str, Tensor]:
    """Attribute -> the embedding [text_dim] of its absence, for every attribute in NAMES."""
    preset = PRESETS["words-absences"]
    count = min(PEOPLE, len(rendered))
    scenes = [Scene.from_latent(g) for g in rendered.latents[:count]]
    having = torch.from_numpy(rendered.attributes[:count])[:, [data.NAMES.index(n) for n in NAMES]]
    features, base = encoded(models, rendered, count)
    w = w_of(rendered.latents[:count], base.shape[1])
    asked = torch.stack([described_by({ATTRIBUTES[name].variable}) for name in NAMES])
    absences = Absences(models)
    targets: dict[tuple[int, int], Tensor] = {}

    def target(person: int, absence: int) -> Tensor:
        """The residual [1, D] that takes an attribute away, zero where it is not there."""
        if not having[person, absence]:
            return torch.zeros(1, base.shape[1])
        if (person, absence) not in targets:
            after = without(scenes[person], NAMES[absence]).latent
            change = w_of(after[None], w.shape[1]) - w[person]
            missed = (w[person] - base[person])[None, None]
            targets[person, absence] = residual_from(change, missed, asked[absence][None])[0]
        return targets[person, absence]

    def pairs(rng: np.random.Generator) -> list[tuple[int, int]]:
        """People and absences, every absence about as often."""
        found = []
        for absence in np.resize(rng.permutation(len(NAMES)), preset.batch):
            rows = torch.nonzero(having[:, absence] == (rng.random() < HAVING)).flatten()
            found.append((int(rows[rng.integers(len(rows))]), int(absence)))
        return found

    def loss_of(rng: np.random.Generator) -> Loss:
        chosen = pairs(rng)
        people, asked_for = (torch.tensor(x) for x in zip(*chosen, strict=True))
        wanted = torch.stack([target(*pair) for pair in chosen])
        with bfloat16():
            seen = channels_last(features[people].float())
            adapted = models.adapter.coarse_mapping(seen, absences.texts[asked_for])
            shift = RESIDUAL_SCALE * models.encoder.styles[0](adapted).float()[:, None]
        asks = having[people, asked_for]
        moved = distance(shift[asks], wanted[asks], asks[asks])
        still = shift[~asks].square().sum(dim=2).mean() / wanted[asks].square().sum(dim=2).mean()
        return moved + KEPT * still, {"moved": moved.item(), "still": still.item()}

    optimizer = torch.optim.Adam(absences.parameters(), lr=preset.rate)
    training = gradient_run(
        "words-absences", preset.scaled_steps(scale), absences, optimizer, loss_of, warmup=20
    )
    run(training, folder, resume=resume)
    texts = training.state["average"].module.texts.detach()
    return dict(zip(NAMES, texts, strict=True))
