"""What the page remembers of one visitor while the tab is open."""

from dataclasses import dataclass
from threading import Event

from clipinverter.request import Request


@dataclass
class Visit:
    """Shared by all handlers of one visitor, which may run at the same time.

    Attributes:
        asked: the latest request; it is answered again once its photo has been learned.
        drawn: the request whose edit is on the stage, while its status says what it took.
        stop: set to end the learning under way.
    """

    asked: Request | None = None
    drawn: Request | None = None
    stop: Event | None = None

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
