"""The later rows of the table of rules: what each measures, and what may be.

Every measure gives an integer in the unit of its rule, rounded against the order, or None where it
cannot be computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.money import BPS, MICROS, NANOS
from algotrade.domain.orders import BUY, LIMIT, STOP, STOP_LIMIT
from algotrade.domain.rules import BOOK as BOOK_SCOPE
from algotrade.domain.rules import IF_UNKNOWN, LATER, LIVE, MODEL, UNKNOWN_TOO, Rule
from algotrade.domain.rules import ORDER as ORDER_SCOPE
from algotrade.domain.times import session_day
from algotrade.record import NamedTuple
from algotrade.trading.outlook import FULL_HISTORY, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from algotrade.domain.orders import Order
    from algotrade.domain.risk import Conditions, Limits
    from algotrade.trading.state import TradingState

    Measure: TypeAlias = Callable[["Asked"], int | None]

LARGEST_INTEGER = 2**63 - 1  # what a column of the store holds
CENT = 10_000  # micro-dollars
REDUCING_TIMES = 5  # R24: a reducing order may take so many times the part of volume
_TICKS = ((MICROS, CENT), (0, 100))  # from a dollar on whole cents, below it hundredths of them


class Asked(NamedTuple):
    """Everything that a measure reads.

    worst: the price that exposure is taken at; equity, weekly: None where not to be computed.
    reducing: the order only brings a position nearer to zero. order: None for the account.
    """

    order: Order | None
    state: TradingState
    limits: Limits
    conditions: Conditions
    worst: int | None
    equity: int | None
    weekly: int | None
    reducing: bool


def asked_rules(conditions: Conditions, *, has_order: bool) -> tuple[Rule, ...]:
    """Give the later rules that this account and this question can have; the others are n/a."""
    has_book = has_order or conditions.market is not None
    key = conditions.kind, has_order, has_book, conditions.model is not None
    found = _ASKED.get(key)
    if found is None:
        found = _ASKED[key] = tuple(rule for rule in LATER if _is_asked(rule, *key))
    return found


_ASKED: dict[tuple[str, bool, bool, bool], tuple[Rule, ...]] = {}


def _is_asked(rule: Rule, kind: str, has_order: bool, has_book: bool, has_model: bool) -> bool:  # noqa: FBT001
    if kind not in rule.where:
        return False
    if rule.scope == MODEL:
        return has_order and has_model
    if rule.scope == BOOK_SCOPE:
        return has_book
    return has_order or rule.scope != ORDER_SCOPE


def is_exempt(rule: Rule, value: int | None, asked: Asked) -> bool:
    """Tell whether this order may pass a rule that it fails."""
    if not asked.reducing or not rule.exempt:
        return False
    if rule.id == "R02":
        unknown = asked.conditions.around and asked.conditions.around.unknown
        return unknown is not None and asked.order is not None and asked.order.symbol not in unknown
    if value is None:
        return rule.reducing in (UNKNOWN_TOO, IF_UNKNOWN)
    return rule.reducing != IF_UNKNOWN


# ---- the order itself


def _duplicates(asked: Asked) -> int | None:
    rates, order = asked.conditions.rates, asked.order
    if rates is None or order is None:
        return None
    return rates.alike.count((order.side, order.quantity))


def _limit_distance(asked: Asked) -> int | None:
    """Give how far a limit price lies on the costly side of the price to trade at, in bps."""
    order = asked.order
    if order is None:
        return None
    if order.type not in (LIMIT, STOP_LIMIT) or order.limit_price is None:
        return 0
    base = asked.state.prices.get(order.symbol)
    if order.type == STOP_LIMIT:
        base = order.stop_price
    if not base or base < 0:
        return None
    far = order.limit_price - base if order.side == BUY else base - order.limit_price
    return max(0, -(-far * BPS // base))


def _form(asked: Asked) -> int | None:
    """Count what no market takes: sizes and prices that are not positive, missing or too large."""
    order = asked.order
    if order is None:
        return None
    wanted = {
        LIMIT: (order.limit_price,),
        STOP: (order.stop_price,),
        STOP_LIMIT: (order.limit_price, order.stop_price),
    }.get(order.type, ())
    numbers = (order.quantity, *wanted)
    faults = sum(n is None or not 0 < n <= LARGEST_INTEGER for n in numbers) + (not order.key)
    if asked.conditions.kind == LIVE:
        faults += sum(price is not None and _is_off_tick(price) for price in wanted)
    return faults


def _is_off_tick(price: int) -> bool:
    tick = next(tick for least, tick in _TICKS if price >= least)
    return price % tick != 0


def _restricted(asked: Asked) -> int | None:
    order, limits = asked.order, asked.limits
    if order is None:
        return None
    left_out = bool(limits.allowed) and order.symbol not in limits.allowed
    return (order.symbol in limits.restricted) + left_out


def _under_least(asked: Asked) -> int | None:
    price = asked.conditions.reference_price
    return None if price is None or price <= 0 else max(0, asked.limits.min_price - price)


def _opposite(asked: Asked) -> int | None:
    order = asked.order
    if order is None:
        return None
    waiting = asked.state.orders.get(order.symbol, ())
    return sum(one.order.side != order.side for one in waiting)


# ---- exposure that waits, and how often


def _unexecuted(asked: Asked) -> int | None:
    waiting, order, equity = asked.state.unexecuted(), asked.order, asked.equity
    if waiting is None or equity is None or equity <= 0:
        return None
    own = 0
    if order is not None:
        if asked.worst is None:
            return None
        own = -(-order.quantity * asked.worst // NANOS)
    return -(-(waiting + own) * BPS // equity)


def _rate(field: str) -> Measure:
    def measure(asked: Asked) -> int | None:
        rates = asked.conditions.rates
        if rates is None:
            return None
        placed: int = getattr(rates, field)
        return placed + (asked.order is not None)

    return measure


def _automated(asked: Asked) -> int | None:
    rates, order = asked.conditions.rates, asked.order
    if rates is None or order is None:
        return None
    return 0 if order.strategy == MANUAL else rates.strategy + 1


MANUAL = "manual"  # the strategy of orders that a person asks for


# ---- losses and exits


def _weekly(asked: Asked) -> int | None:
    return asked.weekly


def _losing_exits(asked: Asked) -> int | None:
    order = asked.order
    return None if order is None else asked.state.exits.losing(session_day(order.bar_ts))


def _cooldown(asked: Asked) -> int | None:
    """Give the sessions to wait still: the exit's own session is the first of them."""
    order = asked.order
    if order is None:
        return None
    ended = asked.state.exits.last.get(order.symbol)
    if ended is None:
        return 0
    passed = session_day(order.bar_ts) - session_day(ended)
    return max(0, asked.limits.cooldown_sessions - max(0, passed))


# ---- the market


def _fact(field: str) -> Measure:
    def measure(asked: Asked) -> int | None:
        market = asked.conditions.market
        found: int | None = None if market is None else getattr(market, field)
        return found

    return measure


def _after(asked: Asked) -> int:
    """Give the signed position as it would be, nano-shares."""
    order = asked.order
    return 0 if order is None else asked.state.projected(order.symbol) + order.signed


def _of_volume(quantity: int, asked: Asked) -> int | None:
    market = asked.conditions.market
    if market is None or not market.volume or market.volume < 0:
        return None
    return -(-quantity * BPS // market.volume)


def _order_of_volume(asked: Asked) -> int | None:
    return None if asked.order is None else _of_volume(asked.order.quantity, asked)


def _position_of_volume(asked: Asked) -> int | None:
    return _of_volume(abs(_after(asked)), asked)


def _losses_of_book(asked: Asked) -> tuple[int, ...] | None:
    """Give what the book as it would be would have earned on each known day, in cents."""
    market, price = asked.conditions.market, asked.conditions.reference_price
    if market is None:
        return None
    if asked.order is None:
        return market.others
    if price is None or price <= 0 or len(market.own) != len(market.others):
        return None
    value = _after(asked) * price // NANOS
    scale = MICROS * CENT
    return tuple(
        rest + value * move // scale for rest, move in zip(market.others, market.own, strict=True)
    )


def _at_risk(*, mean: bool) -> Measure:
    def measure(asked: Asked) -> int | None:
        earned, equity = _losses_of_book(asked), asked.equity
        if earned is None or equity is None or equity <= 0:
            return None
        lost = tail(earned, mean=mean)
        return None if lost is None else max(0, -(-lost * CENT * BPS // equity))

    return measure


# ---- the model and what is around the account


def _model(field: str) -> Measure:
    def measure(asked: Asked) -> int | None:
        model = asked.conditions.model
        found: int | None = None if model is None else getattr(model, field)
        return found

    return measure


def _around(field: str) -> Measure:
    def measure(asked: Asked) -> int | None:
        around = asked.conditions.around
        found = None if around is None else getattr(around, field)
        return len(found) if isinstance(found, tuple) else found

    return measure


def _reducing_only(asked: Asked) -> int | None:
    return int(asked.state.reducing is not None)


MEASURES: Mapping[str, Measure] = {
    "R01r": _reducing_only,
    "R02": _around("unknown"),
    "R03": _around("mismatches"),
    "R03a": _around("reconciled"),
    "R04": _duplicates,
    "R07l": _limit_distance,
    "R08": _form,
    "R09": _restricted,
    "R09p": _under_least,
    "R14": _unexecuted,
    "R15": _rate("minute"),
    "R15d": _rate("day"),
    "R15s": _rate("symbol"),
    "R16": _automated,
    "R17": _around("rejects"),
    "R20": _weekly,
    "R21": _losing_exits,
    "R21c": _cooldown,
    "R22": _fact("volatility"),
    "R22r": _fact("ratio"),
    "R23": _at_risk(mean=False),
    "R23e": _at_risk(mean=True),
    "R24": _order_of_volume,
    "R24p": _position_of_volume,
    "R26": _fact("faults"),
    "R27": _around("closed"),
    "R28": _around("clock_back"),
    "R28b": _around("broker_clock"),
    "R29": _model("unfit"),
    "R30": _model("age"),
    "R31": _model("wrong"),
    "R31c": _model("equal"),
    "R33": _opposite,
    "R34": _around("mismatched"),
    "R35": _around("disk_short"),
    "R35r": _around("reserve_missing"),
}


def bound_of(rule: Rule, asked: Asked) -> int:
    """Give what may be: the limit, 0 where nothing may, and the bounds that depend on the case."""
    if not rule.field:
        return 0
    bound: int = getattr(asked.limits, rule.field)
    if rule.id == "R24" and asked.reducing:
        return bound * REDUCING_TIMES
    if rule.scope == BOOK_SCOPE:
        market = asked.conditions.market
        if market is not None and len(market.others) < FULL_HISTORY:
            return bound // 2
    return bound
