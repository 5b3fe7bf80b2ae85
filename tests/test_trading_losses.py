"""Losses: which valuations of three weeks halt or reduce, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from algotrade.domain.ledger import Mark, Stretch
from algotrade.domain.risk import Limits
from algotrade.trading.losses import halting, losses_of, rising, warnings
from algotrade.trading.state import TradingState
from builders import ACCOUNT, DOLLAR, bought, closes, deposit, replace, state

PAID = 100_000 * DOLLAR
BP = 10 * DOLLAR  # of what was paid in
# 2024-01-01 is a Monday; day and profit in bps of what was paid in
WEEKS = (
    (0, 0),
    (1, -200),  # 200 of 10,000: at the limit of a day
    (2, -401),  # 201 of 9,800 are 205.1 bps: over it
    (3, -402),
    (4, -501),  # 501 since the week before: over 500
    (7, -501),  # a new week
    (8, -690),  # 189 of 9,499 are 199.0
    (9, -870),  # of the week 369 of 9,499: 388.5
    (10, -970),  # 469 of 9,499: 493.7
    (11, -975),
    (14, -1_001),  # from the highest mark 1,001: over 1,000
)
COMPLETE = Limits(complete=True)


def stretch(marks: tuple[tuple[int, int], ...] = WEEKS) -> Stretch:
    """All of it is held: no cash, and so the value is what was paid in and the profit."""
    times = [closes(day) for day, _ in marks]
    return Stretch(times, 0, [PAID + profit * BP for _, profit in marks], PAID)


def account(**changes: Any) -> TradingState:  # noqa: ANN401  its own fields
    return TradingState(account=ACCOUNT, **changes)


@pytest.mark.parametrize(
    ("limits", "reducing", "places"),
    [
        (COMPLETE, None, [2, 4, 10]),
        (COMPLETE, "before", [4, 10]),  # over 200 it reduces already, over 300 it would halt
        (Limits(), None, [10]),  # weeks, and reducing that lasts, are of complete limits
        (replace(COMPLETE, daily_loss_reduce_bps=206), None, [4, 10]),
        (replace(COMPLETE, daily_loss_reduce_bps=205), None, [2, 4, 10]),
        (replace(COMPLETE, daily_loss_reduce_bps=500, daily_loss_halt_bps=205), None, [2, 4, 10]),
        (replace(COMPLETE, weekly_loss_halt_bps=501), None, [2, 10]),
        (replace(COMPLETE, drawdown_halt_bps=1_001), None, [2, 4]),
        (replace(COMPLETE, drawdown_halt_bps=974), None, [2, 4, 9, 10]),
        (Limits(drawdown_halt_bps=1_001), None, []),
        (Limits(drawdown_halt_bps=10**9, daily_loss_halt_bps=10**9), None, []),
    ],
)
def test_valuations_that_halt_or_reduce(
    limits: Limits, reducing: str | None, places: list[int]
) -> None:
    assert list(halting(stretch(), account(reducing=reducing), limits)) == places


def test_what_was_marked_before_opens_the_session_and_the_week() -> None:
    """On Sunday before +300 bps: Monday's 0 is 291.3 of 10,300; on the same Monday it is none."""
    first = stretch(WEEKS[:1])
    sunday = account(last_mark=Mark(closes(-1), 0, PAID + 300 * BP, PAID), peak_profit=300 * BP)
    monday = account(last_mark=Mark(closes(0) - 1, 0, PAID + 300 * BP, PAID), peak_profit=300 * BP)
    assert list(halting(first, sunday, COMPLETE)) == [0]
    assert list(halting(first, sunday, replace(COMPLETE, daily_loss_reduce_bps=292))) == []
    weekly = replace(COMPLETE, daily_loss_reduce_bps=292, weekly_loss_halt_bps=291)
    assert list(halting(first, sunday, weekly)) == [0]
    assert list(halting(first, monday, weekly)) == []
    assert list(halting(first, monday, replace(weekly, drawdown_halt_bps=291))) == [0]


def test_an_account_worth_nothing_has_no_part_to_lose() -> None:
    nothing = Stretch([closes(0), closes(1)], 0, [0, -5], 0)
    assert list(halting(nothing, account(), COMPLETE)) == []


def test_without_a_price_no_loss_is_known_and_none_is_told() -> None:
    unpriced = state(deposit(), bought(1, DOLLAR, symbol="MSFT"))
    assert losses_of(unpriced) == (None, None, None)
    assert rising(unpriced, COMPLETE) is None
    assert warnings(unpriced, COMPLETE) == ()


def test_a_drawdown_warns_by_its_own_limit() -> None:
    now = state(deposit(), peak_profit=PAID // 16)  # 6,250 of 106,250 are 588.2 bps
    told = [(one.id, one.value, one.limit, one.status) for one in warnings(now, COMPLETE)]
    assert told == [("R19", 589, 500, "warn")]
    assert warnings(now, replace(COMPLETE, drawdown_warn_bps=589)) == ()
