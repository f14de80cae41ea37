"""Which files a request can reach: those of the server's own folder, and no others."""

import json
import os
import socket
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.photo import load
from clipinverter.ui import text, uploads
from clipinverter.ui.uploads import UploadError, path_of
from tests.serving import serve
from tests.tiny import picture, tiny_models

META = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An upload folder with one picture, and things beside it that are out of reach."""
    root = tmp_path_factory.mktemp("server")
    own = root / "uploads"
    (own / "a").mkdir(parents=True)
    picture(1).save(own / "a" / "photo.png")
    picture(2).save(root / "secret.png")
    (root / "uploads-beside").mkdir()
    picture(3).save(root / "uploads-beside" / "photo.png")
    (own / "link.png").symlink_to(root / "secret.png")
    (own / "out").symlink_to(root)
    (own / "circle").symlink_to(own / "circle")
    (own / "inside.png").symlink_to(own / "a" / "photo.png")
    os.mkfifo(own / "pipe.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(own))
        yield own


def refused(value) -> str:
    with pytest.raises(UploadError) as refusal:
        path_of(value)
    return str(refusal.value)


def outside(folder: Path) -> list:
    """All the ways to name something else than a file in the folder."""
    photo = folder / "a" / "photo.png"
    return [
        *("", ".", "/", "/etc/hostname", "app.py", "~/photo.png", str(folder), str(photo.parent)),
        *(str(folder.parent / "secret.png"), str(folder.parent / "uploads-beside" / "photo.png")),
        *(f"{folder}/../secret.png", f"{folder}/a/../../secret.png", f"{folder}/out/secret.png"),
        *(f"{folder}/link.png", f"{folder}/circle", f"{folder}/pipe.png", f"{folder}/gone.png"),
        *(f"file://{photo}", f"file://{folder.parent}/secret.png", "http://127.0.0.1:9/x.png"),
        *("https://example.org/x.png", "data:image/png;base64,iVBORw0KGgo=", f"{photo}/x.png"),
        *(f"{photo}\0", f"\0{photo}", f"{photo}\0.png", f"{folder}/" + "x" * 5000, "\ud800"),
        *(f"{folder}/\ud800.png", "a" * 100_000, f"{folder}/" + "a/" * 3000 + "photo.png"),
    ]


def test_a_file_of_the_folder_is_found(folder):
    photo = folder / "a" / "photo.png"
    names = [photo, folder / "inside.png", f"{folder}/a/../a//./photo.png"]
    for name in map(str, names):
        for value in ({"path": name}, {"path": name, "meta": META, "url": "http://x/y.png"}):
            assert path_of(value) == photo.resolve()


def test_everything_else_gets_one_and_the_same_sentence(folder):
    names = outside(folder)
    values = [{"path": name} for name in names] + [{"path": name, "meta": META} for name in names]
    odd = ["photo.png", str(folder / "a" / "photo.png"), 1, 1.5, True, [], {}, [{"path": "x"}]]
    odd += [{"path": odd_path} for odd_path in (None, 1, ["x"], {"path": "x"})]
    odd += [[{"path": str(folder / "a" / "photo.png")}], {"url": "http://127.0.0.1/x.png"}]
    assert {refused(value) for value in values + odd} == {text.PICTURE_GONE}
    assert refused(None) == text.NO_PICTURE


PART = st.sampled_from(["..", ".", "", "a", "out", "link.png", "secret.png", "photo.png", "etc"])


@given(st.one_of(st.lists(PART, max_size=8).map("/".join), st.text()), st.booleans())
def test_no_path_leads_out(folder, name, absolute):
    value = {"path": f"{folder}/{name}" if absolute else name}
    try:
        found = path_of(value)
    except UploadError as error:
        found = str(error)
    assert found in (text.PICTURE_GONE, (folder / "a" / "photo.png").resolve())


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["path", "url", "meta", "_type"]) | st.text(), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_a_file_of_the_folder_or_a_sentence(folder, value):
    assert refused(value) in (text.NO_PICTURE, text.PICTURE_GONE)


def test_files_elsewhere_are_not_even_looked_up(folder, monkeypatch):
    monkeypatch.setattr(Path, "resolve", lambda *args, **options: pytest.fail("looked up"))
    assert refused({"path": str(folder.parent / "secret.png")}) == text.PICTURE_GONE


def test_the_folder_may_be_reached_by_a_link(folder, monkeypatch):
    link = folder.parent / "linked"
    link.symlink_to(folder)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(link))
    assert path_of({"path": f"{link}/a/photo.png"}) == (folder / "a" / "photo.png").resolve()
    assert refused({"path": f"{link}/link.png"}) == text.PICTURE_GONE


def test_a_large_file_is_refused_unread(folder):
    path = folder / "large.png"
    with path.open("wb") as file:
        file.truncate(3 * 1024**3)  # takes no space on the disk
    try:
        assert "at most 20 MB" in refused({"path": str(path)})
    finally:
        path.unlink()
    assert f"at most {uploads.MAX_BYTES // 1024**2} MB" in text.TOO_LARGE


@pytest.fixture(scope="module")
def url():
    editor = Editor(tiny_models())
    with serve(lambda: editor) as address:
        yield address


def post(url: str, endpoint: str, data: list) -> tuple[str, str]:
    """How an endpoint ends, "complete" or "error", and the JSON text that it says."""
    body = json.dumps({"data": data})  # writes lone surrogates, which httpx would not
    headers = {"Content-Type": "application/json"}
    path = f"{url}gradio_api/call/{endpoint}"
    answer = httpx.post(path, content=body, headers=headers)
    assert answer.status_code == 200
    stream = httpx.get(f"{path}/{answer.json()['event_id']}", timeout=60).text
    *_, event, said = stream.strip().splitlines()
    return event.removeprefix("event: "), said.removeprefix("data: ")


def sentence(url: str, endpoint: str, data: list) -> str:
    event, said = post(url, endpoint, data)
    assert event == "error"
    return json.loads(said)["error"]


@pytest.mark.parametrize("endpoint", ["edit", "compare"])
def test_the_endpoints_read_no_other_file(url, tmp_path, endpoint):
    picture(5).save(tmp_path / "secret.png")
    (Path(get_upload_folder()) / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "notes.txt").write_text("no picture")
    up = os.path.relpath(tmp_path, get_upload_folder())
    names = [
        str(tmp_path / "secret.png"),
        str(tmp_path / "notes.txt"),
        str(tmp_path / "missing.png"),
        f"{get_upload_folder()}/{up}/secret.png",
        f"{get_upload_folder()}/link.png",
        f"file://{tmp_path}/secret.png",
        f"{tmp_path}/secret.png\0",
        "x" * 5000,
        "data:image/png;base64,iVBORw0KGgo=",
        "\ud800",
    ]
    values = [{"path": name} for name in names]
    values += [{"path": name, "meta": META} for name in names]
    values += [names[0], [values[0]], 7, True, {"url": names[8]}, {"path": {"path": names[0]}}]
    said = {sentence(url, endpoint, [value, "a man", 1.0, "none"]) for value in values}
    assert said == {text.PICTURE_GONE}
    (Path(get_upload_folder()) / "link.png").unlink()


def test_the_handlers_of_the_page_read_no_other_file(url, tmp_path, monkeypatch):
    """They are as public as the endpoints to whoever reads the page's configuration."""
    picture(5).save(tmp_path / "secret.png")
    opened = []
    with_open = load._open
    monkeypatch.setattr(load, "_open", lambda file: opened.append(file) or with_open(file))
    config = httpx.get(f"{url}config").json()
    names = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
    values = {"prompt": "a man", "strength": 1.0, "face": 0, "paste": True}
    values["photo"] = {"path": str(tmp_path / "secret.png")}
    events = [
        event
        for event in config["dependencies"]
        if "photo" in [names[number] for number in event["inputs"]]
    ]
    assert len(events) > 5
    for event in events:
        for align in ("none", "eyes"):
            session = f"{event['id']}-{align}"
            given = values | {"align": align}
            body = {
                "data": [given.get(names[number]) for number in event["inputs"]],
                "fn_index": event["id"],
                "session_hash": session,
                "event_data": {"index": [1, 1]},
            }
            assert httpx.post(f"{url}gradio_api/queue/join", json=body).status_code == 200
            stream = f"{url}gradio_api/queue/data?session_hash={session}"
            assert "process_completed" in httpx.get(stream, timeout=60).text
    assert opened == []


def test_a_picture_that_was_uploaded_is_edited(url, tmp_path):
    picture(5).save(tmp_path / "photo.png")
    with (tmp_path / "photo.png").open("rb") as file:
        (path,) = httpx.post(f"{url}gradio_api/upload", files={"files": file}).json()
    for value in ({"path": path}, {"path": path, "meta": META, "orig_name": "photo.png"}):
        event, said = post(url, "edit", [value, "a man", 0, "none", True])
        assert event == "complete"
        before = Path(json.loads(said)[0]["path"])
        assert before.is_relative_to(get_upload_folder())
        assert np.array_equal(np.asarray(Image.open(before)), np.asarray(picture(5)))


def test_no_address_is_fetched(url):
    """Not even one that the framework would take for public."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def listen() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                heard.append(connection)
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        here = f"http://127.0.0.1:{port}/photo.png"
        values = [here, {"path": here}, {"url": here}, {"path": here, "url": here, "meta": META}]
        values += [{"path": here.replace("127.0.0.1", host)} for host in ("localhost", "[::1]")]
        for value in values:
            for data in ([value, "a man"], [None, value], [None, "a man", value, value]):
                for endpoint in ("edit", "compare"):
                    assert sentence(url, endpoint, data)
        listener.shutdown(socket.SHUT_RDWR)
    assert heard == []


def test_the_framework_is_never_asked_to_fetch(url, monkeypatch):
    asked = []

    async def download(address: str, *args, **options) -> str:
        asked.append(address)
        raise ValueError("no network here")

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", download)
    value = {"path": "https://example.org/photo.png", "meta": META}
    assert sentence(url, "edit", [value, "a man"]) == text.PICTURE_GONE
    assert sentence(url, "edit", [None, value]) != text.PICTURE_GONE
    assert asked == []


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ([], "describe"),
        ([None, "a man"], "add a picture"),
        ([None, "a \ud800 man"], "no text"),
        ([None, {"path": "/etc/hostname", "meta": META}], "describe"),
        ([None, ["a man"]], "describe"),
        ([None, "a man", [1]], "from -2 to 2"),
        ([None, "a man", {"a": 1}], "from -2 to 2"),
        ([None, "a man", 1, "none", ["yes"]], "Paste must be"),
    ],
)
def test_malformed_requests_get_a_sentence(url, data, part):
    assert part in sentence(url, "edit", data)


def test_an_unknown_endpoint_gets_a_sentence(url):
    answer = httpx.post(f"{url}gradio_api/call/nothing", json={"data": []})
    assert (answer.status_code, answer.json()["error"]) == (404, text.NO_ENDPOINT)
    body = {"data": [], "fn_index": 99_999, "session_hash": "x"}
    answer = httpx.post(f"{url}gradio_api/queue/join", json=body)
    assert answer.json().get("error") in (text.NO_ENDPOINT, text.WENT_WRONG)
