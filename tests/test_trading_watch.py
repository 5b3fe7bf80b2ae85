"""One look at an account: levels by figures worked out by hand, at a limit and one beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from algotrade.domain.ledger import DEPOSIT, FILL, Entry, replay
from algotrade.domain.live import LivePrice
from algotrade.domain.money import MICROS, NANOS
from algotrade.domain.risk import FAIL, NOT_APPLICABLE, PASS, Conditions, Limits
from algotrade.trading.market_conditions import DELAY, MarketLimits, MarketView, market_checks
from algotrade.trading.state import TradingState
from algotrade.trading.watch import look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.trading.watch import Look

NOW = 10**15
SECOND = 10**6
LIMITS = Limits(
    daily_loss_warn_bps=50,
    daily_loss_reduce_bps=100,
    daily_loss_halt_bps=200,
    drawdown_halt_bps=5000,
    drawdown_warn_bps=4000,
    max_position_bps=9000,
)
NARROW = MarketLimits(
    max_age_s=60,
    max_move_bps=1000,
    max_spread_bps=20,
    max_index_bps=300,
    max_range_bps=400,
    silence_minutes=15,
)


def price(dollars: float, symbol: str = "AAPL", *, age_s: float = 0, **more: Any) -> LivePrice:  # noqa: ANN401
    ts = NOW - round(age_s * SECOND)
    return LivePrice(symbol, round(dollars * MICROS), ts, "second", **more)


def view(prices: Mapping[str, LivePrice], **more: Any) -> MarketView:  # noqa: ANN401
    given: dict[str, Any] = {
        "now": NOW,
        "prices": prices,
        "closes": {"AAPL": 100 * MICROS, "SPY": 400 * MICROS},
        "ranges": {},
        "stakes": ("AAPL",),
        "benchmark": "SPY",
        "is_open": True,
    }
    return MarketView(**given | more)


def row(checks: tuple[Any, ...], name: str) -> tuple[int | None, str]:
    return next((one.value, one.status) for one in checks if one.id == name)


@pytest.mark.parametrize(
    ("check", "at_limit", "beyond"),
    [
        (
            "M01",
            {"prices": {"AAPL": price(100, age_s=60)}},
            {"prices": {"AAPL": price(100, age_s=61)}},
        ),
        ("M02", {"prices": {"AAPL": price(110)}}, {"prices": {"AAPL": price(110.01)}}),
        ("M02", {"prices": {"AAPL": price(90)}}, {"prices": {"AAPL": price(89.99)}}),
        (
            "M03",
            {"prices": {"AAPL": price(100, bid=99_900_000, ask=100_100_000)}},
            {"prices": {"AAPL": price(100, bid=99_899_999, ask=100_100_000)}},
        ),
        (
            "M04",
            {"prices": {"AAPL": price(100), "SPY": price(388, "SPY")}},
            {"prices": {"AAPL": price(100), "SPY": price(387.99, "SPY")}},
        ),
        (
            "M05",
            {"ranges": {"AAPL": (100_000_000, 104_000_000)}},
            {"ranges": {"AAPL": (100_000_000, 104_000_001)}},
        ),
        (
            "M06",
            {"prices": {"AAPL": price(100, age_s=900)}},
            {"prices": {"AAPL": price(100, age_s=900.1)}},
        ),
        (
            "M06",
            {"prices": {"AAPL": price(100, low_band=99_999_999, high_band=100_000_001)}},
            {"prices": {"AAPL": price(100, low_band=100_000_000, high_band=110_000_000)}},
        ),
        (
            "M06",
            {"prices": {"AAPL": price(100, high_band=100_000_001)}},
            {"prices": {"AAPL": price(100, high_band=100_000_000)}},
        ),
    ],
)
def test_exactly_at_a_limit_passes_and_beyond_it_fails(
    check: str, at_limit: dict[str, Any], beyond: dict[str, Any]
) -> None:
    base = {"prices": {"AAPL": price(100)}}
    for given, status in ((at_limit, PASS), (beyond, FAIL)):
        told = base | given
        assert row(market_checks(view(**told), NARROW), check)[1] == status


def test_a_late_feed_is_as_old_as_it_says_beyond_its_delay() -> None:
    late = price(100, age_s=DELAY / SECOND + 60, delayed=True)
    assert row(market_checks(view({"AAPL": late}), NARROW), "M01") == (60, PASS)
    assert row(market_checks(view({"AAPL": late}), NARROW), "M06") == (0, PASS)


def test_a_stake_without_a_price_fails_and_nothing_is_asked_without_stakes() -> None:
    none = market_checks(view({}), NARROW)
    assert row(none, "M01") == (None, FAIL)
    assert row(none, "M02") == (None, FAIL)
    assert row(none, "M06") == (1, FAIL)
    free = market_checks(view({}, stakes=()), NARROW)
    assert {one.status for one in free} == {NOT_APPLICABLE}


def test_ages_are_not_asked_of_a_closed_market_nor_of_stored_prices() -> None:
    old = {"AAPL": price(100, age_s=10**6)}
    for is_open in (False, None):
        checks = market_checks(view(old, is_open=is_open), NARROW)
        assert row(checks, "M01")[1] == row(checks, "M06")[1] == NOT_APPLICABLE


def test_crossed_quotes_tell_no_spread() -> None:
    crossed = price(100, bid=101_000_000, ask=100_000_000)
    assert row(market_checks(view({"AAPL": crossed}), NARROW), "M03")[1] == NOT_APPLICABLE


def seen_at(dollars: float, **state: Any) -> Look:  # noqa: ANN401
    """Look at 100,000 dollars, of which 50,000 are 500 shares bought at 100."""
    entries = [
        Entry(ts=1, kind=DEPOSIT, ref="o", amount=100_000 * MICROS),
        Entry(
            ts=2,
            kind=FILL,
            ref="f",
            symbol="AAPL",
            quantity=500 * NANOS,
            price=100 * MICROS,
            amount=-50_000 * MICROS,
        ),
    ]
    trading = TradingState(account="paper", portfolio=replay(entries), **state)
    market = view({"AAPL": price(dollars)}, benchmark="")
    return look(trading, LIMITS, Conditions(NOW, None), market, MarketLimits())


@pytest.mark.parametrize(
    ("dollars", "loss_bps", "level"),
    [
        (100, 0, "ok"),
        (99, 50, "ok"),  # 500 of 100,000: at the limit that warns
        (98.99, 51, "warning"),
        (98, 100, "warning"),
        (97.99, 101, "breach"),
        (96, 200, "breach"),
        (95.99, 201, "halting"),
        (1, 4950, "halting"),
    ],
)
def test_levels_of_a_daily_loss(dollars: float, loss_bps: int, level: str) -> None:
    seen = seen_at(dollars)
    [loss] = [one.value for one in seen.verdict.checks if one.id == "R18"]
    assert (loss, seen.level) == (loss_bps, level)
    assert (seen.halt is not None) is (level == "halting")
    assert seen.equity == 50_000 * MICROS + round(500 * dollars * MICROS)
    [position] = seen.positions
    assert position.unrealised == round(500 * (dollars - 100) * MICROS)


def test_what_is_halted_already_is_not_halted_again() -> None:
    seen = seen_at(90, halt="a person said so")
    assert (seen.level, seen.halt, seen.reduce) == ("halted", None, None)
    assert seen.causes[0] == "ledger: a person said so"


def test_a_position_without_a_price_cannot_be_judged() -> None:
    trading = TradingState(
        account="paper",
        portfolio=replay(
            [
                Entry(ts=1, kind=DEPOSIT, ref="o", amount=1000 * MICROS),
                Entry(
                    ts=2,
                    kind=FILL,
                    ref="f",
                    symbol="AAPL",
                    quantity=NANOS,
                    price=MICROS,
                    amount=-MICROS,
                ),
            ]
        ),
    )
    seen = look(trading, LIMITS, Conditions(NOW, None), view({}, benchmark=""), MarketLimits())
    assert seen.level == "data"
    assert seen.equity is None
    assert any("cannot be computed" in cause for cause in seen.causes)
