"""Conversion between Pillow images and the networks' tensors."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def to_tensor(image: Image.Image, size: int | None = None) -> Tensor:
    """RGB image -> [1, 3, H, W] in [-1, 1]; resized to size x size if a size is given."""
    if size is not None and image.size != (size, size):
        # Area averaging when shrinking, as in the training data.
        shrink = min(image.size) >= size
        resampling = Image.Resampling.BOX if shrink else Image.Resampling.BICUBIC
        image = image.resize((size, size), resampling)
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_pil(image: Tensor) -> Image.Image:
    """[1, 3, H, W], about [-1, 1] -> RGB. Levels are truncated, not rounded, as in the authors' code."""
    levels = ((image[0].float() + 1) / 2).clamp(0, 1) * 255
    return Image.fromarray(levels.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy())


def fit(images: Tensor, size: int) -> Tensor:
    """Images [B, 3, S, S] -> [B, 3, size, size]."""
    return images if images.shape[-1] == size else F.interpolate(images, size=size, mode="area")


def psnr(image: Image.Image, crop: Image.Image) -> float:
    """How alike two pictures are at the size of the first, in dB; infinite for equal ones."""
    pair = (image, crop.resize(image.size, Image.Resampling.BOX))
    a, b = (np.asarray(x, dtype=np.float32) for x in pair)
    error = float(np.square(a - b).mean())
    return float("inf") if error == 0 else 10 * math.log10(255**2 / error)
