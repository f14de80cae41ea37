"""The endpoint /compare: all methods on one photo, picture by picture."""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from clipinverter.methods.names import TITLES
from clipinverter.ui import api
from clipinverter.ui.endpoints import connect, json, photo, refusals, with_example
from clipinverter.ui.looks import looks
from clipinverter.ui.receive import DEFAULTS, Defaults, receive

# A lane of its own: the Editor gives edits of others their turn between two steps of a comparison.
QUEUE = {"concurrency_id": "compare", "concurrency_limit": 1}
EXAMPLE = [{"method": "clipinverter", "state": "done", "clip_gain": 0.09, "identity": 0.91}]
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


def add(inputs: Sequence[Any], get_editor: api.GetEditor, cache: str) -> None:
    """Adds the endpoint to the current `gr.Blocks`.

    Args:
        inputs: from `endpoints.arguments`.
        cache: the folder of results.
    """

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
        saved = Pictures(cache)
        with refusals():
            for look in looks(get_editor, receive(given), styleclip=styleclip):
                edits = [after and saved(name, after) for name, after in look.after.items()]
                rows = [row(card) for card in look.cards]
                if look.learning < 1:
                    rows = [r | {"note": f"learning {look.learning:.0%}"} for r in rows]
                yield (saved("before", look.before), *edits, rows)

    pictures = [photo(name) for name in ("before", *TITLES)]
    rows = json("methods", EXAMPLE)
    styleclip = with_example(gr.Textbox(None, label="styleclip", visible=False), '{"steps": 100}')
    connect("compare", compare, [*inputs, styleclip], [*pictures, rows], ENDPOINT, queue=QUEUE)


class Pictures:
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
