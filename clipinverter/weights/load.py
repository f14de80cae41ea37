"""Builds the networks of a domain and fills them with its weights."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models import clip, irse
from clipinverter.models.adapter import Adapter
from clipinverter.models.clip import TextImageModel
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.weights.files import CheckpointError, load_weights

PARTS = ("generator", "encoder", "adapter", "clip")  # without which nothing can be edited


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
        return load_identity(self.domain, self.device)


def build_networks(domain: Domain) -> tuple[RemapperGenerator, Encoder, Adapter]:
    """Generator, encoder and adapter in the domain's sizes, with random weights."""
    d = domain
    generator = RemapperGenerator(
        d.image_size, d.style_dim, d.n_mlp, d.channel_base, d.channel_max, d.text_dim
    )
    encoder = Encoder(
        d.encoder_trunk, d.image_size, d.style_dim, d.head_width, d.encoder_size, d.encoder_widths
    )
    return generator, encoder, Adapter(d.encoder_widths, d.text_dim)


def build_text_image(domain: Domain) -> TextImageModel:
    """The text-image model that the domain uses, without its weights."""
    if domain.text_image == "portraits":
        return clip.build(clip.PORTRAITS)
    return clip.openai_vit_b_32()


def default_device() -> torch.device:
    """The graphics card if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_in_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 numbers, four times as fast as float32."""
    return torch.cpu._is_avx512_bf16_supported()


def default_precision(domain: Domain, device: torch.device) -> torch.dtype:
    """bfloat16 where a large image takes long and the CPU is made for it, float32 elsewhere."""
    large = domain.image_size > 512
    fast = large and device.type == "cpu" and computes_in_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def load_models(
    domain: Domain,
    device: torch.device | str | None = None,
    precision: torch.dtype | None = None,
) -> Models:
    """The domain's networks with its weights, ready to serve.

    Args:
        device: default: see `default_device`.
        precision: of the style heads' and the generator's convolutions, which take nearly all of
            the time. Latents, texts and everything else stay in float32. Default: see
            `default_precision`.

    Raises:
        CheckpointError: a file of weights is missing, damaged or does not fit; of the text-image model's, damage shows
            when the first prompt comes.
    """
    device = torch.device(device) if device is not None else default_device()
    check_files(domain, PARTS)
    adapter_weights = read(domain, "adapter")
    with torch.device("meta"):  # initial weights would only cost time and memory
        generator = build_networks(domain)[0]
        levels = {key.split("_mapping.")[0] for key in adapter_weights}
        adapter = Adapter(domain.encoder_widths, domain.text_dim, levels)
    fill(generator, read(domain, "generator"), domain, "generator")
    encoder, latent_avg = load_encoder(domain)
    fill(adapter, adapter_weights, domain, "adapter")
    serve_in(precision or default_precision(domain, device), generator, encoder, adapter)
    return Models(
        domain=domain,
        generator=generator.to(device),
        encoder=encoder.to(device),
        adapter=adapter.to(device),
        latent_avg=latent_avg.to(device),
        read_text_image=partial(load_text_image, domain, device),
        device=device,
    )


def serve_in(
    precision: torch.dtype, generator: RemapperGenerator, encoder: Encoder, adapter: Adapter
) -> None:
    """Stores weights as the convolutions read them; `precision` as for `load_models`."""
    generator.precision = precision
    for head in encoder.styles:
        head.convs.to(precision)
    for network in (encoder, adapter):
        network.to(memory_format=torch.channels_last)


def check_files(domain: Domain, parts: Collection[str]) -> None:
    """Raises CheckpointError unless the domain's files of these parts are there."""
    names = [f"{part}.safetensors" for part in parts]
    missing = [name for name in names if not (domain.folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"The weights of the model {domain.name!r} are not there: the folder "
            f"checkpoints/{domain.name} lacks {', '.join(missing)}.{_remedy(domain)}"
        )


def load_encoder(domain: Domain) -> tuple[Encoder, Tensor]:
    """The domain's encoder, and latent_avg [n_latent, style_dim].

    Raises:
        CheckpointError: as for `load_models`.
    """
    weights = read(domain, "encoder")
    latent_avg = weights.pop("latent_avg")
    with torch.device("meta"):
        encoder = build_networks(domain)[1]
    fill(encoder, weights, domain, "encoder")
    return encoder, latent_avg


def load_text_image(domain: Domain, device: torch.device | str = "cpu") -> TextImageModel:
    """The domain's text-image model on `device`.

    Raises:
        CheckpointError: as for `load_models`.
    """
    text_image = build_text_image(domain)
    fill(text_image.model, read(domain, "clip"), domain, "clip")
    text_image.model.to(device)
    return text_image


def load_identity(domain: Domain, device: torch.device) -> ArcFace | None:
    """The domain's identity network on `device`; None where its file is not there.

    Raises:
        CheckpointError: the file is damaged or does not fit.
    """
    if not (domain.folder / "identity.safetensors").is_file():
        return None
    network = ArcFace(**irse.SMALL) if domain.text_image == "portraits" else ArcFace()
    fill(network, read(domain, "identity"), domain, "identity")
    return network.to(device)


def _remedy(domain: Domain) -> str:
    """How the files of a domain that does not come with the project are made."""
    if domain.name == "faces":
        return f" Run `python -m clipinverter download {domain.name}`."
    return "" if domain.files else " README.md says under “Your own data” how they are made."


def read(domain: Domain, part: str) -> dict[str, Tensor]:
    """The weights in a domain's file; raises CheckpointError where they are not the expected ones."""
    name = f"{part}.safetensors"
    return load_weights(domain.folder / name, domain.files.get(name) or None)


def fill(network: nn.Module, weights: dict[str, Tensor], domain: Domain, part: str) -> None:
    """Puts a domain's weights of a part into a network, frozen and in eval mode.

    Raises CheckpointError where they do not fit."""
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {domain.folder / part}.safetensors do not fit the networks of "
            f"{domain.name!r}.{_remedy(domain) or ' Restore the file from the repository.'}"
        ) from error
    network.eval().requires_grad_(False)
