"""Risk: every limit looked at, with numbers; what cannot be computed is refused.

The ids are those of docs/risk.md. Exposure is taken at the worst price the collar allows, and
counts open orders as if they were filled.
"""

from __future__ import annotations

from operator import le
from typing import TYPE_CHECKING

from algotrade.domain.money import BPS, NANOS
from algotrade.domain.orders import BUY, Order
from algotrade.domain.risk import (
    LETTER_EXEMPT,
    LETTER_FAIL,
    LETTER_NA,
    LETTER_PASS,
    RULE_IDS,
    RULES,
    Conditions,
    Limits,
    RiskVerdict,
)

if TYPE_CHECKING:
    from typing import TypeAlias

    from algotrade.trading.state import TradingState

    Losses: TypeAlias = tuple[int | None, int | None]

_SHORT = RULE_IDS.index("R13")
_ALL_PASS = LETTER_PASS * len(RULES)


def check_order(
    order: Order | None, state: TradingState, limits: Limits, conditions: Conditions
) -> RiskVerdict:
    """Check one order, or with None the account as it stands; every breach is listed."""
    losses = _losses(state)
    halt = _halting(losses, limits)
    values, bounds, letters = _looked_at(order, state, limits, conditions, losses)
    largest = None
    if order is not None and (halt is not None or LETTER_FAIL in letters):
        # a halting account places nothing
        largest = 0 if halt is not None else _largest(order, state, limits, conditions, losses)
    return RiskVerdict(RULE_IDS, values, bounds, letters, largest, halt)


def _looked_at(
    order: Order | None,
    state: TradingState,
    limits: Limits,
    conditions: Conditions,
    losses: Losses,
) -> tuple[tuple[int | None, ...], tuple[int, ...], str]:
    """Give value, bound and letter of each of RULES."""
    worst = _worst_price(conditions, limits)
    equity = state.equity
    values: tuple[int | None, ...] = (
        len(conditions.halts) + bool(state.halt),
        *_order_values(order, state, conditions, worst),
        *_exposure_values(order, state, limits, worst, equity),
        *losses,
        conditions.stale_sessions,
    )
    bounds = (
        0,
        min(limits.max_order_notional, _share_of(equity, limits.max_order_equity_bps)),
        limits.max_order_quantity,
        limits.price_collar_bps,
        limits.max_position_bps,
        limits.max_gross_bps,
        max(0, state.portfolio.cash),
        0,
        limits.daily_loss_reduce_bps,
        limits.drawdown_halt_bps,
        limits.max_stale_sessions,
    )
    known = [value for value in values if value is not None]
    if len(known) == len(values) and all(map(le, known, bounds)):
        letters = _ALL_PASS
    else:
        letters = _letters(values, bounds, order is not None and is_reducing(order, state))
    if limits.allow_short:  # R10 and R12 bound what is sold short
        letters = f"{letters[:_SHORT]}{LETTER_NA}{letters[_SHORT + 1 :]}"
    return values, bounds, letters


def _letters(values: tuple[int | None, ...], bounds: tuple[int, ...], reducing: bool) -> str:  # noqa: FBT001
    """Give the letter of each of RULES."""
    return "".join(
        LETTER_PASS
        if value is not None and value <= bound
        else LETTER_EXEMPT
        if reducing and rule.exempt and value is not None
        else LETTER_FAIL
        for rule, value, bound in zip(RULES, values, bounds, strict=True)
    )


def halting_loss(state: TradingState, limits: Limits) -> str | None:
    """Give the loss for which trading must stop for good, or None."""
    return _halting(_losses(state), limits)


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


def _order_values(
    order: Order | None, state: TradingState, conditions: Conditions, worst: int | None
) -> tuple[int | None, int, int | None]:
    """Give value and quantity of the order, and how far its price lies from the last close."""
    if order is None:
        return 0, 0, 0
    return _value(order.quantity, worst), order.quantity, _collar(order, state, conditions)


def _collar(order: Order, state: TradingState, conditions: Conditions) -> int | None:
    """Give how far the price to trade at lies from the last close, in bps rounded up."""
    last, price = state.prices.get(order.symbol), conditions.reference_price
    if not last or price is None:
        return None
    return -(-abs(price - last) * BPS // last)


def _exposure_values(
    order: Order | None,
    state: TradingState,
    limits: Limits,
    worst: int | None,
    equity: int | None,
) -> tuple[int | None, int | None, int | None, int | None]:
    """Give position, gross exposure, cash needed and shares sold short, after the order."""
    short = None if limits.allow_short else 0
    if order is None:
        position, gross = state.largest, state.gross
    else:
        after = state.projected(order.symbol) + order.signed
        position = _value(after, worst)
        others = _gross_without(state, order.symbol)
        gross = None if others is None or position is None else others + position
        if order.side != BUY and not limits.allow_short:
            short = max(0, -after)
    return (
        _bps_of_equity(position, equity),
        _bps_of_equity(gross, equity),
        _cash_after(order, state, worst),
        short,
    )


def _losses(state: TradingState) -> Losses:
    """Give the loss of the running session and from the highest mark, in bps."""
    profit, contributed = state.profit, state.portfolio.contributed
    return (
        loss_bps(profit, state.session_profit, contributed),
        loss_bps(profit, state.peak_profit, contributed),
    )


def _halting(losses: Losses, limits: Limits) -> str | None:
    daily, drawdown = losses
    if daily is not None and daily > limits.daily_loss_halt_bps:
        return f"R18 daily loss {daily} bps over {limits.daily_loss_halt_bps}"
    if drawdown is not None and drawdown > limits.drawdown_halt_bps:
        return f"R19 drawdown {drawdown} bps over {limits.drawdown_halt_bps}"
    return None


def _gross_without(state: TradingState, symbol: str) -> int | None:
    gross, own = state.gross, state.exposure(symbol)
    return None if gross is None or own is None else gross - own


def _cash_after(order: Order | None, state: TradingState, worst: int | None) -> int | None:
    committed = state.committed()
    own = _value(order.quantity, worst) if order is not None and order.side == BUY else 0
    owed = max(0, -state.portfolio.cash)
    return None if committed is None or own is None else committed + own + owed


def _largest(
    order: Order, state: TradingState, limits: Limits, conditions: Conditions, losses: Losses
) -> int:
    """Give the largest quantity of this order that would pass, nano-shares; 0 where none does."""
    projected = state.projected(order.symbol)
    reduces = abs(projected) if projected * order.signed < 0 else 0
    may_add = order.side == BUY or limits.allow_short
    adds = _room(order, state, limits, conditions) if may_add else 0
    for quantity in sorted({reduces, adds} - {0}, reverse=True):
        other = order._replace(quantity=quantity)
        if LETTER_FAIL not in _looked_at(other, state, limits, conditions, losses)[2]:
            return quantity
    return 0


def _room(order: Order, state: TradingState, limits: Limits, conditions: Conditions) -> int:
    """Give the largest order of this side that every limit on size allows; at least 0."""
    worst = _worst_price(conditions, limits)
    committed = state.committed()
    others = _gross_without(state, order.symbol)
    equity = state.equity
    if worst is None or committed is None or others is None or equity is None:
        return 0
    buying = order.side == BUY
    against = -state.projected(order.symbol) if buying else state.projected(order.symbol)
    value = min(limits.max_order_notional, _share_of(equity, limits.max_order_equity_bps))
    room = min(
        value * NANOS // worst,
        limits.max_order_quantity,
        _share_of(equity, limits.max_position_bps) * NANOS // worst + against,
        (_share_of(equity, limits.max_gross_bps) - others) * NANOS // worst + against,
    )
    if buying:
        room = min(room, (max(0, state.portfolio.cash) - committed) * NANOS // worst)
    return max(0, room)
