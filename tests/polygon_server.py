"""A server on loopback that answers like Polygon, with pages and with faults; for tests and people.

python tests/polygon_server.py --port 8123 --bars 500 --page-size 250 --symbol AAPL --die-on-page 2
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import random
import re
import socket
import struct
import sys
import threading
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

from algotrade.domain.times import to_date
from algotrade.market.calendar import exchange_calendar

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

Row = dict[str, Any]
KEY = "test-key-9f3b2c"
VENDOR = "https://api.polygon.io"
DAY_MS = 86_400_000
EVERY = range(1, 1_000_000)

_NEW_YORK = ZoneInfo("America/New_York")
_BARS = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/day/([^/]+)/([^/]+)")
_ACTIONS = re.compile(r"/(stocks/v1|v3/reference)/(splits|dividends)")
_GZIP = (("Content-Encoding", "gzip"),)
_TOO_OLD = "Your plan doesn't include this data timeframe. Please upgrade your plan."
_ERRORS = {
    401: {"status": "ERROR", "error": "Unknown API Key"},
    403: {"status": "NOT_AUTHORIZED", "message": _TOO_OLD},
    404: {"status": "NOT_FOUND", "message": "Not found"},
    429: {"status": "ERROR", "error": "You've exceeded the maximum requests per minute"},
}


def midnight_ms(day: date) -> int:
    """Give the start of a New York day in milliseconds, the `t` of its daily bar."""
    return int(datetime.combine(day, time(), _NEW_YORK).timestamp() * 1000)


def plausible_bars(count: int, *, seed: int = 1, last: date = date(2026, 11, 20)) -> list[Row]:
    """Make the daily bars of the `count` XNYS sessions that end on `last`."""
    chance = random.Random(seed)  # noqa: S311 -- prices, not secrets
    sessions = exchange_calendar(last - timedelta(days=10 + 2 * count), last).day[-count:]
    close, rows = 100.0, []
    for day in sessions:
        opened = round(close * chance.uniform(0.99, 1.01), 2)
        close = round(opened * chance.uniform(0.97, 1.031), 2)
        high = round(max(opened, close) * chance.uniform(1, 1.01), 2)
        low = round(min(opened, close) * chance.uniform(0.99, 1), 2)
        volume = round(chance.uniform(1e6, 9e7), 6)
        prices = {"o": opened, "c": close, "h": high, "l": low, "vw": round((high + low) / 2, 4)}
        t = midnight_ms(to_date(day))
        rows.append({"v": volume, **prices, "t": t, "n": chance.randrange(10_000, 900_000)})
    return rows


class Call(NamedTuple):
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong: a name of `_SPOIL` or `_WIRE` or an HTTP status, at these calls (from 1).

    value: the Retry-After of a 429, the base of foreign_next, an error's words, a reply.
    """

    kind: str
    calls: Container[int] = EVERY
    where: Callable[[str], bool] = bool
    value: str = ""

    def hits(self, number: int, target: str) -> bool:
        return number in self.calls and self.where(target)


class PolygonServer:
    """Serves on 127.0.0.1 while its `with` block runs; remembers every call."""

    def __init__(
        self,
        bars: Mapping[str, Sequence[Row]] | None = None,
        *,
        splits: Sequence[Row] = (),
        dividends: Sequence[Row] = (),
        page_size: int = 50_000,
        faults: Sequence[Fault] = (),
        key: str = KEY,
        status: str = "OK",
        port: int = 0,
    ) -> None:
        self.bars = dict(bars or {})
        self.actions = {"splits": splits, "dividends": dividends}
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

    def answer(self, target: str) -> tuple[int, Row]:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if "cursor" in query:
            query |= dict(parse_qsl(base64.b64decode(query["cursor"]).decode()))
        if found := _BARS.fullmatch(parts.path):
            return 200, self._bars(found[1], found[2], found[3], query)
        if found := _ACTIONS.fullmatch(parts.path):
            return 200, self._actions(parts.path, found[2], query)
        return 404, dict(_ERRORS[404])

    def _bars(self, symbol: str, start: str, end: str, query: dict[str, str]) -> Row:
        first, stop = _moment(start), _moment(end) + DAY_MS
        rows = [row for row in self.bars.get(symbol, ()) if first <= row["t"] < stop]
        size = min(int(query.get("limit", "5000")), self.page_size)
        page, rest = rows[:size], rows[size:]
        counts = dict.fromkeys(("queryCount", "resultsCount", "count"), len(page))
        body: Row = {"ticker": symbol, "status": self.status, "request_id": "6a7e46", **counts}
        body["adjusted"] = query.get("adjusted", "true") == "true"
        if page:
            body["results"] = page
        if rest:
            path = f"/v2/aggs/ticker/{symbol}/range/1/day/{rest[0]['t']}/{end}"
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
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        owner = self.server.owner
        with owner.lock:
            owner.calls.append(Call(self.path, dict(self.headers.items())))
            number = len(owner.calls)
        if self.headers.get("Authorization") != f"Bearer {owner.key}":
            self.send(401, _body(_ERRORS[401]))
            return
        status, answer = owner.answer(self.path)
        fault = next((f for f in owner.faults if f.hits(number, self.path)), None)
        if fault is None:
            self.send(status, gzip.compress(_body(answer)), _GZIP)
        elif fault.kind.isdigit():
            self.refuse(fault)
        elif fault.kind in _WIRE:
            _WIRE[fault.kind](self, _body(answer))
        else:
            self.send(status, _SPOIL[fault.kind](answer, self.path, fault.value))

    def refuse(self, fault: Fault) -> None:
        status = int(fault.kind)
        body = _ERRORS.get(status, {"status": "ERROR", "error": "Internal error"})
        headers: tuple[tuple[str, str], ...] = ()
        if fault.value and status == 429:
            headers = (("Retry-After", fault.value),)
        elif fault.value:
            body = {"status": "ERROR", "error": fault.value}
        self.send(status, _body(body), headers)

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


def _body(answer: Row) -> bytes:
    return json.dumps(answer).encode()


def _foreign_next(answer: Row, value: str) -> Row:
    parts = urlsplit(answer["next_url"])
    return answer | {"next_url": f"{value}{parts.path}?{parts.query}&apiKey=stolen"}


def _nan(answer: Row) -> Row:
    first, *others = answer["results"]
    return answer | {"results": [first | {"c": float("nan")}, *others]}


# faults that spoil the body of an answer: (answer, target, value) -> body
_SPOIL: dict[str, Callable[[Row, str, str], bytes]] = {
    "reply": lambda _a, _t, value: value.encode(),
    "truncate": lambda answer, _t, _v: _body(answer)[: len(_body(answer)) // 2],
    "html": lambda _a, _t, _v: b"<html><title>\x1b[31mproxy\x9b login</title></html>",
    "list": lambda answer, _t, _v: json.dumps([answer]).encode(),
    "deep": lambda _a, _t, _v: b'{"status":"OK","results":' + b"[" * 100_000,
    "huge_number": lambda _a, _t, _v: b'{"status":"OK","results":' + b"9" * 5_000 + b"}",
    "not_utf8": lambda _a, _t, _v: b'{"status":"OK\xff"}',
    "error_body": lambda _a, _t, value: _body({"status": value or "ERROR", "error": "broken"}),
    "no_status": lambda answer, _t, _v: _body(answer | {"status": None}),
    "wrong_ticker": lambda answer, _t, _v: _body(answer | {"ticker": "EVIL"}),
    "adjusted": lambda answer, _t, _v: _body(answer | {"adjusted": True}),
    "nan": lambda answer, _t, _v: _body(_nan(answer)),
    "unsorted": lambda answer, _t, _v: _body(answer | {"results": answer["results"][::-1]}),
    "short_count": lambda answer, _t, _v: _body(answer | {"results": answer["results"][:-1]}),
    "empty_page": lambda answer, _t, _v: _body(
        answer | {"results": [], "resultsCount": 0, "count": 0}
    ),
    "endless_next": lambda answer, target, _v: _body(answer | {"next_url": VENDOR + target}),
    "fresh_next": lambda answer, target, _v: _body(answer | {"next_url": f"{VENDOR}{target}&n=1"}),
    "foreign_next": lambda answer, _t, value: _body(_foreign_next(answer, value)),
    "bad_next": lambda answer, _t, _v: _body(answer | {"next_url": "https://[evil"}),
}


# faults of the wire: (handler, body) -> None; the table is below them


def _reset(handler: _Handler, _body: bytes) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def _short(handler: _Handler, body: bytes) -> None:
    handler.send(200, body[: len(body) // 2], length=len(body))
    handler.close_connection = True


def _drip(handler: _Handler, data: bytes) -> None:
    for byte in data:
        if handler.server.owner.closing.wait(0.02):
            break
        handler.wfile.write(bytes([byte]))
    handler.close_connection = True


def _slow_drip(handler: _Handler, body: bytes) -> None:
    handler.send(200, b"", length=len(body))
    _drip(handler, body)


def _slow_headers(handler: _Handler, _body: bytes) -> None:
    _drip(handler, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000)


def _hang(handler: _Handler, _body: bytes) -> None:
    handler.server.owner.closing.wait(60)
    handler.close_connection = True


def _gzip_bomb(handler: _Handler, _body: bytes) -> None:
    pack = zlib.compressobj(wbits=31)
    bomb = b"".join(pack.compress(bytes(1 << 20)) for _ in range(64)) + pack.flush()
    handler.send(200, bomb, _GZIP)


def _cut_gzip(handler: _Handler, body: bytes) -> None:
    handler.send(200, gzip.compress(body)[:-4], _GZIP)


def _die(handler: _Handler, _body: bytes) -> None:
    handler.server.owner.die()
    handler.close_connection = True


_WIRE: dict[str, Callable[[_Handler, bytes], None]] = {
    "reset": _reset,
    "short": _short,
    "slow_drip": _slow_drip,
    "slow_headers": _slow_headers,
    "hang": _hang,
    "gzip_bomb": _gzip_bomb,
    "cut_gzip": _cut_gzip,
    "die": _die,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bars", type=int, default=500)
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
    rows = {
        symbol: plausible_bars(given.bars, seed=seed, last=given.last)
        for seed, symbol in enumerate(given.symbol, start=1)
    }
    with PolygonServer(
        rows, page_size=given.page_size, faults=faults, key=given.key, port=given.port
    ) as server:
        sys.stdout.write(f"{server.base} key {given.key}; Ctrl-C ends it\n")
        sys.stdout.flush()
        try:
            server.closing.wait()
        except KeyboardInterrupt:
            sys.stdout.write(f"{len(server.calls)} calls\n")


if __name__ == "__main__":
    main()
