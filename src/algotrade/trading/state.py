"""The state a decision sees: the folded ledger, open orders, prices, profits, halts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from algotrade.domain.ledger import Entry, Mark, Portfolio, replay
from algotrade.domain.money import notional
from algotrade.domain.orders import BUY, Order
from algotrade.domain.times import session_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingState:
    """One account at one moment.

    prices: newest price of each symbol in today's share basis, micro-dollars.
    last_mark: the newest valuation; session_profit: profit when the running session began.
    peak_profit: highest profit at any mark, never below 0. halt: why trading is halted, if it is.
    """

    account: str
    portfolio: Portfolio = field(default_factory=Portfolio)
    open_orders: tuple[Order, ...] = ()
    prices: Mapping[str, int] = field(default_factory=dict)
    last_mark: Mark | None = None
    session_profit: int = 0
    peak_profit: int = 0
    halt: str | None = None

    def position_value(self, symbol: str) -> int | None:
        """Value what is held of a symbol, or None where it has no price."""
        quantity = self.portfolio.held(symbol)
        if quantity == 0:
            return 0
        price = self.prices.get(symbol)
        return None if price is None else notional(quantity, price)

    @property
    def equity(self) -> int | None:
        """Give cash and positions at the newest prices, or None where a price is missing."""
        total = self.portfolio.cash
        for symbol in self.portfolio.positions:
            value = self.position_value(symbol)
            if value is None:
                return None
            total += value
        return total

    @property
    def profit(self) -> int | None:
        """Give equity less contributions, or None where a price is missing."""
        equity = self.equity
        return None if equity is None else equity - self.portfolio.contributed

    def working(self, symbol: str, side: str) -> int:
        """Give the open quantity of one side, positive, nano-shares."""
        return sum(
            order.quantity
            for order in self.open_orders
            if order.symbol == symbol and order.side == side
        )

    def projected(self, symbol: str) -> int:
        """Give the signed position once every open order is filled."""
        open_signed = sum(o.signed for o in self.open_orders if o.symbol == symbol)
        return self.portfolio.held(symbol) + open_signed

    def committed(self) -> int | None:
        """Give the cash that open buys will need at the newest prices; None without a price."""
        total = 0
        for order in self.open_orders:
            if order.side == BUY:
                price = self.prices.get(order.symbol)
                if price is None:
                    return None
                total += notional(order.quantity, price)
        return total

    def at_mark(self, mark: Mark) -> TradingState:
        """Give the state once `mark` is taken; the mark before it may have closed a session."""
        last = self.last_mark
        new_session = last is not None and session_day(last.ts) < session_day(mark.ts)
        return replace(
            self,
            last_mark=mark,
            session_profit=last.profit if last and new_session else self.session_profit,
            peak_profit=max(self.peak_profit, mark.profit),
        )


def opening_state(
    account: str,
    entries: Iterable[Entry],
    *,
    open_orders: Sequence[Order],
    marks: Sequence[Mark],
    prices: Mapping[str, int],
    now: int,
    halt: str | None,
) -> TradingState:
    """Build the state to start or resume from; the only way to do it.

    now: the instant to decide at; the newest mark of an earlier session opens its session.
    """
    before = [mark for mark in marks if session_day(mark.ts) < session_day(now)]
    return TradingState(
        account=account,
        portfolio=replay(entries),
        open_orders=tuple(open_orders),
        prices=prices,
        last_mark=marks[-1] if marks else None,
        session_profit=before[-1].profit if before else 0,
        peak_profit=max([0, *(mark.profit for mark in marks)]),
        halt=halt,
    )
