"""Risk: every limit looked at, with numbers; what cannot be computed is refused.

The ids are those of docs/risk.md. Exposure is taken at the worst price the collar allows, and
counts open orders as if they were filled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade.domain.money import BPS, NANOS
from algotrade.domain.orders import BUY, Order
from algotrade.domain.risk import EXEMPT, FAIL, PASS, Check, Conditions, Limits, RiskVerdict

if TYPE_CHECKING:
    from algotrade.trading.state import TradingState


def check_order(
    order: Order | None, state: TradingState, limits: Limits, conditions: Conditions
) -> RiskVerdict:
    """Check one order, or with None the account as it stands; every breach is listed."""
    halt = _halting(state, limits)
    largest = 0  # a halting account places nothing
    if order is not None and halt is None:
        largest = _largest(order, state, limits, conditions)
    return RiskVerdict(
        checks=_checks(order, state, limits, conditions), max_quantity=largest, halt=halt
    )


def _checks(
    order: Order | None, state: TradingState, limits: Limits, conditions: Conditions
) -> tuple[Check, ...]:
    reducing = order is not None and is_reducing(order, state)
    return (
        *_order_checks(order, state, limits, conditions, reducing=reducing),
        *_exposure_checks(order, state, limits, conditions, reducing=reducing),
        *_account_checks(state, limits, conditions, reducing=reducing),
    )


def is_reducing(order: Order, state: TradingState) -> bool:
    """Tell whether the order only brings the position nearer to zero."""
    projected = state.projected(order.symbol)
    return projected * order.signed < 0 and abs(order.signed) <= abs(projected)


def loss_bps(profit: int | None, reference: int, contributed: int) -> int | None:
    """Give how far profit lies under a reference, in bps of the equity then; rounded up.

    None where it cannot be computed: a price is missing or the equity then was not positive.
    """
    base = contributed + reference
    if profit is None or base <= 0:
        return None
    return max(0, -(-(reference - profit) * BPS // base))


def _check(
    check_id: str, name: str, unit: str, value: int | None, limit: int, *, exempt: bool = False
) -> Check:
    failed = value is None or value > limit
    status = PASS if not failed else EXEMPT if exempt and value is not None else FAIL
    return Check(id=check_id, name=name, unit=unit, value=value, limit=limit, status=status)


def _worst_price(conditions: Conditions, limits: Limits) -> int | None:
    price = conditions.reference_price
    return (
        None if price is None or price <= 0 else -(-price * (BPS + limits.price_collar_bps) // BPS)
    )


def _value(quantity: int, price: int | None) -> int | None:
    """Value a quantity, rounded up, so that a limit is never passed by rounding."""
    if quantity == 0:
        return 0
    return None if price is None else -(-abs(quantity) * price // NANOS)


def _bps_of_equity(value: int | None, equity: int | None) -> int | None:
    if value is None or equity is None or equity <= 0:
        return None
    return -(-value * BPS // equity)


def _share_of(equity: int | None, bps: int) -> int:
    return 0 if equity is None else max(0, equity * bps // BPS)


def _order_checks(
    order: Order | None,
    state: TradingState,
    limits: Limits,
    conditions: Conditions,
    *,
    reducing: bool,
) -> tuple[Check, ...]:
    quantity = order.quantity if order else 0
    allowed = min(limits.max_order_notional, _share_of(state.equity, limits.max_order_equity_bps))
    cost = _value(quantity, _worst_price(conditions, limits))
    return (
        _check("R01", "halts", "halts", len(conditions.halts) + bool(state.halt), 0),
        _check("R05", "order value", "usd", cost, allowed, exempt=reducing),
        _check(
            "R06", "order quantity", "shares", quantity, limits.max_order_quantity, exempt=reducing
        ),
        _check(
            "R07", "price collar", "bps", _collar(order, state, conditions), limits.price_collar_bps
        ),
    )


def _collar(order: Order | None, state: TradingState, conditions: Conditions) -> int | None:
    """Give how far the price to trade at lies from the last close, in bps rounded up."""
    if order is None:
        return 0
    last, price = state.prices.get(order.symbol), conditions.reference_price
    if not last or price is None:
        return None
    return -(-abs(price - last) * BPS // last)


def _exposure_checks(
    order: Order | None,
    state: TradingState,
    limits: Limits,
    conditions: Conditions,
    *,
    reducing: bool,
) -> tuple[Check, ...]:
    worst = _worst_price(conditions, limits)
    equity = state.equity
    position = _position_after(order, state, worst)
    gross = _gross_after(order, state, worst)
    needed = _cash_after(order, state, worst)
    short = 0
    if order is not None and order.side != BUY:
        short = max(0, -(state.projected(order.symbol) + order.signed))
    return (
        _check(
            "R10",
            "position",
            "bps",
            _bps_of_equity(position, equity),
            limits.max_position_bps,
            exempt=reducing,
        ),
        _check(
            "R12",
            "gross exposure",
            "bps",
            _bps_of_equity(gross, equity),
            limits.max_gross_bps,
            exempt=reducing,
        ),
        _check("R12c", "cash needed", "usd", needed, max(0, state.portfolio.cash), exempt=reducing),
        _check("R13", "sold short", "shares", short, 0),
    )


def _account_checks(
    state: TradingState, limits: Limits, conditions: Conditions, *, reducing: bool
) -> tuple[Check, ...]:
    contributed = state.portfolio.contributed
    return (
        _check(
            "R18",
            "daily loss",
            "bps",
            loss_bps(state.profit, state.session_profit, contributed),
            limits.daily_loss_reduce_bps,
            exempt=reducing,
        ),
        _check(
            "R19",
            "drawdown",
            "bps",
            loss_bps(state.profit, state.peak_profit, contributed),
            limits.drawdown_halt_bps,
            exempt=reducing,
        ),
        _check(
            "R25",
            "sessions without data",
            "sessions",
            conditions.stale_sessions,
            limits.max_stale_sessions,
            exempt=reducing,
        ),
    )


def _halting(state: TradingState, limits: Limits) -> str | None:
    contributed = state.portfolio.contributed
    daily = loss_bps(state.profit, state.session_profit, contributed)
    if daily is not None and daily > limits.daily_loss_halt_bps:
        return f"R18 daily loss {daily} bps over {limits.daily_loss_halt_bps}"
    drawdown = loss_bps(state.profit, state.peak_profit, contributed)
    if drawdown is not None and drawdown > limits.drawdown_halt_bps:
        return f"R19 drawdown {drawdown} bps over {limits.drawdown_halt_bps}"
    return None


def _position_after(order: Order | None, state: TradingState, worst: int | None) -> int | None:
    """Value the largest position, or with an order the one it leads to."""
    if order is not None:
        return _value(state.projected(order.symbol) + order.signed, worst)
    values = [_value(state.projected(s), state.prices.get(s)) for s in _staked(state)]
    return None if None in values else max((v for v in values if v is not None), default=0)


def _gross_after(order: Order | None, state: TradingState, worst: int | None) -> int | None:
    others = _gross_without(state, order.symbol if order else None)
    own = _value(state.projected(order.symbol) + order.signed, worst) if order else 0
    return None if others is None or own is None else others + own


def _gross_without(state: TradingState, symbol: str | None) -> int | None:
    total = 0
    for other in sorted(_staked(state) - {symbol or ""}):
        value = _value(state.projected(other), state.prices.get(other))
        if value is None:
            return None
        total += value
    return total


def _staked(state: TradingState) -> set[str]:
    return {*state.portfolio.positions, *(order.symbol for order in state.open_orders)}


def _cash_after(order: Order | None, state: TradingState, worst: int | None) -> int | None:
    committed = state.committed()
    own = _value(order.quantity, worst) if order is not None and order.side == BUY else 0
    owed = max(0, -state.portfolio.cash)
    return None if committed is None or own is None else committed + own + owed


def _largest(order: Order, state: TradingState, limits: Limits, conditions: Conditions) -> int:
    """Give the largest quantity of this order that would pass, nano-shares; 0 where none does."""
    projected = state.projected(order.symbol)
    reduces = abs(projected) if projected * order.signed < 0 else 0
    adds = _room(order.symbol, state, limits, conditions) if order.side == BUY else 0
    for quantity in sorted({reduces, adds} - {0}, reverse=True):
        checks = _checks(replace(order, quantity=quantity), state, limits, conditions)
        if all(check.status != FAIL for check in checks):
            return quantity
    return 0


def _room(symbol: str, state: TradingState, limits: Limits, conditions: Conditions) -> int:
    """Give the largest purchase that every limit on size allows, nano-shares; at least 0."""
    worst = _worst_price(conditions, limits)
    committed = state.committed()
    others = _gross_without(state, symbol)
    equity = state.equity
    if worst is None or committed is None or others is None or equity is None:
        return 0
    projected = state.projected(symbol)
    value = min(limits.max_order_notional, _share_of(equity, limits.max_order_equity_bps))
    room = min(
        value * NANOS // worst,
        limits.max_order_quantity,
        _share_of(equity, limits.max_position_bps) * NANOS // worst - projected,
        (_share_of(equity, limits.max_gross_bps) - others) * NANOS // worst - projected,
        (max(0, state.portfolio.cash) - committed) * NANOS // worst,
    )
    return max(0, room)
