"""The preview of a large picture on the page."""

import dataclasses
from inspect import isgeneratorfunction
from threading import Event

import gradio as gr
import pytest
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.ui.demo import create_demo
from clipinverter.ui.pointing import Pointing
from clipinverter.ui.previews import streamed
from clipinverter.ui.visit import Visit
from tests.tiny import DOMAIN, picture, tiny_models


def handlers(domain, get_editor):
    """What the page runs for a new prompt, and a function that gives it values by elem_id."""
    demo = create_demo(get_editor, domain)
    events = [e for e in demo.fns.values() if e.fn and e.fn.__name__ in ("show", "show_early")]
    inputs = events[0].inputs

    def values(**given):
        states = {Pointing: Pointing(), Visit: Visit()}
        given |= {"prompt-2": "", "strength-2": 100, "prompt-3": "", "strength-3": 100}
        return {
            c: states[type(c.value)] if isinstance(c, gr.State) else given[c.elem_id]
            for c in inputs
        }

    return [event.fn for event in events], values


def test_what_is_given_comes_before_the_result():
    def call(give):
        give("a")
        give("b")
        return "c"

    assert list(streamed(call)) == ["a", "b", "c"]


def test_a_failure_comes_after_what_was_given():
    def call(give):
        give("a")
        raise ValueError("no")

    stream = streamed(call)
    assert next(stream) == "a"
    with pytest.raises(ValueError, match="no"):
        next(stream)


def test_whoever_gives_to_a_reader_that_left_is_told():
    given, told = Event(), Event()

    def call(give):
        give(1)
        given.wait(10)
        try:
            give(2)
        except KeyError:
            told.set()

    stream = streamed(call, gone=KeyError)
    assert next(stream) == 1
    stream.close()
    given.set()
    assert told.wait(10)


def test_the_page_shows_the_preview_of_a_large_picture_first(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    large = dataclasses.replace(DOMAIN, image_size=1024, channel_base=2048)
    editor = Editor(tiny_models(large))
    path = tmp_path / "served" / "photo.png"
    path.parent.mkdir()
    picture().save(path)
    (handler, *_), values = handlers(large, lambda: editor)
    photo = {"path": str(path)}
    common = {"photo": photo, "prompt": "a smiling woman", "align": "none", "face": 0}
    request = values(**common, strength=100, paste=False, plain=True)
    early, final, _ = list(handler(request))  # the last is what the browser keeps
    (result,) = early
    assert size(early[result]["before"]) == (512, 512), "64 px, enlarged for the screen"
    assert size(early[result]["after"]) == (512, 512), "256 px, enlarged for the screen"
    assert size(final[result]["after"]) == (1024, 1024)
    assert len(final) > 1
    # What is kept has no preview, and neither has the whole photo.
    assert len(list(handler(request))) == 2
    pasted, _ = handler(values(**common, strength=50, paste=True, plain=True))
    assert len(pasted) >= 1


def size(file) -> tuple[int, int]:
    with Image.open(file["path"]) as image:
        return image.size


def test_small_pictures_come_at_once():
    found, _ = handlers(DOMAIN, lambda: pytest.fail("nobody asked"))
    assert found
    assert not any(isgeneratorfunction(handler) for handler in found)
