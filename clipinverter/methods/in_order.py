"""A lock that is given in order of arrival."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

LOOK_EVERY = 0.3  # seconds


class InOrder:
    """Whoever waits longest is next.

    With `threading.Lock`, a thread that releases it and wants it back at once mostly gets it, so an
    edit would wait for many steps of somebody else's tuning instead of one.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: deque[Lock] = deque()
        self._held = False

    @contextmanager
    def held(self, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
        """Holds the lock.

        Args:
            meanwhile: called several times a second while others are first; whatever it raises ends
                the waiting.
        """
        self._acquire(meanwhile)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, meanwhile: Callable[[], None] | None) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            while not turn.acquire(timeout=LOOK_EVERY if meanwhile else -1):
                meanwhile()
        except BaseException:  # Ctrl-C, too
            with self._guard:
                waits = turn in self._waiting
                if waits:
                    self._waiting.remove(turn)
            if not waits:
                self._release()
            raise

    def _release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False
