"""Converts the authors' files to safetensors, which are mapped into memory instead of unpickled.

Only the parts that an edit needs are kept: the adapter, the generator with its remapper, the encoder
with the average latent, CLIP, and, if there is a file, the identity network. Keys and shapes are compared
with the networks before a part is written.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.adapter import LEVELS, Adapter
from clipinverter.models.irse import ArcFace
from clipinverter.models.remapper import PARAMETERS as REMAPPER
from clipinverter.weights.build import build_networks
from clipinverter.weights.files import (
    CheckpointError,
    CLIPInverter,
    kind_of,
    load_arcface,
    load_clip,
    load_clipinverter,
    load_e4e,
    load_stylegan2,
    save_weights,
)

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
REQUIRED = ("CLIPInverter", "e4e", "CLIP")  # "ArcFace" is optional


def find(folder: Path) -> dict[str, Path]:
    """Kind -> file, for every published file in a folder, under any name.

    Raises:
        CheckpointError: there is no such folder, or a file of weights in it can't be read.
    """
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}. Check the path.")
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    kinds = {path: kind_of(path) for path in files if not _is_program(path)}
    return {kind: path for path, kind in reversed(kinds.items()) if kind}


def _is_program(path: Path) -> bool:
    """Whether a file is TorchScript, such as OpenAI's own CLIP: it contains code, which is never run."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def convert(
    files: Mapping[str, Path],
    domain: Domain,
    half: bool = False,
    on_part: Callable[[str], None] = lambda part: None,
) -> dict[str, str]:
    """Writes the domain's files; returns the sha256 of each by its name.

    Args:
        files: from `find`. With a CLIPInverter file the domain can edit; with a StyleGAN2 file
            instead, adapter and remapper can be trained.
        half: store in fp16. The networks still compute in float32.
        on_part: called with the name of each part before it is converted.

    Raises:
        CheckpointError: a file is damaged, of another kind, or does not fit the domain.
    """
    with torch.device("meta"):
        generator, encoder, _ = build_networks(domain)
    digests = {}

    def write(part: str, weights: Mapping[str, Tensor]) -> None:
        path = domain.folder / f"{part}.safetensors"
        try:
            digests[path.name] = save_weights(path, weights, half)
        except ValueError as error:
            raise CheckpointError(f"The {part} is {error}. Convert it without --half.") from error

    relative = True  # whether codes are relative to the average latent
    if "CLIPInverter" in files:
        relative = _convert_clipinverter(files["CLIPInverter"], domain, write, on_part)
    else:
        on_part("generator")
        weights = load_stylegan2(files["StyleGAN2"])
        plain = (key for key in generator.state_dict() if not key.startswith(REMAPPER))
        _check(files["StyleGAN2"], weights, {key: generator.state_dict()[key] for key in plain})
        write("generator", weights)

    on_part("encoder")
    e4e = load_e4e(files["e4e"])
    _check(files["e4e"], e4e.encoder, encoder.state_dict())
    latent_avg = e4e.latent_avg if relative else torch.zeros_like(e4e.latent_avg)
    write("encoder", e4e.encoder | {"latent_avg": latent_avg})
    del e4e

    if "CLIP" in files:
        on_part("clip")
        write("clip", load_clip(files["CLIP"]))
    if "ArcFace" in files:
        on_part("identity")
        with torch.device("meta"):
            expected = ArcFace().state_dict()
        weights = load_arcface(files["ArcFace"])
        _check(files["ArcFace"], weights, expected)
        write("identity", weights)
    return digests


def convert_own(folder: Path, domain: Domain, on_part: Callable[[str], None]) -> None:
    """Converts the files in a folder that the training of a new domain starts from.

    Raises:
        CheckpointError: as for `find` and `convert`, or a file is missing.
    """
    files = find(folder)
    files.pop("CLIPInverter", None)
    needed = ["StyleGAN2", "e4e"]
    needed += [] if (domain.folder / "clip.safetensors").is_file() else ["CLIP"]
    missing = [kind for kind in needed if kind not in files]
    if missing:
        raise CheckpointError(
            f"{folder} has no file of {' and none of '.join(missing)}. docs/your-own-data.md says "
            "what a domain needs."
        )
    convert(files, domain, on_part=on_part)


def _convert_clipinverter(
    source: Path,
    domain: Domain,
    write: Callable[[str, Mapping[str, Tensor]], None],
    on_part: Callable[[str], None],
) -> bool:
    """Writes adapter and generator; returns whether codes are relative to the average latent."""
    on_part("adapter")
    with torch.device("meta"):
        generator, _, adapter = build_networks(domain)
    loaded = load_clipinverter(source)
    size = loaded.opts.get("stylegan_size", domain.image_size)
    if size != domain.image_size:
        raise CheckpointError(
            f"{source} is for pictures of {size} px; {domain.name!r} has {domain.image_size} px."
        )
    if not loaded.has_remapper:
        raise CheckpointError(
            f"{source} is of training stage one and has no remapper. "
            "Use the file of stage two, which is the one that the authors publish."
        )
    levels = _levels(source, loaded)
    if set(levels) != set(LEVELS):
        with torch.device("meta"):
            adapter = Adapter(domain.encoder_widths, domain.text_dim, levels)
    _check(source, loaded.adapter, adapter.state_dict())
    _check(source, loaded.decoder, generator.state_dict())
    write("adapter", loaded.adapter)
    on_part("generator")
    write("generator", loaded.decoder)
    return bool(loaded.opts.get("start_from_latent_avg", True))


def _levels(path: Path, loaded: CLIPInverter) -> Collection[str]:
    """The levels of the adapter that the options do not switch off; the others have no weights."""
    levels = [level for level in LEVELS if not loaded.opts.get(f"no_{level}_mapper", False)]
    there = {key.split("_mapping.")[0] for key in loaded.adapter}
    if there != set(levels):
        raise CheckpointError(
            f"{path}: its options ask for the levels {', '.join(levels) or 'none'} of the adapter, "
            f"but it has {', '.join(sorted(there))}. Use the file that the authors publish."
        )
    return levels


def _check(path: Path, weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError unless keys and shapes are those of the network."""
    odd = sorted(weights.keys() ^ expected.keys())
    odd += [key for key in expected if not odd and weights[key].shape != expected[key].shape]
    if odd:
        raise CheckpointError(
            f"{path} does not fit the network, at `{odd[0]}`. Use the file that the authors publish."
        )
