"""Who is next: visitors take turns, so that nobody who asks for much makes the others wait for all of it.

The framework serves every lane in order of arrival. Here a visitor's first waiting request goes before
everybody's second, and so on. The places and times that the page shows follow from that order.
"""

import asyncio
import time
from collections import Counter
from typing import Any

import gradio as gr
from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage
from gradio.utils import error_payload

from clipinverter.ui import text

MAX_WAITING = 64  # requests in a queue, of all visitors
MAX_WAITING_EACH = 16  # of one
FAREWELL = 1.0  # seconds for the last word


def visitor(session: str | None, host: str | None) -> str:
    """Who asks: an open page or a client with a session; programs without one go by their address."""
    return session or f"address {host}"


class Line(list):
    """The waiting requests of a lane, the next one first."""

    def append(self, event: Event) -> None:
        """Adds a request: after the n-th one of everybody, where it is the n-th of its visitor."""
        own = sum(_who(other) == _who(event) for other in self)
        before: Counter[str] = Counter()
        place = 0
        for index, other in enumerate(self):
            if before[_who(other)] <= own:
                place = index + 1
            before[_who(other)] += 1
        self.insert(place, event)


class Turns(Queue):
    """The framework's queue with that order, a bound for each visitor, and a last word at the end."""

    ending = False

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:
        """Nothing: the framework would count up to 10,000 requests anew after each, for a page that is off."""
        return self.cached_event_analytics_summary

    def start(self) -> None:
        self.ANALYTICS_MAX_EVENTS = 1  # nothing about visitors is kept
        self.loop = asyncio.get_running_loop()
        super().start()

    def create_event_queue_for_fn(self, block_fn: Any) -> None:
        super().create_event_queue_for_fn(block_fn)
        lane = self.event_queue_per_concurrency_id[block_fn.concurrency_id]
        if not isinstance(lane.queue, Line):
            lane.queue = Line(lane.queue)

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The next request, of somebody who has no other one running in the same lane."""
        running = {(e.concurrency_id, _who(e)) for job in self.active_jobs for e in job or ()}
        for name, lane in self.event_queue_per_concurrency_id.items():
            if lane.concurrency_limit is None or lane.current_concurrency < lane.concurrency_limit:
                for event in lane.queue:
                    if (name, _who(event)) not in running:
                        lane.queue.remove(event)
                        return [event], False, name
        return None

    def broadcast_estimations(self, concurrency_id: str, after: int | None = None) -> None:
        """Tells everybody in the lane their place, since a new request may be before theirs."""
        super().broadcast_estimations(concurrency_id)

    async def push(self, body: Any, request: Any, username: str | None) -> tuple[bool, Any, Any]:
        if self.ending:
            return False, text.ENDING, "queue_full"
        who = visitor(body.session_hash, request.client and request.client.host)
        lanes = [lane.queue for lane in self.event_queue_per_concurrency_id.values()]
        if sum(_who(event) == who for lane in lanes for event in lane) >= MAX_WAITING_EACH:
            return False, text.TOO_MANY_WAITING, "queue_full"
        return await super().push(body, request, username)

    def say_farewell(self) -> None:
        """Answers every open request with a sentence, and takes no more; for any thread but the server's.

        Returns when all are told, or after a second.
        """
        self.ending = True
        content = error_payload(gr.Error(text.ENDING), False)

        def tell() -> None:
            for session, events in self.pending_event_ids_session.items():
                messages = self.pending_messages_per_session.get(session)
                for event in events if messages else ():
                    messages.put_nowait(
                        ProcessCompletedMessage(
                            output=content, title="Error", success=False, event_id=event
                        )
                    )

        if not hasattr(self, "loop"):  # nobody was served yet
            return
        self.loop.call_soon_threadsafe(tell)
        end = time.monotonic() + FAREWELL
        while time.monotonic() < end:
            time.sleep(0.1)  # so that what was told is sent
            if not any([*self.pending_event_ids_session.values()]):
                return


def take_turns(demo: gr.Blocks) -> Turns:
    """Makes the visitors of a page take turns; returns its queue."""
    demo.queue(max_size=MAX_WAITING, api_open=False)  # nobody gets past it
    # The framework makes its queue itself; nothing has been put into it yet.
    demo._queue.__class__ = Turns
    return demo._queue


def _who(event: Event) -> str:
    # Without a session, the framework takes the name of the request for one.
    session = None if event.session_hash == event._id else event.session_hash
    return visitor(session, event.request.client and event.request.client.host)
