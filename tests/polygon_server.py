"""A server on loopback that answers like Polygon, with pages and with faults; for tests and people.

python tests/polygon_server.py --port 8123 --bars 500 --page-size 250 --symbol AAPL --die-on-page 2
"""

from __future__ import annotations

import argparse
import base64
import gzip
import random
import re
import socket
import sys
import threading
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from algotrade.domain.times import to_date
from algotrade.market.calendar import exchange_calendar
from polygon_faults import ERRORS, EVERY, GZIP, SPOIL, VENDOR, WIRE, Fault, Row, encoded, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["EVERY", "KEY", "Fault", "PolygonServer", "Row", "midnight_ms"]

KEY = "test-key-9f3b2c"
DAY_MS = 86_400_000
MINUTE_MS = 60_000

_NEW_YORK = ZoneInfo("America/New_York")
_BARS = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/(day|minute)/([^/]+)/([^/]+)")
_ACTIONS = re.compile(r"/(stocks/v1|v3/reference)/(splits|dividends)")
_OF_TICKER = (
    (re.compile(r"/v2/aggs/ticker/([^/]+)/prev"), "previous"),
    (re.compile(r"/v3/reference/tickers/([^/]+)"), "details"),
    (re.compile(r"/v2/snapshot/locale/us/markets/stocks/tickers/([^/]+)"), "snapshot"),
    (re.compile(r"/v2/last/trade/([^/]+)"), "trade"),
)


def midnight_ms(day: date) -> int:
    """Give the start of a New York day in milliseconds, the `t` of its daily bar."""
    return int(datetime.combine(day, time(), _NEW_YORK).timestamp() * 1000)


def plausible_bars(count: int, *, seed: int = 1, last: date = date(2026, 11, 20)) -> list[Row]:
    """Make the daily bars of the `count` XNYS sessions that end on `last`."""
    chance = random.Random(seed)  # noqa: S311 -- prices, not secrets
    close, rows = 100.0, []
    for day in _sessions(count, last):
        opened = round(close * chance.uniform(0.99, 1.01), 2)
        close = round(opened * chance.uniform(0.97, 1.031), 2)
        high = round(max(opened, close) * chance.uniform(1, 1.01), 2)
        low = round(min(opened, close) * chance.uniform(0.99, 1), 2)
        volume = round(chance.uniform(1e6, 9e7), 6)
        prices = {"o": opened, "c": close, "h": high, "l": low, "vw": round((high + low) / 2, 4)}
        t = midnight_ms(day)
        rows.append({"v": volume, **prices, "t": t, "n": chance.randrange(10_000, 900_000)})
    return rows


def plausible_minutes(
    sessions: int,
    *,
    seed: int = 1,
    last: date = date(2026, 11, 20),
    first_minute: int = 9 * 60 + 30,
    count: int = 390,
) -> list[Row]:
    """Make the minute bars of the XNYS sessions that end on `last`.

    first_minute: of each day, in New York. count: minutes a day, none of them missing.
    """
    chance = random.Random(seed)  # noqa: S311 -- prices, not secrets
    cents, rows = 10_000, []
    for day in _sessions(sessions, last):
        begin = midnight_ms(day) + first_minute * MINUTE_MS
        for minute in range(count):
            opened = max(100, cents + chance.randint(-2, 2))
            cents = max(100, opened + chance.randint(-9, 9))
            high, low = max(opened, cents) + chance.randint(0, 3), min(opened, cents)
            prices = {"o": opened / 100, "c": cents / 100, "h": high / 100, "l": low / 100}
            volume, trades = chance.randint(1, 9_000_000) / 100, chance.randint(1, 999)
            t = begin + minute * MINUTE_MS
            rows.append({"v": volume, "vw": high / 100, **prices, "t": t, "n": trades})
    return rows


def _sessions(count: int, last: date) -> list[date]:
    days = exchange_calendar(last - timedelta(days=10 + 2 * count), last).day[-count:]
    return [to_date(day) for day in days]


class Call(NamedTuple):
    target: str
    headers: Mapping[str, str]


class PolygonServer:
    """Serves on 127.0.0.1 while its `with` block runs; remembers every call."""

    def __init__(
        self,
        bars: Mapping[str, Sequence[Row]] | None = None,
        *,
        minutes: Mapping[str, Sequence[Row]] | None = None,
        splits: Sequence[Row] = (),
        dividends: Sequence[Row] = (),
        tickers: Sequence[Row] = (),
        snapshots: Mapping[str, Row] | None = None,
        trades: Mapping[str, Row] | None = None,
        market: Row | None = None,
        holidays: Sequence[Row] = (),
        page_size: int = 50_000,
        faults: Sequence[Fault] = (),
        key: str = KEY,
        status: str = "OK",
        port: int = 0,
    ) -> None:
        self.bars, self.minutes = dict(bars or {}), dict(minutes or {})
        self.actions = {"splits": splits, "dividends": dividends}
        self.tickers, self.snapshots, self.trades = tickers, snapshots or {}, trades or {}
        self.market, self.holidays = market, holidays
        self.page_size, self.faults, self.key, self.status = page_size, faults, key, status
        self.calls: list[Call] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.http = _Listener(("127.0.0.1", port), self)
        self.base = f"http://127.0.0.1:{self.http.server_address[1]}"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        self.http.server_close()

    def die(self) -> None:
        """Cut every connection and refuse new ones from now on."""
        self.closing.set()
        self.http.shutdown()
        self.http.socket.close()
        self.http.cut_all()

    def answer(self, target: str) -> tuple[int, Any]:
        """Give the status and the JSON of an answer without a fault."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if "cursor" in query:
            query |= dict(parse_qsl(base64.b64decode(query["cursor"]).decode()))
        found: object = None
        if asked := _BARS.fullmatch(parts.path):
            found = self._bars(asked[1], asked[2], asked[3], asked[4], query)
        elif asked := _ACTIONS.fullmatch(parts.path):
            found = self._actions(parts.path, asked[2], query)
        elif parts.path == "/v3/reference/tickers":
            found = self._list(query)
        elif parts.path == "/v1/marketstatus/now":
            found = self.market
        elif parts.path == "/v1/marketstatus/upcoming":
            found = list(self.holidays)
        for pattern, kind in _OF_TICKER:
            if asked := pattern.fullmatch(parts.path):
                found = self._of_ticker(unquote(asked[1]), kind, query)
        return (404, ERRORS[404]) if found is None else (200, found)

    def _bars(self, symbol: str, unit: str, start: str, end: str, query: dict[str, str]) -> Row:
        first, stop = _moment(start), _moment(end) + DAY_MS
        known = self.bars if unit == "day" else self.minutes
        rows = [row for row in known.get(symbol, ()) if first <= row["t"] < stop]
        size = min(int(query.get("limit", "5000")), self.page_size)
        page, rest = rows[:size], rows[size:]
        counts = dict.fromkeys(("queryCount", "resultsCount", "count"), len(page))
        body: Row = {"ticker": symbol, "status": self.status, "request_id": "6a7e46", **counts}
        body["adjusted"] = query.get("adjusted", "true") == "true"
        if page:
            body["results"] = page
        if rest:
            path = f"/v2/aggs/ticker/{symbol}/range/1/{unit}/{rest[0]['t']}/{end}"
            body["next_url"] = _next_url(path, query, ("limit", "sort", "adjusted"))
        return body

    def _actions(self, path: str, kind: str, query: dict[str, str]) -> Row:
        rows = [row for row in self.actions[kind] if row["ticker"] == query.get("ticker")]
        size = min(int(query.get("limit", "10")), self.page_size)
        skip = int(query.get("skip", "0"))
        body: Row = {"status": "OK", "request_id": "1", "results": rows[skip : skip + size]}
        if skip + size < len(rows):
            query["skip"] = str(skip + size)
            body["next_url"] = _next_url(path, query, ("ticker", "limit", "skip"))
        return body

    def _list(self, query: dict[str, str]) -> Row:
        active = query.get("active", "true") == "true"
        rows = [
            row
            for row in self.tickers
            if row["ticker"] == query.get("ticker") and row["active"] is active
        ]
        return {"status": self.status, "count": len(rows), "results": rows}

    def _of_ticker(self, symbol: str, kind: str, query: dict[str, str]) -> Row | None:
        """Answer for one ticker; delisted ones have no details, as with the vendor."""
        head: Row = {"status": self.status, "request_id": "31d59dda"}
        if kind == "previous":
            rows = [row | {"T": symbol} for row in self.bars.get(symbol, ())[-1:]]
            close = [row | {"t": row["t"] + 16 * 60 * MINUTE_MS} for row in rows]
            adjusted = query.get("adjusted", "true") == "true"
            counts = dict.fromkeys(("queryCount", "resultsCount", "count"), len(close))
            return head | {"ticker": symbol, "adjusted": adjusted, "results": close, **counts}
        if kind == "details":
            rows = [row for row in self.tickers if row["ticker"] == symbol and row["active"]]
            return head | {"results": rows[0]} if rows else None
        known, name = {
            "snapshot": (self.snapshots, "ticker"),
            "trade": (self.trades, "results"),
        }[kind]
        return head | {name: known[symbol]} if symbol in known else None


def _moment(text: str) -> int:
    return int(text) if text.isdigit() else midnight_ms(date.fromisoformat(text))


def _next_url(path: str, query: dict[str, str], names: tuple[str, ...]) -> str:
    kept = urlencode({name: query[name] for name in names if name in query})
    return f"{VENDOR}{path}?cursor={base64.b64encode(kept.encode()).decode()}"


class _Listener(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for them

    def __init__(self, address: tuple[str, int], owner: PolygonServer) -> None:
        super().__init__(address, _Handler)
        self.owner = owner
        self.open: set[socket.socket] = set()

    def cut_all(self) -> None:
        for wire in list(self.open):
            try:
                wire.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # already gone

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- inherited
        if not isinstance(sys.exception(), OSError):  # the other side went away, as tests make it
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits 40 ms for the headers' receipt
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, *_: object) -> None: ...

    @property
    def closing(self) -> threading.Event:
        return self.server.owner.closing

    def die(self) -> None:
        self.server.owner.die()

    def do_GET(self) -> None:
        owner = self.server.owner
        with owner.lock:
            owner.calls.append(Call(self.path, dict(self.headers.items())))
            number = len(owner.calls)
        if self.headers.get("Authorization") != f"Bearer {owner.key}":
            self.send(401, encoded(ERRORS[401]))
            return
        status, answer = owner.answer(self.path)
        fault = next((f for f in owner.faults if f.hits(number, self.path)), None)
        if fault is None:
            self.send(status, gzip.compress(encoded(answer), 1), GZIP)
        elif fault.kind.isdigit():
            refuse(self, fault)
        elif fault.kind in WIRE:
            WIRE[fault.kind](self, encoded(answer), fault.value)
        else:
            status = 200 if fault.kind == "reply" else status
            self.send(status, SPOIL[fault.kind](answer, self.path, fault.value))

    def send(
        self,
        status: int,
        body: bytes,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bars", type=int, default=500, help="daily bars of each symbol")
    parser.add_argument("--minutes", type=int, default=0, help="sessions with 390 minute bars each")
    parser.add_argument("--page-size", type=int, default=250)
    parser.add_argument("--symbol", nargs="+", default=["AAPL"])
    parser.add_argument("--last", type=date.fromisoformat, default=yesterday, help="last session")
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--fault", nargs="*", default=[], help="KIND or KIND@CALL: html@2")
    parser.add_argument("--die-on-page", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Serve plausible bars until interrupted."""
    given = _arguments()
    faults = [Fault(kind="die", calls={given.die_on_page})] if given.die_on_page else []
    for text in given.fault:
        kind, _, call = text.partition("@")
        faults.append(Fault(kind=kind, calls={int(call)} if call else EVERY))
    daily, minutes = {}, {}
    for seed, symbol in enumerate(given.symbol, start=1):
        daily[symbol] = plausible_bars(given.bars, seed=seed, last=given.last)
        if given.minutes:
            minutes[symbol] = plausible_minutes(given.minutes, seed=seed, last=given.last)
    with PolygonServer(
        daily,
        minutes=minutes,
        page_size=given.page_size,
        faults=faults,
        key=given.key,
        port=given.port,
    ) as server:
        sys.stdout.write(f"{server.base} key {given.key}; Ctrl-C ends it\n")
        sys.stdout.flush()
        try:
            server.closing.wait()
        except KeyboardInterrupt:
            sys.stdout.write(f"{len(server.calls)} calls\n")


if __name__ == "__main__":
    main()
