"""What a running server does under load: visitors who edit, move the slider, bring new photos and compare at once.

Answers are compared with that of the same request when it was asked alone, so a picture that reached the wrong
visitor shows: all of them, but of new photos and of comparisons by new words only a few. Only servers on the loopback
address are asked, so that nobody loads somebody else's.
"""

import itertools
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clipinverter.evaluation.server_memory import memory_of
from clipinverter.evaluation.visitor import LoadError, Request, Visitor

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_CLIENTS, MOST_MINUTES, MOST_REQUESTS = 200, 60.0, 100_000
PROMPTS = ("a smiling woman", "a bald man with a beard", "a person with blond hair")
STRENGTHS = (0.5, 1.0, 1.5)
KINDS = ("edit", "slider", "tuning", "compare")
NEW = ("tuning", "compare")  # of a photo, or by words, that nobody asked for before
CHECKED = 6  # answers of each of these that are asked for once more; each takes seconds
WEIGHTS = (30, 62, 3, 5)  # how often a visitor does each


@dataclass(frozen=True)
class Sample:
    """One answer. seconds: until it was there; working: of these, as the server says, computing."""

    kind: str
    outcome: str  # completed, failed, or mixed up
    seconds: float
    working: float
    reason: str = ""
    request: Request | None = None
    digest: str = ""


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
        weights: how often a visitor edits anew, moves the slider, edits a new photo, and compares.

    Raises:
        LoadError: the address is another machine's, nobody answers there, or the numbers are out of range.
    """
    _check(url, pictures, clients, minutes)
    expected = _alone(url, pictures)
    memory = [memory_of(url)]
    samples: list[Sample] = []
    numbers = itertools.count(1)
    lock, end = threading.Lock(), time.monotonic() + 60 * minutes

    def visit(number: int) -> None:
        draw, visitor = random.Random(f"{seed} {number}"), Visitor(url, pictures)
        try:
            for kind, request in _wishes(draw, len(pictures), weights, numbers):
                if time.monotonic() >= end or len(samples) >= MOST_REQUESTS:
                    return
                known = None if kind in NEW else expected[request]
                sample = _sample(visitor, kind, request, known)
                with lock:
                    samples.append(sample)
                    memory.append(memory_of(url))
        finally:
            visitor.close()

    start = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(visit, range(clients)))
    seconds = time.monotonic() - start
    samples = _checked(url, pictures, samples, random.Random(seed))
    return _report(samples, memory, clients, seconds)


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


def _alone(url: str, pictures: Sequence[Path]) -> dict[Request, str]:
    """The digests of all answers that are not new, each asked for while nobody else asks."""
    visitor = Visitor(url, pictures)
    try:
        requests = [
            Request("edit", picture, prompt, strength)
            for picture in range(len(pictures))
            for prompt in PROMPTS
            for strength in STRENGTHS
        ]
        return {request: visitor.ask(request)[0] for request in requests}
    finally:
        visitor.close()


def _checked(
    url: str, pictures: Sequence[Path], samples: Sequence[Sample], draw: random.Random
) -> list[Sample]:
    """The samples, of which some of those that were new are asked for once more, one after the other."""
    checked = list(samples)
    visitor = Visitor(url, pictures)
    try:
        for kind in NEW:
            new = [n for n, s in enumerate(samples) if s.kind == kind and s.outcome == "completed"]
            for number in draw.sample(new, min(len(new), CHECKED)):
                if visitor.ask(samples[number].request)[0] != samples[number].digest:
                    checked[number] = replace(samples[number], outcome="mixed up")
    finally:
        visitor.close()
    return checked


def _wishes(
    draw: random.Random, pictures: int, weights: Sequence[int], numbers: Iterator[int]
) -> Iterator[tuple[str, Request]]:
    """What one visitor asks for, without end."""
    picture = draw.randrange(pictures)
    prompt, kind = draw.choice(PROMPTS), "edit"
    while True:
        if kind == "edit":
            prompt = draw.choice(PROMPTS)
        if kind == "compare":
            yield kind, Request("compare", picture, f"{prompt} {next(numbers)}", 1.0)
        elif kind == "tuning":
            yield kind, Request("edit", picture, prompt, 1.0, next(numbers))
        else:
            yield kind, Request("edit", picture, prompt, draw.choice(STRENGTHS))
        kind = draw.choices(KINDS, weights)[0]


def _sample(visitor: Visitor, kind: str, request: Request, expected: str | None) -> Sample:
    """One answer; without an expected digest it is compared later."""
    start = time.monotonic()
    try:
        digest, working = visitor.ask(request)
    except Exception as error:  # whatever a transfer can raise is a failure of the server
        return Sample(kind, "failed", time.monotonic() - start, 0.0, str(error) or repr(error))
    seconds = time.monotonic() - start
    outcome = "completed" if expected in (None, digest) else "mixed up"
    return Sample(kind, outcome, seconds, working, "", request, digest)


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
            "by_time": known[:: max(1, len(known) // 12)],
        },
        "reasons": sorted({sample.reason for sample in samples if sample.reason})[:5],
    }
