"""Law: what is refused or held leaves ledger, orders, state and broker as they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import Policy
from algotrade.domain.ledger import Entry, replay
from algotrade.domain.orders import OpenOrder
from algotrade.domain.risk import Conditions, Limits
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.decision import decide
from algotrade.trading.session import Decider, MemoryJournal, run_session, turns_of
from algotrade.trading.state import TradingState
from builders import (
    ACCOUNT,
    DOLLAR,
    NO_MODEL,
    SHARE,
    WIDE,
    bought,
    closes,
    deposit,
    look,
    moment,
    order,
    replace,
)

if TYPE_CHECKING:
    from algotrade.domain.orders import Order
    from algotrade.trading.decision import Moment

COSTS = CostModel()
policies = st.builds(
    Policy,
    account=st.just(ACCOUNT),
    strategy=st.just("model"),
    quantity=st.integers(1, 300 * SHARE),
    side=st.sampled_from([None, "buy", "sell"]),
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


@dataclass(frozen=True)
class Situation:
    """An account before the bar; a state is moved in place, so each run starts from its own."""

    entries: list[Entry]
    waiting: tuple[Order, ...]
    prices: dict[str, int]
    peak_profit: int
    halt: str | None

    def state(self) -> TradingState:
        return TradingState(
            account=ACCOUNT,
            portfolio=replay(self.entries),
            open_orders=map(OpenOrder, self.waiting),
            prices=self.prices,
            peak_profit=self.peak_profit,
            halt=self.halt,
        )


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    quantity = draw(st.sampled_from([0, 5 * SHARE, 40 * SHARE]))
    waiting: tuple[Order, ...] = ()
    if draw(st.booleans()):  # placed after the bar opened: it does not fill meanwhile
        waiting = (order("buy", 2 * SHARE, key="w" * 32, placed_at=closes(3)),)
    return Situation(
        entries=[deposit(), *([bought(quantity, 90 * DOLLAR)] if quantity else [])],
        waiting=waiting,
        prices=draw(st.sampled_from([{"AAPL": 95 * DOLLAR}, {}])),
        peak_profit=draw(st.sampled_from([0, 3_000 * DOLLAR])),
        halt=draw(st.sampled_from([None, None, "earlier"])),
    )


bars = st.sampled_from(
    [moment(3), moment(3, value=0), moment(3, value=1), moment(3, signal=NO_MODEL)]
)


class Watched(SimulatedBroker):
    """A broker that remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__(COSTS)
        self.sent: list[Order] = []

    def submit(self, order: Order) -> None:
        self.sent.append(order)

    def cancel(self, order: Order) -> None:
        raise AssertionError(order)


@settings(max_examples=100, deadline=None)
@given(situations(), policies, limits_drawn, conditions_drawn, bars)
def test_a_decision_that_places_nothing_changes_nothing(
    situation: Situation, policy: Policy, limits: Limits, conditions: Conditions, bar: Moment
) -> None:
    settled, decided, broker = MemoryJournal(), MemoryJournal(), Watched()
    only_settled = run_session(
        turns_of([bar]), state=situation.state(), broker=Watched(), journal=settled, decider=None
    )
    result = run_session(
        turns_of([bar]),
        state=situation.state(),
        broker=broker,
        journal=decided,
        decider=Decider(policy=policy, limits=limits, conditions=lambda _: conditions),
    )
    assume(not any(decision.placed for decision in decided.decisions))
    assert (decided.entries, decided.events, decided.marks) == ([], [], settled.marks)
    assert (broker.sent, result.fills) == ([], ())
    halts = [decision.verdict.halt for decision in decided.decisions if decision.verdict.halt]
    latched = situation.halt or (halts[0] if halts else None)
    assert look(result.state) == {**look(only_settled.state), "halt": latched}
    assert len(decided.halts) == (situation.halt is None and latched is not None)
    assert len(decided.decisions) == (bar.signal is not None)  # but it is written down


@settings(max_examples=100, deadline=None)
@given(situations(), policies, limits_drawn, conditions_drawn, bars)
def test_deciding_is_pure(
    situation: Situation, policy: Policy, limits: Limits, conditions: Conditions, bar: Moment
) -> None:
    start = situation.state()
    before = look(situation.state())
    first = decide(bar, start, policy, limits, conditions)
    assert look(start) == before
    assert decide(bar, start, policy, limits, conditions) == first
    assert decide(bar, situation.state(), policy, limits, conditions) == first
    assert (first.placed is None) or (first.verdict.passed and first.verdict.halt is None)
