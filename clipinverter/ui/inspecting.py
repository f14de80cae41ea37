"""Inspect: what happens inside the edit that Edit shows, for researchers; and latents to save and restore."""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
import pandas as pd

from clipinverter.errors import UserError
from clipinverter.request import Request
from clipinverter.ui import api, places, reports, restoring, text, tiles
from clipinverter.ui.places import Place
from clipinverter.ui.shown import Update

if TYPE_CHECKING:
    from clipinverter.methods.inspection import Inspection
    from clipinverter.results import Inversion

QUEUE = {"concurrency_id": "inspect", "concurrency_limit": 1}
PARTS = [("Both", "both"), ("Adapter only", "adapter"), ("Remapper only", "remapper")]
LEVELS = [("Coarse", "coarse"), ("Medium", "medium"), ("Fine", "fine")]
DOWNLOAD = "() => setTimeout(() => document.getElementById('inspect-file')?.click(), 200)"
TITLES = ("Crop", "Inversion", "Tuned inversion", "Edit", "Difference", "Mask")
QUANTILES = 24  # points of each line of gammas and betas


class Widgets(NamedTuple):
    """The components of the place."""

    header: gr.HTML
    parts: gr.Radio
    levels: gr.CheckboxGroup
    again: gr.Button
    status: gr.HTML
    pictures: gr.HTML
    figures: gr.HTML
    timeline: gr.HTML
    residual: gr.BarPlot
    weights: gr.BarPlot
    pull: gr.BarPlot
    gamma: gr.LinePlot
    beta: gr.LinePlot
    save: gr.Button
    file: gr.DownloadButton
    restore: gr.UploadButton
    call: gr.Code


def add(place: Place) -> None:
    """Draws the place into the current tab and brings it to life."""
    own, on = _draw(place), place.on
    made = gr.State(None)
    private = places.PRIVATE

    def look(given: Update, request: gr.Request) -> Iterator[Update]:
        now = places.requested(on, given)
        heading = {own.header: places.told(on, given)}
        if now is None:
            yield heading
            return
        yield heading | {own.status: text.status(text.WORKING)}
        try:
            with api.refusals():
                yield _looked(own, place, now, given) | {
                    made: now,
                    own.call: reports.call(now, str(request.base_url).rstrip("/")),
                }
        except UserError as refusal:
            yield {own.status: text.status(str(refusal), failed=True)}

    def save(given: Update) -> Update:
        try:
            with api.refusals():
                return {own.file: gr.DownloadButton(value=_saved(own, place, given))}
        except UserError as refusal:
            gr.Warning(str(refusal), duration=6, title="Not saved")
            return {own.file: gr.DownloadButton(value=None)}

    switches = {own.parts, own.levels}
    outputs = [
        made,
        *own._replace(parts=made, levels=made, again=made, save=made, file=made, restore=made),
    ]
    outputs = list(dict.fromkeys(outputs))
    options = private | QUEUE | {"trigger_mode": "always_last"}
    events = [place.tab.select, own.parts.change, own.levels.change, own.again.click]
    gr.on(events, look, places.inputs(on) | switches, outputs, **options)
    saved = own.save.click(save, places.inputs(on), own.file, **private | QUEUE)
    saved.then(None, js=DOWNLOAD)
    restoring.connect(place, own.restore, own.status)


def _draw(place: Place) -> Widgets:
    header = places.header("inspect-header")
    with gr.Row(elem_classes="form"):
        parts = gr.Radio(PARTS, value="both", label="Parts", elem_id="inspect-parts")
        levels = gr.CheckboxGroup(
            LEVELS, value=[level for _, level in LEVELS], label="Levels of the adapter",
            elem_id="inspect-levels",
        )  # fmt: skip
        again = gr.Button("Inspect again", scale=0, min_width=180)
    status = gr.HTML(elem_id="inspect-status", padding=False)
    empty = {"columns": 0, "tiles": [tiles.Tile(title)._asdict() for title in TITLES]}
    pictures = tiles.draw(empty, elem_id="inspect-pictures")
    with gr.Row():
        figures = gr.HTML(elem_id="inspect-figures", padding=False, min_height=180)
        timeline = gr.HTML(elem_id="inspect-timeline", padding=False, min_height=300)
    with gr.Row():
        residual = gr.BarPlot(
            x="row", y="size", title="Residual by row of W+", x_title="row", y_title="L2 norm",
            y_lim=[0, None], height=260, min_width=260, elem_id="inspect-residual",
        )  # fmt: skip
        weights = gr.BarPlot(
            x="row", y="size", title="Remapper: λ by row", x_title="row", y_title="0.9 λ",
            y_lim=[0, None], height=260, min_width=260,
        )  # fmt: skip
        pull = gr.BarPlot(
            x="row", y="size", title="Remapper: pull by row", x_title="row", y_title="L2 norm",
            y_lim=[0, None], height=260, min_width=260,
        )  # fmt: skip
    with gr.Row():
        lines = {
            name: gr.LinePlot(
                x="share", y="value", color="level", title=f"Adapter: {name} of the channels, sorted",
                x_title="share of channels", y_title=name, height=260, min_width=300,
            )
            for name in ("γ", "β")
        }  # fmt: skip
    with gr.Row():
        save = gr.Button("Save the latents (.safetensors)", size="md", elem_id="inspect-save")
        file = gr.DownloadButton("", visible="hidden", elem_id="inspect-file")
        restore = gr.UploadButton(
            "Restore latents or a saved picture", size="md", elem_id="inspect-restore",
            file_types=[".safetensors", ".png"],
        )  # fmt: skip
    call = gr.Code(
        language="python", label="This edit by the API", interactive=False, elem_id="inspect-call"
    )
    with gr.Accordion("Details", open=False, elem_id="details"), gr.Row():
        place.on.crop.render()
        place.on.info.render()
    return Widgets(
        header, parts, levels, again, status, pictures, figures, timeline, residual, weights, pull,
        lines["γ"], lines["β"], save, file, restore, call,
    )  # fmt: skip


def inspected(
    get_editor: api.GetEditor, request: Request, parts: Any, levels: Any
) -> "tuple[Inversion, Inspection]":
    """The inversion of a request, tuned if it has been learned, and the inspection of its edit.

    Raises:
        UserError: the photo, the parts or the levels can't be used.
    """
    from clipinverter.methods.inspection import inspect

    opened = api.open_request(get_editor, request)
    inversion = opened.learned or opened.inversion
    session = opened.editor.session
    chosen = levels if isinstance(levels, list) else [levels]
    return inversion, inspect(session, inversion, request.prompt, request.strength, parts, chosen)


def _looked(own: Widgets, place: Place, request: Request, given: Update) -> Update:
    inversion, seen = inspected(place.get_editor, request, given[own.parts], given[own.levels])
    shown = [
        tiles.Tile("Crop", inversion.crop, "what the encoder sees"),
        tiles.Tile("Inversion", seen.plain, "the published model"),
        tiles.Tile("Tuned inversion", seen.tuned, "" if seen.tuned else "not tuned"),
        tiles.Tile("Edit", seen.edit.image, f"“{seen.edit.prompt}”"),
        tiles.Tile("Difference", seen.difference, "grey: no change; 4 times enlarged"),
        tiles.Tile("Mask", seen.mask.convert("RGB"), "white: edit; black: photo"),
    ]
    stages = (*inversion.stages, *seen.edit.stages)
    return {
        own.status: text.status(text.INSPECTED),
        own.pictures: tiles.value(own.pictures, shown),
        own.figures: reports.figures_table(seen.figures),
        own.timeline: reports.timeline(stages),
        **_plots(own, seen),
    }


def _plots(own: Widgets, seen: "Inspection") -> Update:
    rows = [f"{row:02d}" for row in range(len(seen.residual))]
    found: Update = {
        own.residual: _bars(rows, seen.residual),
        own.weights: _bars(rows[1:-1], seen.lambdas),
        own.pull: _bars(rows[1:-1], seen.pull),
    }
    shares = [i / (QUANTILES - 1) for i in range(QUANTILES)]
    for plot, name in ((own.gamma, "gamma"), (own.beta, "beta")):
        points = [
            (share, float(value), m.level)
            for m in seen.modulations
            for share, value in zip(
                shares, pd.Series(getattr(m, name)).quantile(shares), strict=True
            )
        ]
        found[plot] = pd.DataFrame(points, columns=["share", "value", "level"])
    return found


def _bars(rows: Sequence[str], sizes: Any) -> pd.DataFrame:
    return pd.DataFrame({"row": rows, "size": sizes.astype(float)})


def _saved(own: Widgets, place: Place, given: Update) -> str:
    """The file of the latents of what Edit shows."""
    request = places.shown.requested(place.on, given)
    opened = api.open_request(place.get_editor, request)
    folder = Path(own.file.GRADIO_CACHE) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    path = folder / f"{request.photo.stem[:60]}.safetensors"
    (opened.learned or opened.inversion).save(path)
    own.file.temp_files.add(str(path))
    return str(path)
