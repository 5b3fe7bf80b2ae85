"""The decision: a target that is never trimmed, one direction as asked, reasons, identity."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.decisions import HOLD, ORDER, REFUSED, Decision, Policy
from algotrade.trading.decision import decide, latched
from builders import (
    ACCOUNT,
    DOLLAR,
    SHARE,
    WIDE,
    bought,
    closes,
    deposit,
    moment,
    order,
    state,
    world,
)

if TYPE_CHECKING:
    from algotrade.domain.orders import Order

TEN = 10 * SHARE


def policy(**changes: object) -> Policy:
    base = Policy(account=ACCOUNT, strategy="model", quantity=TEN)
    return replace(base, **changes)  # type: ignore[arg-type]  # each test names a true field


def outcome(decision: Decision) -> tuple[str, str | None, int]:
    placed = decision.order
    return decision.action, placed.side if placed else None, placed.quantity if placed else 0


def told(
    value: int | None, *, held: int = 0, waiting: tuple[Order, ...] = (), **changes: object
) -> tuple[str, str | None, int]:
    entries = [deposit(), *([bought(held, 100 * DOLLAR)] if held else [])]
    situation = state(*entries, open_orders=waiting)
    return outcome(decide(moment(0, value=value), situation, policy(**changes), WIDE, world()))


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
def test_no_prediction_is_no_signal(side: str | None) -> None:
    assert told(None, held=20 * SHARE, side=side) == (HOLD, None, 0)


@pytest.mark.parametrize(("side", "expected"), [(None, "buy"), ("buy", "buy"), ("sell", "sell")])
def test_without_a_model_the_word_of_the_user_counts(side: str | None, expected: str) -> None:
    quantity = 20 * SHARE
    told_to = told(None, held=10 * SHARE, side=side, use_model=False, quantity=quantity)
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


def test_reasons_are_sentences_with_the_numbers() -> None:
    up = decide(moment(0, value=1), state(deposit()), policy(), WIDE, world())
    assert up.reason == "model says up, p(up) 0.6250 against 0.5: hold 10, have 0"
    down = decide(moment(0, value=0), state(deposit()), policy(), WIDE, world())
    assert down.reason == "model says down, p(up) 0.2500 against 0.5: nothing to sell"
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


def test_a_halt_is_latched_once_and_keeps_its_first_cause() -> None:
    limits = replace(WIDE, drawdown_halt_bps=100)
    fallen = state(deposit(), peak_profit=5_000 * DOLLAR)
    decision = decide(moment(0, value=1), fallen, policy(), limits, world())
    assert decision.action == REFUSED
    # 5,000 of 105,000 is 476.19 bps, rounded up
    cause = "R19 drawdown 477 bps over 100"
    assert decision.reason.startswith(f"refused by risk: halt: {cause}, R19")
    halted = latched(fallen, decision)
    assert halted == replace(fallen, halt=cause)
    earlier = replace(fallen, halt="earlier")
    assert latched(earlier, decision) is earlier


def test_a_hold_latches_too_and_nothing_to_latch_changes_nothing() -> None:
    limits = replace(WIDE, daily_loss_halt_bps=100)
    fallen = state(deposit(), session_profit=2_000 * DOLLAR)
    decision = decide(moment(0, value=0), fallen, policy(), limits, world())
    assert decision.action == HOLD
    assert latched(fallen, decision).halt == "R18 daily loss 197 bps over 100"
    calm = state(deposit())
    assert latched(calm, decide(moment(0, value=1), calm, policy(), limits, world())) is calm
