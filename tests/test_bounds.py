"""Requests that bring too much, or go round the queue."""

import pytest

from clipinverter.editor import Editor
from clipinverter.ui import bounds, text
from tests.corpus import encoded
from tests.serving import api_client
from tests.tiny import picture, tiny_models


@pytest.fixture(scope="module")
def http():
    editor = Editor(tiny_models())
    with api_client(lambda: editor) as client:
        yield client


def parts(count: int):
    """A body of that many bytes that does not say its length."""
    yield b'{"data":["'
    for _ in range(count // 2**16):
        yield b"x" * 2**16
    yield b'"]}'


@pytest.mark.parametrize("says_length", [True, False])
def test_a_request_that_is_too_large(http, says_length):
    body = parts(bounds.MAX_BODY + 2**17)
    answer = http.post("/call/edit", content=b"".join(body) if says_length else body)
    assert answer.status_code == 413
    assert text.TOO_MUCH in answer.text
    small = http.post(
        "/call/edit", content=b"".join(parts(2**17)), headers={"Content-Type": "application/json"}
    )
    assert small.status_code == 200


@pytest.mark.parametrize("says_length", [True, False])
def test_an_upload_of_many_files(http, says_length):
    """Each is small enough, all of them are not."""
    files = [("files", (f"{n}.png", bytes(2**20))) for n in range(23)]
    request = http.build_request("POST", "/upload", files=files)
    content = request.read()
    body = (
        content if says_length else (content[n : n + 2**16] for n in range(0, len(content), 2**16))
    )
    answer = http.post(
        "/upload", content=body, headers={"Content-Type": request.headers["Content-Type"]}
    )
    assert answer.status_code == 413
    assert text.TOO_LARGE in answer.text
    ok = http.post("/upload", files={"files": ("x.png", encoded(picture(), "PNG"))})
    assert ok.status_code == 200


@pytest.mark.parametrize("path", ["/run/edit", "/api/edit", "/run/compare"])
def test_nobody_goes_round_the_queue(http, path):
    answer = http.post(path, json={"data": [None, "a man"]})
    assert answer.status_code == 404
