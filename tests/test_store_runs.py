"""Backtests in the store: kept whole, never rewritten, readable through views, counted once."""

# ruff: noqa: S608  the names of our own tables and views; values are bound

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.domain.ledger import DEPOSIT, FILL, Entry, Mark
from algotrade.store.database import create_store, immediate
from algotrade.store.runs import (
    RunRecord,
    RunTrail,
    find_runs,
    list_runs,
    run_decisions,
    run_entries,
    run_marks,
    save_run,
    trials,
)
from algotrade.store.schema_runs import APPEND_ONLY_SINCE_3
from algotrade.trading.runs import RunDecision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = 1_000_000
NOON = 1_354_536_000 * SECOND  # 2012-12-03T12:00:00Z
KEY = "0123456789abcdef"

ENTRIES = (
    Entry(ts=NOON, kind=DEPOSIT, ref="opening", amount=100_000_000_000),
    Entry(NOON + SECOND, FILL, f"{KEY}.1", "AAPL", 1_500_000_000, 2_000_001, -3_000_002, 1_000_000),
    Entry(NOON + 2 * SECOND, FILL, "fe.1", "AAPL", -1_500_000_000, 3_000_000, 4_500_000, 7, "n"),
)
DECISIONS = (
    RunDecision(
        "AAPL", NOON, NOON, "order", "", "up", 0.75, "m1", "buy", 1_500_000_000, KEY
    ),
    RunDecision(
        "AAPL", NOON + SECOND, NOON + 9 * SECOND, "hold", "in", "held", None, "m1",
        None, None, None,
    ),
)  # fmt: skip
MARKS = (
    Mark(NOON, 100_000_000_000, 0, 100_000_000_000),
    Mark(NOON + SECOND, -1, 2_500_001, 100_000_000_000),
)
RECORD = RunRecord(
    run_id="b-00112233aabb",
    number=0,
    sweep=None,
    created_at=NOON + 60 * SECOND,
    source="sample",
    strategy="sma-state fast=2 slow=5",
    symbols=("AAPL", "IBM"),
    from_ts=NOON,
    until_ts=NOON + SECOND,
    plan_hash="p1",
    bars_hash="h1",
    halt=None,
    spec={"cash": 5, "policy": {"whole": False}},
    report={"figures": {"end": 1.5, "fills": 2, "sharpe": None}, "verdict": "none ☃"},
)
TRAIL = RunTrail(ENTRIES, DECISIONS, MARKS)
EMPTY = RunTrail((), (), ())


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(create_store(tmp_path / "algotrade.db")) as made:
        yield made


def save(db: sqlite3.Connection, record: RunRecord = RECORD, trail: RunTrail = EMPTY) -> RunRecord:
    with immediate(db):
        return save_run(db, record, trail)


def another(number: int, **changes: Any) -> RunRecord:  # noqa: ANN401  fields of a record
    return RECORD._replace(run_id=f"b-{number:012x}", **changes)


def table(db: sqlite3.Connection, view: str) -> list[dict[str, Any]]:
    rows = db.execute(f"SELECT * FROM {view}")
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_a_run_comes_back_as_it_was_kept(db: sqlite3.Connection) -> None:
    saved = save(db, trail=TRAIL)
    assert saved == RECORD._replace(number=1)
    assert find_runs(db, RECORD.run_id) == [saved]
    assert list_runs(db) == [saved]
    assert tuple(run_entries(db, RECORD.run_id)) == ENTRIES
    assert tuple(run_decisions(db, RECORD.run_id)) == DECISIONS
    assert tuple(run_marks(db, RECORD.run_id)) == MARKS


def test_runs_are_numbered_and_do_not_mix(db: sqlite3.Connection) -> None:
    first, second = save(db, another(1), TRAIL), save(db, another(2))
    assert [first.number, second.number] == [1, 2]
    assert list_runs(db) == [second, first]
    assert list_runs(db, last=1) == [second]
    assert run_entries(db, second.run_id) == []
    assert list(run_decisions(db, second.run_id)) == []
    assert run_marks(db, second.run_id) == []


def test_a_run_is_found_by_its_beginning(db: sqlite3.Connection) -> None:
    one, two = save(db, another(0x10)), save(db, another(0x20))
    assert find_runs(db, one.run_id[:-1]) == [one]
    assert find_runs(db, "b-00000000002") == [two]
    assert find_runs(db, "b-") == [one, two]
    assert find_runs(db, "c") == []
    save(db, another(0x30))
    assert len(find_runs(db, "b-")) == 2


def test_views_show_a_run_in_dollars_and_iso(db: sqlite3.Connection) -> None:
    save(db, trail=TRAIL)
    assert table(db, "v_runs") == [
        {
            "run_id": RECORD.run_id,
            "number": 1,
            "sweep": None,
            "source": "sample",
            "strategy": RECORD.strategy,
            "symbols": "AAPL IBM",
            "halt": None,
            "plan_hash": "p1",
            "bars_hash": "h1",
            "created_at": "2012-12-03T12:01:00Z",
            "first_bar": "2012-12-03T12:00:00Z",
            "last_bar": "2012-12-03T12:00:01Z",
            "spec": '{"cash":5,"policy":{"whole":false}}',
            "report": json.dumps(RECORD.report, separators=(",", ":")),
        }
    ]
    assert table(db, "v_run_figures") == [
        {"run_id": RECORD.run_id, "name": name, "value": value}
        for name, value in (("end", 1.5), ("fills", 2), ("sharpe", None))
    ]


def test_views_show_the_journal_of_a_run(db: sqlite3.Connection) -> None:
    save(db, trail=TRAIL)
    name = {"run_id": RECORD.run_id}
    fills = table(db, "v_run_fills")
    assert fills == [
        {
            **name,
            "order_id": KEY[:10],
            "symbol": "AAPL",
            "side": "buy",
            "quantity": 1.5,
            "price": 2.000001,
            "fee": 1.0,
            "filled_at": "2012-12-03T12:00:01Z",
        },
        {
            **name,
            "order_id": "fe.1",
            "symbol": "AAPL",
            "side": "sell",
            "quantity": 1.5,
            "price": 3.0,
            "fee": 0.000007,
            "filled_at": "2012-12-03T12:00:02Z",
        },
    ]
    order, hold = table(db, "v_run_decisions")
    assert order == {
        **name,
        "seq": 1,
        "symbol": "AAPL",
        "action": "order",
        "code": "",
        "reason": "up",
        "p_up": 0.75,
        "source": "m1",
        "side": "buy",
        "quantity": 1.5,
        "order_id": KEY[:10],
        "first_bar": "2012-12-03T12:00:00Z",
        "last_bar": "2012-12-03T12:00:00Z",
    }
    assert (hold["seq"], hold["last_bar"]) == (2, "2012-12-03T12:00:09Z")
    assert [hold[key] for key in ("p_up", "side", "quantity", "order_id")] == [None] * 4
    contributed = {**name, "contributed": 100_000.0}
    assert table(db, "v_run_equity") == [
        {**contributed, "marked_at": "2012-12-03T12:00:00Z", "equity": 100_000.0,
         "cash": 100_000.0, "value": 0.0},
        {**contributed, "marked_at": "2012-12-03T12:00:01Z", "equity": 2.5,
         "cash": -0.000001, "value": 2.500001},
    ]  # fmt: skip


def test_what_was_kept_is_never_changed(db: sqlite3.Connection) -> None:
    save(db, trail=TRAIL)
    tables = [name for name in APPEND_ONLY_SINCE_3 if name.startswith("run")]
    assert sorted(tables) == ["run_decisions", "run_entries", "run_marks", "runs"]
    for name in tables:
        before = table(db, name)
        column = next(iter(before[0]))
        for statement in (
            f"UPDATE {name} SET {column} = 'x'",
            f"DELETE FROM {name}",
            f"INSERT OR REPLACE INTO {name} SELECT * FROM {name}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match=f"{name} is append-only"):
                db.execute(statement)
        assert table(db, name) == before


def test_a_run_that_cannot_be_kept_leaves_nothing(db: sqlite3.Connection) -> None:
    twice = RunTrail(ENTRIES, DECISIONS, (MARKS[0], MARKS[0]))
    with pytest.raises(sqlite3.IntegrityError):
        save(db, trail=twice)
    endless = RECORD._replace(report={"figures": {"end": float("inf")}})
    with pytest.raises(ValueError, match="JSON"):
        save(db, endless)
    save(db)
    with pytest.raises(sqlite3.IntegrityError):
        save(db)
    assert [len(table(db, name)) for name in ("runs", "run_entries", "run_marks")] == [1, 0, 0]


def test_trials_are_plans_on_a_shared_symbol_and_instant(db: sqlite3.Connection) -> None:
    def tried(symbols: tuple[str, ...], first: int, last: int, source: str = "sample") -> list[str]:
        return [one.run_id[-1] for one in trials(db, source, symbols, first, last)]

    save(db, another(1, symbols=("AAPL", "IBM"), from_ts=100, until_ts=200, plan_hash="a"))
    save(db, another(2, symbols=("IBM",), from_ts=150, until_ts=250, plan_hash="b"))
    save(db, another(3, symbols=("IBM",), from_ts=400, until_ts=500, plan_hash="a"))
    assert tried(("IBM",), 0, 1000) == ["3", "2"], "plan a is one trial, told by its newest run"
    assert tried(("AAPL",), 0, 1000) == ["1"]
    assert tried(("AAPL", "GOOG"), 0, 1000) == ["1"]
    assert tried(("A",), 0, 1000) == [], "a part of a name is no name"
    assert tried(("IBM",), 200, 200) == ["1", "2"], "both ends count"
    assert tried(("IBM",), 251, 399) == []
    assert tried(("IBM",), 0, 99) == []
    assert tried(("IBM",), 250, 400) == ["2", "3"]
    assert tried(("IBM",), 0, 1000, "polygon") == []
