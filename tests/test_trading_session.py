"""The loop: fills at the next open, actions in the right basis, marks, halts, shared cash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from algotrade.domain.actions import Dividend, Split
from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import HOLD, ORDER, REFUSED, Policy
from algotrade.domain.ledger import Mark
from algotrade.domain.orders import CANCELLED, FILLED, PARTIAL, STOP, TRIGGERED, OpenOrder
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.session import Decider, MemoryJournal, run_session, turns_of
from algotrade.trading.state import opening_state
from builders import (
    ACCOUNT,
    DOLLAR,
    NO_MODEL,
    SHARE,
    WIDE,
    bought,
    closes,
    deposit,
    moment,
    opens,
    order,
    replace,
    session,
    state,
    world,
)

if TYPE_CHECKING:
    from algotrade.domain.risk import Conditions, Limits
    from algotrade.trading.decision import Moment
    from algotrade.trading.session import SessionResult
    from algotrade.trading.state import TradingState

FREE = CostModel(commission_per_share=0, commission_minimum=0, slippage_bps=0)
POLICY = Policy(account=ACCOUNT, strategy="model", quantity=10 * SHARE)
DOUBLE = Split(symbol="AAPL", ex_date=session(1), split_from=1, split_to=2)
QUARTER = Dividend(symbol="AAPL", ex_date=session(1), amount=250_000)


def at_close(seen: Moment) -> Conditions:
    return world(seen.close, now=seen.ts)


def run(
    moments: list[Moment],
    start: TradingState,
    *,
    costs: CostModel = FREE,
    policy: Policy | None = None,
    limits: Limits = WIDE,
) -> tuple[SessionResult, MemoryJournal]:
    journal = MemoryJournal()
    decider = Decider(policy=policy, limits=limits, conditions=at_close) if policy else None
    turns = turns_of(moments)
    broker = SimulatedBroker(costs)
    result = run_session(turns, state=start, broker=broker, journal=journal, decider=decider)
    assert result.state is start  # it is moved on in place
    return result, journal


def test_an_order_decided_at_a_close_is_filled_at_the_next_open() -> None:
    bars = [moment(0, 100 * DOLLAR, value=1), moment(1, 101 * DOLLAR, close=105 * DOLLAR)]
    result, journal = run(bars, state(deposit()), policy=POLICY, costs=CostModel())
    (fill,) = result.fills
    # 101.00 and 5 bps is 101.0505; 10 shares cost 1,010.505, commission the minimum of 1.00
    assert (fill.ts, fill.price, fill.quantity, fill.fee) == (
        opens(1),
        101_050_500,
        10 * SHARE,
        DOLLAR,
    )
    assert result.state.portfolio.cash == 98_988_495_000
    assert result.state.open_orders == ()
    assert journal.events == [(fill.order.key, opens(1), FILLED, "")]
    assert journal.marks == [
        Mark(closes(0), 100_000 * DOLLAR, 0, 100_000 * DOLLAR),
        Mark(closes(1), 98_988_495_000, 1_050 * DOLLAR, 100_000 * DOLLAR),
    ]
    assert journal.entries[0].ref == f"{fill.order.key}.1"


@pytest.mark.parametrize(
    ("placed_at", "filled"), [(opens(1) - 1, True), (opens(1), True), (opens(1) + 1, False)]
)
def test_no_price_before_the_order_fills_it(placed_at: int, *, filled: bool) -> None:
    # an order placed at the very open is filled by it: a bar may open as the last one closes
    start = state(deposit(), open_orders=[order(placed_at=placed_at)])
    result, _ = run([moment(1)], start)
    assert bool(result.fills) == filled
    assert bool(result.state.open_orders) != filled


def test_a_bar_without_volume_fills_nothing_and_the_order_waits() -> None:
    result, journal = run([moment(1, volume=0)], state(deposit(), open_orders=[order()]))
    assert (result.fills, journal.entries, journal.events) == ((), [], [])
    assert result.state.open_orders == (OpenOrder(order()),)
    later, _ = run(
        [moment(1, volume=0), moment(2, 90 * DOLLAR)], state(deposit(), open_orders=[order()])
    )
    assert [(fill.ts, fill.price) for fill in later.fills] == [(opens(2), 90 * DOLLAR)]


def test_an_order_takes_a_tenth_of_a_bars_volume_and_the_rest_waits() -> None:
    # 10 wanted; bars of 40, 50 and 1,000 shares give 4, 5 and the last one
    sizes = [40, 50, 1_000]
    bars = [moment(day, volume=size * 10**6) for day, size in enumerate(sizes, start=1)]
    start = state(deposit(), open_orders=[order()])
    result, journal = run(bars, start)
    assert [fill.quantity for fill in result.fills] == [4 * SHARE, 5 * SHARE, SHARE]
    assert [event[1:3] for event in journal.events] == [
        (opens(1), PARTIAL),
        (opens(2), PARTIAL),
        (opens(3), FILLED),
    ]
    assert [entry.ref for entry in journal.entries] == [f"{'a' * 32}.{n}" for n in (1, 2, 3)]
    assert (start.open_orders, start.portfolio.held("AAPL")) == ((), 10 * SHARE)


def test_the_rest_of_a_stop_order_is_filled_at_the_next_open_once_it_is_triggered() -> None:
    """The stop at 105 is touched, 4 of 10 are there; the next bar never comes near 105 again."""
    stop = replace(order(), type=STOP, stop_price=105 * DOLLAR)
    bars = [
        moment(1, high=106 * DOLLAR, volume=40 * 10**6),
        moment(2, 90 * DOLLAR),
    ]
    result, journal = run(bars, state(deposit(), open_orders=[stop]))
    assert [(fill.price, fill.quantity) for fill in result.fills] == [
        (105 * DOLLAR, 4 * SHARE),
        (90 * DOLLAR, 6 * SHARE),
    ]
    assert [event[2] for event in journal.events] == [TRIGGERED, PARTIAL, FILLED]


def test_another_symbol_fills_nothing() -> None:
    start = state(deposit(), open_orders=[order()])
    result, _ = run([moment(1, symbol="MSFT")], start)
    assert result.fills == ()


def test_a_split_voids_the_orders_placed_before_it() -> None:
    start = state(
        deposit(),
        bought(3 * SHARE, 100 * DOLLAR),
        open_orders=[order(), order(symbol="MSFT", key="m" * 32)],
        prices={"AAPL": 100 * DOLLAR, "MSFT": DOLLAR},
    )
    result, journal = run([moment(1, 50 * DOLLAR, splits=(DOUBLE,))], start)
    assert result.fills == ()
    assert journal.events == [("a" * 32, opens(1), CANCELLED, "2-for-1 split before the fill")]
    assert [waiting.order.symbol for waiting in result.state.open_orders] == ["MSFT"]
    assert result.state.portfolio.held("AAPL") == 6 * SHARE
    assert result.state.portfolio.positions["AAPL"].cost == 300 * DOLLAR


def test_a_split_of_long_ago_leaves_a_younger_order_alone() -> None:
    """A symbol's first order makes all its bars since the account opened be walked once."""
    start = state(deposit(), open_orders=[order(placed_at=closes(2))])
    bars = [moment(1, 50 * DOLLAR, splits=(DOUBLE,)), moment(2), moment(3, 51 * DOLLAR)]
    result, journal = run(bars, start)
    assert [(fill.ts, fill.price) for fill in result.fills] == [(opens(3), 51 * DOLLAR)]
    assert [event[2] for event in journal.events] == [FILLED]


def test_a_split_moves_the_last_price_too_so_that_nothing_seems_lost() -> None:
    # 10 at 100, halted trading on the split day: 20 at 50 is the same 1,000
    start = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    other = moment(1, DOLLAR, symbol="ZZZ", splits=(DOUBLE._replace(symbol="AAPL"),))
    result, _ = run([other], start)
    assert result.state.prices["AAPL"] == 50 * DOLLAR
    assert result.state.equity == 100_000 * DOLLAR


def test_a_reverse_split_may_leave_no_share_at_all() -> None:
    start = state(deposit(), bought(4, 100 * DOLLAR))
    ten = Split(symbol="AAPL", ex_date=session(1), split_from=10, split_to=1)
    result, journal = run([moment(1, 1_000 * DOLLAR, splits=(ten,))], start)
    assert result.state.portfolio.positions == {}
    assert [entry.quantity for entry in journal.entries] == [-4]


def test_dividends_go_to_those_who_held_at_the_close_before() -> None:
    bar = moment(1, dividends=(QUARTER,))
    waiting = [order("buy", 10 * SHARE)]
    bought_at_the_open, _ = run([bar], state(deposit(), open_orders=waiting))
    assert bought_at_the_open.state.portfolio.dividends == 0
    start = state(
        deposit(), bought(8 * SHARE, 100 * DOLLAR), open_orders=[order("sell", 8 * SHARE)]
    )
    sold_at_the_open, journal = run([bar], start)
    assert sold_at_the_open.state.portfolio.dividends == 2 * DOLLAR
    paid = journal.entries[0]
    assert (paid.kind, paid.ts, paid.quantity, paid.price, paid.amount, paid.ref) == (
        "dividend",
        opens(1),
        8 * SHARE,
        250_000,
        2 * DOLLAR,
        "AAPL 2024-01-02",
    )


def test_who_is_short_pays_the_dividend() -> None:
    start = state(deposit(), bought(-8 * SHARE, 100 * DOLLAR))
    result, _ = run([moment(1, dividends=(QUARTER,))], start)
    assert result.state.portfolio.dividends == -2 * DOLLAR


def test_two_orders_at_one_moment_share_the_cash_in_symbol_order() -> None:
    # 1,500 of cash: AAPL needs 1,030 at worst; then 500 are left for MSFT's 515
    bars = [
        moment(0, 50 * DOLLAR, symbol="MSFT", value=1),
        moment(0, 100 * DOLLAR, symbol="AAPL", value=1),
    ]
    (turn,) = turns_of(bars)
    assert [bar.symbol for bar in turn.moments] == ["AAPL", "MSFT"]
    _, journal = run(bars, state(deposit(1_500 * DOLLAR)), policy=POLICY)
    breaches = [[check.id for check in d.verdict.breaches] for d in journal.decisions]
    assert [(d.symbol, d.action) for d in journal.decisions] == [("AAPL", ORDER), ("MSFT", REFUSED)]
    assert breaches == [[], ["R12c"]]
    assert len(journal.marks) == 1  # one mark for the moment, not one for each symbol
    _, richer = run(bars, state(deposit(1_515 * DOLLAR)), policy=POLICY)
    assert [decision.action for decision in richer.decisions] == [ORDER, ORDER]


def test_moments_of_which_nothing_is_said_are_not_decided() -> None:
    bars = [moment(0), moment(1, value=1)]
    _, journal = run(bars, state(deposit()), policy=POLICY)
    assert [decision.ts for decision in journal.decisions] == [closes(1)]
    asked = [moment(0, signal=NO_MODEL), moment(1, value=1)]
    _, manual = run(asked, state(deposit()), policy=POLICY)
    assert [decision.action for decision in manual.decisions] == [ORDER, HOLD]


def test_a_halt_latches_for_every_later_moment_even_when_all_is_won_back() -> None:
    limits = replace(WIDE, drawdown_halt_bps=100)
    start = state(deposit(), bought(100 * SHARE, 100 * DOLLAR))
    bars = [
        moment(1, close=100 * DOLLAR, value=1),
        moment(2, close=89 * DOLLAR, value=0),  # 1,100 of 100,000 lost: 110 bps
        moment(3, close=150 * DOLLAR, value=0),  # won back, and more
    ]
    result, journal = run(bars, start, policy=POLICY, limits=limits)
    assert [decision.action for decision in journal.decisions] == [HOLD, REFUSED, REFUSED]
    cause = "R19 drawdown 110 bps over 100"
    assert journal.halts == [(closes(2), cause)]
    assert result.state.halt == cause
    assert [check.id for check in journal.decisions[2].verdict.breaches] == ["R01"]


def test_an_order_that_waits_when_a_halt_comes_is_filled_and_written_down() -> None:
    start = state(deposit(), open_orders=[order()], halt="earlier")
    result, _ = run([moment(1)], start, policy=POLICY)
    assert len(result.fills) == 1


def test_daily_loss_is_measured_from_the_last_mark_of_the_session_before() -> None:
    hour = 3_600_000_000

    def start() -> TradingState:
        return state(deposit(), bought(100 * SHARE, 100 * DOLLAR))

    bars = [
        moment(0, close=110 * DOLLAR),
        moment(0, close=120 * DOLLAR)._replace(ts=closes(0) + hour),  # the last of its session
        moment(1, close=115 * DOLLAR),
        moment(1, close=90 * DOLLAR)._replace(ts=closes(1) + hour),
    ]
    seen = [run(bars[: n + 1], start())[0].state for n in range(len(bars))]
    assert [one.session_profit for one in seen] == [0, 0, 2_000 * DOLLAR, 2_000 * DOLLAR]
    assert [one.peak_profit for one in seen] == [n * DOLLAR for n in (1_000, 2_000, 2_000, 2_000)]
    marks = run(bars, start())[1].marks
    rebuilt = opening_state(
        ACCOUNT, (), open_orders=(), marks=marks, prices={}, now=closes(1) + 2 * hour, halt=None
    )
    assert (rebuilt.session_profit, rebuilt.peak_profit) == (2_000 * DOLLAR, 2_000 * DOLLAR)
    next_day = opening_state(
        ACCOUNT, (), open_orders=(), marks=marks, prices={}, now=closes(2), halt=None
    )
    assert next_day.session_profit == -1_000 * DOLLAR


def test_an_account_always_under_water_has_its_peak_at_nothing_earned() -> None:
    marks = [Mark(closes(0), 90, 0, 100), Mark(closes(1), 95, 0, 100)]
    opened = opening_state(
        ACCOUNT, (), open_orders=(), marks=marks, prices={}, now=closes(1), halt=None
    )
    assert (opened.peak_profit, opened.session_profit, opened.last_mark) == (0, -10, marks[1])


def test_no_mark_is_taken_without_a_price_nor_back_in_time() -> None:
    unpriced = state(deposit(), bought(SHARE, DOLLAR, symbol="ZZZ"))
    assert run([moment(1)], unpriced)[1].marks == []
    marked = state(deposit(), last_mark=Mark(closes(2), 1, 2, 3))
    _, journal = run([moment(1), moment(2), moment(3)], marked)
    assert [mark.ts for mark in journal.marks] == [closes(3)]


def test_equity_and_committed_cash_are_unknown_without_a_price() -> None:
    unpriced = state(deposit(), bought(SHARE, DOLLAR, symbol="ZZZ"))
    assert (unpriced.equity, unpriced.profit, unpriced.position_value("ZZZ")) == (None, None, None)
    assert state(open_orders=[order(symbol="ZZZ")]).committed() is None
    assert state(open_orders=[order("sell", symbol="ZZZ")]).committed() == 0


def test_a_voided_order_is_never_filled_and_a_filled_one_only_once() -> None:
    voided = state(deposit(), open_orders=[order()])
    result, journal = run([moment(1, splits=(DOUBLE,)), moment(2)], voided)
    assert (result.fills, [event[2] for event in journal.events]) == ((), [CANCELLED])
    filled, journal = run([moment(1), moment(2)], state(deposit(), open_orders=[order()]))
    assert [fill.ts for fill in filled.fills] == [opens(1)]
    assert [event[2] for event in journal.events] == [FILLED]
