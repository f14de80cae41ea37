"""The e4e encoder of the portraits (Tov et al. 2021): pictures to W+.

Every picture's w is known, so it is regressed directly, first on renders alone (which needs no generator
yet) and the base row alone (e4e's progressive training); the generator's own pictures, the losses on
pictures (L2, perceptual, identity) and the other rows' offsets follow. The trunk starts from ImageNet
features and sees heavily augmented renders, so that photographs do not surprise it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.loading import build_networks
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace, face_features
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.training import data, weights
from clipinverter.training.loop import Average, Stage, bfloat16, cosine, run, set_rate
from clipinverter.training.losses import Perceptual, identity_loss, mobilenet_state
from clipinverter.training.mapping import w_of

STEPS, BATCH = 4000, 32
IMAGE_LOSSES_FROM = 0.75  # share of the steps before pictures are compared
L2, PERCEPTUAL, IDENTITY, DELTA = 1.0, 0.6, 0.1, 2e-3


def build(domain: Domain) -> Encoder:
    """The untrained encoder with ImageNet's features in its trunk."""
    encoder = build_networks(domain)[1]
    if domain.encoder_trunk == "mobilenet_v2":
        given = mobilenet_state()
        own = encoder.mobilenet.features.state_dict()
        encoder.mobilenet.features.load_state_dict({k: given[f"features.{k}"] for k in own})
    for head in encoder.styles[1:]:
        head.linear.weight.data.zero_()  # no offsets until they are trained
    return encoder


def base_codes(encoder: Encoder, images: Tensor) -> Tensor:
    """`encoder(images)` while its offsets are zero, without computing them."""
    base = encoder.styles[0](encoder.trunk_features(images)[2])
    return base[:, None].expand(-1, encoder.n_latent, -1)


def delta_loss(codes: Tensor) -> Tensor:
    """Mean norm of the rows' offsets from row 0 (e4e, section 4.1): keeps W+ close to W."""
    return (codes[:, 1:] - codes[:, :1]).square().sum(dim=2).add(1e-8).sqrt().mean()


def train(domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains on renders and on the generator's own pictures; writes encoder.safetensors with latent_avg."""
    steps = max(1, int(STEPS * scale))
    rendered = data.load(images)
    perceptual = Perceptual().to(memory_format=torch.channels_last)
    everybody = w_of(data.random_latents(4096, np.random.default_rng(0)), domain.style_dim)
    spread = everybody.var(dim=0).mean()
    encoder = build(domain).train().to(memory_format=torch.channels_last)
    latent_avg = everybody.mean(dim=0).expand(encoder.n_latent, -1).contiguous()
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [p for n, p in encoder.named_parameters() if "mobilenet.features" in n],
                "lr": 5e-4,
            },
            {
                "params": [
                    p for n, p in encoder.named_parameters() if "mobilenet.features" not in n
                ],
                "lr": 1e-3,
            },
        ],
        betas=(0.9, 0.98),
        weight_decay=0.01,
    )
    average = Average(encoder, 0.995)

    @cache
    def teachers() -> tuple[RemapperGenerator, ArcFace]:
        """Needed late only; they may be in training until then."""
        with torch.random.fork_rng(devices=[]):  # a resumed run loads them in another step
            return weights.generator(folder, domain), weights.identity(folder)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizer, cosine(i, steps, floor=0.02))
        late = i >= IMAGE_LOSSES_FROM * steps
        count = BATCH // 2 if late else BATCH
        indices = rng.integers(len(rendered), size=count)
        latents = rendered.latents[indices]
        pictures = rendered.batch(indices, domain.image_size)
        if late:
            latents = np.concatenate([latents, data.random_latents(BATCH - count, rng)])
        w = w_of(latents, domain.style_dim)
        if late:
            generator, identity = teachers()
            with torch.no_grad(), bfloat16():
                own = generator(w[count:, None].expand(-1, generator.n_latent, -1), noise="none")
            pictures = torch.cat([pictures, own.float().clamp(-1, 1)])
        seen = data.fit(data.augment(pictures, rng), encoder.input_size)
        with bfloat16():
            seen = seen.to(memory_format=torch.channels_last)
            codes = (encoder(seen) if late else base_codes(encoder, seen)).float()
        w_plus = codes + latent_avg
        loss_w = (w_plus - w[:, None]).square().mean() / spread
        loss_delta = delta_loss(codes)
        loss = loss_w + DELTA * loss_delta
        numbers = {"w": loss_w.item(), "delta": loss_delta.item()}
        if late:
            half = slice(0, count)  # renders: what the generator itself can't quite draw
            with bfloat16():
                redrawn = generator(w_plus[half], noise="none")
                loss_perceptual = perceptual(redrawn, pictures[half])
                person = face_features(identity, torch.cat([redrawn, pictures[half]])).float()
            loss_l2 = F.mse_loss(redrawn.float(), pictures[half])
            loss_identity = identity_loss(*person.chunk(2))
            loss = loss + L2 * loss_l2 + PERCEPTUAL * loss_perceptual + IDENTITY * loss_identity
            numbers |= {
                "l2": loss_l2.item(),
                "perceptual": loss_perceptual.item(),
                "identity": loss_identity.item(),
            }
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        average.update(encoder, i)
        return numbers

    state = {"encoder": encoder, "optimizer": optimizer, "average": average}
    run(Stage("encoder", steps, state, step), folder, resume=resume)
    weights.write(folder, "encoder", {**average.module.state_dict(), "latent_avg": latent_avg})
