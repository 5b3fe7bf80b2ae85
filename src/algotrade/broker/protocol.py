"""What a real broker must answer, in words of ours; `alpaca` and every plug-in keep to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from algotrade.domain.orders import Order


class BrokerAccount(NamedTuple):
    """The account as the broker sees it: its number, and cash in micro-dollars."""

    number: str
    cash: int
    blocked: bool = False


class BrokerPosition(NamedTuple):
    """Shares held at the broker: signed nano-shares, average price in micro-dollars."""

    symbol: str
    quantity: int
    price: int


class BrokerOrder(NamedTuple):
    """An order as the broker sees it.

    key: our client order id, or the broker's own where it is not ours. filled: nano-shares.
    state: a word of domain/orders.py: accepted, partial, filled, cancelled, expired or rejected.
    """

    key: str
    broker_id: str
    symbol: str
    side: str
    quantity: int
    filled: int
    state: str
    detail: str = ""


class Accepted(NamedTuple):
    """The broker has the order."""

    order: BrokerOrder


class Rejected(NamedTuple):
    """The broker refuses the order, for good."""

    reason: str


class Unsure(NamedTuple):
    """Nobody can tell whether the broker has the order: it must be looked up."""

    reason: str


Answer = Accepted | Rejected | Unsure


class BrokerFill(NamedTuple):
    """Shares that changed hands: signed nano-shares, micro-dollars, the broker's own numbers."""

    execution_id: str
    broker_id: str
    ts: int
    symbol: str
    quantity: int
    price: int
    fee: int = 0


class CashMove(NamedTuple):
    """Cash that moved without an order: deposit, withdrawal, dividend, fee or another word."""

    execution_id: str
    ts: int
    kind: str
    amount: int
    symbol: str = ""
    note: str = ""


Activity = BrokerFill | CashMove


class MarketClock(NamedTuple):
    """The broker's time and whether regular trading goes on, microseconds UTC."""

    now: int
    is_open: bool
    next_open: int
    next_close: int


class BrokerSession(NamedTuple):
    """One session of the broker's calendar: days since 1970, microseconds UTC."""

    day: int
    opens: int
    closes: int


class Listener(Protocol):
    """Updates as they happen; they wake who waits and prove nothing."""

    def wait(self, seconds: float) -> str | None:
        """Give the next update in words, or None where none comes in time."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class BrokerClient(Protocol):
    """One account at one broker.

    Every call ends within a deadline. `submit` gives an answer; all others raise ProviderError
    where the broker cannot be asked and SecretError where it refuses the key.
    dedupes: tell whether two orders under one key are one order at this broker.
    """

    name: str
    is_live: bool
    dedupes: bool

    def account(self) -> BrokerAccount:
        """Give number and cash."""
        ...

    def positions(self) -> Sequence[BrokerPosition]:
        """Give everything that is held."""
        ...

    def orders(self) -> Sequence[BrokerOrder]:
        """Give the open orders, ours and others."""
        ...

    def submit(self, order: Order) -> Answer:
        """Send an order once; ProviderError only where it certainly was not sent."""
        ...

    def lookup(self, key: str) -> BrokerOrder | None:
        """Give the order of a key, or None where the broker says that it has none."""
        ...

    def cancel(self, broker_id: str) -> bool:
        """Ask for the end of an order; tell whether it was still open."""
        ...

    def fills(self, since: int) -> Sequence[Activity]:
        """Give fills and moves of cash from an instant on, oldest first; more is no harm."""
        ...

    def listen(self) -> Listener:
        """Listen to updates of orders."""
        ...

    def clock(self) -> MarketClock:
        """Give the broker's time."""
        ...

    def calendar(self, first: date, last: date) -> Sequence[BrokerSession]:
        """Give the sessions of a span of days, both ends included."""
        ...


class Keys(NamedTuple):
    """What an account is opened with; never printed."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return "Keys(...)"


class Opening(NamedTuple):
    """What a plug-in is called with; `base`: another address on loopback, for tests."""

    live: bool
    keys: Keys | None
    base: str | None = None
