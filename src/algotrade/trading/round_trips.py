"""Round trips: what each stay in a symbol brought, from the entries of one account's ledger.

A trip begins when a position leaves zero and ends when it returns there. A fill that crosses zero
ends one and begins the next; its fee is split by shares. Money is told as the ledger tells it, at
average cost, so that to the micro-dollar

    sum of profits of all trips = realised - fees + dividends

fees of deposits and withdrawals left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.ledger import DEPOSIT, DIVIDEND, SPLIT, WITHDRAWAL, Portfolio, apply
from algotrade.domain.money import NANOS, divide_half_even
from algotrade.errors import LedgerError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from algotrade.domain.ledger import Entry

LONG = "long"
SHORT = "short"


class RoundTrip(NamedTuple):
    """One stay in a symbol; closed is None while it lasts, and profit then what is realised.

    quantity: the most held at once, nano-shares; prices: averages without fees, micro-dollars a
    share; both in the share basis of the close. exit_price is None before the first exit.
    profit: micro-dollars, after fees and with dividends.
    """

    symbol: str
    side: str
    opened: int
    closed: int | None
    quantity: int
    entry_price: int
    exit_price: int | None
    fees: int
    dividends: int
    profit: int


class TradeStatistics(NamedTuple):
    """What closed trips have in common, net of fees; micro-dollars, fractions, None if undefined.

    win_rate: wins / (wins + losses), a trip without profit or loss being neither.
    profit_factor: sum of wins / |sum of losses|. Losses are negative.
    """

    closed: int
    wins: int
    losses: int
    profit: int
    win_rate: float | None
    profit_factor: float | None
    average: int | None
    average_win: int | None
    average_loss: int | None
    largest_win: int | None
    largest_loss: int | None


class _Trip(NamedTuple):
    """A trip as it grows; shares unsigned and in the newest basis, money as cash, paid positive."""

    symbol: str
    side: str
    opened: int
    closed: int | None = None
    held: int = 0
    peak: int = 0
    entered: int = 0
    paid_in: int = 0
    paid_out: int = 0
    fees: int = 0
    dividends: int = 0
    realised: int = 0


def round_trips(entries: Iterable[Entry]) -> tuple[RoundTrip, ...]:
    """Give all trips of one account, closed and open, by the time they were opened.

    A dividend belongs to the newest trip in its symbol, open or not; LedgerError if there was none.
    """
    trips: list[_Trip] = []
    newest: dict[str, int] = {}
    books: dict[str, Portfolio] = {}
    for entry in entries:
        if entry.kind in (DEPOSIT, WITHDRAWAL):
            continue
        before = books.get(entry.symbol, Portfolio())
        after = books[entry.symbol] = apply(before, entry)
        held = before.held(entry.symbol)
        if held == 0 and entry.kind != DIVIDEND:
            newest[entry.symbol] = len(trips)
            trips.append(_opened(entry, after, entry.fee))
            continue
        if entry.symbol not in newest:
            raise LedgerError(f"dividend {entry.ref!r} of {entry.symbol}: it was never held")
        row = newest[entry.symbol]
        trips[row] = _carried_on(trips[row], entry, before, after)
        if after.held(entry.symbol) * held < 0:
            newest[entry.symbol] = len(trips)
            trips.append(_opened(entry, after, entry.fee - _closing_fee(entry, held)))
    return tuple(_told(trip) for trip in trips)


def trade_statistics(trips: Iterable[RoundTrip]) -> TradeStatistics:
    """Count and average the closed trips among these; averages are rounded half-even."""
    profits = [trip.profit for trip in trips if trip.closed is not None]
    wins = [profit for profit in profits if profit > 0]
    losses = [profit for profit in profits if profit < 0]
    decided = len(wins) + len(losses)
    return TradeStatistics(
        closed=len(profits),
        wins=len(wins),
        losses=len(losses),
        profit=sum(profits),
        win_rate=len(wins) / decided if decided else None,
        profit_factor=sum(wins) / -sum(losses) if losses else None,
        average=_average(profits),
        average_win=_average(wins),
        average_loss=_average(losses),
        largest_win=max(wins, default=None),
        largest_loss=min(losses, default=None),
    )


def _average(profits: list[int]) -> int | None:
    return divide_half_even(sum(profits), len(profits)) if profits else None


def _opened(entry: Entry, after: Portfolio, fee: int) -> _Trip:
    """Begin a trip with the position that a fill left."""
    position = after.positions[entry.symbol]
    return _Trip(
        symbol=entry.symbol,
        side=LONG if position.quantity > 0 else SHORT,
        opened=entry.ts,
        held=abs(position.quantity),
        peak=abs(position.quantity),
        entered=abs(position.quantity),
        paid_in=position.cost,
        fees=fee,
    )


def _carried_on(trip: _Trip, entry: Entry, before: Portfolio, after: Portfolio) -> _Trip:
    """Give the trip after an entry; one that crosses zero takes it only as far as zero."""
    if entry.kind == DIVIDEND:
        return trip._replace(dividends=trip.dividends + entry.amount, fees=trip.fees + entry.fee)
    was, now = before.held(entry.symbol), after.held(entry.symbol)
    trip = trip._replace(realised=trip.realised + after.realised - before.realised)
    if entry.kind == SPLIT:
        trip = _rescaled(trip, was, now)._replace(fees=trip.fees + entry.fee)
    elif was * entry.quantity > 0:
        held = abs(now)
        trip = trip._replace(
            held=held,
            peak=max(trip.peak, held),
            entered=trip.entered + abs(entry.quantity),
            paid_in=trip.paid_in - entry.amount,
            fees=trip.fees + entry.fee,
        )
    else:
        opening = after.positions[entry.symbol].cost if was * now < 0 else 0
        trip = trip._replace(
            held=abs(now) if was * now > 0 else 0,
            paid_out=trip.paid_out - entry.amount - opening,
            fees=trip.fees + _closing_fee(entry, was),
        )
    return trip if trip.held else trip._replace(closed=entry.ts)


def _rescaled(trip: _Trip, was: int, now: int) -> _Trip:
    """Give the trip in the share basis after a split, or ended when nothing was left of it."""
    if now == 0:
        return trip._replace(held=0)
    return trip._replace(
        held=abs(now),
        peak=divide_half_even(trip.peak * abs(now), abs(was)),
        entered=divide_half_even(trip.entered * abs(now), abs(was)),
    )


def _closing_fee(entry: Entry, held: int) -> int:
    """Give the share of a fill's fee that falls on closing what was held, half-even."""
    closing = min(abs(entry.quantity), abs(held))
    return divide_half_even(entry.fee * closing, abs(entry.quantity))


def _told(trip: _Trip) -> RoundTrip:
    left = trip.entered - trip.held
    return RoundTrip(
        symbol=trip.symbol,
        side=trip.side,
        opened=trip.opened,
        closed=trip.closed,
        quantity=trip.peak,
        entry_price=divide_half_even(abs(trip.paid_in) * NANOS, trip.entered),
        exit_price=divide_half_even(abs(trip.paid_out) * NANOS, left) if left else None,
        fees=trip.fees,
        dividends=trip.dividends,
        profit=trip.realised - trip.fees + trip.dividends,
    )
