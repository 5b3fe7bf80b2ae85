"""A model that compares symbols, from its training to parity: the same bits, and who is missing."""

from __future__ import annotations

import sqlite3
from array import array
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import PROBABILITY, Sizing
from algotrade.domain.risk import WIDE
from algotrade.domain.times import DAY, session_date, to_day
from algotrade.errors import DataError, InputError
from algotrade.learning.features import PRESETS
from algotrade.learning.forecast import forecast
from algotrade.store import bars as bar_store
from algotrade.store import models as model_store
from algotrade.store.bars import save_bars
from algotrade.store.database import immediate
from algotrade.workflows.audit import AuditRequest, audit
from algotrade.workflows.backtest import backtest, load_histories
from algotrade.workflows.backtest_plan import Plan
from algotrade.workflows.context import at, ensure_account
from algotrade.workflows.crowd import Crowd, needed_of, whole_universe
from algotrade.workflows.data_diff import diff_data
from algotrade.workflows.follow import _read
from algotrade.workflows.hearing import hear
from algotrade.workflows.model_diff import diff_models
from algotrade.workflows.model_drift import drift_now, drift_of, note_symbol
from algotrade.workflows.models import load_model
from algotrade.workflows.predict import predict
from algotrade.workflows.registry import set_shadow, show_model
from algotrade.workflows.replay import replay
from algotrade.workflows.sources import ensure_calendar
from algotrade.workflows.trade import Request, trade
from algotrade.workflows.train import TrainRequest, train_model
from algotrade.workflows.verify import verify_backtest, verify_parity
from algotrade.workflows.why import why
from cli_helpers import cli, copied
from learning_markets import FIRST_DAY, bar_times, planted, with_splits
from train_world import CSV, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from algotrade.bars import Bars
    from algotrade.workflows.context import Workspace

SHARE = 10**9
COUNT, TRAINED = 520, 460  # bars there are, and those that closed when the model was trained
FIRST = 17_168  # Monday 2017-01-02, as days since 1970
NAMES = tuple(f"{letter}{letter}" for letter in "ABCDEFGHIJKL")
PAIR = ("AA", "CC")
DAYS = (COUNT - 40, COUNT - 25, COUNT - 1)
LOOSE = {"train__features": "cross", "risk__max_stale_sessions": "9999"}


def market() -> list[Bars]:
    bars = [planted(name, 70 + place, COUNT, edge=0.004) for place, name in enumerate(NAMES)]
    bars[3] = with_splits(bars[3], [(COUNT - 30, (1, 2))])
    return [moved(one) for one in bars]


def weekday(day: int) -> int:
    """Days from that of a bar of the learning markets to a weekday of 2017 or 2018."""
    return FIRST + day // 5 * 7 + day % 5 - (FIRST_DAY + day)


def moved(bars: Bars) -> Bars:
    """The same bars on weekdays, as imported ones."""
    splits = [
        one._replace(ex_date=one.ex_date + timedelta(weekday(to_day(one.ex_date) - FIRST_DAY)))
        for one in bars.splits
    ]
    shift = [weekday(day) * DAY for day in range(len(bars))]
    opens = array("q", [ts + days for ts, days in zip(bars.ts_open, shift, strict=True)])
    closes = array("q", [ts + days for ts, days in zip(bars.ts_close, shift, strict=True)])
    return replace(bars, source="csv", splits=tuple(splits), ts_open=opens, ts_close=closes)


def close_of(day: int) -> int:
    return bar_times(day)[1] + weekday(day) * DAY


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("cross") / "home"
    with opened(home, **LOOSE) as ws:
        ensure_calendar(ws)
    with opened(home, **LOOSE) as ws, immediate(ws.db):
        ensure_account(at(ws, close_of(300)))
        for one in market():
            save_bars(ws.db, one, recorded_at=lambda ts: ts)
    with opened(home, **LOOSE) as ws:
        train_model(at(ws, close_of(TRAINED)), TrainRequest(as_of=close_of(TRAINED)))
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "home")


@pytest.fixture
def ws(home: Path) -> Iterator[Workspace]:
    with opened(home, **LOOSE) as ws:
        yield ws


def told(ws: Workspace, symbol: str, day: int) -> float:
    """What the model says of a bar when all histories are there at once."""
    model = load_model(ws)
    known = [bar_store.load_bars(ws.db, ws.source, name, "1d") for name in NAMES]
    spec, others = whole_universe(ws, model.card, known[:2], until=None)
    assert len(others) == len(NAMES) - 2
    said = forecast(model.card, model.scorer, known[NAMES.index(symbol)], spec).p_up
    assert said is not None
    return said[day]


def change(home: Path, symbol: str, *, back: int, sql: str) -> None:
    """Change the bar `back` bars before a symbol's last by hand."""
    with closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        where = (
            "WHERE (series_id, ts_close) IN (SELECT series_id, ts_close FROM bars JOIN series"
            " USING (series_id) WHERE symbol = ? ORDER BY ts_close DESC LIMIT 1 OFFSET ?)"
        )
        assert db.execute(f"{sql} {where}", (symbol, back)).rowcount == 1
        db.commit()


def forget(home: Path, ts: int) -> None:
    """Take the bars after an instant out of the store."""
    with closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        assert db.execute("DELETE FROM bars WHERE ts_close > ?", (ts,)).rowcount > 0
        db.commit()


def plan_of(*symbols: str, **changes: object) -> Plan:
    plan = Plan(
        request=Request(symbols=symbols, quantity=5 * SHARE),
        from_ts=close_of(TRAINED + 3),
        until_ts=None,
        limits=WIDE,
        limits_name="wide",
        costs=CostModel(),
        cash=10**11,
    )
    return plan._replace(**changes)  # type: ignore[arg-type]  # a test names the field it changes


# ---- training and what is said


def test_the_card_names_universe_and_columns(ws: Workspace) -> None:
    shown = show_model(ws)
    card = shown.card
    assert (card.preset, card.symbols) == ("cross", NAMES)
    assert card.names == PRESETS["cross"].names
    assert needed_of(card) == 10
    assert {*shown.drift} <= {*NAMES}
    assert all({*found.indices} == {*card.names} for found in shown.drift.values())


def test_one_row_live_is_that_of_the_whole_history(ws: Workspace) -> None:
    newest = predict(ws, PAIR).predictions
    assert [one.p_up for one in newest] == [told(ws, name, COUNT - 1) for name in PAIR]
    then = predict(ws, ["BB"], as_of=close_of(470)).predictions[0]
    assert (then.ts, then.p_up) == (close_of(470), told(ws, "BB", 470))


def test_a_symbol_outside_the_universe_may_be_asked_about(ws: Workspace) -> None:
    stranger = moved(planted("ZZ", 5, COUNT, edge=0.0))
    with immediate(ws.db):
        save_bars(ws.db, stranger, recorded_at=lambda ts: ts)
    said = predict(ws, ["ZZ"]).predictions[0]
    model = load_model(ws)
    known = [bar_store.load_bars(ws.db, ws.source, name, "1d") for name in (*NAMES, "ZZ")]
    spec, others = whole_universe(ws, model.card, known, until=None)
    assert others == []
    whole = forecast(model.card, model.scorer, known[-1], spec).p_up
    assert whole is not None
    assert said.p_up == whole[-1]
    assert len(said.bars_hash) == 64 + 1 + 64 + 1 + 4 * len(NAMES)


def test_the_universe_is_loaded_once_for_all_symbols(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = list[str](), Crowd._load

    def counted(self: Crowd, card: object, symbol: str, *rest: object) -> Bars:
        calls.append(symbol)
        return real(self, card, symbol, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Crowd, "_load", counted)
    predict(ws, NAMES)
    assert calls == [*NAMES]
    calls.clear()
    trade(ws, Request(symbols=NAMES, quantity=SHARE))
    assert calls == [*NAMES]


def test_drift_is_alike_by_both_ways(ws: Workspace) -> None:
    card, ts = load_model(ws).card, close_of(COUNT - 1)
    now = drift_now(ws, card, "AA", ts, Crowd(ws))
    assert {*now.indices} == {*card.names}
    assert note_symbol(ws, card, "AA", Crowd(ws)) == now == drift_of(ws, card, "AA", ts)


# ---- decisions, and what becomes of them


def test_decisions_are_made_again_bit_for_bit(ws: Workspace) -> None:
    """Three days of trades, sized in two ways, with a shadow; then a peer's bar is corrected."""
    other = load_model(ws).card
    request = TrainRequest(symbols=NAMES[:11], as_of=close_of(TRAINED))
    card = train_model(at(ws, close_of(TRAINED)), request).card
    set_shadow(ws, other.id)
    asked = Request(symbols=PAIR, quantity=SHARE, model_id=card.id)
    every = market()
    forget(ws.settings.home, close_of(DAYS[0]))
    for day in DAYS:
        with immediate(ws.db):
            for one in every:
                save_bars(ws.db, one.slice(0, day + 1), recorded_at=lambda _: ws.clock.now())
        results = trade(ws, asked)
        trade(ws, asked._replace(quantity=0, sizing=Sizing(PROBABILITY, 300), client_id="p"))
        for result in results:
            assert result.decision is not None
            assert result.decision.prediction is not None
            assert result.decision.prediction.p_up == told_by(ws, card.id, result.symbol, day)
    words = model_store.shadow_words(ws.db, other.id)
    assert {(one.symbol, one.used) for one in words} == {(name, card.id) for name in PAIR}
    again = verify_backtest(ws)
    assert (again.sessions, again.difference) == (3, None)
    known = bar_store.load_bars(ws.db, ws.source, "FF", "1d")
    other_closes = replace(known, close=array("q", [price + 5_000 for price in known.close]))
    with immediate(ws.db):
        save_bars(ws.db, other_closes, recorded_at=lambda _: ws.clock.now())
    done = verify_parity(ws)
    assert [one.difference for one in done.differing] == []
    assert (done.decisions, done.identical, done.rows) == (12, 12, ())
    changed = {one.what: one.decisions for one in diff_data(ws, "FF", None)}
    bars = [f"1d bar of {session_date(close_of(day))}" for day in (100, *DAYS)]
    assert [len(changed[bar]) for bar in bars] == [0, 12, 8, 4]
    found = why(ws, "AA")
    assert found.inputs.bars is not None
    assert found.counterfactuals
    assert "those of its universe" in next(
        step.told for step in replay(ws, "AA").steps if step.name == "bars"
    )


def told_by(ws: Workspace, model_id: str, symbol: str, day: int) -> float:
    model = load_model(ws, model_id)
    known = [bar_store.load_bars(ws.db, ws.source, name, "1d") for name in NAMES]
    spec, _ = whole_universe(ws, model.card, known, until=None)
    said = forecast(model.card, model.scorer, known[NAMES.index(symbol)], spec).p_up
    assert said is not None
    return said[day]


def test_a_changed_bar_of_another_symbol_is_named(home: Path) -> None:
    with opened(home, **LOOSE) as ws:
        trade(ws, Request(symbols=PAIR, quantity=SHARE))
        assert replay(ws, "AA").identical
    change(home, "GG", back=40, sql="UPDATE bars SET close = close + 1")
    with opened(home, **LOOSE) as ws:
        found = replay(ws, "AA").difference
        assert found is not None
        assert found.what == "bars.GG"
        done = verify_parity(ws)
        assert [one.difference and one.difference.what for one in done.differing] == 2 * ["bars.GG"]
    ran = cli("verify", "parity", "--json", home=home, env=CSV)
    assert ran.code == 10
    assert "bars.GG" in ran.out
    assert cli("replay", "CC", home=home, env=CSV).code == 10


def test_too_few_of_the_universe_are_refused_by_name(home: Path) -> None:
    for name in ("EE", "GG", "KK"):
        change(home, name, back=0, sql="DELETE FROM bars")
    with opened(home, **LOOSE) as ws:
        card, ts = load_model(ws).card, close_of(COUNT - 1)
        for ask in (
            lambda: predict(ws, ["AA"]),
            lambda: trade(ws, Request(symbols=PAIR, quantity=SHARE)),
        ):
            with pytest.raises(DataError, match=r"9 of 12 symbols have a bar of .*EE, GG, KK$"):
                ask()
        assert drift_now(ws, card, "AA", ts, Crowd(ws), keep=True).indices == {}
        assert note_symbol(ws, card, "AA", Crowd(ws)) is None
        assert drift_of(ws, card, "AA", ts) is None
    ran = cli("predict", "AA", home=home, env=CSV)
    assert ran.code == 5
    assert ran.err.count("\n") <= 3


# ---- backtests


def test_a_backtest_says_what_live_says(home: Path, ws: Workspace) -> None:
    plan = plan_of(*PAIR)
    heard = hear(ws, plan, load_histories(ws, plan))
    for symbol in PAIR:
        p = heard.signals[symbol].p_up
        assert p is not None
        assert p[470] == predict(ws, [symbol], as_of=close_of(470)).predictions[0].p_up
    first = backtest(ws, plan).record
    assert backtest(ws, plan).record == first
    change(home, "HH", back=10, sql="UPDATE bars SET close = close + 1")
    assert backtest(ws, plan).record.run_id != first.run_id


def test_a_walk_forward_compares_the_symbols_of_the_run(ws: Workspace) -> None:
    plan = plan_of(*NAMES[:10], walk_forward=True, every=40)
    record = backtest(ws, plan).record
    assert len(record.report["refits"]) == 2
    assert record.spec["training"]["features"] == "cross"
    with pytest.raises(InputError, match="there are 9"):
        backtest(ws, plan_of(*NAMES[:9], walk_forward=True))


# ---- the rest of its life


def test_fewer_than_ten_symbols_are_refused_in_one_line(home: Path) -> None:
    ran = cli("train", "AA", "BB", "--features", "cross", home=home, env=CSV)
    assert ran.code == 2
    assert "features cross compare 10 symbols or more, there are 2" in ran.err
    assert "--features default" in ran.err


def test_its_universe_is_told_beside_its_report(home: Path) -> None:
    ran = cli("models", "show", "--format", "table", home=home, env=CSV).well()
    assert "universe as of" in ran.out
    assert "12 symbols; a row needs bars of 10 of them" in ran.out


def test_it_differs_from_another_by_preset_and_columns(ws: Workspace) -> None:
    mine = load_model(ws).card
    with opened(ws.settings.home, train__features="default") as plain:
        request = TrainRequest(as_of=close_of(TRAINED))
        other = train_model(at(plain, close_of(TRAINED)), request).card
    differing = {one.name: (one.first, one.second) for one in diff_models(ws, mine.id, other.id)}
    assert differing["features"] == ("cross", "default")
    assert differing["columns"] == (27, 19)


def test_the_audit_passes_on_it(ws: Workspace) -> None:
    found = audit(ws, AuditRequest(tests=("A1", "A1b", "A2", "A7", "A8")))
    assert found.report.passed
    assert set(found.report.results().values()) == {"passed"}


def test_following_brings_the_bars_of_the_universe(ws: Workspace) -> None:
    request = Request(symbols=PAIR, quantity=SHARE)
    assert _read(ws, request) == (*PAIR, *(name for name in NAMES if name not in PAIR))
    assert _read(ws, request._replace(use_model=False)) == PAIR
    assert _read(ws, request._replace(model_id="rf-000000000000")) == PAIR
