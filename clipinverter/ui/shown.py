"""What the page shows of an answer or a refusal, as updates of its components."""

import base64
import io
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from clipinverter.errors import UserError
from clipinverter.photo.align import NoFaceError
from clipinverter.photo.load import PhotoError, load_photo
from clipinverter.photo.metadata import save_png
from clipinverter.request import Request
from clipinverter.ui import api, history, layout, stage, text, wishing
from clipinverter.ui.pointing import Point, Pointing, to_tap
from clipinverter.ui.receive import DEFAULTS, receive
from clipinverter.ui.understood import chips
from clipinverter.ui.uploads import UploadError, path_of
from clipinverter.ui.visit import Visit

Update = dict[Any, Any]
PREVIEW = 192  # pixels of the small picture while a face is learned


def requested(on: layout.Widgets, given: Update) -> Request:
    """The request that the page's inputs describe; without any words, for the unedited photo. Raises UserError."""
    own = not given[on.plain]
    values = DEFAULTS._replace(
        image=given[on.photo], align=given[on.align], paste=given[on.paste], face=given[on.face],
        tune=own, detail=own,
    )  # fmt: skip
    return receive(values, given[on.pointing].eyes, wishing.wishes(on, given))


def pictures(
    on: layout.Widgets, request: Request, got: api.Answer, *, slowly: bool = False
) -> Update:
    """The pair on the stage, and what is said of it: enough while the strength slider moves."""
    before = got.before if request.paste else got.crop
    return {
        on.result: stage.pair(
            on.result, before, got.after, slowly=slowly, caption=text.described(request.wishes)
        ),
        on.status: text.status(
            text.describe_result(got.info), text.notes(got.info), chips=chips(got.info)
        ),
    }


def answer(
    on: layout.Widgets, visit: Visit, opened: api.Opened, got: api.Answer, *, slowly: bool = False
) -> Update:
    """All that an answer changes on the page."""
    folder = Path(on.download.GRADIO_CACHE) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    path = str(folder / text.file_name(got.info))
    on.download.temp_files.add(path)  # deleted in time even if its reader has left
    save_png(got.after, path)
    kept = history.add(on, visit, opened, got, path)
    return (
        pictures(on, opened.request, got, slowly=slowly)
        | kept
        | downloads(on, path)
        | {
            on.info: got.info,
            on.crop: got.crop,
        }
    )


def downloads(on: layout.Widgets, path: str | None = None) -> Update:
    """The buttons that save: for a result in a file, or off."""
    active = path is not None
    saves = {button: gr.Button(interactive=active) for button in on.saves.values()}
    return saves | {on.download: gr.DownloadButton(value=path, interactive=active)}


def refusal(on: layout.Widgets, given: Update, error: UserError) -> Update:
    """Says why not. What is on the page stays, and is dimmed if it shows an earlier photo."""
    notes, changed = [], {}
    if isinstance(error, NoFaceError):
        notes = [text.TAP_INSTEAD]
        changed = ask_for_eyes(on, load_photo(path_of(given[on.photo])))
    stale = isinstance(error, PhotoError | UploadError)
    if stale:
        changed |= downloads(on)
    return {on.status: text.status(str(error), notes, failed=True, stale=stale), **changed}


def ask_for_eyes(on: layout.Widgets, photo: Image.Image, eyes: Sequence[Point] = ()) -> Update:
    """The photo, to tap the two eyes."""
    image, pointing = to_tap(photo, eyes)
    return {
        on.pointing: pointing,
        on.pick: gr.Image(image, visible=True, label=text.PICK_EYES),
        on.face: gr.Radio(numbers(1), value=0, visible=False),
    }


def nothing_to_point_at(on: layout.Widgets) -> Update:
    """Hides what `ask_for_eyes` or a choice of faces showed."""
    return {
        on.pointing: Pointing(),
        on.pick: gr.Image(None, visible=False),
        on.face: gr.Radio(numbers(1), value=0, visible=False),
    }


def learning(
    on: layout.Widgets,
    line: str,
    progress: float | None = None,
    preview: Image.Image | None = None,
    *,
    stop: bool = False,
    again: bool = False,
) -> Update:
    """How learning the face is going, and which of its buttons there are."""
    return {
        on.learning: text.learning(line, progress, _inline(preview) if preview else ""),
        on.stop: gr.Button(visible=stop),
        on.again: gr.Button(visible=again),
    }


def numbers(count: int) -> list[tuple[str, int]]:
    """The choices of faces, counted from 1 for people."""
    return [(str(number + 1), number) for number in range(count)]


def _inline(image: Image.Image) -> str:
    image, buffer = image.copy(), io.BytesIO()
    image.thumbnail((PREVIEW, PREVIEW))
    image.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
