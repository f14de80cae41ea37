"""What is there where an attribute is absent: a man without a beard is clean-shaven, hair without curls is straight."""

from __future__ import annotations

from collections.abc import Mapping

from clipinverter.portraits.scene import ATTRIBUTES, Scene

OPPOSITES: Mapping[str, str | None] = {
    "woman": "man",
    "man": "woman",
    "young": "middle-aged",
    "old": "middle-aged",
    "pale skin": None,
    "dark skin": None,
    "thin face": None,
    "chubby": None,
    "small nose": None,
    "big nose": None,
    "thin lips": None,
    "big lips": None,
    "bald": "short hair",
    "short hair": "long hair",
    "bob": "short hair",
    "long hair": "short hair",
    "bun": "short hair",
    "black hair": "brown hair",
    "brown hair": "black hair",
    "blond hair": "brown hair",
    "red hair": "brown hair",
    "gray hair": "brown hair",
    "white hair": "brown hair",
    "blue hair": "brown hair",
    "pink hair": "brown hair",
    "green hair": "brown hair",
    "purple hair": "brown hair",
    "straight hair": "wavy hair",
    "wavy hair": "straight hair",
    "curly hair": "straight hair",
    "bangs": None,
    "receding hairline": None,
    "neutral expression": "smiling",
    "smiling": "neutral expression",
    "sad": "neutral expression",
    "angry": "neutral expression",
    "surprised": "neutral expression",
    "mouth open": "closed mouth",
    "stubble": "clean-shaven",
    "moustache": "clean-shaven",
    "goatee": "clean-shaven",
    "beard": "clean-shaven",
    "thin eyebrows": None,
    "bushy eyebrows": None,
    "arched eyebrows": None,
    "brown eyes": "blue eyes",
    "blue eyes": "brown eyes",
    "green eyes": "brown eyes",
    "eyeglasses": "no glasses",
    "sunglasses": "no glasses",
    "hat": "no hat",
    "earrings": "no earrings",
    "lipstick": None,
    "heavy makeup": "no makeup",
    "rosy cheeks": None,
    "freckles": None,
    "turned left": None,
    "turned right": None,
    "dark background": None,
    "bright background": None,
    "light from the left": None,
    "light from the right": None,
    "eyes closed": "open eyes",
}
"""Attribute -> the attribute of the same variable that replaces it, or None where the absence has no name."""


def without(scene: Scene, attribute: str) -> Scene:
    """The scene without an attribute; the same scene if it lacks it or has to have one of its kind."""
    if not scene.has(attribute):
        return scene
    opposite = OPPOSITES[attribute]
    try:
        if opposite is not None:
            return scene.edited(opposite)
        return scene.relabelled(ATTRIBUTES[attribute].variable, None)
    except ValueError:
        return scene
