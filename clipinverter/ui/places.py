"""The places of the page: what they share is one photo, its prompt and its strength.

A place draws itself in a tab and names, in its header, the photo and the words that it works on; they
are chosen in the first place, Edit.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
from gradio.data_classes import FileData

from clipinverter.domains import Domain
from clipinverter.errors import UserError
from clipinverter.request import Request
from clipinverter.ui import api, layout, shown, stage, text, wishing
from clipinverter.ui.shown import Update

PRIVATE = {"preprocess": False, "api_visibility": "private", "show_progress": "hidden"}

HEADER = """<div class="header"><img alt="" hidden><p></p><p class="outdated" role="status" hidden></p></div>"""
HEADER_SCRIPT = """
const show = () => {
  const value = props.value || {}, image = element.querySelector("img");
  const [words, old] = element.querySelectorAll("p");
  image.hidden = !value.photo;
  if (value.photo && image.src !== value.photo.url) image.src = value.photo.url;
  words.textContent = value.words || "";
  old.hidden = !value.outdated;
  old.textContent = value.outdated || "";
};
watch("value", show);
show();
"""


class Place(NamedTuple):
    """What a place is given to be drawn and brought to life.

    Attributes:
        on: the widgets of Edit.
        places: the tabs; Edit has the id "edit".
        tab: the place's own.
        ask: runs an edit on Edit after an event, as if somebody had pressed the button.
    """

    on: layout.Widgets
    places: gr.Tabs
    tab: gr.Tab
    ask: Callable[[Any], Any]
    get_editor: api.GetEditor
    domain: Domain


def inputs(on: layout.Widgets) -> set[Any]:
    """The components that say what Edit shows; `shown.requested` reads them."""
    words = wishing.inputs(on)
    return words | {on.photo, on.align, on.pointing, on.face, on.paste, on.plain}


def header(elem_id: str) -> gr.HTML:
    """The line that names photo, prompt and strength; its value is what `told` gives."""
    return gr.HTML(
        None, html_template=HEADER, js_on_load=HEADER_SCRIPT, elem_id=elem_id, padding=False
    )


def requested(on: layout.Widgets, given: Update) -> Request | None:
    """What Edit asks for; None while there is no photo or no prompt."""
    try:
        return shown.requested(on, given)
    except UserError:
        return None


def told(on: layout.Widgets, given: Update, made: Request | None = None) -> dict[str, Any]:
    """What the header says.

    Args:
        made: the request that the place's pictures belong to, if it has any. Where Edit has moved on
            since, the header says so.
    """
    now = requested(on, given)
    if now is None:
        words = text.NO_PHOTO_YET if not given[on.photo] else text.NO_WORDS_YET
        return {"photo": _photo(given[on.photo]), "words": words, "outdated": ""}
    old = made is not None and made != now
    return {
        "photo": _photo(given[on.photo]),
        "words": text.described(now.wishes),
        "outdated": text.OUTDATED if old else "",
    }


def told_of_photo(on: layout.Widgets, given: Update, made: Request | None = None) -> dict[str, Any]:
    """What the header says where the place has prompts of its own; `made` as for `told`."""
    photo = given[on.photo]
    now = requested(on, given | {on.prompt: "any", on.strength: 100})
    old = now is not None and made is not None and made.picture != now.picture
    words = text.ON_THIS_FACE if photo else text.NO_PHOTO_YET
    return {"photo": _photo(photo), "words": words, "outdated": text.OTHER_PHOTO if old else ""}


def picture(component: gr.HTML, image: Any) -> dict[str, Any]:
    """The file of a picture, as a component of `gr.HTML` shows it."""
    return stage.picture_file(component, image)


def _photo(value: Any) -> dict[str, Any] | None:
    """The photo that a component holds, as a file that the page may show."""
    path = value.get("path") if isinstance(value, dict) else value
    return FileData(path=str(path)).model_dump() if isinstance(path, str) and path else None
