"""A large picture's preview reaches the page while the picture is still drawn."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def streamed(call: Callable[[Callable[[T], None]], T]) -> Iterator[T]:
    """Yields what `call(give)` gives while it runs, in a thread, and its result at the end.

    The thread sees the request that it works for. An exception of `call` is raised here.
    """
    given: SimpleQueue[T | None] = SimpleQueue()
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(call(given.put))
        except BaseException as error:
            result.set_exception(error)
        finally:
            given.put(None)

    Thread(target=copy_context().run, args=(work,), name="preview", daemon=True).start()
    while (item := given.get()) is not None:
        yield item
    yield result.result()
