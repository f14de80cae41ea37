"""How much a request may bring: the framework reads whatever comes into memory, or onto the disk."""

import shutil

from gradio.utils import get_upload_folder
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clipinverter.ui import text
from clipinverter.ui.uploads import MAX_BYTES

MAX_UPLOAD = MAX_BYTES + 2**20  # bytes of a request that uploads a file
MAX_BODY = 2**22  # of any other; words and numbers need less
ROOM = 2**28  # bytes that uploads leave free on the disk


class Bounds:
    """ASGI middleware: refuses requests that are too large, and uploads while the disk is nearly full."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        upload = scope["path"].rstrip("/").endswith("/upload")
        most, sentence = (MAX_UPLOAD, text.TOO_LARGE) if upload else (MAX_BODY, text.TOO_MUCH)
        said = Headers(scope=scope).get("content-length", "")
        if said.isdecimal() and int(said) > most:
            await PlainTextResponse(sentence, 413)(scope, receive, send)
        elif upload and not has_room():
            await PlainTextResponse(text.NO_ROOM, 507)(scope, receive, send)
        else:
            await self.app(scope, _counted(receive, most, sentence), send)


def _counted(receive: Receive, most: int, sentence: str) -> Receive:
    """Gives the parts of a request until there are too many bytes: it need not say its length."""
    left = most

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, sentence)
        return message

    return counted


def has_room() -> bool:
    """Whether the disk of the uploads has space for more."""
    try:
        return shutil.disk_usage(get_upload_folder()).free >= ROOM
    except OSError:  # the folder is made with the first upload
        return True
