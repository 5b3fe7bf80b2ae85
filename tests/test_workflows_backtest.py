"""Backtests on stored bars: figures that trace to the journal, and spans that are cut."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import ORDER
from algotrade.domain.ledger import DEPOSIT, DIVIDEND, FILL, SPLIT
from algotrade.domain.times import DAY
from algotrade.errors import DataError
from algotrade.trading.feed import History
from algotrade.trading.strategies import load_strategy
from algotrade.workflows.backtest import run
from algotrade.workflows.runs import list_runs
from algotrade.workflows.settle import load_history
from algotrade.workflows.trade import policy_of
from backtest_world import CASH, DOLLAR, RULE, SHARE, bars_of, plan_of, played, since, until
from cli_helpers import cli, copied
from verify_world import opened

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from algotrade.workflows.backtest_plan import Plan


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("stored") / "home"
    cli("fetch", "AAPL", "IBM", "MSFT", home=home).well()
    return home


@pytest.fixture
def home(stored: Path, tmp_path: Path) -> Path:
    return copied(stored, tmp_path / "home")


# ---- figures


def test_the_figures_trace_to_the_journal(home: Path) -> None:
    plan = plan_of("AAPL", "IBM", first="2004-06-01", last="2007-06-29", short=True)
    ran = played(home, plan)
    figures, (entries, decisions, marks) = ran.figures, ran.trail
    fills = [one for one in entries if one.kind == FILL]
    assert len(fills) > 40
    assert {one.kind for one in entries} == {DEPOSIT, FILL, DIVIDEND, SPLIT}

    cash, held = 0, {"AAPL": 0, "IBM": 0, "": 0}
    for one in entries:
        cash += one.amount - one.fee
        held[one.symbol] += one.quantity if one.kind in (FILL, SPLIT) else 0
    value = sum(
        bars_of(home, symbol).close[-1 - _later(home, symbol, plan)] * quantity / SHARE
        for symbol, quantity in held.items()
        if symbol
    )
    assert marks[-1].cash == cash
    assert marks[-1].value == pytest.approx(value, abs=2)

    equity = [CASH, *(mark.cash + mark.value for mark in marks)]
    assert figures["start"] == CASH / DOLLAR
    assert figures["end"] == equity[-1] / DOLLAR
    assert figures["profit"] == (equity[-1] - CASH) / DOLLAR
    assert figures["total_return"] == pytest.approx(equity[-1] / CASH - 1)
    assert figures["fees"] == sum(one.fee for one in entries) / DOLLAR
    assert figures["fills"] == len(fills)
    assert figures["orders"] == sum(one[3] == ORDER for one in decisions)
    paid = sum(one.amount for one in entries if one.kind == DIVIDEND)
    assert figures["dividends"] == paid / DOLLAR
    falls = [after / max(equity[: row + 1]) - 1 for row, after in enumerate(equity)]
    assert figures["max_drawdown"] == pytest.approx(min(falls))
    weights = [0.0, *(abs(mark.value) / (mark.cash + mark.value) for mark in marks)]
    assert figures["exposure"] == pytest.approx(sum(weights) / len(weights))
    assert figures["time_invested"] == sum(weight != 0 for weight in weights) / len(weights)
    traded = sum(abs(one.amount) for one in fills)
    years = len(marks) / 252
    mean = sum(equity) / len(equity)
    assert figures["turnover"] == pytest.approx(traded / 2 / mean / years)
    gains = [after / before - 1 for before, after in pairwise(equity)]
    middle = sum(gains) / len(gains)
    variance = sum((one - middle) ** 2 for one in gains) / (len(gains) - 1)
    assert figures["sharpe"] == pytest.approx(middle / variance**0.5 * 252**0.5)
    assert figures["volatility"] == pytest.approx(variance**0.5 * 252**0.5)


def _later(home: Path, symbol: str, plan: Plan) -> int:
    assert plan.until_ts is not None
    return sum(ts > plan.until_ts for ts in bars_of(home, symbol).ts_close)


@pytest.mark.parametrize(
    "order",
    [{}, {"order_type": "stop", "stop_bps": 50}, {"order_type": "limit", "limit_bps": -30}],
)
def test_slippage_is_what_free_fills_would_have_saved(home: Path, order: dict[str, Any]) -> None:
    plan = plan_of(
        "IBM", first="2010-01-04", last="2011-12-30", sizing=None, quantity=10 * SHARE, **order
    )
    costly = played(home, plan)
    free = played(home, plan._replace(costs=CostModel(slippage_bps=0)))
    pairs = zip(*([one for one in ran.trail.entries if one.kind == FILL] for ran in (costly, free)),
                strict=True)  # fmt: skip
    saved = sum(abs(paid.price - met.price) * 10 for paid, met in pairs)
    assert costly.figures["slippage"] == pytest.approx(saved / DOLLAR, abs=1e-9)
    assert free.figures["slippage"] == 0
    assert saved > 0 or order.get("limit_bps"), "limits bear none, where they were not at the open"


def test_the_benchmark_is_bought_at_the_first_close(home: Path) -> None:
    span: dict[str, str] = {"first": "2010-01-04", "last": "2011-12-30"}
    ran = played(home, plan_of("IBM", "MSFT", **span))
    first, last = since("2010-01-04"), until("2011-12-30")

    def gain(symbol: str) -> float:
        bars = bars_of(home, symbol)
        closes = [c for ts, c in zip(bars.ts_close, bars.close, strict=True) if first <= ts <= last]
        return closes[-1] / closes[0] - 1

    equal = (gain("IBM") + gain("MSFT")) / 2  # no split in these years; dividends are no part
    assert ran.figures["benchmark_return"] == pytest.approx(equal, abs=1e-6)
    named = played(home, plan_of("IBM", **span, benchmark="AAPL"))
    assert named.figures["benchmark_return"] == pytest.approx(gain("AAPL"), abs=1e-6)
    none = played(home, plan_of("IBM", **span, benchmark=None))
    assert (none.figures["benchmark_return"], none.figures["excess"]) == (None, None)


def test_a_split_is_no_gain_of_the_benchmark(home: Path) -> None:
    ran = played(home, plan_of("AAPL", first="2005-02-25", last="2005-02-28"))
    bars = bars_of(home, "AAPL")
    row = bisect_left(bars.ts_close, since("2005-02-25"))
    gain = 2 * bars.close[row + 1] / bars.close[row] - 1
    assert abs(gain) < 0.05
    assert ran.figures["benchmark_return"] == pytest.approx(gain, abs=1e-6)


def test_a_symbol_that_ends_before_the_span_does_not_spoil_it(home: Path) -> None:
    with closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        db.execute(
            "DELETE FROM bars WHERE ts_close > ? AND series_id ="
            " (SELECT series_id FROM series WHERE symbol = 'IBM')",
            (since("2009-01-01"),),
        )
        db.commit()
    alone = played(home, plan_of("MSFT", first="2010-01-04"))
    beside = played(home, plan_of("MSFT", "IBM", first="2010-01-04"))
    assert beside.trail == alone.trail
    assert beside.figures["benchmark_return"] == alone.figures["benchmark_return"]


# ---- the span


def test_earlier_bars_warm_up_and_later_ones_are_not_seen(home: Path) -> None:
    plan = plan_of("AAPL", "IBM", first="2004-11-01", last="2006-03-31")
    ran = played(home, plan)
    assert plan.from_ts is not None
    rule = load_strategy("sma-state", dict(RULE["params"]))
    sliced = []
    with opened(home) as ws:
        for symbol in ("AAPL", "IBM"):
            whole = load_history(ws, symbol)
            bars = whole.bars
            start = bisect_left(bars.ts_close, plan.from_ts)
            stop = bisect_left(bars.ts_close, plan.until_ts or 0)
            said = rule.history(bars)
            days = (bars.ts_open[start] // DAY, bars.ts_open[stop - 1] // DAY)
            sliced.append(
                History(
                    bars.slice(start, stop),
                    said._replace(stances=said.stances[start:stop]),
                    [one for one in whole.splits if days[0] <= _day(one.ex_date) <= days[1]],
                    [one for one in whole.dividends if days[0] <= _day(one.ex_date) <= days[1]],
                )
            )
            assert said.stances[start] != 0, "the first bar is decided: those before it warmed up"
    policy = policy_of("backtest", plan.request, _Named(ran.record.strategy))  # type: ignore[arg-type]  # its name is all that is read
    by_hand = run(plan, policy, sliced, skip=False)
    assert ran.trail.entries == by_hand.journal.entries
    assert ran.trail.marks == by_hand.marks
    assert min(one[1] for one in ran.trail.decisions) == sliced[0].bars.ts_close[0]
    assert ran.record.until_ts == sliced[0].bars.ts_close[-1]


class _Named(NamedTuple):
    strategy: str


def _day(day: date) -> int:
    return day.toordinal() - 719_163


@pytest.mark.parametrize(
    ("first", "last", "error"),
    [
        ("2013-06-01", None, "no bar of any symbol lies in the span"),
        ("2010-01-02", "2010-01-03", "no bar of any symbol lies in the span"),
        (None, "1999-12-31", "no sample bars of IBM by 1999-12-31"),
    ],
)
def test_a_span_without_bars_is_told(
    home: Path, first: str | None, last: str | None, error: str
) -> None:
    with pytest.raises(DataError, match=error):
        played(home, plan_of("IBM", first=first, last=last))
    with opened(home) as ws:
        assert list_runs(ws) == []
