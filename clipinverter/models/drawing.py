"""The generator's forward pass for one image without gradients: the same function, but faster.

Differences to `stylegan2.py`, which is used for batches and training:

- Style and demodulation are multiplied into the weights. For large feature maps that is less work
  than scaling the maps. The scaling uses the weights' precision; the result is rounded afterwards.
- Large resolutions are computed in bands of rows, so that no feature map exceeds `BAND_BYTES`:
  allocating memory costs a CPU more than the arithmetic. The feature maps of the last resolution
  never exist as a whole. Each band recomputes the few neighbouring rows that its convolutions need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.models.ops import GAIN, bias_act, blur, channels_last, upsample

if TYPE_CHECKING:
    from clipinverter.models.stylegan2 import Generator, StyledConv, ToRGB

OnPreview = Callable[[Tensor], None]

BAND_BYTES = 16 * 2**20  # largest feature map; with 4 MiB drawing took a tenth longer
PREVIEW = 256  # pixels


class Layer(NamedTuple):
    """A `StyledConv` for one image, with style and demodulation in its weight."""

    weight: Tensor  # [out, in, 3, 3]
    bias: Tensor  # [out]
    noise: Tensor | None  # [1, 1, H, W]
    kernel: Tensor | None  # of the blur, if the convolution doubles the size

    def rows(self, x: Tensor, first: int, last: int, top: int = 0) -> Tensor:
        """Rows [first, last) of the layer's output, [1, out, last - first, W'].

        x: the input [1, in, H, W], or only its rows from `top` on.
        """
        if self.kernel is None:
            start, end = max(top, first - 1), min(top + x.shape[2], last + 1)
            y = F.conv2d(x[:, :, start - top : end - top], self.weight, padding=1)
        else:
            # Row i of the blurred map needs the rows i - 1 to i + 2 of the enlarged one, whose row
            # j needs the rows j / 2 - 1 and j / 2 of x, or (j - 1) / 2 where j is odd.
            low, high = max(0, (first - 2) // 2), min(x.shape[2], (last + 1) // 2 + 1)
            y = F.conv_transpose2d(x[:, :, low:high], self.weight.transpose(0, 1), stride=2)
            y = blur(y, self.kernel, 1)
            start = 2 * low
        noise = None if self.noise is None else self.noise[:, :, first:last]
        return bias_act(y[:, :, first - start : last - start], self.bias, noise)


def draw(
    generator: Generator,
    styles: Iterable[Tensor],
    noises: Iterable[Tensor | None],
    on_preview: OnPreview | None = None,
) -> Tensor:
    """Style vectors [1, C] of one image, in the order of `Generator.styles` -> [1, 3, size, size].

    Args:
        noises: [1, 1, H, W] for each convolution, or None.
        on_preview: called with the image at `PREVIEW` px, [1, 3, PREVIEW, PREVIEW], if the final
            image is more than twice as large.
    """
    remaining, noise = iter(styles), iter(noises)
    dtype = generator.precision or generator.conv1.conv.weight.dtype
    x = channels_last(generator.input.input).to(dtype)
    x = _layer(generator.conv1, next(remaining), next(noise), dtype).rows(x, 0, x.shape[2])
    image = _colours(x, _matrix(generator.to_rgb1, next(remaining))) + generator.to_rgb1.bias
    for k, to_rgb in enumerate(generator.to_rgbs):
        up, flat = (
            _layer(conv, next(remaining), next(noise), dtype)
            for conv in generator.convs[2 * k : 2 * k + 2]
        )
        matrix = _matrix(to_rgb, next(remaining))
        image = upsample(image, to_rgb.upsample.kernel).add_(to_rgb.bias)
        x = _resolution(x, image, up, flat, matrix, keep=to_rgb is not generator.to_rgbs[-1])
        if on_preview and image.shape[2] == PREVIEW and generator.size > 2 * PREVIEW:
            on_preview(image)
    return image


def _resolution(
    x: Tensor, image: Tensor, up: Layer, flat: Layer, matrix: Tensor, keep: bool
) -> Tensor | None:
    """Both convolutions of a resolution; adds its colours to the image [1, 3, size, size] in place.

    Args:
        x: [1, C, size / 2, size / 2].
        keep: whether to return the feature map.

    Returns:
        The feature map [1, C', size, size]; None if it is not kept.
    """
    size, width = image.shape[2], len(flat.bias)
    band = size if x.is_cuda else max(8, BAND_BYTES // (size * width * x.element_size()))
    kept = None
    for first in range(0, size, band):
        last = min(first + band, size)
        top = max(0, first - 1)
        y = up.rows(x, top, min(last + 1, size))
        y = flat.rows(y, first, last, top)
        image[:, :, first:last] += _colours(y, matrix)
        if band >= size:
            return y
        if keep:
            if kept is None:
                kept = x.new_empty(1, size, size, width).permute(0, 3, 1, 2)  # channels last
            kept[:, :, first:last] = y
    return kept


def _layer(conv: StyledConv, style: Tensor, noise: Tensor | None, dtype: torch.dtype) -> Layer:
    """Equations 1 and 3 of StyleGAN2, for one style [1, C]. The gain is applied here, as it commutes with
    the leaky ReLU."""
    module = conv.conv
    weight = module.weight[0] * (style[0] * module.scale)[:, None, None]
    energy = torch.linalg.vector_norm(weight, dim=(1, 2, 3)).square()
    weight *= (torch.rsqrt(energy + 1e-8) * GAIN)[:, None, None, None]
    if noise is not None:
        noise = (noise * (conv.noise.weight * GAIN)).to(dtype)
    kernel = module.blur.kernel.to(dtype) if module.up else None
    return Layer(weight.to(dtype), (conv.activate.bias * GAIN).to(dtype), noise, kernel)


def _matrix(to_rgb: ToRGB, style: Tensor) -> Tensor:
    """The matrix [3, in] from features to colours, for one style [1, C]."""
    return to_rgb.conv.weight[0, :, :, 0, 0] * (style * to_rgb.conv.scale)


def _colours(x: Tensor, matrix: Tensor) -> Tensor:
    """Features [1, C, H, W] -> [1, 3, H, W]."""
    return F.linear(x.permute(0, 2, 3, 1), matrix.to(x.dtype)).permute(0, 3, 1, 2)
