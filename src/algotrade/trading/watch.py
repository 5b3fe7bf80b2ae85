"""One look at an account in a moving market: what it is worth, and how grave that is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.money import notional
from algotrade.domain.risk import FAIL, Check, RiskVerdict
from algotrade.record import NamedTuple
from algotrade.trading.losses import warnings
from algotrade.trading.market_conditions import market_checks
from algotrade.trading.risk import check_order

if TYPE_CHECKING:
    from algotrade.domain.live import LivePrice
    from algotrade.domain.risk import Conditions, Limits
    from algotrade.trading.market_conditions import MarketLimits, MarketView
    from algotrade.trading.state import TradingState

# how grave a look is, mildest first; the last two stop trading
LEVELS = ("ok", "warning", "data", "breach", "halting", "halted")
OK, WARNING, DATA, BREACH, HALTING, HALTED = LEVELS
_HALT_RULE = "R01"
_DATA_RULES = ("R25", "M01")


class Marked(NamedTuple):
    """A position at the newest price; value and unrealised None without one. now - ts is its age.

    Money in micro-dollars, quantity in signed nano-shares.
    """

    symbol: str
    quantity: int
    price: LivePrice | None
    value: int | None
    unrealised: int | None


class Look(NamedTuple):
    """What one look saw.

    level: how grave; causes: why, in words. warnings: losses over the limits that only warn.
    halt: what must halt trading now, reduce: what must leave only reducing orders, each where it
    is not so already.
    """

    now: int
    account: str
    equity: int | None
    profit: int | None
    positions: tuple[Marked, ...]
    verdict: RiskVerdict
    market: tuple[Check, ...]
    warnings: tuple[Check, ...]
    level: str
    causes: tuple[str, ...]
    halt: str | None
    reduce: str | None


def look(
    state: TradingState,
    limits: Limits,
    conditions: Conditions,
    view: MarketView,
    market_limits: MarketLimits,
) -> Look:
    """Mark the state at the view's prices, then check limits and market; the state is repriced."""
    state.reprice({name: price.price for name, price in view.prices.items()})
    verdict = check_order(None, state, limits, conditions)
    market = market_checks(view, market_limits)
    warned = warnings(state, limits)
    failed = (*(one for one in market if one.status == FAIL), *warned)
    level, causes = _weigh(state, verdict, failed, conditions.halts)
    free = level != HALTED and state.reducing is None
    return Look(
        now=view.now,
        account=state.account,
        equity=state.equity,
        profit=state.profit,
        positions=_marked(state, view),
        verdict=verdict,
        market=market,
        warnings=warned,
        level=level,
        causes=causes,
        halt=verdict.halt if level == HALTING else None,
        reduce=verdict.reduce if free and level != HALTING else None,
    )


def told_check(check: Check) -> str:
    """Tell a failed check in words: R18 daily loss 250 bps over 200."""
    if check.value is None:
        return f"{check.id} {check.name} cannot be computed"
    return f"{check.id} {check.name} {check.value} {check.unit} over {check.limit}"


def _weigh(
    state: TradingState,
    verdict: RiskVerdict,
    mild: tuple[Check, ...],
    outside: tuple[str, ...],
) -> tuple[str, tuple[str, ...]]:
    """Give the gravest level and every cause, the gravest first."""
    found: list[tuple[str, str]] = []
    stands = (*((f"ledger: {state.halt}",) if state.halt else ()), *outside)
    found += [(HALTED, where) for where in stands]
    if verdict.halt is not None:
        found.append((BREACH if stands else HALTING, verdict.halt))
    found += [(_level_of(one), told_check(one)) for one in verdict.breaches if one.id != _HALT_RULE]
    found += [(DATA if _is_of_data(one) else WARNING, told_check(one)) for one in mild]
    found.sort(key=lambda one: -LEVELS.index(one[0]))
    return (found[0][0] if found else OK), tuple(dict.fromkeys(cause for _, cause in found))


def _level_of(check: Check) -> str:
    return DATA if _is_of_data(check) else BREACH


def _is_of_data(check: Check) -> bool:
    return check.value is None or check.id in _DATA_RULES


def _marked(state: TradingState, view: MarketView) -> tuple[Marked, ...]:
    marked = []
    for symbol, position in sorted(state.portfolio.positions.items()):
        price = view.prices.get(symbol)
        value = notional(position.quantity, price.price) if price else None
        unrealised = None if value is None else value - position.cost
        marked.append(Marked(symbol, position.quantity, price, value, unrealised))
    return tuple(marked)
