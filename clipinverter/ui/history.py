"""The results of a visit: a strip of them, undo and redo, and a result that becomes the photo."""

import base64
import io
from collections.abc import Callable
from typing import Any

import gradio as gr
from PIL import Image

from clipinverter.ui import api, text, wishing
from clipinverter.ui.pointing import Pointing
from clipinverter.ui.visit import Result, Visit

Update = dict[Any, Any]
SIDE = 112  # pixels of a small picture

STRIP = """
<p class="hint">Your results will be here.</p><div role="list"></div>
"""
STRIP_SCRIPT = """
const list = element.querySelector("[role=list]"), hint = element.querySelector(".hint");
const show = () => {
  const { results = [], at = 0 } = props.value || {};
  hint.hidden = results.length > 0;
  list.replaceChildren(...results.map(({ picture, words, brief }, number) => {
    const item = document.createElement("div"), button = document.createElement("button");
    const image = document.createElement("img"), said = document.createElement("span");
    item.setAttribute("role", "listitem");
    button.type = "button";
    button.title = words;
    if (number === at) button.setAttribute("aria-current", "true");
    image.src = picture;
    image.alt = "";
    said.textContent = brief;
    button.append(image, said);
    button.addEventListener("click", () => trigger("select", { number }));
    item.append(button);
    return item;
  }));
  const now = list.children[at];
  if (now) list.scrollLeft = now.offsetLeft - list.offsetLeft - 60;
};
watch("value", show);
show();
"""


def draw() -> dict[str, object]:
    """Draws the strip and its buttons into the current column."""
    with gr.Column(elem_id="history"):
        strip = gr.HTML(
            None, html_template=STRIP, js_on_load=STRIP_SCRIPT, elem_id="strip", padding=False
        )
        with gr.Row(elem_id="steps"):
            undo = gr.Button("Undo", interactive=False, size="md", min_width=70, elem_id="undo")
            redo = gr.Button("Redo", interactive=False, size="md", min_width=70, elem_id="redo")
            keep = gr.Button(
                "Keep and continue", interactive=False, size="md", min_width=150, elem_id="keep"
            )
    return {"strip": strip, "undo": undo, "redo": redo, "keep": keep}


def widgets(on: Any) -> list[Any]:
    """What `shown` writes."""
    return [on.strip, on.undo, on.redo, on.keep]


def add(on: Any, visit: Visit, opened: api.Opened, got: api.Answer, file: str) -> Update:
    """Takes a result into the history; one that is drawn anew, as after learning, stays where it is."""
    request = opened.request
    key = (opened.inversion.key, request.wishes, request.paste, request.tune, request.detail)
    visit.add(Result(key, request, _small(got.after), file))
    return shown(on, visit)


def shown(on: Any, visit: Visit) -> Update:
    """The strip and its buttons."""
    results = [
        {
            "picture": r.thumbnail,
            "words": text.described(r.request.wishes) or text.UNEDITED,
            "brief": r.request.wishes[-1].prompt if r.request.wishes else text.UNEDITED,
        }
        for r in visit.results
    ]
    last = len(results) - 1
    return {
        on.strip: {"results": results, "at": visit.at},
        on.undo: gr.Button(interactive=visit.at > 0),
        on.redo: gr.Button(interactive=visit.at < last),
        on.keep: gr.Button(interactive=bool(results) and bool(visit.result.request.wishes)),
    }


def connect(on: Any, look_and_learn: Callable[[Any], None]) -> None:
    """Brings the strip and its buttons to life.

    Args:
        look_and_learn: shows the photo and the wishes of the page after an event.
    """
    outputs = [
        *wishing.widgets(on), *widgets(on), on.photo, on.align, on.face, on.pointing, on.paste, on.plain
    ]  # fmt: skip
    options = {
        "queue": False, "preprocess": False, "api_visibility": "private", "show_progress": "hidden",
        "outputs": outputs,
    }  # fmt: skip

    def back_to(visit: Visit, number: int) -> Update:
        if not 0 <= number < len(visit.results):
            return {on.strip: gr.skip()}
        before, visit.at = visit.result.request.picture, number
        request = visit.result.request
        update = shown(on, visit) | wishing.filled(on, wishing.as_rows(request.wishes))
        update |= {on.paste: request.paste, on.plain: not request.tune}
        if request.picture != before:
            visit.begin()
            update |= {
                on.photo: str(request.photo),
                on.align: request.align,
                on.face: request.face,
                on.pointing: Pointing(eyes=request.eyes),
            }
        return update

    def undo(visit: Visit) -> Update:
        return back_to(visit, visit.at - 1)

    def redo(visit: Visit) -> Update:
        return back_to(visit, visit.at + 1)

    def choose(visit: Visit, event: gr.EventData) -> Update:
        return back_to(visit, event.number if isinstance(event.number, int) else -1)

    def keep(visit: Visit) -> Update:
        if not visit.results:
            return {on.strip: gr.skip()}
        result = visit.result
        visit.begin()
        update = wishing.filled(on, [wishing.EMPTY]) | {on.photo: result.file}
        if not result.request.paste:  # the picture is the aligned face
            update |= {on.align: "none", on.face: 0, on.pointing: Pointing()}
        return update

    for event, call in (
        (on.undo.click, undo), (on.redo.click, redo), (on.strip.select, choose), (on.keep.click, keep)
    ):  # fmt: skip
        look_and_learn(event(call, on.visit, **options))


def _small(image: Image.Image) -> str:
    image, buffer = image.copy(), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.convert("RGB").save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
