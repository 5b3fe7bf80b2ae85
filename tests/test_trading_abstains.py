"""A model that abstains: nothing is entered, what it speaks against still ends."""

from __future__ import annotations

import pytest

from algotrade.domain.decisions import IN, OUT, PROBABILITY, Policy, Sizing
from algotrade.domain.signals import DOWN, DRIFTED, EXPIRED, KEEP, UNFAMILIAR, UP, Signal
from algotrade.trading.counterfactual import Case, counterfactuals
from algotrade.trading.decision import wished
from builders import ACCOUNT, DOLLAR, SHARE, WIDE, bought, deposit, moment, replace, state, world

TEN = 10 * SHARE


def said(stance: int, why: str, *, weight: int = 1_000_000) -> Signal:
    return Signal("m", stance, 0.4 if stance == DOWN else 0.6, 0.5, weight=weight, abstains=why)


def asked(signal: Signal, held: int, **changes: object) -> tuple[str, int, str]:
    policy: Policy = replace(Policy(account=ACCOUNT, strategy="model", quantity=TEN), **changes)
    entries = [deposit()] + ([bought(held, 100 * DOLLAR)] if held else [])
    wish = wished(moment(1, signal=signal), state(*entries, prices={"AAPL": 100 * DOLLAR}), policy)
    return wish.side, wish.quantity, wish.code


@pytest.mark.parametrize("why", [EXPIRED, UNFAMILIAR, DRIFTED])
def test_nothing_is_entered_and_exits_work(why: str) -> None:
    up, down = said(KEEP, why), said(DOWN, why)
    assert asked(up, 0)[1:] == (0, OUT)
    assert asked(up, 4 * SHARE)[1:] == (0, IN)  # not filled up to ten either
    assert asked(down, TEN) == ("sell", TEN, OUT)
    assert asked(down, 12 * SHARE) == ("sell", TEN, OUT)
    assert asked(down, 0)[1:] == (0, OUT)


def test_a_short_is_not_entered_but_covered() -> None:
    assert asked(said(DOWN, EXPIRED), 0, short=True)[1:] == (0, OUT)
    assert asked(said(DOWN, EXPIRED), TEN, short=True) == ("sell", TEN, OUT)  # and no further
    assert asked(said(KEEP, EXPIRED), -TEN, short=True) == ("buy", TEN, OUT)
    keeps = Signal("m", KEEP, 0.45, 0.5, abstains=EXPIRED)  # between two thresholds
    assert asked(keeps, -TEN, short=True)[1:] == (0, IN)


def test_one_order_in_a_direction_only_ends_what_is_held() -> None:
    assert asked(said(KEEP, EXPIRED), 0, side="buy")[1] == 0
    assert asked(said(DOWN, EXPIRED), 0, side="sell")[1] == 0
    assert asked(said(DOWN, EXPIRED), 3 * SHARE, side="sell")[:2] == ("sell", 3 * SHARE)


def test_a_weight_is_followed_down_and_not_up() -> None:
    sizing = Sizing(PROBABILITY, 1_000)  # a tenth of equity: 100 shares at most
    assert asked(said(KEEP, DRIFTED), 50 * SHARE, sizing=sizing)[1:] == (0, IN)
    side, quantity, _ = asked(said(KEEP, DRIFTED, weight=0), 50 * SHARE, sizing=sizing)
    assert (side, quantity) == ("sell", 50 * SHARE)


def test_the_nearest_change_is_that_it_had_not_abstained() -> None:
    signal = said(KEEP, DRIFTED)
    policy = Policy(account=ACCOUNT, strategy="model", quantity=TEN)
    case = Case(moment(1, signal=signal), state(deposit()), policy, WIDE, world())
    found = counterfactuals(case)
    assert [(one.changes[0].what, one.changes[0].was) for one in found] == [("abstains", DRIFTED)]
    assert found[0].then.order is not None
    assert (found[0].then.order.side, found[0].then.order.quantity) == ("buy", TEN)
    plain = signal._replace(abstains="", stance=UP)
    assert wished(case.moment._replace(signal=plain), case.state, policy).quantity == TEN
