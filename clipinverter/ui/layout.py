"""What is on the page, and where; `demo.py` brings it to life.

On a desktop the stage is on the left and the controls are on the right. On a phone the stage stays
at the top while the controls scroll below it.
"""

from typing import NamedTuple

import gradio as gr

from clipinverter.domains import Domain
from clipinverter.ui import history, memory, stage, text, wishing
from clipinverter.ui.pointing import Pointing
from clipinverter.ui.visit import Visit


class Widgets(NamedTuple):
    """The components that events read or write."""

    photo: gr.Image
    upload: gr.UploadButton
    examples: "gr.Examples | None"
    wishes: tuple[wishing.Row, ...]
    prompt: gr.Textbox  # of the first wish
    strength: gr.Slider
    count: gr.State
    add: gr.Button
    surprise: gr.Button
    chips: gr.HTML
    strip: gr.HTML
    undo: gr.Button
    redo: gr.Button
    keep: gr.Button
    align: gr.Radio
    pointing: gr.State
    pick: gr.Image
    face: gr.Radio
    paste: gr.Checkbox
    plain: gr.Checkbox
    result: gr.HTML
    learning: gr.HTML
    stop: gr.Button
    again: gr.Button
    changes: gr.Checkbox
    status: gr.HTML
    download: gr.DownloadButton
    saves: dict[str, gr.Button]
    ready: gr.DownloadButton
    saved: gr.Textbox
    kept: gr.BrowserState
    address: gr.Textbox
    crop: gr.Image
    info: gr.JSON
    visit: gr.State


def draw(domain: Domain) -> Widgets:
    """Draws the place Edit into the current tab; `crop` and `info` are for Inspect to render."""
    drawn: dict[str, object] = {}
    with gr.Row(elem_id="main"):
        with gr.Column(scale=13, min_width=320, elem_id="stage-column"):
            drawn |= _stage()
        with gr.Column(scale=8, min_width=320, elem_id="controls"):
            drawn |= _pointing() | _photo(domain) | wishing.draw(domain) | _saving()
            drawn |= history.draw() | _options(domain)
    drawn |= memory.draw() | _details()
    visit = gr.State(Visit(), delete_callback=Visit.leave)
    return Widgets(**drawn, pointing=gr.State(Pointing()), visit=visit)


def _stage() -> dict[str, object]:
    result = stage.draw(*text.SIDES, empty=text.START, elem_id="result")
    with gr.Row(elem_id="learning-row", equal_height=True):
        learning = gr.HTML(elem_id="learning", padding=False)
        stop = gr.Button("Stop", visible=False, scale=0, min_width=88, elem_id="stop")
        again = gr.Button("Try again", visible=False, scale=0, min_width=110, elem_id="again")
    status = gr.HTML(text.status(text.START), elem_id="status", padding=False)
    return {"result": result, "learning": learning, "stop": stop, "again": again, "status": status}


def _pointing() -> dict[str, object]:
    """First among the controls: what has to be tapped must be in sight."""
    pick = gr.Image(
        label=text.PICK_EYES,
        format="jpeg",
        interactive=False,
        visible=False,
        buttons=[],
        alt_text="The picture, to point at the face",
        elem_id="pick",
    )
    face = gr.Radio([("1", 0)], value=0, label="Which face?", visible=False, elem_id="face")
    return {"pick": pick, "face": face}


def _photo(domain: Domain) -> dict[str, object]:
    """The photo bar: the photo, a button for another one, and the examples."""
    examples = None
    with gr.Row(elem_id="photo-bar"):
        photo = gr.Image(
            type="filepath",
            format="png",
            label="Your photo" if domain.aligned else "Your picture",
            show_label=False,
            sources=["upload", "webcam", "clipboard"],
            buttons=[],
            height=160,
            scale=2,
            min_width=132,
            alt_text="The portrait to edit",
            elem_id="photo",
        )
        with gr.Column(scale=5, min_width=200, elem_id="files"):
            upload = gr.UploadButton(
                "Use your own photo", file_types=["image"], variant="primary", size="md",
                elem_id="upload",
            )  # fmt: skip
            if domain.examples:
                examples = gr.Examples(
                    [[str(path)] for path in domain.examples],
                    inputs=photo,
                    label="Examples",
                    cache_examples=False,
                    examples_per_page=24,
                    elem_id="examples",
                    api_visibility="private",
                )
    return {"photo": photo, "upload": upload, "examples": examples}


def _saving() -> dict[str, object]:
    with gr.Row(elem_id="saving"):
        download = gr.DownloadButton(
            "Download", interactive=False, size="md", min_width=100, elem_id="download"
        )
        saves = {
            name: gr.Button(
                label, interactive=False, size="md", min_width=60, elem_id=f"save-{name}"
            )
            for name, label in (("pair", "Before + after"), ("gif", "GIF"), ("mp4", "MP4"))
        }
        ready = gr.DownloadButton("Ready", visible="hidden", elem_id="ready")
    saved = gr.Textbox(visible=False)
    return {"download": download, "saves": saves, "ready": ready, "saved": saved}


def _options(domain: Domain) -> dict[str, object]:
    align = gr.Radio(
        [("Find it", "auto"), ("I’ll show it", "eyes"), ("Already cropped", "none")],
        value="auto",
        label="Where is the face?",
        visible=domain.aligned,
        elem_id="align",
    )
    paste = gr.Checkbox(
        label="Put the face back into the whole picture",
        value=False,
        visible=domain.aligned,
        elem_id="paste",
    )
    plain = gr.Checkbox(
        label="Plain model (as published)",
        info="A look-alike from one pass, without learning your photo",
        value=False,
        elem_id="plain",
    )
    changes = gr.Checkbox(
        label="Show what changed",
        info="Bright where the edit differs from your photo",
        value=False,
        elem_id="changes",
    )
    return {"align": align, "paste": paste, "plain": plain, "changes": changes}


def head(domain: Domain) -> None:
    """Draws the name of the page and what it is for."""
    with gr.Row(elem_id="top"):
        gr.HTML("<h1>CLIPInverter</h1>", elem_id="head", padding=False)
        gr.Markdown(text.INTRO if domain.aligned else text.INTRO_WITHOUT_FACES, elem_id="intro")


def about(domain: Domain) -> None:
    """Draws the footer: what happens to pictures, what to expect of the model, how it works."""
    with gr.Accordion("About", open=False, elem_id="about"):
        gr.Markdown(domain.note)
        gr.Markdown(text.PRIVACY)
        gr.Markdown(text.HOW_IT_WORKS)


def _details() -> dict[str, object]:
    crop = gr.Image(
        label="What the encoder sees",
        format="png",
        interactive=False,
        height=260,
        buttons=[],
        alt_text="The aligned cut-out of the picture",
        min_width=260,
        render=False,
    )
    info = gr.JSON(label="Stages and times (ms)", min_width=260, render=False)
    return {"crop": crop, "info": info}
