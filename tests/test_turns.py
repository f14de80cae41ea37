"""Visitors take turns in the queue and at the models, and hear of it when the server ends."""

import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace

import httpx
import pytest

from clipinverter.editor import Editor
from clipinverter.methods.base import Stopped
from clipinverter.methods.in_order import InOrder
from clipinverter.ui import text, turns
from clipinverter.ui.demo import create_demo
from clipinverter.ui.turns import Line, Turns
from tests.corpus import encoded
from tests.serving import api_client, serve
from tests.tiny import DOMAIN, picture, tiny_models


def event(name: str, session: str | None = None, host: str = "192.0.2.1") -> SimpleNamespace:
    request = SimpleNamespace(client=SimpleNamespace(host=host))
    return SimpleNamespace(_id=name, session_hash=session or name, request=request)


def order(names: Sequence[str]) -> str:
    """The order in which requests are served; a name is a visitor and a number."""
    line = Line()
    for name in names:
        line.append(event(name, session=name[0]))
    return " ".join(waiting._id for waiting in line)


@pytest.mark.parametrize(
    ("arrive", "served"),
    [
        ("a1 a2 a3", "a1 a2 a3"),
        ("a1 b1 c1", "a1 b1 c1"),
        ("a1 a2 a3 b1", "a1 b1 a2 a3"),
        ("a1 a2 a3 b1 b2 c1 b3", "a1 b1 c1 a2 b2 a3 b3"),
    ],
)
def test_the_first_of_everybody_comes_before_anybodys_second(arrive, served):
    assert order(arrive.split()) == served


def test_programs_without_a_session_go_by_their_address():
    line = Line()
    for waiting in (event("1"), event("2"), event("3", host="192.0.2.2"), event("4", "page")):
        line.append(waiting)
    assert [waiting._id for waiting in line] == ["1", "3", "4", "2"]


def test_the_page_has_this_queue():
    assert isinstance(create_demo(lambda: None, DOMAIN)._queue, Turns)


@pytest.fixture
def busy():
    """A page whose models take until they are let go, its address, and what lets them go."""
    go = threading.Event()

    def waiting():
        go.wait(30)
        raise MemoryError

    with api_client(waiting) as http:
        yield http, go
        go.set()


def send(
    http: httpx.Client, session: str | None, align: str = "auto", tune: bool = True
) -> httpx.Response:
    files = {"files": ("x.png", encoded(picture(), "PNG"))}
    path = http.post("/upload", files=files).json()[0]
    data = {"data": [{"path": path}, "a man", 1.0, align, False, 0, tune], "session_hash": session}
    return http.post("/call/edit", json=data)


def test_one_visitor_can_not_fill_the_queue(busy, monkeypatch):
    http, _ = busy
    monkeypatch.setattr(turns, "MAX_WAITING_EACH", 2)
    answers = [send(http, "greedy") for _ in range(6)]
    refused = [answer.json()["detail"] for answer in answers if answer.status_code == 503]
    assert len(refused) >= 3
    assert {*refused} == {text.TOO_MANY_WAITING}
    assert send(http, "another").status_code == 200


def test_everybody_who_waits_hears_that_the_server_ends(monkeypatch):
    go, said = threading.Event(), {}
    made = []
    monkeypatch.setattr(
        "clipinverter.ui.demo.take_turns", lambda demo: made.append(turns.take_turns(demo))
    )
    with (
        serve(lambda: go.wait(30) and None) as url,
        httpx.Client(base_url=f"{url}gradio_api", timeout=60) as http,
    ):
        events = [send(http, None).json()["event_id"] for _ in range(3)]

        def listen(name):
            said[name] = http.get(f"/call/edit/{name}").text

        listeners = [threading.Thread(target=listen, args=(name,)) for name in events]
        for listener in listeners:
            listener.start()
        time.sleep(0.5)  # all are listening
        start = time.monotonic()
        made[0].say_farewell()
        took = time.monotonic() - start
        late = send(http, None)
        for listener in listeners:
            listener.join(10)
        go.set()
    assert [text.ENDING in said[name] for name in events] == [True] * 3
    assert took < 1.5
    assert late.status_code == 503
    assert late.json()["detail"] == text.ENDING


def test_who_gives_up_waiting_for_a_lock_is_passed_over():
    lock, seen = InOrder(), []

    def give_up():
        raise TimeoutError

    def wait():
        with lock.held():
            seen.append("next")

    with lock.held():
        with pytest.raises(TimeoutError), lock.held(give_up):
            pass
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.05)
        assert seen == []
    waiting.join(5)
    assert seen == ["next"]


def test_a_lock_is_given_in_order_of_arrival():
    lock, end, steps, seen = InOrder(), threading.Event(), [], []

    def learn():
        while not end.is_set():
            with lock.held():
                time.sleep(0.002)
                steps.append(None)

    learner = threading.Thread(target=learn)
    learner.start()
    try:
        for _ in range(20):
            before = len(steps)
            with lock.held():
                seen.append(len(steps) - before)
            time.sleep(0.001)
    finally:
        end.set()
        learner.join(10)
    assert max(seen) <= 3  # an ordinary lock: dozens
    assert len(steps) > 20


def test_photos_are_learned_one_after_the_other_and_who_waits_may_leave():
    editor = Editor(tiny_models())
    first, second = (editor.invert(picture(seed), "none") for seed in (1, 2))
    began, said = threading.Event(), []

    def slowly(step):
        began.set()
        time.sleep(0.02)

    def leave(step):
        said.append(step)
        if len(said) == 2:
            raise Stopped

    learning = threading.Thread(target=editor.tune, args=(first, slowly))
    learning.start()
    began.wait(30)
    with pytest.raises(Stopped):
        editor.tune(second, leave)
    assert said == ["waiting", "waiting"]
    assert learning.is_alive()
    learning.join(60)
    assert editor.tuned(first)
    assert not editor.tuned(second)


def test_edits_pass_while_a_photo_is_learned(monkeypatch):
    editor, began, go = Editor(tiny_models()), threading.Event(), threading.Event()
    monkeypatch.setattr(editor, "needs_tuning", lambda inversion: True)
    monkeypatch.setattr(editor, "tune", lambda *_: began.set() or go.wait(30))
    with (
        serve(lambda: editor) as url,
        httpx.Client(base_url=f"{url}gradio_api", timeout=60) as http,
    ):
        send(http, "learner", align="none")
        assert began.wait(20)
        quick = send(http, "another", align="none", tune=False).json()["event_id"]
        assert "event: complete" in http.get(f"/call/edit/{quick}").text
        own = send(http, "learner", align="none", tune=False).json()["event_id"]
        with pytest.raises(httpx.ReadTimeout):  # one at a time of each
            http.get(f"/call/edit/{own}", timeout=1)
        go.set()
