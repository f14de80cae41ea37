"""The entry that `make demo` and hosting services start."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from clipinverter.ui import text

ROOT = Path(__file__).parent.parent


@contextmanager
def running(**changes: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """app.py as a process of its own, and the address of its page."""
    port = changes.setdefault("PORT", str(free_port()))
    environment = os.environ | {"GRADIO_SERVER_NAME": "127.0.0.1"} | changes
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
                break
            except httpx.TransportError:
                assert server.poll() is None, "the server stopped"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.2)
        yield server, f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(**changes: str) -> subprocess.CompletedProcess:
    """app.py where it can't start."""
    return subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | changes,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_the_page_is_served_on_the_port_that_the_host_names():
    with running() as (_, url):
        page = httpx.get(url)
        assert page.status_code == 200
        assert "CLIPInverter" in page.text
        config = httpx.get(f"{url}config").json()
        assert "edit" in [endpoint["api_name"] for endpoint in config["dependencies"]]


@pytest.mark.parametrize(("endpoint", "tune"), [("edit", True), ("compare", False)])
def test_sigterm_in_the_middle_ends_it_with_a_sentence_and_leaves_no_picture(
    tmp_path, endpoint, tune
):
    """In the middle of a tuning, and of a comparison."""
    photo = min((ROOT / "assets/photos").glob("*.jpg"))
    with running(GRADIO_TEMP_DIR=str(tmp_path)) as (server, url):
        files = {"files": photo.read_bytes()}
        (path,) = httpx.post(f"{url}gradio_api/upload", files=files).json()
        assert Path(path).is_relative_to(tmp_path)
        assert Path(path).is_file()
        call = f"{url}gradio_api/call/{endpoint}"
        request = {"data": [{"path": path}, "a smiling man", 1.0, "none", False, 0, tune]}
        event = httpx.post(call, json=request).json()["event_id"]
        said = ""
        with httpx.stream("GET", f"{call}/{event}", timeout=120) as s, suppress(httpx.ReadError):
            lines = s.iter_lines()
            next(line for line in lines if line == "event: generating")
            before = time.monotonic()
            server.terminate()
            for line in lines:
                said += line
        server.wait(30)
        assert time.monotonic() - before < 2
        assert text.ENDING in said
    assert not [*tmp_path.iterdir()]


def test_a_proxy_does_not_keep_the_server_from_starting():
    nowhere = f"http://127.0.0.1:{free_port()}"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"), nowhere)
    with running(**proxies, no_proxy="", NO_PROXY="") as (_, url):
        assert httpx.get(f"{url}config", trust_env=False).status_code == 200


def test_a_port_in_use_is_said():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = start(PORT=str(port), GRADIO_SERVER_NAME="127.0.0.1")
        assert done.returncode == 1
        assert done.stderr.strip().endswith(
            f"Port {port} can't be used: another program has it, or this user may not."
        )
        assert "Traceback" not in done.stderr
        environment = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=os.environ | environment,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            said = next(line for line in server.stdout if "in use" in line)
        finally:
            server.terminate()
            server.communicate(timeout=30)
    assert re.fullmatch(rf"Port {port} is in use, so the page is on port \d+\.\n", said)


def test_what_is_no_port_is_a_sentence():
    for name, value in [("PORT", "abc"), ("PORT", "99999"), ("GRADIO_SERVER_PORT", "abc")]:
        done = start(**{name: value})
        assert done.returncode == 1
        assert done.stderr.startswith(f"{name} has to be a number from 1 to 65535, not")
        assert "Traceback" not in done.stderr


def test_importing_the_package_and_drawing_the_page_need_no_pytorch():
    code = (
        "import sys, clipinverter, clipinverter.domains, clipinverter.ui.layout, "
        "clipinverter.ui.demo; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_an_unknown_domain_is_a_sentence():
    done = start(DOMAIN="dogs")
    assert done.returncode == 1
    assert done.stderr.startswith("There is no domain 'dogs'; there are: portraits")
