"""Where things moved between two pictures of one face: dense optical flow, coarse to fine.

Lucas and Kanade (1981) in Gaussian windows on a pyramid. Pictures are compared after their local
brightness and contrast are taken out, so that new colours do not look like motion.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 4  # of the pyramid, each half the size of the one below
ROUNDS = 3  # on each level
WINDOW = 5.0  # sigma, pixels of the level
SMOOTH = 2.0  # sigma by which the flow is smoothed in each round, pixels of the level
STILL = 0.02  # keeps the flow at 0 where nothing shows which way it goes


def flow_between(before: Tensor, after: Tensor) -> Tensor:
    """Flow [1, 2, H, W] (x, y in pixels) with which `warped(before, flow)` is most like `after`.

    Both [1, 3, H, W] in levels of 255. Exactly 0 for equal pictures, and where moving `before` makes
    it no more like `after`.
    """
    pyramid = [(_structure(before), _structure(after))]
    for _ in range(LEVELS - 1):
        if min(pyramid[-1][0].shape[2:]) < 32:
            break
        pyramid.append(tuple(F.avg_pool2d(blurred(x, 0.7), 2) for x in pyramid[-1]))
    flow = torch.zeros_like(before[:, :2, : pyramid[-1][0].shape[2], : pyramid[-1][0].shape[3]])
    for source, goal in reversed(pyramid):
        if flow.shape[2:] != source.shape[2:]:
            flow = 2 * F.interpolate(flow, size=source.shape[2:], mode="bilinear")
        for _ in range(ROUNDS):
            flow = blurred(flow + _update(warped(source, flow), goal), SMOOTH)
    return flow * _gain(*pyramid[0], flow)


def warped(x: Tensor, flow: Tensor) -> Tensor:
    """x [1, C, H, W] sampled at each pixel's place minus its flow; unchanged where the flow is 0."""
    if not flow.any():
        return x
    height, width = x.shape[2:]
    rows = torch.arange(height, dtype=x.dtype).view(1, -1, 1)
    columns = torch.arange(width, dtype=x.dtype).view(1, 1, -1)
    at_x = (columns - flow[:, 0] + 0.5) * 2 / width - 1
    at_y = (rows - flow[:, 1] + 0.5) * 2 / height - 1
    grid = torch.stack([at_x, at_y], dim=-1)
    moved = F.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return torch.where(flow.abs().amax(1, keepdim=True) > 0, moved, x)


def _structure(x: Tensor) -> Tensor:
    """Brightness without local mean and contrast, [1, 1, H, W]."""
    grey = x.mean(dim=1, keepdim=True)
    grey = blurred(grey, 0.8)
    grey = grey - blurred(grey, 8.0)
    return grey / (blurred(grey.square(), 8.0) + 8.0**2).sqrt()


def _update(moved: Tensor, goal: Tensor) -> Tensor:
    """One step of Lucas and Kanade: least squares in a window around each pixel."""
    mean = F.pad((moved + goal) / 2, (1, 1, 1, 1), mode="replicate")
    dx = (mean[:, :, 1:-1, 2:] - mean[:, :, 1:-1, :-2]) / 2
    dy = (mean[:, :, 2:, 1:-1] - mean[:, :, :-2, 1:-1]) / 2
    dt = goal - moved
    products = torch.cat([dx * dx, dx * dy, dy * dy, dx * dt, dy * dt], dim=1)
    xx, xy, yy, xt, yt = blurred(products, WINDOW).split(1, dim=1)
    xx, yy = xx + STILL**2, yy + STILL**2
    determinant = xx * yy - xy * xy
    step = torch.cat([xy * yt - yy * xt, xy * xt - xx * yt], dim=1) / determinant
    return step.clamp(-1, 1)


def _gain(before: Tensor, after: Tensor, flow: Tensor) -> Tensor:
    """From 0 to 1: how well moving explains the change, and how much better than staying."""
    energy = blurred(after.square() + before.square(), WINDOW) / 2 + 1e-2
    still = blurred((after - before).square(), WINDOW) / energy
    moving = blurred((after - warped(before, flow)).square(), WINDOW) / energy
    explained = ((0.6 - moving) / 0.3).clamp(0, 1)
    better = ((still - moving) / (still + 1e-2) * 3 - 0.5).clamp(0, 1)
    return blurred(explained * better, WINDOW)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [B, C, H, W]; borders are continued."""
    radius = max(1, math.ceil(2.5 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).to(x)
    b, c, h, w = x.shape
    x = x.reshape(b * c, 1, h, w)
    x = F.conv2d(F.pad(x, (radius, radius, 0, 0), mode="replicate"), taps.view(1, 1, 1, -1))
    x = F.conv2d(F.pad(x, (0, 0, radius, radius), mode="replicate"), taps.view(1, 1, -1, 1))
    return x.reshape(b, c, h, w)
