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
    LETTER_OVERRIDDEN,
    LETTER_PASS,
    Conditions,
    Limits,
    RiskVerdict,
)
from algotrade.domain.rules import (
    FIRST,
    FIRST_IDS,
    HALT,
    NEVER_OVERRIDDEN,
    RULE,
    UNKNOWN_TOO,
)
from algotrade.trading.losses import halting_loss, losses_of, reducing_loss
from algotrade.trading.risk_rows import MEASURES, Asked, asked_rules, bound_of, is_exempt

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from algotrade.trading.losses import Losses
    from algotrade.trading.state import TradingState

    Looked: TypeAlias = tuple[tuple[str, ...], tuple[int | None, ...], tuple[int, ...], str]

_SHORT = FIRST_IDS.index("R13")
_ALL_PASS = LETTER_PASS * len(FIRST)
_RATES = ("R04", "R15", "R15d", "R15s")  # whose refusals tell of a runaway


def check_order(
    order: Order | None,
    state: TradingState,
    limits: Limits,
    conditions: Conditions,
    overrides: tuple[str, ...] = (),
) -> RiskVerdict:
    """Check one order, or with None the account as it stands; every breach is listed.

    overrides: ids of rules that a person lets this order pass; those of NEVER_OVERRIDDEN stay.
    """
    losses = losses_of(state)
    ids, values, bounds, letters = _looked_at(order, state, limits, conditions, losses, overrides)
    halt, reduce = halting_loss(losses, limits), None
    if limits.complete:
        if halt is None and state.halt is None:  # what has halted is told once
            halt = _halting_row(ids, values, bounds, letters, limits, conditions)
        reduce = None if halt else _reducing_cause(state, losses, limits, conditions)
    largest = None
    if order is not None and (halt is not None or LETTER_FAIL in letters):
        # a halting account places nothing
        asked = order, state, limits, conditions, losses, overrides
        largest = 0 if halt is not None else _largest(*asked)
    return RiskVerdict(ids, values, bounds, letters, largest, halt, reduce)


def _looked_at(
    order: Order | None,
    state: TradingState,
    limits: Limits,
    conditions: Conditions,
    losses: Losses,
    overrides: tuple[str, ...],
) -> Looked:
    """Give id, value, bound and letter of every check that is made."""
    worst = _worst_price(conditions, limits)
    equity = state.equity
    values: tuple[int | None, ...] = (
        len(conditions.halts) + bool(state.halt),
        *_order_values(order, state, conditions, worst),
        *_exposure_values(order, state, limits, worst, equity),
        *losses[:2],
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
    looked: Looked = FIRST_IDS, values, bounds, letters
    if limits.complete:
        reducing = order is not None and is_reducing(order, state)
        asked = Asked(order, state, limits, conditions, worst, equity, losses[2], reducing)
        looked = _with_later(looked, asked)
    return _overridden(looked, overrides) if overrides else looked


def _with_later(looked: Looked, asked: Asked) -> Looked:
    """Add the later rows of the table."""
    rules = asked_rules(asked.conditions, has_order=asked.order is not None)
    values = tuple([MEASURES[rule.id](asked) for rule in rules])
    bounds = tuple([bound_of(rule, asked) for rule in rules])
    letters = "".join(
        [
            LETTER_PASS
            if value is not None and value <= bound
            else LETTER_EXEMPT
            if is_exempt(rule, value, asked)
            else LETTER_FAIL
            for rule, value, bound in zip(rules, values, bounds, strict=True)
        ]
    )
    ids = (*looked[0], *(rule.id for rule in rules))
    return ids, (*looked[1], *values), (*looked[2], *bounds), looked[3] + letters


def _overridden(looked: Looked, overrides: tuple[str, ...]) -> Looked:
    ids, values, bounds, letters = looked
    free = frozenset(overrides) - NEVER_OVERRIDDEN
    changed = "".join(
        LETTER_OVERRIDDEN if letter == LETTER_FAIL and rule_id in free else letter
        for rule_id, letter in zip(ids, letters, strict=True)
    )
    return ids, values, bounds, changed


def _letters(values: tuple[int | None, ...], bounds: tuple[int, ...], reducing: bool) -> str:  # noqa: FBT001
    """Give the letter of each of the first rules."""
    return "".join(
        LETTER_PASS
        if value is not None and value <= bound
        else LETTER_EXEMPT
        if reducing and rule.exempt and (value is not None or rule.reducing == UNKNOWN_TOO)
        else LETTER_FAIL
        for rule, value, bound in zip(FIRST, values, bounds, strict=True)
    )


def is_reducing(order: Order, state: TradingState) -> bool:
    """Tell whether the order only brings the position nearer to zero."""
    projected = state.projected(order.symbol)
    return projected * order.signed < 0 and abs(order.signed) <= abs(projected)


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


def _halting_row(
    ids: tuple[str, ...],
    values: tuple[int | None, ...],
    bounds: tuple[int, ...],
    letters: str,
    limits: Limits,
    conditions: Conditions,
) -> str | None:
    """Give the row besides the losses for which trading must stop, or None."""
    storm = False
    for rule_id, value, bound, letter in zip(ids, values, bounds, letters, strict=True):
        if letter != LETTER_FAIL:
            continue
        storm = storm or rule_id in _RATES
        rule = RULE[rule_id]
        if rule.kind == HALT and value is not None:
            return f"{rule_id} {rule.name} {value} over {bound}"
    before = conditions.rates.breaches if conditions.rates is not None else 0
    if storm and before + 1 >= limits.rate_breaches_halt:
        return f"R15 order rate: {before + 1} orders refused by R04 or R15 in one day"
    return None


def _reducing_cause(
    state: TradingState, losses: Losses, limits: Limits, conditions: Conditions
) -> str | None:
    """Give why only reducing orders may pass from now on, where that is new."""
    unknown = conditions.around.unknown if conditions.around is not None else None
    if unknown and state.reducing is None and state.halt is None:
        return f"R02 unknown orders {len(unknown)} over 0"
    return reducing_loss(state, losses, limits)


def _gross_without(state: TradingState, symbol: str) -> int | None:
    gross, own = state.gross, state.exposure(symbol)
    return None if gross is None or own is None else gross - own


def _cash_after(order: Order | None, state: TradingState, worst: int | None) -> int | None:
    committed = state.committed()
    own = _value(order.quantity, worst) if order is not None and order.side == BUY else 0
    owed = max(0, -state.portfolio.cash)
    return None if committed is None or own is None else committed + own + owed


def _largest(
    order: Order,
    state: TradingState,
    limits: Limits,
    conditions: Conditions,
    losses: Losses,
    overrides: tuple[str, ...],
) -> int:
    """Give the largest quantity of this order that would pass, nano-shares; 0 where none does."""

    def passes(quantity: int) -> bool:
        other = order._replace(quantity=quantity)
        looked = _looked_at(other, state, limits, conditions, losses, overrides)
        return LETTER_FAIL not in looked[3]

    projected = state.projected(order.symbol)
    reduces = abs(projected) if projected * order.signed < 0 else 0
    may_add = order.side == BUY or limits.allow_short
    adds = _room(order, state, limits, conditions) if may_add else 0
    for quantity in sorted({reduces, adds} - {0}, reverse=True):
        if passes(quantity):
            return quantity
    return _halved(max(reduces, adds), passes) if limits.complete else 0


def _halved(most: int, passes: Callable[[int], bool]) -> int:
    """Find by halving the largest quantity that passes, where what lies under one that does, does.

    So it is with waiting orders and volume; a hedge may let more pass of the loss of a book.
    """
    if most == 0 or not passes(1):
        return 0
    least = 1
    while most - least > 1:
        middle = (least + most) // 2
        if passes(middle):
            least = middle
        else:
            most = middle
    return least


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
