"""Downloads the authors' files for the domain `faces` and converts them.

They come from Google Drive and Hugging Face; an interrupted download is resumed. `origin.json` in the
domain's folder records the sha256 of the published and of the converted files.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clipinverter.domains import Domain
from clipinverter.weights.convert import REQUIRED, convert, find
from clipinverter.weights.files import CheckpointError, sha256
from clipinverter.weights.published import kind_of

RECORD = "origin.json"
ROOM = 2**30  # bytes that should stay free


class Source(NamedTuple):
    """A published file: its address, its name here, and its approximate size in bytes."""

    address: str
    name: str
    size: int


DRIVE = "https://drive.google.com/uc?id="
HUB = "https://huggingface.co/timm/vit_base_patch32_clip_224.openai"
SOURCES: Mapping[str, Source] = {
    "CLIPInverter": Source(
        f"{DRIVE}18goTnPtVrz1Tuen3JuDIEwj5z3GvgVqJ", "clipinverter.pt", 2 * 10**8
    ),
    "e4e": Source(f"{DRIVE}1kxYtrg4YQCudxL5f9xmCzOdJRITH5UXB", "e4e.pt", 12 * 10**8),
    "CLIP": Source(HUB, "clip", 6 * 10**8),
}
CONVERTED = 19 * 10**8  # bytes of all files after conversion, in float32


def download(domain: Domain, source: Path | None = None, half: bool = False) -> None:
    """Downloads and converts the files of a domain, and reports its progress on standard output.

    Args:
        source: a folder with published files, under any names; missing ones are downloaded. Nothing
            in it is changed.
        half: see `convert.convert`.

    Raises:
        CheckpointError: with the reason and what to do next. Files that are complete are kept, so that
            the same command continues.
    """
    if domain.name != "faces":
        raise CheckpointError(
            f"There is nothing to download for {domain.name!r}: it comes with the project."
        )
    record = _read_record(domain)
    if source is None and _is_complete(domain, record):
        print(
            f"The model is there already, unchanged. Start it by `make demo DOMAIN={domain.name}`."
        )
        return
    originals = domain.folder / "originals"
    files = find(source) if source else {}
    missing = [kind for kind in REQUIRED if kind not in files]
    _check_room(domain.folder, missing, originals, half)
    originals.mkdir(parents=True, exist_ok=True)
    for number, kind in enumerate(missing, start=1):
        print(f"Downloading {kind} ({number} of {len(missing)})", flush=True)
        files[kind] = _fetch(kind, originals / SOURCES[kind].name)
        _check_kind(kind, files[kind])
    found = {kind: sha256(files[kind]) for kind in REQUIRED}
    for kind, digest in found.items():
        _compare(domain, kind, files[kind], digest, record)

    converted = _convert(files, domain, half)
    record = {"published": found, "converted": converted}
    (domain.folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    shutil.rmtree(originals)  # half of all the space; they can be downloaded again
    print(f"Done. Start the page by `make demo DOMAIN={domain.name}`.")


def _fetch(kind: str, path: Path) -> Path:
    """Downloads one file, or the rest of it; returns its path."""
    try:
        file = _from_hub(path) if kind == "CLIP" else _from_drive(SOURCES[kind].address, path)
    except Exception as error:  # the clients raise many kinds
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise CheckpointError(
                f"The disk is full, at {path}. Make room and run the same command again: "
                "it goes on where it stopped."
            ) from error
        raise _unreachable(kind, error) from error
    if not file.is_file():
        raise _unreachable(kind, FileNotFoundError("nothing came"))
    return file


def _from_drive(address: str, path: Path) -> Path:
    import gdown

    if not path.is_file():  # it appears when it is complete
        gdown.download(address, str(path), resume=True)
    return path


def _from_hub(folder: Path) -> Path:
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    from clipinverter.models.clip import OPENAI

    published = get_pretrained_cfg(OPENAI, "openai")
    return Path(download_pretrained(published, cache_dir=str(folder)))


def _unreachable(kind: str, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return CheckpointError(
        f"{kind} could not be downloaded ({reason}). Check the network and run the same command "
        "again: it goes on where it stopped. Or, since a much wanted file is sometimes closed for a "
        f"day: save {SOURCES[kind].address} by a browser, and add `--from FOLDER`."
    )


def _check_kind(kind: str, path: Path) -> None:
    """Removes a downloaded file of another kind, so that the next run downloads it again."""
    try:
        found = kind_of(path)
    except CheckpointError as error:
        path.unlink(missing_ok=True)
        raise CheckpointError(
            f"{error} The file was removed: run the same command again."
        ) from error
    if found != kind:
        path.unlink()
        raise CheckpointError(
            f"What {SOURCES[kind].address} gave is {found or 'something unknown'}, not {kind}. The "
            "file was removed. If this happens again, save it by a browser and add `--from FOLDER`."
        )


def _compare(
    domain: Domain, kind: str, path: Path, digest: str, record: Mapping[str, Mapping[str, str]]
) -> None:
    known = record.get("published", {}).get(kind)
    if known not in (None, digest):
        raise CheckpointError(
            f"{path} is not the file that was there the first time: its sha256 is {digest}, not "
            f"{known}. If you trust the new one, delete {domain.folder / RECORD} and run the same "
            "command again."
        )


def _convert(files: Mapping[str, Path], domain: Domain, half: bool) -> dict[str, str]:
    try:
        return convert(
            files, domain, half, lambda part: print(f"Converting the {part}", flush=True)
        )
    except OSError as error:
        raise CheckpointError(
            f"The converted files could not be written ({error}). Make room on the disk and run the "
            "same command again; what is downloaded is kept."
        ) from error


def _check_room(folder: Path, missing: list[str], originals: Path, half: bool) -> None:
    there = sum(file.stat().st_size for file in originals.rglob("*") if file.is_file())
    downloads = sum(SOURCES[kind].size for kind in missing)
    needed = max(downloads - there, 0) + CONVERTED // (2 if half else 1) + ROOM
    place = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise CheckpointError(
            f"The disk of {place} has {free / 1e9:.1f} GB free; {needed / 1e9:.1f} GB are needed. "
            "Make room and run the same command again"
            + ("." if half else ", or add `--half`, which needs less.")
        )


def _read_record(domain: Domain) -> dict[str, dict[str, str]]:
    path = domain.folder / RECORD
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged. Delete it and run the same command again."
        ) from error


def _is_complete(domain: Domain, record: Mapping[str, Mapping[str, str]]) -> bool:
    converted = record.get("converted", {})
    files = {name: domain.folder / name for name in converted}
    return bool(files) and all(
        path.is_file() and sha256(path) == converted[name] for name, path in files.items()
    )
