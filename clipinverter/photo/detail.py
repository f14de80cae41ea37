"""The photo's own detail under an edit: what the generator could not draw comes back.

The edit is read as a change from the inversion to the edited picture, and that change is made to
the photo. It is done band by band of a Laplacian pyramid (Burt and Adelson 1983):

    result = photo + mask · (changed − photo)
    changed's band = β · photo's band, moved + (edit's band − β · inversion's band, moved)

β is how much of the inversion's structure is still in the edit: the slope of the edit's band over
the inversion's in a window, as in a guided filter (He et al. 2010). Where nothing changed it is 1
and the photo stays. A new colour adds to the photo's strands; younger skin has a slope below 1 that
softens the photo's wrinkles; where glasses or teeth appear it is 0 and the edit is taken, colour
included. Before, the photo moves along with the face: a smile lifts cheeks, and their pores with them
(`flow.py`). The idea of giving back what the inversion lost is HFGI's (Wang et al., CVPR 2022).
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipinverter.photo.flow import blurred, flow_between, warped

SIGMAS = (1.0, 2.0, 4.0, 8.0)  # where the bands part, pixels of the generator's picture
NOISE = 2.5  # levels of 255: structure weaker than this is taken as unchanged
SHARPEN = 1.7  # the most that something new is sharpened, to look as sharp as the photo
QUIET = 0.2  # the share of the photo that has no more structure than grain
COARSE = (6.0, 20.0)  # levels of change in colour, at which the mask opens and is open
FINE = (1.5, 5.0)  # the same of change in fine structure
NEW = (20.0, 60.0)  # the same of something new where the structure is gone
SPREAD = 2.0  # of the mask, pixels of the generator's picture


def add_detail(edit: Image.Image, inversion: Image.Image, photo: Image.Image) -> Image.Image:
    """The edit at the photo's resolution, with the photo's own detail.

    Args:
        edit: RGB, as the generator draws it.
        inversion: RGB of the same size: the same without the edit.
        photo: RGB, square: the aligned crop.

    Returns:
        RGB of the photo's size. Where the edit changes nothing it is the photo, pixel for pixel; for
        an edit that is the inversion it is the photo as a whole.
    """
    after, before, own = _pixels(edit), _pixels(inversion), _pixels(photo)
    if after.shape != before.shape:
        raise ValueError(f"edit and inversion differ in size: {edit.size}, {inversion.size}")
    mask = _enlarged(change_mask(after, before), photo.height).clamp(0, 1)
    result = own + (mask * (transferred(after, before, own) - own))
    levels = result.round().clamp(0, 255)
    levels = torch.where(mask > 0, levels, own)
    array = levels[0].permute(1, 2, 0).to(torch.uint8).contiguous().numpy()
    return Image.fromarray(array)


def change_mask(after: Tensor, before: Tensor) -> Tensor:
    """Where an edit changes the picture, [1, 1, H, W] from 0 to 1; both [1, 3, H, W] in levels."""
    difference = after - before
    coarse = blurred(difference, 2 * SPREAD).abs().amax(1, keepdim=True)
    fine = (difference - blurred(difference, 4.0)).square().mean(1, keepdim=True)
    fine = blurred(fine, 2 * SPREAD).clamp(min=0).sqrt()
    mask = torch.maximum(_step(coarse, *COARSE), _step(fine, *FINE))
    return _step(blurred(mask, SPREAD), 0.02, 0.98)


def transferred(after: Tensor, before: Tensor, own: Tensor) -> Tensor:
    """The change from `before` to `after`, made to the photo `own`; all [1, 3, H, W] in levels."""
    size = own.shape[2]
    flow = flow_between(before, after)
    before = warped(before, flow)
    own = warped(own, _enlarged(flow, size) * (size / after.shape[2]))
    # What is coarser than the finest band is done at the generator's size.
    own_bands = _bands(_enlarged(own, after.shape[2]))
    finest = own - _enlarged(sum(own_bands[1:]), size)
    *edited, result = _bands(after)
    *drawn, low = _bands(before)
    slope = _colour_kept(after, before, edited, drawn)
    result = result + slope * (own_bands.pop() - low)
    for k in reversed(range(len(SIGMAS))):
        slope = _slope(edited[k], drawn[k], slope, 3 * SIGMAS[k])
        new = edited[k] - slope * drawn[k]
        result = result + _sharpness(own_bands[k], drawn[k]) * new
        if k:
            result = result + slope * own_bands[k]
    kept = _enlarged(slope, size).clamp(0, 1.5)
    return kept * finest + _enlarged(result, size) + (1 - kept).clamp(min=0) * _grain(finest)


def _slope(after: Tensor, before: Tensor, expected: Tensor, sigma: float) -> Tensor:
    """How much of a band is left after the edit, [1, 1, H, W]: as expected where there is little."""
    together = blurred((after * before).mean(1, keepdim=True), sigma)
    energy = blurred(before.square().mean(1, keepdim=True), sigma)
    return ((together + expected * NOISE**2) / (energy + NOISE**2)).clamp(0, 1.5)


def _colour_kept(
    after: Tensor, before: Tensor, edited: list[Tensor], drawn: list[Tensor]
) -> Tensor:
    """How much of the photo's own colour is left under the edit, [1, 1, H, W]: β of the coarsest rest.

    None where the colour changes much and the structure is gone: an open mouth, glasses, a bald head are
    as they were drawn. A new colour on the same strands adds to the photo's.
    """
    kept = torch.ones_like(after[:, :1])
    for k in (-1, -2):
        kept = torch.minimum(kept, _slope(edited[k], drawn[k], kept, 2 * SIGMAS[k]))
    change = blurred(after - before, 3.0).abs().amax(1, keepdim=True)
    return blurred(1 - _step(change, *NEW) * _step(1 - kept, 0.2, 0.7), 2.0)


def _sharpness(own: Tensor, drawn: Tensor) -> float:
    """How much stronger a band of the photo is than what the generator draws of it."""
    ratio = (own.square().mean() + NOISE**2) / (drawn.square().mean() + NOISE**2)
    return float(ratio.sqrt().clamp(1, SHARPEN))


def _grain(finest: Tensor) -> Tensor:
    """Noise as fine and as strong as in the photo's quiet places, [1, 1, H, W]; always the same."""
    strength = blurred(finest.square().mean(1, keepdim=True), 4.0).clamp(min=0).sqrt()
    noise = torch.randn(strength.shape, generator=torch.Generator().manual_seed(0))
    return (noise - blurred(noise, 1.0)) * strength.flatten().quantile(QUIET)


def _bands(x: Tensor) -> list[Tensor]:
    """Differences of ever more blurred pictures, the finest first, and what is left; they sum to x."""
    bands = []
    for sigma in SIGMAS:
        done = sigma / 2 if bands else 0.0
        smooth = blurred(x, math.sqrt(sigma**2 - done**2))
        bands.append(x - smooth)
        x = smooth
    return [*bands, x]


def _step(x: Tensor, low: float, high: float) -> Tensor:
    """0 below `low`, 1 above `high`, and a smooth step between."""
    x = ((x - low) / (high - low)).clamp(0, 1)
    return x * x * (3 - 2 * x)


def _enlarged(x: Tensor, size: int) -> Tensor:
    if x.shape[2] == size:
        return x
    return F.interpolate(x, size=(size, size), mode="bicubic", antialias=size < x.shape[2])


def _pixels(image: Image.Image) -> Tensor:
    """[1, 3, H, W], 0 to 255."""
    array = np.array(image.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(array).permute(2, 0, 1)[None]
