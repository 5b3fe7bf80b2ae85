"""Holdings: what the ledger says is held, at the newest prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.money import notional
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.domain.ledger import Portfolio


class Price(NamedTuple):
    """The newest price of a symbol, micro-dollars, and when it was known."""

    price: int
    ts: int


class Holding(NamedTuple):
    """One position; money in micro-dollars, value and unrealised None without a price."""

    symbol: str
    quantity: int
    avg_cost: int
    cost: int
    last: Price | None
    value: int | None
    unrealised: int | None


class Valuation(NamedTuple):
    """The whole account; total and unrealised are None where a price is missing."""

    portfolio: Portfolio
    holdings: tuple[Holding, ...]
    total: int | None
    unrealised: int | None


def value_portfolio(portfolio: Portfolio, prices: Mapping[str, Price]) -> Valuation:
    """Value every position at its newest price."""
    holdings = []
    for symbol, position in sorted(portfolio.positions.items()):
        last = prices.get(symbol)
        value = notional(position.quantity, last.price) if last else None
        holdings.append(
            Holding(
                symbol=symbol,
                quantity=position.quantity,
                avg_cost=position.avg_cost,
                cost=position.cost,
                last=last,
                value=value,
                unrealised=None if value is None else value - position.cost,
            )
        )
    values = [holding.value for holding in holdings if holding.value is not None]
    complete = len(values) == len(holdings)
    held = sum(values)
    cost = sum(holding.cost for holding in holdings)
    return Valuation(
        portfolio=portfolio,
        holdings=tuple(holdings),
        total=portfolio.cash + held if complete else None,
        unrealised=held - cost if complete else None,
    )
