"""Rebuild: the state that each stored decision saw, from the rows of the store alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from algotrade.domain.ledger import FILL, Portfolio, apply
from algotrade.domain.orders import OPEN_STATES, TRIGGERED, OpenOrder
from algotrade.domain.times import session_day
from algotrade.store import bars as bar_store
from algotrade.store.journal import HaltRow
from algotrade.trading.state import Exits, Halted, TradingState, week_of
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.state import halted_by

if TYPE_CHECKING:
    from algotrade.domain.ledger import Entry, Mark
    from algotrade.store.past import Past, PastDecision, PastHalt, Seen


class Rebuilder:
    """Walk an account's past once, decision by decision, in the order they were written down."""

    def __init__(self, ws: Workspace, past: Past) -> None:
        """Stand before the first decision."""
        self._ws, self._past = ws, past
        self._portfolio = Portfolio()
        self._waiting: dict[str, OpenOrder] = {}
        self._last_mark: Mark | None = None
        self._exits = Exits()
        self._session_profit = self._week_profit = self._peak_profit = 0
        self._next_entry = self._next_event = self._next_mark = 0
        self._halts = {halt.halt_id: halt for halt in past.halts}
        self._prices: dict[tuple[str, int], int | None] = {}

    def state_before(self, one: PastDecision, seen: Seen) -> TradingState:
        """Give the state that this decision saw; later than that of any asked for before."""
        self._take_events(one.stored.decision_id)
        self._take_entries(seen.ledger_seq)
        self._take_marks(seen.marks_ts)
        decision = one.stored.decision
        orders = [*self._waiting.values()]  # in the order in which they were placed
        staked = {*self._portfolio.positions, *(waiting.order.symbol for waiting in orders)}
        found = {
            symbol: self._price(symbol, decision.decided_at)
            for symbol in sorted({*staked, decision.symbol})
        }
        halt = self._halts.get(seen.halt_id)
        return TradingState(
            account=self._ws.account,
            portfolio=self._portfolio,
            open_orders=orders,
            prices={symbol: price for symbol, price in found.items() if price is not None},
            last_mark=self._last_mark,
            session_profit=self._session_profit,
            week_profit=self._week_profit,
            peak_profit=self._peak_profit,
            exits=copy.deepcopy(self._exits),
            **_halted(halt)._asdict(),
        )

    def _take_events(self, decision_id: int) -> None:
        events = self._past.events
        while self._next_event < len(events) and events[self._next_event].after < decision_id:
            _, key, _, _, state = events[self._next_event]
            self._next_event += 1
            if state not in OPEN_STATES:
                self._waiting.pop(key, None)
            elif key in self._past.orders:
                waiting = self._waiting.setdefault(key, OpenOrder(self._past.orders[key]))
                triggered = waiting.triggered or state == TRIGGERED
                self._waiting[key] = waiting._replace(triggered=triggered)

    def _take_entries(self, seq: int) -> None:
        for entry in self._past.entries[self._next_entry : seq]:
            before, self._portfolio = self._portfolio, apply(self._portfolio, entry)
            self._exits.note(before, self._portfolio, entry)
            if entry.kind == FILL:
                self._take_fill(entry)
        self._next_entry = max(self._next_entry, seq)

    def _take_fill(self, entry: Entry) -> None:
        key = entry.ref.rpartition(".")[0]
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._waiting[key] = waiting._replace(
                filled=waiting.filled + abs(entry.quantity),
                fills=waiting.fills + 1,
                fee=waiting.fee + entry.fee,
            )

    def _take_marks(self, until: int) -> None:
        """Take valuations; the last one of a session opens the next."""
        marks = self._past.marks
        while self._next_mark < len(marks) and marks[self._next_mark].ts <= until:
            mark, last = marks[self._next_mark], self._last_mark
            if last is not None and session_day(last.ts) < session_day(mark.ts):
                self._session_profit = last.profit
                if week_of(session_day(last.ts)) < week_of(session_day(mark.ts)):
                    self._week_profit = last.profit
            self._peak_profit = max(self._peak_profit, mark.profit)
            self._last_mark = mark
            self._next_mark += 1

    def _price(self, symbol: str, known_at: int) -> int | None:
        """Give the newest close as it was known then."""
        ws, asked = self._ws, (symbol, known_at)
        if asked not in self._prices:
            newest = bar_store.load_bars(
                ws.db, ws.source, symbol, DAILY, until=known_at, known_at=known_at, last=1
            )
            self._prices[asked] = newest.close[-1] if len(newest) else None
        return self._prices[asked]


def _halted(halt: PastHalt | None) -> Halted:
    if halt is None or halt.kind == "reset":
        return Halted()
    return halted_by(HaltRow(halt.reason, halt.level, halt.ts))
