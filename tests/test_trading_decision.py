"""The decision: a target that is never trimmed, one direction as asked, reasons, identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import (
    HALTED,
    HOLD,
    IN,
    ORDER,
    OUT,
    REFUSED,
    SILENT,
    Decision,
    Policy,
)
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.decision import decide
from algotrade.trading.session import Decider, MemoryJournal, run_session, turns_of
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
    state,
    world,
)

if TYPE_CHECKING:
    from algotrade.domain.orders import Order
    from algotrade.domain.risk import Limits
    from algotrade.domain.signals import Signal
    from algotrade.trading.state import TradingState

TEN = 10 * SHARE


def policy(**changes: object) -> Policy:
    base = Policy(account=ACCOUNT, strategy="model", quantity=TEN)
    return replace(base, **changes)


def outcome(decision: Decision) -> tuple[str, str | None, int]:
    placed = decision.order
    return decision.action, placed.side if placed else None, placed.quantity if placed else 0


def told(
    value: int | None,
    *,
    held: int = 0,
    waiting: tuple[Order, ...] = (),
    signal: Signal | None = None,
    **changes: object,
) -> tuple[str, str | None, int]:
    entries = [deposit(), *([bought(held, 100 * DOLLAR)] if held else [])]
    situation = state(*entries, open_orders=waiting)
    bar = moment(0, value=value, signal=signal)
    return outcome(decide(bar, situation, policy(**changes), WIDE, world()))


@pytest.mark.parametrize(
    ("held", "waiting", "expected"),
    [
        (0, (), (ORDER, "buy", 10 * SHARE)),
        (4 * SHARE, (), (ORDER, "buy", 6 * SHARE)),
        (4 * SHARE, (order("buy", 2 * SHARE),), (ORDER, "buy", 4 * SHARE)),
        (10 * SHARE, (), (HOLD, None, 0)),
        (25 * SHARE, (), (HOLD, None, 0)),  # more than asked is never trimmed
        (0, (order("buy", 10 * SHARE),), (HOLD, None, 0)),
        (0, (order("buy", 10 * SHARE, symbol="MSFT"),), (ORDER, "buy", 10 * SHARE)),
        (10 * SHARE - 1, (), (ORDER, "buy", 1)),
    ],
)
def test_up_buys_what_is_missing(
    held: int, waiting: tuple[Order, ...], expected: tuple[str, str | None, int]
) -> None:
    prices = {"AAPL": 100 * DOLLAR, "MSFT": 50 * DOLLAR}
    entries = [deposit(), *([bought(held, 100 * DOLLAR)] if held else [])]
    situation = state(*entries, open_orders=waiting, prices=prices)
    assert outcome(decide(moment(0, value=1), situation, policy(), WIDE, world())) == expected


@pytest.mark.parametrize(
    ("held", "waiting", "expected"),
    [
        (0, (), (HOLD, None, 0)),
        (4 * SHARE, (), (ORDER, "sell", 4 * SHARE)),
        (10 * SHARE, (), (ORDER, "sell", 10 * SHARE)),
        (25 * SHARE, (), (ORDER, "sell", 10 * SHARE)),  # min(held, qty)
        (10 * SHARE, (order("sell", 4 * SHARE),), (ORDER, "sell", 6 * SHARE)),
        (10 * SHARE, (order("sell", 10 * SHARE),), (HOLD, None, 0)),
        (0, (order("buy", 10 * SHARE),), (HOLD, None, 0)),  # nothing is held yet
    ],
)
def test_down_sells_what_is_held_up_to_the_quantity(
    held: int, waiting: tuple[Order, ...], expected: tuple[str, str | None, int]
) -> None:
    assert told(0, held=held, waiting=waiting) == expected


@pytest.mark.parametrize(
    ("side", "value", "expected"),
    [
        ("buy", 1, (ORDER, "buy", TEN)),
        ("buy", 0, (HOLD, None, 0)),
        ("sell", 0, (ORDER, "sell", TEN)),
        ("sell", 1, (HOLD, None, 0)),
    ],
)
def test_a_side_is_placed_only_if_the_model_agrees(
    side: str, value: int, expected: tuple[str, str | None, int]
) -> None:
    assert told(value, held=20 * SHARE, side=side) == expected


def test_a_side_is_one_order_whatever_is_held() -> None:
    assert told(1, held=50 * SHARE, side="buy") == (ORDER, "buy", TEN)


@pytest.mark.parametrize("side", [None, "buy", "sell"])
def test_nothing_said_is_a_hold(side: str | None) -> None:
    assert told(None, held=20 * SHARE, side=side) == (HOLD, None, 0)
    silent = decide(moment(0), state(deposit()), policy(side=side), WIDE, world())
    assert (silent.code, silent.reason) == (SILENT, "nothing is said of this bar")


@pytest.mark.parametrize(("side", "expected"), [(None, "buy"), ("buy", "buy"), ("sell", "sell")])
def test_without_a_model_the_word_of_the_user_counts(side: str | None, expected: str) -> None:
    quantity = 20 * SHARE
    told_to = told(None, held=10 * SHARE, side=side, signal=NO_MODEL, quantity=quantity)
    by_hand = {None: 10 * SHARE, "buy": quantity, "sell": quantity}[side]
    if side == "sell":  # more than is held: risk refuses a short sale, model or none
        assert told_to == (REFUSED, "sell", by_hand)
    else:
        assert told_to == (ORDER, expected, by_hand)


def test_a_refusal_carries_the_order_and_every_breach() -> None:
    limits = replace(WIDE, max_order_quantity=SHARE, max_order_notional=DOLLAR)
    decision = decide(moment(0, value=1), state(deposit()), policy(), limits, world())
    assert decision.action == REFUSED
    assert decision.placed is None
    assert decision.order is not None
    names = [f"{check.id} {check.name}" for check in decision.verdict.breaches]
    assert [name.split()[0] for name in names] == ["R05", "R06"]
    assert decision.reason == "refused by risk: " + ", ".join(names)
    assert decision.code == "R05,R06"


def test_reasons_are_sentences_with_the_numbers() -> None:
    up = decide(moment(0, value=1), state(deposit()), policy(), WIDE, world())
    assert up.reason == "model says up, p(up) 0.6250 against 0.5: hold 10, have 0"
    down = decide(moment(0, value=0), state(deposit()), policy(), WIDE, world())
    assert down.reason == "model says down, p(up) 0.2500 against 0.5: nothing to sell"
    by_hand = decide(moment(0, signal=NO_MODEL), state(deposit()), policy(), WIDE, world())
    assert by_hand.reason == "no model: hold 10, have 0"
    assert [decision.code for decision in (up, down, by_hand)] == [IN, OUT, IN]
    assert down.verdict.checks  # a hold is checked and written down too


def test_a_decision_tells_what_it_saw() -> None:
    waiting = (order("buy", 2 * SHARE),)
    situation = state(deposit(), bought(4 * SHARE, 90 * DOLLAR), open_orders=waiting)
    decision = decide(moment(0, value=1), situation, policy(), WIDE, world())
    # 100,000 - 4 * 90 + 4 * 100
    assert (decision.held, decision.working, decision.equity) == (
        4 * SHARE,
        2 * SHARE,
        100_040 * DOLLAR,
    )
    assert (decision.ts, decision.decided_at, decision.symbol) == (closes(0), closes(0), "AAPL")
    bar = moment(0, value=1)
    assert (decision.signal, decision.prediction) == (bar.signal, bar.prediction)


def placed(day: int = 0, now: int | None = None, **changes: object) -> Order:
    decision = decide(
        moment(day, value=1), state(deposit()), policy(**changes), WIDE, world(now=now)
    )
    assert decision.placed is not None
    return decision.placed


def test_a_target_is_one_order_a_bar_whatever_its_size_or_the_time() -> None:
    same = placed().key
    assert placed(quantity=5 * SHARE).key == same
    assert placed(now=closes(0) + 1).key == same
    assert placed(day=1).key != same
    assert placed(client_id="second").key != same
    assert placed(strategy="manual").key != same


def test_an_order_for_a_side_is_known_by_side_and_quantity() -> None:
    one = placed(side="buy").key
    assert placed(side="buy").key == one
    assert placed(side="buy", quantity=5 * SHARE).key != one
    assert placed().key != one


def run(value: int, start: TradingState, limits: Limits) -> tuple[Decision, MemoryJournal]:
    """Decide one bar in the loop, which is where a halt is latched."""
    journal = MemoryJournal()
    run_session(
        turns_of([moment(0, value=value)]),
        state=start,
        broker=SimulatedBroker(CostModel()),
        journal=journal,
        decider=Decider(policy=policy(), limits=limits, conditions=lambda _: world()),
    )
    (decision,) = journal.decisions
    return decision, journal


@pytest.mark.parametrize("earlier", [None, "earlier"])
def test_a_halt_is_latched_once_and_keeps_its_first_cause(earlier: str | None) -> None:
    limits = replace(WIDE, drawdown_halt_bps=100)
    fallen = state(deposit(), peak_profit=5_000 * DOLLAR, halt=earlier)
    before = look(fallen)
    decision, journal = run(1, fallen, limits)
    assert (decision.action, decision.code) == (REFUSED, HALTED)
    # 5,000 of 105,000 is 476.19 bps, rounded up
    cause = "R19 drawdown 477 bps over 100"
    named = "R19" if earlier is None else "R01"
    assert decision.reason.startswith(f"refused by risk: halt: {cause}, {named}")
    latched = cause if earlier is None else earlier
    marked = {**before, "last_mark": journal.marks[0], "halt": latched}
    assert look(fallen) == marked  # and nothing else has changed
    assert journal.halts == ([(closes(0), cause)] if earlier is None else [])


def test_a_hold_latches_too_and_nothing_to_latch_changes_nothing() -> None:
    limits = replace(WIDE, daily_loss_halt_bps=100)
    fallen = state(deposit(), session_profit=2_000 * DOLLAR)
    decision, journal = run(0, fallen, limits)
    assert decision.action == HOLD
    assert fallen.halt == "R18 daily loss 197 bps over 100"
    assert journal.halts == [(closes(0), fallen.halt)]
    calm = state(deposit())
    decision, journal = run(1, calm, limits)
    assert (decision.action, calm.halt, journal.halts) == (ORDER, None, [])


def test_deciding_by_itself_latches_nothing() -> None:
    limits = replace(WIDE, drawdown_halt_bps=100)
    fallen = state(deposit(), peak_profit=5_000 * DOLLAR)
    before = look(fallen)
    decision = decide(moment(0, value=1), fallen, policy(), limits, world())
    assert decision.verdict.halt is not None
    assert look(fallen) == before
