"""The text-image model of the portraits: a CLIP of renders and their captions.

What every caption says and every render shows is known, attribute by attribute. So both towers learn
towards common anchors, one an attribute: captions where the anchors of what they say add up to, images
nearer to the anchors of what they show than to those of what they don't. That is far denser than
contrasting whole captions in small batches, which a few thousand renders do not carry.
Word vectors start from a sentence model and stay frozen, and the text tower hears what that model makes of every other
word (`training.phrases`): words that no caption holds keep their meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.models import clip as towers
from clipinverter.models.clip import TextImageModel
from clipinverter.portraits.captions import text_of
from clipinverter.portraits.hair_words import COLOURS
from clipinverter.portraits.scene import ATTRIBUTES, groups
from clipinverter.portraits.w_space import directions
from clipinverter.training import mobilenet
from clipinverter.training.loop import bfloat16, run, stage_of, write
from clipinverter.training.portraits import colour_names, data, phrases
from clipinverter.weights import runs

TEXT_STEPS, TEXT_BATCH = 1800, 128
IMAGE_STEPS, IMAGE_BATCH = 500, 64
SAID = 60  # ways to say an attribute that other phrases are compared with
WORD_NOISE = 0.02  # of unit vectors, a number
VAGUE = 0.4  # how far from the anchors the words may be that images have to tell apart
LATER = ("eyes closed", "light_side")  # variables named when the others had their anchors, in turn
SHARPNESS = 50.0  # inverse temperature of the comparison of images and captions


class WordVectors(nn.Module):
    """A token embedding [vocabulary, width] to be: sentence vectors [vocabulary, 384] that stay, and a linear map that
    learns which of their directions matter for faces. Words that training never saw go through the same map."""

    def __init__(self, vectors: Tensor, width: int) -> None:
        super().__init__()
        vectors = vectors.float() - vectors.float().mean(dim=0)
        self.register_buffer("vectors", vectors)
        _, _, principal = torch.pca_lowrank(vectors, q=width, center=False)
        self.map = nn.Linear(vectors.shape[1], width, bias=False)
        self.map.weight.data.copy_(0.1 / (vectors @ principal).std() * principal.T)

    def forward(self, tokens: Tensor) -> Tensor:
        words = F.embedding(tokens, self.vectors)
        if self.training:  # neighbours in meaning should do as well
            words = words + WORD_NOISE * torch.randn_like(words)
        return self.map(words)

    @torch.no_grad()
    def embedding(self) -> nn.Embedding:
        """The plain table that the map makes of all words."""
        return nn.Embedding.from_pretrained(self.map(self.vectors))


def build(words: Path) -> TextImageModel:
    """The untrained model: ImageNet features, sentence vectors of all tokens (kept in the file `words`: they take
    minutes)."""
    model = towers.build(towers.PORTRAITS)
    given = (v for k, v in mobilenet.state().items() if not k.startswith("classifier"))
    mobilenet.load_in_order(model.model.visual.trunk, given)
    mobilenet.quicken(model.model.visual)
    if not words.exists():
        tokens = range(model.tokenizer.vocab_size)
        vectors = phrases.sentence_vectors(
            [model.tokenizer.decode([i]).strip() or "." for i in tokens]
        )
        words.parent.mkdir(parents=True, exist_ok=True)
        write(words, vectors.half())
    vectors = torch.load(words, weights_only=True)
    model.model.token_embedding = WordVectors(vectors, towers.PORTRAITS["text_cfg"]["width"])
    return model


def choose(
    shown: np.ndarray, frequency: np.ndarray, count: int, rng: np.random.Generator
) -> list[str]:
    """`count` of the attributes that show (bool [A]), rarer ones more often."""
    present = np.flatnonzero(shown)
    p = frequency[present] ** -0.7
    picked = rng.choice(present, size=min(count, len(present)), replace=False, p=p / p.sum())
    return [data.NAMES[i] for i in picked]


def label_loss(image: Tensor, text: Tensor, shown: Tensor, scale: float) -> Tensor:
    """Cross-entropy of the right attribute among those that exclude each other, the mean over variables.

    The zero-shot task itself, and far denser than whole captions: every image answers for every variable.

    Args:
        image: embeddings [N, D].
        text: embeddings [A + 1, D] of every attribute and, last, of nothing: an attribute that excludes
            no other competes with that one.
        shown: bool [N, A]; images that show none of a variable's attributes are left out of it.
        scale: inverse temperature.
    """
    logits = scale * F.normalize(image.float(), dim=1) @ F.normalize(text.float(), dim=1).t()
    losses = []
    for members in map(list, groups()):
        if len(members) == 1:
            rows = slice(None)
            columns, target = [*members, len(text) - 1], (~shown[:, members[0]]).long()
        else:
            rows = shown[:, members].any(dim=1)
            columns, target = members, shown[rows][:, members].float().argmax(dim=1)
        if len(target):
            losses.append(F.cross_entropy(logits[rows][:, columns], target))
    return torch.stack(losses).mean()


def label_distance(image_hat: Tensor, image: Tensor, clearer: Tensor | None = None) -> Tensor:
    """How differently two batches of image embeddings [N, D] answer the zero-shot questions: the mean divergence of
    the answers over variables, 0 for equal ones. Gradients flow into `image_hat` only.

    clearer [N, A]: attributes with a number above 0 are to show in `image_hat` by that many log odds more than in
        `image`; what they fall short of it is added.
    """
    places = torch.cat([anchors(image.shape[1]), torch.zeros(1, image.shape[1])])
    logits_hat, logits = (
        SHARPNESS * F.normalize(x.float(), dim=1) @ places.t() for x in (image_hat, image.detach())
    )
    distances = []
    for members in map(list, groups()):
        columns = members if len(members) > 1 else [*members, len(places) - 1]
        said_hat, said = (x[:, columns].log_softmax(dim=1) for x in (logits_hat, logits))
        distance = F.kl_div(said_hat, said, reduction="batchmean", log_target=True)
        if clearer is not None:
            more = clearer[:, members]
            short = F.relu(_log_odds(said) + more - _log_odds(said_hat))[:, : len(members)]
            distance = distance + (short * (more > 0)).sum(dim=1).mean()
        distances.append(distance)
    return torch.stack(distances).mean()


def _log_odds(log_probability: Tensor) -> Tensor:
    return log_probability - torch.log(-torch.expm1(log_probability.clamp(max=-1e-4)))


def anchors(width: int) -> Tensor:
    """One fixed unit vector an attribute, orthogonal to all others [A, width]: where both towers meet."""
    variables = [attribute.variable for attribute in ATTRIBUTES.values()]
    turn = [LATER.index(name) + 1 if name in LATER else 0 for name in variables]
    first = turn.count(0)
    places = torch.from_numpy(directions(first, width, 20233, more=len(turn) - first).T)
    return places[np.argsort(np.argsort(turn, kind="stable"))]


def meaning(chosen: Sequence[Sequence[str]], width: int) -> Tensor:
    """Where captions that say these attributes belong: the unit sums of their anchors [N, width]."""
    rows = [[data.NAMES.index(name) for name in names] for names in chosen]
    return F.normalize(torch.stack([anchors(width)[row].sum(dim=0) for row in rows]), dim=1)


def train(images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains both towers and writes clip.safetensors."""
    rendered = data.load(images)
    shown = rendered.attributes
    model = build(folder / "words.pt")
    net: nn.Module = model.model.train().to(memory_format=torch.channels_last)
    width = towers.PORTRAITS["embed_dim"]

    def captions(count: int, rng: np.random.Generator) -> tuple[list[str], Tensor]:
        """Captions and prompts, and their places [count, width]."""
        counts = rng.choice([1, 2, 3, 4, 5], size=count, p=[0.45, 0.25, 0.15, 0.1, 0.05])
        people = rng.integers(len(rendered), size=count)
        chosen = [
            choose(shown[j], rendered.frequency, n, rng)
            for j, n in zip(people, counts, strict=True)
        ]
        texts = [text_of(c, rng) for c in chosen]
        return texts, meaning(chosen, width)

    @cache
    def others() -> tuple[list[str], Tensor]:
        """Phrases with all other words and about hair of all colours, and their places; kept in a file, they take
        minutes."""
        path = folder / "phrases.pt"
        if not path.exists():
            rng = np.random.default_rng(20234)
            names = data.NAMES * max(1, int(SAID * scale))
            known = [text_of([n], rng) for n in names]
            places = meaning([[n] for n in names], width)
            texts = phrases.phrases(model.tokenizer, rng)
            texts = texts[: max(TEXT_BATCH, int(len(texts) * scale))]
            meant = phrases.meanings(known, places, texts)
            hair = [data.NAMES.index(name) for name in COLOURS]
            coloured, there = colour_names.phrases(anchors(width)[hair], rng)
            meant = torch.cat([meant, there])
            write(path, {"texts": texts + coloured, "places": meant.half()})
        found = torch.load(path, weights_only=True)
        return found["texts"], found["places"].float()

    def text_loss(rng: np.random.Generator) -> Tensor:
        texts, places = captions(TEXT_BATCH // 2, rng)
        more, meant = others()
        rows = rng.integers(len(more), size=TEXT_BATCH // 2)
        with bfloat16():
            text = model.embed_text(texts + [more[i] for i in rows])
        wanted = torch.cat([places, meant[rows]])
        return (1 - F.cosine_similarity(text.float(), wanted)).mean()

    def image_loss(rng: np.random.Generator) -> Tensor:
        people = rng.integers(len(rendered), size=IMAGE_BATCH)
        pictures = data.augment(rendered.batch(people, model.image_size), rng)
        with bfloat16():
            image = net.encode_image(pictures)
        exact = anchors(width)
        vague = exact + VAGUE * F.normalize(torch.randn(len(exact), len(exact)), dim=1) @ exact
        places = torch.cat([vague, torch.zeros(1, width)])
        return label_loss(image, places, torch.from_numpy(shown[people]), SHARPNESS)

    tower = [p for p in net.visual.parameters() if p.requires_grad]
    visual = {id(p) for p in tower}
    rest = [p for p in net.parameters() if p.requires_grad and id(p) not in visual]
    for name, steps, parameters, loss_of in (
        ("clip-text", TEXT_STEPS, rest, text_loss),
        ("clip-image", IMAGE_STEPS, tower, image_loss),
    ):

        def step(rng: np.random.Generator, loss_of=loss_of) -> tuple[Tensor, dict[str, float]]:
            loss = loss_of(rng)
            return loss, {"loss": loss.item()}

        stage = stage_of(name, max(1, int(steps * scale)), net, optimizer_of(parameters), step)
        run(stage, folder, resume=resume)
        net.load_state_dict(stage.state["average"].module.state_dict())
        if name == "clip-text":
            net.token_embedding = net.token_embedding.embedding()
    net.logit_scale.data.fill_(np.log(SHARPNESS))
    runs.write(folder, "clip", net.state_dict())


def optimizer_of(parameters: Sequence[nn.Parameter]) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))
