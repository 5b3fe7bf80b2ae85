"""The ledger: append-only entries, and the portfolio as a fold over them.

Identity kept by every entry, to the micro-dollar (`imbalance` is 0):

    cash + sum(cost of positions) = contributed + realised + dividends - fees

Cost is average cost without fees; a short position has negative quantity and negative cost.
"""

from __future__ import annotations

from itertools import repeat
from types import MappingProxyType
from typing import TYPE_CHECKING

from algotrade.domain.money import NANOS, divide_half_even, notional
from algotrade.errors import LedgerError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

DEPOSIT = "deposit"
WITHDRAWAL = "withdrawal"
FILL = "fill"
SPLIT = "split"
DIVIDEND = "dividend"
DELISTING = "delisting"
ADJUSTMENT = "adjustment"  # what a broker holds and the ledger did not; its note says why


class Entry(NamedTuple):
    """One fact about the account, effective at `ts`.

    quantity: nano-shares; signed change (fill, split, delisting, adjustment) or shares entitled
    (dividend).
    price: micro-dollars a share (of a fill or a delisting; dividend a share).
    amount: signed change of cash before fees, micro-dollars.
    fee: non-negative, micro-dollars; taken from cash.
    ref: what makes it unique among the account's entries of its kind.
    """

    ts: int
    kind: str
    ref: str
    symbol: str = ""
    quantity: int = 0
    price: int = 0
    amount: int = 0
    fee: int = 0
    note: str = ""


class Position(NamedTuple):
    """Signed shares held and what they cost in all, without fees."""

    symbol: str
    quantity: int
    cost: int

    @property
    def avg_cost(self) -> int:
        """Give the average cost of a share in micro-dollars, rounded half-even."""
        return divide_half_even(abs(self.cost) * NANOS, abs(self.quantity))


class Portfolio(NamedTuple):
    """What a prefix of the ledger adds up to."""

    cash: int = 0
    contributed: int = 0
    realised: int = 0
    dividends: int = 0
    fees: int = 0
    positions: Mapping[str, Position] = MappingProxyType({})

    def held(self, symbol: str) -> int:
        """Give the signed quantity held of a symbol."""
        position = self.positions.get(symbol)
        return position.quantity if position else 0


class Mark(NamedTuple):
    """The account valued at one instant; profit = cash + value - contributed, micro-dollars."""

    ts: int
    cash: int
    value: int
    contributed: int

    @property
    def profit(self) -> int:
        """Give what the account has earned since it was opened."""
        return self.cash + self.value - self.contributed

    @property
    def alone(self) -> Stretch:
        """Give it as a stretch of one."""
        return Stretch((self.ts,), self.cash, (self.value,), self.contributed)


class Stretch(NamedTuple):
    """Valuations between which nothing moved but prices: one cash, one contribution.

    ts, values: one item each, in time order; the value of all positions, micro-dollars.
    """

    ts: Sequence[int]
    cash: int
    values: Sequence[int]
    contributed: int

    def marks(self) -> Iterator[Mark]:
        """Give them one by one."""
        return map(Mark, self.ts, repeat(self.cash), self.values, repeat(self.contributed))

    def until(self, place: int) -> Stretch:
        """Give the first `place` of them."""
        return self._replace(ts=self.ts[:place], values=self.values[:place])


def fill_entry(
    *, ts: int, ref: str, symbol: str, quantity: int, price: int, fee: int, note: str = ""
) -> Entry:
    """Make the entry of a fill; `quantity` is signed, bought positive."""
    return Entry(
        ts=ts,
        kind=FILL,
        ref=ref,
        symbol=symbol,
        quantity=quantity,
        price=price,
        amount=-notional(quantity, price),
        fee=fee,
        note=note,
    )


def apply(portfolio: Portfolio, entry: Entry) -> Portfolio:
    """Give the portfolio after one more entry; the old one is unchanged."""
    if entry.kind in (DEPOSIT, WITHDRAWAL) or (entry.kind == ADJUSTMENT and not entry.symbol):
        after = portfolio._replace(contributed=portfolio.contributed + entry.amount)
    elif entry.kind == DIVIDEND:
        after = portfolio._replace(dividends=portfolio.dividends + entry.amount)
    elif entry.kind == SPLIT:
        after = _apply_split(portfolio, entry)
    elif entry.kind in (FILL, DELISTING) or (entry.kind == ADJUSTMENT and entry.symbol):
        after = _apply_fill(portfolio, entry)
    else:
        raise LedgerError(f"ledger entry {entry.ref!r} has unknown kind {entry.kind!r}")
    return after._replace(cash=after.cash + entry.amount - entry.fee, fees=after.fees + entry.fee)


def replay(entries: Iterable[Entry], *, until: int | None = None) -> Portfolio:
    """Fold entries into a portfolio; with `until`, only those effective at or before it."""
    portfolio = Portfolio()
    for entry in entries:
        if until is None or entry.ts <= until:
            portfolio = apply(portfolio, entry)
    return portfolio


def imbalance(portfolio: Portfolio) -> int:
    """Give what the identity of this module misses; 0 for every true ledger."""
    held = portfolio.cash + sum(position.cost for position in portfolio.positions.values())
    earned = portfolio.contributed + portfolio.realised + portfolio.dividends - portfolio.fees
    return held - earned


def chain_hash(previous: str, account: str, seq: int, recorded_at: int, entry: Entry) -> str:
    """Give the SHA-256 that ties an entry to all before it in its account."""
    import hashlib
    import json

    row = [
        previous,
        account,
        seq,
        recorded_at,
        entry.ts,
        entry.kind,
        entry.ref,
        entry.symbol,
        entry.quantity,
        entry.price,
        entry.amount,
        entry.fee,
        entry.note,
    ]
    return hashlib.sha256(json.dumps(row, separators=(",", ":")).encode()).hexdigest()


def _with_position(portfolio: Portfolio, position: Position, *, realised: int = 0) -> Portfolio:
    positions = dict(portfolio.positions)
    if position.quantity:
        positions[position.symbol] = position
    else:
        positions.pop(position.symbol, None)
    return portfolio._replace(positions=positions, realised=portfolio.realised + realised)


def _apply_split(portfolio: Portfolio, entry: Entry) -> Portfolio:
    old = portfolio.positions.get(entry.symbol)
    if old is None or (old.quantity + entry.quantity) * old.quantity < 0:
        raise LedgerError(f"split {entry.ref!r} of {entry.symbol}: no such position to split")
    quantity = old.quantity + entry.quantity
    if quantity == 0:  # less than half a nano-share is left: its cost is lost
        return _with_position(portfolio, old._replace(quantity=0), realised=-old.cost)
    return _with_position(portfolio, old._replace(quantity=quantity))


def _apply_fill(portfolio: Portfolio, entry: Entry) -> Portfolio:
    old = portfolio.positions.get(entry.symbol) or Position(symbol=entry.symbol, quantity=0, cost=0)
    quantity = old.quantity + entry.quantity
    if old.quantity * entry.quantity >= 0:  # opens or adds: the cost grows by what was paid
        cost, realised = old.cost - entry.amount, 0
    elif abs(entry.quantity) <= abs(old.quantity):  # reduces: cost leaves in proportion
        leaving = divide_half_even(old.cost * abs(entry.quantity), abs(old.quantity))
        cost, realised = old.cost - leaving, entry.amount - leaving
    else:  # crosses zero: all old cost leaves, the rest opens at the fill price
        opening = notional(quantity, entry.price)
        cost, realised = opening, entry.amount + opening - old.cost
    position = Position(symbol=entry.symbol, quantity=quantity, cost=cost)
    return _with_position(portfolio, position, realised=realised)
