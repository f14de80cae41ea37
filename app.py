"""Starts the demo. The page is up at once; the models load behind it.

DOMAIN=faces in the environment chooses the authors' model; it has to be downloaded first. TALK=1 serves
the page for a talk, see docs/usage.md; it opens when all examples are ready.
"""

import logging
import os
import sys
from concurrent.futures import Future
from threading import Thread
from urllib.parse import urlsplit

from clipinverter.domains import DomainError, get_domain
from clipinverter.ui import hosting

log = logging.getLogger(__name__)
TALK = os.environ.get("TALK") == "1"

try:
    domain = get_domain(os.environ.get("DOMAIN") or "portraits")
    hosting.check_ports()
except (DomainError, hosting.HostError) as error:
    sys.exit(str(error))
hosting.spare_loopback_the_proxy()
hosting.open_folder()

from clipinverter.ui.demo import create_demo, launch_options  # noqa: E402  it reads the environment

editor: Future = Future()
demo = create_demo(editor.result, domain)
hosting.before_sigterm_ends.append(demo._queue.say_farewell)


def load() -> None:
    """Makes the editor; a failure becomes the answer to every request."""
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
        photos = domain.examples if TALK else domain.examples[:1]
        for number, photo in enumerate(photos, start=1):
            if TALK:
                print(f"Preparing example {number} of {len(photos)}", flush=True)
            inversion = ready.invert(photo)
            ready.edit(inversion, domain.suggestions[0])
            if ready.needs_tuning(inversion):
                ready.edit(ready.tune(inversion), domain.suggestions[0])
    except Exception as error:  # whoever asks for an edit is told as well
        log.error("The first edit failed: %s", error)


def serve() -> None:
    """Opens the port and says where the page is if not where one would look."""
    first = hosting.first_port()
    try:
        demo.launch(prevent_thread_lock=True, **launch_options())
    except OSError as error:
        log.debug("The server did not start", exc_info=error)
        sys.exit(f"Port {first} can't be used: another program has it, or this user may not.")
    port = urlsplit(demo.local_url).port
    if port != first:
        print(f"Port {first} is in use, so the page is on port {port}.", flush=True)


if __name__ == "__main__":
    if TALK:
        load()
        serve()
    else:
        serve()
        Thread(target=load, daemon=True).start()
    demo.block_thread()
