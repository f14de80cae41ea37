"""A plain implementation of the edit, as the reference for speed and results.

As in the authors' inference script, every prompt and every strength runs everything again: trunk,
heads, text, adapter, heads, generator. The generator follows StyleGAN2's equations: every image has
its own modulated weight, a batch is one grouped convolution, and each channel is low-pass filtered
as an image of its own. `tune` is a plain pivotal tuning: every layer, float32, small steps.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.models.adapter import RESIDUAL_SCALE, Features
from clipinverter.models.encoder import COARSE_ROWS, MEDIUM_ROWS, Encoder, enlarge
from clipinverter.models.ops import GAIN, SLOPE
from clipinverter.models.perceptual import perceptual
from clipinverter.models.remapper import LAMBDA_SCALE, RemapperGenerator
from clipinverter.models.stylegan2 import ModulatedConv, StyledConv, ToRGB
from clipinverter.weights.load import Models


def edit(models: Models, images: Tensor, prompt: str, strength: float) -> Tensor:
    """Images [B, 3, S, S] of the encoder's size, in [-1, 1] -> [B, 3, size, size]."""
    features = tuple(x.contiguous() for x in models.encoder.trunk_features(images))
    w_plus = heads(models.encoder, features) + models.latent_avg
    text = models.text_image.embed_text([prompt])
    residual = heads(models.encoder, models.adapter(features, text))
    vectors = models.generator.remap_vectors(text)
    return draw(models.generator, w_plus + strength * RESIDUAL_SCALE * residual, vectors, strength)


def tune(models: Models, w_plus: Tensor, target: Tensor, steps: int = 100) -> float:
    """Tunes a copy of the generator to target [1, 3, size, size] as the first trial of this project did.

    Adam at 2e-3, betas (.9, .99), 10 steps up and then down a cosine; L1 and perceptual distance at full size.

    Returns:
        L1 distance of the last picture.
    """
    generator = copy.deepcopy(models.generator).requires_grad_(True)
    kept = ("style", "modulation", "noise", "lambdas", "mlps")
    learnt = [p for name, p in generator.named_parameters() if not any(k in name for k in kept)]
    optimizer = torch.optim.Adam(learnt, lr=2e-3, betas=(0.9, 0.99))
    measure = perceptual(models.encoder)
    features = measure.features(target)
    for step in range(steps):
        fall = 0.5 + 0.5 * math.cos(math.pi * step / steps)
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, (step + 1) / 10) * fall
        with torch.enable_grad():
            drawn = generator(w_plus)
            distance = (drawn - target).abs().mean()
            loss = distance + measure(drawn, features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(distance.detach())


def heads(encoder: Encoder, features: Features) -> Tensor:
    """`Encoder.heads`, one head after the other: features c1, c2, c3 -> codes [B, n_latent, D]."""
    c1, c2, c3 = features
    p2 = enlarge(c3, c2) + encoder.latlayer1(c2)
    p1 = enlarge(p2, c1) + encoder.latlayer2(c1)
    codes = []
    for row, head in enumerate(encoder.styles):
        x = c3 if row < COARSE_ROWS else p2 if row < MEDIUM_ROWS else p1
        offset = head.linear(head.convs(x).flatten(1))
        codes.append(codes[0] + offset if codes else offset)
    return torch.stack(codes, dim=1)


def draw(generator: RemapperGenerator, w_plus: Tensor, vectors: Tensor, strength: float) -> Tensor:
    """`RemapperGenerator.forward` with the stored noise: images [B, 3, size, size]."""
    pull = strength * LAMBDA_SCALE * torch.stack(list(generator.lambdas))[:, None]
    rows = w_plus[:, 1:-1] * (1 - pull) + vectors * pull
    x = generator.input.input.repeat(len(w_plus), 1, 1, 1)
    x = styled(generator.conv1, x, w_plus[:, 0], generator.noises.noise_0)
    image = colours(generator.to_rgb1, x, w_plus[:, 1])
    for j, conv in enumerate(generator.convs):
        x = styled(conv, x, rows[:, j], generator.noises.get_buffer(f"noise_{j + 1}"))
        if j % 2:
            to_rgb = generator.to_rgbs[j // 2]
            larger = low_pass(inserted(image), to_rgb.upsample.kernel, (2, 1))
            image = larger + colours(to_rgb, x, w_plus[:, j + 2])
    return image


def styled(layer: StyledConv, x: Tensor, row: Tensor, noise: Tensor) -> Tensor:
    """Modulated convolution of x [B, C, H, W], then noise, bias and activation."""
    x = modulated(layer.conv, x, row, demodulate=True)
    x = x + layer.noise.weight * noise
    return F.leaky_relu(x + layer.activate.bias[:, None, None], SLOPE) * GAIN


def colours(layer: ToRGB, x: Tensor, row: Tensor) -> Tensor:
    """The RGB contribution [B, 3, H, W] of one resolution."""
    return modulated(layer.conv, x, row, demodulate=False) + layer.bias


def modulated(conv: ModulatedConv, x: Tensor, row: Tensor, demodulate: bool) -> Tensor:
    """Equations 1 and 3 of StyleGAN2: a weight for each image, applied as one grouped convolution."""
    batch, channels, height, width = x.shape
    weight = conv.scale * conv.weight * conv.modulation(row)[:, None, :, None, None]
    if demodulate:
        energy = weight.square().sum(dim=(2, 3, 4), keepdim=True)
        weight = weight * torch.rsqrt(energy + 1e-8)
    x = x.reshape(1, batch * channels, height, width)
    if conv.up:
        weight = weight.transpose(1, 2).flatten(0, 1)
        y = F.conv_transpose2d(x, weight, stride=2, groups=batch)
    else:
        y = F.conv2d(x, weight.flatten(0, 1), padding=weight.shape[-1] // 2, groups=batch)
    y = y.unflatten(1, (batch, -1))[0]
    return low_pass(y, conv.blur.kernel, (1, 1)) if conv.up else y


def inserted(image: Tensor) -> Tensor:
    """Images [B, C, H, W] with a zero after every pixel in both directions, [B, C, 2 H, 2 W]."""
    batch, channels, height, width = image.shape
    larger = F.pad(image.reshape(batch, channels, height, 1, width, 1), (0, 1, 0, 0, 0, 1))
    return larger.reshape(batch, channels, 2 * height, 2 * width)


def low_pass(x: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """Filters each channel of x [B, C, H, W]; `padding`: zeros before and after each row and column."""
    before, after = padding
    planes = F.pad(x, (before, after, before, after)).flatten(0, 1)[:, None]
    return F.conv2d(planes, kernel[None, None]).unflatten(0, x.shape[:2])[:, :, 0]
