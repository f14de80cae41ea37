"""What the page remembers of one visitor while the tab is open."""

from dataclasses import dataclass, field
from threading import Event
from typing import Any, NamedTuple

from clipinverter.request import Request

MAX_RESULTS = 30


class Result(NamedTuple):
    """A result of a visit.

    Attributes:
        key: equal for results that show the same.
        thumbnail: a small picture as a data URL.
        file: the picture as it is downloaded.
    """

    key: Any
    request: Request
    thumbnail: str
    file: str


@dataclass
class Visit:
    """Shared by all handlers of one visitor, which may run at the same time.

    Attributes:
        asked: the latest request; it is answered again once its photo has been learned.
        drawn: the request whose edit is on the stage, while its status says what it took.
        stop: set to end the learning under way.
        results: what the visitor has seen, in the order in which undo and redo go through it.
        at: the index of the result on the stage.
    """

    asked: Request | None = None
    drawn: Request | None = None
    stop: Event | None = None
    results: list[Result] = field(default_factory=list)
    at: int = 0

    @property
    def result(self) -> Result:
        """The result on the stage. Raises IndexError where there is none."""
        return self.results[self.at]

    def add(self, result: Result) -> None:
        """Puts a result after the one on the stage, so that undo returns to that; nothing is lost.

        One with the same key replaces it. Beyond `MAX_RESULTS` the first one goes.
        """
        if self.results and self.result.key == result.key:
            self.results[self.at] = result
            return
        self.at = self.at + 1 if self.results else 0
        self.results.insert(self.at, result)
        if len(self.results) > MAX_RESULTS:
            del self.results[0]
            self.at = max(0, self.at - 1)

    def leave(self) -> None:
        """Ends the learning under way: the visitor stopped it, left, or took another photo."""
        if self.stop:
            self.stop.set()

    def begin(self) -> None:
        """Another face: what is learned of the one before is no longer wanted."""
        self.leave()
        self.asked, self.drawn, self.stop = None, None, Event()

    def retry(self) -> None:
        """The same face once more."""
        self.leave()
        self.stop = Event()

    def __deepcopy__(self, memo: dict) -> "Visit":
        """The framework copies the initial value for every visitor, who starts anew."""
        return Visit()
