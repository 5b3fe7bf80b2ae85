"""A server on loopback with Polygon's current prices: REST snapshots and the websocket's protocol.

python tests/live_server.py --symbol AAPL --price 100 prints what to set, then takes prices as
lines `AAPL 98.5` from stdin.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from polygon_server import KEY, PolygonServer, plausible_bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polygon_faults import Row

SNAPSHOTS = "/v2/snapshot/locale/us/markets/stocks/tickers"
NO_PLAN = "Your plan doesn't include websocket access. Visit https://polygon.io/pricing to upgrade."


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class LiveRest(PolygonServer):
    """As a PolygonServer, with snapshots of several tickers at once."""

    def answer(self, target: str) -> tuple[int, Any]:
        parts = urlsplit(target)
        if parts.path != SNAPSHOTS:
            return super().answer(target)
        asked = dict(parse_qsl(parts.query)).get("tickers", "").split(",")
        rows = [self.snapshots[name] for name in asked if name in self.snapshots]
        return 200, {"status": self.status, "count": len(rows), "tickers": rows}


class LiveServer:
    """REST and websocket on 127.0.0.1 while its `with` block runs.

    refusal: what sign-in answers instead of letting in. silent: the websocket greets nobody.
    topics: what was subscribed, in order; signed_in: how often.
    """

    def __init__(
        self,
        bars: dict[str, Sequence[Row]] | None = None,
        *,
        refusal: str = "",
        silent: bool = False,
        key: str = KEY,
        **rest: Any,  # noqa: ANN401 -- of a PolygonServer
    ) -> None:
        self.snapshots: dict[str, Row] = {}
        self.rest = LiveRest(bars or {}, key=key, **rest)
        self.rest.snapshots = self.snapshots
        self.refusal, self.silent, self.key = refusal, silent, key
        self.topics: list[str] = []
        self.signed_in = 0
        self._open: set[ServerConnection] = set()
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        self.rest.__enter__()
        self.listen(0)
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.rest.__exit__()

    def listen(self, port: int) -> None:
        """Serve the websocket, again on the same port after `hang_up`."""
        self._ending.clear()
        self._server = serve(self._serve, "127.0.0.1", port, close_timeout=0.5)
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """Cut every websocket and take no other."""
        self._ending.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server = None

    @property
    def base(self) -> str:
        return self.rest.base

    @property
    def stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def subscribed(self, topic: str, timeout: float = 10.0) -> bool:
        """Wait until somebody has subscribed."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with self._lock:
                if topic in self.topics:
                    return True
            time.sleep(0.005)
        return False

    def print_price(self, symbol: str, price: float, *, ms: int | None = None) -> None:
        """Put a price into the snapshots, and send it to whoever subscribed."""
        ms = now_ms() if ms is None else ms
        self.snapshots[symbol] = snapshot(symbol, price, ms)
        self.send([aggregate(symbol, price, ms)])

    def send(self, events: list[Any] | str) -> None:
        """Send a message as it is to everybody who has signed in."""
        text = events if isinstance(events, str) else json.dumps(events)
        with self._lock:
            wires = list(self._open)
        for wire in wires:
            try:
                wire.send(text)
            except ConnectionClosed:
                continue

    def _serve(self, wire: ServerConnection) -> None:
        if self.silent:
            self._ending.wait(30)
            return
        try:
            wire.send(status("connected", "Connected Successfully"))
            asked = json.loads(wire.recv())
            if asked.get("params") != self.key or self.refusal:
                wire.send(status("auth_failed", self.refusal or "authentication failed"))
                self._ending.wait(1)
                return
            self.signed_in += 1
            wire.send(status("auth_success", "authenticated"))
            self._talk(wire)
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._open.discard(wire)

    def _talk(self, wire: ServerConnection) -> None:
        while not self._ending.is_set():
            try:
                asked = json.loads(wire.recv(timeout=0.05))
            except TimeoutError:
                continue
            for topic in asked["params"].split(","):
                wire.send(status("success", f"subscribed to: {topic}"))
                with self._lock:
                    self._open.add(wire)
                    self.topics.append(topic)
        wire.close(1011)


def status(word: str, said: str) -> str:
    return json.dumps([{"ev": "status", "status": word, "message": said}])


def aggregate(symbol: str, price: float, ms: int, kind: str = "A") -> Row:
    prices = dict.fromkeys(("o", "h", "l", "c", "vw", "op", "a"), price)
    return {"ev": kind, "sym": symbol, "v": 100, "av": 1000, "z": 10, "s": ms - 1000, "e": ms} | (
        prices
    )


def snapshot(symbol: str, price: float, ms: int, spread: float = 0.02) -> Row:
    return {
        "ticker": symbol,
        "updated": ms * 1_000_000,
        "lastTrade": {"p": price, "s": 100, "t": ms * 1_000_000},
        "lastQuote": {
            "p": round(price - spread / 2, 4),
            "P": round(price + spread / 2, 4),
            "t": ms * 1_000_000,
        },
        "min": {"c": price, "t": ms},
        "prevDay": {"c": price},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbol", nargs="+", default=["AAPL"])
    parser.add_argument("--price", type=float, default=100.0)
    asked = parser.parse_args()
    bars: dict[str, Sequence[Row]] = {name: plausible_bars(500) for name in asked.symbol}
    with LiveServer(bars) as server:
        for name in asked.symbol:
            server.print_price(name, asked.price)
        told = f"POLYGON_API_KEY={KEY} ALGOTRADE_API_BASE={server.base} ALGOTRADE_RATE=0"
        sys.stdout.write(f"{told} ALGOTRADE_WATCH__STREAM={server.stream}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            name, price = line.split()
            server.print_price(name, float(price))


if __name__ == "__main__":
    main()
