"""The generator's forward pass for one image with gradients to its weights: the same function, in less time.

Pivotal tuning runs it some dozens of times for every photo. What differs from `stylegan2.py`, which
serves batches:

- Where feature maps are larger than weights, style and demodulation go into the weights, so that a
  layer is one convolution and one activation; where they are smaller, both go into the maps.
- Demodulation passes no gradient on. It scales a filter as a whole, which the step of an optimiser
  that follows the sign of the gradient hardly notices, and costs as much as the convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.models.ops import GAIN, SLOPE, blur, channels_last, upsample

if TYPE_CHECKING:
    from clipinverter.models.stylegan2 import Generator, StyledConv, ToRGB

LARGE = 64  # pixels; from this side on the maps are larger than the weights


def draw(generator: Generator, styles: Iterable[Tensor]) -> Tensor:
    """Styles of one image, in the order of `Generator.styles` -> [1, 3, size, size] in float32."""
    remaining = iter(styles)
    noise = _noises(generator)
    x = channels_last(generator.input.input)
    x = _convolve(generator.conv1, x, next(remaining), next(noise))
    image = _add_colours(generator.to_rgb1, x, next(remaining), None)
    for k, to_rgb in enumerate(generator.to_rgbs):
        for conv in generator.convs[2 * k : 2 * k + 2]:
            x = _convolve(conv, x, next(remaining), next(noise))
        image = _add_colours(to_rgb, x, next(remaining), image)
    return image


def _noises(generator: Generator) -> Iterator[Tensor | None]:
    """The stored noise of each convolution; None where its frozen strength is 0."""
    for i, layer in enumerate((generator.conv1, *generator.convs)):
        strength = layer.noise.weight
        counts = strength.requires_grad or bool(strength != 0)
        yield generator.noises.get_buffer(f"noise_{i}") if counts else None


def _convolve(layer: StyledConv, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
    """Equations 1 and 3 of StyleGAN2; the gain commutes with the leaky ReLU."""
    conv = layer.conv
    weight, style = conv.weight.squeeze(0), style[0].float() * conv.scale
    with torch.autocast(x.device.type, enabled=False):
        # Rows in the order in which channels-last weights lie.
        rows = weight.detach().permute(0, 2, 3, 1).flatten(1) * style.repeat(9)
        energy = torch.linalg.vector_norm(rows, dim=1).square()
        factor = torch.rsqrt(energy + 1e-8) * GAIN
    large = x.shape[2] * (2 if conv.up else 1) >= LARGE
    if large:
        weight = weight * (factor[:, None] * style)[:, :, None, None]
    else:
        x = x * style[:, None, None].to(x.dtype)
    if conv.up:
        x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), conv.blur.kernel, 1)
    else:
        x = F.conv2d(x, weight, padding=1)
    shift = (layer.activate.bias * GAIN)[:, None, None].to(x.dtype)
    if noise is not None:
        shift = shift + (noise * (layer.noise.weight * GAIN)).to(x.dtype)
    x = x + shift if large else torch.addcmul(shift, x, factor[:, None, None].to(x.dtype))
    return F.leaky_relu(x, SLOPE, inplace=True)


def _add_colours(layer: ToRGB, x: Tensor, style: Tensor, image: Tensor | None) -> Tensor:
    """Adds a layer's colours to the enlarged image of the layer below, always in float32."""
    with torch.autocast(x.device.type, enabled=False):
        weight = layer.conv.weight.squeeze(0) * (style[0].float() * layer.conv.scale)[:, None, None]
        colours = F.conv2d(x, weight.to(x.dtype)).float() + layer.bias
        return colours if image is None else colours + upsample(image, layer.upsample.kernel)
