"""Learning the visitor's photo on the page, and what a visitor must not suffer meanwhile."""

import threading
import time

import pytest

from clipinverter import tuning
from clipinverter.editor import Editor
from clipinverter.photo import align
from tests import test_browser
from tests.serving import serve
from tests.test_browser import (
    DESKTOP,
    SCREENSHOTS,
    ask,
    browser,  # noqa: F401
    choose_file,
    expect,
    is_drawn,
    is_fresh,
    is_learned,
    open_page,
    prompt,
    sources,
    status,
    viewport,  # noqa: F401
)
from tests.tiny import picture, tiny_models

pytestmark = test_browser.pytestmark
SHIFT = """() => {
  window.shift = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
    if (!entry.hadRecentInput) window.shift += entry.value;
  })).observe({ type: "layout-shift", buffered: true });
}"""


@pytest.fixture
def steps(monkeypatch):
    """How many steps learning takes; changed by tests that want it to last."""
    chosen = {"steps": 10}

    def settings():
        return usual(preview_every=2, **chosen)

    usual = tuning.Settings
    monkeypatch.setattr(tuning, "Settings", settings)
    return chosen


@pytest.fixture
def url(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(align, "detect_faces", lambda photo: [])
    for seed in range(3):
        picture(seed, (128, 128)).save(tmp_path / f"{seed}.png")
    editor = Editor(tiny_models())
    with serve(lambda: editor, [tmp_path / "0.png"]) as address:
        yield address


def said(page):
    return page.locator("#learning")


def learners() -> int:
    return sum(thread.name == "preview" for thread in threading.enumerate())


def nobody_learns() -> None:
    deadline = time.monotonic() + 20
    while learners():
        assert time.monotonic() < deadline, "the learning goes on"
        time.sleep(0.05)


def test_a_sketch_at_once_then_the_photo(browser, url, steps, viewport, tmp_path):  # noqa: F811
    page = open_page(browser, url, viewport)
    steps["steps"] = 400
    choose_file(page, tmp_path / "1.png")
    expect(said(page)).to_contain_text("Quick sketch. Learning this face:")
    expect(page.get_by_alt_text("What the model has learned so far")).to_be_visible()
    is_fresh(page)
    before, sketch = sources(page)
    ask(page, "while it learns")  # does not wait for the learning
    expect(said(page)).to_contain_text("Quick sketch")
    waited = sources(page)
    assert waited[0] == before
    assert waited[1] != sketch
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"learning-{viewport['width']}.png")
    expect(said(page)).to_contain_text("Ready: edits now change your own photo", timeout=60_000)
    expect(page.get_by_alt_text("After the edit").first).not_to_have_attribute("src", waited[1])
    expect(status(page)).to_contain_text("“while it learns” 100 %")
    page.get_by_label("Plain model (as published)").check()
    expect(said(page)).to_contain_text("look-alike")
    is_drawn(page)
    expect(page.get_by_alt_text("After the edit").first).to_have_attribute("src", waited[1])
    page.get_by_label("Plain model (as published)").uncheck()
    expect(said(page)).to_contain_text("Ready (remembered)")
    page.context.close()


def test_stop_keeps_the_sketch_and_try_again_learns(browser, url, steps, tmp_path):  # noqa: F811
    page = open_page(browser, url, DESKTOP)
    steps["steps"] = 100_000
    choose_file(page, tmp_path / "1.png")
    expect(said(page)).to_contain_text("Learning this face")
    page.get_by_role("button", name="Stop").first.click()
    expect(said(page)).to_contain_text("We kept the sketch")
    nobody_learns()
    is_fresh(page)
    page.wait_for_timeout(500)
    expect(said(page)).to_contain_text("We kept the sketch")
    steps["steps"] = 10
    page.get_by_role("button", name="Try again").click()
    expect(said(page)).to_contain_text("Ready: edits now change your own photo")
    page.context.close()


def test_another_photo_or_leaving_ends_the_learning(browser, url, steps, tmp_path):  # noqa: F811
    page = open_page(browser, url, DESKTOP)
    steps["steps"] = 100_000
    choose_file(page, tmp_path / "1.png")
    expect(said(page)).to_contain_text("Learning this face")
    steps["steps"] = 10
    choose_file(page, tmp_path / "2.png")
    expect(said(page)).to_contain_text("Ready: edits now change your own photo")
    nobody_learns()
    steps["steps"] = 100_000
    page.get_by_label("I’ll show it").check()
    expect(status(page)).to_contain_text("tap both eyes")
    page.get_by_label("Already cropped").check()
    choose_file(page, tmp_path / "0.png")
    expect(said(page)).to_contain_text("Ready (remembered)")
    picture(9, (128, 128)).save(tmp_path / "9.png")
    choose_file(page, tmp_path / "9.png")
    expect(said(page)).to_contain_text("Learning this face")
    assert learners() == 1
    page.context.close()
    nobody_learns()


def test_an_upload_is_computed_once(browser, url, tmp_path):  # noqa: F811
    page = open_page(browser, url, DESKTOP)
    page.wait_for_timeout(1000)
    joins = []
    page.on("request", lambda r: joins.append(r.url) if "queue/join" in r.url else None)

    def is_new(before):
        expect(page.get_by_alt_text("Before the edit")).not_to_have_attribute("src", before)
        is_learned(page)
        page.wait_for_timeout(1000)

    before = sources(page)[0]
    choose_file(page, tmp_path / "1.png")
    is_new(before)
    assert len(joins) == 2, "one for the sketch, one for learning"
    page.locator("#photo").get_by_label("Remove Image").click()
    expect(status(page)).to_contain_text("choose an example")
    page.wait_for_timeout(1000)  # removing a picture asks the server, too
    joins.clear()
    before = sources(page)[0]
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "2.png")
    is_new(before)
    assert len(joins) == 2
    page.context.close()


def test_nothing_jumps_when_the_page_opens(browser, url, viewport):  # noqa: F811
    page = browser.new_context(viewport=viewport).new_page()
    page.add_init_script(f"({SHIFT})()")
    page.goto(url)
    expect(page.locator("#prompt")).to_be_visible(timeout=30_000)
    expect(status(page)).to_contain_text("No face was found", timeout=60_000)
    page.wait_for_timeout(500)
    assert page.evaluate("window.shift") <= 0.1
    page.context.close()


def test_the_divider_works_by_keys_and_a_swipe_scrolls(browser, url):  # noqa: F811
    page = open_page(browser, url, DESKTOP)
    divider = page.locator("#result input[type=range]")
    assert divider.input_value() == "18", "left of the face"
    divider.focus()
    divider.press("ArrowRight")
    assert divider.input_value() == "19"
    cut = page.locator("#result .frame")
    assert cut.evaluate("f => f.style.getPropertyValue('--cut')") == "19%"
    page.keyboard.down(" ")
    expect(cut).to_have_class("frame peek")
    page.keyboard.up(" ")
    expect(cut).to_have_class("frame")
    assert divider.evaluate("d => getComputedStyle(d).touchAction") == "pan-y"
    page.context.close()


def test_a_phone_keeps_the_picture_in_sight_and_targets_are_large(browser, url):  # noqa: F811
    page = open_page(browser, url, test_browser.PHONE)
    for name in ("Use your own photo", "Download", "Edit"):
        button = page.get_by_role("button", name=name, exact=True)
        button.scroll_into_view_if_needed()
        assert button.bounding_box()["height"] >= 44
        expect(page.get_by_alt_text("After the edit")).to_be_in_viewport(ratio=0.9)
    page.locator("#paste").scroll_into_view_if_needed()
    expect(page.get_by_alt_text("After the edit")).to_be_in_viewport(ratio=0.9)
    page.context.close()


def test_a_projector_is_used(browser, url):  # noqa: F811
    page = open_page(browser, url, {"width": 1920, "height": 1080})
    assert page.locator("#main").bounding_box()["width"] > 1600
    for part in (
        prompt(page),
        page.locator("#status p").first,
        page.locator("#chips button").first,
    ):
        assert part.evaluate("e => parseFloat(getComputedStyle(e).fontSize)") >= 18
    page.screenshot(path=SCREENSHOTS / "edit-1920.png")
    page.context.close()


def test_the_picture_follows_the_slider_while_it_moves(browser, url):  # noqa: F811
    page = open_page(browser, url, DESKTOP)
    ask(page, "while dragging")
    after = page.get_by_alt_text("After the edit").get_attribute("src")
    box = page.locator("#strength input[type=range]").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 2 / 3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=4)
    expect(page.get_by_alt_text("After the edit")).not_to_have_attribute("src", after)
    page.mouse.up()
    page.context.close()
