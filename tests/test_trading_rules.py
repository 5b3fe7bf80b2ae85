"""Rules: every row of the table, below, at and above its bound, unknown, missing, NaN, huge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from algotrade.config import load_settings
from algotrade.domain.ledger import Mark
from algotrade.domain.orders import LIMIT, STOP_LIMIT
from algotrade.domain.risk import (
    EXEMPT,
    FAIL,
    NOT_APPLICABLE,
    OVERRIDDEN,
    PASS,
    Limits,
    Rates,
)
from algotrade.domain.rules import (
    BACKTEST,
    FIRST_IDS,
    IF_UNKNOWN,
    LATER,
    LIVE,
    NEVER_OVERRIDDEN,
    ORDER,
    RULE,
    RULES,
    SIMULATED,
    UNKNOWN_TOO,
)
from algotrade.trading.losses import rising, warnings
from algotrade.trading.risk_rows import MEASURES, Asked
from algotrade.trading.state import TradingState, folded, week_of
from builders import DOLLAR, SHARE, WIDE, bought, closes, deposit, opens, order, replace, state
from rule_cases import CALM, CASES, COMPLETE, HUGE, part, scene, sold, stale, typed

if TYPE_CHECKING:
    from pathlib import Path


def test_every_rule_has_a_row_here_and_a_measure() -> None:
    assert list(CASES) == [rule.id for rule in RULES if rule.where]
    assert {rule.id for rule in RULES if not rule.where} == {"R11", "R24s"}
    assert set(MEASURES) == set(CASES) - set(FIRST_IDS)
    assert [rule.id for rule in LATER if rule.where] == [i for i in CASES if i not in FIRST_IDS]
    assert IF_UNKNOWN not in {RULE[rule_id].reducing for rule_id in FIRST_IDS}
    assert set(RULE) >= NEVER_OVERRIDDEN
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule_id", list(CASES))
def test_at_the_bound_passes_and_one_unit_above_fails(rule_id: str) -> None:
    bound, made, can_be_unknown = CASES[rule_id]
    for value in {max(0, bound - 1), bound}:
        found = made(value).check(rule_id)
        assert (found.status, found.limit) == (PASS, bound)
        assert found.value == value
    for value in (bound + 1, HUGE):
        if rule_id in ("R24", "R24p") and value == HUGE:
            continue  # a billionth of a share is the least volume there is
        assert made(value).check(rule_id).status == FAIL, value
        assert not made(value).verdict().passed
    if can_be_unknown:
        found = made(None).check(rule_id)
        assert (found.value, found.status) == (None, FAIL)
        assert made(None).verdict().max_quantity == 0


@pytest.mark.parametrize("rule_id", [rule_id for rule_id in CASES if CASES[rule_id][2]])
def test_a_sale_is_let_out_as_the_table_says(rule_id: str) -> None:
    """A strict reduction, of a position that is there, under the same conditions."""
    bound, made, _ = CASES[rule_id]
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR), prices={"AAPL": 100 * DOLLAR})
    if rule_id in ("R14", "R18", "R19", "R20", "R07l", "R04"):
        return  # each has a test of its own
    for value in (None, bound + 1):
        other = made(value)
        sale = other._replace(order=order("sell", 10 * SHARE), state=holding)
        found, rule = sale.check(rule_id), RULE[rule_id]
        if value is None:
            expected = EXEMPT if rule.reducing in (UNKNOWN_TOO, IF_UNKNOWN) else FAIL
        else:
            expected = EXEMPT if rule.reducing in ("exempt", UNKNOWN_TOO) else FAIL
        if found.value is not None and found.limit is not None and found.value <= found.limit:
            expected = PASS  # less of it is sold than was bought, or its price is not asked
        assert found.status == expected, value


@pytest.mark.parametrize("rule_id", ["R14", "R18", "R19", "R20"])
def test_what_waits_and_what_is_lost_keeps_nobody_from_getting_out(rule_id: str) -> None:
    bound, made, _ = CASES[rule_id]
    asked = made(bound + 1)
    asked.state.book(bought(20 * SHARE, 100 * DOLLAR, ref="held"))
    sale = asked._replace(order=order("sell", 10 * SHARE), conditions=CALM._replace(kind=BACKTEST))
    assert (sale.check(rule_id).value, sale.check(rule_id).status) == (bound + 1, EXEMPT)
    more = sale._replace(order=order("buy", 10 * SHARE))
    assert more.check(rule_id).status == FAIL


NAN: Any = float("nan")
PASSING = [rule_id for rule_id in CASES if RULE[rule_id].field]


@pytest.mark.parametrize("rule_id", PASSING)
def test_a_limit_that_is_not_a_number_lets_nothing_pass(rule_id: str) -> None:
    bound, made, _ = CASES[rule_id]
    calm = made(bound)
    assert calm.check(rule_id).status == PASS
    spoilt = calm._replace(limits=replace(calm.limits, **{RULE[rule_id].field: NAN}))
    assert spoilt.check(rule_id).status == FAIL


FACTS = {
    "rates": {"minute": "R15", "day": "R15d", "symbol": "R15s", "strategy": "R16"},
    "market": {"volume": "R24", "volatility": "R22", "ratio": "R22r", "faults": "R26"},
    "model": {"unfit": "R29", "age": "R30", "wrong": "R31", "equal": "R31c"},
    "around": {
        "mismatches": "R03",
        "reconciled": "R03a",
        "rejects": "R17",
        "closed": "R27",
        "clock_back": "R28",
        "broker_clock": "R28b",
        "mismatched": "R34",
        "disk_short": "R35",
        "reserve_missing": "R35r",
    },
}


@pytest.mark.parametrize(
    ("name", "field", "rule_id"),
    [(name, *pair) for name, fields in FACTS.items() for pair in fields.items()],
)
def test_a_fact_that_is_not_a_number_lets_nothing_pass(name: str, field: str, rule_id: str) -> None:
    assert part(name, field)(NAN).check(rule_id).status == FAIL
    assert not part(name, field)(NAN).verdict().passed


def test_a_price_or_an_age_that_is_not_a_number_lets_nothing_pass() -> None:
    unpriced = scene(conditions=CALM._replace(reference_price=NAN)).verdict()
    failed = {check.id for check in unpriced.breaches}
    assert failed == {"R05", "R07", "R10", "R12", "R12c", "R14"}
    assert unpriced.max_quantity == 0
    assert [check.id for check in stale(NAN).verdict().breaches] == ["R25"]


MISSING = {
    "rates": {"R04", "R15", "R15d", "R15s", "R16"},
    "market": {"R22", "R22r", "R23", "R23e", "R24", "R24p", "R26"},
    "around": {"R02", "R03", "R03a", "R17", "R27", "R28", "R28b", "R34", "R35", "R35r"},
}


@pytest.mark.parametrize("name", list(MISSING))
def test_what_nobody_gathered_fails_by_name(name: str) -> None:
    verdict = scene(conditions=replace(CALM, **{name: None})).verdict()
    assert {check.id for check in verdict.breaches} == MISSING[name]
    assert {check.value for check in verdict.breaches} == {None}
    assert (verdict.max_quantity, verdict.halt, verdict.reduce) == (0, None, None)


def test_unknown_orders_block_their_own_symbol_for_sales_too() -> None:
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    for symbol, status in (("MSFT", EXEMPT), ("AAPL", FAIL)):
        around = replace(CALM.around, unknown=(symbol,))
        sale = scene(
            order=order("sell", SHARE), state=holding, conditions=CALM._replace(around=around)
        )
        assert sale.check("R02").status == status
        assert sale.verdict().reduce == "R02 unknown orders 1 over 0"


def test_a_reducing_order_may_take_five_times_the_part_of_volume() -> None:
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    for parts, status in ((500, PASS), (501, FAIL), (None, EXEMPT)):
        volume = None if parts is None else -(-10 * SHARE * 10_000 // parts)
        market = replace(CALM.market, volume=volume)
        conditions = CALM._replace(market=market)
        sale = scene(order=order("sell", 10 * SHARE), state=holding, conditions=conditions)
        found = sale.check("R24")
        assert (found.value, found.limit, found.status) == (parts, 500, status)


def test_half_a_history_halves_the_limits_of_the_book() -> None:
    for days, bound in ((249, 150), (250, 300), (60, 150)):
        market = replace(CALM.market, own=(0,) * days, others=(0,) * days)
        found = scene(conditions=CALM._replace(market=market))
        assert found.check("R23").limit == bound
        assert found.check("R23e").limit == bound * 3 // 2


def test_what_lies_off_the_tick_is_a_fault_of_live_orders_only() -> None:
    for price, faults in ((100 * DOLLAR + 1, 1), (100 * DOLLAR, 0), (500_100, 0), (500_101, 1)):
        asked = scene(order=typed(LIMIT, limit_price=price))
        assert asked.check("R08").value == faults
        paper = asked._replace(conditions=CALM._replace(kind=SIMULATED))
        assert paper.check("R08").value == 0


def test_a_stop_limit_is_measured_from_its_stop_and_only_on_the_costly_side() -> None:
    buy = typed(STOP_LIMIT, stop_price=110 * DOLLAR, limit_price=111 * DOLLAR)
    assert scene(order=buy).check("R07l").value == 91  # 1 of 110
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    for price, value in ((98 * DOLLAR, 200), (105 * DOLLAR, 0)):
        sale = typed(LIMIT, side="sell", limit_price=price)
        assert scene(order=sale, state=holding).check("R07l").value == value


def test_manual_orders_are_not_automated() -> None:
    rated = CALM._replace(rates=Rates(strategy=100))
    assert scene(conditions=rated).check("R16").status == FAIL
    by_hand = scene(order=replace(order(), strategy="manual"), conditions=rated)
    assert by_hand.check("R16").value == 0


@pytest.mark.parametrize("kind", [BACKTEST, SIMULATED, LIVE])
def test_what_an_account_cannot_have_is_na_and_never_asked(kind: str) -> None:
    bare = CALM._replace(kind=kind, rates=None, market=None, model=None, around=None)
    for order_asked in (order(), None):
        verdict = scene(order=order_asked, conditions=bare).verdict()
        for check in verdict.checks:
            rule = RULE[check.id]
            if kind not in rule.where or (rule.scope == "model"):
                assert check.status == NOT_APPLICABLE, check
            if check.value is None and check.status not in (NOT_APPLICABLE, EXEMPT):
                assert check.status == FAIL
    told = scene(conditions=CALM._replace(kind=kind)).verdict()
    made = {check.id for check in told.made}
    assert made == {rule.id for rule in RULES if kind in rule.where}
    assert told.passed


def test_limits_that_are_not_complete_ask_the_first_rules_only() -> None:
    verdict = scene(limits=WIDE).verdict()
    assert verdict.ids == FIRST_IDS
    assert [check.id for check in verdict.checks] == [rule.id for rule in RULES]


def test_an_override_lets_one_limit_pass_and_never_those_of_the_list() -> None:
    limits = replace(COMPLETE, max_order_quantity=SHARE)
    big = scene(limits=limits)
    assert [check.id for check in big.verdict().breaches] == ["R06"]
    let = big.verdict(("R06",))
    assert let.passed
    assert [check.status for check in let.overridden] == [OVERRIDDEN]
    assert not big.verdict(("R07",)).passed
    for rule_id in sorted(NEVER_OVERRIDDEN & set(CASES)):
        bound, made, _ = CASES[rule_id]
        assert not made(bound + 1).verdict((rule_id,)).passed


def test_the_largest_order_is_found_where_only_the_book_bounds_it() -> None:
    """13 of 250 days lose 10%: 300 bps of 100,000 are 3,000, a tenth of 300 shares at 100."""
    own = (-100_000,) * 13 + (0,) * 237
    market = replace(CALM.market, own=own, others=(0,) * 250, volume=10**12 * SHARE)
    asked = scene(order=order("buy", 400 * SHARE), conditions=CALM._replace(market=market))
    verdict = asked.verdict()
    assert {check.id for check in verdict.breaches} >= {"R23"}
    largest = verdict.max_quantity
    assert largest is not None
    passing = asked._replace(order=order("buy", largest)).verdict()
    assert passing.passed
    assert not asked._replace(order=order("buy", largest + 1)).verdict().passed
    assert 280 * SHARE < largest <= 310 * SHARE


@pytest.mark.parametrize(("breaches", "halted"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_third_refusal_for_rate_in_a_day_halts(breaches: int, *, halted: bool) -> None:
    conditions = CALM._replace(rates=Rates(minute=60, breaches=breaches))
    verdict = scene(conditions=conditions).verdict()
    assert [check.id for check in verdict.breaches] == ["R15"]
    assert (verdict.halt is not None) == halted
    if halted:
        assert (
            verdict.halt
            == f"R15 order rate: {breaches + 1} orders refused by R04 or R15 in one day"
        )
        assert verdict.max_quantity == 0


@pytest.mark.parametrize("rule_id", ["R03", "R16", "R17"])
def test_rows_of_class_h_halt(rule_id: str) -> None:
    bound, made, _ = CASES[rule_id]
    assert made(bound).verdict().halt is None
    assert (
        made(bound + 1).verdict().halt == f"{rule_id} {RULE[rule_id].name} {bound + 1} over {bound}"
    )


def fallen(bps: int) -> TradingState:
    """Give an account that stood at 100,000 at the close before and lost so many bps of it."""
    gained = replace(deposit(50_000 * DOLLAR, ref="gain"), kind="dividend")
    now = state(deposit(50_000 * DOLLAR), gained)
    now.session_profit = now.week_profit = now.peak_profit = 50_000 * DOLLAR
    now.portfolio = now.portfolio._replace(cash=now.portfolio.cash - bps * 10 * DOLLAR)
    now.reprice({})
    now._equity = None
    return now


def test_losses_warn_then_reduce_then_halt() -> None:
    limits = load_settings(isolated=True, home="/nowhere").limits()
    told = [
        (100, [], None, None),
        (101, ["R18"], None, None),
        (200, ["R18"], None, None),
        (201, ["R18"], "R18 daily loss 201 bps over 200", None),
        (300, ["R18"], "R18 daily loss 300 bps over 200", None),
        (301, ["R18"], None, "R18 daily loss 301 bps over 300"),
    ]
    for lost, warned, reduce, halt in told:
        now = fallen(lost)
        verdict = scene(order=None, state=now, limits=limits).verdict()
        assert [check.id for check in warnings(now, limits)] == warned
        assert (verdict.reduce, verdict.halt) == (reduce, halt)
        assert rising(now, limits) == (halt or reduce)
        now.reducing = "before"
        assert scene(order=None, state=now, limits=limits).verdict().reduce is None
    week = fallen(501)
    week.session_profit, week.peak_profit = 0, 0
    assert rising(week, limits) == "R20 weekly loss 501 bps over 500"
    deep = fallen(1_001)
    deep.session_profit = deep.week_profit = 0
    assert rising(deep, limits) == "R19 drawdown 1001 bps over 1000"


def test_in_reducing_only_what_strictly_reduces_passes() -> None:
    now = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    now.reducing = "R18"
    for side, quantity, passes in (
        ("sell", 10 * SHARE, True),
        ("sell", SHARE, True),
        ("buy", 1, False),
    ):
        assert scene(order=order(side, quantity), state=now).verdict().passed == passes
    over = scene(
        order=order("sell", 10 * SHARE + 1), state=now, limits=replace(COMPLETE, allow_short=True)
    )
    assert "R01r" in {check.id for check in over.verdict().breaches}


def test_weeks_begin_on_monday_and_are_opened_by_the_last_mark_of_the_week_before() -> None:
    assert week_of(3) + 1 == week_of(4)  # 1970-01-01 is a Thursday: day 4 is a Monday
    now = state(deposit())
    for day, profit in ((0, 7), (3, 9), (4, 11), (7, 13), (8, 15)):  # 2024-01-01 is a Monday
        mark = Mark(closes(day), 100_000 * DOLLAR + profit, 0, 100_000 * DOLLAR)
        now.mark(mark.alone)
    assert (now.week_profit, now.session_profit) == (11, 13)


def test_exits_are_told_by_the_fill_that_ends_a_position() -> None:
    entries = [
        deposit(),
        bought(10 * SHARE, 100 * DOLLAR, ref="a"),
        sold(4 * SHARE, 50 * DOLLAR, ref="b"),  # a part of it: not ended
        sold(6 * SHARE, 99 * DOLLAR, ref="c"),
        bought(SHARE, 100 * DOLLAR, ref="d"),
        sold(SHARE, 101 * DOLLAR, day=1, ref="e"),
    ]
    assert folded(entries[:3])[1].last == {}
    _, ended = folded(entries[:4])
    assert (ended.last, ended.losing(ended.session)) == ({"AAPL": opens(0)}, 1)
    _, won = folded(entries)
    assert (won.last, won.losing(won.session)) == ({"AAPL": opens(1)}, 0)
    assert ended.losing(ended.session + 1) == 0


def test_the_settings_are_complete_and_stricter_than_what_a_test_meets(tmp_path: Path) -> None:
    limits = load_settings(home=str(tmp_path), isolated=True).limits()
    assert limits.complete
    assert limits == Limits(complete=True)


def test_what_is_of_an_order_cannot_be_computed_without_one() -> None:
    asked = Asked(None, state(deposit()), COMPLETE, CALM, None, 1, 0, reducing=False)
    for rule in LATER:
        known = ("R09p", "R22", "R22r", "R26", "R15s", "R24p", "R27")
        if rule.where and rule.scope == ORDER and rule.id not in known:
            assert MEASURES[rule.id](asked) is None, rule.id
