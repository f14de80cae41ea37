"""The places Explore, Compare and Inspect in a real browser, offline, and what holds for the whole page.

Screenshots for looking at are written to runs/screenshots.
"""

import json
from collections.abc import Iterator

import pytest
from PIL import Image
from safetensors import safe_open

from clipinverter.editor import Editor
from clipinverter.methods import latent_optimization
from clipinverter.methods.settings import Settings
from clipinverter.photo import align
from tests import test_browser
from tests.serving import serve
from tests.test_browser import (
    DESKTOP,
    PHONE,
    SCREENSHOTS,
    browser,  # noqa: F401
    expect,
    open_page,
    prompt,
    status,
)
from tests.tiny import DOMAIN, picture, tiny_models

pytestmark = test_browser.pytestmark
PROJECTOR = {"width": 1920, "height": 1080}
SIZES = {"desktop": DESKTOP, "phone": PHONE, "projector": PROJECTOR}
SHIFT = """() => new Promise((done) => {
  new PerformanceObserver((list) => done(list.getEntries().reduce(
    (sum, entry) => sum + (entry.hadRecentInput ? 0 : entry.value), 0)))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(0), 500);
})"""


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("examples") / "0.png"
    picture(0, (128, 128)).save(path)
    editor = Editor(tiny_models())
    with pytest.MonkeyPatch.context() as patch, serve(lambda: editor, [path]) as address:
        patch.setattr(align, "detect_faces", lambda photo: [])
        patch.setattr(latent_optimization, "settings_of", lambda domain: Settings(steps=10))
        yield address


@pytest.fixture(params=list(SIZES))
def size(request) -> str:
    return request.param


@pytest.fixture
def page(browser, url):  # noqa: F811
    page = watched(browser, url, DESKTOP)
    yield page
    leave(page)


def watched(browser, url, viewport):  # noqa: F811
    """A page after its greeting. `leave` fails if it asked other hosts for anything or wrote errors."""
    page = open_page(browser, url, viewport)
    page.wrong = []
    page.on("console", lambda line: page.wrong.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("response", lambda r: page.wrong.append(f"{r.status} {r.url}") if r.status > 399 else 0)
    page.on("request", lambda r: page.wrong.append(r.url) if is_foreign(r.url, url) else None)
    return page


def is_foreign(address: str, url: str) -> bool:
    return not address.startswith((url, "data:", "blob:"))


def leave_open(page) -> None:
    page.wait_for_timeout(1500)  # the panel asks for what it shows
    assert page.wrong == []


def leave(page) -> None:
    wrong, width = page.wrong, page.viewport_size["width"]
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.context.close()
    assert wrong == []
    assert wide <= width, "the page scrolls sideways"


def go(page, place: str) -> None:
    page.get_by_role("tab", name=place).click()


def picture_of(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def explore(page) -> None:
    go(page, "Explore")
    page.get_by_role("button", name="Try them on this face").click()
    expect(page.locator("#explore-status")).to_contain_text("All 2 edits", timeout=60_000)


def tiles(page, place: str):
    return page.locator(f"#{place} .tile")


def test_explore_fills_in_and_a_click_goes_on_in_edit(browser, url, size, tmp_path):  # noqa: F811
    page = watched(browser, url, SIZES[size])
    explore(page)
    expect(tiles(page, "explore-grid")).to_have_count(len(DOMAIN.suggestions))
    expect(tiles(page, "explore-grid").nth(1)).to_contain_text("the words")
    picture_of(page, f"explore-{size}")
    for label, suffix in (("Download as a sheet", "png"), ("Download the figures", "csv")):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        assert download.value.suggested_filename == f"explore.{suffix}"
        download.value.save_as(tmp_path / suffix)
    assert len((tmp_path / "csv").read_text().splitlines()) == 1 + len(DOMAIN.suggestions)
    with Image.open(tmp_path / "png") as sheet:
        assert sheet.width > 2 * 256
    tiles(page, "explore-grid").nth(1).get_by_role("button").click()
    expect(prompt(page)).to_have_value(DOMAIN.suggestions[1])
    expect(status(page)).to_contain_text(f"“{DOMAIN.suggestions[1]}” 1")
    leave(page)


def test_prompts_times_strengths(page):
    go(page, "Explore")
    page.get_by_label("Prompts").fill("a man\n\na woman with a hat")
    page.get_by_label("50 %", exact=True).check()
    page.get_by_role("button", name="Try them on this face").click()
    expect(page.locator("#explore-status")).to_contain_text("All 4 edits", timeout=60_000)
    expect(tiles(page, "explore-grid").nth(2)).to_contain_text("a woman with a hat · 50 %")
    page.get_by_label("Prompts").fill("")
    page.get_by_role("button", name="Try them on this face").click()
    expect(page.locator("#explore-status")).to_contain_text("Please describe")
    expect(page.get_by_role("button", name="Try them on this face")).to_be_enabled()


def test_several_photos(page, tmp_path):
    paths = [tmp_path / f"person {i}.png" for i in range(2)]
    for i, path in enumerate(paths):
        picture(i, (128, 128)).save(path)
    go(page, "Explore")
    page.get_by_role("button", name="Several photos").click()
    page.get_by_role("button", name="Try them on all photos").click()
    expect(page.locator("#explore-status")).to_contain_text("add the photos first")
    page.locator("#explore-several input[type=file]").set_input_files(paths)
    expect(page.locator("#explore-several")).to_contain_text("person 1")
    page.get_by_role("button", name="Try them on all photos").click()
    expect(page.locator("#explore-status")).to_contain_text("All 4 edits", timeout=60_000)
    # Nobody's face is found in these: each cell says so.
    expect(tiles(page, "explore-grid").nth(3)).to_contain_text("No face was found")


def test_compare_says_what_it_compares_and_when_that_is_outdated(browser, url, size):  # noqa: F811
    page = watched(browser, url, SIZES[size])
    go(page, "Compare")
    header = page.locator("#compare-header")
    expect(header).to_contain_text(f"“{DOMAIN.suggestions[0]}” 100 %")
    page.get_by_role("button", name="Compare all four").click()
    expect(page.locator("#compare-status")).to_contain_text("All four", timeout=90_000)
    card = page.locator("#compare .card").first
    expect(card).to_contain_text("the words")
    expect(card.get_by_text("CLIP score")).to_be_hidden()
    card.get_by_text("Figures").click()
    expect(card.get_by_text("CLIP score")).to_be_visible()
    picture_of(page, f"compare-{size}")
    # One divider moves all.
    dividers = page.locator("#compare .stage input[type=range]:not([hidden])")
    dividers.first.focus()
    dividers.first.press("ArrowRight")
    values = dividers.evaluate_all("all => all.map((divider) => divider.value)")
    assert len(values) > 1
    assert len(set(values)) == 1
    page.get_by_label("Side by side").check()
    expect(dividers.first).to_be_hidden()
    expect(header.locator(".outdated")).to_be_hidden()
    go(page, "Edit")
    prompt(page).fill("somebody else")
    go(page, "Compare")
    expect(header.locator(".outdated")).to_contain_text("Run it again")
    leave(page)


def test_inspect_shows_the_parts_of_the_edit(browser, url, size):  # noqa: F811
    page = watched(browser, url, SIZES[size])
    go(page, "Inspect")
    expect(page.locator("#inspect-status")).to_contain_text("the parts of the edit", timeout=60_000)
    titles = tiles(page, "inspect-pictures").locator("b").all_text_contents()
    assert titles == ["Crop", "Inversion", "Tuned inversion", "Edit", "Difference", "Mask"]
    expect(page.locator("#inspect-figures")).to_contain_text("PSNR")
    expect(page.locator("#inspect-timeline")).to_contain_text("generator")
    expect(page.locator("#inspect-residual")).to_be_visible()
    expect(page.locator("#inspect-call")).to_contain_text(f"prompt='{DOMAIN.suggestions[0]}'")
    picture_of(page, f"inspect-{size}")
    edit = tiles(page, "inspect-pictures").nth(3).locator("img")
    before = edit.get_attribute("src")
    page.get_by_label("Remapper only").check()
    expect(edit).not_to_have_attribute("src", before)
    leave(page)


def test_latents_are_saved_and_restored(page, tmp_path):
    go(page, "Inspect")
    expect(page.locator("#inspect-status")).to_contain_text("the parts of the edit", timeout=60_000)
    with page.expect_download() as download:
        page.locator("#inspect-save").click()
    path = tmp_path / "mine.safetensors"
    download.value.save_as(path)
    with safe_open(path, framework="pt") as file:
        assert {"w_plus", "crop"} <= set(file.keys())
    restore = page.locator("input[type=file][accept*='safetensors']")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no latents")
    restore.set_input_files(broken)
    expect(page.locator("#inspect-status")).to_contain_text("another model, or they are damaged")
    restore.set_input_files(path)
    expect(prompt(page)).to_be_visible()
    expect(page.get_by_label("Already cropped")).to_be_checked()
    expect(status(page)).to_contain_text(DOMAIN.suggestions[0])


def test_a_saved_picture_brings_its_words_back(page, tmp_path):
    prompt(page).fill("words to come back")
    prompt(page).press("Enter")
    expect(status(page)).to_contain_text("“words to come back”")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    download.value.save_as(tmp_path / "saved.png")
    prompt(page).fill("other words")
    go(page, "Inspect")
    page.locator("input[type=file][accept*='safetensors']").set_input_files(tmp_path / "saved.png")
    expect(prompt(page)).to_have_value("words to come back")
    expect(status(page)).to_contain_text("“words to come back”")


def test_the_api_panel_opens_without_an_error(page):
    page.get_by_role("button", name="Use via API").click()
    expect(page.get_by_text("MCP Tool").filter(visible=True).first).to_be_visible()
    leave_open(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, url, scheme):  # noqa: F811
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = watched(browser, url, DESKTOP)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{url}?__theme={scheme}")
    expect(status(page)).to_contain_text("No face was found", timeout=60_000)
    page.get_by_label("Already cropped").check()
    expect(status(page)).to_contain_text(DOMAIN.suggestions[0])
    found = {}
    page.get_by_role("button", name="About").click()
    for place in ("Edit", "Explore", "Compare", "Inspect"):
        if place == "Explore":
            explore(page)
            page.get_by_role("button", name="Several photos").click()
        else:
            go(page, place)
        if place == "Inspect":
            expect(page.locator("#inspect-status")).to_contain_text("the parts", timeout=60_000)
            page.get_by_role("button", name="Details").click()
        page.wait_for_timeout(500)  # colours fade in
        found[place] = serious(axe.run(page).response)
    page.context.close()
    assert not any(found.values()), json.dumps(found, indent=1)


def serious(report: dict) -> list[str]:
    return [
        f"{fault['id']}: {node['html'][:160]}"
        for fault in report["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def test_targets_on_a_phone_are_large_enough(browser, url):  # noqa: F811
    page = watched(browser, url, PHONE)
    small = {}
    explore(page)
    for place in ("Edit", "Explore", "Compare", "Inspect"):
        go(page, place)
        page.wait_for_timeout(300)
        small[place] = page.evaluate(
            """() => [...document.querySelectorAll("#places button, #places summary, #places select")]
              .filter((e) => e.checkVisibility({ visibilityProperty: true })
                && !e.matches("[tabindex='-1'], .cm-editor *"))
              .map((e) => [e.getBoundingClientRect(), e.outerHTML.slice(0, 120)])
              .filter(([box]) => box.width && (box.height < 43.5 || box.width < 43.5))
              .map(([box, html]) => `${Math.round(box.width)}x${Math.round(box.height)} ${html}`)"""
        )
    leave(page)
    assert not any(small.values()), json.dumps(small, indent=1)


def test_all_is_done_by_keyboard(browser, url):  # noqa: F811
    page = watched(browser, url, DESKTOP)
    press = page.keyboard.press
    tab(page, "textarea, input[type=text]", "How should the person look?")
    press("Control+A")
    page.keyboard.type("by keyboard")
    press("Enter")
    expect(status(page)).to_contain_text("“by keyboard”")
    page.get_by_role("tab", name="Edit").focus()
    for place in ("Explore", "Compare", "Inspect"):
        tab(page, "[role=tab]", place)
        press("Enter")
        expect(page.get_by_role("tab", name=place)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#inspect-status")).to_contain_text("the parts", timeout=60_000)
    tab(page, "[role=tab]", "Explore", back=True)
    press("Enter")
    tab(page, "button", "Try them on this face")
    press("Enter")
    expect(page.locator("#explore-status")).to_contain_text("All 2 edits", timeout=60_000)
    tab(page, "button", f"Go on in Edit with “{DOMAIN.suggestions[1]}”")
    press("Enter")
    expect(status(page)).to_contain_text(f"“{DOMAIN.suggestions[1]}”")
    leave(page)


def tab(page, kind: str, name: str, *, back: bool = False) -> None:
    """Presses Tab until an element of that kind with that name has the focus."""
    for _ in range(120):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        said = page.evaluate(
            """(kind) => {
              const e = document.activeElement;
              return e.matches(kind) ? [e.ariaLabel, e.textContent,
                ...[...(e.labels || [])].map((l) => l.textContent)].join(" ") : "";
            }""",
            kind,
        )
        if name in said:
            return
    raise AssertionError(f"Tab never reaches {name!r}")


@pytest.mark.parametrize("name", list(SIZES))
def test_nothing_jumps(browser, url, name):  # noqa: F811
    """The least of up to three visits counts: on a busy machine parts of the page arrive late, and one by one."""
    shifts = []
    for _ in range(3):
        page = watched(browser, url, SIZES[name])
        for place in ("Explore", "Compare", "Inspect"):
            go(page, place)
            page.wait_for_timeout(500)
        shifts.append(page.evaluate(SHIFT))
        leave(page)
        if shifts[-1] <= 0.1:
            break
    assert min(shifts) <= 0.1, shifts


def test_the_page_speaks_the_visitors_language(browser, url):  # noqa: F811
    context = browser.new_context(viewport=DESKTOP, locale="de-DE")
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_role("tab", name="Vergleichen")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("tab", name="Untersuchen")).to_be_visible()
    expect(page.get_by_label("Schon zugeschnitten")).to_be_visible()
    assert "__i18n__" not in page.inner_text("body")
    context.close()
