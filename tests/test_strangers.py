"""Requests that pages of other origins make a visitor's browser send."""

import threading
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.datastructures import Headers

from clipinverter.editor import Editor
from clipinverter.ui import text
from clipinverter.ui.strangers import allowed_origins, is_foreign
from tests.corpus import encoded
from tests.serving import api_client, serve
from tests.tiny import picture, tiny_models


@pytest.fixture(scope="module")
def url():
    editor = Editor(tiny_models())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLOWED_ORIGINS", "https://friend.example, https://other.example/")
        with serve(lambda: editor) as address:
            yield address


def start_and_upload(url: str, headers: dict[str, str]) -> list[httpx.Response]:
    call = f"{url}gradio_api/call/edit"
    return [
        httpx.post(call, json={"data": []}, headers=headers),
        httpx.post(call, content='{"data": []}', headers=headers | {"Content-Type": "text/plain"}),
        httpx.post(f"{url}gradio_api/upload", files={"files": b"x"}, headers=headers),
    ]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://["]
)
def test_foreign_pages_can_not_start_work_or_upload(url, origin):
    answers = start_and_upload(url, {"Origin": origin, "Sec-Fetch-Site": "cross-site"})
    answers += start_and_upload(url, {"Origin": origin})
    answers.append(httpx.get(f"{url}config", headers={"Origin": origin}))
    assert {answer.status_code for answer in answers} == {403}
    assert {answer.json()["error"] for answer in answers} == {text.FOREIGN_ORIGIN}


def test_its_own_page_programs_and_allowed_origins_can(url):
    own = f"http://{urlsplit(url).netloc}"
    friends = [{}, {"Origin": own}, {"Origin": "https://friend.example"}]
    friends.append({"Origin": "https://OTHER.example"})
    for headers in friends:
        call, _, upload = start_and_upload(url, headers)
        assert (call.status_code, upload.status_code) == (200, 200)


def test_a_link_on_a_foreign_page_leads_to_the_page(url):
    answer = httpx.get(url, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"Origin": "https://demo.example", "Host": "demo.example"}, False),
        ({"Origin": "https://demo.example", "Host": "127.0.0.1:7860"}, True),
        # A proxy that does not pass on the name: the browser knows better.
        (
            {
                "Origin": "https://demo.example",
                "Host": "127.0.0.1:7860",
                "Sec-Fetch-Site": "same-origin",
            },
            False,
        ),
        ({"Origin": "https://a.demo.example", "Host": "demo.example"}, True),
        ({"Origin": "https://demo.example:8443", "Host": "demo.example"}, True),
        ({"Origin": "https://evil.example"}, True),
    ],
)
def test_what_is_foreign(headers, foreign):
    assert is_foreign(Headers(headers), frozenset()) is foreign
    assert not is_foreign(Headers(headers), {"*"})


def test_nothing_is_allowed_by_default(monkeypatch):
    monkeypatch.delenv("ALLOWED_ORIGINS", raising=False)
    assert allowed_origins() == frozenset()
    monkeypatch.setenv("ALLOWED_ORIGINS", " , ")
    assert allowed_origins() == frozenset()


def test_a_full_queue_is_a_sentence(monkeypatch):
    go = threading.Event()

    def waiting():
        go.wait(30)
        raise MemoryError

    monkeypatch.setattr("clipinverter.ui.turns.MAX_WAITING", 1)
    with api_client(waiting) as client:
        path = client.post("/upload", files={"files": ("x.png", encoded(picture(), "PNG"))}).json()[
            0
        ]
        data = {"data": [{"path": path}, "a man"]}
        answers = [client.post("/call/edit", json=data) for _ in range(6)]
        go.set()
        refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.json()["detail"] for answer in refused} == {text.QUEUE_FULL}
