"""Risk: each limit by hand, at the bound and one unit over; what cannot be known is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from algotrade.domain.risk import (
    EXEMPT,
    FAIL,
    NOT_APPLICABLE,
    PASS,
    Check,
    Conditions,
    Limits,
    RiskVerdict,
)
from algotrade.trading.losses import loss_bps
from algotrade.trading.risk import check_order, is_reducing
from builders import DOLLAR, SHARE, WIDE, bought, deposit, order, replace, state, world

if TYPE_CHECKING:
    from algotrade.trading.state import TradingState

IDS = ("R01", "R05", "R06", "R07", "R10", "R12", "R12c", "R13", "R18", "R19", "R25")


def check_of(verdict: RiskVerdict, check_id: str) -> Check:
    return next(check for check in verdict.made if check.id == check_id)


def only_breach(verdict: RiskVerdict) -> str | None:
    assert tuple(check.id for check in verdict.made) == IDS
    assert verdict.passed == (not verdict.breaches)
    assert len(verdict.breaches) < 2
    return verdict.breaches[0].id if verdict.breaches else None


def bps(**changes: int) -> Limits:
    return replace(WIDE, **changes)


# worst price with a collar of 3 %: 103.00; 10 shares cost 1,030.00 at worst; equity is 100,000
EXACT = [
    ("R05", bps(max_order_notional=1_030 * DOLLAR), 10 * SHARE),
    ("R05", bps(max_order_equity_bps=103), 10 * SHARE),  # 1.03 % of 100,000 is 1,030
    ("R06", bps(max_order_quantity=10 * SHARE), 10 * SHARE),
    ("R10", bps(max_position_bps=103), 10 * SHARE),
    ("R12", bps(max_gross_bps=103), 10 * SHARE),
]


@pytest.mark.parametrize(("check_id", "limits", "quantity"), EXACT)
def test_an_order_at_the_bound_passes_and_a_billionth_of_a_share_more_fails(
    check_id: str, limits: Limits, quantity: int
) -> None:
    exact = check_order(order("buy", quantity), state(deposit()), limits, world())
    assert only_breach(exact) is None
    assert exact.max_quantity is None  # nothing was refused
    over = check_order(order("buy", quantity + 1), state(deposit()), limits, world())
    assert only_breach(over) == check_id
    assert over.max_quantity == quantity


def test_cash_is_needed_at_the_worst_price() -> None:
    funded, short_by_one = state(deposit(1_030 * DOLLAR)), state(deposit(1_030 * DOLLAR - 1))
    assert only_breach(check_order(order(), funded, WIDE, world())) is None
    assert only_breach(check_order(order(), short_by_one, WIDE, world())) == "R12c"


def test_open_buys_have_spent_their_cash_already() -> None:
    # 5 open at the newest price, 500; 10 more at worst, 1,030
    waiting = [order("buy", 5 * SHARE, key="w" * 32)]
    for cash, breach in ((1_530 * DOLLAR, None), (1_530 * DOLLAR - 1, "R12c")):
        situation = state(deposit(cash), open_orders=waiting)
        assert only_breach(check_order(order(), situation, WIDE, world())) == breach


@pytest.mark.parametrize(
    ("price", "value", "breach"),
    [
        (103_000_000, 300, None),
        (103_000_001, 301, "R07"),
        (97_000_000, 300, None),
        (96_999_999, 301, "R07"),
        (100_000_000, 0, None),
        (100_000_001, 1, None),  # rounded up: a limit is never passed by rounding
    ],
)
def test_the_collar_is_both_ways_from_the_last_close(
    price: int, value: int, breach: str | None
) -> None:
    verdict = check_order(order(), state(deposit()), WIDE, world(price))
    assert only_breach(verdict) == breach
    assert check_of(verdict, "R07").value == value


def test_open_orders_count_as_filled_in_position_and_gross() -> None:
    prices = {"AAPL": 100 * DOLLAR, "MSFT": 50 * DOLLAR}
    waiting = [
        order("buy", 4 * SHARE, key="w" * 32),
        order("buy", 20 * SHARE, symbol="MSFT", key="v" * 32),
    ]
    holding = bought(6 * SHARE, 100 * DOLLAR)
    situation = state(deposit(), holding, prices=prices, open_orders=waiting)
    verdict = check_order(order("buy", 10 * SHARE), situation, WIDE, world())
    # AAPL 6 + 4 + 10 = 20 at 103 = 2,060 of 100,000; MSFT 20 at 50 = 1,000 more
    assert check_of(verdict, "R10").value == 206
    assert check_of(verdict, "R12").value == 306
    assert check_of(verdict, "R12c").value == (400 + 1_000 + 1_030) * DOLLAR


def test_nobody_sells_what_is_not_held() -> None:
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    all_of_it = check_order(order("sell", 10 * SHARE), holding, WIDE, world())
    assert only_breach(all_of_it) is None
    more = check_order(order("sell", 10 * SHARE + 1), holding, WIDE, world())
    assert only_breach(more) == "R13"
    assert (check_of(more, "R13").value, more.max_quantity) == (1, 10 * SHARE)
    open_sale = order("sell", 4 * SHARE, key="w" * 32)
    waiting = state(deposit(), bought(10 * SHARE, 100 * DOLLAR), open_orders=[open_sale])
    twice = check_order(order("sell", 7 * SHARE), waiting, WIDE, world())
    assert (only_breach(twice), twice.max_quantity) == ("R13", 6 * SHARE)


def test_where_short_selling_is_allowed_size_bounds_it() -> None:
    limits = replace(WIDE, allow_short=True, max_position_bps=103)
    sale = check_order(order("sell", 10 * SHARE), state(deposit()), limits, world())
    assert only_breach(sale) is None
    assert check_of(sale, "R13") == Check("R13", "sold short", "shares", None, 0, NOT_APPLICABLE)
    more = check_order(order("sell", 10 * SHARE + 1), state(deposit()), limits, world())
    assert only_breach(more) == "R10"


def test_buying_back_part_of_a_short_position_is_not_a_short_sale() -> None:
    short = state(deposit(), bought(-10 * SHARE, 100 * DOLLAR))
    verdict = check_order(order("buy", 4 * SHARE), short, WIDE, world())
    assert only_breach(verdict) is None
    assert is_reducing(order("buy", 10 * SHARE), short)
    assert not is_reducing(order("buy", 10 * SHARE + 1), short)
    assert not is_reducing(order("sell", SHARE), short)


def fallen(loss: int, **changes: object) -> TradingState:
    """Give an account of 100,000 that stood at +100,000 and has lost `loss` of the 200,000."""
    before = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    profit = before.profit
    assert profit == 0
    gained = deposit(100_000 * DOLLAR - loss, ref="gain")
    entries = (gained._replace(kind="dividend"),)
    return state(
        deposit(),
        bought(10 * SHARE, 100 * DOLLAR),
        *entries,
        **changes,  # type: ignore[arg-type]
    )


LOSSES = [  # bps of 200,000: 2 % is 4,000
    (4_000 * DOLLAR, 200, None),
    (4_000 * DOLLAR + 1, 201, "refused"),
]


@pytest.mark.parametrize(("loss", "value", "refused"), LOSSES)
def test_daily_loss_counts_from_the_session_before(
    loss: int, value: int, refused: str | None
) -> None:
    limits = replace(WIDE, daily_loss_reduce_bps=200)
    situation = fallen(loss, session_profit=100_000 * DOLLAR)
    verdict = check_order(order(), situation, limits, world())
    assert check_of(verdict, "R18").value == value
    assert (only_breach(verdict), verdict.halt) == ("R18" if refused else None, None)
    sale = check_order(order("sell", 10 * SHARE), situation, limits, world())
    assert check_of(sale, "R18").status == (EXEMPT if refused else PASS)
    assert sale.passed
    assert sale.max_quantity is None


@pytest.mark.parametrize(("loss", "value", "refused"), LOSSES)
def test_drawdown_counts_from_the_peak_and_halts(
    loss: int, value: int, refused: str | None
) -> None:
    limits = replace(WIDE, drawdown_halt_bps=200)
    situation = fallen(loss, peak_profit=100_000 * DOLLAR)
    verdict = check_order(order(), situation, limits, world())
    assert check_of(verdict, "R19").value == value
    assert verdict.halt == (f"R19 drawdown {value} bps over 200" if refused else None)
    if refused:  # a halting account places nothing, not even what reduces
        sale = check_order(order("sell", 10 * SHARE), situation, limits, world())
        assert (sale.halt is not None, sale.max_quantity) == (True, 0)


@pytest.mark.parametrize(("loss", "value", "refused"), LOSSES)
def test_daily_loss_halts_at_its_own_bound(loss: int, value: int, refused: str | None) -> None:
    limits = replace(WIDE, daily_loss_halt_bps=200)
    situation = fallen(loss, session_profit=100_000 * DOLLAR)
    verdict = check_order(None, situation, limits, world())
    assert verdict.halt == (f"R18 daily loss {value} bps over 200" if refused else None)


@pytest.mark.parametrize(
    ("profit", "reference", "contributed", "lost"),
    [
        (-100, 0, 10_000, 100),
        (50, 100, 9_900, 50),
        (200, 100, 9_900, 0),  # a gain is no loss
        (-1, 0, 10**12, 1),  # rounded up
        (None, 0, 10_000, None),
        (0, 0, 0, None),
        (0, -10_000, 10_000, None),
    ],
)
def test_loss_in_bps_by_hand(
    profit: int | None, reference: int, contributed: int, lost: int | None
) -> None:
    assert loss_bps(profit, reference, contributed) == lost


def test_a_halt_of_any_kind_stops_everything() -> None:
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    sale = order("sell", 10 * SHARE)
    file = check_order(sale, holding, WIDE, world(halts=("file HALT",)))
    assert (only_breach(file), file.max_quantity) == ("R01", 0)
    halted = state(deposit(), bought(10 * SHARE, 100 * DOLLAR), halt="R19")
    latched = check_order(sale, halted, WIDE, world())
    assert (only_breach(latched), latched.max_quantity) == ("R01", 0)
    both = check_order(sale, halted, WIDE, world(halts=("a", "b")))
    assert check_of(both, "R01").value == 3


def test_stale_data_refuses_a_purchase_and_lets_a_sale_through() -> None:
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    limits = replace(WIDE, max_stale_sessions=1)
    assert only_breach(check_order(order(), holding, limits, world(stale=1))) is None
    assert only_breach(check_order(order(), holding, limits, world(stale=2))) == "R25"
    sale = check_order(order("sell"), holding, limits, world(stale=2))
    assert (only_breach(sale), check_of(sale, "R25").status) == (None, EXEMPT)


def test_what_a_sale_is_exempt_from_and_what_not() -> None:
    limits = replace(
        WIDE,
        max_order_notional=1,
        max_order_quantity=1,
        max_position_bps=0,
        max_gross_bps=0,
        price_collar_bps=0,
    )
    holding = state(deposit(100), bought(10 * SHARE, 100 * DOLLAR), deposit(2_000 * DOLLAR))
    verdict = check_order(order("sell", 9 * SHARE), holding, limits, world(101 * DOLLAR))
    exempt = {check.id for check in verdict.made if check.status == EXEMPT}
    assert exempt == {"R05", "R06", "R10", "R12"}
    assert only_breach(verdict) == "R07"


UNKNOWN = [
    ("no price of the symbol", state(deposit()), world(None), {"R05", "R07", "R10", "R12"}),
    ("a price of nothing", state(deposit()), world(0), {"R05", "R10", "R12"}),
    ("no last close", state(deposit(), prices={}), world(), {"R07"}),
    ("no age of the data", state(deposit()), world(stale=None), {"R25"}),
    (
        "no price of another position",
        state(deposit(), bought(SHARE, DOLLAR, symbol="MSFT")),
        world(),
        {"R10", "R12", "R18", "R19"},
    ),
    (
        "no price of another open order",
        state(deposit(), open_orders=[order(symbol="MSFT", key="w" * 32)]),
        world(),
        {"R12", "R12c"},
    ),
    ("nothing ever paid in", state(), world(), {"R10", "R12", "R18", "R19"}),
]


@pytest.mark.parametrize(("why", "situation", "conditions", "failing"), UNKNOWN)
def test_what_cannot_be_computed_fails(
    why: str, situation: TradingState, conditions: Conditions, failing: set[str]
) -> None:
    verdict = check_order(order(), situation, WIDE, conditions)
    unknown = {check.id for check in verdict.made if check.value is None}
    assert failing <= unknown, why
    assert all(check_of(verdict, check_id).status == FAIL for check_id in unknown)
    assert not verdict.passed
    assert verdict.max_quantity == 0


def test_a_price_that_is_missing_fails_a_sale_too_and_missing_ages_do_not() -> None:
    holding = state(deposit(), bought(10 * SHARE, 100 * DOLLAR))
    aged = check_order(order("sell"), holding, WIDE, world(stale=None))
    assert (aged.passed, check_of(aged, "R25").status) == (True, EXEMPT)
    verdict = check_order(order("sell"), holding, WIDE, world(None))
    assert not verdict.passed
    assert verdict.max_quantity == 0
    open_buy = order(symbol="MSFT", key="w" * 32)
    missing = state(deposit(), bought(10 * SHARE, 100 * DOLLAR), open_orders=[open_buy])
    assert check_order(order("sell"), missing, WIDE, world()).max_quantity == 0


def test_an_account_as_it_stands_is_looked_at_without_an_order() -> None:
    prices = {"AAPL": 100 * DOLLAR, "MSFT": 50 * DOLLAR}
    waiting = [order("buy", 4 * SHARE, key="w" * 32)]
    holding = bought(30 * SHARE, 50 * DOLLAR, symbol="MSFT")
    situation = state(deposit(), holding, prices=prices, open_orders=waiting)
    verdict = check_order(None, situation, WIDE, world(None))
    values = {check.id: check.value for check in verdict.made}
    # MSFT 1,500 is the largest position, 150 bps of 100,000; AAPL 400 waits
    assert values == {
        "R01": 0,
        "R05": 0,
        "R06": 0,
        "R07": 0,
        "R10": 150,
        "R12": 190,
        "R12c": 400 * DOLLAR,
        "R13": 0,
        "R18": 0,
        "R19": 0,
        "R25": 0,
    }
    assert verdict.passed
    assert verdict.max_quantity is None


def test_headroom_is_what_is_left() -> None:
    verdict = check_order(order(), state(deposit()), replace(WIDE, max_position_bps=150), world())
    assert check_of(verdict, "R10").headroom == 47
    assert check_of(check_order(order(), state(), WIDE, world()), "R10").headroom is None
