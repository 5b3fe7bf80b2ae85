"""Alpaca: paper and live hosts apart, and every answer to an order read as what it proves.

what comes after an order was sent                    what `submit` answers
2xx with the order under our key                      Accepted, or Rejected where it says so
400, 404, 422; 403 with a number of the order's own   Rejected: it was looked at and refused
401, other 403                                        SecretError (12): the key is refused
no connection was made                                ProviderError (7): certainly not sent
422 that the key was used before                      looked up: Accepted, else Unsure
408, 429, 5xx, silence, a broken connection,
an empty or unreadable answer                         Unsure: it may be there
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from algotrade.broker.alpaca_wire import Lost, Reply, Wire, refused_key
from algotrade.broker.numbers import clean, instant, micros, nanos, text
from algotrade.broker.protocol import (
    Accepted,
    BrokerAccount,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    BrokerSession,
    CashMove,
    MarketClock,
    Rejected,
    Unsure,
)
from algotrade.domain.ledger import DEPOSIT, DIVIDEND, WITHDRAWAL
from algotrade.domain.money import format_quantity, format_usd
from algotrade.domain.orders import (
    ACCEPTED,
    BUY,
    CANCELLED,
    EXPIRED,
    FILLED,
    PARTIAL,
    REJECTED,
    SELL,
)
from algotrade.domain.times import iso, to_day, to_ts
from algotrade.errors import DataError, ProviderError, SecretError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.broker.alpaca_stream import AlpacaStream
    from algotrade.broker.protocol import Activity, Answer, Opening
    from algotrade.domain.orders import Order

HOSTS = {False: "https://paper-api.alpaca.markets", True: "https://api.alpaca.markets"}
_PREFIXES = {False: "PK", True: "AK"}  # what key ids of paper and of live accounts begin with
_LOOPBACK = re.compile(r"https?://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?")
_STATES = {
    "filled": FILLED,
    "partially_filled": PARTIAL,
    "canceled": CANCELLED,
    "replaced": CANCELLED,
    "expired": EXPIRED,
    "rejected": REJECTED,
}
_OPEN_WORDS = {
    *("new", "accepted", "pending_new", "accepted_for_bidding", "held", "pending_cancel"),
    *("pending_replace", "stopped", "suspended", "calculated", "done_for_day"),
}
_TYPES = {"stop-limit": "stop_limit"}
_CASH_KINDS = {"CSD": DEPOSIT, "CSW": WITHDRAWAL, "DIV": DIVIDEND}
_PAGE = 100
_MOST_PAGES = 200
_USED_BEFORE = re.compile(r"client_?order_?id.*(unique|duplicate|exist)|duplicate", re.IGNORECASE)


def open_alpaca(opening: Opening, **options: Any) -> Alpaca:  # noqa: ANN401  of the wire, for tests
    """Open a paper or a live account, whose keys and hosts are never mixed."""
    live, keys = opening.live, opening.keys
    word = "LIVE" if live else "PAPER"
    if keys is None:
        raise SecretError(
            f"the {word.lower()} account at alpaca needs a key and none is set",
            hint=f"set ALPACA_{word}_KEY_ID and ALPACA_{word}_SECRET, or"
            f" {word.lower()}_key_file in algotrade.toml",
        )
    if keys.key_id.startswith(_PREFIXES[not live]):
        raise SecretError(
            f"R34 the key for the {word.lower()} account is one of the other kind",
            hint="paper key ids begin with PK, live ones with AK; never mix them",
        )
    return Alpaca(Wire(_checked_base(opening), keys.key_id, keys.secret, **options), live=live)


def _checked_base(opening: Opening) -> str:
    base = (opening.base or HOSTS[opening.live]).rstrip("/")
    if base == HOSTS[opening.live] or _LOOPBACK.fullmatch(base):
        return base
    kind = "live" if opening.live else "paper"
    raise SettingsError(
        f"R34 broker_base {clean(base)!a} is not where the {kind} account answers",
        hint=f"leave it empty for {HOSTS[opening.live]}; only loopback may stand for it",
    )


class Alpaca:
    """One account at Alpaca."""

    name = "alpaca"
    dedupes = True  # a second order under one client order id is answered with 422

    def __init__(self, wire: Wire, *, live: bool) -> None:
        """Talk over a wire that knows host and key."""
        self._wire, self.is_live = wire, live

    def account(self) -> BrokerAccount:
        """Give number and cash."""
        row = self._get("/account")
        blocked = bool(row.get("trading_blocked") or row.get("account_blocked"))
        return BrokerAccount(text(row, "account_number"), micros(row.get("cash"), "cash"), blocked)

    def positions(self) -> list[BrokerPosition]:
        """Give everything that is held."""
        return [
            BrokerPosition(
                symbol=text(row, "symbol"),
                quantity=_signed(nanos(row.get("qty"), "qty"), short=row.get("side") == "short"),
                price=micros(row.get("avg_entry_price"), "avg_entry_price"),
            )
            for row in _rows(self._get("/positions"))
        ]

    def orders(self) -> list[BrokerOrder]:
        """Give the open orders, ours and others."""
        rows = _rows(self._get("/orders", {"status": "open", "limit": 500}))
        return [_order(row) for row in rows]

    def submit(self, order: Order) -> Answer:
        """Send an order once."""
        reply = self._wire.once("post", "/orders", _fields(order))
        if isinstance(reply, Lost):
            if reply.sent:
                return Unsure(reply.why)
            raise ProviderError(
                f"order {order.id} was not sent: {reply.why}", hint="run the same command again"
            )
        if reply.status == 200:
            return self._taken(order.key, reply.body)
        if reply.status == 422 and _USED_BEFORE.search(reply.message):
            return self._used_before(order.key, reply.message)
        if reply.status == 401 or (reply.status == 403 and reply.code < 40_310_000):
            raise refused_key(reply)
        if reply.status in (400, 403, 404, 422):
            return Rejected(reply.message)
        return Unsure(f"status {reply.status}")

    def lookup(self, key: str) -> BrokerOrder | None:
        """Give the order of a key, or None where Alpaca says that it has none."""
        reply = self._wire.ask("get", "/orders:by_client_order_id", {"client_order_id": key})
        if reply.status == 404:
            return None
        found = _order(_whole(reply))
        if found.key != key:
            raise DataError(f"the broker gives order {clean(found.key)!a} for {key[:10]}")
        return found

    def cancel(self, broker_id: str) -> bool:
        """Ask for the end of an order; tell whether it was still open."""
        reply = self._wire.ask("delete", f"/orders/{broker_id}")
        return reply.status < 300

    def fills(self, since: int) -> list[Activity]:
        """Give fills and moves of cash, oldest first."""
        found: list[Activity] = []
        asked = {"after": iso(since), "direction": "asc", "page_size": _PAGE}
        for _ in range(_MOST_PAGES):
            rows = _rows(self._get("/account/activities", asked))
            found += map(_activity, rows)
            if len(rows) < _PAGE:
                return found
            asked["page_token"] = text(rows[-1], "id")
        raise DataError(f"the broker's activities do not end after {_MOST_PAGES} pages")

    def listen(self) -> AlpacaStream:
        """Listen to updates of orders."""
        from algotrade.broker.alpaca_stream import AlpacaStream

        return AlpacaStream(*self._wire.address)

    def clock(self) -> MarketClock:
        """Give the broker's time."""
        row = self._get("/clock")
        return MarketClock(
            now=instant(row.get("timestamp"), "timestamp"),
            is_open=row.get("is_open") is True,
            next_open=instant(row.get("next_open"), "next_open"),
            next_close=instant(row.get("next_close"), "next_close"),
        )

    def calendar(self, first: date, last: date) -> Sequence[BrokerSession]:
        """Give the sessions of a span of days."""
        asked = {"start": first.isoformat(), "end": last.isoformat()}
        return [_session(row) for row in _rows(self._get("/calendar", asked))]

    def _get(self, path: str, data: Any = None) -> Any:  # noqa: ANN401  JSON
        return _whole(self._wire.ask("get", path, data))

    def _taken(self, key: str, body: Any) -> Answer:  # noqa: ANN401  JSON
        try:
            order = _order(body)
        except DataError as error:
            return Unsure(error.message)
        if order.key != key:
            return Unsure("the answer is of another order")
        return Rejected("rejected at once") if order.state == REJECTED else Accepted(order)

    def _used_before(self, key: str, message: str) -> Answer:
        """Look up what an earlier call under this key has placed."""
        try:
            found = self.lookup(key)
        except (ProviderError, DataError) as error:
            return Unsure(f"{message}; {error.message}")
        return Unsure(message) if found is None else Accepted(found)


def _fields(order: Order) -> dict[str, str]:
    fields = {
        "symbol": order.symbol,
        "qty": format_quantity(order.quantity).replace(",", ""),
        "side": order.side,
        "type": _TYPES.get(order.type, order.type),
        "time_in_force": order.time_in_force,
        "client_order_id": order.key,
    }
    for name, price in (("limit_price", order.limit_price), ("stop_price", order.stop_price)):
        if price is not None:
            fields[name] = format_usd(price).replace(",", "")
    return fields


def _order(row: Any) -> BrokerOrder:  # noqa: ANN401  JSON
    word, side = text(row, "status"), text(row, "side")
    filled = nanos(row.get("filled_qty") or "0", "filled_qty")
    if word not in _STATES and word not in _OPEN_WORDS:
        raise DataError(f"the broker's order has the unknown status {clean(word)!a}")
    if side not in (BUY, SELL):
        raise DataError(f"the broker's order has the unknown side {clean(side)!a}")
    state = _STATES.get(word, PARTIAL if filled else ACCEPTED)
    return BrokerOrder(
        key=text(row, "client_order_id"),
        broker_id=text(row, "id"),
        symbol=text(row, "symbol"),
        side=side,
        quantity=nanos(row.get("qty") or "0", "qty"),
        filled=filled,
        state=state,
        detail=word,
    )


def _activity(row: Any) -> Activity:  # noqa: ANN401  JSON
    kind, ident = text(row, "activity_type"), text(row, "id")
    if kind == "FILL":
        sells = text(row, "side") != BUY
        return BrokerFill(
            execution_id=ident,
            broker_id=text(row, "order_id"),
            ts=instant(row.get("transaction_time"), "transaction_time"),
            symbol=text(row, "symbol"),
            quantity=_signed(nanos(row.get("qty"), "qty"), short=sells),
            price=micros(row.get("price"), "price"),
        )
    day = row.get("date")
    when = f"{day}T00:00:00-05:00" if isinstance(day, str) and len(day) == 10 else day
    return CashMove(
        execution_id=ident,
        ts=instant(row.get("created_at") or when, "date"),
        kind=_CASH_KINDS.get(kind, kind),
        amount=micros(row.get("net_amount") or "0", "net_amount"),
        symbol=str(row.get("symbol") or ""),
        note=clean(f"{kind} {row.get('description') or ''}".strip()),
    )


def _session(row: Any) -> BrokerSession:  # noqa: ANN401  JSON
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("America/New_York")
    try:
        day = date.fromisoformat(text(row, "date"))
        opens, closes = (
            to_ts(datetime.combine(day, time.fromisoformat(text(row, name)), zone))
            for name in ("open", "close")
        )
    except ValueError:
        raise DataError("the broker's calendar cannot be read") from None
    return BrokerSession(to_day(day), opens, closes)


def _rows(body: Any) -> list[Any]:  # noqa: ANN401  JSON
    if not isinstance(body, list):
        raise DataError("the broker's answer is not a list")
    return body


def _whole(reply: Reply) -> Any:  # noqa: ANN401  JSON
    """Give the body of an answer that must be there; an error or nothing is none."""
    if reply.status != 200:
        raise ProviderError(f"the broker answers {reply.status}: {reply.message}")
    if not isinstance(reply.body, dict | list):
        raise ProviderError("the broker's answer is empty", hint="try again later")
    return reply.body


def _signed(quantity: int, *, short: bool) -> int:
    return -abs(quantity) if short else abs(quantity)
