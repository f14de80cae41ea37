"""Words reserved for the evaluation: no caption and no training uses them."""

from __future__ import annotations

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
