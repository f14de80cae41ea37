"""The entry that `make demo` and hosting services start."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent


def test_the_page_is_served_on_the_port_that_the_host_names():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                page = httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.TransportError:
                assert server.poll() is None, "the server stopped"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.2)
        assert page.status_code == 200
        assert "CLIPInverter" in page.text
        config = httpx.get(f"http://127.0.0.1:{port}/config").json()
        assert "edit" in [endpoint["api_name"] for endpoint in config["dependencies"]]
    finally:
        server.terminate()
        server.wait(30)


def test_importing_the_package_and_drawing_the_page_need_no_pytorch():
    code = (
        "import sys, clipinverter, clipinverter.domains, clipinverter.ui.layout, "
        "clipinverter.ui.demo; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_an_unknown_domain_is_a_sentence():
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT, env=os.environ | {"DOMAIN": "dogs"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("There is no domain 'dogs'; there are: portraits")
