"""The page and the endpoints: `create_demo` connects what is drawn in `layout.py`; `app.py` starts it."""

from importlib.util import find_spec
from typing import Any

import gradio as gr

from clipinverter.domains import Domain
from clipinverter.ui import (
    api,
    compare,
    compare_endpoint,
    editing,
    endpoints,
    explore,
    hosting,
    inspecting,
    layout,
    strangers,
    style,
    translations,
)
from clipinverter.ui.places import Place
from clipinverter.ui.uploads import MAX_BYTES, checked
from clipinverter.ui.whole_files import write_whole_results

PLACES = {"Explore": explore.add, "Compare": compare.add, "Inspect": inspecting.add}
MAX_WAITING = 64
PREVIEWS_ABOVE = 512  # pixels; smaller pictures are there at once


class _Page(gr.Blocks):
    async def preprocess_data(self, block_fn: Any, inputs: list, *args: Any, **options: Any) -> Any:
        """Completes and checks what a request brings, before the framework looks at it.

        A plain HTTP request may leave out what has a default, as the client library does.
        """
        defaults = endpoints.LEFT_OUT.get(block_fn.api_name, ())
        inputs = checked([*inputs, *defaults[len(inputs) :]], block_fn.inputs)
        return await super().preprocess_data(block_fn, inputs, *args, **options)


def create_demo(get_editor: api.GetEditor, domain: Domain) -> gr.Blocks:
    """Builds the page and the endpoints.

    Args:
        get_editor: called for every request; may block until the models are loaded.
        domain: the editor's; the page can be built from it before the models are loaded.
    """
    write_whole_results()
    previews = domain.image_size > PREVIEWS_ABOVE
    with _Page(
        title="CLIPInverter",
        analytics_enabled=False,
        delete_cache=(hosting.DELETE_EVERY, hosting.DELETE_AFTER),
    ) as demo:
        layout.head(domain)
        with gr.Tabs(selected="edit", elem_id="places") as tabs:
            with gr.Tab("Edit", id="edit"):
                on = layout.draw(domain)
                ask = editing.connect(on, get_editor, previews, _arrivals(demo, on, domain))
            for name, add in PLACES.items():
                with gr.Tab(name, id=name.lower()) as tab:
                    add(Place(on, tabs, tab, ask, get_editor, domain))
        layout.about(domain)
        inputs = endpoints.arguments()
        endpoints.add(inputs, get_editor)
        compare_endpoint.add(inputs, get_editor, on.download.GRADIO_CACHE)
    translations.mark(demo)
    return demo.queue(max_size=MAX_WAITING)


def _arrivals(demo: gr.Blocks, on: layout.Widgets, domain: Domain) -> list[Any]:
    """Events after which there is another photo: an example is chosen, or the page opens with the first."""
    if not domain.examples:
        return []
    opened = demo.load(
        lambda: (str(domain.examples[0]), domain.suggestions[0]),
        outputs=[on.photo, on.prompt],
        queue=False,
        api_visibility="private",
    )
    return [on.examples.load_input_event, opened]


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
        "pwa": True,
        "favicon_path": style.ICON,
        "mcp_server": find_spec("mcp") is not None,
        "i18n": translations.texts(),
    }
    if port := hosting.check_ports():
        options["server_port"] = port
    return options
