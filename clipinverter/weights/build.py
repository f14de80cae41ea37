"""Builds the networks of a domain in its sizes; `folder.py` fills them with weights."""

from __future__ import annotations

from collections.abc import Collection

from clipinverter.domains import Domain
from clipinverter.models import clip, irse
from clipinverter.models.adapter import LEVELS, Adapter
from clipinverter.models.clip import TextImageModel
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace
from clipinverter.models.remapper import RemapperGenerator


def build_networks(
    domain: Domain, levels: Collection[str] = LEVELS
) -> tuple[RemapperGenerator, Encoder, Adapter]:
    """Generator, encoder and adapter with random weights; `levels` as for `Adapter`."""
    d = domain
    generator = RemapperGenerator(
        d.image_size, d.style_dim, d.n_mlp, d.channel_base, d.channel_max, d.text_dim
    )
    encoder = Encoder(
        d.encoder_trunk, d.image_size, d.style_dim, d.head_width, d.encoder_size, d.encoder_widths
    )
    return generator, encoder, Adapter(d.encoder_widths, d.text_dim, levels)


def build_text_image(domain: Domain) -> TextImageModel:
    """The text-image model that the domain uses, without trained weights."""
    if domain.text_image == "portraits":
        return clip.build(clip.SMALL)
    return clip.openai_vit_b_32()


def build_identity(domain: Domain) -> ArcFace:
    """The identity network that the domain uses, with random weights."""
    return ArcFace(**irse.SMALL) if domain.text_image == "portraits" else ArcFace()
