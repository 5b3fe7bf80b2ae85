"""Law: every check's number is that of a second computation in fractions; limits are exact."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from algotrade.domain.ledger import Portfolio, Position
from algotrade.domain.orders import OpenOrder
from algotrade.domain.risk import (
    EXEMPT,
    FAIL,
    NOT_APPLICABLE,
    PASS,
    Conditions,
    Limits,
    RiskVerdict,
)
from algotrade.trading.risk import check_order
from algotrade.trading.state import TradingState
from builders import DOLLAR, SHARE, bought, deposit, order, replace, state, world

if TYPE_CHECKING:
    from algotrade.domain.orders import Order

ENDLESS = 10**18  # nano-shares that no limit drawn below lets through
SYMBOLS = ("AAPL", "MSFT")
EXEMPTIBLE = {"R05", "R06", "R10", "R12", "R12c", "R18", "R19", "R25"}

held = st.one_of(
    st.just(0), st.integers(-50, 200).map(lambda n: n * SHARE), st.integers(-5, 10**11)
)
prices = st.one_of(st.none(), st.integers(1, 300 * DOLLAR), st.just(100 * DOLLAR))
money = st.integers(-1_000 * DOLLAR, 100_000 * DOLLAR)
sides = st.sampled_from(["buy", "sell"])
quantities = st.one_of(st.integers(1, 100).map(lambda n: n * SHARE), st.integers(1, 10**11))
orders = st.builds(
    order,
    side=sides,
    quantity=quantities,
    symbol=st.sampled_from(SYMBOLS),
    key=st.uuids().map(lambda key: key.hex),
)


@st.composite
def open_orders(draw: st.DrawFn) -> OpenOrder:
    """Draw an order that waits, whole or for the rest of it."""
    waiting = draw(orders)
    return OpenOrder(waiting, filled=draw(st.one_of(st.just(0), st.integers(0, waiting.quantity))))


@st.composite
def states(draw: st.DrawFn) -> TradingState:
    """Draw any state at all, also those that no ledger leads to."""
    positions = {}
    for symbol in SYMBOLS:
        quantity = draw(held)
        if quantity:
            positions[symbol] = Position(symbol=symbol, quantity=quantity, cost=draw(money))
    known = {symbol: draw(prices) for symbol in SYMBOLS}
    return TradingState(
        account="paper",
        portfolio=Portfolio(cash=draw(money), contributed=draw(money), positions=positions),
        open_orders=draw(st.lists(open_orders(), max_size=2)),
        prices={symbol: price for symbol, price in known.items() if price is not None},
        session_profit=draw(money),
        peak_profit=draw(money.map(abs)),
        halt=draw(st.sampled_from([None, None, None, "halted"])),
    )


def changed(now: TradingState, **changes: Any) -> TradingState:  # noqa: ANN401  its own fields
    """Give another state that differs from `now` in these."""
    names = ("account", "portfolio", "open_orders", "prices", "session_profit", "peak_profit")
    return TradingState(**{name: getattr(now, name) for name in (*names, "halt")} | changes)


bps = st.one_of(st.integers(0, 20_000), st.just(10**6))
limits_drawn = st.builds(
    Limits,
    max_order_notional=st.integers(0, 50_000 * DOLLAR),
    max_order_equity_bps=bps,
    max_order_quantity=st.integers(0, 200 * SHARE),
    price_collar_bps=st.sampled_from([0, 300, 10_000]),
    max_position_bps=bps,
    max_gross_bps=bps,
    max_stale_sessions=st.integers(0, 2),
    daily_loss_reduce_bps=bps,
    daily_loss_halt_bps=bps,
    drawdown_halt_bps=bps,
    allow_short=st.booleans(),
    **{name: st.just(getattr(Limits(), name)) for name in Limits._fields[11:]},
)
conditions_drawn = st.builds(
    Conditions,
    now=st.just(0),
    reference_price=prices,
    stale_sessions=st.sampled_from([0, 0, 0, 1, 3, None]),
    halts=st.sampled_from([(), (), (), ("file",)]),
    **dict.fromkeys(("rates", "market", "model", "around"), st.none()),
    kind=st.just("backtest"),
)
worlds = st.tuples(states(), limits_drawn, conditions_drawn)


def may_trade(verdict: RiskVerdict) -> bool:
    return verdict.passed and verdict.halt is None


class Second:
    """The table of docs/risk.md once more, in fractions and the plainest words."""

    def __init__(self, one: Order, now: TradingState, limits: Limits, at: Conditions) -> None:
        self.one, self.now, self.limits, self.at = one, now, limits, at
        self.after = {s: self.projected(s) + one.signed * (s == one.symbol) for s in SYMBOLS}
        collar = Fraction(10_000 + limits.price_collar_bps, 10_000)
        self.worst = at.reference_price and math.ceil(at.reference_price * collar)

    def projected(self, symbol: str) -> int:
        position = self.now.portfolio.positions.get(symbol)
        waiting = (o for o in self.now.open_orders if o.order.symbol == symbol)
        left = ((o.order.side, o.order.quantity - o.filled) for o in waiting)
        signed = (quantity if side == "buy" else -quantity for side, quantity in left)
        return (position.quantity if position else 0) + sum(signed)

    def reducing(self) -> bool:
        before = self.projected(self.one.symbol)
        after = self.after[self.one.symbol]
        return before != 0 and abs(after) < abs(before) and before * after >= 0

    def equity(self) -> int | None:
        total = self.now.portfolio.cash
        for symbol, position in self.now.portfolio.positions.items():
            if symbol not in self.now.prices:
                return None
            total += round(Fraction(position.quantity, SHARE) * self.now.prices[symbol])
        return total

    def worth(self, quantity: int, price: int | None) -> int | None:
        if quantity == 0:
            return 0
        return None if price is None else math.ceil(Fraction(abs(quantity), SHARE) * price)

    def share(self, value: int | None) -> int | None:
        equity = self.equity()
        if value is None or equity is None or equity <= 0:
            return None
        return math.ceil(Fraction(value, equity) * 10_000)

    def gross(self) -> int | None:
        own = self.worth(self.after[self.one.symbol], self.worst)
        now = {s: self.worth(self.projected(s), self.now.prices.get(s)) for s in SYMBOLS}
        other = next(now[s] for s in SYMBOLS if s != self.one.symbol)
        if None in now.values():  # what stands today must be known, of this symbol too
            return None
        return None if own is None or other is None else own + other

    def cash(self) -> int | None:
        needed: int | None = 0
        for waiting in self.now.open_orders:
            price = self.now.prices.get(waiting.order.symbol)
            left = waiting.order.quantity - waiting.filled
            if waiting.order.side == "buy" and needed is not None:
                exact = price and Fraction(left, SHARE) * price
                needed = None if exact is None else needed + round(exact)
        own = self.worth(self.one.quantity, self.worst) if self.one.side == "buy" else 0
        owed = max(0, -self.now.portfolio.cash)
        return None if needed is None or own is None else needed + own + owed

    def collar(self) -> int | None:
        last, price = self.now.prices.get(self.one.symbol), self.at.reference_price
        return (
            None if not last or not price else math.ceil(Fraction(abs(price - last), last) * 10_000)
        )

    def lost(self, reference: int) -> int | None:
        equity, contributed = self.equity(), self.now.portfolio.contributed
        if equity is None or contributed + reference <= 0:
            return None
        lost = Fraction(reference - (equity - contributed), contributed + reference)
        return max(0, math.ceil(lost * 10_000))

    def table(self) -> dict[str, tuple[int | None, int]]:
        """Give what is and what may be for each check."""
        bounds, equity = self.limits, self.equity()
        fraction = Fraction(max(0, equity or 0) * bounds.max_order_equity_bps, 10_000)
        after = self.after[self.one.symbol]
        return {
            "R01": (len(self.at.halts) + (self.now.halt is not None), 0),
            "R05": (
                self.worth(self.one.quantity, self.worst),
                min(bounds.max_order_notional, math.floor(fraction)),
            ),
            "R06": (self.one.quantity, bounds.max_order_quantity),
            "R07": (self.collar(), bounds.price_collar_bps),
            "R10": (self.share(self.worth(after, self.worst)), bounds.max_position_bps),
            "R12": (self.share(self.gross()), bounds.max_gross_bps),
            "R12c": (self.cash(), max(0, self.now.portfolio.cash)),
            "R13": (self.short(after), 0),
            "R18": (self.lost(self.now.session_profit), bounds.daily_loss_reduce_bps),
            "R19": (self.lost(self.now.peak_profit), bounds.drawdown_halt_bps),
            "R25": (self.at.stale_sessions, bounds.max_stale_sessions),
        }

    def short(self, after: int) -> int | None:
        if self.limits.allow_short:
            return None
        return max(0, -after) if self.one.side == "sell" else 0

    def status(self, check_id: str) -> str:
        value, limit = self.table()[check_id]
        if check_id == "R13" and self.limits.allow_short:
            return NOT_APPLICABLE
        if value is None and (check_id != "R25" or not self.reducing()):
            return FAIL
        if value is None:
            return EXEMPT  # nobody is kept from getting out by data that are missing
        if value <= limit:
            return PASS
        return EXEMPT if check_id in EXEMPTIBLE and self.reducing() else FAIL


@settings(max_examples=100, deadline=None)
@given(orders, worlds)
def test_every_number_and_verdict_is_that_of_a_second_computation(
    one: Order, everything: tuple[TradingState, Limits, Conditions]
) -> None:
    verdict, second = check_order(one, *everything), Second(one, *everything)
    assert {c.id: (c.value, c.limit) for c in verdict.made} == second.table()
    assert {c.id: c.status for c in verdict.made} == {c: second.status(c) for c in second.table()}
    limits = everything[1]
    daily, fallen = second.table()["R18"][0], second.table()["R19"][0]
    halting = (daily is not None and daily > limits.daily_loss_halt_bps) or (
        fallen is not None and fallen > limits.drawdown_halt_bps
    )
    assert (verdict.halt is not None) == halting


def largest_of(one: Order, everything: tuple[TradingState, Limits, Conditions]) -> int:
    """Ask for more than can be: the refusal names the largest order that would pass."""
    verdict = check_order(replace(one, quantity=ENDLESS), *everything)
    assert not may_trade(verdict)
    assert verdict.max_quantity is not None
    return verdict.max_quantity


@settings(max_examples=200, deadline=None)
@given(orders, worlds, st.fractions(0, 1))
@example(
    order("buy", 200 * SHARE),
    (state(deposit(), bought(3 * SHARE, DOLLAR)), Limits(), world()),
    Fraction(1, 3),
)
@example(
    order("sell", 200 * SHARE),
    (state(deposit(), bought(3 * SHARE, DOLLAR)), Limits(allow_short=True), world()),
    Fraction(1, 3),
)
def test_the_largest_order_passes_and_a_billionth_of_a_share_more_fails(
    one: Order, everything: tuple[TradingState, Limits, Conditions], part: Fraction
) -> None:
    largest = largest_of(one, everything)
    as_asked = check_order(one, *everything)
    if may_trade(as_asked):
        assert as_asked.max_quantity is None
        assert one.quantity <= largest
    else:
        assert as_asked.max_quantity == largest  # whatever was asked for
    assert not may_trade(check_order(replace(one, quantity=largest + 1), *everything))
    if not largest:
        return
    assert may_trade(check_order(replace(one, quantity=largest), *everything))
    smaller = replace(one, quantity=max(1, math.floor(largest * part)))
    if Second(smaller, *everything).projected(one.symbol) * one.signed >= 0:  # it adds
        assert may_trade(check_order(smaller, *everything))


@settings(max_examples=100, deadline=None)
@given(orders, states(), st.sampled_from([Limits(), Limits(allow_short=True)]), st.data())
def test_the_largest_order_is_found_where_limits_are_those_of_every_day(
    one: Order, now: TradingState, limits: Limits, data: st.DataObject
) -> None:
    calm = changed(
        now,
        prices=dict.fromkeys(SYMBOLS, 100 * DOLLAR),
        halt=None,
        peak_profit=0,
        session_profit=0,
        portfolio=now.portfolio._replace(cash=10**12),
    )
    everything = calm, limits, world()
    largest = largest_of(one, everything)
    more = data.draw(st.integers(largest + 1, largest + 10**11))
    assert not may_trade(check_order(replace(one, quantity=more), *everything))


@settings(max_examples=100, deadline=None)
@given(orders, worlds, st.sampled_from(list(Limits._fields[:11])), st.data())
def test_a_wider_limit_never_turns_a_pass_into_a_failure(
    one: Order,
    everything: tuple[TradingState, Limits, Conditions],
    name: str,
    data: st.DataObject,
) -> None:
    if name == "price_collar_bps":  # it is also the worst price that exposure is taken at
        return
    now, limits, at = everything
    more = getattr(limits, name) + data.draw(st.integers(0, 10**12))
    wide = replace(limits, **{name: True if name == "allow_short" else more})
    wider, verdict = check_order(one, now, wide, at), check_order(one, now, limits, at)
    assert {c.id for c in wider.breaches} <= {c.id for c in verdict.breaches}
    assert largest_of(one, (now, wide, at)) >= largest_of(one, everything)


@settings(max_examples=100, deadline=None)
@given(orders, worlds)
def test_nothing_unknown_ever_passes(
    one: Order, everything: tuple[TradingState, Limits, Conditions]
) -> None:
    for verdict in (check_order(one, *everything), check_order(None, *everything)):
        for check in verdict.made:
            if check.status == NOT_APPLICABLE:
                assert (check.id, check.value, everything[1].allow_short) == ("R13", None, True)
                continue
            unknown = check.value is None
            assert (
                not unknown or check.status == FAIL or (check.id, check.status) == ("R25", EXEMPT)
            )
            assert (check.status == EXEMPT) <= (check.id in EXEMPTIBLE)
        assert verdict.passed == all(check.status != FAIL for check in verdict.made)


@settings(max_examples=60, deadline=None)
@given(orders, worlds)
def test_a_missing_price_or_equity_is_never_a_pass(
    one: Order, everything: tuple[TradingState, Limits, Conditions]
) -> None:
    now, limits, at = everything
    assert not check_order(one, now, limits, at._replace(reference_price=None)).passed
    assert not check_order(one, changed(now, prices={}), limits, at).passed
    broke = now.portfolio._replace(cash=-(10**15))
    assert not check_order(one, changed(now, portfolio=broke), limits, at).passed
