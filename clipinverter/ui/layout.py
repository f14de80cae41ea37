"""What is on the page, and where; `demo.py` brings it to life."""

from typing import NamedTuple

import gradio as gr

from clipinverter.domains import Domain
from clipinverter.request import MAX_STRENGTH
from clipinverter.ui import text
from clipinverter.ui.pointing import Pointing


class Widgets(NamedTuple):
    """The components that events read or write."""

    photo: gr.Image
    prompt: gr.Textbox
    chips: gr.Dataset
    align: gr.Radio
    pointing: gr.State
    pick: gr.Image
    face: gr.Radio
    paste: gr.Checkbox
    result: gr.ImageSlider
    strength: gr.Slider
    status: gr.HTML
    download: gr.DownloadButton
    crop: gr.Image
    info: gr.JSON


def draw(domain: Domain) -> Widgets:
    """Draws the page into the current `gr.Blocks`. On a phone the two columns become one."""
    intro = text.INTRO if domain.aligned else text.INTRO_WITHOUT_FACES
    gr.HTML(f"<h1>CLIPInverter</h1><p>{intro}</p>", elem_id="head", padding=False)
    with gr.Row(elem_id="main"):
        with gr.Column(scale=4, min_width=320):
            photo = gr.Image(
                type="filepath",
                format="png",
                label="Portrait" if domain.aligned else "Picture",
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
                label="How should the person look?" if domain.aligned else "How should it look?",
                placeholder=domain.suggestions[0] if domain.suggestions else "",
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
                [
                    ("Find it", "auto"),
                    ("I’ll show it", "eyes"),
                    ("It is cut out already", "none"),
                ],
                value="auto",
                label="Where is the face?",
                visible=domain.aligned,
                elem_id="align",
            )
            pointing = gr.State(Pointing())
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
            paste = gr.Checkbox(
                label="Put the face back into the whole picture",
                value=False,
                visible=domain.aligned,
                elem_id="paste",
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
    return Widgets(
        photo, prompt, chips, align, pointing, pick, face, paste,
        result, strength, status, download, crop, info,
    )  # fmt: skip
