"""Law: what is refused or held leaves ledger, orders, state and broker as they were."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import Policy
from algotrade.domain.ledger import Entry, replay
from algotrade.domain.risk import Conditions, Limits
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.decision import decide
from algotrade.trading.session import Decider, MemoryJournal, run_session
from algotrade.trading.state import TradingState
from builders import ACCOUNT, DOLLAR, SHARE, WIDE, bought, closes, deposit, moment, order

if TYPE_CHECKING:
    from algotrade.domain.orders import Order

COSTS = CostModel()
policies = st.builds(
    Policy,
    account=st.just(ACCOUNT),
    strategy=st.just("model"),
    quantity=st.integers(1, 300 * SHARE),
    side=st.sampled_from([None, "buy", "sell"]),
    use_model=st.booleans(),
)
limits_drawn = st.sampled_from(
    [
        Limits(),
        WIDE,
        replace(WIDE, max_order_quantity=SHARE),
        replace(WIDE, max_position_bps=100),
        replace(WIDE, drawdown_halt_bps=10),
    ]
)
conditions_drawn = st.builds(
    Conditions,
    now=st.just(closes(3)),
    reference_price=st.sampled_from([100 * DOLLAR, 110 * DOLLAR, None]),
    stale_sessions=st.sampled_from([0, 1, None]),
    halts=st.sampled_from([(), (), ("file",)]),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Entry], TradingState]:
    quantity = draw(st.sampled_from([0, 5 * SHARE, 40 * SHARE]))
    entries = [deposit(), *([bought(quantity, 90 * DOLLAR)] if quantity else [])]
    waiting: tuple[Order, ...] = ()
    if draw(st.booleans()):  # placed after the bar opened: it does not fill meanwhile
        waiting = (order("buy", 2 * SHARE, key="w" * 32, placed_at=closes(3)),)
    return entries, TradingState(
        account=ACCOUNT,
        portfolio=replay(entries),
        open_orders=waiting,
        prices=draw(st.sampled_from([{"AAPL": 95 * DOLLAR}, {}])),
        peak_profit=draw(st.sampled_from([0, 3_000 * DOLLAR])),
        halt=draw(st.sampled_from([None, None, "earlier"])),
    )


@settings(max_examples=100, deadline=None)
@given(situations(), policies, limits_drawn, conditions_drawn, st.sampled_from([None, 0, 1]))
def test_a_decision_that_places_nothing_changes_nothing(
    situation: tuple[list[Entry], TradingState],
    policy: Policy,
    limits: Limits,
    conditions: Conditions,
    value: int | None,
) -> None:
    _, start = situation
    bar = moment(3, value=value)
    settled, decided = MemoryJournal(), MemoryJournal()
    only_settled = run_session(
        [bar],
        state=start,
        broker=SimulatedBroker(COSTS, start.open_orders),
        journal=settled,
        decider=None,
    )
    broker = SimulatedBroker(COSTS, start.open_orders)
    result = run_session(
        [bar],
        state=start,
        broker=broker,
        journal=decided,
        decider=Decider(policy=policy, limits=limits, conditions=lambda _: conditions),
    )
    assume(not any(decision.placed for decision in result.decisions))
    assert (decided.entries, decided.events, decided.marks) == ([], [], settled.marks)
    assert broker._waiting == list(start.open_orders)
    halts = [decision.verdict.halt for decision in result.decisions if decision.verdict.halt]
    latched = start.halt or (halts[0] if halts else None)
    assert result.state == replace(only_settled.state, halt=latched)
    assert len(decided.halts) == (start.halt is None and latched is not None)
    assert decided.decisions == list(result.decisions)  # but it is written down


@settings(max_examples=100, deadline=None)
@given(situations(), policies, limits_drawn, conditions_drawn, st.sampled_from([None, 0, 1]))
def test_deciding_is_pure(
    situation: tuple[list[Entry], TradingState],
    policy: Policy,
    limits: Limits,
    conditions: Conditions,
    value: int | None,
) -> None:
    _, start = situation
    before = copy.deepcopy(start)
    first = decide(moment(3, value=value), start, policy, limits, conditions)
    assert start == before
    assert decide(moment(3, value=value), start, policy, limits, conditions) == first
    assert (first.placed is None) or (first.verdict.passed and first.verdict.halt is None)
