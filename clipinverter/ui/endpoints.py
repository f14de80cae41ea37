"""The endpoints for programs and for models that use tools (MCP): each action of the page by its name.

The arguments have components of their own, so that their types and examples are this project's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr

from clipinverter.errors import UserError
from clipinverter.request import Request
from clipinverter.ui import api, cells, inspecting, reports, text
from clipinverter.ui.receive import DEFAULTS, Defaults, receive, wishes_of

# Programs have a lane of their own, in which those whose photo is being learned, or waits for that,
# let others pass. The models compute one step at a time all the same.
QUEUE = {"concurrency_id": "edit", "concurrency_limit": 16}
MIX = (None, None, *DEFAULTS[3:])
WORDS = "a smiling woman with red hair"
PHOTO = "photo.jpg"  # stands for the caller's file in examples


LEVELS = ["coarse", "medium", "fine"]
LEFT_OUT: dict[str, tuple] = {
    "edit": DEFAULTS,
    "compare": (*DEFAULTS, None),
    "mix": MIX,
    "explore": (None, None, [1.0], DEFAULTS.align),
    "inspect": (None, None, DEFAULTS.strength, DEFAULTS.align, "both", LEVELS),
}
"""What stands for arguments that a request leaves out, by endpoint."""


def with_example(component: Any, example: Any) -> Any:
    """The component, with what the API panel shows as its value instead of the framework's own example."""
    component.example_payload = component.example_value = lambda: example
    return component


def photo(label: str) -> gr.Image:
    """A picture as an argument or a result; in examples it is a file of the caller's."""
    example = {"path": PHOTO, "url": PHOTO, "meta": {"_type": "gradio.FileData"}}
    return with_example(gr.Image(label=label, format="png", visible=False), example)


def json(label: str, example: Any, value: Any = None) -> gr.JSON:
    """Lists and tables as an argument or a result."""
    return with_example(gr.JSON(value, label=label, visible=False), example)


def arguments() -> list[Any]:
    """The arguments of `/edit` and `/compare`, in the order of `receive.Defaults`; names are the labels."""
    strength = gr.Number(DEFAULTS.strength, label="strength", visible=False)
    return [
        photo("image"),
        with_example(gr.Textbox(label="prompt", visible=False), WORDS),
        strength,
        gr.Radio(["auto", "none"], value=DEFAULTS.align, label="align", visible=False),
        gr.Checkbox(DEFAULTS.paste, label="paste", visible=False),
        gr.Number(DEFAULTS.face, precision=0, label="face", visible=False),
        gr.Checkbox(DEFAULTS.tune, label="tune", visible=False),
        gr.Checkbox(DEFAULTS.detail, label="detail", visible=False),
    ]


def connect(
    name: str,
    function: Callable,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    description: str,
    queue: dict[str, Any] = QUEUE,
) -> None:
    """Offers a function as an endpoint and an MCP tool of that name."""
    function.__name__ = name
    gr.Button(visible=False).click(
        function, list(inputs), list(outputs), preprocess=False, api_name=name,
        api_description=description, **queue,
    )  # fmt: skip


def add(inputs: Sequence[Any], get_editor: api.GetEditor) -> None:
    """Adds `/edit`, `/mix`, `/explore` and `/inspect` to the current `gr.Blocks`.

    Args:
        inputs: from `arguments`.
    """

    def stream(receive: Callable[[], Request]) -> Iterator[tuple]:
        with refusals():
            for got in api.answers(get_editor, receive()):
                yield got.before, got.after, got.info

    def edit(
        image: Any,
        prompt: Any,
        strength: Any = DEFAULTS.strength,
        align: Any = DEFAULTS.align,
        paste: Any = DEFAULTS.paste,
        face: Any = DEFAULTS.face,
        tune: Any = DEFAULTS.tune,
        detail: Any = DEFAULTS.detail,
    ) -> Iterator[tuple]:
        given = Defaults(image, prompt or "", strength, align, paste, face, tune, detail)
        yield from stream(lambda: receive(given))

    def mix(
        image: Any,
        wishes: Any,
        align: Any = DEFAULTS.align,
        paste: Any = DEFAULTS.paste,
        face: Any = DEFAULTS.face,
        tune: Any = DEFAULTS.tune,
        detail: Any = DEFAULTS.detail,
    ) -> Iterator[tuple]:
        given = Defaults(image, None, 1.0, align, paste, face, tune, detail)
        yield from stream(lambda: receive(given, wishes=wishes_of(wishes)))

    def explore(
        image: Any,
        prompts: Any,
        strengths: Any = LEFT_OUT["explore"][2],
        align: Any = DEFAULTS.align,
    ) -> Iterator[tuple]:
        from clipinverter.ui import grid

        with refusals():
            wished = cells.wishes_of(prompts, strengths)
            given = DEFAULTS._replace(image=image, prompt=wished[0][0], align=align)
            request = receive(given)
            done = []
            for found in cells.cells(get_editor, request, wished):
                if not isinstance(found, float):
                    done.append(found)
                    columns = min(len(wished), 6)
                    yield grid.sheet(done, columns), [row_of(cell) for cell in done]

    def inspect(
        image: Any,
        prompt: Any,
        strength: Any = DEFAULTS.strength,
        align: Any = DEFAULTS.align,
        parts: Any = "both",
        levels: Any = LEVELS,
    ) -> tuple:
        with refusals():
            given = DEFAULTS._replace(
                image=image, prompt=prompt or "", strength=strength, align=align
            )
            request = receive(given)
            _, seen = inspecting.inspected(get_editor, request, parts, levels)
            return seen.edit.image, reports.as_json(seen)

    image, prompt, strength, align = inputs[:4]
    prompts = json("prompts", [WORDS, "a surprised face"])
    strengths = json("strengths", [0.5, 1.0], [1.0])
    parts = gr.Radio(["both", "adapter", "remapper"], value="both", label="parts", visible=False)
    levels = gr.CheckboxGroup(
        LEVELS, value=LEVELS, label="levels",
        visible=False,
    )  # fmt: skip
    answers = {name: photo(name) for name in ("before", "after", "sheet", "picture")}
    info = json("info", {"prompt": WORDS, "strength": 1.0})
    figures = json("figures", {"figures": {"psnr edit": 24.5}})
    rows = json("cells", [{"prompt": WORDS, "strength": 1.0}])
    connect("edit", edit, inputs, [answers["before"], answers["after"], info], text.ENDPOINT)
    wishes = json("wishes", [{"prompt": WORDS, "strength": 1.0}])
    mixed = [image, wishes, *inputs[3:]]
    connect("mix", mix, mixed, [answers["before"], answers["after"], info], text.MIX)
    connect(
        "explore", explore, [image, prompts, strengths, align], [answers["sheet"], rows],
        text.EXPLORE_ENDPOINT,
    )  # fmt: skip
    connect(
        "inspect", inspect, [image, prompt, strength, align, parts, levels],
        [answers["picture"], figures], text.INSPECT_ENDPOINT,
    )  # fmt: skip


def row_of(cell: Any) -> dict[str, Any]:
    """A cell of a grid for JSON."""
    return {
        "prompt": cell.wish.prompt,
        "strength": cell.wish.strength,
        "clip_before": cell.clip_before,
        "clip_after": cell.clip_after,
        "identity": cell.identity,
        "error": cell.error,
    }


@contextmanager
def refusals() -> Iterator[None]:
    """Turns every error into a sentence that the client sees."""
    try:
        with api.refusals():
            yield
    except UserError as refusal:
        raise gr.Error(str(refusal), print_exception=False) from None
