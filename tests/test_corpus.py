"""Whatever is sent: a valid picture or a sentence, no traceback, and the server answers after it."""

import json

import httpx
import pytest
from PIL import Image

from clipinverter.__main__ import main
from clipinverter.editor import Editor
from clipinverter.photo import align
from clipinverter.weights import load
from tests.corpus import GOOD, MIXES, REQUESTS, files
from tests.serving import serve
from tests.tiny import picture, tiny_models


@pytest.fixture(scope="module")
def models():
    return tiny_models()


@pytest.fixture(scope="module")
def http(models):
    editor = Editor(models)
    with (
        pytest.MonkeyPatch.context() as patch,
        serve(lambda: editor) as url,
        httpx.Client(base_url=f"{url}gradio_api", timeout=60) as client,
    ):
        patch.setattr(
            align, "detect_faces", lambda photo: []
        )  # how long it takes is tested elsewhere
        yield client


def upload(http, name: str, content: bytes) -> str:
    return http.post("/upload", files={"files": (name, content)}).json()[0]


def ask(http, path, request, endpoint="edit") -> tuple[str, list | str]:
    """The kind of the answer, and what it holds."""
    data = json.dumps({"data": [path and {"path": path}, *request]})
    sent = http.post(
        f"/call/{endpoint}", content=data, headers={"Content-Type": "application/json"}
    )
    if sent.status_code != 200:
        return "refused", sent.text
    events = http.get(f"/call/{endpoint}/{sent.json()['event_id']}").text
    kind, content = events.strip().rsplit("\n\n", 1)[-1].split("\n", 1)
    return kind.removeprefix("event: "), json.loads(content.removeprefix("data: "))


def assert_fine(http, kind, content) -> None:
    """It is a picture that opens, or one or two sentences for a person."""
    if kind == "complete":
        with Image.open(httpx_file(http, content[1])) as image:
            assert image.size == (32, 32) or image.size[0] > 0
            image.load()
        return
    said = content if isinstance(content, str) else content.get("error")
    assert said, (kind, content)
    assert "Traceback" not in said
    assert "/tmp" not in said
    assert said.rstrip('"}').endswith((".", ")"))


def httpx_file(http, value):
    import io

    return io.BytesIO(
        http.get(httpx.URL(value["url"]).raw_path.decode().replace("/gradio_api", "")).content
    )


def test_files_over_the_endpoint(http):
    corpus = [*files()]
    assert len(corpus) >= 150
    kinds = []
    for name, content in corpus:
        kind, answer = ask(http, upload(http, name, content), GOOD)
        assert_fine(http, kind, answer)
        kinds.append(kind)
    assert kinds.count("complete") > 30
    assert kinds.count("error") > 60
    assert kinds[-1] == "complete"  # a good one, after all of them


def test_prompts_and_parameters_over_the_endpoint(http, tmp_path):
    assert len(REQUESTS) >= 60
    picture(9).save(tmp_path / "x.png")
    path = upload(http, "x.png", (tmp_path / "x.png").read_bytes())
    for request in REQUESTS:
        assert_fine(http, *ask(http, path, request))
    for wishes in MIXES:
        assert_fine(http, *ask(http, path, [wishes, "none", False, 0, False], "mix"))
    assert ask(http, path, GOOD)[0] == "complete"


@pytest.fixture
def commands(tmp_path, monkeypatch, models):
    monkeypatch.setattr(load, "load_models", lambda domain, device=None: models)
    monkeypatch.setattr(align, "detect_faces", lambda photo: [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_in_a_folder(commands, capsys):
    """One run over all of them: each has a line, and none stops it."""
    (commands / "in").mkdir()
    for number, (name, content) in enumerate(files()):
        if name.endswith((".png", ".jpg", ".webp", ".gif", ".tiff", ".bmp", ".jpeg")):
            (commands / "in" / f"{number}-{name}"[:240]).write_bytes(content)
    assert main(["edit", "in", "a man", "-o", "out", "--align", "none", "--plain"]) == 1
    capsys.readouterr()
    lines = [
        json.loads(line) for line in (commands / "out/manifest.jsonl").read_text().split("\n")[:-1]
    ]
    assert len(lines) == len([*(commands / "in").iterdir()])
    for line in lines:
        if line["status"] == "done":
            Image.open(commands / "out" / line["output"]).load()
        else:
            assert line["error"].endswith(".")
            assert "could not be edited" not in line["error"], line


def test_prompts_and_parameters_on_the_command_line(commands, capsys):
    picture(9).save("photo.png")
    for prompt, strength, where, _, face, _ in REQUESTS:
        options = [f"--strength={strength}", f"--align={where}", f"--face={face}"]
        arguments = ["edit", "--plain", "-o", "out.png", *options, "--", "photo.png", str(prompt)]
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
        assert status in (0, 1, 2)
        said = capsys.readouterr().err
        assert (status == 0) == (not said), (arguments, said)
        assert "Traceback" not in said
