"""A broker on loopback that answers like Alpaca, and badly where told to; its log is the truth.

python tests/broker_server.py --port 8124

Each key id is a world of its own: cash, positions, orders, executions and a list of faults, set
and read at /_world, so that thousands of trials need one server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import struct
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

KEY, SECRET = "PKLOOPBACK", "loopback-secret-7d1e"
FRIDAY = datetime(2026, 11, 20, 21, 5, tzinfo=UTC)
HANG = 1.5  # seconds that a hanging answer hangs, longer than a test's patience

Row = dict[str, Any]
OPEN = ("new", "partially_filled")


@dataclass(kw_only=True)
class Faults:
    """What goes wrong, each so many times from now on.

    post: what becomes of the next calls that send an order, in turn; "" is none.
    get: statuses of the next other calls. forget: look-ups that find nothing. late: questions for
    activities that get none of the newer ones. twice, reversed: how activities are told.
    """

    post: list[str] = field(default_factory=list)
    get: list[str] = field(default_factory=list)
    forget: int = 0
    late: int = 0
    twice: bool = False
    reversed: bool = False


@dataclass(kw_only=True)
class World:
    """One account. fill: at-once, parts, wait, over, or half (the rest waits)."""

    number: str
    cash: Decimal = Decimal(100_000)
    price: Decimal = Decimal("101.25")
    fill: str = "at-once"
    now: datetime = FRIDAY
    is_open: bool = True
    blocked: bool = False
    closed: tuple[str, ...] = ("2026-11-26",)
    positions: dict[str, Decimal] = field(default_factory=dict)
    orders: list[Row] = field(default_factory=list)
    activities: list[Row] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    news: list[Row] = field(default_factory=list)

    def accept(self, asked: Row) -> Row:
        """Take an order under its key, once, and fill it as told."""
        order = {
            "id": str(uuid.uuid4()),
            "client_order_id": asked["client_order_id"],
            "symbol": asked["symbol"],
            "side": asked["side"],
            "type": asked["type"],
            "qty": asked["qty"],
            "filled_qty": "0",
            "status": "new",
        }
        self.orders.append(order)
        self.tell("new", order)
        quantity = Decimal(asked["qty"])
        parts = {"at-once": [1], "parts": [2, 3, 5], "wait": [], "over": [1], "half": [1]}
        shares = parts[self.fill]
        for share in shares:
            part = quantity * share / sum(shares)
            if self.fill == "half":
                part = quantity / 2
            self.execute(order, part + (1 if self.fill == "over" else 0))
        return order

    def execute(self, order: Row, quantity: Decimal) -> None:
        """Let shares change hands for an order."""
        filled = Decimal(order["filled_qty"]) + quantity
        order["filled_qty"] = f"{filled.normalize():f}"
        if order["status"] in OPEN:
            whole = filled >= Decimal(order["qty"])
            order["status"] = "filled" if whole else "partially_filled"
        self.move(order["symbol"], quantity if order["side"] == "buy" else -quantity)
        self.activities.append(
            {
                "id": f"{len(self.activities):017d}::{uuid.uuid4()}",
                "activity_type": "FILL",
                "transaction_time": self.stamp(),
                "order_id": order["id"],
                "symbol": order["symbol"],
                "side": order["side"],
                "qty": f"{quantity.normalize():f}",
                "price": str(self.price),
            }
        )
        self.tell("fill", order)

    def move(self, symbol: str, quantity: Decimal) -> None:
        """Change a position and the cash, as a trade by hand does, too."""
        held = self.positions.get(symbol, Decimal()) + quantity
        self.positions[symbol] = held
        if not held:
            del self.positions[symbol]
        self.cash -= quantity * self.price

    def pay(self, kind: str, amount: str) -> None:
        """Move cash without an order."""
        self.cash += Decimal(amount)
        self.activities.append(
            {
                "id": f"{len(self.activities):017d}::{uuid.uuid4()}",
                "activity_type": kind,
                "date": self.now.date().isoformat(),
                "created_at": self.stamp(),
                "net_amount": amount,
                "description": "told by the broker",
            }
        )

    def stamp(self) -> str:
        """Give the time of the next thing that happens, a millisecond after the last one."""
        later = self.now + timedelta(milliseconds=len(self.activities) + 1)
        return later.isoformat().replace("+00:00", "Z")

    def tell(self, event: str, order: Row) -> None:
        """Add to what the stream tells."""
        self.news.append({"stream": "trade_updates", "data": {"event": event, "order": order}})

    def told(self) -> Row:
        """Give the truth as JSON."""
        return {
            "cash": str(self.cash),
            "positions": {name: str(held) for name, held in self.positions.items()},
            "orders": self.orders,
            "activities": self.activities,
            "posts": self.posts,
        }


class BrokerServer:
    """Serves on 127.0.0.1 while its `with` block runs."""

    def __init__(self, port: int = 0) -> None:
        self.worlds: dict[str, World] = {}
        self.lock = threading.RLock()
        self.http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.http.server_address[1]}"

    @property
    def world(self) -> World:
        """Give the world of the usual key."""
        return self.at(KEY)

    def at(self, key: str) -> World:
        """Give the world of a key, made when it is first asked for."""
        with self.lock:
            if key not in self.worlds:
                self.worlds[key] = World(number=f"PA{key}")
            return self.worlds[key]

    def __enter__(self) -> Self:
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


class _HungUpError(Exception):
    """The connection is cut, on purpose."""


def _handler(server: BrokerServer) -> type[BaseHTTPRequestHandler]:  # noqa: C901  its methods
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with contextlib.suppress(OSError, _HungUpError):
                super().handle()

        def do_GET(self) -> None:
            path, asked = self._asked()
            if path == "/_world":
                self._send(200, server.at(asked["key"]).told())
                return
            if path == "/stream":
                _stream(self, server)
                return
            world = self._world()
            fault = world.faults.get.pop(0) if world and world.faults.get else ""
            if world is None:
                self._send(401, {"message": "request is not authorized"})
            elif fault:
                self._misbehave(fault, {})
            else:
                with server.lock:
                    status, body = _answer(world, path, asked)
                self._send(status, body)

        def do_POST(self) -> None:
            path, _ = self._asked()
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if len(raw) < int(self.headers["Content-Length"]):
                raise _HungUpError  # whoever sent it has died
            body = json.loads(raw)
            if path == "/_world":
                _set_world(server.at(body.pop("key")), body)
                self._send(200, {})
                return
            world = self._world()
            if world is None:
                self._send(401, {"message": "request is not authorized"})
                return
            with server.lock:
                world.posts.append(body["client_order_id"])
                fault = world.faults.post.pop(0) if world.faults.post else ""
                status: int = 200
                answer: Row = {}
                if not fault.endswith("-before"):
                    status, answer = _submit(world, body)
            if fault:
                self._misbehave(fault, answer)
            else:
                self._send(status, answer)

        def do_DELETE(self) -> None:
            path, _ = self._asked()
            world = self._world()
            if world is None:
                self._send(401, {"message": "request is not authorized"})
                return
            with server.lock:
                found = [o for o in world.orders if o["id"] == path.rpartition("/")[2]]
                is_open = bool(found) and found[0]["status"] in OPEN
                if is_open:
                    found[0]["status"] = "canceled"
                    world.tell("canceled", found[0])
            code = 204 if is_open else 422 if found else 404
            self._send(code, None if is_open else {"code": 42210000, "message": "not cancelable"})

        def _world(self) -> World | None:
            key = self.headers.get("APCA-API-KEY-ID", "")
            right = self.headers.get("APCA-API-SECRET-KEY") == SECRET
            return server.at(key) if right else None

        def _asked(self) -> tuple[str, dict[str, str]]:
            parts = urlsplit(self.path)
            return parts.path.removeprefix("/v2"), dict(parse_qsl(parts.query))

        def _misbehave(self, fault: str, answer: Row) -> None:
            kind = fault.partition("-")[0]
            if kind.isdecimal():
                retry = {"Retry-After": "0"} if kind == "429" else {}
                self._send(int(kind), {"code": int(kind), "message": "out of order"}, retry)
            elif kind == "hang":
                time.sleep(HANG)
                self.close_connection = True
            elif kind == "reset":
                self._cut(answer)
            elif kind == "empty":
                self._send(200, None)
            elif kind == "drip":
                self._drip()
            else:  # bad JSON
                self._raw(200, b'{"id": "0b')

        def _cut(self, answer: Row) -> None:
            """Send half of the answer, then reset the connection."""
            body = json.dumps(answer).encode()
            self._head(200, len(body), {})
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            raise _HungUpError

        def _drip(self) -> None:
            self._head(200, 1000, {})
            for _ in range(20):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(HANG / 20)
            self.close_connection = True

        def _send(self, status: int, body: Any, more: dict[str, str] | None = None) -> None:  # noqa: ANN401  JSON
            self._raw(status, b"" if body is None else json.dumps(body).encode(), more)

        def _raw(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
            self._head(status, len(body), more or {})
            self.wfile.write(body)

        def _head(self, status: int, length: int, more: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler


def _submit(world: World, asked: Row) -> tuple[int, Row]:
    if any(o["client_order_id"] == asked["client_order_id"] for o in world.orders):
        return 422, {"code": 40010001, "message": "client_order_id must be unique"}
    if not asked["qty"].isdecimal() and asked["time_in_force"] != "day":
        return 422, {"code": 42210000, "message": "fractional orders must be DAY orders"}
    if asked["side"] == "buy" and Decimal(asked["qty"]) * world.price > world.cash:
        return 403, {"code": 40310000, "message": "insufficient buying power"}
    return 200, world.accept(asked)


def _answer(world: World, path: str, asked: dict[str, str]) -> tuple[int, Any]:  # noqa: PLR0911  one an address
    if path == "/account":
        blocked = {"trading_blocked": world.blocked, "account_blocked": False}
        return 200, {"account_number": world.number, "cash": str(world.cash), **blocked}
    if path == "/positions":
        return 200, [
            {
                "symbol": name,
                "qty": f"{held.normalize():f}",
                "side": "long" if held > 0 else "short",
                "avg_entry_price": str(world.price),
            }
            for name, held in world.positions.items()
        ]
    if path == "/orders":
        return 200, [order for order in world.orders if order["status"] in OPEN]
    if path == "/orders:by_client_order_id":
        if world.faults.forget:
            world.faults.forget -= 1
            return 404, {"code": 40410000, "message": "order not found"}
        found = [o for o in world.orders if o["client_order_id"] == asked["client_order_id"]]
        return (200, found[0]) if found else (404, {"code": 40410000, "message": "order not found"})
    if path == "/account/activities":
        return 200, _activities(world, asked)
    if path == "/clock":
        now = world.now.isoformat()
        return 200, {
            "timestamp": now, "is_open": world.is_open, "next_open": now, "next_close": now
        }  # fmt: skip
    if path == "/calendar":
        return 200, _sessions(world, asked)
    return 404, {"code": 40410000, "message": "endpoint not found"}


def _sessions(world: World, asked: dict[str, str]) -> list[Row]:
    """Give the weekdays of the span; Thanksgiving of 2026 is closed, the day after is short."""
    first, last = (datetime.fromisoformat(asked[name]).date() for name in ("start", "end"))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    names = [day.isoformat() for day in days if day.weekday() < 5]
    short = {"2026-11-27": "13:00"}
    return [
        {"date": name, "open": "09:30", "close": short.get(name, "16:00")}
        for name in names
        if name not in world.closed
    ]


def _activities(world: World, asked: dict[str, str]) -> list[Row]:
    if world.faults.late:
        world.faults.late -= 1
        return []
    after = datetime.fromisoformat(asked["after"])
    rows = [
        row
        for row in world.activities
        if datetime.fromisoformat(row.get("transaction_time") or row["created_at"]) >= after
    ]
    rows = rows * 2 if world.faults.twice else rows
    rows = rows[::-1] if world.faults.reversed else rows
    names = [row["id"] for row in rows]
    start = names.index(asked["page_token"]) + 1 if "page_token" in asked else 0
    return rows[start : start + int(asked["page_size"])]


def _set_world(world: World, body: Row) -> None:
    """Set what a campaign asks for: faults by name, the rest as they are called."""
    for name, value in body.pop("faults", {}).items():
        setattr(world.faults, name, value)
    for name, value in body.items():
        setattr(world, name, value)


def _stream(handler: BaseHTTPRequestHandler, server: BrokerServer) -> None:
    """Speak enough of the websocket protocol to tell a client what happens to its orders."""
    import base64
    import hashlib

    magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = hashlib.sha1(handler.headers["Sec-WebSocket-Key"].encode() + magic).digest()  # noqa: S324  RFC 6455
    handler.send_response(101)
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
    handler.end_headers()
    handler.close_connection = True
    keys = _frame(handler)["data"]
    right = keys["secret_key"] == SECRET
    status = "authorized" if right else "unauthorized"
    _tell(handler, {"stream": "authorization", "data": {"status": status}})
    _frame(handler)
    _tell(handler, {"stream": "listening", "data": {"streams": ["trade_updates"]}})
    world, sent = server.at(keys["key_id"]), 0
    end = time.monotonic() + 30
    while right and time.monotonic() < end:
        while sent < len(world.news):
            _tell(handler, world.news[sent])
            _tell(handler, world.news[sent])  # twice, as brokers do
            sent += 1
        time.sleep(0.01)


def _frame(handler: BaseHTTPRequestHandler) -> Any:  # noqa: ANN401  JSON
    """Read one short masked frame of text."""
    head = handler.rfile.read(2)
    length = head[1] & 127
    if length == 126:
        (length,) = struct.unpack(">H", handler.rfile.read(2))
    mask = handler.rfile.read(4)
    raw = handler.rfile.read(length)
    return json.loads(bytes(byte ^ mask[place % 4] for place, byte in enumerate(raw)))


def _tell(handler: BaseHTTPRequestHandler, message: Row) -> None:
    raw = json.dumps(message).encode()
    size = bytes([len(raw)]) if len(raw) < 126 else b"\x7e" + struct.pack(">H", len(raw))
    handler.wfile.write(b"\x82" + size + raw)
    handler.wfile.flush()


def main() -> None:
    """Serve until interrupted; the address is the first line printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with BrokerServer(parser.parse_args().port) as server:
        sys.stdout.write(f"{server.base}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
