"""Figures about pictures: how close to words, and whether they show the same person."""

from __future__ import annotations

import torch.nn.functional as F
from PIL import Image

from clipinverter.methods.base import Session
from clipinverter.methods.latent_optimization import person_features
from clipinverter.photo.tensors import to_tensor


def clip_scores(session: Session, prompt: str, *images: Image.Image) -> list[float]:
    """CLIP's cosine of each RGB picture and the prompt, -1 to 1."""
    m = session.models
    with session.compute():
        text = m.text_image.embed_text([prompt])
        pictures = (m.text_image.embed_image(to_tensor(image).to(m.device)) for image in images)
        return [float(F.cosine_similarity(picture, text)) for picture in pictures]


def identity(session: Session, a: Image.Image, b: Image.Image) -> float | None:
    """Cosine of the identity features of two RGB pictures, -1 to 1; None without an identity network."""
    m = session.models
    if m.identity is None:
        return None
    with session.compute():
        first, second = (person_features(m, to_tensor(image).to(m.device)) for image in (a, b))
    return float((first * second).sum())
