"""What the project can edit: one `Domain` for each set of networks and weights.

A domain states sizes, files and texts; `weights/build.py` builds the networks from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from clipinverter.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent


class DomainError(UsageError):
    """There is no such domain; the message names those that exist."""


@dataclass(frozen=True)
class Domain:
    """Sizes, files and words of one domain.

    Attributes:
        name: key of the registry and name of the folder of weights.
        title: what the page calls it.
        note: a few sentences on what to expect, shown on the page.
        image_size: side of the generator's images.
        style_dim, n_mlp, channel_base, channel_max: see `models.stylegan2.Generator`.
        text_dim: width of the text-image model's embeddings.
        text_image: which text-image model: ours, or OpenAI's ViT-B/32.
        encoder_trunk, encoder_size, encoder_widths, head_width: see `models.encoder.Encoder`.
        aligned: whether pictures are cropped around a face, as in FFHQ; otherwise the centre square
            is taken, as for cats, birds, cars and churches.
        files: sha256 of every weight file by its name in the folder; "" accepts any content.
        licence: of the weights.
        suggestions: prompts that the page offers; it opens with the first.
        chips: short wishes that the page offers, by title; none: the suggestions.
        example_folders: of `assets/`, with the pictures that the page offers; default: the domain's name.
    """

    name: str
    title: str
    note: str
    image_size: int = 1024
    style_dim: int = 512
    n_mlp: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    text_dim: int = 512
    text_image: Literal["portraits", "openai"] = "openai"
    encoder_trunk: Literal["irse50", "mobilenet_v2"] = "irse50"
    encoder_size: int = 256
    encoder_widths: tuple[int, int, int] = (128, 256, 512)
    head_width: int = 512
    aligned: bool = True
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    licence: str = ""
    suggestions: tuple[str, ...] = ()
    chips: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    example_folders: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the weights are."""
        return ROOT / "checkpoints" / self.name

    @property
    def examples(self) -> tuple[Path, ...]:
        """Pictures that the page offers: folder by folder, each sorted by name."""
        folders = [ROOT / "assets" / name for name in self.example_folders or (self.name,)]
        found = [sorted(p for p in f.glob("*") if p.suffix in (".jpg", ".png")) for f in folders]
        return tuple(path for paths in found for path in paths)


_FACE_PROMPTS = (
    "a person with red hair",
    "a smiling face",
    "a person wearing glasses",
    "a person with blond hair",
    "a face with a beard",
    "an old person",
)


_FACE_CHIPS = MappingProxyType(
    {
        "Hair": ("red hair", "blond hair", "black hair", "curly hair", "a bald head", "a beard"),
        "Age": ("a young person", "an old person"),
        "Mood": ("a smiling face", "a surprised face", "an angry face"),
        "Accessories": ("glasses", "sunglasses", "red lipstick"),
    }
)


def _files(**digests: str) -> Mapping[str, str]:
    return MappingProxyType({f"{part}.safetensors": digests[part] for part in digests})


PORTRAITS = Domain(
    name="portraits",
    title="Portraits (built-in model)",
    note=(
        "The built-in model learns your face in seconds, then edits your own photo. It was trained on "
        "computer-drawn people and on photo-like faces of people who do not exist. It draws 256 "
        "pixels, so new teeth, curls or glasses can look soft. Changes of age, gender and anger are "
        "often too weak, and of several changes in one prompt one may be missing."
    ),
    image_size=256,
    style_dim=256,
    n_mlp=4,
    channel_base=4096,
    channel_max=256,
    text_dim=256,
    text_image="portraits",
    encoder_trunk="mobilenet_v2",
    encoder_size=128,
    encoder_widths=(64, 128, 256),
    head_width=120,
    files=_files(
        generator="c533f2ed9e01b03fe909c7d7a0104713724994ed735eb3d86519a524f1278184",
        encoder="8e3e200d5f294d5e4cdf0a841bca1ec5b847fe0f6bfe093ce74b8ce1b7473ced",
        adapter="9021d94ffdd94aa056b2ef29784b4f84ee1cb51ce2546604c6714df30a798404",
        clip="93a68add22c43cdc03f53f480725da34da843152c22ba02f2ab69ba0eea01519",
        identity="75cdf88f054833c38e80549ebe46c406f366e1fa2447ee99d937ab7dda04cc0a",
    ),
    licence="MIT",
    suggestions=_FACE_PROMPTS,
    chips=_FACE_CHIPS,
    example_folders=("photos", "portraits"),
)

FACES = Domain(
    name="faces",
    title="Photographs of faces (the authors' FFHQ model)",
    note="The authors' model at 1024 px. A graphics card makes it quick.",
    files=_files(generator="", encoder="", adapter="", clip="", identity=""),
    licence="see the authors' repositories: NVIDIA's StyleGAN2 weights are non-commercial",
    suggestions=_FACE_PROMPTS,
    chips=_FACE_CHIPS,
    example_folders=("photos",),
)

DOMAINS: Mapping[str, Domain] = MappingProxyType({d.name: d for d in (PORTRAITS, FACES)})


def get_domain(name: str) -> Domain:
    """The domain of that name.

    Raises DomainError.
    """
    if name not in DOMAINS:
        raise DomainError(f"There is no domain {name!r}; there are: {', '.join(DOMAINS)}.")
    return DOMAINS[name]
