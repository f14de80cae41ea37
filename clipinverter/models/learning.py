"""The generator's forward pass for one image with gradients to its weights: the same function, in less time.

Pivotal tuning runs it some dozens of times for every photo. What differs from `stylegan2.py`, which
serves batches:

- Where feature maps are larger than weights, style and demodulation go into the weights, so that a
  layer is one convolution and one activation; where they are smaller, both go into the maps.
- Demodulation passes no gradient on. It scales a filter as a whole, which the step of an optimiser
  that follows the sign of the gradient hardly notices, and costs as much as the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.models.ops import GAIN, SLOPE, blur, channels_last, upsample

if TYPE_CHECKING:
    from clipinverter.models.stylegan2 import Generator, StyledConv, ToRGB

LARGE = 64  # pixels; from this side on the maps are larger than the weights


class Drawn(NamedTuple):
    """A picture on its way.

    Attributes:
        x: [1, C, S, S], the feature map.
        image: [1, 3, S, S], the sum of the colours so far, in float32.
        blocks: how many resolutions above 4x4 are done.
    """

    x: Tensor
    image: Tensor
    blocks: int


def draw(
    generator: Generator,
    styles: Sequence[Tensor],
    begun: Drawn | None = None,
    until: int | None = None,
) -> Drawn:
    """Draws one image.

    Args:
        styles: of the whole image, in the order of `Generator.styles`.
        begun: where to go on, e.g. behind layers that do not learn. Default: at the beginning.
        until: the size at which to stop. Default: the generator's.
    """
    if begun is None:
        x = channels_last(generator.input.input)
        x = _convolve(generator.conv1, x, styles[0], _noise(generator, 0))
        begun = Drawn(x, _add_colours(generator.to_rgb1, x, styles[1], None), 0)
    x, image, first = begun
    for k in range(first, len(generator.to_rgbs)):
        if image.shape[2] == until:
            return Drawn(x, image, k)
        for j in (0, 1):
            conv, noise = generator.convs[2 * k + j], _noise(generator, 2 * k + j + 1)
            x = _convolve(conv, x, styles[3 * k + 2 + j], noise)
        image = _add_colours(generator.to_rgbs[k], x, styles[3 * k + 4], image)
    return Drawn(x, image, len(generator.to_rgbs))


def _noise(generator: Generator, index: int) -> Tensor | None:
    """The stored noise of a convolution; None where its frozen strength is 0."""
    layer = generator.convs[index - 1] if index else generator.conv1
    strength = layer.noise.weight
    counts = strength.requires_grad or bool(strength != 0)
    return generator.noises.get_buffer(f"noise_{index}") if counts else None


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
