"""A small cache for results that are costly to compute and cheap to keep.

`functools.lru_cache` counts entries; here the bound is memory, because one entry of the official
model is fifty times one of the embedded model. And concurrent requests for the same thing wait for
the first instead of all computing it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Least-recently-used cache bounded by bytes; safe under threads; computes each key once.

    Args:
        max_bytes: upper bound of the sum of `size_of` over what is kept.
        size_of: bytes that a value occupies.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[V], int]) -> None:
        self.max_bytes = max_bytes
        self.size_of = size_of
        self.bytes = 0
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._running: dict[Hashable, Future[V]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self,
        key: Hashable,
        compute: Callable[[], V],
        retry: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> tuple[V, bool]:
        """The value of `key` and whether it was there already.

        If it is not, `compute` makes it, outside of the lock. Threads that ask for the same key
        meanwhile wait for that result. An exception reaches all of them and is not kept: the next
        call computes again. A value larger than `max_bytes` is returned but not kept.

        Args:
            retry: exceptions of another thread's `compute` after which this thread computes itself.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0], True
            future = self._running.get(key)
            owner = future is None
            if owner:
                future = self._running[key] = Future()
        if not owner:
            try:
                return future.result(), True
            except retry:
                return self.get(key, compute, retry)
        try:
            value = compute()
            size = self.size_of(value)
        except BaseException as error:
            with self._lock:
                del self._running[key]
            future.set_exception(error)
            raise
        with self._lock:
            self._keep(key, value, size)
            del self._running[key]
        future.set_result(value)
        return value, False

    def find(self, key: Hashable) -> V | None:
        """The value of `key` if it is there already; never waits."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def _keep(self, key: Hashable, value: V, size: int) -> None:
        if size > self.max_bytes:
            return
        self._kept[key] = (value, size)
        self.bytes += size
        while self.bytes > self.max_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            self.bytes -= freed
