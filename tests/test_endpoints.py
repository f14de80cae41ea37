"""The endpoints /explore and /inspect, what the API panel says, and the same as tools for models (MCP)."""

import asyncio
import base64
import io
import json
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from clipinverter.editor import Editor
from tests.serving import serve
from tests.tiny import picture, tiny_models

NAMES = ["edit", "mix", "explore", "inspect", "compare"]


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(tiny_models())


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


def test_explore_streams_a_sheet_that_grows(client, photo):
    prompts = ["a smiling woman", "a bald man"]
    job = client.submit(handle_file(photo), prompts, [0.5, 1.0], "none", api_name="/explore")
    answers = [*job]
    assert [len(rows) for _, rows in answers] == [1, 2, 3, 4]
    sheet, rows = answers[-1]
    assert [(r["prompt"], r["strength"]) for r in rows] == [
        ("a smiling woman", 0.5), ("a smiling woman", 1.0), ("a bald man", 0.5), ("a bald man", 1.0)
    ]  # fmt: skip
    assert all(r["clip_after"] is not None and not r["error"] for r in rows)
    with Image.open(sheet) as image:
        assert image.width > 4 * 256


@pytest.mark.parametrize(
    ("prompts", "strengths", "sentence"),
    [
        ([], [1.0], "Please describe"),
        (["a man"], [], "at least one strength"),
        (["a man"], [3], "from -2 to 2"),
        (["a man"] * 3 + [f"man {i}" for i in range(12)], [1], "at most 12"),
        (5, [1], "must be lists"),
        ([{"path": "/etc/passwd"}], [1], "Please describe"),
    ],
)
def test_explore_refuses_in_sentences(client, photo, prompts, strengths, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(handle_file(photo), prompts, strengths, "none", api_name="/explore")


def test_inspect_gives_sizes_and_figures(client, editor, photo):
    ask = handle_file(photo), "a bald man", 1.0, "none"
    after, seen = client.predict(*ask, api_name="/inspect")
    generator = editor.models.generator
    assert len(seen["residual"]) == generator.n_latent
    assert len(seen["remapper_pull"]) == generator.n_latent - 2
    assert list(seen["adapter"]) == ["coarse", "medium", "fine"]
    assert {"psnr edit", "clip photo", "clip edit"} <= set(seen["figures"])
    alone = client.predict(*ask, "remapper", ["fine"], api_name="/inspect")
    assert not any(alone[1]["residual"])
    assert Path(after).read_bytes() != Path(alone[0]).read_bytes()
    with pytest.raises(AppError, match="at least one level"):
        client.predict(*ask, "both", [], api_name="/inspect")


def test_a_plain_request_may_leave_out_what_has_a_default(url, photo):
    with photo.open("rb") as file:
        (path,) = httpx.post(f"{url}gradio_api/upload", files={"files": file}).json()
    data = [{"path": path}, ["a man"], [1.0], "none"]
    for name, given in (("explore", data), ("inspect", [data[0], "a man", 1.0, "none"])):
        call = httpx.post(f"{url}gradio_api/call/{name}", json={"data": given}).json()
        stream = httpx.get(f"{url}gradio_api/call/{name}/{call['event_id']}", timeout=60).text
        assert "event: complete" in stream, stream


def test_examples_are_this_projects(client, url):
    info = httpx.get(f"{url}gradio_api/info").json()
    said = json.dumps(info)
    for foreign in ("Hello", "bus.png", "githubusercontent"):
        assert foreign not in said
    endpoints = info["named_endpoints"]
    assert [name.strip("/") for name in endpoints] == NAMES
    assert said.count("handle_file('photo.jpg')") >= len(NAMES)
    for endpoint in endpoints.values():
        assert len(endpoint["description"]) > 100
        examples = {p["parameter_name"]: p["example_input"] for p in endpoint["parameters"]}
        assert examples["image"]["path"] == "photo.jpg"
        assert "red hair" in json.dumps(examples)
        for parameter in endpoint["parameters"]:
            assert parameter["parameter_name"] != "param_0"


def test_tools_for_models(url, editor):
    mcp = pytest.importorskip("mcp")
    from mcp.client.streamable_http import streamablehttp_client

    pixels = picture(9)

    async def talk() -> tuple:
        async with (
            streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            buffer = io.BytesIO()
            pixels.save(buffer, "PNG")
            data = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
            given = {"image": data, "prompt": "a bald man", "align": "none", "tune": False}

            async def progress(*news: object) -> None:
                """Clients that ask for progress get pictures, others their addresses."""

            result = await session.call_tool("edit", given, progress_callback=progress)
            refused = await session.call_tool("edit", given | {"strength": 9})
            return tools, result, refused

    tools, result, refused = asyncio.run(talk())
    assert sorted(tools) == sorted(NAMES)
    for tool in tools.values():
        assert len(tool.description) > 100
        assert "image" in tool.inputSchema["properties"]
    assert not result.isError
    pictures = [part for part in result.content if part.type == "image"]
    assert len(pictures) == 2
    expected = editor.edit(editor.invert(pixels, "none"), "a bald man").image
    with Image.open(io.BytesIO(base64.b64decode(pictures[1].data))) as image:
        assert image.size == expected.size
    said = "".join(part.text for part in result.content if part.type == "text")
    assert "a bald man" in said
    assert refused.isError
    assert "from -2 to 2" in refused.content[0].text


def test_the_page_can_be_installed(url):
    manifest = httpx.get(f"{url}manifest.json").json()
    assert manifest["name"] == "CLIPInverter"
    icon = httpx.get(url.rstrip("/") + manifest["icons"][0]["src"])
    assert icon.status_code == 200
    assert icon.headers["content-type"].startswith("image/svg")
