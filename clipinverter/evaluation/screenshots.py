"""Pictures of the page for README and docs, of the real page in headless chromium: `make screenshots`."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from PIL import Image

from clipinverter.domains import ROOT
from clipinverter.errors import UserError

SIZE = {"width": 1280, "height": 1030}
PATIENCE = 300_000  # ms for each step; a busy machine learns a face slowly
QUALITY = 85
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def take(folder: Path) -> list[Path]:
    """Writes page.png and a JPEG of each other place to a folder.

    Raises:
        UserError: there is no chromium, or the page does not start.
    """
    from playwright.sync_api import sync_playwright

    chromium = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if not chromium:
        raise UserError("No chromium was found. Install it, or name it in CHROMIUM.")
    written = []
    with _served() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        page.goto(url)
        _says(page, "#learning", "Ready")
        written.append(_write(page, folder / "page.png", whole=False))
        page.get_by_role("tab", name="Explore").click()
        page.locator("#explore-start").click()
        _says(page, "#explore-status", "All ")
        written.append(_write(page, folder / "explore.jpg"))
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Compare all four").click()
        _says(page, "#compare-status", "All four")
        written.append(_write(page, folder / "compare.jpg"))
        page.get_by_role("tab", name="Inspect").click()
        _says(page, "#inspect-status", "the parts")
        page.wait_for_timeout(1500)  # the plots are drawn
        written.append(_write(page, folder / "inspect.jpg"))
        browser.close()
    return written


def _says(page: Any, place: str, words: str) -> None:
    page.wait_for_function(
        "([place, words]) => document.querySelector(place)?.innerText.includes(words)",
        arg=[place, words],
    )


def _write(page: Any, path: Path, *, whole: bool = True) -> Path:
    page.wait_for_timeout(800)  # a cross-fade ends
    image = Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB")
    if path.suffix == ".png":
        image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    else:
        image.save(path, quality=QUALITY)
    return path


@contextmanager
def _served() -> Iterator[str]:
    """The page, by app.py, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            if server.poll() is not None:
                break
            try:
                urlopen(url, timeout=5).close()
                yield url
                return
            except OSError:
                time.sleep(0.5)
        raise UserError("The page did not start; the reason is above.")
    finally:
        server.terminate()
        server.wait(30)
