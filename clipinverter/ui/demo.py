"""The page and the endpoints: `create_demo` connects what is drawn in `layout.py`; `app.py` starts it."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from clipinverter.domains import Domain
from clipinverter.errors import UserError
from clipinverter.request import Request
from clipinverter.ui import api, compare, editing, hosting, layout, strangers, style, text
from clipinverter.ui.receive import DEFAULTS, Defaults, receive, wishes_of
from clipinverter.ui.uploads import MAX_BYTES, checked
from clipinverter.ui.whole_files import write_whole_results

# Programs have a lane of their own: while one waits for a photo to be learned, the page goes on.
QUEUE = {"concurrency_id": "edit", "concurrency_limit": 1}
MAX_WAITING = 64
PREVIEWS_ABOVE = 512  # pixels; smaller pictures are there at once


MIX = DEFAULTS[:2] + DEFAULTS[3:]  # of /mix, where the wishes bring their strengths


class _Page(gr.Blocks):
    async def preprocess_data(self, block_fn: Any, inputs: list, *args: Any, **options: Any) -> Any:
        """Completes and checks what a request brings, before the framework looks at it.

        A plain HTTP request may leave out what has a default, as the client library does.
        """
        defaults = {"edit": DEFAULTS, "compare": DEFAULTS, "mix": MIX}.get(block_fn.api_name, ())
        inputs = checked([*inputs, *defaults[len(inputs) :]], block_fn.inputs)
        return await super().preprocess_data(block_fn, inputs, *args, **options)


def create_demo(get_editor: api.GetEditor, domain: Domain) -> gr.Blocks:
    """Builds the page and the endpoints `/edit`, `/mix` and `/compare`.

    Args:
        get_editor: called for every request; may block until the models are loaded.
        domain: the editor's; the page can be built from it before the models are loaded.
    """
    write_whole_results()
    with _Page(
        title="CLIPInverter",
        analytics_enabled=False,
        delete_cache=(hosting.DELETE_EVERY, hosting.DELETE_AFTER),
    ) as demo:
        on = layout.draw(domain)
        arrivals = [on.examples.load_input_event] if on.examples else []
        if domain.examples:  # so that the first thing to see is an edit
            arrivals.append(
                demo.load(
                    lambda: (str(domain.examples[0]), domain.suggestions[0]),
                    outputs=[on.photo, on.prompt],
                    queue=False,
                    api_visibility="private",
                )
            )
        editing.connect(on, get_editor, domain.image_size > PREVIEWS_ABOVE, arrivals)
        inputs = _endpoint_inputs(on)
        _connect_endpoints(inputs, get_editor)
        compare.add(on, get_editor, inputs)
    return demo.queue(max_size=MAX_WAITING)


def _endpoint_inputs(on: layout.Widgets) -> list[Any]:
    """The arguments of an endpoint, in the order of `receive.Defaults`; names are the labels'."""
    return [
        on.photo,
        on.prompt,
        on.strength,
        gr.Radio(["auto", "none"], value=DEFAULTS.align, label="align", visible=False),
        on.paste,
        gr.Number(DEFAULTS.face, precision=0, label="face", visible=False),
        gr.Checkbox(DEFAULTS.tune, label="tune", visible=False),
        gr.Checkbox(DEFAULTS.detail, label="detail", visible=False),
    ]


def _connect_endpoints(inputs: list[Any], get_editor: api.GetEditor) -> None:
    """The same answers for programs: files instead of a page."""

    def stream(receive: Callable[[], Request]) -> Iterator[tuple]:
        try:
            with api.refusals():
                for got in api.answers(get_editor, receive()):
                    yield got.before, got.after, got.info
        except UserError as refusal:
            raise gr.Error(str(refusal), print_exception=False) from None

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

    image, _, _, *others = inputs
    wishes = gr.JSON(label="wishes", visible=False)
    for call, arguments, said in (
        (edit, inputs, text.ENDPOINT),
        (mix, [image, wishes, *others], text.MIX),
    ):
        gr.Button(visible=False).click(
            call,
            arguments,
            [
                gr.Image(label="before", format="png", visible=False),
                gr.Image(label="after", format="png", visible=False),
                gr.JSON(label="info", visible=False),
            ],
            preprocess=False,
            api_name=call.__name__,
            api_description=said,
            **QUEUE,
        )


def launch_options() -> dict[str, Any]:
    """How the page is served: nothing leaves the machine, nothing about visitors is kept.

    ALLOWED_ORIGINS names the origins whose pages may use the server, see `strangers`. A hosting
    service may set PORT; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT work as documented.
    """
    options: dict[str, Any] = {
        "theme": style.theme(),
        "head": style.head(),
        "js": style.script(),
        "max_file_size": MAX_BYTES,
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": ["api"],
        "show_error": False,
        "app_kwargs": strangers.app_options(),
    }
    if port := hosting.check_ports():
        options["server_port"] = port
    return options
