"""A disk that is full: uploads, results and checkpoints say so, and what was there stays whole."""

import errno
import shutil

import pytest
import torch
from PIL import Image

from clipinverter.__main__ import main
from clipinverter.editor import Editor
from clipinverter.training import loop
from clipinverter.ui import bounds, text
from tests.corpus import encoded
from tests.serving import api_client
from tests.tiny import picture, tiny_models

PICTURE = {"files": ("x.png", encoded(picture(), "PNG"))}


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/secret")


@pytest.fixture(scope="module")
def http():
    editor = Editor(tiny_models())
    with api_client(lambda: editor) as client:
        yield client


def ask(http, endpoint: str) -> str:
    path = http.post("/upload", files=PICTURE).json()[0]
    data = {"data": [{"path": path}, "a man", 1.0, "none", False, 0, False]}
    event = http.post(f"/call/{endpoint}", json=data).json()["event_id"]
    return http.get(f"/call/{endpoint}/{event}").text


@pytest.mark.parametrize("endpoint", ["edit", "compare"])
def test_results(http, monkeypatch, endpoint):
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        said = ask(http, endpoint)
    assert text.NO_ROOM in said
    assert "secret" not in said
    assert "event: complete" in ask(http, endpoint)


def test_an_upload_that_finds_no_space(http, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("gradio.route_utils.NamedTemporaryFile", full)
        answer = http.post("/upload", files=PICTURE)
    assert (answer.status_code, answer.text) == (507, text.NO_ROOM)
    assert http.post("/upload", files=PICTURE).status_code == 200


def test_uploads_can_not_fill_the_disk(http, monkeypatch):
    usage = shutil.disk_usage("/")
    left = usage._replace(free=bounds.ROOM - 1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: left)
        answer = http.post("/upload", files=PICTURE)
    assert (answer.status_code, answer.text) == (507, text.NO_ROOM)


def test_a_checkpoint_of_training(tmp_path, monkeypatch):
    path = tmp_path / "stage.pt"
    loop.write(path, {"step": 1})

    def half(content, file):
        file.write_bytes(b"half")
        full()

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(loop.DiskError, match=r"stage\.pt could not be written \(No space left"):
        loop.write(path, {"step": 2})
    assert [file.name for file in tmp_path.iterdir()] == ["stage.pt"]
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_a_folder_that_nobody_may_write(tmp_path, monkeypatch, capsys):
    """As a checkout that is read-only; as root, only a failing call shows it."""

    def refused(*_, **__):
        raise PermissionError(errno.EROFS, "Read-only file system")

    picture().save(tmp_path / "photo.png")
    monkeypatch.setattr(
        "clipinverter.weights.load.load_models", lambda domain, device=None: tiny_models()
    )
    monkeypatch.setattr(Image.Image, "save", refused)
    arguments = ["edit", str(tmp_path / "photo.png"), "a man", "--align", "none", "--plain"]
    assert main([*arguments, "-o", str(tmp_path / "out.png")]) == 1
    said = capsys.readouterr().err
    assert "out.png could not be written (Read-only file system)" in said
    assert [file.name for file in tmp_path.iterdir()] == ["photo.png"]
