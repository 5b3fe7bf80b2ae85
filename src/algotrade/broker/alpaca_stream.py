"""Alpaca's stream of order updates, by alpaca-py: it only wakes who listens.

Fills are booked from the broker's list of executions alone, so that an update which comes twice,
late or never changes nothing but the moment at which somebody looks.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

from algotrade.broker.numbers import clean

_QUIET = ("alpaca.trading.stream", "websockets.client")


class AlpacaStream:
    """A connection that stays, in a thread of its own; the library connects again by itself."""

    def __init__(self, base: str, key_id: str, secret: str) -> None:
        """Connect; a broken or refused connection is tried again, ever more slowly."""
        from alpaca.trading.stream import TradingStream

        for name in _QUIET:
            logger = logging.getLogger(name)
            logger.propagate, logger.disabled = False, True  # it would write to stderr
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        address = base.replace("http", "ws", 1) + "/stream"
        self._stream: Any = TradingStream(key_id, secret, raw_data=True, url_override=address)
        self._stream.subscribe_trade_updates(self._take)
        self._thread = threading.Thread(target=self._stream.run, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> str | None:
        """Give the next update in words, or None where none comes in time."""
        try:
            return self._told.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Leave; the connection ends with its thread."""
        if self._stream._loop is not None:  # noqa: SLF001  set once it runs
            self._stream.stop()

    async def _take(self, message: Any) -> None:  # noqa: ANN401  JSON
        data = message.get("data") if isinstance(message, dict) else None
        order = data.get("order") if isinstance(data, dict) else None
        words = [data.get("event") if isinstance(data, dict) else "update"]
        if isinstance(order, dict):
            words += [order.get("side"), order.get("symbol"), "filled", order.get("filled_qty")]
        self._told.put(clean(" ".join(str(word) for word in words)))
