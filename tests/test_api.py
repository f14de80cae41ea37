"""The endpoint /edit of a running server: results, one sentence for every refusal, sessions."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from clipinverter import tuning
from clipinverter.editor import Editor
from clipinverter.photo import align
from clipinverter.photo.faces import face_of_eyes
from clipinverter.photo.paste import paste
from clipinverter.weights.files import CheckpointError
from tests.serving import serve
from tests.tiny import count_calls, picture, tiny_models


@pytest.fixture(scope="module")
def models():
    return tiny_models()


@pytest.fixture(scope="module")
def calls(models):
    return count_calls(models)


@pytest.fixture(scope="module")
def editor(models, calls):
    return Editor(models)


@pytest.fixture(scope="module")
def url(editor):
    with serve(lambda: editor) as address:
        yield address


@pytest.fixture(scope="module")
def client(url):
    return Client(url, verbose=False)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    picture(7).save(path)
    return path


def edit(client, photo, prompt="a bald man", strength=1.0, align="none", **options):
    """With the plain model, unless `options` say otherwise."""
    options = {"tune": False} | options
    return client.predict(
        handle_file(photo) if photo else None, prompt, strength, align, api_name="/edit", **options
    )


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_an_edit(client, photo):
    before, after, info = edit(client, photo)
    editor = Editor(tiny_models())
    expected = editor.edit(editor.invert(picture(7), "none"), "a bald man")
    assert np.array_equal(pixels(before), np.asarray(expected.inversion.image))
    assert np.array_equal(pixels(after), np.asarray(expected.image))
    assert info["stages"] == list(info["timings_ms"])
    assert info["stages"] == [stage.name for stage in expected.inversion.ran + expected.ran]
    assert info["cached"] == []
    assert all(ms >= 0 for ms in info["timings_ms"].values())


def test_the_second_time_only_what_is_new_runs(client, photo, calls):
    edit(client, photo, "a woman")
    calls.clear()
    *_, info = edit(client, photo, "a woman", 0.5)
    assert info["stages"] == ["generator"]
    assert {"trunk", "text", "adapter", "residual"} <= set(info["cached"])
    assert calls == {"generator": 1}
    *_, info = edit(client, photo, "a man", 0.5)
    assert not {"align", "trunk", "heads"} & set(info["stages"])


def test_by_default_the_photo_is_learned_and_the_sketch_comes_first(client, editor, tmp_path):
    picture(21, (96, 96)).save(tmp_path / "photo.png")
    ask = handle_file(tmp_path / "photo.png"), "a bald man", 1.0, "none"
    answers = [*client.submit(*ask, api_name="/edit")]
    inversion = editor.invert(picture(21, (96, 96)), "none")
    sketch, tuned = (editor.edit(i, "a bald man") for i in (inversion, editor.tune(inversion)))
    before, after, info = answers[0]
    assert np.array_equal(pixels(after), np.asarray(sketch.image))
    assert info["tuned"] is False
    before, after, info = answers[-1]
    assert np.array_equal(pixels(before), np.asarray(picture(21, (96, 96))))
    assert np.array_equal(pixels(after), np.asarray(tuned.image))
    assert info["tuned"] is True
    assert "tuning" in info["stages"]
    assert all(0 <= answer[2]["learning"] <= 1 for answer in answers[1:-1])
    # Once learned, the photo is there at once, and `predict` returns the last answer.
    (again,) = [*client.submit(*ask, api_name="/edit")]
    assert "tuning" in again[2]["cached"]
    assert np.array_equal(pixels(client.predict(*ask, api_name="/edit")[1]), pixels(after))
    plain = client.predict(*ask, api_name="/edit", tune=False)
    assert np.array_equal(pixels(plain[1]), np.asarray(sketch.image))
    drawn = client.predict(*ask[:2], 0, "none", api_name="/edit", detail=False)
    assert np.array_equal(pixels(drawn[1]), np.asarray(editor.tune(inversion).image))


def test_a_client_that_leaves_ends_the_learning(client, url, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "Settings", partial(tuning.Settings, steps=100_000))
    picture(22).save(tmp_path / "photo.png")
    ask = handle_file(tmp_path / "photo.png"), "a bald man", 1.0, "none"
    job = client.submit(*ask, api_name="/edit")
    while not any("learning" in answer[2] for answer in job.outputs()):
        time.sleep(0.05)
    job.cancel()
    deadline = time.monotonic() + 20
    while any(thread.name == "preview" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the learning goes on"
        time.sleep(0.05)


def test_strength_zero_gives_the_same_picture_twice(client, photo):
    before, after, _ = edit(client, photo, strength=0)
    assert np.array_equal(pixels(before), pixels(after))


def test_the_result_says_where_it_comes_from(client, photo):
    before, after, _ = edit(client, photo, "a man in a café, 日本", 0.5)
    entries = Image.open(after).text
    assert entries["prompt"] == "a man in a café, 日本"
    assert entries["strength"] == "0.5"
    assert (entries["method"], entries["model"]) == ("CLIPInverter", "tiny")
    assert "prompt" not in Image.open(before).text


def test_the_edit_goes_back_into_the_whole_picture(client, tmp_path):
    photo = picture(9, (500, 300))
    path = tmp_path / "holiday at 52.5 north.png"
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    photo.save(path, exif=exif)
    before, after, info = edit(client, path, paste=True)
    assert np.array_equal(pixels(before), np.asarray(photo))
    editor = Editor(tiny_models())
    inversion = editor.invert(photo, "none")
    expected = paste(photo, inversion, editor.edit(inversion, "a bald man").image)
    assert np.array_equal(pixels(after), np.asarray(expected))
    assert info["stages"][-1] == "paste"
    assert info["timings_ms"]["paste"] > 0
    with Image.open(after) as image:
        assert set(image.text) == {"Software", "method", "model", "prompt", "strength"}
        assert not image.getexif()
    assert b"secret" not in Path(after).read_bytes()
    assert b"holiday" not in Path(after).read_bytes()


def test_a_face_is_chosen_by_its_number(client, tmp_path, monkeypatch):
    found = [face_of_eyes((120, 60), (180, 60)), face_of_eyes((30, 50), (60, 55))]
    monkeypatch.setattr(align, "detect_faces", lambda photo: found)
    path = tmp_path / "group.png"
    picture(3, (300, 200)).save(path)

    def ask(**options):
        options = {"tune": False} | options
        return client.predict(handle_file(path), "a man", api_name="/edit", **options)[2]

    first, second = ask(), ask(face=1)
    assert (first["faces"], first["face"], second["face"]) == (2, 0, 1)
    assert first["boxes"] == second["boxes"]
    assert first["boxes"][1] == pytest.approx(found[1].box, abs=0.1)
    assert first["quad"] != second["quad"]
    assert {"text", "adapter"} <= set(second["stages"])
    for face, sentence in [(2, "Only 2 faces were found"), (-1, "from 0"), (0.5, "from 0")]:
        with pytest.raises(AppError, match=sentence):
            ask(face=face)


def test_strength_and_alignment_have_defaults(client, photo):
    with pytest.raises(AppError, match="No face"):
        client.predict(handle_file(photo), "a man", api_name="/edit")


def test_the_endpoint_is_documented(client):
    endpoint = client.view_api(return_format="dict")["named_endpoints"]["/edit"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == [
        "image", "prompt", "strength", "align", "paste", "face", "tune", "detail"
    ]  # fmt: skip
    assert len(endpoint["returns"]) == 3
    assert "aligned face" in endpoint["description"]
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == [
        "/edit", "/mix", "/explore", "/inspect", "/compare"
    ]  # fmt: skip
    assert [p["parameter_name"] for p in endpoints["/mix"]["parameters"]] == [
        "image", "wishes", "align", "paste", "face", "tune", "detail"
    ]  # fmt: skip
    assert "three wishes" in endpoints["/mix"]["description"]


def text_as_png(folder: Path) -> Path:
    path = folder / "text.png"
    path.write_text("I am not a picture.")
    return path


def half_a_picture(folder: Path) -> Path:
    path = folder / "half.png"
    picture(1).save(path)
    path.write_bytes(path.read_bytes()[:500])
    return path


def noise(folder: Path) -> Path:
    path = folder / "noise.png"
    picture(1).save(path)
    return path


@pytest.mark.parametrize(
    ("make", "changes", "sentence"),
    [
        (text_as_png, {}, "not a picture"),
        (half_a_picture, {}, "damaged"),
        (noise, {"align": "auto"}, "No face was found"),
        (noise, {"prompt": " "}, "Please describe"),
        (noise, {"prompt": "x" * 10_000}, "10,000 characters"),
        (noise, {"strength": 2.5}, "from -2 to 2"),
        (noise, {"strength": "strong"}, "from -2 to 2"),
        (noise, {"align": "yes"}, "Align must be"),
        (noise, {"align": "eyes"}, "Align must be"),
        (noise, {"paste": "yes"}, "Paste must be"),
        (noise, {"tune": "yes"}, "Tune must be"),
        (noise, {"detail": 1}, "Detail must be"),
        (lambda folder: None, {}, "add a picture"),
    ],
)
def test_every_refusal_is_a_sentence_and_the_server_goes_on(
    client, photo, tmp_path, make, changes, sentence
):
    with pytest.raises(AppError, match=sentence) as refusal:
        edit(client, make(tmp_path), **changes)
    assert str(refusal.value).endswith((".", '".'))
    assert "Traceback" not in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)
    assert edit(client, photo)[2]["model"] == "tiny"


@pytest.mark.parametrize(
    "path", ["/etc/hostname", str(Path(__file__).parent.parent / "LICENSE"), "app.py"]
)
def test_files_of_the_server_are_out_of_reach(url, path):
    """A client may not name a file that nobody uploaded."""
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    answer = post(url, [photo, "a man", 1.0, "none"])
    assert "event: error" in answer
    assert path not in answer
    assert "format" not in answer  # which would mean that it was opened


def test_an_upload_that_is_gone_is_asked_for_again(url):
    path = f"{get_upload_folder()}/gone.png"
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    answer = post(url, [photo, "a man", 1.0, "none"])
    assert "add it again" in answer
    assert path not in answer


def post(url: str, data: list) -> str:
    """The endpoint's answer to a request that the client library would not send."""
    event = httpx.post(f"{url}gradio_api/call/edit", json={"data": data}).json()["event_id"]
    return httpx.get(f"{url}gradio_api/call/edit/{event}").text


def test_an_unexpected_failure_is_a_sentence_too(photo, caplog):
    def broken() -> Editor:
        raise MemoryError("secret detail")

    with serve(broken) as address:
        client = Client(address, verbose=False)
        with pytest.raises(AppError, match="went wrong") as refusal:
            edit(client, photo)
    assert "secret" not in str(refusal.value)
    assert "secret detail" in caplog.text  # but whoever runs the server learns of it


def test_missing_weights_are_a_sentence_without_a_path(photo, caplog):
    def missing() -> Editor:
        raise CheckpointError("/srv/checkpoints/x is not there.")

    with serve(missing) as address:
        client = Client(address, verbose=False)
        with pytest.raises(AppError, match="missing or damaged on the server") as refusal:
            edit(client, photo)
    assert "/srv" not in str(refusal.value)
    assert "/srv/checkpoints/x is not there" in caplog.text  # for whoever runs the server


def test_uploads_and_results_are_deleted(models, photo):
    editor = Editor(models)
    with serve(lambda: editor) as address:
        folder = Path(get_upload_folder())
        edit(Client(address, verbose=False), photo)
        assert len(files(folder)) == 3  # the photo, before and after
    assert files(folder) == []  # on shutdown all, before that those of a certain age


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_sessions_get_their_own_pictures(url, tmp_path):
    def visit(seed: int) -> list[np.ndarray]:
        path = tmp_path / f"{seed}.png"
        picture(100 + seed).save(path)
        client = Client(url, verbose=False)
        return [pixels(edit(client, path, f"person {seed}")[1]) for _ in range(2)]

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(visit, range(4)))
    editor = Editor(tiny_models())
    for seed, images in enumerate(seen):
        inversion = editor.invert(picture(100 + seed), "none")
        expected = np.asarray(editor.edit(inversion, f"person {seed}").image)
        assert all(np.array_equal(image, expected) for image in images)


def test_several_wishes(client, photo, calls):
    wishes = [{"prompt": "a bald man", "strength": 0.5}, {"prompt": "red hair", "strength": -1}]
    ask = {"image": handle_file(photo), "align": "none", "tune": False, "api_name": "/mix"}
    before, after, info = client.predict(wishes=wishes, **ask)
    editor = Editor(tiny_models())
    inversion = editor.invert(picture(7), "none")
    expected = editor.mix(inversion, [("a bald man", 0.5), ("red hair", -1)])
    assert np.array_equal(pixels(before), np.asarray(inversion.image))
    assert np.array_equal(pixels(after), np.asarray(expected.image))
    assert info["wishes"] == [wishes[0], wishes[1] | {"strength": -1.0}]
    assert json.loads(Image.open(after).text["wishes"]) == info["wishes"]
    calls.clear()
    client.predict(wishes=[wishes[0], {"prompt": "red hair", "strength": 1}], **ask)
    assert calls == {"generator": 1}
    one = client.predict(wishes=[{"prompt": "a bald man"}], **ask)
    assert np.array_equal(pixels(one[1]), pixels(edit(client, photo)[1]))


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        (None, "Wishes must be a list"),
        ([], "Wishes must be a list"),
        ("red hair", "Wishes must be a list"),
        (["red hair"], "Wishes must be a list"),
        ([{"strength": 1}], "Wishes must be a list"),
        ([{"prompt": "a man", "size": 1}], "Wishes must be a list"),
        ([{"prompt": "a man"}] * 4, "one to 3 wishes"),
        ([{"prompt": {"path": "/etc/hostname"}}], "Please describe"),
        (
            [{"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}],
            "Wishes must be a list",
        ),
        ([{"prompt": "a man", "strength": 3}], "from -2 to 2"),
    ],
)
def test_wishes_that_are_none_get_a_sentence(client, photo, wishes, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(handle_file(photo), wishes, "none", api_name="/mix")
