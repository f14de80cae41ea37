"""Figures about pictures: how close to words, whether the same person, how alike."""

from __future__ import annotations

import math

import numpy as np
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


def psnr(image: Image.Image, crop: Image.Image) -> float:
    """How alike two pictures are at the size of the first, in dB; infinite for equal ones."""
    pair = (image, crop.resize(image.size, Image.Resampling.BOX))
    a, b = (np.asarray(x, dtype=np.float32) for x in pair)
    error = float(np.square(a - b).mean())
    return float("inf") if error == 0 else 10 * math.log10(255**2 / error)
