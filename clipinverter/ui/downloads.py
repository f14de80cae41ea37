"""What can be saved beside the picture: before and after in one, and the edit growing as a film."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from clipinverter.errors import UserError
from clipinverter.photo.metadata import save_png, sign
from clipinverter.request import Wish
from clipinverter.ui import api, shown, text
from clipinverter.ui.shown import Update

STEPS = 12  # pictures from the photo to the edit
SIDE = 512  # pixels of a film's longer side, at most
PROGRESS = gr.Progress()
# The framework downloads what a button holds, so a hidden one is pressed when the file is there.
PRESS = """(name) => { if (name) requestAnimationFrame(() => setTimeout(() => {
  document.querySelector("#ready")?.click(); }, 50)); }"""


def connect(on: Any, get_editor: api.GetEditor, inputs: set[Any], **queue: Any) -> None:
    """Brings the buttons to life."""

    def save(kind: str) -> Callable[..., Update]:
        def write(given: Update, progress: gr.Progress = PROGRESS) -> Update:
            try:
                with api.refusals():
                    path = _write(on, get_editor, given, kind, progress)
            except UserError as error:
                gr.Warning(str(error), duration=6, title="Not saved")
                return {on.saved: ""}
            return {on.ready: gr.DownloadButton(value=path), on.saved: secrets.token_hex(4)}

        return write

    for kind, button in on.saves.items():
        button.click(
            save(kind), inputs, [on.ready, on.saved], preprocess=False, api_visibility="private",
            show_progress_on=on.status, **queue,
        ).then(None, on.saved, None, js=PRESS, api_visibility="private")  # fmt: skip


def _write(
    on: Any, get_editor: api.GetEditor, given: Update, kind: str, progress: gr.Progress
) -> str:
    request = shown.requested(on, given)
    opened = api.open_request(get_editor, request)
    inversion = opened.learned or opened.inversion
    got = api.answer(opened, inversion)
    folder = Path(on.download.GRADIO_CACHE) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    name = Path(text.file_name(got.info)).stem
    path = folder / (f"{name}-before-after.png" if kind == "pair" else f"{name}.{kind}")
    on.ready.temp_files.add(str(path))  # deleted in time even if its reader has left
    from clipinverter.photo.film import save_gif, save_mp4, side_by_side, there_and_back

    if kind == "pair":
        before = got.before if request.paste else got.crop
        save_png(sign(side_by_side(before, got.after), got.info), path)
        return str(path)
    pictures = []
    for step in range(STEPS + 1):
        progress((step, STEPS + 1), desc=text.FILMING)
        part = [Wish(w.prompt, w.strength * step / STEPS) for w in request.wishes]
        drawn = api.answer(replace(opened, request=replace(request, wishes=tuple(part))), inversion)
        pictures.append(_fitted(drawn.after))
    film = there_and_back(pictures)
    (save_gif if kind == "gif" else save_mp4)(film, path)
    return str(path)


def _fitted(image: Image.Image) -> Image.Image:
    image = image.convert("RGB").copy()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image
