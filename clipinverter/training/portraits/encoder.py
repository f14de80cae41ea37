"""The e4e encoder of the portraits (Tov et al. 2021): pictures to W+.

Every picture's w is known, so it is regressed directly, first on renders alone (which needs no generator yet) and the
base row alone (e4e's progressive training). The trunk is the text-image model's image tower, which came from
photographs. Its head learns on what the frozen trunk says of heavily augmented renders; then the trunk moves a little.
The more it learns of renders, the less it knows of photographs. Colours of backdrop and clothes are asked of pictures
as they were drawn, since augmentation puts others in their place. The other rows' offsets follow, with the losses on
pictures (L2, perceptual, identity), the colours of which they are to redraw as they see them; trunk and base row stay
as they are by then, so that adapters can learn from them before the generator is finished.
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
from clipinverter.models.ops import channels_last
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.photo.tensors import fit
from clipinverter.portraits.scene import random_latents
from clipinverter.portraits.w_space import of_kind, sharp_distance, w_of
from clipinverter.training import mobilenet
from clipinverter.training.loop import bfloat16, run, stage_of
from clipinverter.training.mobilenet import Perceptual
from clipinverter.training.portraits import data
from clipinverter.training.portraits.clutter import clutter
from clipinverter.weights import runs
from clipinverter.weights.load import build_networks

HEAD_STEPS, HEAD_BATCH = 4000, 64
BASE_STEPS, BASE_BATCH = 700, 32
STEPS, BATCH = 1600, 8
TRUNK_RATE = 3e-4
VERSIONS = 3  # of every render that the head learns from
W, L2, PERCEPTUAL, IDENTITY, DELTA = 1.0, 6.0, 0.6, 0.1, 2e-3


def build(domain: Domain, text_image: TextImageModel) -> Encoder:
    """The untrained encoder. Its trunk starts from the image tower's, which came from photographs and knows the
    portraits' attributes already.

    The heads' convolutions get He initialisation: PyTorch's default lets the signal shrink sixfold a layer, and after
    five layers there was nothing to learn from.
    """
    encoder = build_networks(domain)[1]
    if domain.encoder_trunk == "mobilenet_v2":
        features = encoder.mobilenet.features
        tower = text_image.model.visual.trunk.state_dict().values()
        mobilenet.load_in_order(features, islice(tower, len(features.state_dict())))
        mobilenet.quicken(encoder.mobilenet)
    for head in encoder.styles:
        for layer in head.convs:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.01)
                nn.init.zeros_(layer.bias)
        head.linear.weight.data.zero_()  # no offsets until they are trained
    return encoder


def optimizer_of(network: nn.Module, factor: float = 1.0) -> torch.optim.AdamW:
    """For an encoder, or whatever has its heads. The heads' linear layers have an equalised learning rate (a factor 0.1
    here), so their own is high."""
    trunk, linear, rest = [], [], []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        group = trunk if ".features." in name else linear if ".linear." in name else rest
        group.append(parameter)
    groups = [
        {"params": trunk, "lr": TRUNK_RATE * factor},
        {"params": linear, "lr": 4e-2 * factor},
        {"params": rest, "lr": 1e-3 * factor},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)


@torch.no_grad()
def trunk_layers(encoder: Encoder, rendered: data.RenderedSet) -> tuple[Tensor, Tensor]:
    """The layers under c3 of all renders as they are, then twice of all augmented: [3 N, ...] each, as float16."""
    trunk = copy.deepcopy(encoder.mobilenet)
    mobilenet.fold(trunk.features)
    rng = np.random.default_rng(20237)
    found: tuple[list[Tensor], ...] = ([], [])
    for _, pictures in data.versions(rendered, encoder.input_size, VERSIONS, rng):
        with bfloat16():
            layers = trunk.layers(pictures.to(memory_format=torch.channels_last))
        for kept, x in zip(found, layers[2:], strict=True):
            kept.append(x.half())
    return torch.cat(found[0]), torch.cat(found[1])


def freeze_base(encoder: Encoder) -> None:
    """From here on the base row and all that leads to it stay as they are, running statistics included."""
    trunk = encoder.mobilenet
    for part in (trunk.features, trunk.taps[2:], encoder.styles[0]):
        part.requires_grad_(False)


def delta_loss(codes: Tensor) -> Tensor:
    """Mean norm of the rows' offsets from row 0 (e4e, section 4.1): keeps W+ close to W."""
    return (codes[:, 1:] - codes[:, :1]).square().sum(dim=2).add(1e-8).sqrt().mean()


def train(domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Trains in three stages and writes encoder.safetensors with latent_avg after each: the head of the base row on
    renders alone, by their w; then the trunk with it; then all rows, with the losses on pictures."""
    rendered = data.load(images)
    encoder = build(domain, runs.text_image(folder))
    encoder = encoder.eval().to(
        memory_format=torch.channels_last
    )  # its batch norms stay as they are
    everybody = w_of(random_latents(4096, np.random.default_rng(0)), domain.style_dim)
    latent_avg = everybody.mean(dim=0).expand(encoder.n_latent, -1).contiguous()

    @cache
    def layers() -> tuple[Tensor, Tensor]:
        return trunk_layers(encoder, rendered)

    def base_loss(
        codes: Tensor, latents: np.ndarray, asked: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        w = w_of(latents, domain.style_dim)
        loss = sharp_distance(codes.float() + latent_avg[0], w, asked)
        return loss, {"w": loss.item()}

    def head_step(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = rng.integers(VERSIONS * len(rendered), size=HEAD_BATCH)
        kept = (channels_last(x[torch.from_numpy(rows)].float()) for x in layers())
        with bfloat16():
            codes = encoder.styles[0](encoder.mobilenet.coarse(*kept))
        as_drawn = torch.from_numpy(rows < len(rendered))[:, None]
        return base_loss(
            codes, rendered.latents[rows % len(rendered)], as_drawn | ~of_kind("colour")
        )

    def base_step(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        indices = rng.integers(len(rendered), size=BASE_BATCH)
        renders = rendered.batch(indices, encoder.input_size)
        seen = data.snapshots(renders, rendered.latents[indices], rng)
        with bfloat16():
            codes = encoder.styles[0](encoder.trunk_features(seen)[2])
        return base_loss(codes, rendered.latents[indices], ~of_kind("colour"))

    @cache
    def teachers() -> tuple[RemapperGenerator, ArcFace, Perceptual]:
        with torch.random.fork_rng(devices=[]):  # a resumed run loads them in another step
            perceptual = Perceptual().to(memory_format=torch.channels_last)
            return runs.generator(folder, domain), runs.identity(folder), perceptual

    def full_step(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Another light or another background belongs to what is to be redrawn: the rows' offsets are for what the
        base row does not say, colours above all. Blur, noise and shifts do not. Half of the pictures are renders as
        they are, whose scenes tell the colours."""
        generator, identity, perceptual = teachers()
        indices = rng.integers(len(rendered), size=BATCH)
        latents = rendered.latents[indices]
        renders = rendered.batch(indices, domain.image_size)
        half = BATCH // 2
        others = data.recolour(clutter(renders[:half], latents[:half], rng), rng)
        pictures = torch.cat([others, renders[half:]])
        asked = (torch.arange(BATCH) >= half)[:, None, None] | ~of_kind("colour")
        seen = fit(pictures, encoder.input_size)
        seen = torch.cat([data.blemish(seen[:half], rng), seen[half:]])
        w = w_of(latents, domain.style_dim)
        with bfloat16():
            codes = encoder(seen).float()
            w_plus = codes + latent_avg
            redrawn = generator(w_plus, noise="none")
            losses = {
                "w": W * sharp_distance(w_plus, w[:, None], asked),
                "delta": DELTA * delta_loss(codes),
                "l2": L2 * F.mse_loss(redrawn.float(), pictures),
                "perceptual": PERCEPTUAL * perceptual(redrawn, pictures),
            }
            person = face_features(identity, torch.cat([redrawn, pictures])).float()
            losses["identity"] = IDENTITY * identity_loss(*person.chunk(2))
        return sum(losses.values()), {k: v.item() for k, v in losses.items()}

    for name, steps, factor, step in (
        ("encoder-head", HEAD_STEPS, 1.0, head_step),
        ("encoder-base", BASE_STEPS, 0.3, base_step),
        ("encoder", STEPS, 0.3, full_step),
    ):
        encoder.mobilenet.features.requires_grad_(step is base_step)
        if step is full_step:
            freeze_base(encoder)
        stage = stage_of(
            name, max(1, int(steps * scale)), encoder, optimizer_of(encoder, factor), step
        )
        run(stage, folder, resume=resume)
        encoder.load_state_dict(stage.state["average"].module.state_dict())
        runs.write_encoder(folder, "encoder", encoder, latent_avg)
