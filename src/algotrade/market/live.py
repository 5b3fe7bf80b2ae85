"""The board between a feed's thread and the loop that watches: newest prices, and what is wrong."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.domain.live import LivePrice
    from algotrade.errors import AlgotradeError

_NOTES = 20  # lines kept for a loop that reads late


class FeedState(NamedTuple):
    """How prices come now: stream, poll or stored; why it is worse than asked, if it is.

    trouble: the newest failure, or None once prices come again.
    """

    how: str
    delayed: bool = False
    trouble: AlgotradeError | None = None


class LiveFeed(Protocol):
    """Prices of this moment, on a board that a thread of the feed's own writes."""

    board: Board

    def start(self) -> None:
        """Begin to ask."""
        ...

    def close(self) -> None:
        """Stop asking; does not wait for the provider."""
        ...


class Board:
    """Newest price of each symbol; written by one thread, read by another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._prices: dict[str, LivePrice] = {}
        self._bands: dict[str, tuple[int, int]] = {}
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._version = 0
        self._state = FeedState("starting")

    def put(self, price: LivePrice) -> None:
        """Take a price, unless a newer one of the symbol stands already."""
        with self._changed:
            known = self._prices.get(price.symbol)
            if known is not None and known.ts > price.ts:
                return
            if known == price:
                return
            self._prices[price.symbol] = price
            self._version += 1
            self._changed.notify_all()

    def band(self, symbol: str, low: int, high: int) -> None:
        """Take the exchange's price band of a symbol."""
        with self._changed:
            self._bands[symbol] = (low, high)

    def note(self, line: str) -> None:
        """Leave a line for whoever runs the watch."""
        with self._changed:
            self._notes.append(line)

    def set_state(self, state: FeedState) -> None:
        """Tell how prices come from now on; the loop is woken where that has changed."""
        with self._changed:
            if state != self._state:
                self._state = state
                self._version += 1
                self._changed.notify_all()

    @property
    def state(self) -> FeedState:
        """Give how prices come now."""
        with self._changed:
            return self._state

    def prices(self) -> Mapping[str, LivePrice]:
        """Give the newest price of each symbol that has one, with its band where known."""
        with self._changed:
            return {
                symbol: price._replace(
                    low_band=self._bands[symbol][0], high_band=self._bands[symbol][1]
                )
                if symbol in self._bands
                else price
                for symbol, price in self._prices.items()
            }

    def notes(self) -> list[str]:
        """Take the lines that were left."""
        with self._changed:
            found = list(self._notes)
            self._notes.clear()
            return found

    def wait(self, version: int, seconds: float) -> int:
        """Wait until something is newer than `version`, at most so long; give what is now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, timeout=max(0.0, seconds))
            return self._version
