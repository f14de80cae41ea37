"""What an inspection says in tables, bars, JSON and code."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from clipinverter.request import Request
from clipinverter.ui import text
from clipinverter.ui.receive import DEFAULTS

if TYPE_CHECKING:
    from clipinverter.methods.inspection import Inspection
    from clipinverter.results import Stage

CALL = """from gradio_client import Client, handle_file

client = Client("{address}")
before, after, info = client.predict(
    image=handle_file("{photo}"),
    prompt={prompt!r},
    strength={strength!r},{more}
    api_name="/edit",
)
"""


def as_json(seen: "Inspection") -> dict[str, Any]:
    """The figures of an inspection for programs: sizes by row, gammas and betas by level."""
    return {
        "figures": {
            name: round(value, 4) for name, value in seen.figures.items() if math.isfinite(value)
        },
        "residual": [round(float(size), 4) for size in seen.residual],
        "remapper_pull": [round(float(size), 4) for size in seen.pull],
        "remapper_lambda": [round(float(weight), 4) for weight in seen.lambdas],
        "adapter": {
            m.level: {"gamma": m.gamma.round(4).tolist(), "beta": m.beta.round(4).tolist()}
            for m in seen.modulations
        },
    }


def call(request: Request, address: str) -> str:
    """Python code that repeats an edit by the API; the photo is the caller's file."""
    names = ("align", "paste", "face", "tune", "detail")
    more = {name: getattr(request, name) for name in names}
    unusual = {n: value for n, value in more.items() if value != getattr(DEFAULTS, n)}
    named = "".join(f"\n    {name}={value!r}," for name, value in unusual.items())
    if request.align == "eyes":
        named = '\n    align="none",  # the API takes no eyes: crop the photo to the face first'
    return CALL.format(
        address=address, photo=request.photo.name, prompt=request.prompt,
        strength=request.strength, more=named,
    )  # fmt: skip


def figures_table(figures: Mapping[str, float]) -> str:
    """HTML of the figures of an inspection: a row a picture."""
    pictures = ["photo", "inversion", "tuned inversion", "edit"]
    kinds = {
        "psnr": "PSNR to the photo (dB)",
        "identity": "identity with the photo",
        "clip": "CLIP with the prompt",
    }

    def cell(kind: str, picture: str) -> str:
        value = figures.get(f"{kind} {picture}")
        if value is None:
            return "–"
        if math.isinf(value):
            return "equal"
        return f"{value:.1f}" if kind == "psnr" else f"{value:.3f}"

    rows = "".join(
        f"<tr><th scope='row'>{picture}</th>"
        + "".join(f"<td>{cell(kind, picture)}</td>" for kind in kinds)
        + "</tr>"
        for picture in pictures
        if f"clip {picture}" in figures
    )
    head = "".join(f"<th scope='col'>{title}</th>" for title in kinds.values())
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"


def timeline(stages: "Sequence[Stage]") -> str:
    """HTML of the stages one after the other, each as long as it took; cached ones are pale."""
    total = sum(stage.ms for stage in stages) or 1.0
    start, rows = 0.0, ""
    for stage in stages:
        kind = " class='cached'" if stage.cached else ""
        took = f"{stage.ms:,.0f} ms" + (", cached" if stage.cached else "")
        rows += (
            f"<li{kind}><span>{escape(text.stage_name(stage.name))}</span>"
            f"<i><b style='margin-left:{100 * start / total:.2f}%;"
            f"width:max(2px,{100 * stage.ms / total:.2f}%)'></b></i><em>{took}</em></li>"
        )
        start += stage.ms
    return f"<ol class='timeline'>{rows}</ol>"
