"""What a running server does under load: visitors who edit, move the slider and compare, all at once.

Every answer is compared with that of the same request when it was asked alone, so a picture that
reached the wrong visitor shows. Only servers on the loopback address are asked, so that nobody
loads somebody else's.
"""

import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipinverter.errors import UserError
from clipinverter.evaluation.server_memory import memory_of

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_CLIENTS, MOST_MINUTES, MOST_REQUESTS = 200, 60.0, 100_000
PROMPTS = ("a smiling woman", "a bald man with a beard", "a person with blond hair")
STRENGTHS = (0.5, 1.0, 1.5)
KINDS = ("edit", "slider", "compare")
WEIGHTS = (30, 65, 5)  # how often a visitor does each
TIMEOUT = 600.0  # seconds


class LoadError(UserError):
    """The server can't be measured; the message says why."""


@dataclass(frozen=True)
class Request:
    """What a visitor asks for. picture: a number; endpoint: edit or compare."""

    endpoint: str
    picture: int
    prompt: str
    strength: float


@dataclass(frozen=True)
class Sample:
    """One answer. seconds: until it was there; working: of these, as the server says, computing."""

    kind: str
    outcome: str  # completed, failed, or mixed up
    seconds: float
    working: float
    reason: str = ""


class Visitor:
    """A client of the server with its own uploads; asks as any program would."""

    def __init__(self, url: str, pictures: Sequence[Path]) -> None:
        import httpx

        self.http = httpx.Client(base_url=f"{url.rstrip('/')}/gradio_api", timeout=TIMEOUT)
        self.paths = [self._upload(path) for path in pictures]

    def ask(self, request: Request) -> tuple[str, float]:
        """The digest of the pictures in the answer, and the seconds that the server computed.

        Raises:
            LoadError: the server refused; the message is what it said.
        """
        data = [{"path": self.paths[request.picture]}, request.prompt, request.strength]
        sent = self.http.post(f"/call/{request.endpoint}", json={"data": data})
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

    def _upload(self, path: Path) -> str:
        with path.open("rb") as file:
            return self.http.post("/upload", files={"files": (path.name, file)}).json()[0]

    def _digest(self, answer: Sequence[Any]) -> str:
        digest = hashlib.blake2b()
        for value in answer:
            if isinstance(value, Mapping) and value.get("url"):
                path = str(value["url"]).split("/gradio_api", 1)[1]
                digest.update(self.http.get(path).content)
        return digest.hexdigest()


def measure(
    url: str,
    pictures: Sequence[Path],
    clients: int = 30,
    minutes: float = 3.0,
    seed: int = 0,
    weights: Sequence[int] = WEIGHTS,
) -> dict[str, Any]:
    """Loads a server and returns what it did, see `table`.

    Args:
        url: of a server on the loopback address.
        pictures: what visitors upload; each takes one of them and keeps it.
        weights: how often a visitor edits anew, moves the slider, and compares.

    Raises:
        LoadError: the address is another machine's, nobody answers there, or the numbers are out of range.
    """
    _check(url, pictures, clients, minutes)
    expected = _alone(url, pictures, compare=weights[2] > 0)
    memory = [memory_of(url)]
    samples: list[Sample] = []
    lock, end = threading.Lock(), time.monotonic() + 60 * minutes

    def visit(number: int) -> None:
        draw, visitor = random.Random(f"{seed} {number}"), Visitor(url, pictures)
        try:
            for kind, request in _wishes(draw, len(pictures), weights):
                if time.monotonic() >= end or len(samples) >= MOST_REQUESTS:
                    return
                sample = _sample(visitor, kind, request, expected[request])
                with lock:
                    samples.append(sample)
                    memory.append(memory_of(url))
        finally:
            visitor.close()

    start = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(visit, range(clients)))
    return _report(samples, memory, clients, time.monotonic() - start)


def table(report: Mapping[str, Any]) -> str:
    """The report for people: a line for each kind of request, and the memory."""
    lines = ["| request | completed | failed | mixed up | p50 s | p95 s | waiting p50 s |"]
    lines.append("|---|---|---|---|---|---|---|")
    for kind, row in report["requests"].items():
        numbers = (row["p50"], row["p95"], row["waiting"])
        lines.append(
            f"| {kind} | {row['completed']} | {row['failed']} | {row['mixed_up']} | "
            + " | ".join(f"{number:.1f}" for number in numbers)
            + " |"
        )
    memory = report["memory_mb"]
    if memory["start"] is not None:
        shown = " · ".join(f"{name} {memory[name]:,.0f} MB" for name in ("start", "end", "most"))
        lines.append(f"\nMemory of the server: {shown}")
    lines += [f"\nA failure: {reason}" for reason in report["reasons"]]
    return "\n".join(lines)


def _check(url: str, pictures: Sequence[Path], clients: int, minutes: float) -> None:
    import httpx

    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL:
        host = ""
    if host not in LOOPBACK:
        raise LoadError(
            f"Only a server on this machine may be loaded, such as 127.0.0.1, not {url}."
        )
    if not 1 <= clients <= MOST_CLIENTS or not 0 < minutes <= MOST_MINUTES:
        raise LoadError(f"1 to {MOST_CLIENTS} clients and up to {MOST_MINUTES:g} minutes work.")
    if not pictures:
        raise LoadError("Visitors need at least one picture.")
    try:
        httpx.get(url, timeout=30).raise_for_status()
    except httpx.HTTPError as error:
        raise LoadError(f"No page answers at {url} ({error}). Start it by `make demo`.") from error


def _alone(url: str, pictures: Sequence[Path], compare: bool) -> dict[Request, str]:
    """The digests of all answers that can come, each asked for while nobody else asks."""
    visitor = Visitor(url, pictures)
    try:
        requests = [
            Request("edit", picture, prompt, strength)
            for picture in range(len(pictures))
            for prompt in PROMPTS
            for strength in STRENGTHS
        ]
        if compare:
            requests += [Request("compare", n, PROMPTS[0], 1.0) for n in range(len(pictures))]
        return {request: visitor.ask(request)[0] for request in requests}
    finally:
        visitor.close()


def _wishes(
    draw: random.Random, pictures: int, weights: Sequence[int]
) -> Iterator[tuple[str, Request]]:
    """What one visitor asks for, without end."""
    picture = draw.randrange(pictures)
    prompt, kind = draw.choice(PROMPTS), "edit"
    while True:
        if kind == "edit":
            prompt = draw.choice(PROMPTS)
        if kind == "compare":
            yield kind, Request("compare", picture, PROMPTS[0], 1.0)
        else:
            yield kind, Request("edit", picture, prompt, draw.choice(STRENGTHS))
        kind = draw.choices(KINDS, weights)[0]


def _sample(visitor: Visitor, kind: str, request: Request, expected: str) -> Sample:
    start = time.monotonic()
    try:
        digest, working = visitor.ask(request)
    except Exception as error:  # whatever a transfer can raise is a failure of the server
        return Sample(kind, "failed", time.monotonic() - start, 0.0, str(error) or repr(error))
    outcome = "completed" if digest == expected else "mixed up"
    return Sample(kind, outcome, time.monotonic() - start, working)


def _report(
    samples: Sequence[Sample], memory: Sequence[float | None], clients: int, seconds: float
) -> dict[str, Any]:
    rows = {}
    for kind in KINDS:
        own = [sample for sample in samples if sample.kind == kind]
        done = [sample for sample in own if sample.outcome != "failed"]
        times = [sample.seconds for sample in done] or [0.0]
        rows[kind] = {
            "completed": sum(sample.outcome == "completed" for sample in own),
            "failed": len(own) - len(done),
            "mixed_up": sum(sample.outcome == "mixed up" for sample in own),
            "p50": float(np.percentile(times, 50)),
            "p95": float(np.percentile(times, 95)),
            "waiting": float(np.median([s.seconds - s.working for s in done] or [0.0])),
        }
    known = [value for value in memory if value is not None]
    return {
        "clients": clients,
        "seconds": seconds,
        "requests": rows,
        "memory_mb": {
            "start": known[0] if known else None,
            "end": known[-1] if known else None,
            "most": max(known, default=None),
        },
        "reasons": sorted({sample.reason for sample in samples if sample.reason})[:5],
    }


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
