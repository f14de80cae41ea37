"""Converts the authors' files to safetensors, which are mapped into memory instead of unpickled.

Only the parts that an edit needs are kept: the adapter, the generator with its remapper, the encoder
with the average latent, CLIP, and, if there is a file, the identity network. Keys and shapes are compared
with the networks before a part is written.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from clipinverter.domains import Domain
from clipinverter.models.adapter import LEVELS
from clipinverter.models.irse import ArcFace
from clipinverter.models.remapper import PARAMETERS as REMAPPER
from clipinverter.weights.build import build_networks
from clipinverter.weights.check import check_file, check_finite
from clipinverter.weights.files import CheckpointError, save_weights
from clipinverter.weights.published import (
    CLIPInverter,
    kind_of,
    load_arcface,
    load_average,
    load_clip,
    load_clipinverter,
    load_e4e,
    load_stylegan2,
)

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
DRAWS = 10_000  # latents whose mean is the average where no file has it
REQUIRED = ("CLIPInverter", "e4e", "CLIP")  # "ArcFace" is optional


def find(folder: Path, on_skip: Callable[[str], None] = print) -> dict[str, Path]:
    """Kind -> file, for every published file in a folder, whatever its name is.

    A file that can't be used is left out, and `on_skip` called with a sentence that says why.

    Raises:
        CheckpointError: there is no such folder.
    """
    if not folder.is_dir():
        raise CheckpointError(f"There is no folder {folder}. Check the path.")
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
        try:
            check_file(path)
            kind = None if _is_program(path) else kind_of(path)
        except CheckpointError as error:
            on_skip(f"Skipped: {error}")
            continue
        if kind is None:
            on_skip(f"Skipped: {path} holds nothing that is known here.")
        elif kind in found:
            on_skip(f"Skipped: {path} is {kind} like {found[kind].name}, which is taken.")
        else:
            found[kind] = path
    return found


def _is_program(path: Path) -> bool:
    """Whether it is TorchScript, such as OpenAI's own file of CLIP: code, which is never run."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except Exception:  # no archive, or a damaged one
        return False


class _Part(NamedTuple):
    """What is written into one file, and where it came from."""

    source: Path
    weights: Mapping[str, Tensor]
    notes: Mapping[str, str] | None = None


def convert(
    files: Mapping[str, Path],
    domain: Domain,
    half: bool = False,
    on_part: Callable[[str], None] = lambda part: None,
) -> dict[str, str]:
    """Writes the domain's files; returns the sha256 of each by its name.

    Everything is checked before anything is written: keys, shapes, and that numbers are numbers.

    Args:
        files: as `find` gives them. With a CLIPInverter file the domain can edit; with a StyleGAN2
            file in its place it has what the training of adapter and remapper starts from.
        half: store half the bits. The networks still compute in float32.
        on_part: called with the name of each part before it is converted.

    Raises:
        CheckpointError: a file is damaged, of another kind, or does not fit the domain.
    """
    parts = _parts(files, domain)
    for name, part in parts.items():
        check_finite(f"{part.source}: the {name}", part.weights)
    digests = {}
    for name, part in parts.items():
        on_part(name)
        path = domain.folder / f"{name}.safetensors"
        try:
            digests[path.name] = save_weights(path, part.weights, half, part.notes)
        except ValueError as error:
            raise CheckpointError(f"The {name} is {error}. Convert it without --half.") from error
    return digests


def _parts(files: Mapping[str, Path], domain: Domain) -> dict[str, _Part]:
    """What the files give, compared with the networks."""
    with torch.device("meta"):
        generator, encoder, _ = build_networks(domain)
    parts: dict[str, _Part] = {}
    relative = True  # whether codes are relative to the average latent
    if source := files.get("CLIPInverter"):
        loaded = load_clipinverter(source)
        parts |= _editing(source, loaded, domain)
        relative = bool(loaded.opts.get("start_from_latent_avg", True))
    else:
        source = files["StyleGAN2"]
        weights = load_stylegan2(source)
        plain = (key for key in generator.state_dict() if not key.startswith(REMAPPER))
        _check(source, weights, {key: generator.state_dict()[key] for key in plain})
        parts["generator"] = _Part(source, weights)
    source = files["e4e"]
    e4e = load_e4e(source)
    _check(source, e4e.encoder, encoder.state_dict())
    latent_avg = e4e.latent_avg
    if latent_avg is None:
        latent_avg = _average(files, domain, parts["generator"].weights)
    if latent_avg.shape[1] != domain.style_dim:
        raise CheckpointError(
            f"{source}: `latent_avg` has {latent_avg.shape[1]} numbers a row; {domain.name!r} has "
            f"{domain.style_dim}. Use the file that belongs to this generator."
        )
    latent_avg = latent_avg if relative else torch.zeros_like(latent_avg)
    parts["encoder"] = _Part(source, e4e.encoder | {"latent_avg": latent_avg})
    if source := files.get("CLIP"):
        parts["clip"] = _Part(source, load_clip(source))
    if source := files.get("ArcFace"):
        with torch.device("meta"):
            expected = ArcFace().state_dict()
        weights = load_arcface(source)
        _check(source, weights, expected)
        parts["identity"] = _Part(source, weights)
    return parts


def _average(files: Mapping[str, Path], domain: Domain, weights: Mapping[str, Tensor]) -> Tensor:
    """The average latent [rows, style_dim] of another file, or of latents that are drawn by lot."""
    with torch.device("meta"):
        network = build_networks(domain)[0]
    for kind in ("StyleGAN2", "CLIPInverter"):
        if kind in files:
            average = load_average(files[kind], network.n_latent)
            if average is not None:
                return average
    mapping = network.style.to_empty(device="cpu")
    own = {
        k.removeprefix("style."): v.float() for k, v in weights.items() if k.startswith("style.")
    }
    mapping.load_state_dict(own)
    draws = torch.randn(DRAWS, domain.style_dim, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return mapping(draws).mean(0).expand(network.n_latent, -1).clone()


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


def _editing(source: Path, loaded: CLIPInverter, domain: Domain) -> dict[str, _Part]:
    """Adapter and generator of a CLIPInverter file."""
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
    with torch.device("meta"):
        generator, _, adapter = build_networks(domain, levels)
    _check(source, loaded.adapter, adapter.state_dict())
    _check(source, loaded.decoder, generator.state_dict())
    notes = None if set(levels) == set(LEVELS) else {"levels": " ".join(levels)}
    return {
        "adapter": _Part(source, loaded.adapter, notes),
        "generator": _Part(source, loaded.decoder),
    }


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
