"""The page: `create_demo` connects what is drawn in `layout.py` with the answers of `api.py`."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from clipinverter.domains import Domain
from clipinverter.ui import api, layout, style, text

if TYPE_CHECKING:
    from clipinverter.editor import Editor

# Whatever computes shares this queue: one run at a time, in order of arrival.
QUEUE = {"concurrency_id": "compute", "concurrency_limit": 1}
MAX_WAITING = 64
DELETE_EVERY, DELETE_AFTER = 15 * 60, 60 * 60  # seconds
PROGRESS = gr.Progress()
STEPS = 9  # of a first edit


def create_demo(get_editor: "Callable[[], Editor]", domain: Domain) -> gr.Blocks:
    """Builds the page and the endpoint `/edit`.

    Args:
        get_editor: called for every request; may block until the models are loaded.
        domain: the editor's; the page can be built from it before the models are loaded.
    """
    with gr.Blocks(
        title="CLIPInverter", analytics_enabled=False, delete_cache=(DELETE_EVERY, DELETE_AFTER)
    ) as demo:
        widgets = layout.draw(domain)
        _connect_page(widgets, get_editor)
        _connect_endpoint(widgets, get_editor)
        if domain.examples:  # so that the first thing to see is an edit
            demo.load(
                lambda: (str(domain.examples[0]), domain.suggestions[0]),
                outputs=[widgets.photo, widgets.prompt],
                queue=False,
                api_visibility="private",
            )
    return demo.queue(max_size=MAX_WAITING)


def _connect_page(on: layout.Widgets, get_editor: "Callable[[], Editor]") -> None:
    def show(
        photo: Any, prompt: str | None, strength: Any, align: Any, progress: gr.Progress = PROGRESS
    ) -> dict[Any, Any]:
        done = 0

        def on_step(name: str) -> None:
            nonlocal done
            progress((done, STEPS), desc=text.stage_name(name))
            done += 1

        try:
            got = api.answer(get_editor, photo, prompt, strength, align, on_step)
        except api.Refusal as refusal:
            # A warning and not an error: what is on the page stays there.
            gr.Warning(str(refusal), duration=6, title="Not done")
            return {on.status: text.status(str(refusal), failed=True)}
        path = _save(got, on.download.GRADIO_CACHE)
        return {
            on.result: (got.before, path),
            on.status: text.status(text.describe_result(got.info), text.notes(got.info)),
            on.info: got.info,
            on.crop: got.crop,
            on.download: gr.DownloadButton(value=path, interactive=True),
        }

    def arrive(
        photo: Any, prompt: Any, strength: Any, align: Any, progress: gr.Progress = PROGRESS
    ) -> dict[Any, Any]:
        """A picture that is new is shown even without a prompt, as the model draws it."""
        if not photo:
            return {on.status: text.status(text.START)}
        return show(photo, (prompt or "").strip() or None, strength, align, progress)

    common = QUEUE | {
        "inputs": [on.photo, on.prompt, on.strength, on.align],
        "outputs": [on.result, on.status, on.info, on.crop, on.download],
        "preprocess": False,
        "api_visibility": "private",
        "trigger_mode": "always_last",
        "show_progress_on": on.status,
    }
    gr.on([on.prompt.submit, on.strength.release], show, **common)
    gr.on([on.photo.change, on.align.change], arrive, **common)
    fill = on.chips.click(
        lambda sample: sample[0], on.chips, on.prompt, queue=False, api_visibility="private"
    )
    fill.then(show, **common)


def _connect_endpoint(on: layout.Widgets, get_editor: "Callable[[], Editor]") -> None:
    """The same answers for programs: files instead of a page."""

    def edit(image: Any, prompt: Any, strength: Any = 1.0, align: Any = "auto") -> tuple:
        try:
            got = api.answer(get_editor, image, prompt or "", strength, align)
        except api.Refusal as refusal:
            raise gr.Error(str(refusal), print_exception=False) from None
        return got.before, got.after, got.info

    gr.Button(visible=False).click(
        edit,
        [on.photo, on.prompt, on.strength, on.align],
        [
            gr.Image(label="before", format="png", visible=False),
            gr.Image(label="after", format="png", visible=False),
            gr.JSON(label="info", visible=False),
        ],
        preprocess=False,
        api_name="edit",
        api_description=text.ENDPOINT,
        **QUEUE,
    )


def _save(answer: api.Answer, cache: str) -> str:
    """Writes the picture after the edit where the framework serves it and deletes it later."""
    folder = Path(cache) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    path = str(folder / "clipinverter.png")
    api.save_png(answer.after, path)
    return path


def launch_options() -> dict[str, Any]:
    """How the page is served: nothing leaves the machine, nothing about visitors is kept.

    A hosting service may set PORT; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT work as documented.
    """
    options: dict[str, Any] = {
        "theme": style.theme(),
        "css": style.CSS,
        "js": style.SCRIPT,
        "max_file_size": "20mb",
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": ["api"],
        "show_error": False,
    }
    if port := os.environ.get("PORT"):
        options["server_port"] = int(port)
    return options
