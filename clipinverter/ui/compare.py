"""Compare: all methods on the photo of Edit, a card each, behind one divider or side by side."""

import secrets
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr

from clipinverter.errors import UserError
from clipinverter.methods.names import TITLES
from clipinverter.request import Request
from clipinverter.ui import api, places, shown, stage, text, verdicts
from clipinverter.ui.compare_endpoint import QUEUE
from clipinverter.ui.looks import Look, looks
from clipinverter.ui.places import Place

if TYPE_CHECKING:
    from clipinverter.methods.comparison import Card

IDEAS = {
    "clipinverter": "one pass of an encoder for any words",
    "mapper": "a network trained for these words alone",
    "direction": "the same move for every face",
    "optimization": "a search for this face and these words",
}
INTRO = (
    "CLIPInverter and the three methods of StyleCLIP (Patashnik et al., 2021) edit the same photo by the "
    "same words, at the same strength, with the same generator."
)
VIEWS = [("One divider", "divider"), ("Side by side", "row")]


class Widgets(NamedTuple):
    """The components of the comparison."""

    header: gr.HTML
    start: gr.Button
    stop: gr.Button
    view: gr.Radio
    status: gr.HTML
    offers: gr.Dataset
    pictures: dict[str, gr.HTML]
    words: dict[str, gr.HTML]
    files: dict[str, gr.DownloadButton]


def add(place: Place) -> None:
    """Draws the place into the current tab and brings it to life."""
    own, on = _draw(), place.on
    made, stopping = gr.State(None), gr.State(None)

    def arrive(given: dict[Any, Any]) -> dict[Any, Any]:
        return {own.header: places.told(on, given, given[made])}

    def prepare() -> dict[Any, Any]:
        """Before the queue, so that Stop works while others are still first."""
        waiting = {own.words[name]: _card(name, "Waiting") for name in TITLES}
        return waiting | {
            stopping: Event(),
            own.stop: gr.Button(interactive=True),
            own.start: gr.Button(interactive=False),
            own.offers: gr.Dataset(visible=False),
            own.status: text.status("Comparing …"),
        }

    def run(given: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        over = {own.stop: gr.Button(interactive=False), own.start: gr.Button(interactive=True)}
        try:
            with api.refusals():
                given = given | {on.prompt: given[on.prompt] or ""}
                request = shown.requested(on, given)
                yield {own.header: places.told(on, given), made: request}
                seen = looks(place.get_editor, request, given[stopping])
                yield from _shown(own, request, seen)
            yield over
        except UserError as refusal:
            blank = {own.words[name]: _card(name) for name in TITLES}
            yield blank | over | {own.status: text.status(str(refusal), failed=True)}

    private = {"api_visibility": "private", "show_progress": "hidden"}
    outputs = [
        own.header, own.start, own.stop, own.status, own.offers, made, *own.words.values(),
        *own.pictures.values(), *own.files.values(),
    ]  # fmt: skip
    inputs = places.inputs(on)
    # While others are first, the framework shows the place in the queue and the time.
    waiting = {"show_progress": "minimal", "show_progress_on": own.status}

    def then_run(event: Any) -> Any:
        begin = event(prepare, None, [stopping, *outputs], queue=False, **private)
        return begin.then(
            run, inputs | {stopping}, outputs, preprocess=False, **QUEUE, **private | waiting
        )

    then_run(own.start.click)
    taken = own.offers.click(
        lambda sample: sample[0], own.offers, on.prompt, queue=False, **private
    )
    place.ask(then_run(taken.then))
    own.stop.click(
        lambda stop: stop.set() if stop else None, stopping, None, queue=False, **private
    )
    place.tab.select(arrive, inputs | {made}, own.header, preprocess=False, queue=False, **private)
    own.view.change(None, own.view, js=VIEW)


VIEW = (
    """(view) => { document.querySelector("#compare").classList.toggle("row", view === "row"); }"""
)


def _draw() -> Widgets:
    pictures, words, files = {}, {}, {}
    with gr.Column(elem_id="compare"):
        header = places.header("compare-header")
        gr.Markdown(INTRO, elem_id="compare-intro")
        with gr.Row(elem_classes="form"):
            start = gr.Button("Compare all four", variant="primary", scale=0, min_width=200)
            stop = gr.Button("Stop", interactive=False, scale=0, min_width=88)
            view = gr.Radio(VIEWS, value="divider", label="View", elem_id="compare-view")
        status = gr.HTML(elem_id="compare-status", padding=False)
        offers = gr.Dataset(
            components=[gr.Textbox(visible=False)],
            samples=[],
            label="The mapper has networks for these words",
            visible=False,
            elem_id="compare-offers",
        )
        with gr.Row(elem_classes="cards"):
            for name, title in TITLES.items():
                with gr.Column(min_width=230, elem_classes="card"):
                    pictures[name] = stage.draw(
                        *text.SIDES, empty=title, by=name, elem_id=f"compare-{name}"
                    )
                    words[name] = gr.HTML(_card(name), padding=False)
        with gr.Row():
            for kind, label in (
                ("png", "Sheet (PNG)"),
                ("csv", "Table (CSV)"),
                ("json", "Table (JSON)"),
            ):
                files[kind] = gr.DownloadButton(label, interactive=False, size="md")
    return Widgets(header, start, stop, view, status, offers, pictures, words, files)


def _shown(own: Widgets, request: Request, seen: Iterator[Look]) -> Iterator[dict[Any, Any]]:
    """What a comparison changes on the page, look by look."""
    what = text.described([(request.prompt, request.strength)])
    before: dict[str, Any] = {}
    for look in seen:
        if look.learning < 1:
            percent = round(100 * look.learning)
            yield {own.status: text.status(text.LEARNING_FIRST.format(percent=percent))}
            continue
        update: dict[Any, Any] = {}
        for card in look.cards:
            name, after = card.method, look.after[card.method]
            last, shown_before = before.get(name, (None, None))
            if card is not last:
                update[own.words[name]] = _words(card, look.trained)
            if after is not shown_before:
                show = own.pictures[name]
                update[show] = after and stage.pair(show, look.before, after)
            before[name] = card, after
        if update:
            yield update | {own.status: text.status(f"Comparing … · {what}")}
    stopped = any(card.state == "stopped" for card in look.cards)
    line = f"{'Stopped.' if stopped else 'All four are through'} · {what}"
    update = {own.status: text.status(line)}
    if look.trained and any(c.method == "mapper" and c.state == "failed" for c in look.cards):
        samples = [[prompt] for prompt in look.trained]
        update[own.offers] = gr.Dataset(samples=samples, visible=True)
    for kind, path in _write(look.inversion, look.cards, own.files["png"].GRADIO_CACHE).items():
        update[own.files[kind]] = gr.DownloadButton(value=path, interactive=True)
    yield update


def _words(card: "Card", trained: Sequence[str]) -> str:
    """What a card says; for the mapper without these words, that it has others."""
    from clipinverter.methods.report import lines

    if card.state == "failed" and card.method == "mapper":
        note = f"{text.NO_MAPPER} {text.TRY_INSTEAD if trained else ''}"
        return _card(card.method, note.strip(), failed=True)
    if card.state == "running":
        note = text.stage_name(card.note) if card.note else "Running"
        return _card(card.method, note, progress=card.progress)
    said = verdicts.caption(card.clip_gain, card.identity)
    if said and card.edit:
        stopped = ["Stopped; the last step"] if card.state == "stopped" else []
        return _card(card.method, *stopped, said, more=lines(card))
    return _card(card.method, *lines(card), failed=card.state == "failed")


def _card(
    method: str,
    *lines: str,
    progress: float | None = None,
    failed: bool = False,
    more: Sequence[str] = (),
) -> str:
    """HTML of what a card says.

    Args:
        more: lines that a press on "Figures" shows.
    """
    title = TITLES[method]
    kind = "class='failed'" if failed else ""
    said = "".join(f"<p {kind}>{escape(line)}</p>" for line in lines or (IDEAS[method],))
    bar = f"<progress value='{progress:.3f}' aria-label='{title}'></progress>" if progress else ""
    figures = "".join(f"<p>{escape(line)}</p>" for line in more)
    details = f"<details><summary>Figures</summary>{figures}</details>" if more else ""
    return f"<p class='title'>{title}</p>{said}{bar}{details}"


def _write(inversion: Any, cards: "Sequence[Card]", cache: str) -> dict[str, str]:
    """Writes sheet and tables."""
    from clipinverter.methods.report import as_csv, as_json, draw

    folder = Path(cache) / secrets.token_hex(16)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f"comparison.{kind}" for kind in ("png", "csv", "json")}
    prompt = next((card.edit.prompt for card in cards if card.edit), "")
    draw(inversion, prompt, cards).save(paths["png"])
    paths["csv"].write_text(as_csv(cards), encoding="utf-8")
    paths["json"].write_text(as_json(cards), encoding="utf-8")
    return {kind: str(path) for kind, path in paths.items()}
