"""Starts the demo. The page is up at once; the models load behind it.

DOMAIN=faces in the environment chooses the authors' model; it has to be downloaded first.
"""

import logging
import os
import sys
from concurrent.futures import Future
from threading import Thread

from clipinverter.domains import DomainError, get_domain
from clipinverter.ui.demo import create_demo, launch_options

try:
    domain = get_domain(os.environ.get("DOMAIN") or "portraits")
except DomainError as error:
    sys.exit(str(error))
editor: Future = Future()
demo = create_demo(editor.result, domain)


def load() -> None:
    """Makes the editor; a failure becomes the answer to every request."""
    log = logging.getLogger(__name__)
    try:
        from clipinverter.editor import Editor
        from clipinverter.weights.load import load_models

        ready = Editor(load_models(domain))
    except Exception as error:
        log.error("The models could not be loaded: %s", error)
        editor.set_exception(error)
        return
    editor.set_result(ready)
    try:
        ready.models.text_image  # noqa: B018  before anybody has written a prompt; photos need not wait
        # The page opens with this edit; making it also warms up the face detector.
        for photo in domain.examples[:1]:
            ready.edit(ready.invert(photo), domain.suggestions[0])
    except Exception as error:  # whoever asks for an edit is told as well
        log.error("The first edit failed: %s", error)


if __name__ == "__main__":
    demo.launch(prevent_thread_lock=True, **launch_options())
    Thread(target=load, daemon=True).start()
    demo.block_thread()
