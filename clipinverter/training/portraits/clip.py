"""The text-image model of the portraits: a CLIP of renders and their captions.

The attributes that a caption mentions and that a render shows are known. So both towers learn fixed anchors, one for
each attribute: a caption is embedded at the sum of the anchors of its attributes, an image nearer to the anchors of the
attributes that it shows than to the others. This is a much denser signal than contrasting whole captions in small
batches, for which a few thousand renders are not enough.
Word vectors come from a sentence model and stay frozen, and the text tower also learns phrases with all other words,
placed by that model (`phrases.py`), so that words in no caption keep their meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models import clip as towers
from clipinverter.models.clip import TextImageModel
from clipinverter.models.mobilenet_speed import quicken
from clipinverter.portraits.captions import text_of
from clipinverter.portraits.hair_words import COLOURS
from clipinverter.portraits.scene import ATTRIBUTES, groups
from clipinverter.portraits.w_space import directions
from clipinverter.training import mobilenet
from clipinverter.training.loop import Loss, bfloat16, gradient_run, run, write
from clipinverter.training.portraits import colour_names, data, phrases
from clipinverter.training.presets import PRESETS
from clipinverter.weights.folder import RunWeights

SAID = 60  # wordings of each attribute that other phrases are compared with
WORD_NOISE = 0.02  # standard deviation for each number of a word vector of length 1
VAGUE = 0.4  # distance from the anchors of the embeddings that images are compared with
LATER = (
    "eyes closed",
    "light_side",
)  # variables added after the others had their anchors, in this order
SHARPNESS = 50.0  # inverse temperature of the comparison of images and captions


class WordVectors(nn.Module):
    """A token embedding in training: frozen sentence vectors [vocabulary, 384] and a linear map to `width` that learns
    which of their directions matter for faces. Words that training never sees go through the same map."""

    def __init__(self, vectors: Tensor, width: int) -> None:
        super().__init__()
        vectors = vectors.float() - vectors.float().mean(dim=0)
        self.register_buffer("vectors", vectors)
        _, _, principal = torch.pca_lowrank(vectors, q=width, center=False)
        self.map = nn.Linear(vectors.shape[1], width, bias=False)
        self.map.weight.data.copy_(0.1 / (vectors @ principal).std() * principal.T)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, L] -> word vectors [B, L, width]."""
        words = F.embedding(tokens, self.vectors)
        if self.training:  # words of similar meaning should give similar results
            words = words + WORD_NOISE * torch.randn_like(words)
        return self.map(words)

    @torch.no_grad()
    def embedding(self) -> nn.Embedding:
        """The equivalent plain table of word vectors."""
        return nn.Embedding.from_pretrained(self.map(self.vectors))


def build(words: Path) -> TextImageModel:
    """The untrained model: ImageNet features, and sentence vectors of all tokens, which take minutes and are kept in
    the file `words`."""
    model = towers.build(towers.SMALL)
    given = (v for k, v in mobilenet.state().items() if not k.startswith("classifier"))
    mobilenet.load_in_order(model.model.visual.trunk, given)
    quicken(model.model.visual)
    if not words.exists():
        tokens = range(model.tokenizer.vocab_size)
        vectors = phrases.sentence_vectors(
            [model.tokenizer.decode([i]).strip() or "." for i in tokens]
        )
        words.parent.mkdir(parents=True, exist_ok=True)
        write(words, vectors.half())
    vectors = torch.load(words, weights_only=True)
    model.model.token_embedding = WordVectors(vectors, towers.SMALL["text_cfg"]["width"])
    return model


def choose(
    shown: np.ndarray, frequency: np.ndarray, count: int, rng: np.random.Generator
) -> list[str]:
    """`count` random attributes of those that show (bool [A]); rare ones more often, by `frequency` [A]."""
    present = np.flatnonzero(shown)
    p = frequency[present] ** -0.7
    picked = rng.choice(present, size=min(count, len(present)), replace=False, p=p / p.sum())
    return [data.NAMES[i] for i in picked]


def label_loss(image: Tensor, text: Tensor, shown: Tensor, scale: float) -> Tensor:
    """Cross-entropy of the attribute that shows among those that exclude each other, averaged over variables.

    This is zero-shot classification itself, of every variable for every image.

    Args:
        image: embeddings [N, D].
        text: embeddings [A + 1, D] of every attribute and, last, of "none": an attribute that excludes
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
    """KL divergence of the zero-shot predictions for two batches of image embeddings [N, D], averaged over variables.

    Gradients flow into `image_hat` only.

    Args:
        clearer: [N, A]; an attribute with a number above 0 should have that many log odds more in `image_hat` than in
            `image`; the difference that is missing is added to the loss.
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
    """Fixed orthonormal vectors [A, width], one for each attribute: the common targets of both towers."""
    variables = [attribute.variable for attribute in ATTRIBUTES.values()]
    turn = [LATER.index(name) + 1 if name in LATER else 0 for name in variables]
    first = turn.count(0)
    places = torch.from_numpy(directions(first, width, 20233, more=len(turn) - first).T)
    return places[np.argsort(np.argsort(turn, kind="stable"))]


def meaning(chosen: Sequence[Sequence[str]], width: int) -> Tensor:
    """Targets of captions with these attributes: the normalised sums of their anchors, [N, width]."""
    rows = [[data.NAMES.index(name) for name in names] for names in chosen]
    return F.normalize(torch.stack([anchors(width)[row].sum(dim=0) for row in rows]), dim=1)


def train_clip(
    domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0
) -> None:
    """Trains the text tower, then the image tower, and writes clip.safetensors.

    Raises:
        DataError: there is no rendered set.
    """
    text_preset, image_preset = PRESETS["clip-text"], PRESETS["clip-image"]
    rendered = data.load(images)
    shown = rendered.attributes
    model = build(folder / "words.pt")
    net: nn.Module = model.model.train().to(memory_format=torch.channels_last)
    width = towers.SMALL["embed_dim"]

    def captions(count: int, rng: np.random.Generator) -> tuple[list[str], Tensor]:
        """Captions and prompts, and their targets [count, width]."""
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
        """Phrases with all other words and about hair of all colours, and their targets [N, width]. They take minutes
        and are kept in a file."""
        path = folder / "phrases.pt"
        if not path.exists():
            rng = np.random.default_rng(20234)
            names = data.NAMES * max(1, int(SAID * scale))
            known = [text_of([n], rng) for n in names]
            places = meaning([[n] for n in names], width)
            texts = phrases.phrases(model.tokenizer, rng)
            texts = texts[: max(text_preset.batch, int(len(texts) * scale))]
            meant = phrases.meanings(known, places, texts)
            hair = [data.NAMES.index(name) for name in COLOURS]
            coloured, there = colour_names.phrases(anchors(width)[hair], rng)
            meant = torch.cat([meant, there])
            write(path, {"texts": texts + coloured, "places": meant.half()})
        found = torch.load(path, weights_only=True)
        return found["texts"], found["places"].float()

    def text_loss(rng: np.random.Generator) -> Tensor:
        half = text_preset.batch // 2
        texts, places = captions(half, rng)
        more, meant = others()
        rows = rng.integers(len(more), size=half)
        with bfloat16():
            text = model.embed_text(texts + [more[i] for i in rows])
        wanted = torch.cat([places, meant[rows]])
        return (1 - F.cosine_similarity(text.float(), wanted)).mean()

    def image_loss(rng: np.random.Generator) -> Tensor:
        people = rng.integers(len(rendered), size=image_preset.batch)
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
    for name, parameters, loss_of in (
        ("clip-text", rest, text_loss),
        ("clip-image", tower, image_loss),
    ):

        def logged(rng: np.random.Generator, loss_of=loss_of) -> Loss:
            loss = loss_of(rng)
            return loss, {"loss": loss.item()}

        preset = PRESETS[name]
        optimizer = optimizer_of(parameters, preset.rate)
        training = gradient_run(name, preset.scaled_steps(scale), net, optimizer, logged)
        run(training, folder, resume=resume)
        net.load_state_dict(training.state["average"].module.state_dict())
        if name == "clip-text":
            net.token_embedding = net.token_embedding.embedding()
    net.logit_scale.data.fill_(np.log(SHARPNESS))
    RunWeights(domain, folder).write("clip", net.state_dict())


def optimizer_of(parameters: Sequence[nn.Parameter], rate: float) -> torch.optim.AdamW:
    """AdamW, with weight decay of matrices only."""
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
