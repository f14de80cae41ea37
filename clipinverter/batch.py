"""Edits every picture of a folder, shared out over processes, with a manifest of the results.

The manifest, `manifest.jsonl` in the output folder, has a line for each picture. While they work, processes write a
part each; the parts are merged at the end, or at the start of the next run if this one is killed.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from clipinverter.errors import UserError
from clipinverter.photo.faces import turn_of
from clipinverter.photo.folder import check_apart, outputs, printable
from clipinverter.photo.load import find_photos, load_photo
from clipinverter.photo.metadata import METHOD, save_png, sign
from clipinverter.portraits.vocabulary import sentence
from clipinverter.request import Wish, opposite, turned

if TYPE_CHECKING:
    from PIL import Image

    from clipinverter.domains import Domain
    from clipinverter.editor import Editor
    from clipinverter.results import Edit

MANIFEST = "manifest.jsonl"
TRUNCATED = "The prompt is longer than the text model reads, so its end was ignored."
DONE, FAILED, STARTED = "done", "failed", "started"


@dataclass(frozen=True)
class Job:
    """What is asked of every picture; arguments as for `Editor.invert` and `Editor.edit`.

    paste: put the face back into the photo.
    tune, detail: see `Editor.tune`; without tuning there is no detail.
    """

    prompt: str
    strength: float = 1.0
    align: str = "auto"
    face: int = 0
    paste: bool = False
    tune: bool = True
    detail: bool = True


@dataclass(frozen=True)
class Entry:
    """The result of a picture.

    file, output: relative to the folders; error: a sentence where it failed; seconds: of the whole edit.
    """

    file: str
    output: str
    prompt: str
    strength: float
    align: str
    face: int
    paste: bool
    tune: bool
    detail: bool
    method: str
    domain: str
    status: str
    error: str = ""
    seconds: float = 0.0

    @property
    def asked(self) -> tuple[Any, ...]:
        """All that decides what the edit looks like."""
        return tuple(
            asdict(self)[f.name]
            for f in fields(self)
            if f.name not in ("status", "error", "seconds")
        )


@dataclass(frozen=True)
class Result:
    """How many pictures were edited now, had been before, and failed; the same in every process."""

    edited: int
    skipped: int
    failed: int


class Edited(NamedTuple):
    """A picture after the edit, sentences about it for whoever asked, and the edit itself."""

    image: "Image.Image"
    remarks: tuple[str, ...]
    edit: "Edit"


class Processes:
    """This process alone, or those that `accelerate launch` started, when the environment says so."""

    def __init__(self) -> None:
        self.state = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
            # Those that are done first wait for the others, however long these take.
            self.state = PartialState(cpu=cpu, timeout=timedelta(days=30))
        self.index = self.state.process_index if self.state else 0
        self.device = self.state.device if self.state else None

    def wait(self) -> None:
        """Until all are here."""
        if self.state:
            self.state.wait_for_everyone()

    def part(self) -> None:
        """Ends the connection."""
        if self.state:
            self.state.destroy_process_group()

    @contextmanager
    def share(self, items: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """The part of the items that is this process's."""
        if not self.state:
            yield items
            return
        with self.state.split_between_processes(list(items)) as own:
            yield own


def edit_folder(domain: "Domain", folder: Path, out: Path, job: Job) -> Result:
    """Edits all pictures in `folder` and its subfolders into PNG files in `out`.

    Pictures are skipped whose edit by the same job is there. One that can't be edited is noted in the manifest,
    and tried again the next time.

    Raises:
        PhotoError: there is no such folder, or no picture in it.
        FolderError: `out` is `folder` or lies above it, or is a file.
        CheckpointError: the models can't be loaded.
        SaveError, OSError: `out` can't be written.
    """
    folder, out = folder.resolve(), out.resolve()
    check_apart(folder, out)
    pictures = [path for path in find_photos(folder) if out not in path.parents]
    processes = Processes()
    if processes.index == 0:
        out.mkdir(parents=True, exist_ok=True)
        merge(out)
    processes.wait()
    before = read(out / MANIFEST)
    common = asdict(job) | {"method": METHOD, "domain": domain.name, "status": DONE}
    wanted = [
        Entry(path.relative_to(folder).as_posix(), output, **common)
        for path, output in zip(pictures, outputs(folder, pictures), strict=True)
    ]
    todo = [entry for entry in wanted if not _is_done(entry, before, out)]
    with processes.share(todo) as own:
        if own:
            _edit(domain, processes, folder, out, job, own)
    processes.wait()
    if processes.index == 0:
        merge(out)
    processes.wait()
    processes.part()
    after = read(out / MANIFEST)
    failed = sum(after[entry.file].status == FAILED for entry in todo)
    return Result(len(todo) - failed, len(wanted) - len(todo), failed)


def _edit(
    domain: "Domain",
    processes: Processes,
    folder: Path,
    out: Path,
    job: Job,
    entries: Sequence[Entry],
) -> None:
    from clipinverter.editor import Editor
    from clipinverter.weights.load import load_models

    editor = Editor(load_models(domain, processes.device))
    editor.models.text_image  # noqa: B018  every picture needs it: if it is damaged, none is tried
    with (out / f"manifest-{processes.index}.part").open("a", encoding="utf-8") as manifest:
        for entry in entries:
            error = ""
            start = time.perf_counter()
            try:
                edited = edit_photo(editor, folder / entry.file, job)
            except UserError as problem:
                error = str(problem)
            except Exception as problem:  # one picture must not stop thousands
                error = f"This picture could not be edited ({type(problem).__name__}: {problem})."
            if not error:
                path = out / entry.output
                # Noted before: if this is killed in between, nobody takes the file for another job's.
                _note(manifest, replace(entry, status=STARTED))
                path.parent.mkdir(parents=True, exist_ok=True)
                save_png(edited.image, path)
            seconds = round(time.perf_counter() - start, 2)
            entry = replace(entry, status=FAILED if error else DONE, error=error, seconds=seconds)
            _note(manifest, entry)
            said = [error] if error else [entry.status, *edited.remarks]
            print(f"{printable(entry.file)}: {' · '.join(said)}", flush=True)


def edit_photo(editor: "Editor", source: "Path | Image.Image", job: Job) -> Edited:
    """The edited picture, signed, and what there is to say about it.

    Raises what `load_photo`, `Editor.invert` and `Editor.edit` raise.
    """
    photo = load_photo(source)
    inversion = editor.invert(photo, job.align, face=job.face)
    if job.tune and editor.needs_tuning(inversion):
        inversion = editor.tune(inversion, detail=job.detail)
    edit = editor.edit(inversion, job.prompt, job.strength)
    if job.paste:
        edit = editor.paste(photo, edit)
    info = {"method": METHOD, "model": editor.models.domain.name}
    image = sign(edit.image, info | {"prompt": edit.prompt, "strength": edit.strength})
    return Edited(image, tuple(remarks(edit)), edit)


def _line(entry: Entry) -> str:
    """A line of the manifest: as it is read, or with escapes where a file name is odd."""
    line = json.dumps(asdict(entry), ensure_ascii=False)
    return f"{line if printable(line) == line else json.dumps(asdict(entry))}\n"


def _note(manifest: TextIO, entry: Entry) -> None:
    manifest.write(_line(entry))
    manifest.flush()


def _is_done(entry: Entry, before: dict[str, Entry], out: Path) -> bool:
    there = before.get(entry.file)
    if there is None or there.status != DONE:
        return False
    return there.asked == entry.asked and (out / entry.output).is_file()


def read(path: Path) -> dict[str, Entry]:
    """The entries of a manifest by file; the last one of a file counts. A line cut off by a kill is left out."""
    entries = {}
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.split("\n"):  # and not at other separators of lines, which file names may hold
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError):
            continue
        entries[entry.file] = entry
    return entries


def merge(out: Path) -> None:
    """Puts what the processes wrote into the manifest, sorted by file."""
    parts = sorted(out.glob("manifest-*.part"))
    entries = read(out / MANIFEST)
    for part in parts:
        entries |= read(part)
    partial = out / f"{MANIFEST}.partial"
    lines = (_line(entries[file]) for file in sorted(entries))
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(out / MANIFEST)
    for part in parts:
        part.unlink()


def remarks(edit: "Edit") -> list[str]:
    """Sentences for whoever asked on the command line; none where all is as usual."""
    inversion, found = edit.inversion, []
    if len(inversion.faces) > 1:
        last = len(inversion.faces) - 1
        found.append(
            f"There are {last + 1} faces in this picture; number {inversion.face} was edited, where "
            f"0 is the largest. Choose another one by --face, from 0 to {last}."
        )
    if inversion.faces and (degrees := turn_of(inversion.faces[inversion.face])):
        found.append(turned(degrees))
    if said := opposite([Wish(edit.prompt, edit.strength)]):
        found.append(said)
    if edit.truncated:
        found.append(TRUNCATED)
    if edit.unknown_words:
        found.append(sentence(edit.unknown_words))
    return found
