"""The comparison in a real browser. Screenshots for looking at are written to runs/screenshots."""

import json
import re
import threading
import time

import pytest
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.methods import comparison, latent_optimization
from clipinverter.methods.comparison import THREAD
from clipinverter.methods.names import TITLES
from clipinverter.methods.settings import Settings
from clipinverter.photo import align
from tests import test_browser
from tests.serving import serve
from tests.test_browser import (
    DESKTOP,
    SCREENSHOTS,
    ask,
    browser,  # noqa: F401
    expect,
    open_page,
    viewport,  # noqa: F401
)
from tests.tiny import DOMAIN, picture, tiny_models

pytestmark = test_browser.pytestmark


@pytest.fixture
def steps(monkeypatch):
    """How long the optimisation is; read by the first comparison of a server."""
    monkeypatch.setattr(
        comparison, "GRACE", 10.0
    )  # a busy machine needs longer to draw the last step
    chosen = {"steps": 40}
    own = lambda domain: Settings(steps=chosen["steps"])  # noqa: E731
    monkeypatch.setattr(latent_optimization, "settings_of", own)
    return chosen


@pytest.fixture
def url(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(align, "detect_faces", lambda photo: [])
    path = tmp_path / "0.png"
    picture(0, (128, 128)).save(path)
    editor = Editor(tiny_models())
    with serve(lambda: editor, [path]) as address:
        yield address


def open_comparison(browser, url, size=DESKTOP):  # noqa: F811
    page = open_page(browser, url, size)
    page.get_by_role("tab", name="Compare").click()
    return page


STEP = re.compile(r"step \d+ of")  # not "the last step" of a run before


def start(page):
    return page.get_by_role("button", name="Compare all four")


def state(page):
    return page.locator("#compare-status")


def card(page, method):
    return page.locator("#compare .card").filter(has_text=TITLES[method]).first


def workers() -> int:
    return sum(thread.name == THREAD for thread in threading.enumerate())


def test_one_press_runs_all_methods(browser, url, viewport, tmp_path):  # noqa: F811
    page = open_comparison(browser, url, viewport)
    start(page).click()
    expect(state(page)).to_contain_text("All four are through", timeout=90_000)
    for method in ("clipinverter", "optimization"):
        expect(card(page, method)).to_contain_text("the words")
        card(page, method).get_by_text("Figures").click()
        expect(card(page, method).get_by_text("CLIP score")).to_be_visible()
        expect(card(page, method).get_by_text("Once a prompt")).to_be_visible()
        expect(page.get_by_alt_text(f"Before the edit by {method}")).to_be_visible()
        expect(page.get_by_alt_text(f"After the edit by {method}")).to_be_visible()
    expect(state(page)).to_contain_text(f"“{DOMAIN.suggestions[0]}” 1")
    expect(card(page, "mapper")).to_contain_text("These words have no network of their own")
    expect(card(page, "direction")).to_contain_text("styleclip relevance")
    for label, name in (("Sheet (PNG)", "png"), ("Table (CSV)", "csv"), ("Table (JSON)", "json")):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        download.value.save_as(tmp_path / name)
    with Image.open(tmp_path / "png") as sheet:
        assert sheet.width > 1500
    rows = json.loads((tmp_path / "json").read_text())
    assert [row["method"] for row in rows] == list(TITLES)
    assert len((tmp_path / "csv").read_text().splitlines()) == 5
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= viewport["width"], "the page scrolls sideways"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / f"compare-{viewport['width']}.png", full_page=True)
    page.context.close()


def test_stop_in_the_middle_and_compare_again(browser, url, steps):  # noqa: F811
    steps["steps"] = 100_000
    page = open_comparison(browser, url)
    for _ in range(2):
        start(page).click()
        expect(card(page, "optimization")).to_contain_text(STEP, timeout=60_000)
        expect(page.get_by_alt_text("After the edit by optimization")).to_be_visible()
        assert workers() == 1
        page.get_by_role("button", name="Stop").click()
        expect(state(page)).to_contain_text("Stopped", timeout=60_000)
        expect(card(page, "optimization")).to_contain_text("the last step")
        deadline = time.monotonic() + 30
        while workers():
            assert time.monotonic() < deadline, "the comparison runs on"
            page.wait_for_timeout(50)
    # Edits work as before, and a visitor who leaves leaves no work behind.
    page.get_by_role("tab", name="Edit").click()
    ask(page, "after a stop")
    page.get_by_role("tab", name="Compare").click()
    start(page).click()
    expect(card(page, "optimization")).to_contain_text(STEP, timeout=60_000)
    page.context.close()
    deadline = time.monotonic() + 30
    while workers():
        assert time.monotonic() < deadline, "the comparison runs on"
        time.sleep(0.1)


def test_without_words_it_says_so(browser, url):  # noqa: F811
    page = open_page(browser, url, DESKTOP)
    page.get_by_label("How should the person look?").fill("")
    page.get_by_role("tab", name="Compare").click()
    start(page).click()
    expect(state(page)).to_contain_text("Please describe", timeout=30_000)
    expect(start(page)).to_be_enabled()
    page.context.close()
