"""A counterfactual is never a guess: deciding again with the change gives another outcome."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from algotrade.domain.decisions import (
    EQUITY,
    HOLD,
    NOTIONAL,
    ORDER,
    PROBABILITY,
    REFUSED,
    VOLATILITY,
    Policy,
    Sizing,
)
from algotrade.domain.ledger import DEPOSIT, Entry, Mark, fill_entry, replay
from algotrade.domain.orders import BUY, SELL, OpenOrder, Order
from algotrade.domain.risk import Conditions, Limits
from algotrade.domain.signals import DOWN, KEEP, PPM, UP, Signal
from algotrade.trading.counterfactual import (
    Case,
    Counterfactual,
    counterfactuals,
    first_integer,
    outcome,
)
from algotrade.trading.decision import Moment
from algotrade.trading.state import TradingState

DOLLAR, SHARE = 10**6, 10**9
PRICE = 100 * DOLLAR


def moment(signal: Signal | None, price: int = PRICE) -> Moment:
    return Moment(10**15, "AAPL", 10**15 - 1, price, price, price, price, 0, signal=signal)


def model(p_up: float, threshold: float = 0.5, weight: int = PPM) -> Signal:
    return Signal("m", UP if p_up > threshold else DOWN, p_up, threshold, weight, 250_000)


def state(
    *, cash: int = 100_000, held: int = 0, waiting: int = 0, halt: str | None = None, peak: int = 0
) -> TradingState:
    entries = [Entry(ts=1, kind=DEPOSIT, ref="opening", amount=cash * DOLLAR)]
    if held:
        bought = fill_entry(ts=2, ref="b.1", symbol="AAPL", quantity=held, price=PRICE, fee=0)
        entries.append(bought)
    order = Order(
        key="0" * 32, account="paper", strategy="s", symbol="AAPL", side=BUY,
        quantity=max(1, waiting), bar_ts=3, placed_at=3, client_id="",
    )  # fmt: skip
    return TradingState(
        account="paper",
        portfolio=replay(entries),
        open_orders=[OpenOrder(order)] if waiting else [],
        prices={"AAPL": PRICE},
        last_mark=Mark(4, 0, 0, 0),
        peak_profit=peak * DOLLAR,
        halt=halt,
    )


def case(
    signal: Signal,
    policy: Policy | None = None,
    limits: Limits | None = None,
    seen: TradingState | None = None,
    world: Conditions | None = None,
) -> Case:
    return Case(
        moment(signal),
        seen or state(),
        policy or Policy(account="paper", strategy="s", quantity=10 * SHARE),
        limits or Limits(),
        world or Conditions(10**15, PRICE),
    )


def nearest(made: Case) -> Counterfactual:
    return counterfactuals(made)[0]


def change(made: Case, what: str) -> tuple[str, object, object]:
    for one in counterfactuals(made):
        if len(one.changes) == 1 and one.changes[0].what == what:
            return one.changes[0][1:]
    raise AssertionError(counterfactuals(made))


def test_a_hold_would_have_bought_above_the_threshold() -> None:
    made = case(model(0.507, 0.52))
    assert made.decide().action == HOLD
    assert change(made, "p_up") == (">", 0.507, 0.52)
    assert outcome(nearest(made).then) == (ORDER, BUY)


def test_an_order_would_not_have_been_placed_at_the_threshold() -> None:
    assert change(case(model(0.53)), "p_up") == ("at most", 0.53, 0.5)


def test_with_hysteresis_the_nearer_threshold_counts() -> None:
    held = state(held=10 * SHARE)
    policy = Policy(account="paper", strategy="s", quantity=10 * SHARE, exit_below=0.45)
    assert change(case(model(0.47), policy, seen=held), "p_up") == ("at most", 0.47, 0.45)
    assert change(case(model(0.44), policy, seen=held), "p_up") == (">", 0.44, 0.45)


def test_a_rule_would_have_had_to_say_otherwise() -> None:
    assert change(case(Signal("sma-state", DOWN)), "stance") == ("is", "down", "up")


def test_one_passed_limit_is_raised_by_as_little_as_it_takes() -> None:
    made = case(model(0.6), limits=Limits(max_order_quantity=4 * SHARE))
    assert made.decide().action == REFUSED
    assert change(made, "max_order_quantity") == ("at least", 4 * SHARE, 10 * SHARE)
    assert change(made, "quantity") == ("at most", 10 * SHARE, 4 * SHARE)


def test_all_passed_limits_are_named_together() -> None:
    policy = Policy(account="paper", strategy="s", quantity=5_000 * SHARE)
    together = nearest(case(model(0.6), policy))
    assert {one.what for one in together.changes} >= {"max_order_quantity", "cash"}
    assert together.then.action == ORDER


def test_a_halt_is_named() -> None:
    made = case(model(0.6), seen=state(halt="somebody"))
    assert change(made, "halts") == ("is", 1, 0)


def test_what_is_held_would_have_grown_by_a_larger_size() -> None:
    made = case(model(0.6), seen=state(held=10 * SHARE))
    assert change(made, "quantity") == (">", 10 * SHARE, 10 * SHARE)


def test_a_size_that_comes_to_nothing_names_the_size_it_takes() -> None:
    policy = Policy(account="paper", strategy="s", sizing=Sizing(NOTIONAL, 99 * DOLLAR), whole=True)
    assert change(case(model(0.6), policy), "size") == ("at least", 99 * DOLLAR, 100 * DOLLAR)


def test_nobody_spoke_and_nothing_fails_gives_only_limits() -> None:
    found = counterfactuals(case(Signal("", UP)))
    assert [one.changes[0].relation for one in found] == ["<"]


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (100, 0)])
def test_the_first_integer_is_the_nearest(start: int, stop: int) -> None:
    found = first_integer(lambda n: n >= 37 if start < stop else n <= 37, start, stop)
    assert found == 37
    assert first_integer(lambda n: n > 1_000, start, stop) is None


signals = st.one_of(
    st.builds(
        model,
        st.floats(0, 1),
        st.sampled_from([0.4, 0.5, 0.55]),
        st.integers(0, PPM),
    ),
    st.sampled_from([Signal("rule", UP), Signal("rule", DOWN), Signal("rule", KEEP)]),
    st.just(Signal("", UP)),
)
sizings = st.one_of(
    st.none(),
    st.builds(
        Sizing,
        st.sampled_from([NOTIONAL, EQUITY, VOLATILITY, PROBABILITY]),
        st.integers(1, 20_000_000_000),
    ),
    st.builds(Sizing, st.sampled_from([EQUITY, VOLATILITY, PROBABILITY]), st.integers(1, 9_000)),
)
policies = st.builds(
    Policy,
    account=st.just("paper"),
    strategy=st.just("s"),
    quantity=st.integers(1, 900 * SHARE),
    sizing=sizings,
    side=st.sampled_from([None, None, BUY, SELL]),
    exit_below=st.sampled_from([None, 0.35]),
    short=st.booleans(),
    whole=st.booleans(),
).map(lambda made: made._replace(sizing=None) if made.side else made)
limits_drawn = st.builds(
    Limits,
    max_order_notional=st.integers(1, 50_000 * DOLLAR),
    max_order_quantity=st.integers(1, 900 * SHARE),
    max_position_bps=st.integers(1, 12_000),
    max_gross_bps=st.integers(1, 12_000),
    drawdown_halt_bps=st.integers(1, 2_000),
    allow_short=st.booleans(),
)
states = st.builds(
    state,
    cash=st.integers(1, 200_000),
    held=st.integers(-300, 300).map(lambda n: n * SHARE),
    waiting=st.sampled_from([0, 0, 5 * SHARE]),
    halt=st.sampled_from([None, None, None, "somebody"]),
    peak=st.integers(0, 5_000),
)
worlds = st.builds(
    Conditions,
    now=st.just(10**15),
    reference_price=st.sampled_from([PRICE, PRICE, PRICE * 11 // 10, None]),
    stale_sessions=st.sampled_from([0, 0, 2, None]),
    halts=st.sampled_from([(), (), ("file HALT",)]),
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(signal=signals, policy=policies, limits=limits_drawn, seen=states, world=worlds)
def test_every_counterfactual_gives_another_outcome_and_changes_nothing(
    signal: Signal, policy: Policy, limits: Limits, seen: TradingState, world: Conditions
) -> None:
    made = Case(moment(signal), seen, policy, limits, world)
    before, kept = made.decide(), repr(seen.portfolio)
    found = counterfactuals(made)
    for one in found:
        again = one.case.decide()
        assert outcome(again) == outcome(one.then) != outcome(before)
        assert one.changes
        assert all(change.was != change.value or change.relation in "><" for change in one.changes)
    assert made.decide() == before
    assert repr(seen.portfolio) == kept
    assert [one.changes for one in counterfactuals(made)] == [one.changes for one in found]
