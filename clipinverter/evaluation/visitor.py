"""A visitor of a running server, as the load command sends many of them."""

import hashlib
import io
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance

from clipinverter.errors import UserError

TIMEOUT = 600.0  # seconds


class LoadError(UserError):
    """The server can't be measured; the message says why."""


@dataclass(frozen=True)
class Request:
    """What a visitor asks for.

    Attributes:
        endpoint: edit or compare.
        picture: a number.
        shade: how much darker than the original, in steps; every shade is a photo of its own.
    """

    endpoint: str
    picture: int
    prompt: str
    strength: float
    shade: int = 0


class Visitor:
    """A client of the server with a session and uploads of its own; asks as any program would."""

    def __init__(self, url: str, pictures: Sequence[Path]) -> None:
        import httpx

        self.http = httpx.Client(base_url=f"{url.rstrip('/')}/gradio_api", timeout=TIMEOUT)
        self.session = secrets.token_hex(8)
        self.pictures = pictures
        self.paths: dict[tuple[int, int], str] = {}

    def ask(self, request: Request) -> tuple[str, float]:
        """The digest of the pictures in the answer, and the seconds that the server computed.

        Raises:
            LoadError: the server refused; the message is what it said.
        """
        data = [{"path": self._path(request)}, request.prompt, request.strength]
        sent = self.http.post(
            f"/call/{request.endpoint}", json={"data": data, "session_hash": self.session}
        )
        if sent.status_code != 200:
            raise LoadError(sent.text[:200])
        event = sent.json()["event_id"]
        last: Any = None
        with self.http.stream("GET", f"/call/{request.endpoint}/{event}") as answer:
            for name, content in _events(answer.iter_lines()):
                if name == "error":
                    raise LoadError(json.dumps(content)[:200])
                last = content if name in ("generating", "complete") and content else last
        if last is None:
            raise LoadError("nothing came")
        return self._digest(last), _working(last)

    def close(self) -> None:
        self.http.close()

    def _path(self, request: Request) -> str:
        """Where the picture of a request is on the server; it is uploaded once."""
        key = request.picture, request.shade
        if key not in self.paths:
            file = shaded(self.pictures[request.picture], request.shade)
            files = {"files": (f"{request.picture}.png", file)}
            self.paths[key] = self.http.post("/upload", files=files).json()[0]
        return self.paths[key]

    def _digest(self, answer: Sequence[Any]) -> str:
        digest = hashlib.blake2b()
        for value in answer:
            if isinstance(value, Mapping) and value.get("url"):
                path = str(value["url"]).split("/gradio_api", 1)[1]
                digest.update(self.http.get(path).content)
        return digest.hexdigest()


def shaded(path: Path, steps: int) -> bytes:
    """A picture's file, or a PNG of the picture made darker by so many steps of a thousandth."""
    if not steps:
        return path.read_bytes()
    file = io.BytesIO()
    with Image.open(path) as image:
        ImageEnhance.Brightness(image.convert("RGB")).enhance(1 - steps / 1000).save(file, "PNG")
    return file.getvalue()


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Name and content of what the server streams."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def _working(answer: Sequence[Any]) -> float:
    """Seconds that the server says it computed; 0 where it does not."""
    infos = [value for value in answer if isinstance(value, Mapping) and "timings_ms" in value]
    return sum(sum(info["timings_ms"].values()) for info in infos) / 1000
