"""Learning the visitor's face on the page: the sketch is there at once, the photo seconds later."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from clipinverter.errors import UserError
from clipinverter.ui import api, history, layout, shown, text
from clipinverter.ui.shown import Update
from clipinverter.ui.visit import Visit

# A lane of its own, one face at a time: edits get their turn between two steps of learning.
QUEUE = {"concurrency_id": "learn", "concurrency_limit": 1}
PRIVATE = {"preprocess": False, "api_visibility": "private", "show_progress": "hidden"}


def state(on: layout.Widgets, opened: api.Opened) -> Update:
    """What is said of a face that has just been found."""
    if not opened.request.tune:
        return shown.learning(on, text.PLAIN)
    if not opened.learnable:
        return shown.learning(on, text.NOTHING_TO_LEARN)
    if opened.learned:
        return shown.learning(on, text.REMEMBERED)
    return shown.learning(on, text.WAITING, stop=True)


def after(event: Any, on: layout.Widgets, get_editor: api.GetEditor) -> None:
    """Learns the face of the latest request after an event, where that is needed."""

    def learn(visit: Visit) -> Iterator[Update]:
        yield from _learn(on, get_editor, visit)
        # The framework sends the last update once more, and by then that may be out of date.
        yield {on.again: gr.skip()}

    outputs = [
        on.result, on.status, on.info, on.crop, on.download, on.learning, on.stop, on.again,
        *on.saves.values(), *history.widgets(on),
    ]  # fmt: skip
    # While others are first, the framework shows the place in the queue and the time.
    shown_on = {"show_progress": "minimal", "show_progress_on": on.learning}
    event.then(learn, on.visit, outputs, trigger_mode="multiple", **PRIVATE | shown_on, **QUEUE)


def connect(on: layout.Widgets, get_editor: api.GetEditor) -> None:
    """Brings "Stop" and "Try again" to life."""
    outputs = [on.learning, on.stop, on.again]

    def stop(visit: Visit) -> Update:
        visit.leave()
        return shown.learning(on, text.KEPT, again=True)

    def again(visit: Visit) -> Update:
        visit.retry()
        return shown.learning(on, text.WAITING, stop=True)

    on.stop.click(stop, on.visit, outputs, queue=False, **PRIVATE)
    after(on.again.click(again, on.visit, outputs, queue=False, **PRIVATE), on, get_editor)


def _learn(on: layout.Widgets, get_editor: api.GetEditor, visit: Visit) -> Iterator[Update]:
    from clipinverter.methods.base import Stopped

    request, stop = visit.asked, visit.stop
    if request is None or stop is None or stop.is_set():
        return
    try:
        with api.refusals():
            opened = api.open_request(get_editor, request)
            if not opened.learnable or opened.learned:
                return
            try:
                for news in api.learning(opened, stop.is_set):
                    if not news.inversion:
                        yield shown.learning(
                            on, text.LEARNING, news.progress, news.preview, stop=True
                        )
            except Stopped:
                if visit.stop is stop:  # by the button; else another photo is on its way
                    yield shown.learning(on, text.KEPT, again=True)
                return
            yield shown.learning(on, text.LEARNING, 1.0)
            while not stop.is_set() and (asked := visit.asked):
                opened = api.open_request(get_editor, asked)
                got = api.answer(opened, opened.learned or opened.inversion)
                if asked is visit.asked and not stop.is_set():
                    yield shown.answer(on, visit, opened, got, slowly=True) | shown.learning(
                        on, text.READY
                    )
                    break
    except UserError as error:
        if visit.stop is stop:
            gr.Warning(str(error), duration=6, title="Not learned")
            yield shown.learning(on, text.KEPT, again=True)
