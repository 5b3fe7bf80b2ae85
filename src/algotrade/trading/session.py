"""The loop: the only one, for backtest, paper and live; they differ in feed, broker and journal."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from algotrade.domain.actions import Split
from algotrade.domain.ledger import DELISTING, DIVIDEND, SPLIT, Entry, Mark, fill_entry
from algotrade.domain.money import divide_half_even, notional
from algotrade.domain.orders import CANCELLED, FILLED, PARTIAL, TRIGGERED, Fill
from algotrade.domain.risk import HALTED, REDUCING
from algotrade.record import NamedTuple
from algotrade.trading.decision import decide as decide_moment
from algotrade.trading.losses import rising

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from algotrade.domain.actions import Delisting, Dividend
    from algotrade.domain.decisions import Decision, Policy
    from algotrade.domain.ledger import Stretch
    from algotrade.domain.orders import OpenOrder, Order, OrderEvent
    from algotrade.domain.risk import Conditions, Limits
    from algotrade.trading.decision import Look, Moment
    from algotrade.trading.ports import Broker, Journal
    from algotrade.trading.state import TradingState


class Turn(NamedTuple):
    """Everything that becomes known at one instant.

    moments: by symbol. prices: closes at `ts` of what is held, for symbols without a moment.
    skipped: the instants before it at which nothing but prices moved, valued.
    first: gives the first moment that would be decided at an instant if none were skipped.
    """

    ts: int
    moments: Sequence[Moment]
    prices: Mapping[str, int]
    skipped: Stretch | None = None
    first: Callable[[int], Moment | None] | None = None


class SessionResult(NamedTuple):
    """What a run of the loop led to; the decisions are in the journal."""

    state: TradingState
    fills: tuple[Fill, ...]


class Decider(NamedTuple):
    """What it takes to decide; a session without one only settles fills and actions.

    look: gives what the bars say, asked only where an order is checked against complete limits.
    """

    policy: Policy
    limits: Limits
    conditions: Callable[[Moment], Conditions]
    look: Look | None = None


def turns_of(moments: Iterable[Moment]) -> Iterator[Turn]:
    """Group moments into turns; they are sorted by (ts, symbol) first."""
    ordered = sorted(moments, key=lambda moment: (moment.ts, moment.symbol))
    for ts, group in groupby(ordered, key=lambda moment: moment.ts):
        yield Turn(ts, list(group), {})


def run_session(
    turns: Iterable[Turn],
    *,
    state: TradingState,
    broker: Broker,
    journal: Journal,
    decider: Decider | None,
) -> SessionResult:
    """Walk the turns: actions, fills, prices and the mark, then the decisions by symbol.

    Moments without a signal are not decided. The state is changed in place; a feed that skips
    instants reads it to find the next at which anything can happen.
    """
    fills: list[Fill] = []
    for ts, moments, prices, skipped, first in turns:
        if skipped is not None:
            journal.mark(state.account, skipped)
            state.mark(skipped)
        for moment in moments:
            fills += _settle(moment, state, broker, journal)
        state.reprice(prices)
        _mark(ts, state, journal)
        if decider is None:
            continue
        for moment in _decided(ts, moments, first, state, decider.limits):
            if moment.signal is not None:
                _decide(moment, state, broker, journal, decider)
    return SessionResult(state, tuple(fills))


def _decided(
    ts: int,
    moments: Sequence[Moment],
    first: Callable[[int], Moment | None] | None,
    state: TradingState,
    limits: Limits,
) -> Sequence[Moment]:
    """Give the moments to decide; a halt is seen at the first, even where a feed skipped it."""
    if first is None or state.halt is not None or rising(state, limits) is None:
        return moments
    speaker = first(ts)
    if speaker is None or any(one.symbol == speaker.symbol for one in moments):
        return moments
    return [speaker, *moments]


def _decide(
    moment: Moment, state: TradingState, broker: Broker, journal: Journal, decider: Decider
) -> None:
    conditions = decider.conditions(moment)
    policy, limits, look = decider.policy, decider.limits, decider.look
    decision = decide_moment(moment, state, policy, limits, conditions, look)
    journal.record(decision, moment.decided_before)
    halt, reduce = decision.verdict.halt, decision.verdict.reduce
    if (halt is not None or reduce is not None) and state.halt is None:
        _move_right(conditions.now, halt, reduce, state, journal)
        if limits.complete:
            for symbol in sorted(state.orders):
                _void_entries(symbol, conditions.now, state, broker, journal)
    order = decision.placed
    if order is not None:
        broker.submit(order)
        state.place(order)


def _move_right(
    ts: int, halt: str | None, reduce: str | None, state: TradingState, journal: Journal
) -> None:
    """Go from ACTIVE to REDUCING, or from either to HALTED; only a person goes back."""
    if halt is not None:
        state.halt = halt
        journal.halt(state.account, ts, halt)
    elif reduce is not None and state.reducing is None:
        state.reducing = reduce
        journal.halt(state.account, ts, reduce, REDUCING)


def _void_entries(
    symbol: str, ts: int, state: TradingState, broker: Broker, journal: Journal
) -> None:
    """Cancel the symbol's waiting orders that do not only reduce what is held."""
    held = state.portfolio.held(symbol)
    for waiting in state.orders.get(symbol, ()):
        if waiting.signed_left * held < 0 and waiting.left <= abs(held):
            continue
        broker.cancel(waiting.order)
        journal.order_event(waiting.order, ts, CANCELLED, f"trading is {_word(state)}")
        state.update(waiting, ended=True)


def _word(state: TradingState) -> str:
    return "halted" if state.halt is not None else "reducing"


def _settle(
    moment: Moment, state: TradingState, broker: Broker, journal: Journal
) -> Sequence[Fill]:
    """Book what happened up to this bar's close: actions, then fills, then its price."""
    if moment.dividends or moment.splits:
        _book_actions(moment, state, broker, journal)
    if moment.delisting is not None:
        _book_delisting(moment.delisting, moment, state, broker, journal)
    if state.halted_since is not None and state.halted_since <= moment.ts_open:
        _void_entries(moment.symbol, moment.ts_open, state, broker, journal)
    fills = []
    waiting = state.orders.get(moment.symbol)
    for report in broker.on_bar(moment, waiting) if waiting else ():
        if isinstance(report, Fill):
            _book_fill(report, state, journal)
            fills.append(report)
        else:
            _book_event(report, state, journal)
    state.reprice({moment.symbol: moment.close})
    return fills


def _book(entry: Entry, state: TradingState, journal: Journal) -> None:
    journal.append(entry)
    state.book(entry)


def _waiting(order: Order, state: TradingState) -> OpenOrder:
    return next(one for one in state.orders[order.symbol] if one.order.key == order.key)


def _book_fill(fill: Fill, state: TradingState, journal: Journal) -> None:
    order = fill.order
    before = _waiting(order, state)
    after = before._replace(
        filled=before.filled + abs(fill.quantity),
        fills=before.fills + 1,
        charged=before.charged + fill.charged,
        fee=before.fee + fill.fee,
    )
    entry = fill_entry(
        ts=fill.ts,
        ref=f"{order.key}.{after.fills}",
        symbol=order.symbol,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
    )
    journal.order_event(order, fill.ts, PARTIAL if after.left else FILLED, "")
    state.update(after, ended=after.left == 0)
    _book(entry, state, journal)


def _book_event(event: OrderEvent, state: TradingState, journal: Journal) -> None:
    waiting = _waiting(event.order, state)
    journal.order_event(event.order, event.ts, event.state, event.detail)
    triggered = event.state == TRIGGERED
    state.update(waiting._replace(triggered=triggered or waiting.triggered), ended=not triggered)


def _book_actions(moment: Moment, state: TradingState, broker: Broker, journal: Journal) -> None:
    """Book actions by ex-date; a dividend of a split's own date is of the shares before it."""
    actions: list[Dividend | Split] = [*moment.dividends, *moment.splits]
    for action in sorted(actions, key=lambda one: one.ex_date):
        if isinstance(action, Split):
            _book_split(action, moment, state, broker, journal)
        else:
            _book_dividend(action, moment, state, journal)


def _book_dividend(
    dividend: Dividend, moment: Moment, state: TradingState, journal: Journal
) -> None:
    """Pay holders at the previous close; paid on the ex-date, as the pay date is not known."""
    held = state.portfolio.held(dividend.symbol)
    if held == 0:
        return
    entry = Entry(
        ts=moment.ts_open,
        kind=DIVIDEND,
        ref=f"{dividend.symbol} {dividend.ex_date}",
        symbol=dividend.symbol,
        quantity=held,
        price=dividend.amount,
        amount=notional(held, dividend.amount),
    )
    _book(entry, state, journal)


def _book_split(
    split: Split, moment: Moment, state: TradingState, broker: Broker, journal: Journal
) -> None:
    """Change positions and prices to the new share basis; orders placed before it are void."""
    detail = f"{split.split_to}-for-{split.split_from} split before the fill"
    _void(split.symbol, moment, detail, state, broker, journal)
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
        _book(entry, state, journal)
    price = state.prices.get(split.symbol)
    if price is not None:
        adjusted = divide_half_even(price * split.split_from, split.split_to)
        state.reprice({split.symbol: adjusted})


def _book_delisting(
    gone: Delisting, moment: Moment, state: TradingState, broker: Broker, journal: Journal
) -> None:
    """Settle what is held at the last price; orders that wait will never be met."""
    _void(gone.symbol, moment, "the symbol is traded no more", state, broker, journal)
    held = state.portfolio.held(gone.symbol)
    if held:
        entry = Entry(
            ts=moment.ts_open,
            kind=DELISTING,
            ref=f"{gone.symbol} {moment.ts_open}",
            symbol=gone.symbol,
            quantity=-held,
            price=gone.price,
            amount=notional(held, gone.price),
        )
        _book(entry, state, journal)


def _void(
    symbol: str, moment: Moment, detail: str, state: TradingState, broker: Broker, journal: Journal
) -> None:
    """Cancel the symbol's orders that were placed before this bar."""
    for waiting in state.orders.get(symbol, ()):
        if waiting.order.placed_at <= moment.ts_open:
            broker.cancel(waiting.order)
            journal.order_event(waiting.order, moment.ts_open, CANCELLED, detail)
            state.update(waiting, ended=True)


def _mark(ts: int, state: TradingState, journal: Journal) -> None:
    """Value the account at the end of a bar, unless a price is missing or time went back."""
    equity = state.equity
    if equity is None or (state.last_mark is not None and ts <= state.last_mark.ts):
        return
    portfolio = state.portfolio
    stretch = Mark(ts, portfolio.cash, equity - portfolio.cash, portfolio.contributed).alone
    journal.mark(state.account, stretch)
    state.mark(stretch)


class MemoryJournal:
    """A journal in memory, for rehearsals and tests."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.decisions: list[Decision] = []
        self.events: list[tuple[str, int, str, str]] = []
        self.marks: list[Mark] = []
        self.halts: list[tuple[int, str]] = []
        self.reductions: list[tuple[int, str]] = []

    def append(self, entry: Entry) -> None:
        """Append one ledger entry."""
        self.entries.append(entry)

    def record(self, decision: Decision, before: int | None = None) -> None:
        """Record a decision."""
        del before
        self.decisions.append(decision)

    def order_event(self, order: Order, ts: int, state: str, detail: str) -> None:
        """Record a new state of an order."""
        self.events.append((order.key, ts, state, detail))

    def mark(self, account: str, stretch: Stretch) -> None:
        """Record valuations."""
        del account
        self.marks.extend(stretch.marks())

    def halt(self, account: str, ts: int, cause: str, level: str = HALTED) -> None:
        """Record a halt, or that orders may only reduce."""
        del account
        (self.halts if level == HALTED else self.reductions).append((ts, cause))
