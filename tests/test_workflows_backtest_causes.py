"""Backtests do not see the future, models not their own past, and every plan is a trial once."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.cli.backtest import run_view
from algotrade.domain.decisions import HALTED, ORDER, PROBABILITY, REFUSED, Sizing
from algotrade.domain.ledger import FILL
from algotrade.domain.risk import WIDE
from algotrade.errors import InputError, ModelError
from algotrade.learning.predictor import predict_row
from algotrade.workflows.backtest import backtest
from algotrade.workflows.models import load_model
from algotrade.workflows.runs import diff_runs, find_run, judged_now, list_runs
from algotrade.workflows.sweep import sweep, sweep_plans
from algotrade.workflows.train import TrainRequest, train_model
from backtest_world import (
    LOGIT,
    MODEL,
    SHARE,
    bars_of,
    plan_of,
    played,
    since,
    spoiled,
    until,
    upto,
)
from cli_helpers import cli, copied
from verify_world import opened

if TYPE_CHECKING:
    from pathlib import Path


TRAINED = "2008-12-31"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with bars of three symbols, and a model trained as of a day in the middle."""
    home = tmp_path_factory.mktemp("causes") / "home"
    cli("fetch", "AAPL", "IBM", "MSFT", home=home).well()
    with opened(home, {**LOGIT, "train.expires_days": "0"}) as ws:  # it speaks to the end
        train_model(ws, TrainRequest(symbols=("AAPL", "IBM"), as_of=until(TRAINED)))
    return home


@pytest.fixture
def home(stored: Path, tmp_path: Path) -> Path:
    return copied(stored, tmp_path / "home")


# ---- the future


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"rule": "sma-cross", "order_type": "limit", "limit_bps": -30, "short": True},
        MODEL,
        {**MODEL, "sizing": Sizing(PROBABILITY, 2_000), "exit_below": 0.48},
        {**MODEL, "walk_forward": True, "every": 60},
    ],
    ids=("rule", "rule with limits", "model", "model by probability", "walk-forward"),
)
def test_noise_in_the_future_changes_nothing_before_it(home: Path, asked: dict[str, Any]) -> None:
    first, last = "2009-03-02", "2009-09-30"
    whole = plan_of("AAPL", "IBM", first=first, last="2009-12-31", **asked)
    cut = plan_of("AAPL", "IBM", first=first, last=last, **asked)
    clean_whole, clean_cut = played(home, whole), played(home, cut)
    spoiled(home, until(last))
    noisy_whole, noisy_cut = played(home, whole), played(home, cut)
    assert noisy_whole.trail != clean_whole.trail, "the noise is seen once it is past"
    assert clean_cut.figures["fills"]
    assert noisy_cut.record == clean_cut.record
    at = clean_cut.record.until_ts
    assert upto(noisy_whole, at) == upto(clean_whole, at) == upto(clean_cut, at)


# ---- models


def test_a_model_is_not_judged_by_what_it_has_seen(home: Path) -> None:
    with pytest.raises(ModelError, match="has seen labels up to 2008-12-3") as refused:
        played(home, plan_of("AAPL", first="2008-06-02", **MODEL))
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("--from 2009-01-01 or later")
    with pytest.raises(ModelError):
        played(home, plan_of("AAPL", **MODEL))
    with opened(home) as ws:
        assert list_runs(ws) == []
    assert played(home, plan_of("AAPL", first="2009-01-02", **MODEL)).record.number == 1


def test_decisions_of_a_model_are_those_of_one_bar_at_a_time(home: Path) -> None:
    ran = played(home, plan_of("AAPL", first="2009-03-02", last="2009-12-31", **MODEL))
    bars = bars_of(home, "AAPL")
    with opened(home) as ws:
        model = load_model(ws, None)
    checked = 0
    for _, first, _, _, _, _, p_up, source, *_ in ran.trail.decisions:
        row = list(bars.ts_close).index(first)
        alone = predict_row(model.card, model.scorer, bars.slice(0, row + 1))
        assert (source, p_up) == (model.card.id, alone.p_up)
        checked += 1
    assert checked > 5


def test_walking_forward_is_training_again_and_again(home: Path) -> None:
    plan = plan_of(
        *("AAPL", "IBM"),
        first="2009-03-02",
        last="2009-06-30",
        walk_forward=True,
        every=30,
        sizing=Sizing(PROBABILITY, 5_000),
        **MODEL,
    )
    ran = played(home, plan)
    refits = ran.record.report["refits"]
    times = [ts for ts in bars_of(home, "AAPL").ts_close if since("2009-03-02") <= ts]
    assert [refit[0] for refit in refits] == times[: 30 * len(refits) : 30]
    assert len(refits) == 3
    ts, source, rows, _ = refits[1]
    with opened(home, LOGIT) as ws:
        card = train_model(ws, TrainRequest(symbols=("AAPL", "IBM"), as_of=ts)).card
        by_hand = load_model(ws, card.id)
    assert rows == card.rows
    told = [one for one in ran.trail.decisions if one[7] == source]
    assert len(told) > 2
    for symbol, first, _, _, _, _, p_up, *_ in told:
        assert ts <= first < refits[2][0]
        bars = bars_of(home, symbol)
        row = list(bars.ts_close).index(first)
        assert p_up == predict_row(card, by_hand.scorer, bars.slice(0, row + 1)).p_up
    again = played(home, plan)
    assert again == ran


# ---- trials


def test_the_same_run_again_is_found(home: Path) -> None:
    plan = plan_of("AAPL", first="2010-01-04", last="2011-12-30")
    first = played(home, plan)
    assert played(home, plan) == first
    assert played(home, plan._replace(limits_name="a/file.toml")) == first, "a name is no limit"
    with opened(home) as ws:
        assert [one.run_id for one in list_runs(ws)] == [first.record.run_id]
        assert find_run(ws, "1") == find_run(ws, first.record.run_id[:5]) == first.record


def test_another_plan_on_these_bars_is_a_trial(home: Path) -> None:
    span: dict[str, str] = {"first": "2010-01-04", "last": "2010-12-31"}
    one = played(home, plan_of("AAPL", "IBM", **span))
    fast: dict[str, Any] = {"params": (("fast", "3"), ("slow", "20"))}
    other = played(home, plan_of("AAPL", **span, **fast))
    assert (one.figures["trials"], other.figures["trials"]) == (1, 2)
    apart = played(home, plan_of("AAPL", first="2011-01-03", last="2011-12-30"))
    assert apart.figures["trials"] == 1, "no instant is shared"
    elsewhere = played(home, plan_of("MSFT", **span))
    assert elsewhere.figures["trials"] == 1, "no symbol is shared"
    over = played(home, plan_of("AAPL", first="2010-12-31", last="2011-06-30"))
    assert over.figures["trials"] == 2, "the same plan on another span is one trial with it"
    priced = played(home, plan_of("IBM", **span, sizing=None, quantity=SHARE))
    assert priced.figures["trials"] == 2
    with opened(home) as ws:
        assert judged_now(ws, one.record)[0] == 3
        asked, figures = diff_runs(one.record, other.record)
    assert {"symbols", "strategy", "policy.strategy", "bars_hash"} <= {d.name for d in asked}
    assert "trials" in {d.name for d in figures}


def test_a_grid_is_run_in_order_and_every_point_is_a_trial(home: Path) -> None:
    plan = plan_of("AAPL", first="2010-01-04", params=(("fast", "3,05,5"), ("slow", "20,40")))
    plans = sweep_plans(plan)
    points = [tuple(value for _, value in one.request.params) for one in plans]
    grid = [("3", "20"), ("3", "40"), ("05", "20"), ("05", "40"), ("5", "20"), ("5", "40")]
    assert points == grid
    seen: list[tuple[int, int]] = []
    with opened(home) as ws:
        made = sweep(ws, plans, progress=lambda done, total: seen.append((done, total)))
        assert [one.number for one in made] == [1, 2, 3, 4]
        assert [one.sweep for one in made] == [None, *[made[0].run_id] * 3]
        assert [judged_now(ws, one)[0] for one in made] == [4] * 4
    assert seen == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize("slow", ["20,x", "20,2", "20,"])
def test_a_grid_with_an_impossible_point_runs_nothing(home: Path, slow: str) -> None:
    plan = plan_of("AAPL", params=(("fast", "3,5"), ("slow", slow)))
    with opened(home) as ws:
        with pytest.raises(InputError):
            sweep(ws, sweep_plans(plan), progress=lambda *_: None)
        assert list_runs(ws) == []


# ---- halts


def test_a_run_without_a_fill_says_what_stood_in_its_way(home: Path) -> None:
    tight = WIDE._replace(max_position_bps=1)
    plan = plan_of("AAPL", first="2008-01-02", last="2009-12-31", limits=tight)
    ran = played(home, plan._replace(limits_name="tight"))
    told = "Nothing was traded: risk refused every order, most often by R10 position."
    assert ran.record.report["verdict"] == told
    silent = played(
        home, plan_of("AAPL", params=(("fast", "5"), ("slow", "400")), first="2012-12-03")
    )
    assert silent.record.report["verdict"] == "Nothing was traded."


def test_a_run_that_may_only_reduce_says_since_when_and_why(home: Path) -> None:
    limits = WIDE._replace(complete=True, daily_loss_reduce_bps=150, weekly_loss_halt_bps=10**9)
    plan = plan_of("AAPL", first="2008-01-02", last="2009-12-31", limits=limits)
    ran = played(home, plan._replace(limits_name="tight"))
    at, why = ran.record.report["reducing_at"], ran.record.report["reducing"]
    assert why.startswith("R18 daily loss")
    head = run_view(ran.record, ran.trail.marks).above[0]
    day = datetime.fromtimestamp(at / 1e6, UTC).date()
    assert head == f"REDUCING {day}: {why}; only what reduces a position was placed from then on"
    fills = [one for one in ran.trail.entries if one.kind == FILL]
    after = [one for one in fills if one.ts > at + 10**12]  # not of orders that waited
    assert all(one.quantity < 0 for one in after)
    assert any(one.quantity > 0 for one in fills)


def test_a_halt_ends_trading(home: Path) -> None:
    limits = WIDE._replace(drawdown_halt_bps=300)
    plan = plan_of("AAPL", "IBM", first="2008-01-02", last="2009-12-31", limits=limits)
    ran = played(home, plan._replace(limits_name="tight"))
    halted = ran.record.report["halted_at"]
    assert ran.record.halt is not None
    assert ran.record.halt.startswith("R19 drawdown")
    equity = [mark.cash + mark.value for mark in ran.trail.marks]
    peak = [max(equity[: row + 1]) for row in range(len(equity))]
    over = [m.ts for m, e, p in zip(ran.trail.marks, equity, peak, strict=True) if e < p * 0.97]
    assert halted == over[0]
    assert not [one for one in ran.trail.entries if one.kind == FILL and one.ts > halted + 10**12]
    later = [one for one in ran.trail.decisions if one[1] > halted]
    assert later
    assert {one[3] for one in later} <= {"hold", REFUSED}
    assert all(one[4] == HALTED or one[3] != ORDER for one in later)
    assert ran.trail.marks[-1].ts > halted, "the account is valued to the end"
    free = played(home, plan_of("AAPL", "IBM", first="2008-01-02", last="2009-12-31"))
    assert upto(ran, halted - 1) == upto(free, halted - 1)
    assert free.record.halt is None


def test_progress_is_told_only_where_there_is_any(home: Path) -> None:
    told: list[tuple[int, int]] = []
    with opened(home, LOGIT) as ws:
        plan = plan_of(
            "AAPL", first="2012-06-01", last="2012-09-28", walk_forward=True, every=40, **MODEL
        )
        backtest(ws, plan, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert all(done <= total for done, total in told)
    assert all(later[1] == earlier[1] for earlier, later in pairwise(told))
