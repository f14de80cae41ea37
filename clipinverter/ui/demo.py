"""The page: layout and events. What happens on an event is in `api.py`, the words in `text.py`."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from clipinverter.domains import Domain
from clipinverter.request import MAX_STRENGTH
from clipinverter.ui import api, style, text

if TYPE_CHECKING:
    from clipinverter.editor import Editor

# Whatever computes shares this queue: one run at a time, in order of arrival.
QUEUE = {"concurrency_id": "compute", "concurrency_limit": 1}
DELETE_EVERY, DELETE_AFTER = 15 * 60, 60 * 60  # seconds
STAGES_OF_A_FIRST_EDIT = 9


def create_demo(get_editor: "Callable[[], Editor]", domain: Domain) -> gr.Blocks:
    """Builds the page and the endpoint `/edit`.

    Args:
        get_editor: called for every request; may block until the models are loaded.
        domain: the editor's; a page can be built from it before the models are loaded.
    """
    with gr.Blocks(
        title="CLIPInverter",
        analytics_enabled=False,
        delete_cache=(DELETE_EVERY, DELETE_AFTER),
    ) as demo:
        gr.HTML(f"<h1>CLIPInverter</h1><p>{text.INTRO}</p>", elem_id="head", padding=False)
        with gr.Row(elem_id="main"):
            with gr.Column(scale=4, min_width=320):
                photo = gr.Image(
                    type="filepath",
                    format="png",
                    label="Portrait",
                    sources=["upload", "webcam", "clipboard"],
                    buttons=[],
                    height=260,
                    alt_text="The portrait to edit",
                    elem_id="photo",
                )
                if domain.examples:
                    gr.Examples(
                        [[str(path)] for path in domain.examples],
                        inputs=photo,
                        label="Examples",
                        cache_examples=False,
                        elem_id="examples",
                        api_visibility="private",
                    )
                prompt = gr.Textbox(
                    label="How should the person look?",
                    placeholder="a smiling woman with long red hair",
                    submit_btn="Edit",
                    lines=1,
                    max_lines=4,
                    elem_id="prompt",
                )
                chips = gr.Dataset(
                    components=[gr.Textbox(visible=False)],
                    samples=[[suggestion] for suggestion in domain.suggestions],
                    label="Suggestions",
                    elem_id="chips",
                )
                align = gr.Radio(
                    [("Find it", "auto"), ("It is cut out already", "none")],
                    value="auto",
                    label="Where is the face?",
                    elem_id="align",
                )
            with gr.Column(scale=5, min_width=320):
                result = gr.ImageSlider(
                    label="Before and after",
                    format="png",
                    type="pil",
                    interactive=False,
                    buttons=["fullscreen"],
                    max_height=520,
                    elem_id="result",
                )
                strength = gr.Slider(
                    0,
                    MAX_STRENGTH,
                    value=1,
                    step=0.05,
                    label="Strength",
                    info="0: as the model draws the picture · 1: the published method",
                    elem_id="strength",
                )
                status = gr.HTML(text.status(text.START), elem_id="status", padding=False)
                download = gr.DownloadButton("Download the picture", interactive=False, size="md")
        gr.Markdown(f"{domain.note} {text.PRIVACY}", elem_id="note")
        with gr.Accordion("Details", open=False, elem_id="details"):
            with gr.Row():
                crop = gr.Image(
                    label="What the encoder sees",
                    format="png",
                    interactive=False,
                    height=260,
                    buttons=[],
                    alt_text="The aligned cut-out of the picture",
                    min_width=260,
                )
                info = gr.JSON(label="Stages and times (ms)", min_width=260)
            gr.Markdown(text.HOW_IT_WORKS)

        outputs = [result, status, info, crop, download]

        def show(
            photo: Any, prompt: str | None, strength: float, align: str, progress: gr.Progress
        ) -> dict[Any, Any]:
            done = 0

            def on_step(name: str) -> None:
                nonlocal done
                progress((done, STAGES_OF_A_FIRST_EDIT), desc=text.stage_name(name))
                done += 1

            try:
                got = api.answer(get_editor, photo, prompt, strength, align, on_step)
            except api.Refusal as refusal:
                gr.Warning(str(refusal))
                return {status: text.status(str(refusal), failed=True)}
            notes = [text.describe_run(got.info)]
            if got.info.get("truncated"):
                notes.append(text.TRUNCATED)
            folder = Path(download.GRADIO_CACHE) / secrets.token_hex(16)
            folder.mkdir(parents=True)
            path = str(folder / "clipinverter.png")
            api.save_png(got.after, path)
            return {
                result: (got.before, path),
                status: text.status(text.describe_result(got.info), notes),
                info: got.info,
                crop: got.crop,
                download: gr.DownloadButton(value=path, interactive=True),
            }

        def run(
            photo: Any, prompt: str, strength: float, align: str, progress: gr.Progress = NO_STEPS
        ) -> dict[Any, Any]:
            return show(photo, prompt, strength, align, progress)

        def arrive(
            photo: Any, prompt: str, strength: float, align: str, progress: gr.Progress = NO_STEPS
        ) -> dict[Any, Any]:
            if not photo:
                return {status: text.status(text.START)}
            return show(photo, prompt.strip() or None, strength, align, progress)

        def edit(image: Any, prompt: str, strength: float = 1.0, align: str = "auto") -> tuple:
            try:
                got = api.answer(get_editor, image, prompt, strength, align)
            except api.Refusal as refusal:
                raise gr.Error(str(refusal), print_exception=False) from None
            return got.before, got.after, got.info

        inputs = [photo, prompt, strength, align]
        common = QUEUE | {
            "inputs": inputs,
            "outputs": outputs,
            "preprocess": False,
            "api_visibility": "private",
            "trigger_mode": "always_last",
            "show_progress_on": result,
        }
        gr.on([prompt.submit, strength.release], run, **common)
        gr.on([photo.change, align.change], arrive, **common)
        chips.click(
            lambda sample: sample[0], chips, prompt, queue=False, api_visibility="private"
        ).then(run, **common)

        if domain.examples:  # so that the first thing to see is an edit
            demo.load(
                lambda: (str(domain.examples[0]), domain.suggestions[0]),
                outputs=[photo, prompt],
                queue=False,
                api_visibility="private",
            )

        # The public endpoint: the same function, with files instead of a page as its result.
        endpoint = gr.Button(visible=False)
        before = gr.Image(label="before", format="png", visible=False)
        after = gr.Image(label="after", format="png", visible=False)
        report = gr.JSON(label="info", visible=False)
        endpoint.click(
            edit,
            inputs,
            [before, after, report],
            preprocess=False,
            api_name="edit",
            api_description=text.ENDPOINT,
            **QUEUE,
        )
    return demo.queue(max_size=64)


NO_STEPS = gr.Progress()


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
