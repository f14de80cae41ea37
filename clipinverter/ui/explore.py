"""Explore: many edits of one face, or of several photos, filled in as they are computed."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import gradio as gr

from clipinverter.batch import Job
from clipinverter.errors import UsageError, UserError
from clipinverter.request import Request
from clipinverter.ui import api, places, text, tiles, verdicts, wishing
from clipinverter.ui.cells import STRENGTHS, cells, wishes_of
from clipinverter.ui.places import Place
from clipinverter.ui.shown import Update
from clipinverter.ui.uploads import path_of

QUEUE = {"concurrency_id": "explore", "concurrency_limit": 1}
MOST_PHOTOS = 12
INTRO = "One prompt a line. Press a picture to go on with it in Edit."
LEARN = "Learn each photo first (seconds for each)"


class Widgets(NamedTuple):
    """The components of the place."""

    header: gr.HTML
    prompts: gr.Textbox
    strengths: gr.CheckboxGroup
    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    grid: gr.HTML
    sheet: gr.DownloadButton
    table: gr.DownloadButton
    photos: gr.File
    learn: gr.Checkbox
    start_all: gr.Button


class Run(NamedTuple):
    """What the tiles on the page are: the request on whose face they are, or None for several photos; and the
    prompt and strength of each."""

    request: Request | None
    wishes: tuple[tuple[str, float], ...]


def add(place: Place) -> None:
    """Draws the place into the current tab and brings it to life."""
    own = _draw(place)
    on = place.on
    run, stopping = gr.State(None), gr.State(None)
    private = places.PRIVATE

    def arrive(given: Update) -> Update:
        made = given[run] and given[run].request
        return {own.header: places.told_of_photo(on, given, made)}

    def prepare() -> tuple[Event, Any, Any, Any]:
        """Before the queue, so that Stop works while others are still first."""
        busy = gr.Button(interactive=False)
        return Event(), busy, busy, gr.Button(interactive=True)

    def finish() -> tuple[Any, Any, Any]:
        free = gr.Button(interactive=True)
        return free, free, gr.Button(interactive=False)

    def one(given: Update) -> Iterator[Update]:
        yield from _refused(own, lambda: _one(own, run, place, given, given[stopping]))

    def several(given: Update) -> Iterator[Update]:
        yield from _refused(own, lambda: _several(own, run, place, given, given[stopping]))

    def adopt(made: Run, event: gr.EventData) -> Update:
        """The prompt and the strength of a tile for Edit."""
        if not made or not made.request:
            return {place.places: gr.skip()}
        prompt, strength = made.wishes[event.index]
        held = [(prompt, round(100 * strength))]
        return wishing.filled(on, held) | {place.places: gr.Tabs(selected="edit")}

    asked = {own.prompts, own.strengths, stopping}
    place.tab.select(arrive, places.inputs(on) | {run}, own.header, queue=False, **private)
    buttons = [own.start, own.start_all, own.stop]
    outputs = [own.header, own.status, own.grid, own.sheet, own.table, run]
    for button, work, needed in (
        (own.start, one, places.inputs(on) | asked),
        (own.start_all, several, asked | {own.photos, own.learn}),
    ):
        begin = button.click(prepare, None, [stopping, *buttons], queue=False, **private)
        done = begin.then(work, needed, outputs, **QUEUE, **private)
        done.then(finish, None, buttons, queue=False, **private)
    own.stop.click(lambda stop: stop and stop.set(), stopping, None, queue=False, **private)
    adopted = own.grid.click(
        adopt, run, [*wishing.widgets(on), place.places], queue=False, **private
    )
    place.ask(adopted)


def _draw(place: Place) -> Widgets:
    header = places.header("explore-header")
    with gr.Row(elem_classes="form"):
        with gr.Column(scale=3, min_width=300):
            prompts = gr.Textbox(
                "\n".join(place.domain.suggestions),
                label="Prompts",
                info=INTRO,
                lines=6,
                max_lines=12,
                elem_id="explore-prompts",
            )
        with gr.Column(scale=2, min_width=260):
            strengths = gr.CheckboxGroup(
                [(f"{round(100 * s)} %", s) for s in STRENGTHS], value=[1.0], label="Strengths"
            )
            with gr.Row():
                start = gr.Button(
                    "Try them on this face", variant="primary", scale=3, elem_id="explore-start"
                )
                stop = gr.Button(
                    "Stop", interactive=False, scale=1, min_width=88, elem_id="explore-stop"
                )
    status = gr.HTML(elem_id="explore-status", padding=False)
    grid = tiles.draw(elem_id="explore-grid")
    with gr.Row():
        sheet = gr.DownloadButton("Download as a sheet", interactive=False, size="md")
        table = gr.DownloadButton("Download the figures (CSV)", interactive=False, size="md")
    with gr.Accordion("Several photos", open=False, elem_id="explore-several"):
        photos = gr.File(
            label="Photos for the same prompts and strengths",
            file_count="multiple",
            file_types=["image"],
            height=160,
        )
        learn = gr.Checkbox(label=LEARN, value=True)
        start_all = gr.Button("Try them on all photos", elem_id="explore-all")
    return Widgets(
        header, prompts, strengths, start, stop, status, grid, sheet, table, photos, learn, start_all
    )  # fmt: skip


def _one(own: Widgets, run: gr.State, place: Place, given: Update, stop: Event) -> Iterator[Update]:
    on = place.on
    wished = wishes_of(given[own.prompts], given[own.strengths])
    # What Edit's prompt and strength are does not matter here.
    request = places.shown.requested(on, given | {on.prompt: wished[0][0], on.strength: 100})
    request = replace(request, paste=False)
    columns = len({strength for _, strength in wished})
    titles = [f"{prompt} · {round(100 * strength)} %" for prompt, strength in wished]
    yield {
        own.header: places.told_of_photo(on, given),
        own.grid: tiles.value(own.grid, [tiles.Tile(t) for t in titles], _columns(columns)),
        run: Run(request, tuple(wished)),
        **_nothing_to_save(own),
    }
    done: list[Any] = []
    for found in cells(place.get_editor, request, wished, stop):
        if isinstance(found, float):
            yield {own.status: text.status(text.LEARNING_FIRST.format(percent=round(100 * found)))}
            continue
        done.append(found)
        yield _progress(own, done, titles, columns, adopt=True)
    yield _finished(own, done, len(wished), columns)


def _several(
    own: Widgets, run: gr.State, place: Place, given: Update, stop: Event
) -> Iterator[Update]:
    from clipinverter.ui import grid

    files = given[own.photos] or []
    if not files:
        raise UsageError("Please add the photos first.")
    if len(files) > MOST_PHOTOS:
        raise UsageError(f"Please add at most {MOST_PHOTOS} photos at once.")
    wished = wishes_of(given[own.prompts], given[own.strengths])
    photos = [(Path(path).stem, path) for path in map(path_of, files)]
    wishes = [Job(p, s, tune=bool(given[own.learn])) for p, s in wished]
    titles = [f"{name}: {p} · {round(100 * s)} %" for name, _ in photos for p, s in wished]
    columns = len(wished)
    yield {
        own.grid: tiles.value(own.grid, [tiles.Tile(t) for t in titles], _columns(columns)),
        run: Run(None, tuple(wished)),
        **_nothing_to_save(own),
    }
    done: list[Any] = []
    for cell in grid.fill(place.get_editor(), photos, wishes, stop):
        done.append(cell)
        yield _progress(own, done, titles, columns, adopt=False)
    yield _finished(own, done, len(titles), columns)


def _refused(own: Widgets, work: Any) -> Iterator[Update]:
    """The updates of some work; a sentence where it refuses."""
    try:
        with api.refusals():
            yield from work()
    except UserError as refusal:
        yield {own.status: text.status(str(refusal), failed=True)}


def _columns(count: int) -> int:
    return count if 1 < count <= 6 else 0


def _nothing_to_save(own: Widgets) -> Update:
    off = gr.DownloadButton(value=None, interactive=False)
    return {own.sheet: off, own.table: off, own.status: text.status(text.WORKING)}


def _progress(
    own: Widgets, done: Sequence[Any], titles: Sequence[str], columns: int, *, adopt: bool
) -> Update:
    shown = [_tile(cell, title, adopt) for cell, title in zip(done, titles, strict=False)]
    shown += [tiles.Tile(title) for title in titles[len(done) :]]
    return {
        own.grid: tiles.value(own.grid, shown, _columns(columns)),
        own.status: text.status(f"{len(done)} of {len(titles)} edits are there."),
    }


def _tile(cell: Any, title: str, adopt: bool) -> tiles.Tile:
    if cell.error:
        return tiles.Tile(title, line=cell.error)
    gain = cell.clip_after - cell.clip_before
    return tiles.Tile(
        title,
        cell.image,
        verdicts.caption(gain, cell.identity),
        verdicts.figures(gain, cell.identity),
        f"Go on in Edit with “{cell.wish.prompt}”, {round(100 * cell.wish.strength)} %"
        if adopt
        else "",
    )


def _finished(own: Widgets, done: Sequence[Any], wanted: int, columns: int) -> Update:
    from clipinverter.ui import grid

    line = f"All {wanted} edits are there." if len(done) == wanted else "Stopped."
    if not done:
        return {own.status: text.status(line)}
    folder = Path(own.sheet.GRADIO_CACHE) / secrets.token_hex(16)
    folder.mkdir(parents=True, exist_ok=True)
    sheet, table = folder / "explore.png", folder / "explore.csv"
    grid.sheet(done, min(max(columns, 3), 6) if columns < 2 else columns).save(sheet)
    table.write_text(grid.table(done), encoding="utf-8")
    own.sheet.temp_files |= {str(sheet), str(table)}
    return {
        own.status: text.status(line),
        own.sheet: gr.DownloadButton(value=str(sheet), interactive=True),
        own.table: gr.DownloadButton(value=str(table), interactive=True),
    }
