"""Words and prompts reserved for the evaluation: no caption and no training uses them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

PROMPTS = Path(__file__).parent / "unseen_prompts.json"

UNSEEN: dict[str, tuple[str, ...]] = {
    "old": ("a grandparent", "a pensioner", "an ageing person", "a very aged face"),
    "young": ("a youngster", "a person in early adulthood", "a youth"),
    "woman": ("a feminine face", "a madam"),
    "man": ("a masculine face", "a fellow", "a bloke"),
    "smiling": ("a joyful person", "a delighted expression", "beaming", "a cheery grin"),
    "sad": ("a sorrowful face", "a depressed look", "miserable"),
    "angry": ("an enraged face", "a hostile expression", "irate"),
    "surprised": ("an amazed face", "a startled look", "stunned"),
    "eyes closed": ("a slumbering face", "snoozing"),
    "eyeglasses": ("spectacles", "wearing spectacles"),
    "sunglasses": ("tinted glasses", "black shades"),
    "hat": ("headwear", "wearing headgear"),
    "beard": ("whiskers", "a hairy chin"),
    "bald": ("a hairless scalp", "without any hair"),
    "red hair": ("auburn hair", "reddish hair"),
    "blond hair": ("flaxen hair", "yellow hair"),
    "gray hair": ("greyish hair", "ashen hair"),
    "purple hair": ("lilac hair", "magenta hair"),
    "long hair": ("lengthy hair", "hair that flows down"),
    "curly hair": ("ringlets", "wiry curls"),
    "chubby": ("an obese face", "a stout person"),
    "dark skin": ("ebony skin", "an African complexion"),
    "lipstick": ("lip gloss", "coloured lips"),
    "light from the left": ("sunshine from the left", "a spotlight on the left"),
    "light from the right": ("sunshine from the right", "a spotlight on the right"),
    "earrings": ("ear jewellery", "ear studs"),
}
"""Attribute -> synonyms, to measure how well the text-image model understands words that it was not trained on."""


@cache
def reserved_prompts() -> Mapping[str, Any]:
    """The prompts that `python -m clipinverter.evaluation words` asks, by what they measure."""
    return json.loads(PROMPTS.read_text(encoding="utf-8"))


def unseen_prompts() -> list[str]:
    """The same prompts in one list."""
    read = reserved_prompts()
    by_attribute = [
        read["removals"],
        read["first person"],
        read["typos"],
        *read["languages"].values(),
    ]
    found = [prompt for group in by_attribute for prompts in group.values() for prompt in prompts]
    return [*found, *read["several"], *read["unknown"]]


def reserved_typos() -> set[str]:
    """The misspelt words among those prompts."""
    said = " ".join(p for prompts in reserved_prompts()["typos"].values() for p in prompts)
    right = set(re.findall(r"\w+", "a an big face person hair wearing looking red head"))
    return set(re.findall(r"\w+", said)) - right
