"""The place Edit in a real browser: wishes, history, what is saved, what survives, talk mode."""

import re
from pathlib import Path

import pytest
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.photo import align
from clipinverter.photo.faces import face_of_eyes
from tests import test_browser
from tests.serving import serve
from tests.test_browser import (
    DESKTOP,
    PHONE,
    SCREENSHOTS,
    ask,
    browser,  # noqa: F401
    expect,
    is_drawn,
    is_learned,
    prompt,
    sources,
    status,
)
from tests.tiny import DOMAIN, picture, tiny_models

pytestmark = test_browser.pytestmark
PROJECTOR = {"width": 1920, "height": 1080}
GREETING = DOMAIN.suggestions[0]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    paths = [folder / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(paths):
        picture(seed, (128, 128)).save(path)
    editor = Editor(tiny_models())
    with pytest.MonkeyPatch.context() as patch, serve(lambda: editor, paths) as address:
        patch.setattr(align, "detect_faces", lambda photo: [face_of_eyes((45, 50), (83, 50))])
        yield address


@pytest.fixture(params=[DESKTOP, PHONE, PROJECTOR], ids=["desktop", "phone", "projector"])
def page(request, browser, url):  # noqa: F811
    context = browser.new_context(viewport=request.param, has_touch=request.param is PHONE)
    page = context.new_page()
    page.set_default_timeout(20_000)
    foreign = []
    page.on(
        "request",
        lambda r: foreign.append(r.url) if not r.url.startswith((url, "data:", "blob:")) else None,
    )
    open_at(page, url)
    yield page
    context.close()
    assert foreign == []


@pytest.fixture
def desktop(browser, url):  # noqa: F811
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.set_default_timeout(20_000)
    open_at(page, url)
    yield page
    context.close()


def open_at(page, address: str, words: str = GREETING) -> None:
    page.goto(address)
    expect(status(page)).to_contain_text(words, timeout=60_000)
    is_learned(page)


def thumbnails(page):
    return page.locator("#strip [role=listitem]")


def slider(page, number: int = 1):
    return page.locator(f"#strength{f'-{number}' if number > 1 else ''} input[type=range]")


def test_several_wishes_are_mixed(page):
    ask(page, "red hair")
    one = sources(page)[1]
    page.get_by_role("button", name="+ add a wish").click()
    second = page.get_by_label("Wish 2", exact=True)
    second.fill("curls")
    second.press("Enter")
    expect(status(page)).to_contain_text("“red hair” 100 % · “curls” 100 %")
    is_drawn(page)
    both = sources(page)[1]
    assert both != one
    slider(page, 2).focus()
    slider(page, 2).press("Home")
    expect(status(page)).to_contain_text("“curls” −100 %")
    expect(status(page)).to_contain_text("Below 0 the edit goes away from “curls”")
    is_drawn(page)
    assert sources(page)[1] not in (one, both)
    page.get_by_role("button", name="+ add a wish").click()
    expect(page.get_by_label("Wish 3", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="+ add a wish")).to_be_hidden()
    width = page.viewport_size["width"]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"wishes-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#remove-1").click()
    expect(prompt(page)).to_have_value("curls")
    expect(status(page)).to_contain_text("“curls” −100 %")
    expect(page.get_by_label("Wish 3", exact=True)).to_be_hidden()


def test_chips_fill_the_focused_or_the_first_empty_row(desktop):
    page = desktop
    chip = page.locator("#chips").get_by_role("button", name=DOMAIN.suggestions[1])
    chip.click()  # the greeting makes room
    expect(prompt(page)).to_have_value(DOMAIN.suggestions[1])
    expect(status(page)).to_contain_text(f"“{DOMAIN.suggestions[1]}” 100 %")
    page.locator("#chips").get_by_role("button", name=GREETING).click()
    expect(page.get_by_label("Wish 2", exact=True)).to_have_value(GREETING)
    expect(status(page)).to_contain_text(f"“{DOMAIN.suggestions[1]}” 100 % · “{GREETING}” 100 %")
    prompt(page).fill("red hair")
    prompt(page).press("Enter")  # which leaves the focus there
    expect(status(page)).to_contain_text("“red hair” 100 % ·")
    chip.click()
    expect(prompt(page)).to_have_value(f"red hair, {DOMAIN.suggestions[1]}")


def test_surprise_me_asks_for_something_new(desktop):
    desktop.get_by_role("button", name="Surprise me").click()
    expect(prompt(desktop)).to_have_value(DOMAIN.suggestions[1])
    expect(status(desktop)).to_contain_text(f"“{DOMAIN.suggestions[1]}”")


def test_undo_redo_and_the_strip(page):
    ask(page, "red hair")
    red = sources(page)
    ask(page, "curls")
    expect(thumbnails(page)).to_have_count(3)
    page.get_by_role("button", name="Undo").click()
    expect(prompt(page)).to_have_value("red hair")
    expect(page.get_by_alt_text("After the edit").first).to_have_attribute("src", red[1])
    expect(page.get_by_role("button", name="Redo")).to_be_enabled()
    page.get_by_role("button", name="Redo").click()
    expect(prompt(page)).to_have_value("curls")
    expect(page.get_by_role("button", name="Redo")).to_be_disabled()
    expect(status(page)).to_contain_text("“curls”")
    thumbnails(page).nth(0).get_by_role("button").click()
    expect(prompt(page)).to_have_value(GREETING)
    expect(status(page)).to_contain_text(GREETING)
    expect(thumbnails(page).nth(0).get_by_role("button")).to_have_attribute("aria-current", "true")
    page.locator("#main").evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+Shift+Z")
    expect(prompt(page)).to_have_value("red hair")
    expect(status(page)).to_contain_text("“red hair”")
    page.keyboard.press("Control+Z")
    expect(prompt(page)).to_have_value(GREETING)
    expect(thumbnails(page)).to_have_count(3)


def test_a_result_becomes_the_photo(desktop):
    page = desktop
    ask(page, "red hair")
    before, after = sources(page)
    page.get_by_role("button", name="Keep and continue").click()
    expect(prompt(page)).to_have_value("")
    expect(page.get_by_alt_text("Before the edit")).not_to_have_attribute("src", before)
    is_learned(page)
    expect(page.get_by_label("Already cropped")).to_be_checked()
    ask(page, "curls")
    assert sources(page)[1] != after
    page.get_by_role("button", name="Undo").click()
    expect(prompt(page)).to_have_value("")
    expect(page.get_by_role("button", name="Redo")).to_be_enabled()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_alt_text("Before the edit")).to_have_attribute("src", before)
    expect(prompt(page)).to_have_value("red hair")


def saved(page, button: str, tmp_path: Path) -> tuple[str, Path]:
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name=button, exact=True).click()
    name = download.value.suggested_filename
    download.value.save_as(tmp_path / name)
    return name, tmp_path / name


def test_what_can_be_saved(desktop, tmp_path):
    ask(desktop, "red hair")
    name, path = saved(desktop, "Before + after", tmp_path)
    assert name == "clipinverter-red-hair-100-before-after.png"
    with Image.open(path) as image:
        assert image.width > 2 * image.height
        assert image.text["prompt"] == "red hair"
    name, path = saved(desktop, "GIF", tmp_path)
    assert name == "clipinverter-red-hair-100.gif"
    with Image.open(path) as image:
        assert image.n_frames > 2
    name, path = saved(desktop, "MP4", tmp_path)
    assert name == "clipinverter-red-hair-100.mp4"
    assert b"ftyp" in path.read_bytes()[:16]


def test_words_and_example_survive_a_refresh(desktop, url):
    page = desktop
    photo = page.get_by_alt_text("Before the edit")
    first = photo.get_attribute("src")
    page.get_by_label("Example 3").click()
    expect(photo).not_to_have_attribute("src", first)
    is_learned(page)
    ask(page, "red hair")
    slider(page).focus()
    slider(page).press("ArrowLeft")
    expect(status(page)).to_contain_text("95 %")
    expect(page).to_have_url(re.compile(r"\?example=3&wish=red\+hair:0\.95$"))
    third = sources(page)[0]
    page.reload()
    expect(status(page)).to_contain_text("“red hair” 95 %")
    is_learned(page)
    assert sources(page)[0] == third
    open_at(page, url, "“red hair” 95 %")  # without an address, the browser knows
    assert sources(page)[0] == third
    open_at(page, f"{url}?example=2&wish=curls:0.5&wish=smile:-1", "“curls” 50 % · “smile” −100 %")
    assert sources(page)[0] not in (first, third)
    open_at(page, f"{url}?example=99&wish=:x&wish=%00:9&nothing=1", "100 %")


def test_holding_the_picture_shows_the_photo(page):
    frame = page.locator("#result .frame")
    box = frame.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    expect(frame).to_have_class(re.compile("peek"))
    assert page.locator("#result input[type=range]").input_value() == "18"
    page.mouse.up()
    expect(frame).not_to_have_class(re.compile("peek"))


def test_what_changed_is_shown(desktop):
    desktop.get_by_label("Show what changed").check()
    expect(desktop.locator("#result .before")).to_have_css("mix-blend-mode", "difference")
    desktop.get_by_label("Show what changed").uncheck()
    expect(desktop.locator("#result .before")).to_have_css("mix-blend-mode", "normal")


def test_a_picture_is_pasted_anywhere(desktop):
    before = sources(desktop)[0]
    desktop.evaluate(
        """async () => {
          const canvas = new OffscreenCanvas(128, 128), pen = canvas.getContext("2d");
          pen.fillStyle = "teal";
          pen.fillRect(0, 0, 90, 128);
          const file = new File([await canvas.convertToBlob()], "mine.png", { type: "image/png" });
          const clipboardData = new DataTransfer();
          clipboardData.items.add(file);
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }"""
    )
    expect(desktop.get_by_alt_text("Before the edit")).not_to_have_attribute("src", before)
    is_learned(desktop)
    expect(desktop).not_to_have_url(re.compile("example="))


def test_a_restarted_server_is_said(desktop):
    desktop.route("**/app_id", lambda route: route.fulfill(json={"app_id": 1}))
    expect(desktop.get_by_role("alert")).to_contain_text("The server was restarted", timeout=40_000)


@pytest.mark.parametrize("viewport", [DESKTOP, PROJECTOR], ids=["desktop", "projector"])
def test_talk_mode(browser, url, viewport):  # noqa: F811
    page = browser.new_context(viewport=viewport).new_page()
    open_at(page, f"{url}?talk=1")
    picture_ = page.locator("#result .frame").bounding_box()
    assert picture_["height"] >= (0.8 if viewport is PROJECTOR else 0.6) * viewport["height"]
    expect(page.locator("#result .caption")).to_have_text(f"“{GREETING}” 100 %")
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("#main *")].filter((e) => e.checkVisibility({ visibilityProperty: true })
          && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
          .map((e) => [parseFloat(getComputedStyle(e).fontSize), e.textContent])"""
    )
    assert sizes
    assert [size for size in sizes if size[0] < 24] == []
    page.keyboard.press("2")
    expect(page.locator("#result .caption")).to_have_text(f"“{DOMAIN.suggestions[1]}” 100 %")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#result .caption")).to_have_text(f"“{DOMAIN.suggestions[1]}” 110 %")
    page.screenshot(path=SCREENSHOTS / f"talk-{viewport['width']}.png")
    page.context.close()
