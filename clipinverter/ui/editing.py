"""Editing on the page: a photo, a face in it, words and a strength become pictures on the stage."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from clipinverter.domains import Domain
from clipinverter.errors import UserError
from clipinverter.photo.load import load_photo
from clipinverter.request import check_prompt
from clipinverter.ui import (
    api,
    downloads,
    history,
    layout,
    learning,
    memory,
    shown,
    stage,
    text,
    wishing,
)
from clipinverter.ui.pointing import Pointing, numbered
from clipinverter.ui.previews import streamed
from clipinverter.ui.shown import Update
from clipinverter.ui.uploads import path_of

# Whatever computes shares this queue: one run at a time, in order of arrival.
QUEUE = {"concurrency_id": "compute", "concurrency_limit": 1}
PROGRESS = gr.Progress()
STEPS = 10  # of a first edit
PREVIEWS_ABOVE = 512  # pixels; smaller pictures are there at once
CHANGES = """(on) => document.querySelector("#result .frame").classList.toggle("changes", on)"""


def connect(
    on: layout.Widgets, get_editor: api.GetEditor, domain: Domain, arrivals: Sequence[Any]
) -> Callable[[Any], Any]:
    """Brings photo, words and strength to life.

    Args:
        arrivals: events after which `on.photo` holds another photo, beside those of its own.

    Returns:
        What runs an edit after an event, as if somebody had asked for it.
    """
    examples = memory.digests(domain)

    def take(file: Any) -> Any:
        try:
            return str(path_of(file))
        except UserError as error:
            gr.Warning(str(error), duration=6, title="Not done")
            return gr.skip()

    def show(given: Update, progress: gr.Progress = PROGRESS) -> Update:
        changed = _respond(on, get_editor, given, _steps(progress))
        return changed | memory.keep(on, given, examples)

    def show_early(given: Update, progress: gr.Progress = PROGRESS) -> Iterator[Update]:
        """The same with the preview first."""
        yield from streamed(lambda give: _respond(on, get_editor, given, _steps(progress), give))
        yield memory.keep(on, given, examples)

    def live(given: Update) -> Update:
        """While the slider moves: the picture alone. What can't be shown waits for the release."""
        if given[on.paste] or not given[on.photo] or not wishing.wishes(on, given):
            return {on.status: gr.skip()}
        try:
            with api.refusals():
                request = shown.requested(on, given)
                if request == given[on.visit].drawn:
                    return {on.status: gr.skip()}
                given[on.visit].asked = request
                opened = api.open_request(get_editor, request)
                got = api.answer(opened, opened.learned or opened.inversion)
                given[on.visit].drawn = request
                return shown.pictures(on, request, got)
        except UserError:
            return {on.status: gr.skip()}

    def look(given: Update, progress: gr.Progress = PROGRESS) -> Update:
        changed = _look(on, get_editor, given, _steps(progress))
        return changed | memory.keep(on, given, examples)

    def tap(given: Update, event: gr.SelectData, progress: gr.Progress = PROGRESS) -> Update:
        x, y = event.index
        pointing, changed = given[on.pointing], {}
        if pointing.boxes:
            given = given | {on.face: pointing.face_at(x, y)}
        else:
            changed = {on.align: "eyes"}
            given = given | changed | {on.pointing: pointing.tapped(x, y)}
        given[on.visit].begin()
        return changed | _look(on, get_editor, given, _steps(progress))

    def begin(given: Update) -> Update:
        """Before the queue: another photo is here, so what is on the stage is an earlier one."""
        given[on.visit].begin()
        line = text.LOOKING if given[on.photo] else text.START
        changed = {on.align: "auto"} if given[on.align] == "eyes" else {}
        return changed | {
            on.status: text.status(line, stale=True),
            **shown.downloads(on),
            on.face: 0,
            on.pointing: Pointing(),
            **shown.learning(on, ""),
        }

    def begin_again(given: Update) -> Update:
        """The same photo, seen otherwise."""
        given[on.visit].begin()
        return shown.learning(on, "")

    inputs = wishing.inputs(on) | {
        on.photo,
        on.align,
        on.pointing,
        on.face,
        on.paste,
        on.plain,
        on.visit,
    }
    plain = {"preprocess": False, "api_visibility": "private"}
    common = QUEUE | plain | {
        "outputs": [
            on.result, on.status, on.info, on.crop, on.download, on.align, on.pointing, on.pick,
            on.face, on.learning, on.stop, on.again, on.kept, *on.saves.values(), *history.widgets(on),
        ],
        "trigger_mode": "always_last",
        "show_progress_on": on.status,
    }  # fmt: skip
    at_once = plain | {
        "queue": False,
        "outputs": [
            on.status, on.download, on.align, on.face, on.pointing, on.learning, on.stop, on.again,
            *on.saves.values(),
        ],
        "show_progress": "hidden",
    }  # fmt: skip

    def then_look_and_learn(event: Any) -> None:
        learning.after(event.then(look, inputs, **common), on, get_editor)

    answer = show_early if domain.image_size > PREVIEWS_ABOVE else show

    def ask(event: Any) -> Any:
        return event.then(answer, inputs, **common)

    submits = [row.prompt.submit for row in on.wishes] + [row.strength.release for row in on.wishes]
    gr.on([*submits, on.paste.input], answer, inputs, **common)
    gr.on(
        [row.strength.input for row in on.wishes], live, inputs, [on.result, on.status],
        trigger_mode="always_last", show_progress="hidden", **plain, **QUEUE,
    )  # fmt: skip
    wishing.connect(on, domain, ask)
    downloads.connect(on, get_editor, inputs, **QUEUE)
    on.changes.input(None, on.changes, None, js=CHANGES, api_visibility="private")

    again = gr.on([on.align.input, on.face.input, on.plain.input], begin_again, inputs, **at_once)
    then_look_and_learn(again)
    learning.after(on.pick.select(tap, inputs, **common), on, get_editor)

    taken = on.upload.upload(take, on.upload, on.photo, queue=False, **plain)
    then_look_and_learn(gr.on([on.photo.upload, on.photo.clear], begin, inputs, **at_once))
    for arrival in (taken, *arrivals):
        then_look_and_learn(arrival.then(begin, inputs, **at_once))
    history.connect(on, then_look_and_learn)
    learning.connect(on, get_editor)
    return ask


def _respond(
    on: layout.Widgets,
    get_editor: api.GetEditor,
    given: Update,
    on_step: Callable[[str], None],
    give: Callable[[Update], None] | None = None,
) -> Update:
    """The edit that the page asks for."""
    visit = given[on.visit]
    try:
        with api.refusals():
            if not wishing.wishes(on, given):
                check_prompt("")
            opened, changed = _answered(on, get_editor, given, on_step, None, give)
    except UserError as error:
        visit.drawn = None
        return shown.refusal(on, given, error)
    if opened.request == visit.drawn:  # while the slider moved: what that took is said already
        del changed[on.status]
    visit.drawn = opened.request
    return changed


def _answered(
    on: layout.Widgets,
    get_editor: api.GetEditor,
    given: Update,
    on_step: Callable[[str], None],
    photo: Image.Image | None,
    give: Callable[[Update], None] | None = None,
) -> tuple[api.Opened, Update]:
    request, visit = shown.requested(on, given), given[on.visit]
    before, visit.asked = visit.asked, request
    try:
        opened = api.open_request(get_editor, request, on_step, photo)
        inversion = opened.learned or opened.inversion

        def preview(image: Image.Image) -> None:
            give({on.result: stage.pair(on.result, inversion.crop, image)})

        got = api.answer(opened, inversion, on_step, give and preview)
    except Exception:
        if visit.asked is request:  # there is nothing to learn of it
            visit.asked = before
        raise
    return opened, shown.answer(on, visit, opened, got)


def _look(
    on: layout.Widgets,
    get_editor: api.GetEditor,
    given: Update,
    on_step: Callable[[str], None],
) -> Update:
    """A face that is new is shown even without words."""
    if not given[on.photo]:
        return shown.nothing_to_point_at(on) | {on.status: text.status(text.START, stale=True)}
    pointing = given[on.pointing]
    try:
        with api.refusals():
            photo = load_photo(path_of(given[on.photo]))
            if given[on.align] == "eyes" and len(pointing.eyes) < 2:
                line = text.TAP_OTHER_EYE if pointing.eyes else text.TAP_EYES
                asking = shown.ask_for_eyes(on, photo, pointing.eyes)
                return {on.status: text.status(line, stale=True)} | asking
            opened, changed = _answered(on, get_editor, given, on_step, photo)
    except UserError as error:
        return shown.nothing_to_point_at(on) | shown.refusal(on, given, error)
    changed |= learning.state(on, opened)
    boxes = changed[on.info]["boxes"]
    if given[on.align] == "eyes":
        return changed | shown.ask_for_eyes(on, photo, pointing.eyes)
    if len(boxes) < 2:
        return shown.nothing_to_point_at(on) | changed
    image, pointing = numbered(photo, boxes, opened.inversion.face)
    return changed | {
        on.pointing: pointing,
        on.pick: gr.Image(image, visible=True, label=text.PICK_FACE),
        on.face: gr.Radio(shown.numbers(len(boxes)), value=opened.inversion.face, visible=True),
    }


def _steps(progress: gr.Progress) -> Callable[[str], None]:
    done = 0

    def on_step(name: str) -> None:
        nonlocal done
        progress((done, STEPS), desc=text.stage_name(name))
        done += 1

    return on_step
