"""A table of cases: for every rule its bound, and what makes a scene in which it has a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from algotrade.domain.orders import LIMIT, STOP_LIMIT, Order
from algotrade.domain.risk import (
    Check,
    Conditions,
    Limits,
    MarketFacts,
    ModelFacts,
    Rates,
    RiskVerdict,
    Surroundings,
)
from algotrade.domain.rules import LIVE
from algotrade.trading.risk import check_order
from algotrade.trading.state import TradingState, folded
from builders import DOLLAR, SHARE, WIDE, bought, closes, deposit, opens, order, replace, state

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.domain.ledger import Entry

COMPLETE = replace(WIDE, complete=True)
HUGE = 2**80
CALM_DAYS = (0,) * 250
CALM = Conditions(
    now=closes(0),
    reference_price=100 * DOLLAR,
    kind=LIVE,
    rates=Rates(),
    market=MarketFacts(10**6 * SHARE, 2_000, 100, 0, CALM_DAYS, CALM_DAYS),
    model=ModelFacts(0, 1, 0, 1),
    around=Surroundings(0, 0, 0, (), 0, 1, 0, 0, 0, 0),
)


class Scene(NamedTuple):
    """What one check is asked: an order of 10 shares at 100 dollars, for 100,000 dollars."""

    order: Order | None
    state: TradingState
    limits: Limits
    conditions: Conditions

    def verdict(self, overrides: tuple[str, ...] = ()) -> RiskVerdict:
        return check_order(self.order, self.state, self.limits, self.conditions, overrides)

    def check(self, rule_id: str) -> Check:
        return next(one for one in self.verdict().checks if one.id == rule_id)


def scene(**changes: Any) -> Scene:  # noqa: ANN401  its own fields
    now = Scene(order("buy", 10 * SHARE), state(deposit()), COMPLETE, CALM)
    return now._replace(**changes)


def typed(kind: str, *, side: str = "buy", **prices: int) -> Order:
    return replace(order(side), type=kind, **prices)


def rates(field: str) -> Callable[[int | None], Scene]:
    """This order counts as one more than were placed."""

    def made(value: int | None) -> Scene:
        known = None if value is None else replace(CALM.rates, **{field: value - 1})
        return scene(conditions=CALM._replace(rates=known))

    return made


def part(name: str, field: str) -> Callable[[int | None], Scene]:
    def made(value: int | None) -> Scene:
        known = replace(getattr(CALM, name), **{field: value})
        return scene(conditions=CALM._replace(**{name: known}))

    return made


def worth(value: int | None, **limits: int) -> Scene:
    """An order of so many micro-dollars at the worst price, 103; 10 dollars are a basis point."""
    limited = replace(COMPLETE, **limits)
    if value is None:
        return scene(limits=limited, state=state(), conditions=CALM._replace(reference_price=None))
    return scene(limits=limited, order=order("buy", value * 1_000 // 103))


def value_of_order(value: int | None) -> Scene:
    return worth(value, max_order_notional=1_030 * DOLLAR)


def position(value: int | None) -> Scene:
    return worth(None if value is None else value * 10 * DOLLAR, max_position_bps=103)


def gross(value: int | None) -> Scene:
    return worth(None if value is None else value * 10 * DOLLAR, max_gross_bps=103)


def cash_needed(value: int | None) -> Scene:
    return worth(value)._replace(state=state(deposit(1_030 * DOLLAR)))


def quantity(value: int | None) -> Scene:
    limits = replace(COMPLETE, max_order_quantity=10 * SHARE)
    return scene(order=order("buy", value or 0), limits=limits)


def collar(value: int | None) -> Scene:
    """A basis point of 100 dollars is a cent."""
    if value is None:
        return scene(state=state(deposit(), prices={}))
    price = 100 * DOLLAR + value * 10_000
    return scene(conditions=CALM._replace(reference_price=price))


def sold_short(value: int | None) -> Scene:
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    return scene(order=order("sell", 10 * SHARE + (value or 0)), state=holding)


def halts(value: int | None) -> Scene:
    return scene(conditions=CALM._replace(halts=("file",) * min(value or 0, 9)))


def stale(value: int | None) -> Scene:
    return scene(conditions=CALM._replace(stale_sessions=value))


def unknown_orders(value: int | None) -> Scene:
    symbols = None if value is None else ("MSFT",) * min(value, 9)
    around = replace(CALM.around, unknown=symbols)
    return scene(conditions=CALM._replace(around=around))


def duplicates(value: int | None) -> Scene:
    known = None
    if value is not None:
        alike = (("buy", 10 * SHARE),) * min(value, 9) + (("sell", 10 * SHARE), ("buy", 9 * SHARE))
        known = Rates(alike=alike)
    return scene(conditions=CALM._replace(rates=known))


def limit_price(value: int | None) -> Scene:
    """Above 100 dollars to buy; a basis point is a cent."""
    if value is None:
        return scene(order=typed(LIMIT, limit_price=DOLLAR), state=state(deposit(), prices={}))
    price = 100 * DOLLAR + value * 10_000
    return scene(order=typed(LIMIT, limit_price=price))


def faults_of_form(value: int | None) -> Scene:
    shapes: dict[int | None, dict[str, Any]] = {
        0: {},
        1: {"type": LIMIT, "limit_price": None},
        HUGE: {"quantity": 2**63},
        None: {"type": STOP_LIMIT, "limit_price": 0, "stop_price": -1},
    }
    return scene(order=replace(order(), **shapes[value]))


def restricted(value: int | None) -> Scene:
    lists: dict[int | None, dict[str, Any]] = {
        0: {"restricted": ("MSFT",), "allowed": ("AAPL",)},
        1: {"restricted": ("AAPL",)},
        HUGE: {"restricted": ("AAPL",), "allowed": ("MSFT",)},
    }
    return scene(limits=replace(COMPLETE, **lists[value]))


def under_least(value: int | None) -> Scene:
    price = None if value is None else 100 * DOLLAR
    least = 100 * DOLLAR + (value or 0)
    conditions = CALM._replace(reference_price=price)
    return scene(limits=replace(COMPLETE, min_price=least), conditions=conditions)


def unexecuted(value: int | None) -> Scene:
    """10 shares at 103 at worst are 1,030; what waits are `value` - 103 bps of 100,000."""
    waiting = order("buy", SHARE, key="w" * 32, symbol="MSFT")
    if value is None:
        return scene(state=state(deposit(), open_orders=[waiting]))
    prices = {"AAPL": 100 * DOLLAR, "MSFT": (value - 103) * 10 * DOLLAR}
    return scene(state=state(deposit(), prices=prices, open_orders=[waiting]))


def loss(value: int | None) -> Scene:
    """Of 100,000 dollars on Friday, at the last close and at the peak, a basis point is 10."""
    if value is None:
        lost = state(deposit(), bought(SHARE, DOLLAR, symbol="IBM"))
    else:
        paid = replace(deposit(-value * 10 * DOLLAR, ref="paid"), kind="dividend")
        lost = state(deposit(), paid)
    limits = replace(
        COMPLETE, daily_loss_reduce_bps=200, drawdown_halt_bps=1_000, weekly_loss_halt_bps=500
    )
    return scene(state=lost, limits=limits)


def sold(quantity: int, price: int, *, day: int = 0, ref: str = "s") -> Any:  # noqa: ANN401
    return replace(bought(-quantity, price, ref=ref), ts=opens(day))


def losing(value: int | None) -> Scene:
    entries = [deposit()]
    for n in range(min(value or 0, 9)):
        entries += [bought(SHARE, 100 * DOLLAR, ref=f"b{n}", symbol="IBM")]
        entries += [replace(sold(SHARE, 99 * DOLLAR, ref=f"s{n}"), symbol="IBM")]
    return scene(state=ended(*entries))


def ended(*entries: Entry) -> TradingState:
    now = state(*entries)
    now.exits = folded(entries)[1]
    return now


def cooldown(value: int | None) -> Scene:
    """One session to wait in all: on the day of the exit it is still to come, then it is over."""
    day = 1 - (value or 0) if (value or 0) < 9 else 0
    entries = (deposit(), bought(SHARE, 100 * DOLLAR), sold(SHARE, 100 * DOLLAR))
    later = replace(order(), bar_ts=closes(day))
    return scene(order=later, state=ended(*entries), limits=replace(COMPLETE, cooldown_sessions=1))


def book(*, worst: int) -> Callable[[int | None], Scene]:
    """`worst` days of 250 lose `value` bps of 100,000 dollars: in cents 1,000 a bp."""

    def made(value: int | None) -> Scene:
        days = 59 if value is None else 250
        bad = min(value or 0, 10**9) * 1_000
        others = (-bad,) * worst + (5,) * (days - worst)
        market = replace(CALM.market, own=(0,) * days, others=others)
        return scene(conditions=CALM._replace(market=market))

    return made


def of_volume(value: int | None) -> Scene:
    """10 shares of a volume at which they are `value` bps."""
    volume = None if value is None else -(-10 * SHARE * 10_000 // value)
    market = replace(CALM.market, volume=volume)
    return scene(conditions=CALM._replace(market=market))


def opposite(value: int | None) -> Scene:
    waiting = [order("sell", SHARE, key=f"{n}" * 32) for n in range(min(value or 0, 9))]
    return scene(state=state(deposit(), bought(50 * SHARE, 100 * DOLLAR), open_orders=waiting))


def reducing_only(value: int | None) -> Scene:
    now = state(deposit())
    now.reducing = "R18" if value else None
    return scene(state=now)


# rule: its bound, what makes a scene of a value, and whether its value can be unknown
CASES: dict[str, tuple[int, Callable[[int | None], Scene], bool]] = {
    "R01": (0, halts, False),
    "R01r": (0, reducing_only, False),
    "R02": (0, unknown_orders, True),
    "R03": (0, part("around", "mismatches"), True),
    "R03a": (15, part("around", "reconciled"), True),
    "R04": (0, duplicates, True),
    "R05": (1_030 * DOLLAR, value_of_order, True),
    "R06": (10 * SHARE, quantity, False),
    "R07": (300, collar, True),
    "R07l": (300, limit_price, True),
    "R08": (0, faults_of_form, False),
    "R09": (0, restricted, False),
    "R09p": (0, under_least, True),
    "R10": (103, position, True),
    "R12": (103, gross, True),
    "R12c": (1_030 * DOLLAR, cash_needed, True),
    "R13": (0, sold_short, False),
    "R14": (15_000, unexecuted, True),
    "R15": (60, rates("minute"), True),
    "R15d": (200, rates("day"), True),
    "R15s": (3, rates("symbol"), True),
    "R16": (100, rates("strategy"), True),
    "R17": (2, part("around", "rejects"), True),
    "R18": (200, loss, True),
    "R19": (1_000, loss, True),
    "R20": (500, loss, True),
    "R21": (6, losing, False),
    "R21c": (0, cooldown, False),
    "R22": (8_000, part("market", "volatility"), True),
    "R22r": (300, part("market", "ratio"), True),
    "R23": (300, book(worst=13), True),
    "R23e": (450, book(worst=7), True),
    "R24": (100, of_volume, True),
    "R24p": (500, of_volume, True),
    "R25": (0, stale, True),
    "R26": (0, part("market", "faults"), True),
    "R27": (0, part("around", "closed"), True),
    "R28": (5, part("around", "clock_back"), True),
    "R28b": (5, part("around", "broker_clock"), True),
    "R29": (0, part("model", "unfit"), True),
    "R30": (91, part("model", "age"), True),
    "R31": (0, part("model", "wrong"), True),
    "R31c": (19, part("model", "equal"), True),
    "R33": (0, opposite, False),
    "R34": (0, part("around", "mismatched"), True),
    "R35": (0, part("around", "disk_short"), True),
    "R35r": (0, part("around", "reserve_missing"), True),
}
