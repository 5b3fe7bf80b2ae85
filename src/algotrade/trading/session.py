"""The loop: the only one, for backtest, paper and live; they differ in feed, broker and journal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from algotrade.domain.ledger import DIVIDEND, SPLIT, Entry, Mark, apply, fill_entry
from algotrade.domain.money import divide_half_even, notional
from algotrade.domain.orders import CANCELLED, FILLED
from algotrade.trading.decision import decide as decide_moment
from algotrade.trading.decision import latched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from algotrade.domain.actions import Dividend, Split
    from algotrade.domain.decisions import Decision, Policy
    from algotrade.domain.orders import Fill, Order
    from algotrade.domain.risk import Conditions, Limits
    from algotrade.trading.decision import Moment
    from algotrade.trading.state import TradingState


class Broker(Protocol):
    """Where orders go and fills come from."""

    def submit(self, order: Order) -> None:
        """Take an order."""
        ...

    def cancel(self, order: Order) -> None:
        """Forget a waiting order."""
        ...

    def on_bar(self, moment: Moment) -> list[Fill]:
        """Give the fills that this bar brings."""
        ...


class Journal(Protocol):
    """Where what happened is written down."""

    def append(self, entry: Entry) -> None:
        """Append one ledger entry."""
        ...

    def record(self, decision: Decision) -> None:
        """Record a decision, and its order where one was placed."""
        ...

    def order_event(self, order: Order, ts: int, state: str, detail: str) -> None:
        """Record a new state of an order."""
        ...

    def mark(self, account: str, mark: Mark) -> None:
        """Record the account's valuation."""
        ...

    def halt(self, account: str, ts: int, cause: str) -> None:
        """Record that trading stops until a person resets it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """What a run of the loop led to."""

    state: TradingState
    decisions: tuple[Decision, ...]
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """What it takes to decide; a session without one only settles fills and actions."""

    policy: Policy
    limits: Limits
    conditions: Callable[[Moment], Conditions]


def run_session(
    moments: Iterable[Moment],
    *,
    state: TradingState,
    broker: Broker,
    journal: Journal,
    decider: Decider | None,
) -> SessionResult:
    """Walk moments by (ts, symbol): actions, fills, prices and the mark, then the decisions.

    Moments without a prediction are decided only when the policy uses no model.
    """
    decisions: list[Decision] = []
    fills: list[Fill] = []
    for ts, group in groupby(moments, key=lambda moment: moment.ts):
        at_ts = list(group)
        for moment in at_ts:
            state, filled = _settle(moment, state, broker, journal)
            fills.extend(filled)
        state = _mark(ts, state, journal)
        for moment in at_ts if decider else ():
            if decider and (moment.prediction or not decider.policy.use_model):
                state, decision = _decide(moment, state, broker, journal, decider)
                decisions.append(decision)
    return SessionResult(state=state, decisions=tuple(decisions), fills=tuple(fills))


def _decide(
    moment: Moment, state: TradingState, broker: Broker, journal: Journal, decider: Decider
) -> tuple[TradingState, Decision]:
    conditions = decider.conditions(moment)
    decision = decide_moment(moment, state, decider.policy, decider.limits, conditions)
    journal.record(decision)
    after = latched(state, decision)
    if after.halt is not None and state.halt is None:
        journal.halt(state.account, conditions.now, after.halt)
    if decision.placed:
        broker.submit(decision.placed)
        after = replace(after, open_orders=(*after.open_orders, decision.placed))
    return after, decision


def _settle(
    moment: Moment, state: TradingState, broker: Broker, journal: Journal
) -> tuple[TradingState, list[Fill]]:
    """Book what happened up to this bar's close: actions, then fills, then its price."""
    for dividend in moment.dividends:
        state = _book_dividend(dividend, moment, state, journal)
    for split in moment.splits:
        state = _book_split(split, moment, state, broker, journal)
    fills = broker.on_bar(moment)
    for fill in fills:
        state = _book_fill(fill, state, journal)
    return replace(state, prices={**state.prices, moment.symbol: moment.close}), fills


def _book(entry: Entry, state: TradingState, journal: Journal) -> TradingState:
    journal.append(entry)
    return replace(state, portfolio=apply(state.portfolio, entry))


def _book_fill(fill: Fill, state: TradingState, journal: Journal) -> TradingState:
    entry = fill_entry(
        ts=fill.ts,
        ref=f"{fill.order.key}.1",
        symbol=fill.order.symbol,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
    )
    journal.order_event(fill.order, fill.ts, FILLED, "")
    left = tuple(order for order in state.open_orders if order.key != fill.order.key)
    return replace(_book(entry, state, journal), open_orders=left)


def _book_dividend(
    dividend: Dividend, moment: Moment, state: TradingState, journal: Journal
) -> TradingState:
    """Pay holders at the previous close; paid on the ex-date, as the pay date is not known."""
    held = state.portfolio.held(dividend.symbol)
    if held == 0:
        return state
    entry = Entry(
        ts=moment.ts_open,
        kind=DIVIDEND,
        ref=f"{dividend.symbol} {dividend.ex_date}",
        symbol=dividend.symbol,
        quantity=held,
        price=dividend.amount,
        amount=notional(held, dividend.amount),
    )
    return _book(entry, state, journal)


def _book_split(
    split: Split, moment: Moment, state: TradingState, broker: Broker, journal: Journal
) -> TradingState:
    """Change positions and prices to the new share basis; orders placed before it are void."""
    voided = [
        order
        for order in state.open_orders
        if order.symbol == split.symbol and order.placed_at <= moment.ts_open
    ]
    for order in voided:
        broker.cancel(order)
        detail = f"{split.split_to}-for-{split.split_from} split before the fill"
        journal.order_event(order, moment.ts_open, CANCELLED, detail)
        state = replace(
            state, open_orders=tuple(o for o in state.open_orders if o.key != order.key)
        )
    held = state.portfolio.held(split.symbol)
    if held:
        after = divide_half_even(held * split.split_to, split.split_from)
        entry = Entry(
            ts=moment.ts_open,
            kind=SPLIT,
            ref=f"{split.symbol} {split.ex_date}",
            symbol=split.symbol,
            quantity=after - held,
            note=f"{split.split_to}-for-{split.split_from}",
        )
        state = _book(entry, state, journal)
    price = state.prices.get(split.symbol)
    if price is None:
        return state
    adjusted = divide_half_even(price * split.split_from, split.split_to)
    return replace(state, prices={**state.prices, split.symbol: adjusted})


def _mark(ts: int, state: TradingState, journal: Journal) -> TradingState:
    """Value the account at the end of a bar, unless a price is missing or time went back."""
    equity = state.equity
    if equity is None or (state.last_mark is not None and ts <= state.last_mark.ts):
        return state
    portfolio = state.portfolio
    mark = Mark(ts, portfolio.cash, equity - portfolio.cash, portfolio.contributed)
    journal.mark(state.account, mark)
    return state.at_mark(mark)


class MemoryJournal:
    """A journal in memory, for backtests and tests."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.decisions: list[Decision] = []
        self.events: list[tuple[str, int, str, str]] = []
        self.marks: list[Mark] = []
        self.halts: list[tuple[int, str]] = []

    def append(self, entry: Entry) -> None:
        """Append one ledger entry."""
        self.entries.append(entry)

    def record(self, decision: Decision) -> None:
        """Record a decision."""
        self.decisions.append(decision)

    def order_event(self, order: Order, ts: int, state: str, detail: str) -> None:
        """Record a new state of an order."""
        self.events.append((order.key, ts, state, detail))

    def mark(self, account: str, mark: Mark) -> None:
        """Record the account's valuation."""
        del account
        self.marks.append(mark)

    def halt(self, account: str, ts: int, cause: str) -> None:
        """Record a halt."""
        del account
        self.halts.append((ts, cause))


def moments_of(
    groups: Sequence[Iterable[Moment]],
) -> list[Moment]:
    """Merge the moments of several symbols into the order of the loop."""
    merged = [moment for group in groups for moment in group]
    return sorted(merged, key=lambda moment: (moment.ts, moment.symbol))
