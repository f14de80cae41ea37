"""The e4e encoder of the portraits (Tov et al. 2021): pictures to W+.

The exact w of every render is known, so it is regressed: at first on renders alone, which needs no generator, and for
the base row alone (e4e's progressive training). The trunk is the image tower of the text-image model, which started
from photographs. The head of the base row learns on the frozen trunk's features of augmented renders; then the trunk
learns a little: the more it learns from renders, the less it knows about photographs. The colours of backdrop and
clothes are learnt from renders without augmentation, which changes them. The offsets of the other rows follow, with
losses on pictures (L2, perceptual, identity); trunk and base row are frozen by then, so that an adapter can learn from
them before the generator is finished.
"""

from __future__ import annotations

import copy
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models.clip import TextImageModel
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace, face_features
from clipinverter.models.losses import identity_loss
from clipinverter.models.mobilenet_speed import fold, quicken
from clipinverter.models.ops import channels_last
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.photo.tensors import fit
from clipinverter.portraits.scene import random_latents
from clipinverter.portraits.w_space import of_kind, sharp_distance, w_of
from clipinverter.training import mobilenet
from clipinverter.training.loop import Loss, bfloat16, gradient_run, run
from clipinverter.training.mobilenet import Perceptual
from clipinverter.training.portraits import data
from clipinverter.training.portraits.clutter import clutter
from clipinverter.training.presets import ENCODER_LOSSES, ENCODER_RATES, PRESETS
from clipinverter.weights.build import build_networks
from clipinverter.weights.folder import RunWeights

VERSIONS = 3  # of every render that the head learns from: as it is, and augmented twice


def build(domain: Domain, text_image: TextImageModel) -> Encoder:
    """The untrained encoder. Its trunk starts as the image tower, which knows the portraits' attributes already.

    The heads' convolutions get He initialisation: with PyTorch's default the signal shrinks sixfold in each layer, and
    after five layers there is nothing left to learn from.
    """
    encoder = build_networks(domain)[1]
    if domain.encoder_trunk == "mobilenet_v2":
        features = encoder.mobilenet.features
        tower = text_image.model.visual.trunk.state_dict().values()
        mobilenet.load_in_order(features, islice(tower, len(features.state_dict())))
        quicken(encoder.mobilenet)
    for head in encoder.styles:
        for layer in head.convs:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.01)
                nn.init.zeros_(layer.bias)
        head.linear.weight.data.zero_()  # no offsets until they are trained
    return encoder


def optimizer_of(network: nn.Module, factor: float = 1.0) -> torch.optim.AdamW:
    """AdamW for an encoder, or a module that contains its heads; `factor` multiplies `ENCODER_RATES`."""
    trunk, linear, rest = [], [], []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        group = trunk if ".features." in name else linear if ".linear." in name else rest
        group.append(parameter)
    groups = [
        {"params": trunk, "lr": ENCODER_RATES.trunk * factor},
        {"params": linear, "lr": ENCODER_RATES.linear * factor},
        {"params": rest, "lr": ENCODER_RATES.rest * factor},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)


@torch.no_grad()
def trunk_layers(encoder: Encoder, rendered: data.RenderedSet) -> tuple[Tensor, Tensor]:
    """The layers below c3 for N renders as they are, then twice augmented: two tensors [3 N, C, H, W] in float16."""
    trunk = copy.deepcopy(encoder.mobilenet)
    fold(trunk.features)
    rng = np.random.default_rng(20237)
    found: tuple[list[Tensor], ...] = ([], [])
    for _, pictures in data.versions(rendered, encoder.input_size, VERSIONS, rng):
        with bfloat16():
            layers = trunk.layers(pictures.to(memory_format=torch.channels_last))
        for kept, x in zip(found, layers[2:], strict=True):
            kept.append(x.half())
    return torch.cat(found[0]), torch.cat(found[1])


def freeze_base(encoder: Encoder) -> None:
    """Freezes the base row and everything that it depends on."""
    trunk = encoder.mobilenet
    for part in (trunk.features, trunk.taps[2:], encoder.styles[0]):
        part.requires_grad_(False)


def delta_loss(codes: Tensor) -> Tensor:
    """Mean norm of the offsets of codes [B, n_latent, D] from row 0 (e4e, section 4.1): keeps W+ close to W."""
    return (codes[:, 1:] - codes[:, :1]).square().sum(dim=2).add(1e-8).sqrt().mean()


def train_encoder(
    domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0
) -> None:
    """Trains in three stages and writes encoder.safetensors, with latent_avg, after each: the head of the base row on
    renders, by their w; then the trunk with it; then all rows, with losses on pictures.

    Raises:
        DataError: there is no rendered set.
        CheckpointError: a stage before has not written its weights.
    """
    rendered = data.load(images)
    weights = RunWeights(domain, folder)
    encoder = build(domain, weights.text_image())
    encoder = encoder.eval().to(
        memory_format=torch.channels_last
    )  # its batch norms stay as they are
    many = w_of(random_latents(4096, np.random.default_rng(0)), domain.style_dim)
    latent_avg = many.mean(dim=0).expand(encoder.n_latent, -1).contiguous()

    @cache
    def layers() -> tuple[Tensor, Tensor]:
        return trunk_layers(encoder, rendered)

    def base_loss(codes: Tensor, latents: np.ndarray, counted: Tensor) -> Loss:
        w = w_of(latents, domain.style_dim)
        loss = sharp_distance(codes.float() + latent_avg[0], w, counted)
        return loss, {"w": loss.item()}

    def head_loss(rng: np.random.Generator) -> Loss:
        preset = PRESETS["encoder-head"]
        rows = rng.integers(VERSIONS * len(rendered), size=preset.batch)
        kept = (channels_last(x[torch.from_numpy(rows)].float()) for x in layers())
        with bfloat16():
            codes = encoder.styles[0](encoder.mobilenet.coarse(*kept))
        unchanged = torch.from_numpy(rows < len(rendered))[:, None]
        latents = rendered.latents[rows % len(rendered)]
        return base_loss(codes, latents, unchanged | ~of_kind("colour"))

    def trunk_loss(rng: np.random.Generator) -> Loss:
        indices = rng.integers(len(rendered), size=PRESETS["encoder-base"].batch)
        renders = rendered.batch(indices, encoder.input_size)
        seen = data.snapshots(renders, rendered.latents[indices], rng)
        with bfloat16():
            codes = encoder.styles[0](encoder.trunk_features(seen)[2])
        return base_loss(codes, rendered.latents[indices], ~of_kind("colour"))

    @cache
    def teachers() -> tuple[RemapperGenerator, ArcFace, Perceptual]:
        with torch.random.fork_rng(devices=[]):  # which step comes first depends on resuming
            perceptual = Perceptual().to(memory_format=torch.channels_last)
            return weights.generator_with_new_remapper(), weights.identity(), perceptual

    def rows_loss(rng: np.random.Generator) -> Loss:
        """Of half renders as they are, whose colours are known, half renders with other light and backgrounds. The
        encoder should reproduce these, since the offsets are for what the base row does not describe, colours above
        all. It should not reproduce blur, noise and shifts."""
        batch, losses = PRESETS["encoder"].batch, ENCODER_LOSSES
        generator, identity, perceptual = teachers()
        indices = rng.integers(len(rendered), size=batch)
        latents = rendered.latents[indices]
        renders = rendered.batch(indices, domain.image_size)
        half = batch // 2
        others = data.recolour(clutter(renders[:half], latents[:half], rng), rng)
        pictures = torch.cat([others, renders[half:]])
        counted = (torch.arange(batch) >= half)[:, None, None] | ~of_kind("colour")
        seen = fit(pictures, encoder.input_size)
        seen = torch.cat([data.blemish(seen[:half], rng), seen[half:]])
        w = w_of(latents, domain.style_dim)
        with bfloat16():
            codes = encoder(seen).float()
            w_plus = codes + latent_avg
            redrawn = generator(w_plus, noise="none")
            parts = {
                "w": losses.w * sharp_distance(w_plus, w[:, None], counted),
                "delta": losses.delta * delta_loss(codes),
                "l2": losses.l2 * F.mse_loss(redrawn.float(), pictures),
                "perceptual": losses.perceptual * perceptual(redrawn, pictures),
            }
            person = face_features(identity, torch.cat([redrawn, pictures])).float()
            parts["identity"] = losses.identity * identity_loss(*person.chunk(2))
        return sum(parts.values()), {k: v.item() for k, v in parts.items()}

    for name, loss_of in (
        ("encoder-head", head_loss),
        ("encoder-base", trunk_loss),
        ("encoder", rows_loss),
    ):
        encoder.mobilenet.features.requires_grad_(name == "encoder-base")
        if name == "encoder":
            freeze_base(encoder)
        preset = PRESETS[name]
        optimizer = optimizer_of(encoder, preset.rate)
        training = gradient_run(name, preset.scaled_steps(scale), encoder, optimizer, loss_of)
        run(training, folder, resume=resume)
        encoder.load_state_dict(training.state["average"].module.state_dict())
        weights.write_encoder("encoder", encoder, latent_avg)
