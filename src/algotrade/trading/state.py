"""The state a decision sees: the folded ledger, open orders, prices, profits, exits, halts.

Only the loop changes a state; whoever decides reads it. Sums over all positions are kept from one
question to the next, because a decision asks several of them and prices move once a bar.
"""

from __future__ import annotations

from operator import mul
from typing import TYPE_CHECKING

from algotrade.domain.ledger import FILL, Entry, Mark, Portfolio, Stretch, apply
from algotrade.domain.money import NANOS, notional
from algotrade.domain.orders import BUY, OpenOrder, Order
from algotrade.domain.times import session_day
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MONDAY = 3  # days from a Monday to 1970-01-01


def week_of(session: int) -> int:
    """Give the number of a session's week; weeks begin on Monday."""
    return (session + _MONDAY) // 7


class Exits:
    """How positions ended: the newest exit of each symbol, and the losing ones in a row.

    last: instant of the fill that ended the symbol's newest position. losses: exits with a loss in
    a row at the end of session `session`, judged by the fill that ended the position.
    """

    __slots__ = ("last", "losses", "session")

    def __init__(self) -> None:
        """Know of none."""
        self.last: dict[str, int] = {}
        self.losses, self.session = 0, 0

    def note(self, before: Portfolio, after: Portfolio, entry: Entry) -> None:
        """Take one more entry of the ledger."""
        if entry.kind != FILL:
            return
        held = before.held(entry.symbol)
        if held == 0 or after.held(entry.symbol) * held > 0:
            return
        session = session_day(entry.ts)
        if session != self.session:
            self.losses, self.session = 0, session
        lost = after.realised - before.realised - entry.fee < 0
        self.losses = self.losses + 1 if lost else 0
        self.last[entry.symbol] = entry.ts

    def losing(self, session: int) -> int:
        """Give how many exits of a session lost in a row at its end."""
        return self.losses if session == self.session else 0


class Halted(NamedTuple):
    """What the ledger says of trading: cause of a full stop, or of reducing only, and since when.

    halted_since: microseconds UTC; entry orders that wait longer than that are void.
    """

    halt: str | None = None
    reducing: str | None = None
    halted_since: int | None = None


class TradingState:
    """One account at one moment; the loop moves it on in place.

    orders: open orders by symbol, oldest first.
    prices: newest price of each symbol in today's share basis, micro-dollars.
    last_mark: the newest valuation; session_profit, week_profit: profit when the running session
    and its week began. peak_profit: highest profit at any mark, never below 0. exits: how positions
    ended. halt: why trading is halted, if it is; reducing: why only reducing orders may pass.
    halted_since: when either was stored, None where it came about in this run.
    """

    __slots__ = (
        *("account", "portfolio", "orders", "prices", "last_mark", "session_profit"),
        *("week_profit", "peak_profit", "exits", "halt", "reducing", "halted_since"),
        *("_whole", "_part", "_equity", "_gross", "_largest", "_committed", "_unexecuted"),
        "_stakes",
    )

    def __init__(
        self,
        *,
        account: str,
        portfolio: Portfolio | None = None,
        open_orders: Iterable[OpenOrder] = (),
        prices: Mapping[str, int] | None = None,
        last_mark: Mark | None = None,
        session_profit: int = 0,
        week_profit: int = 0,
        peak_profit: int = 0,
        exits: Exits | None = None,
        halt: str | None = None,
        reducing: str | None = None,
        halted_since: int | None = None,
    ) -> None:
        """Start from a portfolio and what was known of it."""
        self.account = account
        self.portfolio = portfolio or Portfolio()
        self.orders: dict[str, tuple[OpenOrder, ...]] = {}
        self.prices = dict(prices or {})
        self.last_mark = last_mark
        self.session_profit = session_profit
        self.week_profit = week_profit
        self.peak_profit = peak_profit
        self.exits = exits or Exits()
        self.halt = halt
        self.reducing = reducing
        self.halted_since = halted_since
        self._whole: dict[str, int] = {}  # whole shares by symbol
        self._part: dict[str, int] = {}  # nano-shares of positions that are not whole
        self._equity: int | None = None
        self._gross: int | None = None
        self._largest: int | None = None
        self._committed: int | None = None
        self._unexecuted: int | None = None
        self._stakes: dict[str, int] | None = None
        for waiting in open_orders:
            symbol = waiting.order.symbol
            self.orders[symbol] = (*self.orders.get(symbol, ()), waiting)
        for symbol, position in self.portfolio.positions.items():
            self._hold(symbol, position.quantity)

    # ---- what a decision asks

    @property
    def open_orders(self) -> tuple[OpenOrder, ...]:
        """Give every open order, by symbol, then as they were placed."""
        return tuple(waiting for symbol in sorted(self.orders) for waiting in self.orders[symbol])

    @property
    def staked(self) -> set[str]:
        """Give the symbols that are held or have an order waiting."""
        return {*self.portfolio.positions, *self.orders}

    def position_value(self, symbol: str) -> int | None:
        """Value what is held of a symbol, or None where it has no price."""
        quantity = self.portfolio.held(symbol)
        if quantity == 0:
            return 0
        price = self.prices.get(symbol)
        return None if price is None else notional(quantity, price)

    @property
    def value(self) -> int | None:
        """Value the positions at the newest prices, or None where a price is missing."""
        equity = self.equity
        return None if equity is None else equity - self.portfolio.cash

    @property
    def equity(self) -> int | None:
        """Give cash and positions at the newest prices, or None where a price is missing."""
        if self._equity is None:
            prices = self.prices
            try:
                whole = sum(map(mul, self._whole.values(), map(prices.__getitem__, self._whole)))
                part = sum(notional(q, prices[symbol]) for symbol, q in self._part.items())
            except KeyError:
                return None
            self._equity = self.portfolio.cash + whole + part
        return self._equity

    @property
    def profit(self) -> int | None:
        """Give equity less contributions, or None where a price is missing."""
        equity = self.equity
        return None if equity is None else equity - self.portfolio.contributed

    def working(self, symbol: str, side: str) -> int:
        """Give the open quantity of one side, positive, nano-shares."""
        waiting = self.orders.get(symbol, ())
        return sum(one.left for one in waiting if one.order.side == side)

    def projected(self, symbol: str) -> int:
        """Give the signed position once every open order is filled."""
        quantity = self.portfolio.held(symbol)
        for waiting in self.orders.get(symbol, ()):
            quantity += waiting.signed_left
        return quantity

    @property
    def stakes(self) -> Mapping[str, int]:
        """Give the signed position of each symbol that is staked, once open orders are filled."""
        if self._stakes is None:
            self._stakes = {symbol: self.projected(symbol) for symbol in self.staked}
        return self._stakes

    @property
    def gross(self) -> int | None:
        """Value every position as if open orders were filled, without sign, rounded up."""
        if self._gross is None:
            self._weigh()
        return self._gross

    @property
    def largest(self) -> int | None:
        """Give the largest part of `gross`, or None where a price is missing."""
        if self._largest is None:
            self._weigh()
        return self._largest

    def exposure(self, symbol: str) -> int | None:
        """Give one symbol's part of `gross`, or None where it has no price."""
        return _weight(self.projected(symbol), self.prices.get(symbol))

    def committed(self) -> int | None:
        """Give the cash that open buys will need at the newest prices; None without a price."""
        if self._committed is None:
            total = 0
            for waiting in self.open_orders:
                needed = self._needed(waiting)
                if needed is None:
                    return None
                total += needed
            self._committed = total
        return self._committed

    def unexecuted(self) -> int | None:
        """Value what waits, bought and sold, at the newest prices; None without a price."""
        if self._unexecuted is None:
            total = 0
            for waiting in self.open_orders:
                value = _weight(waiting.left, self.prices.get(waiting.order.symbol))
                if value is None:
                    return None
                total += value
            self._unexecuted = total
        return self._unexecuted

    # ---- what the loop changes

    def book(self, entry: Entry) -> None:
        """Apply one ledger entry."""
        before, self.portfolio = self.portfolio, apply(self.portfolio, entry)
        if entry.symbol:
            self.exits.note(before, self.portfolio, entry)
            self._hold(entry.symbol, self.portfolio.held(entry.symbol))
        self._equity = self._stakes = None
        self._gross = self._largest = self._committed = self._unexecuted = None

    def reprice(self, prices: Mapping[str, int]) -> None:
        """Take newer prices; sums stay where no price of a stake has changed."""
        known = self.prices
        for symbol, price in prices.items():
            if known.get(symbol) != price and self._has_stake(symbol):
                self._equity = self._gross = self._largest = None
                self._committed = self._unexecuted = None
                break
        known.update(prices)

    def place(self, order: Order) -> None:
        """Add an order that waits from now on."""
        symbol, gross, largest = order.symbol, self._gross, self._largest
        quantity, price = self.projected(symbol), self.prices.get(symbol)
        waiting, committed = OpenOrder(order), self._committed
        self.orders[symbol] = (*self.orders.get(symbol, ()), waiting)
        needed = self._needed(waiting)
        self._committed = None if committed is None or needed is None else committed + needed
        value, total = _weight(order.quantity, price), self._unexecuted
        self._unexecuted = None if total is None or value is None else total + value
        if self._stakes is not None:
            self._stakes[symbol] = quantity + order.signed
        before, after = _weight(quantity, price), _weight(quantity + order.signed, price)
        self._gross = self._largest = None
        if gross is None or largest is None or before is None or after is None:
            return
        self._gross = gross - before + after
        if after >= before or before < largest:
            self._largest = max(largest, after)

    def update(self, waiting: OpenOrder, *, ended: bool) -> None:
        """Put what became of an open order in its place, or take it away when it has ended."""
        symbol, key = waiting.order.symbol, waiting.order.key
        kept = [waiting if one.order.key == key else one for one in self.orders[symbol]]
        group = tuple(one for one in kept if not (ended and one.order.key == key))
        if group:
            self.orders[symbol] = group
        else:
            del self.orders[symbol]
        self._gross = self._largest = self._committed = self._unexecuted = None
        self._stakes = None

    def mark(self, stretch: Stretch) -> None:
        """Take valuations; the newest of an earlier session, or week, opens the last one's."""
        ts, cash, values, contributed = stretch
        session, place = session_day(ts[-1]), len(ts) - 2
        while place >= 0 and session_day(ts[place]) == session:
            place -= 1
        last = self.last_mark
        if place >= 0:
            self.session_profit = cash + values[place] - contributed
        elif last is not None and session_day(last.ts) < session:
            self.session_profit = last.profit
        if last is None or week_of(session_day(last.ts)) < week_of(session):
            self._open_week(stretch, place, week_of(session))
        self.peak_profit = max(self.peak_profit, cash + max(values) - contributed)
        self.last_mark = Mark(ts[-1], cash, values[-1], contributed)

    def _open_week(self, stretch: Stretch, place: int, week: int) -> None:
        """Take the newest valuation of an earlier week, from the stretch or from before it."""
        ts, cash, values, contributed = stretch
        while place >= 0 and week_of(session_day(ts[place])) == week:
            place -= 1
        if place >= 0:
            self.week_profit = cash + values[place] - contributed
        elif self.last_mark is not None:
            self.week_profit = self.last_mark.profit

    def _has_stake(self, symbol: str) -> bool:
        return symbol in self._whole or symbol in self._part or symbol in self.orders

    def _needed(self, waiting: OpenOrder) -> int | None:
        if waiting.order.side != BUY:
            return 0
        price = self.prices.get(waiting.order.symbol)
        return None if price is None else notional(waiting.left, price)

    def _weigh(self) -> None:
        """Sum the positions as if open orders were filled; whole ones without an order quickly."""
        odd = {*self.orders, *self._part}
        whole = {s: n for s, n in self._whole.items() if s not in odd} if odd else self._whole
        try:
            values = list(map(abs, map(mul, whole.values(), map(self.prices.__getitem__, whole))))
        except KeyError:
            return
        parts = [self.exposure(symbol) for symbol in odd]
        values += [part for part in parts if part is not None]
        if None not in parts:
            self._gross, self._largest = sum(values), max(values, default=0)

    def _hold(self, symbol: str, quantity: int) -> None:
        whole, rest = divmod(quantity, NANOS)
        self._whole.pop(symbol, None)
        self._part.pop(symbol, None)
        if rest:
            self._part[symbol] = quantity
        elif whole:
            self._whole[symbol] = whole


def _weight(quantity: int, price: int | None) -> int | None:
    """Value a quantity without its sign, rounded up; None where it has no price."""
    if quantity == 0:
        return 0
    return None if price is None else -(-abs(quantity) * price // NANOS)


def opening_state(
    account: str,
    entries: Iterable[Entry],
    *,
    open_orders: Sequence[OpenOrder],
    marks: Sequence[Mark],
    prices: Mapping[str, int],
    now: int,
    halt: str | None,
    reducing: str | None = None,
    halted_since: int | None = None,
) -> TradingState:
    """Build the state to start or resume from; the only way to do it.

    now: the instant to decide at; the newest mark of an earlier session opens its session.
    """
    session = session_day(now)
    before = [mark for mark in marks if session_day(mark.ts) < session]
    weeks = [mark for mark in before if week_of(session_day(mark.ts)) < week_of(session)]
    portfolio, exits = folded(entries)
    return TradingState(
        account=account,
        portfolio=portfolio,
        open_orders=open_orders,
        prices=prices,
        last_mark=marks[-1] if marks else None,
        session_profit=before[-1].profit if before else 0,
        week_profit=weeks[-1].profit if weeks else 0,
        peak_profit=max([0, *(mark.profit for mark in marks)]),
        exits=exits,
        halt=halt,
        reducing=reducing,
        halted_since=halted_since,
    )


def folded(entries: Iterable[Entry]) -> tuple[Portfolio, Exits]:
    """Fold entries into a portfolio, and into how its positions ended."""
    portfolio, exits = Portfolio(), Exits()
    for entry in entries:
        before, portfolio = portfolio, apply(portfolio, entry)
        exits.note(before, portfolio, entry)
    return portfolio, exits
