"""What the server answers to requests that come from elsewhere or lead nowhere.

A page of another origin can make a visitor's browser send requests here, even where only that
visitor can reach the server. Browsers say so in `Origin`, and such requests are refused.
"""

import logging
import os
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from gradio.route_utils import FnIndexInferError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from clipinverter.ui import text
from clipinverter.ui.bounds import Bounds

log = logging.getLogger(__name__)


class NoMonitoring:
    """ASGI middleware: the API panel asks for statistics; the server keeps none, and says so without an error."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"].endswith("/monitoring/summary")
        app: ASGIApp = JSONResponse({"functions": {}}) if asked else self.app
        await app(scope, receive, send)


class RefuseForeignOrigins:
    """ASGI middleware: answers 403 to requests of pages that this server did not deliver."""

    def __init__(self, app: ASGIApp, allowed: Collection[str] = ()) -> None:
        self.app = app
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self.app
        if scope["type"] == "http" and is_foreign(Headers(scope=scope), self.allowed):
            app = JSONResponse({"error": text.FOREIGN_ORIGIN}, 403)
        await app(scope, receive, send)


def is_foreign(headers: Headers, allowed: Collection[str]) -> bool:
    """Whether a page of another origin sent this, and it is not one of the `allowed`.

    Where a proxy changes `Host`, the browser's own verdict (`Sec-Fetch-Site`) decides: no page can
    set it. Programs and links send no `Origin`.
    """
    origin = headers.get("origin", "").lower()
    if not origin or headers.get("sec-fetch-site") == "same-origin":
        return False
    if "*" in allowed or origin in allowed:
        return False
    try:
        return urlsplit(origin).netloc != headers.get("host", "").lower()
    except ValueError:
        return True


def allowed_origins() -> frozenset[str]:
    """The origins in ALLOWED_ORIGINS, separated by commas; "*" allows all."""
    listed = os.environ.get("ALLOWED_ORIGINS", "").lower().split(",")
    return frozenset(origin.strip().rstrip("/") for origin in listed if origin.strip())


def app_options() -> dict[str, Any]:
    """What the web application is created with, for `launch(app_kwargs=…)`."""
    return {
        "middleware": [
            Middleware(RefuseForeignOrigins, allowed=allowed_origins()),
            Middleware(Bounds),
            Middleware(NoMonitoring),
        ],
        "exception_handlers": {
            FnIndexInferError: _no_endpoint,
            HTTPException: _refused,
            OSError: _no_room,
            Exception: _went_wrong,
        },
    }


async def _no_endpoint(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": text.NO_ENDPOINT}, 404)


async def _refused(request: Request, error: HTTPException) -> JSONResponse:
    """The framework's own refusals; a full queue in our words."""
    full = error.status_code == 503 and str(error.detail).startswith("Queue is full")
    return JSONResponse(
        {"detail": text.QUEUE_FULL if full else error.detail}, error.status_code, error.headers
    )


async def _no_room(request: Request, error: OSError) -> PlainTextResponse:
    """A full disk, in most cases; the reason names files."""
    log.error("The server can't write or read: %s", error)
    return PlainTextResponse(text.NO_ROOM, 507)


async def _went_wrong(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": text.WENT_WRONG}, 500)
