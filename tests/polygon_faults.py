"""What can go wrong with an answer: faults of its body and faults of the wire under it."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Container
    from io import BufferedIOBase

Row = dict[str, Any]
VENDOR = "https://api.polygon.io"
EVERY = range(1, 1_000_000)
GZIP = (("Content-Encoding", "gzip"),)
TOO_OLD = "Your plan doesn't include this data timeframe. Please upgrade your plan."
ERRORS = {
    401: {"status": "ERROR", "error": "Unknown API Key"},
    403: {"status": "NOT_AUTHORIZED", "message": TOO_OLD},
    404: {"status": "NOT_FOUND", "message": "Not found"},
    429: {"status": "ERROR", "error": "You've exceeded the maximum requests per minute"},
}


class Wire(Protocol):
    """The side of a connection on which a fault plays."""

    connection: socket.socket
    close_connection: bool
    wfile: BufferedIOBase

    @property
    def closing(self) -> threading.Event: ...

    def send(
        self,
        status: int,
        body: bytes,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        length: int | None = None,
    ) -> None: ...

    def die(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong: a name of SPOIL or WIRE or an HTTP status, at these calls (from 1).

    value: the Retry-After of a 429, the address of a 302 or of foreign_next, an error's words, a
    reply, the seconds of a silence.
    """

    kind: str
    calls: Container[int] = EVERY
    where: Callable[[str], bool] = bool
    value: str = ""

    def hits(self, number: int, target: str) -> bool:
        return number in self.calls and self.where(target)


def encoded(answer: object) -> bytes:
    return json.dumps(answer).encode()


def refuse(wire: Wire, fault: Fault) -> None:
    """Answer with the status that the fault is named after."""
    status = int(fault.kind)
    body = ERRORS.get(status, {"status": "ERROR", "error": "Internal error"})
    headers: tuple[tuple[str, str], ...] = ()
    if fault.value and status in (302, 429):
        headers = (("Location" if status == 302 else "Retry-After", fault.value),)
    elif fault.value:
        body = {"status": "ERROR", "error": fault.value}
    wire.send(status, encoded(body), headers)


def _foreign_next(answer: Row, value: str) -> Row:
    parts = urlsplit(answer["next_url"])
    return answer | {"next_url": f"{value}{parts.path}?{parts.query}&apiKey=stolen"}


def _first(answer: Row, **change: object) -> bytes:
    first, *others = answer["results"]
    return encoded(answer | {"results": [first | change, *others]})


def _without(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != name}


def _missing_field(answer: Row) -> bytes:
    first, *others = answer["results"]
    return encoded(answer | {"results": [_without(first, "c"), *others]})


# faults that spoil the body of an answer: (answer, target, value) -> body
SPOIL: dict[str, Callable[[Row, str, str], bytes]] = {
    "reply": lambda _a, _t, value: value.encode(),
    "empty": lambda _a, _t, _v: b"",
    "truncate": lambda answer, _t, _v: encoded(answer)[: len(encoded(answer)) // 2],
    "html": lambda _a, _t, _v: b"<html><title>\x1b[31mproxy\x9b login</title></html>",
    "list": lambda answer, _t, _v: json.dumps([answer]).encode(),
    "deep": lambda _a, _t, _v: b'{"status":"OK","results":' + b"[" * 100_000,
    "huge_number": lambda _a, _t, _v: b'{"status":"OK","results":' + b"9" * 5_000 + b"}",
    "not_utf8": lambda _a, _t, _v: b'{"status":"OK\xff"}',
    "error_body": lambda _a, _t, value: encoded({"status": value or "ERROR", "error": "broken"}),
    "no_status": lambda answer, _t, _v: encoded(answer | {"status": None}),
    "no_results": lambda answer, _t, _v: encoded(_without(answer, "results")),
    "null_results": lambda answer, _t, _v: encoded(answer | {"results": None}),
    "wrong_ticker": lambda answer, _t, _v: encoded(answer | {"ticker": "EVIL"}),
    "adjusted": lambda answer, _t, _v: encoded(answer | {"adjusted": True}),
    "nan": lambda answer, _t, _v: _first(answer, c=float("nan")),
    "text_price": lambda answer, _t, _v: _first(answer, c="12.50"),
    "missing_field": lambda answer, _t, _v: _missing_field(answer),
    "unsorted": lambda answer, _t, _v: encoded(answer | {"results": answer["results"][::-1]}),
    "short_count": lambda answer, _t, _v: encoded(answer | {"results": answer["results"][:-1]}),
    "empty_page": lambda answer, _t, _v: encoded(
        answer | {"results": [], "resultsCount": 0, "count": 0}
    ),
    "endless_next": lambda answer, target, _v: encoded(answer | {"next_url": VENDOR + target}),
    "fresh_next": lambda answer, target, _v: encoded(
        answer | {"next_url": f"{VENDOR}{target}&n=1"}
    ),
    "foreign_next": lambda answer, _t, value: encoded(_foreign_next(answer, value)),
    "bad_next": lambda answer, _t, _v: encoded(answer | {"next_url": "https://[evil"}),
}


# faults of the wire: (wire, body, value) -> None; the table is below them


def _reset(wire: Wire, _body: bytes, _value: str) -> None:
    wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close_connection = True


def _close(wire: Wire, _body: bytes, _value: str) -> None:
    wire.close_connection = True


def _short(wire: Wire, body: bytes, _value: str) -> None:
    wire.send(200, body[: len(body) // 2], length=len(body))
    wire.close_connection = True


def _cut_headers(wire: Wire, _body: bytes, _value: str) -> None:
    wire.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    wire.close_connection = True


def _cut_chunks(wire: Wire, body: bytes, _value: str) -> None:
    half = body[: len(body) // 2]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.wfile.write(head + f"{len(half):x}\r\n".encode() + half + b"\r\n")
    wire.close_connection = True


def _drip(wire: Wire, data: bytes) -> None:
    for byte in data:
        if wire.closing.wait(0.02):
            break
        wire.wfile.write(bytes([byte]))
    wire.close_connection = True


def _slow_drip(wire: Wire, body: bytes, _value: str) -> None:
    wire.send(200, b"", length=len(body))
    _drip(wire, body)


def _slow_headers(wire: Wire, _body: bytes, _value: str) -> None:
    _drip(wire, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000)


def _hang(wire: Wire, _body: bytes, _value: str) -> None:
    wire.closing.wait(60)
    wire.close_connection = True


def _silence(wire: Wire, body: bytes, value: str) -> None:
    if not wire.closing.wait(float(value or 6)):
        wire.send(200, body)


def _gzip_bomb(wire: Wire, _body: bytes, _value: str) -> None:
    pack = zlib.compressobj(wbits=31)
    bomb = b"".join(pack.compress(bytes(1 << 20)) for _ in range(64)) + pack.flush()
    wire.send(200, bomb, GZIP)


def _cut_gzip(wire: Wire, body: bytes, _value: str) -> None:
    wire.send(200, gzip.compress(body)[:-4], GZIP)


def _half_gzip(wire: Wire, body: bytes, _value: str) -> None:
    packed = gzip.compress(body)
    wire.send(200, packed[: len(packed) // 2], GZIP)


def _die(wire: Wire, _body: bytes, _value: str) -> None:
    wire.die()
    wire.close_connection = True


WIRE: dict[str, Callable[[Wire, bytes, str], None]] = {
    "reset": _reset,
    "close": _close,
    "short": _short,
    "cut_headers": _cut_headers,
    "cut_chunks": _cut_chunks,
    "slow_drip": _slow_drip,
    "slow_headers": _slow_headers,
    "hang": _hang,
    "silence": _silence,
    "gzip_bomb": _gzip_bomb,
    "cut_gzip": _cut_gzip,
    "half_gzip": _half_gzip,
    "die": _die,
}
