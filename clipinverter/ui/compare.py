"""The comparison on the page and as an endpoint: all methods on the picture at hand, a card each."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from PIL import Image

from clipinverter.methods.names import TITLES
from clipinverter.ui import api, layout, text

if TYPE_CHECKING:
    from clipinverter.editor import Editor
    from clipinverter.methods.comparison import Card, Comparison

# A lane of its own: the Editor gives edits of others their turn between two steps of a comparison.
QUEUE = {"concurrency_id": "compare", "concurrency_limit": 1}
DEFAULTS = (None, None, 1.0, "auto", 0)  # of the endpoint, in its order
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
    "times in ms, of which `kept` names those of an earlier edit. Arguments as for /edit."
)


class Widgets(NamedTuple):
    """The components of the comparison."""

    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    pictures: dict[str, gr.ImageSlider]
    words: dict[str, gr.HTML]
    files: dict[str, gr.DownloadButton]


def add(on: layout.Widgets, get_editor: "Callable[[], Editor]") -> None:
    """Draws the section into the current `gr.Blocks`, brings it to life and adds the endpoint `/compare`.

    Args:
        on: the widgets of the page; the comparison takes its picture, words and strength.
        get_editor: as for `demo.create_demo`.
    """
    _connect_page(_draw(), on, get_editor)
    _connect_endpoint(on, get_editor)


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
                    pictures[name] = gr.ImageSlider(
                        label=title,
                        format="png",
                        type="pil",
                        interactive=False,
                        buttons=[],
                        max_height=320,
                        elem_id=f"compare-{name}",
                        elem_classes="before-after",
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


def _connect_page(own: Widgets, on: layout.Widgets, get_editor: "Callable[[], Editor]") -> None:
    def prepare() -> dict[Any, Any]:
        """Before the queue, so that Stop works while others are still first."""
        waiting = {own.words[name]: _card(name, "Waiting") for name in TITLES}
        return waiting | {
            stopping: Event(),
            own.stop: gr.Button(interactive=True),
            own.start: gr.Button(interactive=False),
            own.status: text.status("Comparing …"),
        }

    def run(
        photo: Any, prompt: Any, strength: Any, align: Any, pointing: Any, face: Any, stop: Event
    ) -> Iterator[dict[Any, Any]]:
        over = {own.stop: gr.Button(interactive=False), own.start: gr.Button(interactive=True)}
        try:
            yield from _shown(
                _run(get_editor, photo, prompt, strength, align, pointing.eyes, face, stop)
            )
        except api.Refusal as refusal:
            blank = {own.words[name]: _card(name) for name in TITLES}
            yield blank | over | {own.status: text.status(str(refusal), failed=True)}
        else:
            yield over

    def _shown(run: "Iterator[tuple[Any, Sequence[Card]]]") -> Iterator[dict[Any, Any]]:
        before: dict[str, Card] = {}
        saved = _Pictures(own.files["png"].GRADIO_CACHE)
        for inversion, cards in run:
            update: dict[Any, Any] = {}
            for card in cards:
                last = before.get(card.method)
                if card is last:
                    continue
                update[own.words[card.method]] = _words(card)
                after = card.image
                if last is None or after is not last.image:
                    first = saved("before", inversion.image)
                    pair = after and (first, saved(card.method, after))
                    update[own.pictures[card.method]] = pair
                before[card.method] = card
            if update:
                yield update
        stopped = any(card.state == "stopped" for card in cards)
        update = {own.status: text.status("Stopped." if stopped else "All four are through.")}
        for kind, path in _write(inversion, cards, saved.folder).items():
            update[own.files[kind]] = gr.DownloadButton(value=path, interactive=True)
        yield update

    stopping = gr.State(None)
    outputs = [
        own.start, own.stop, own.status, *own.words.values(), *own.pictures.values(),
        *own.files.values(),
    ]  # fmt: skip
    private = {"api_visibility": "private", "show_progress": "hidden"}
    begin = own.start.click(prepare, None, [stopping, *outputs], queue=False, **private)
    begin.then(
        run,
        [on.photo, on.prompt, on.strength, on.align, on.pointing, on.face, stopping],
        outputs,
        preprocess=False,
        **QUEUE,
        **private,
    )
    own.stop.click(
        lambda stop: stop.set() if stop else None, stopping, None, queue=False, **private
    )


def _connect_endpoint(on: layout.Widgets, get_editor: "Callable[[], Editor]") -> None:
    def compare(
        image: Any,
        prompt: Any,
        strength: Any = DEFAULTS[2],
        align: Any = DEFAULTS[3],
        face: Any = DEFAULTS[4],
    ) -> Iterator[tuple]:
        from clipinverter.methods.comparison import row

        align = "" if align == "eyes" else align  # which only the page can ask for
        saved = _Pictures(on.download.GRADIO_CACHE)
        try:
            for inversion, cards in _run(get_editor, image, prompt, strength, align, (), face):
                edits = [card.image and saved(card.method, card.image) for card in cards]
                before = saved("before", inversion.image)
                yield (before, *edits, [row(card) for card in cards])
        except api.Refusal as refusal:
            raise gr.Error(str(refusal), print_exception=False) from None

    pictures = [gr.Image(label=name, format="png", visible=False) for name in ("before", *TITLES)]
    gr.Button(visible=False).click(
        compare,
        [
            on.photo,
            on.prompt,
            on.strength,
            gr.Radio(["auto", "none"], value="auto", label="align", visible=False),
            gr.Number(0, precision=0, label="face", visible=False),
        ],
        [*pictures, gr.JSON(label="methods", visible=False)],
        preprocess=False,
        api_name="compare",
        api_description=ENDPOINT,
        **QUEUE,
    )


@lru_cache(maxsize=1)
def _comparison(editor: "Editor") -> "Comparison":
    """Kept, since the methods keep what they found."""
    from clipinverter.methods.comparison import Comparison

    return Comparison(editor)


def _run(
    get_editor: "Callable[[], Editor]",
    photo: Any,
    prompt: Any,
    strength: Any,
    align: Any,
    eyes: Sequence[Any],
    face: Any,
    stop: Event | None = None,
) -> "Iterator[tuple[Any, Sequence[Card]]]":
    """The inversion with every look at the cards. Raises `api.Refusal`."""
    from clipinverter.request import check_prompt, check_strength

    with api.refusals():
        prompt, strength = check_prompt(prompt), check_strength(strength)
        editor, inversion = api.invert(get_editor, photo, align, None, face, eyes)
        cards = _comparison(editor).run(inversion, prompt, strength, stop)
        try:
            for card in cards:
                yield inversion, card
        finally:
            cards.close()


def _words(card: "Card") -> str:
    from clipinverter.methods.report import lines

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
