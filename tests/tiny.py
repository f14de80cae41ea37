"""A domain small enough to run in milliseconds: the real classes, few channels, random weights."""

import threading
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.encoder import Encoder
from clipinverter.weights.build import build_networks
from clipinverter.weights.load import Models

DOMAIN = Domain(
    name="tiny",
    title="Tiny",
    note="Random weights: its pictures are noise.",
    image_size=32,
    style_dim=32,
    n_mlp=2,
    channel_base=512,
    channel_max=32,
    text_dim=32,
    encoder_trunk="mobilenet_v2",
    encoder_size=64,
    encoder_widths=(32, 32, 32),
    head_width=32,
    suggestions=("a smiling woman", "a bald man"),
)


class Words:
    """A text-image model that draws one vector for each text and reads six words of it.

    Its image tower is a fixed linear map of the picture at 4 px.
    """

    def __init__(self) -> None:
        weights = np.random.default_rng(1).standard_normal((DOMAIN.text_dim, 3 * 4 * 4))
        self.model = torch.nn.Linear(3 * 4 * 4, DOMAIN.text_dim, bias=False).requires_grad_(False)
        self.model.weight.copy_(torch.from_numpy(weights))
        self.model.encode_image = self.embed_image

    def embed_image(self, images: Tensor) -> Tensor:
        return self.model(F.adaptive_avg_pool2d(images, 4).flatten(1))

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        rows = [
            np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DOMAIN.text_dim)
            for text in texts
        ]
        return torch.tensor(np.stack(rows), dtype=torch.float32)

    def fits(self, prompt: str) -> bool:
        return len(prompt.split()) <= 6


def wake(encoder: Encoder) -> None:
    """Sets the batch norms so that the signal lasts to the end of a random trunk: all pictures would look the same."""
    for module in encoder.mobilenet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    size = encoder.input_size
    encoder.mobilenet.train()(torch.rand(8, 3, size, size) * 2 - 1)


def tiny_models(domain: Domain = DOMAIN) -> Models:
    """Networks of the tiny domain, or one of other sizes, always with the same random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, encoder, adapter = build_networks(domain)
        latent_avg = torch.randn(generator.n_latent, domain.style_dim)
        if domain.encoder_trunk == "mobilenet_v2":
            wake(encoder)
        for strength in generator.lambdas:
            strength.data.fill_(0.3)
    for network in (generator, encoder, adapter):
        network.eval().requires_grad_(False)
    device = torch.device("cpu")
    return Models(domain, generator, encoder, adapter, latent_avg, Words, device)


def count_calls(models: Models) -> Counter[str]:
    """Counts, from now on, the calls of every network of `models`."""
    calls: Counter[str] = Counter()
    lock = threading.Lock()

    def counted(owner: object, method: str, name: str) -> None:
        original = getattr(owner, method)

        def call(*args: object, **kwargs: object) -> object:
            with lock:
                calls[name] += 1
            return original(*args, **kwargs)

        object.__setattr__(owner, method, call)

    counted(models.encoder, "trunk_features", "trunk")
    counted(models.encoder, "heads", "heads")
    counted(models.adapter, "forward", "adapter")
    counted(models.text_image, "embed_text", "text")
    counted(models.generator, "render", "generator")
    counted(models.generator, "remap_vectors", "remapper")
    return calls


def picture(seed: int = 0, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """A picture of soft random colours, without a face."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
