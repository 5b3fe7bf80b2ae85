"""Risk: the largest size that would pass by hand, and the edges of what can be computed."""

from __future__ import annotations

import pytest

from algotrade.domain.orders import PARTIAL, OpenOrder
from algotrade.domain.risk import FAIL, Check, Limits, Rates, RiskVerdict, verdict_of
from algotrade.trading.risk import check_order, is_reducing
from builders import DOLLAR, SHARE, WIDE, bought, deposit, order, replace, state, world
from rule_cases import CALM, COMPLETE, scene

HOLDING = (deposit(), bought(10 * SHARE, 100 * DOLLAR))


def check_of(verdict: RiskVerdict, check_id: str) -> Check:
    return next(check for check in verdict.made if check.id == check_id)


def test_what_is_held_already_leaves_less_to_buy() -> None:
    """Worst is 103. 206 bps of 100,000 are 20 shares, 10 are held; MSFT takes 25 bps of gross."""
    prices = {"AAPL": 100 * DOLLAR, "MSFT": 50 * DOLLAR}
    with_other = (*HOLDING, bought(5 * SHARE, 50 * DOLLAR, symbol="MSFT", ref="m"))
    for limits, entries in (
        (replace(WIDE, max_position_bps=206), HOLDING),
        (replace(WIDE, max_gross_bps=206), HOLDING),
        (replace(WIDE, max_gross_bps=231), with_other),
    ):
        now = state(*entries, prices=prices)
        assert (
            check_order(order("buy", 11 * SHARE), now, limits, world()).max_quantity == 10 * SHARE
        )


def test_what_is_held_leaves_more_to_sell_short() -> None:
    """10 held and 20 short are 30 to sell."""
    for name in ("max_position_bps", "max_gross_bps"):
        limits = replace(WIDE, allow_short=True, **{name: 206})
        verdict = check_order(order("sell", 31 * SHARE), state(*HOLDING), limits, world())
        assert verdict.max_quantity == 30 * SHARE


def test_waiting_buys_leave_less_cash() -> None:
    """1,530 less 500 that wait are 1,030: 10 at 103. A half-filled order waits with its rest."""
    waiting = order("buy", 10 * SHARE, key="w" * 32)
    half = OpenOrder(waiting, filled=5 * SHARE, fills=1)
    now = state(deposit(1_530 * DOLLAR), open_orders=[half])
    assert check_order(order("buy", 11 * SHARE), now, WIDE, world()).max_quantity == 10 * SHARE
    assert (half.left, half.signed_left) == (5 * SHARE, 5 * SHARE)
    sale = OpenOrder(order("sell", 10 * SHARE), filled=SHARE)
    assert (sale.left, sale.signed_left) == (9 * SHARE, -9 * SHARE)
    assert PARTIAL == "partial"


def test_the_larger_of_buying_back_and_buying_on_is_told() -> None:
    """5 are short: buying them back passes, but 12 pass, too."""
    short = state(deposit(), bought(-5 * SHARE, 100 * DOLLAR))
    limits = replace(WIDE, max_order_quantity=12 * SHARE)
    assert check_order(order("buy", 13 * SHARE), short, limits, world()).max_quantity == 12 * SHARE
    one = replace(WIDE, max_order_quantity=1)
    assert check_order(order("buy", 2), state(deposit()), one, world()).max_quantity == 1
    none_on = replace(WIDE, max_order_quantity=0)
    assert check_order(order("buy", 6 * SHARE), short, none_on, world()).max_quantity == 5 * SHARE


@pytest.mark.parametrize(("volume", "largest"), [(1_000 * SHARE, 50 * SHARE), (20, 1), (19, 0)])
def test_a_sale_is_halved_until_its_volume_allows_it(volume: int, largest: int) -> None:
    """A reducing order may take 5% of the volume: 50 of 1,000; of 19 nano-shares not one."""
    market = replace(CALM.market, volume=volume)
    asked = scene(order=order("sell", 10 * SHARE), state=state(*HOLDING))
    held = state(deposit(), bought(100 * SHARE, 100 * DOLLAR))
    sale = asked._replace(
        order=order("sell", 100 * SHARE), state=held, conditions=CALM._replace(market=market)
    )
    verdict = sale.verdict()
    assert [check.id for check in verdict.breaches] == ["R24"]
    assert verdict.max_quantity == largest


@pytest.mark.parametrize(("volume", "largest"), [(100, 1), (99, 0), (300 * SHARE, 3 * SHARE)])
def test_a_purchase_is_halved_to_the_nano_share(volume: int, largest: int) -> None:
    """A hundredth of the volume may be bought."""
    market = replace(CALM.market, volume=volume)
    verdict = scene(conditions=CALM._replace(market=market)).verdict()
    assert {check.id for check in verdict.breaches} >= {"R24"}
    assert verdict.max_quantity == largest


def test_what_halts_leaves_no_size() -> None:
    now = state(*HOLDING, peak_profit=100_000 * DOLLAR)
    limits = replace(WIDE, drawdown_halt_bps=100, max_order_quantity=SHARE)
    verdict = check_order(order(), now, limits, world())
    assert (verdict.halt, verdict.max_quantity) == ("R19 drawdown 5000 bps over 100", 0)
    assert check_order(None, now, limits, world()).max_quantity is None


def test_a_loss_that_halts_is_told_before_a_row_that_does() -> None:
    lost = state(deposit(), deposit(-400 * DOLLAR, ref="lost")._replace(kind="dividend"))
    many = CALM._replace(rates=Rates(strategy=100))
    asked = scene(state=lost, conditions=many, limits=replace(COMPLETE, daily_loss_halt_bps=39))
    assert asked.verdict().halt == "R18 daily loss 40 bps over 39"
    by_row = asked._replace(limits=COMPLETE)
    assert by_row.verdict().halt == "R16 strategy orders 101 over 100"
    lost.halt = "told before"
    assert by_row.verdict().halt is None


@pytest.mark.parametrize(
    ("rates", "rule_id"),
    [
        (Rates(breaches=2, alike=(("buy", 10 * SHARE),)), "R04"),
        (Rates(breaches=2, minute=60), "R15"),
        (Rates(breaches=2, day=200), "R15d"),
        (Rates(breaches=2, symbol=3), "R15s"),
    ],
)
def test_every_refusal_for_rate_counts_to_a_halt(rates: Rates, rule_id: str) -> None:
    verdict = scene(conditions=CALM._replace(rates=rates)).verdict()
    assert [check.id for check in verdict.breaches] == [rule_id]
    assert verdict.halt == "R15 order rate: 3 orders refused by R04 or R15 in one day"


def test_other_refusals_count_to_none() -> None:
    refused = scene(
        limits=replace(COMPLETE, max_order_quantity=SHARE),
        conditions=CALM._replace(rates=Rates(breaches=9)),
    ).verdict()
    assert ([check.id for check in refused.breaches], refused.halt) == (["R06"], None)
    twice = replace(COMPLETE, rate_breaches_halt=2)
    assert scene(conditions=CALM._replace(rates=None), limits=twice).verdict().halt is None


# ---- edges of what can be computed


def test_an_order_for_nothing_has_no_direction() -> None:
    for nothing in (order("sell", 0), order("buy", 0)):
        assert not is_reducing(nothing, state(*HOLDING))
        assert not is_reducing(nothing, state(deposit()))
    asked = scene(order=order("sell", 0), state=state(*HOLDING))
    assert [check.id for check in asked.verdict().breaches] == ["R08"]
    assert asked.verdict().max_quantity == 0


def test_without_cash_not_a_micro_dollar_is_to_be_spent() -> None:
    spent = state(deposit(1_000 * DOLLAR), bought(10 * SHARE, 100 * DOLLAR))
    found = check_of(check_order(order("buy", 1), spent, WIDE, world()), "R12c")
    assert (found.value, found.limit, found.status) == (1, 0, FAIL)
    owing = state(deposit(900 * DOLLAR), bought(10 * SHARE, 100 * DOLLAR))
    found = check_of(check_order(order("sell", 1), owing, WIDE, world()), "R12c")
    assert (found.value, found.limit) == (100 * DOLLAR, 0)  # what is owed is needed


def test_the_least_price_equity_and_size_are_computed() -> None:
    cheap = check_order(order(), state(deposit(), prices={"AAPL": 1}), WIDE, world(1))
    assert check_of(cheap, "R05").value == 20  # 1 and the collar, rounded up, for 10 shares
    assert cheap.passed
    poor = check_order(order("buy", 1), state(deposit(1)), WIDE, world())
    assert check_of(poor, "R10").value == 10_000
    assert check_of(poor, "R05").value == 1


def test_a_position_that_ends_has_no_value_at_any_price() -> None:
    verdict = check_order(order("sell", 10 * SHARE), state(*HOLDING), WIDE, world(None))
    assert check_of(verdict, "R10").value == 0


def test_no_equity_has_no_part_for_an_order() -> None:
    unpriced = state(deposit(), bought(SHARE, DOLLAR, symbol="MSFT"))
    owing = state(deposit(), bought(SHARE, 200_000 * DOLLAR))
    for now in (unpriced, owing):
        assert check_of(check_order(order(), now, WIDE, world()), "R05").limit == 0


def test_a_verdict_is_put_together_from_its_checks() -> None:
    verdict = check_order(order("buy", 10**15), state(deposit()), Limits(), world())
    assert verdict_of(verdict.made, verdict.max_quantity, verdict.halt) == verdict
    assert verdict_of(verdict.checks).letters.count("n") == len(verdict.checks) - 11
