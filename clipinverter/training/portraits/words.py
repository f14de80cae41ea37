"""Words as people write them: the text tower learns more wordings, by distillation.

Adapter, remapper and mappers depend on where the tower puts an attribute. So these places stay: a new wording is to be
embedded where the tower, as it was before, puts captions of the same meaning, absences where `absences.py` found them,
and words that can't be drawn where nothing changes. Captions and phrases with all other words are mixed in and keep
their embeddings. No picture takes part.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models.clip import TextImageModel
from clipinverter.portraits.captions import text_of
from clipinverter.portraits.languages import language
from clipinverter.portraits.opposites import OPPOSITES
from clipinverter.training.loop import Loss, gradient_run, run
from clipinverter.training.portraits import data, phrases, wordings
from clipinverter.training.portraits.absences import SAID, find_absences
from clipinverter.training.portraits.wordings import Part, Wording
from clipinverter.training.presets import PRESETS
from clipinverter.weights.folder import RunWeights
from clipinverter.weights.load import load_models

KNOWN = 64  # wordings of an attribute, whose mean embedding is its place
CAPTIONS, OTHERS = 0.2, 0.12  # shares of captions, and of phrases with any other word, in a batch
EMBEDDING_RATE = 0.4  # of the word vectors, in parts of the tower's rate
POOL = 4_096  # captions, and phrases with other words
PARTS = 4  # of a batch, by length
LENGTH = 0.05  # weight of the length of embeddings, which matters little: the adapter normalises


class Places:
    """Where meanings are: embeddings of attributes and of their absences, and their common length.

    Args:
        absent: attribute -> the embedding [text_dim] of its absence, see `absences.find_absences`.
    """

    @torch.no_grad()
    def __init__(self, teacher: TextImageModel, absent: dict[str, Tensor]) -> None:
        rng = np.random.default_rng(20240)
        means = {}
        for name in data.NAMES:
            found = embed(teacher, [text_of([name], rng) for _ in range(KNOWN)])
            means[name] = found.mean(dim=0)
        self.length = float(torch.stack(list(means.values())).norm(dim=1).mean())
        self.unit = {Part(name): F.normalize(mean, dim=0) for name, mean in means.items()}
        for name in OPPOSITES:
            place = means[OPPOSITES[name]] if name in SAID else absent[name]
            self.unit[Part(name, absent=True)] = F.normalize(place, dim=0)
        present = [unit for part, unit in self.unit.items() if not part.absent]
        self.nothing = -F.normalize(torch.stack(present).sum(dim=0), dim=0)

    def of(self, wording: Wording) -> Tensor:
        """The unit vector [text_dim] of a meaning: the normalised sum of its parts."""
        if not wording.meaning:
            return self.nothing
        return F.normalize(torch.stack([self.unit[part] for part in wording.meaning]).sum(0), dim=0)


def embed(model: TextImageModel, texts: list[str]) -> Tensor:
    """`model.embed_text`, several times as fast: texts of similar length are embedded together, without the padding
    after them, which the tower's attention never reaches."""
    tower, tokens = model.model, model.tokenizer(texts)
    ends = tokens.argmax(dim=1)  # the end has the largest token
    order = ends.argsort()
    found = []
    for rows in order.tensor_split(min(PARTS, len(texts))):
        length = int(ends[rows].max()) + 1
        x = tower.token_embedding(tokens[rows, :length]) + tower.positional_embedding[:length]
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
        x = tower.ln_final(x)[torch.arange(len(rows)), ends[rows]]
        found.append(x @ tower.text_projection)
    return torch.cat(found)[order.argsort()]


@torch.no_grad()
def _embedded(model: TextImageModel, texts: list[str]) -> Tensor:
    return torch.cat([embed(model, texts[i : i + 256]).float() for i in range(0, len(texts), 256)])


def _others(model: TextImageModel, count: int, rng: np.random.Generator) -> list[str]:
    """Phrases with words of the whole vocabulary but those that are known not to be drawn."""
    undrawn = {word for phrase in language("en").not_drawn for word in phrase.split()}
    words = [word for word in phrases.vocabulary(model.tokenizer) if word not in undrawn]
    pairs = zip(rng.choice(phrases.TEMPLATES, count), rng.choice(words, count), strict=True)
    return [str(frame).format(word) for frame, word in pairs]


def train_words(
    domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0
) -> None:
    """Finds the absences' embeddings, then trains the text tower of the domain's weights; writes clip.safetensors.

    Raises:
        DataError: there is no rendered set.
        CheckpointError: the domain has no weights.
    """
    preset = PRESETS["words"]
    models = load_models(domain, "cpu")
    teacher = models.text_image
    absent = find_absences(models, data.load(images), folder, resume=resume, scale=scale)
    places = Places(teacher, absent)
    rng = np.random.default_rng(20242)
    student = copy.deepcopy(teacher)
    tower = student.model
    learning = [tower.positional_embedding, tower.text_projection, *tower.transformer.parameters()]
    learning += tower.ln_final.parameters()
    vectors = tower.token_embedding.weight
    for parameter in (*learning, vectors):
        parameter.requires_grad_(True)

    known = [wordings.canonical(rng) for _ in range(int(POOL * scale))]
    kept = _others(teacher, int(POOL * scale), rng)
    said = F.normalize(_embedded(teacher, [w.text for w in known]), dim=1)
    known_places = F.normalize(said + torch.stack([places.of(w) for w in known]), dim=1)
    kept_places = F.normalize(_embedded(teacher, kept), dim=1)

    def loss_of(rng: np.random.Generator) -> Loss:
        captions, others = int(CAPTIONS * preset.batch), int(OTHERS * preset.batch)
        again = rng.integers(len(known), size=captions)
        also = rng.integers(len(kept), size=others)
        new = [wordings.sample(rng) for _ in range(preset.batch - captions - others)]
        texts = [known[i].text for i in again] + [w.text for w in new] + [kept[i] for i in also]
        wanted = [known_places[again], torch.stack([places.of(w) for w in new]), kept_places[also]]
        text = embed(student, texts).float()  # so small that bfloat16 is slower
        off = 1 - F.cosine_similarity(text, torch.cat(wanted))
        length = (text.norm(dim=1) / places.length - 1).square().mean()
        by_kind = off.detach().split([captions, len(new), others])
        names = ("captions", "new", "others")
        numbers = {name: part.mean().item() for name, part in zip(names, by_kind, strict=True)}
        return off.mean() + LENGTH * length, numbers

    optimizer = torch.optim.AdamW(
        [
            {"params": learning, "lr": preset.rate},
            {"params": [vectors], "lr": EMBEDDING_RATE * preset.rate},
        ],
        betas=(0.9, 0.98),
        weight_decay=0.0,
        fused=True,
    )
    net: nn.Module = tower.train()
    training = gradient_run("words", preset.scaled_steps(scale), net, optimizer, loss_of)
    run(training, folder, resume=resume)
    net.load_state_dict(training.state["average"].module.state_dict())
    RunWeights(domain, folder).write("clip", net.state_dict())
