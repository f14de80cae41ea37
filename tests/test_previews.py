"""The preview of a large picture on the page."""

import dataclasses
from inspect import isgeneratorfunction

import pytest

from clipinverter.editor import Editor
from clipinverter.ui.demo import create_demo
from clipinverter.ui.pointing import Pointing
from clipinverter.ui.previews import streamed
from tests.tiny import DOMAIN, picture, tiny_models


def handlers(domain, get_editor):
    """What the page runs for a new prompt, by name."""
    demo = create_demo(get_editor, domain)
    functions = [event.fn for event in demo.fns.values()]
    return [f for f in functions if f.__name__ in ("show", "show_early")]


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


def test_the_page_shows_the_preview_of_a_large_picture_first(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    large = dataclasses.replace(DOMAIN, image_size=1024, channel_base=2048)
    editor = Editor(tiny_models(large))
    path = tmp_path / "served" / "photo.png"
    path.parent.mkdir()
    picture().save(path)
    handler = handlers(large, lambda: editor)[0]
    request = {"path": str(path)}, "a smiling woman", 1.0, "none", Pointing(), 0
    early, final = list(handler(*request, False))
    ((before, preview),) = early.values()
    (result,) = early
    assert before.size == (1024, 1024)
    assert preview.size == (512, 512), "256 px, enlarged for the screen"
    assert final[result][1].size == (1024, 1024)
    assert len(final) > 1
    # What is kept has no preview, and neither has the whole photo.
    assert len(list(handler(*request, False))) == 1
    (pasted,) = handler(*request[:2], 0.5, *request[3:], True)
    assert len(pasted) >= 1


def test_small_pictures_come_at_once():
    found = handlers(DOMAIN, lambda: pytest.fail("nobody asked"))
    assert found
    assert not any(isgeneratorfunction(handler) for handler in found)
