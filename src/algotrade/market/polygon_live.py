"""Prices of this moment from Polygon: its stream where the plan has one, else by asking.

One thread of its own. The stream is taken first, the delayed one where the plan has no other; with
neither, prices are asked for. While a stream is down prices are asked for, too, and it is tried
again after 1 s, 2 s ... 60 s. A refused key ends the feed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from algotrade import clock
from algotrade.errors import AlgotradeError, PlanError, ProviderError, SecretError
from algotrade.market.live import Board, FeedState
from algotrade.market.polygon_poll import PolygonPoll
from algotrade.market.polygon_ws import GREETING_S, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from algotrade.market.calendar import Calendar
    from algotrade.market.polygon_http import PolygonHttp
    from algotrade.market.polygon_ws import Address

_LONGEST_PAUSE = 60.0
_END_OF_DAY_PAUSE = 900.0  # a plan that shows closes only is asked four times an hour


class PolygonLive:
    """Current prices of some symbols, as a LiveFeed."""

    def __init__(
        self,
        open_http: Callable[[Callable[[str], None]], PolygonHttp],
        calendar: Calendar,
        symbols: Sequence[str],
        *,
        key: str,
        streams: Sequence[Address],
        every_s: Callable[[], float],
        greeting_s: float = GREETING_S,
    ) -> None:
        """Bind; nothing is sent before `start`.

        open_http: makes the transport, inside the feed's thread; told where its lines go.
        streams: where to connect, best first; none for asking only. every_s: gives the pause
        between rounds of asking, which our own pacing may make longer.
        """
        self.board = Board()
        self._open_http, self._calendar, self._symbols = open_http, calendar, tuple(symbols)
        self._key, self._streams = key, list(streams)
        self._every_s, self._greeting_s = every_s, greeting_s
        self._stop = threading.Event()
        self._poll: PolygonPoll | None = None
        self._thread = threading.Thread(target=self._run, name="polygon-live", daemon=True)

    def start(self) -> None:
        """Begin to ask, in a thread that dies with the process."""
        if self._symbols:
            self._thread.start()

    def close(self) -> None:
        """Stop asking; a call that is under way is not waited for."""
        self._stop.set()

    def _run(self) -> None:
        try:
            http = self._open_http(self.board.note)
            try:
                self._poll = PolygonPoll(http, self._calendar)
                self._follow_streams()
                self._ask_on()
            finally:
                http.close()
        except AlgotradeError as error:
            self.board.set_state(FeedState("none", trouble=error))

    def _follow_streams(self) -> None:
        """Stay on the best stream there is; return where the plan has none."""
        pauses = _growing(1.0)
        if self._streams:
            self._round()  # a stream tells the next price, not the one there is
        while self._streams and not self._stop.is_set():
            stream = Stream(
                self._streams[0],
                self._key,
                self._symbols,
                self.board,
                greeting_s=self._greeting_s,
            )
            try:
                stream.run(self._stop)
            except PlanError as error:
                self.board.note(f"{error.message}; {self._instead()}")
                self._streams.pop(0)
            except ProviderError as error:
                pauses = _growing(1.0) if stream.greeted else pauses
                self.board.set_state(FeedState("poll", trouble=error))
                self._ask_until(clock.monotonic() + next(pauses))

    def _instead(self) -> str:
        return "trying the delayed one" if len(self._streams) > 1 else "asking for prices instead"

    def _ask_on(self) -> None:
        """Ask in rounds until told to stop; failures make the pauses longer."""
        pauses = _growing(self._every_s())
        while not self._stop.is_set():
            began, well = clock.monotonic(), self._round()
            pauses = _growing(self._every_s()) if well else pauses
            pause = self._every_s() if well else next(pauses)
            if well and self._poll is not None and self._poll.is_end_of_day:
                pause = _END_OF_DAY_PAUSE
            self._stop.wait(max(0.0, pause - (clock.monotonic() - began)))

    def _ask_until(self, deadline: float) -> None:
        """Ask while a stream is down."""
        while not self._stop.is_set() and clock.monotonic() < deadline:
            self._round()
            left = deadline - clock.monotonic()
            self._stop.wait(max(0.0, min(self._every_s(), left)))

    def _round(self) -> bool:
        """Ask once for every symbol; tell whether that went well. A refused key is raised."""
        if self._poll is None:
            return False
        delayed = False
        try:
            for price in self._poll.round(self._symbols):
                delayed |= price.delayed
                self.board.put(price)
        except SecretError:
            raise
        except PlanError as error:
            self.board.set_state(FeedState("none", trouble=error))
            self._stop.set()
            return False
        except AlgotradeError as error:
            self.board.set_state(FeedState("poll", delayed, error))
            return False
        if not self._streams or self.board.state.how == "starting":
            self.board.set_state(FeedState("poll", delayed))
        return True


def _growing(first: float) -> Iterator[float]:
    """Give pauses that double, up to a minute."""
    pause = max(first, 0.5)
    while True:
        yield min(pause, _LONGEST_PAUSE)
        pause *= 2
