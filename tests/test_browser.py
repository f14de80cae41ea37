"""The page in a real browser. Screenshots for looking at are written to runs/screenshots."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from PIL import Image

from clipinverter.editor import Editor
from clipinverter.photo import align
from clipinverter.photo.faces import detect_faces, face_of_eyes
from clipinverter.photo.load import load_photo
from tests.serving import serve
from tests.tiny import DOMAIN, picture, tiny_models

playwright = pytest.importorskip("playwright.sync_api")
expect, Page = playwright.expect, playwright.Page

CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SCREENSHOTS = Path(__file__).parent.parent / "runs" / "screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# By size of the picture.
FACES = {
    (300, 200): [face_of_eyes((190, 70), (240, 70)), face_of_eyes((40, 60), (70, 65))],
    (310, 200): [face_of_eyes((190, 70), (240, 70))],
}
PHOTOGRAPHS = (512, 512), (512, 600)  # sizes of scikit-image's and matplotlib's


def look_for_faces(photo: Image.Image) -> list:
    """In photographs for real; in all others those of `FACES`."""
    return detect_faces(photo) if photo.size in PHOTOGRAPHS else FACES.get(photo.size, [])


pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed (or set CHROMIUM)"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("examples")
    paths = [folder / f"{seed}.png" for seed in range(4)]
    for seed, path in enumerate(paths):
        picture(seed, (128, 128)).save(path)
    editor = Editor(tiny_models())
    with pytest.MonkeyPatch.context() as patch, serve(lambda: editor, paths) as address:
        # Looking for faces where there are none takes seconds.
        patch.setattr(align, "detect_faces", look_for_faces)
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def viewport(request) -> dict[str, int]:
    return request.param


@pytest.fixture
def page(browser, url) -> Iterator[Page]:
    page = open_page(browser, url, DESKTOP)
    yield page
    page.context.close()


def open_page(browser, url: str, viewport: dict[str, int]) -> Page:
    """A visitor's page, after the greeting: the first example has no face, and the page says so."""
    page = browser.new_context(viewport=viewport).new_page()
    page.set_default_timeout(20_000)
    page.goto(url)
    expect(status(page)).to_contain_text("No face was found", timeout=60_000)
    page.get_by_label("Already cropped").check()
    expect(status(page)).to_contain_text(DOMAIN.suggestions[0], timeout=20_000)
    is_learned(page)
    return page


def is_learned(page: Page) -> None:
    """The photo has been learned, and the pictures on the stage are there."""
    expect(page.locator("#learning")).to_contain_text("Ready", timeout=60_000)
    is_drawn(page)


def is_drawn(page: Page) -> None:
    """The stage shows the latest pictures."""
    page.wait_for_timeout(100)
    expect(page.locator("#result .frame")).not_to_have_attribute("aria-busy", "true")


def status(page: Page):
    return page.locator("#status")


def prompt(page: Page):
    return page.get_by_label("How should the person look?")


def ask(page: Page, words: str) -> None:
    """Asks for an edit and waits until it is there."""
    prompt(page).fill(words)
    prompt(page).press("Enter")
    expect(status(page)).to_contain_text(f"“{words}” ")
    is_drawn(page)


def sources(page: Page) -> list[str]:
    return page.locator("#result img[alt$='the edit']").evaluate_all(
        "images => images.map(i => i.src)"
    )


def choose(page: Page, number: int) -> None:
    """Takes an example and waits until it is the picture to edit, as any visitor does before typing."""
    photo = page.get_by_alt_text("Before the edit")
    before = photo.get_attribute("src")
    page.get_by_label(f"Example {number}").click()
    expect(photo).not_to_have_attribute("src", before)
    is_learned(page)


def drag_strength(page: Page, share: float) -> None:
    slider = page.locator("#strength input[type=range]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 2 / 3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * share, middle, steps=5)
    page.mouse.up()


def test_from_an_example_to_an_edit(browser, url, viewport):
    page = open_page(browser, url, viewport)
    choose(page, 2)
    ask(page, f"a bald man on a screen {viewport['width']} wide")
    expect(page.get_by_alt_text("Before the edit")).to_be_visible()
    expect(page.get_by_alt_text("After the edit")).to_be_visible()
    expect(page.locator("#result")).to_be_in_viewport()
    before, after = sources(page)
    assert before != after

    drag_strength(page, 2.8 / 3)
    expect(status(page)).to_contain_text(re.compile(r"18[05] %"))  # the thumb has a width
    expect(status(page)).to_contain_text(
        re.compile(r"Generator \d+ ms.* · cached: inversion, .*text")
    )
    expect(page.get_by_alt_text("After the edit")).not_to_have_attribute("src", after)
    assert sources(page)[0] == before

    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= viewport["width"], "the page scrolls sideways"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / f"edit-{viewport['width']}.png", full_page=True)
    page.context.close()


def test_nothing_is_fetched_from_elsewhere_and_nothing_fails(browser, url):
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    addresses, errors = [], []
    page.on("request", lambda request: addresses.append(request.url))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    expect(status(page)).to_contain_text("No face was found", timeout=60_000)
    foreign = [a for a in addresses if not a.startswith((url, "data:", "blob:"))]
    assert addresses
    assert foreign == []
    assert errors == []
    context.close()


def test_a_prompt_is_shown_as_text(page):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    ask(page, "a <b>bald</b> man <img src=x onerror=alert(1)> & co")
    page.wait_for_timeout(500)
    assert dialogs == []


def test_a_suggestion_fills_the_prompt_and_runs(page):
    page.get_by_role("button", name=DOMAIN.suggestions[1]).click()
    expect(prompt(page)).to_have_value(DOMAIN.suggestions[1])
    expect(status(page)).to_contain_text(f"“{DOMAIN.suggestions[1]}” 100 %")


def test_the_strength_follows_the_keyboard(page):
    ask(page, "by keyboard")
    _, after = sources(page)
    slider = page.locator("#strength input[type=range]")
    slider.focus()
    slider.press("ArrowLeft")
    expect(status(page)).to_contain_text("95 %")
    expect(page.get_by_alt_text("After the edit")).not_to_have_attribute("src", after)
    page.get_by_label("Reset to default value").click()
    expect(status(page)).to_contain_text("100 %")


def test_the_latest_strength_wins(page):
    ask(page, "one after the other")
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        drag_strength(page, share)
    expect(status(page)).to_contain_text("200 %")
    page.wait_for_timeout(1000)
    expect(status(page)).to_contain_text("200 %")


def test_a_bad_file_and_an_empty_prompt_give_a_sentence_and_lose_nothing(page, tmp_path):
    ask(page, "before the bad file")
    pictures = sources(page)
    prompt(page).fill("")
    prompt(page).press("Enter")
    expect(status(page)).to_contain_text("Please describe")
    assert sources(page) == pictures

    path = tmp_path / "text.png"
    path.write_text("I am not a picture.")
    prompt(page).fill("a woman")
    choose_file(page, path)
    expect(status(page)).to_contain_text("not a picture of a known format")
    assert sources(page) == pictures
    is_stale(page)

    page.get_by_label("Example 3").click()
    expect(status(page)).to_contain_text("“a woman”")
    expect(page.get_by_alt_text("Before the edit")).not_to_have_attribute("src", pictures[0])
    is_fresh(page)
    page.locator("#photo").get_by_label("Remove Image").click()
    expect(status(page)).to_contain_text("Use your own photo, or choose an example")
    is_stale(page)


def test_an_uploaded_picture_is_shown_as_the_model_draws_it(page, tmp_path):
    path = tmp_path / "mine.jpg"
    picture(50, (300, 200)).save(path)
    prompt(page).fill("")
    choose_file(page, path)
    expect(status(page)).to_contain_text("Now describe a change")
    expect(page.get_by_alt_text("Before the edit")).to_be_visible()


def choose_file(page: Page, path: Path) -> None:
    """Takes a file with "Use your own photo"."""
    page.locator("#files input[type=file]").set_input_files(path)


def is_stale(page: Page) -> None:
    """The pictures of an earlier photo are dimmed and can't be downloaded."""
    expect(page.get_by_alt_text("After the edit")).to_have_css("opacity", "0.3")
    expect(page.get_by_role("button", name="Download", exact=True)).to_be_disabled()


def is_fresh(page: Page) -> None:
    """The pictures belong to the photo."""
    expect(page.get_by_alt_text("After the edit")).to_have_css("opacity", "1")
    expect(page.get_by_role("button", name="Download", exact=True)).to_be_enabled()


def upload(page: Page, path: Path, size: tuple[int, int]) -> None:
    picture(60, size).save(path)
    choose_file(page, path)


def tap(page: Page, x: float, y: float) -> None:
    """Points at a place of the small picture, given in shares of its width and height."""
    image = page.get_by_alt_text("The picture, to point at the face")
    expect(image).to_be_visible()
    page.wait_for_timeout(500)  # the page scrolls to it by itself
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    width, height = image.evaluate("i => [i.naturalWidth, i.naturalHeight]")
    scale = min(box["width"] / width, box["height"] / height)  # the picture may not fill its box
    left = box["x"] + (box["width"] - width * scale) / 2
    top = box["y"] + (box["height"] - height * scale) / 2
    page.mouse.click(left + x * width * scale, top + y * height * scale)


def test_one_of_several_faces_is_chosen(browser, url, viewport, tmp_path):
    page = open_page(browser, url, viewport)
    page.get_by_label("Find it").check()
    expect(status(page)).to_contain_text("No face")
    upload(page, tmp_path / "group.png", (300, 200))
    expect(status(page)).to_contain_text("2 faces in this picture")
    expect(page.locator("#face")).to_contain_text("Which face?")
    _, first = sources(page)
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / f"faces-{viewport['width']}.png")

    tap(page, 55 / 300, 70 / 200)
    expect(page.locator("#face").get_by_label("2", exact=True)).to_be_checked()
    expect(page.get_by_alt_text("After the edit")).not_to_have_attribute("src", first)
    page.locator("#face").get_by_label("1", exact=True).check()
    expect(status(page)).to_contain_text(re.compile(r"Cached: inversion, .*text, adapter"))

    upload(page, tmp_path / "single.png", (310, 200))
    expect(page.locator("#face")).to_be_hidden()
    expect(page.locator("#pick")).to_be_hidden()
    page.context.close()


def test_a_face_that_is_not_found_is_shown_by_its_eyes(browser, url, viewport, tmp_path):
    page = open_page(browser, url, viewport)
    photo, first = page.get_by_alt_text("Before the edit"), sources(page)[0]
    upload(page, tmp_path / "none.png", (200, 300))
    expect(photo).not_to_have_attribute("src", first)
    is_learned(page)
    page.get_by_label("I’ll show it").check()
    expect(status(page)).to_contain_text("tap both eyes")
    _, after = sources(page)
    tap(page, 0.4, 0.4)
    expect(status(page)).to_contain_text("Now the other eye")
    tap(page, 0.6, 0.41)
    expect(page.get_by_alt_text("After the edit")).not_to_have_attribute("src", after)
    expect(status(page)).to_contain_text(DOMAIN.suggestions[0])
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / f"eyes-{viewport['width']}.png", full_page=True)

    # Another picture is looked at anew; where nothing is found, the eyes can be tapped at once.
    upload(page, tmp_path / "other.png", (210, 300))
    expect(status(page)).to_contain_text("No face was found")
    expect(page.locator("#learning")).to_be_empty()
    is_stale(page)
    expect(page.get_by_label("Find it")).to_be_checked()
    for x in (0.4, 0.6):
        tap(page, x, 0.4)
        page.wait_for_timeout(500)
    expect(status(page)).to_contain_text(DOMAIN.suggestions[0])
    expect(page.get_by_label("I’ll show it")).to_be_checked()
    page.context.close()


def test_the_whole_picture_comes_back(page, tmp_path):
    page.get_by_label("Find it").check()
    expect(status(page)).to_contain_text("No face was found")
    upload(page, tmp_path / "photo.png", (310, 200))
    ask(page, "all of it")
    page.get_by_label("Put the face back").check()
    expect(status(page)).to_contain_text(re.compile(r"Put back .* cached: inversion, .*text"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    path = tmp_path / "downloaded.png"
    download.value.save_as(path)
    with Image.open(path) as image, Image.open(tmp_path / "photo.png") as photo:
        assert image.size == photo.size
        assert image.text["prompt"] == "all of it"
        assert image.crop((0, 0, 80, 200)).tobytes() == photo.crop((0, 0, 80, 200)).tobytes()
        assert image.tobytes() != photo.tobytes()


def photographs(folder: Path) -> dict[str, Path]:
    """Photographs of people that the test dependencies ship, saved as phones and scanners do."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        hopper = Image.open(file).convert("RGB")
    astronaut = Image.fromarray(skimage.data.astronaut())
    turned, exif = hopper.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "phone.jpg", exif=exif, quality=95)
    astronaut.save(folder / "astronaut.webp", quality=95)
    astronaut.convert("CMYK").save(folder / "print.tif")
    Image.fromarray(skimage.data.camera()).save(folder / "grey.png")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["phone.jpg", "astronaut.webp", "print.tif", "grey.png"])
def test_photographs_are_edited_and_come_back_whole(page, tmp_path, name):
    folder = tmp_path / "photographs"
    folder.mkdir()
    path = photographs(folder)[name]
    prompt(page).fill("")
    page.get_by_label("Find it").check()
    expect(status(page)).to_contain_text("No face was found")
    choose_file(page, path)
    expect(status(page)).to_contain_text("Now describe a change")
    page.get_by_label("Put the face back").check()
    ask(page, f"somebody else, {name}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    saved = tmp_path / "downloaded.png"
    download.value.save_as(saved)
    photo = load_photo(path)
    with Image.open(saved) as image:
        assert image.size == photo.size
        assert image.info.keys() == {"Software", "method", "model", "prompt", "strength"}
        same = np.asarray(image) == np.asarray(photo)
    assert 0.5 < same.all(axis=2).mean() < 0.98
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / f"whole-{name}.png", full_page=True)


def test_the_download_is_the_after_picture_with_its_origin(page, tmp_path):
    ask(page, "to be downloaded")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    path = tmp_path / "downloaded.png"
    download.value.save_as(path)
    with Image.open(path) as image:
        assert image.text["prompt"] == "to be downloaded"
        assert image.size == (128, 128), "the photo's own"
    assert download.value.suggested_filename == "clipinverter-to-be-downloaded-100.png"


def test_two_visitors_see_their_own_pictures(browser, url):
    pages = [open_page(browser, url, DESKTOP) for _ in range(2)]
    for number, page in enumerate(pages, start=2):
        choose(page, number)
    for number, page in enumerate(pages, start=1):
        prompt(page).fill(f"visitor {number}")
    for page in pages:
        prompt(page).press("Enter")
    for number, page in enumerate(pages, start=1):
        expect(status(page)).to_contain_text(f"“visitor {number}”")
    first, second = (sources(page) for page in pages)
    assert not set(first) & set(second)
    for page in pages:
        page.context.close()
