"""What the loop needs of the world: a broker and a journal; imported for types alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from algotrade.domain.risk import HALTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.decisions import Decision
    from algotrade.domain.ledger import Entry, Stretch
    from algotrade.domain.orders import Fill, OpenOrder, Order, OrderEvent
    from algotrade.trading.decision import Moment


class Broker(Protocol):
    """Where orders go and fills come from."""

    def submit(self, order: Order) -> None:
        """Take an order."""
        ...

    def cancel(self, order: Order) -> None:
        """Forget a waiting order."""
        ...

    def on_bar(self, moment: Moment, waiting: Sequence[OpenOrder]) -> Sequence[Fill | OrderEvent]:
        """Give what this bar makes of the symbol's waiting orders, in the order it happens."""
        ...


class Journal(Protocol):
    """Where what happened is written down."""

    def append(self, entry: Entry) -> None:
        """Append one ledger entry."""
        ...

    def record(self, decision: Decision, before: int | None = None) -> None:
        """Record a decision, and its order where one was placed.

        before: the symbol's bar before this one that was decided, where the feed knows it.
        """
        ...

    def order_event(self, order: Order, ts: int, state: str, detail: str) -> None:
        """Record a new state of an order."""
        ...

    def mark(self, account: str, stretch: Stretch) -> None:
        """Record valuations of the account."""
        ...

    def halt(self, account: str, ts: int, cause: str, level: str = HALTED) -> None:
        """Record that trading stops, or may only reduce, until a person resets it."""
        ...
