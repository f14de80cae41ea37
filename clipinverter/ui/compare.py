"""The comparison on the page and as an endpoint: all methods on the picture at hand, a card each."""

import secrets
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from PIL import Image

from clipinverter.errors import UserError
from clipinverter.methods.names import TITLES
from clipinverter.request import Request
from clipinverter.ui import api, layout, shown, stage, text
from clipinverter.ui.looks import Look, looks
from clipinverter.ui.receive import DEFAULTS, Defaults, receive

if TYPE_CHECKING:
    from clipinverter.methods.comparison import Card

# A lane of its own: the Editor gives edits of others their turn between two steps of a comparison.
QUEUE = {"concurrency_id": "compare", "concurrency_limit": 1}
IDEAS = {
    "clipinverter": "one pass of an encoder for any words",
    "mapper": "a network trained for these words alone",
    "direction": "the same move for every face",
    "optimization": "a search for this face and these words",
}
INTRO = (
    "CLIPInverter and the three methods of StyleCLIP (Patashnik et al., 2021) edit the same picture "
    "by the same words, at the strength set above. *CLIP score*: how much closer the picture came "
    "to the words. *Same person*: 1 for the same face. Times: once a picture, then once for new "
    "words, then for every other strength; *kept* is what an earlier edit left behind."
)
ENDPOINT = (
    "Edits a portrait by text with all four methods: CLIPInverter, and StyleCLIP's latent mapper, "
    "global direction and latent optimisation. Streams: every answer holds the picture before, the "
    "picture of each method as far as there is one, and as JSON a row for each method with its "
    "`state` (waiting, running, done, stopped, failed), a `note`, `clip_gain`, `identity`, and "
    "times in ms, of which `kept` names those of an earlier edit. Arguments as for /edit; the photo "
    "is learned first, and all four methods draw it alike. `styleclip` may be a JSON text with settings of "
    'StyleCLIP\'s methods, e.g. `{"steps": 100}`: `neutral`, `target`, `alpha` and `beta` of the global '
    "direction, and `steps`, `l2` and `identity` of the latent optimisation."
)


class Widgets(NamedTuple):
    """The components of the comparison."""

    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    pictures: dict[str, gr.HTML]
    words: dict[str, gr.HTML]
    files: dict[str, gr.DownloadButton]


def add(on: layout.Widgets, get_editor: api.GetEditor, inputs: Sequence[Any]) -> None:
    """Draws the section into the current `gr.Blocks`, brings it to life and adds the endpoint `/compare`.

    Args:
        on: the widgets of the page; the comparison takes its picture, words and strength.
        get_editor: as for `demo.create_demo`.
        inputs: the arguments of the endpoint.
    """
    _connect_page(_draw(), on, get_editor)
    _connect_endpoint(on, get_editor, inputs)


def _draw() -> Widgets:
    pictures, words, files = {}, {}, {}
    with gr.Accordion("Compare with StyleCLIP", open=False, elem_id="compare"):
        gr.Markdown(INTRO)
        with gr.Row():
            start = gr.Button("Compare all four", variant="primary")
            stop = gr.Button("Stop", interactive=False)
        status = gr.HTML(elem_id="compare-status", padding=False)
        with gr.Row():
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
    return Widgets(start, stop, status, pictures, words, files)


def _connect_page(own: Widgets, on: layout.Widgets, get_editor: api.GetEditor) -> None:
    def prepare() -> dict[Any, Any]:
        """Before the queue, so that Stop works while others are still first."""
        waiting = {own.words[name]: _card(name, "Waiting") for name in TITLES}
        return waiting | {
            stopping: Event(),
            own.stop: gr.Button(interactive=True),
            own.start: gr.Button(interactive=False),
            own.status: text.status("Comparing …"),
        }

    def run(given: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        over = {own.stop: gr.Button(interactive=False), own.start: gr.Button(interactive=True)}
        try:
            with api.refusals():
                given = given | {on.prompt: given[on.prompt] or ""}
                request = shown.requested(on, given)
                yield from _shown(own, request, looks(get_editor, request, given[stopping]))
            yield over
        except UserError as refusal:
            blank = {own.words[name]: _card(name) for name in TITLES}
            yield blank | over | {own.status: text.status(str(refusal), failed=True)}

    stopping = gr.State(None)
    outputs = [
        own.start, own.stop, own.status, *own.words.values(), *own.pictures.values(),
        *own.files.values(),
    ]  # fmt: skip
    private = {"api_visibility": "private", "show_progress": "hidden"}
    begin = own.start.click(prepare, None, [stopping, *outputs], queue=False, **private)
    inputs = {
        on.photo, on.prompt, on.strength, on.align, on.pointing, on.face, on.paste, on.plain, stopping
    }  # fmt: skip
    # While others are first, the framework shows the place in the queue and the time.
    waiting = {"show_progress": "minimal", "show_progress_on": own.status}
    begin.then(run, inputs, outputs, preprocess=False, **QUEUE, **private | waiting)
    own.stop.click(
        lambda stop: stop.set() if stop else None, stopping, None, queue=False, **private
    )


def _shown(own: Widgets, request: Request, seen: Iterator[Look]) -> Iterator[dict[Any, Any]]:
    """What a comparison changes on the page, look by look."""
    what = f"{request.photo.name}, “{request.prompt}”, strength {request.strength:g}"
    before: dict[str, Any] = {}
    saved = _Pictures(own.files["png"].GRADIO_CACHE)
    for look in seen:
        if look.learning < 1:
            percent = round(100 * look.learning)
            yield {own.status: text.status(f"{what}. Learning this face first: {percent} %")}
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
            yield update | {own.status: text.status(f"Comparing {what} …")}
    stopped = any(card.state == "stopped" for card in look.cards)
    line = f"Stopped. {what}" if stopped else f"All four are through. {what}"
    update = {own.status: text.status(line)}
    for kind, path in _write(look.inversion, look.cards, saved.folder).items():
        update[own.files[kind]] = gr.DownloadButton(value=path, interactive=True)
    yield update


def _connect_endpoint(on: layout.Widgets, get_editor: api.GetEditor, inputs: Sequence[Any]) -> None:
    def compare(
        image: Any,
        prompt: Any,
        strength: Any = DEFAULTS.strength,
        align: Any = DEFAULTS.align,
        paste: Any = DEFAULTS.paste,
        face: Any = DEFAULTS.face,
        tune: Any = DEFAULTS.tune,
        detail: Any = DEFAULTS.detail,
        styleclip: Any = None,
    ) -> Iterator[tuple]:
        from clipinverter.methods.comparison import row

        given = Defaults(image, prompt or "", strength, align, paste, face, tune, detail)
        saved = _Pictures(on.download.GRADIO_CACHE)
        try:
            with api.refusals():
                for look in looks(get_editor, receive(given), styleclip=styleclip):
                    edits = [after and saved(name, after) for name, after in look.after.items()]
                    rows = [row(card) for card in look.cards]
                    if look.learning < 1:
                        rows = [r | {"note": f"learning {look.learning:.0%}"} for r in rows]
                    yield (saved("before", look.before), *edits, rows)
        except UserError as refusal:
            raise gr.Error(str(refusal), print_exception=False) from None

    pictures = [gr.Image(label=name, format="png", visible=False) for name in ("before", *TITLES)]
    gr.Button(visible=False).click(
        compare,
        [*inputs, gr.Textbox(None, label="styleclip", visible=False)],
        [*pictures, gr.JSON(label="methods", visible=False)],
        preprocess=False,
        api_name="compare",
        api_description=ENDPOINT,
        **QUEUE,
    )


def _words(card: "Card", trained: Sequence[str]) -> str:
    """What a card says; for the mapper without these words, the words that it has."""
    from clipinverter.methods.report import lines

    if card.state == "failed" and card.method == "mapper":
        offered = "; ".join(f"“{prompt}”" for prompt in trained)
        note = f"{text.NO_MAPPER} {text.TRY_INSTEAD.format(prompts=offered) if trained else ''}"
        return _card(card.method, note.strip(), failed=True)
    if card.state == "running":
        note = text.stage_name(card.note) if card.note else "Running"
        return _card(card.method, note, progress=card.progress)
    return _card(card.method, *lines(card), failed=card.state == "failed")


def _card(method: str, *lines: str, progress: float | None = None, failed: bool = False) -> str:
    """HTML of what a card says."""
    title = TITLES[method]
    kind = "class='failed'" if failed else ""
    said = "".join(f"<p {kind}>{escape(line)}</p>" for line in lines or (IDEAS[method],))
    bar = f"<progress value='{progress:.3f}' aria-label='{title}'></progress>" if progress else ""
    return f"<p class='title'>{title}</p>{said}{bar}"


class _Pictures:
    """Writes the pictures of a run, each once, where the framework serves files and deletes them later.

    Left to the framework, a picture that is shown again is written again while a browser may be reading it.
    """

    def __init__(self, cache: str) -> None:
        self.folder = Path(cache) / secrets.token_hex(16)
        self._count = 0
        self._latest: dict[str, tuple[Image.Image, str]] = {}

    def __call__(self, place: str, image: Image.Image) -> str:
        """The file of the picture at a place: a method's name, or "before"."""
        last, path = self._latest.get(place, (None, ""))
        if image is not last:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = str(self.folder / f"{self._count}.png")
            self._count += 1
            image.save(path)
            self._latest[place] = image, path
        return path


def _write(inversion: Any, cards: "Sequence[Card]", folder: Path) -> dict[str, str]:
    """Writes sheet and tables."""
    from clipinverter.methods.report import as_csv, as_json, draw

    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f"comparison.{kind}" for kind in ("png", "csv", "json")}
    prompt = next((card.edit.prompt for card in cards if card.edit), "")
    draw(inversion, prompt, cards).save(paths["png"])
    paths["csv"].write_text(as_csv(cards), encoding="utf-8")
    paths["json"].write_text(as_json(cards), encoding="utf-8")
    return {kind: str(path) for kind, path in paths.items()}
