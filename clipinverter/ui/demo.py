"""The page and the endpoints: `create_demo` connects what is drawn in `layout.py`; `app.py` starts it."""

from importlib.util import find_spec
from typing import Any

import gradio as gr
from gradio.exceptions import ComponentProcessingError

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
    memory,
    strangers,
    style,
    translations,
)
from clipinverter.ui.places import Place
from clipinverter.ui.turns import take_turns
from clipinverter.ui.uploads import MAX_BYTES, checked
from clipinverter.ui.whole_files import write_whole_results

PLACES = {"Explore": explore.add, "Compare": compare.add, "Inspect": inspecting.add}


class _Page(gr.Blocks):
    async def preprocess_data(self, block_fn: Any, inputs: list, *args: Any, **options: Any) -> Any:
        """Completes and checks what a request brings, before the framework looks at it.

        A plain HTTP request may leave out what has a default, as the client library does.
        """
        defaults = endpoints.LEFT_OUT.get(block_fn.api_name, ())
        inputs = checked([*inputs, *defaults[len(inputs) :]], block_fn.inputs)
        return await super().preprocess_data(block_fn, inputs, *args, **options)

    async def process_api(self, *args: Any, **options: Any) -> Any:
        """Whatever goes wrong becomes a sentence; a result may also fail when it is written."""
        try:
            return await super().process_api(*args, **options)
        except gr.Error:
            raise
        except Exception as error:
            cause = error.__cause__ if isinstance(error, ComponentProcessingError) else error
            raise gr.Error(str(api.sentence(cause)), print_exception=False) from None


def create_demo(get_editor: api.GetEditor, domain: Domain) -> gr.Blocks:
    """Builds the page and the endpoints.

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
        layout.head(domain)
        with gr.Tabs(selected="edit", elem_id="places") as tabs:
            with gr.Tab("Edit", id="edit"):
                on = layout.draw(domain)
                ask = editing.connect(on, get_editor, domain, _arrivals(demo, on, domain))
            for name, add in PLACES.items():
                with gr.Tab(name, id=name.lower()) as tab:
                    add(Place(on, tabs, tab, ask, get_editor, domain))
        layout.about(domain)
        inputs = endpoints.arguments()
        endpoints.add(inputs, get_editor)
        compare_endpoint.add(inputs, get_editor, on.download.GRADIO_CACHE)
    translations.mark(demo)
    take_turns(demo)
    return demo


def _arrivals(demo: gr.Blocks, on: layout.Widgets, domain: Domain) -> list[Any]:
    """Events after which there is another photo: an example is chosen, or the page opens with one."""
    if not domain.examples:
        return []
    return [on.examples.load_input_event, memory.connect(demo, on, domain)]


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
