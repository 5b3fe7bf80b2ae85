"""The journal of a backtest: everything that happened, holds of one reason told as one span."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from algotrade.domain.decisions import ORDER
from algotrade.domain.orders import OrderEvent
from algotrade.domain.risk import HALTED
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.domain.decisions import Decision
    from algotrade.domain.ledger import Entry, Mark, Stretch
    from algotrade.domain.orders import Order


class RunDecision(NamedTuple):
    """An order decided, or a span of bars on which holds or refusals had one reason.

    reason: as told at the first bar of the span. The order of an order or a refusal: side and
    quantity (nano-shares), key where it was placed.
    """

    symbol: str
    from_ts: int
    until_ts: int
    action: str
    code: str
    reason: str
    p_up: float | None
    source: str | None
    side: str | None
    quantity: int | None
    order_key: str | None


class RunJournal:
    """Keep a run in memory: entries, marks, halts, states of orders, and spans of decisions."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.stretches: list[Stretch] = []
        self.halts: list[tuple[int, str]] = []
        self.reductions: list[tuple[int, str]] = []
        self.events: list[OrderEvent] = []
        self.ended: list[RunDecision] = []
        self._running: dict[str, RunDecision] = {}

    def append(self, entry: Entry) -> None:
        """Append one ledger entry."""
        self.entries.append(entry)

    def record(self, decision: Decision, before: int | None = None) -> None:
        """Lengthen the symbol's span, or end it with the bar before and begin another."""
        symbol = decision.symbol
        running = self._running.get(symbol)
        if running is not None:
            same = (running.action, running.code) == (decision.action, decision.code)
            if same and decision.action != ORDER:
                self._running[symbol] = running._replace(until_ts=decision.ts)
                return
            self._end(running, before)
        signal, order = decision.signal, decision.order
        self._running[symbol] = RunDecision(
            symbol,
            decision.ts,
            decision.ts,
            decision.action,
            decision.code,
            decision.reason,
            signal.p_up if signal else None,
            signal.source if signal else None,
            order.side if order else None,
            order.quantity if order else None,
            order.key if order is not None and decision.action == ORDER else None,
        )

    def finish(self, last_decided: Mapping[str, int]) -> list[RunDecision]:
        """End every span with the symbol's last decided bar; give all in order of time."""
        for symbol, running in self._running.items():
            self._end(running, last_decided.get(symbol))
        self._running.clear()
        self.ended.sort(key=lambda one: (one.from_ts, one.symbol))
        return self.ended

    def _end(self, running: RunDecision, until: int | None) -> None:
        if running.action != ORDER and until is not None and until > running.until_ts:
            running = running._replace(until_ts=until)
        self.ended.append(running)

    def order_event(self, order: Order, ts: int, state: str, detail: str) -> None:
        """Record a new state of an order."""
        self.events.append(OrderEvent(order, ts, state, detail))

    def mark(self, account: str, stretch: Stretch) -> None:
        """Record valuations."""
        del account
        self.stretches.append(stretch)

    @property
    def marks(self) -> list[Mark]:
        """Give every valuation."""
        return list(chain.from_iterable(stretch.marks() for stretch in self.stretches))

    def halt(self, account: str, ts: int, cause: str, level: str = HALTED) -> None:
        """Record a halt, or that orders may only reduce."""
        del account
        (self.halts if level == HALTED else self.reductions).append((ts, cause))
