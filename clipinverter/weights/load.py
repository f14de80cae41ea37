"""Loads the networks of a domain with its weights, ready to edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.adapter import Adapter
from clipinverter.models.clip import TextImageModel
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.weights.folder import DomainWeights

REQUIRED_PARTS = ("generator", "encoder", "adapter", "clip")  # for an edit; identity is optional


@dataclass(frozen=True, eq=False)
class Models:
    """The networks of one domain, in eval mode on one device.

    Attributes:
        latent_avg: [n_latent, style_dim]; the encoder's codes are relative to it.
        read_text_image: builds the text-image model, see `text_image`.
    """

    domain: Domain
    generator: RemapperGenerator
    encoder: Encoder
    adapter: Adapter
    latent_avg: Tensor
    read_text_image: Callable[[], TextImageModel]
    device: torch.device

    @cached_property
    def text_image(self) -> TextImageModel:
        """The text-image model, read when it is first asked for: importing open_clip takes longer than all other parts
        together, and photos are inverted without it."""
        return self.read_text_image()

    @cached_property
    def identity(self) -> ArcFace | None:
        """The identity network, read when it is first asked for; None in a domain without one."""
        weights = DomainWeights(self.domain)
        return weights.identity(self.device) if weights.file("identity").is_file() else None


def default_device() -> torch.device:
    """The graphics card if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_in_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 numbers, four times as fast as float32."""
    return torch.cpu._is_avx512_bf16_supported()


def default_precision(domain: Domain, device: torch.device) -> torch.dtype:
    """bfloat16 where a large image takes long and the CPU supports it, float32 elsewhere."""
    large = domain.image_size > 512
    fast = large and device.type == "cpu" and computes_in_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def load_models(
    domain: Domain,
    device: torch.device | str | None = None,
    precision: torch.dtype | None = None,
) -> Models:
    """The domain's networks with its weights, ready to edit.

    Args:
        device: default: see `default_device`.
        precision: of the style heads' and the generator's convolutions, which take nearly all of
            the time. Latents, texts and everything else stay in float32. Default: see
            `default_precision`.

    Raises:
        CheckpointError: a file of weights is missing, damaged or does not fit. A damaged text-image model is noticed
            with the first prompt.
    """
    device = torch.device(device) if device is not None else default_device()
    weights = DomainWeights(domain)
    weights.check(REQUIRED_PARTS)
    generator, adapter = weights.generator(), weights.adapter()
    encoder, latent_avg = weights.encoder()
    serve_in(precision or default_precision(domain, device), generator, encoder, adapter)
    return Models(
        domain=domain,
        generator=generator.to(device),
        encoder=encoder.to(device),
        adapter=adapter.to(device),
        latent_avg=latent_avg.to(device),
        read_text_image=partial(weights.text_image, device),
        device=device,
    )


def serve_in(
    precision: torch.dtype, generator: RemapperGenerator, encoder: Encoder, adapter: Adapter
) -> None:
    """Stores weights in the type and layout that the convolutions read; `precision` as for `load_models`."""
    generator.precision = precision
    for head in encoder.styles:
        head.convs.to(precision)
    for network in (encoder, adapter):
        network.to(memory_format=torch.channels_last)
