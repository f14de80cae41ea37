"""What a long computation gives while it runs reaches the page before its result."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


def streamed(
    call: Callable[[Callable[[T], None]], T], gone: type[Exception] | None = None
) -> Iterator[T]:
    """Yields what `call(give)` gives while it runs, in a thread, and its result at the end.

    The thread sees the request that it works for. An exception of `call` is raised here. If the
    reader of this iterator leaves, the next `give` raises `gone`.
    """
    given: SimpleQueue[T | None] = SimpleQueue()
    result: Future[T] = Future()
    left = Event()

    def give(item: T) -> None:
        if gone and left.is_set():
            raise gone
        given.put(item)

    def work() -> None:
        try:
            result.set_result(call(give))
        except BaseException as error:
            result.set_exception(error)
        finally:
            given.put(None)

    Thread(target=copy_context().run, args=(work,), name="preview", daemon=True).start()
    try:
        while (item := given.get()) is not None:
            yield item
    finally:
        left.set()
    yield result.result()
