"""Older stores: refused until they are brought up to date, and then with all that they held."""

# ruff: noqa: S608  the names of our own tables; values are bound

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from algotrade.bars import from_rows
from algotrade.domain.decisions import HOLD, ORDER, REFUSED, Policy
from algotrade.domain.orders import ACCEPTED, order_key
from algotrade.domain.risk import PASS, Check, Limits
from algotrade.domain.times import DAY, HOUR
from algotrade.errors import SettingsError
from algotrade.store import chunks, database, schema
from algotrade.store.bars import load_bars, save_bars
from algotrade.store.chain import check_all
from algotrade.store.chunks import differing_series
from algotrade.store.database import create_store, immediate, open_store
from algotrade.store.decisions import decision_of, last_decision, load_decisions
from algotrade.store.journal import StoreJournal, open_orders, verify_chain
from algotrade.store.schema import APPEND_ONLY, MIGRATIONS, VERSION, first_schema
from algotrade.store.schema_runs import APPEND_ONLY_SINCE_3
from algotrade.trading.decision import decide
from builders import DOLLAR, NO_MODEL, SHARE, WIDE, closes, deposit, moment, order, state, world

if TYPE_CHECKING:
    from collections.abc import Iterable

JOURNAL = Path(__file__).parent / "data" / "first_journal.sql"

# of migration 1 as it was published; a published migration is never changed again
FIRST_SHA256 = "86e1dc166805f6411e37a1de60434f88a5e5cda05b2a5266a20d88959d121cfe"


def first_store(path: Path, monkeypatch: pytest.MonkeyPatch, count: int = 600) -> None:
    """Make a store as the program of schema 1 made it, with bars."""
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", (first_schema,))
        patch.setattr(database, "VERSION", 1)
        with contextlib.closing(create_store(path)) as db, immediate(db):
            days = [(DAY * day + 15 * HOUR, DAY * day + 21 * HOUR) for day in range(count)]
            rows = [(a, z, 10, 12, 9, 11, i) for i, (a, z) in enumerate(days)]
            bars = from_rows("polygon", "AAPL", "1d", rows)
            save_bars(db, bars, recorded_at=lambda ts: ts)
            db.execute("INSERT INTO meta VALUES ('a', 'b')")


def first_journal(path: Path) -> None:
    """Add what the program of schema 1 wrote in its journal, word for word."""
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(JOURNAL.read_text(encoding="utf-8"))


def columns_of(db: sqlite3.Connection) -> dict[str, list[str]]:
    tables = db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"
        " AND name NOT LIKE 'sqlite%' AND name <> 'bar_chunks'"
    ).fetchall()
    return {
        name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for (name,) in tables
    }


def contents(
    db: sqlite3.Connection, columns: dict[str, list[str]] | None = None
) -> dict[str, list[tuple[object, ...]]]:
    """Give every row of every table, or of these columns of these tables."""
    wanted = columns_of(db) if columns is None else columns
    return {
        table: db.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
        for table, names in wanted.items()
    }


def empty(db: sqlite3.Connection, tables: Iterable[str]) -> bool:
    return not any(db.execute(f"SELECT * FROM {table}").fetchall() for table in tables)


def test_migration_1_is_as_it_was_published() -> None:
    assert hashlib.sha256(first_schema().encode()).hexdigest() == FIRST_SHA256
    assert MIGRATIONS[0] is first_schema
    assert len(MIGRATIONS) == VERSION


def test_an_older_store_is_refused_with_the_remedy_and_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "algotrade.db"
    first_store(path, monkeypatch)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="has schema 1") as caught:
        open_store(path)
    assert "algotrade init" in str(caught.value.hint)
    assert path.read_bytes() == before


def test_an_older_store_is_migrated_with_all_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "algotrade.db"
    first_store(path, monkeypatch)
    first_journal(path)
    with contextlib.closing(sqlite3.connect(path)) as old:
        columns, held = columns_of(old), contents(old)
    assert (len(held["bars"]), len(held["decisions"]), len(held["orders"])) == (600, 5, 2)
    with contextlib.closing(create_store(path)) as db:
        assert contents(db, columns) == held
        assert empty(db, {*columns_of(db)} - {*columns} - {"seals", "trail", "moved"})
        assert check_all(db) == 1  # the first seal is over all that was there
        assert json.loads(db.execute("SELECT rows FROM seals").fetchone()[0])["decisions"][0] == 5
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert load_bars(db, "polygon", "AAPL", "1d").volume.tolist() == list(range(600))
        assert db.execute("SELECT count(*) FROM bar_chunks").fetchone() == (1,)
        db.execute("UPDATE bars SET volume = 7 WHERE volume = 599")
        assert load_bars(db, "polygon", "AAPL", "1d").volume.tolist() == [*range(599), 7]
        assert differing_series(db) == []
    with contextlib.closing(open_store(path)) as db:
        assert len(load_bars(db, "polygon", "AAPL", "1d")) == 600


def test_decisions_of_the_first_schema_read_as_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "algotrade.db"
    first_store(path, monkeypatch)
    first_journal(path)
    with contextlib.closing(create_store(path)) as db:
        filled, held, silent, refused, waits = (one.decision for one in load_decisions(db, "paper"))
        assert filled.prediction == moment(0, value=1).prediction
        assert filled.signal == moment(0, value=1).signal
        assert (filled.action, filled.code, filled.placed) == (ORDER, "", filled.order)
        assert (filled.held, filled.working, filled.equity) == (0, 0, 100_000 * DOLLAR)
        assert (filled.limits, filled.conditions) == (WIDE, world())
        assert filled.policy == Policy(account="paper", strategy="model", quantity=10 * SHARE)
        assert filled.order
        placed = order(key=order_key("paper", "model", "AAPL", closes(0), ""))
        assert filled.order == placed  # a market order, good till cancelled
        assert filled.verdict.passed
        assert filled.verdict.made[1] == Check(
            "R05", "order value", "usd", 1_030 * DOLLAR, 10**16, PASS
        )
        assert (held.action, held.order, held.signal) == (HOLD, None, moment(1, value=0).signal)
        assert (silent.action, silent.prediction, silent.signal) == (HOLD, None, None)
        assert (refused.action, refused.prediction, refused.signal) == (REFUSED, None, NO_MODEL)
        assert refused.conditions == world(None, stale=None, halts=("file HALT",))
        assert refused.policy == Policy(
            account="paper", strategy="manual", quantity=4 * SHARE, side="sell", client_id="c1"
        )
        assert refused.limits == Limits()
        assert [check.id for check in refused.verdict.breaches] == [
            *("R01", "R05", "R07", "R10", "R12", "R13", "R25")
        ]
        assert decision_of(db, placed.key).decision == filled
        last = last_decision(db, "paper", "AAPL")
        assert (last and last.decision) == waits
        assert [(one.order, one.state) for one in open_orders(db, "paper")] == [
            (waits.placed, ACCEPTED)
        ]
        assert verify_chain(db, "paper") == 2


def test_a_journal_goes_on_where_an_older_program_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "algotrade.db"
    first_store(path, monkeypatch)
    first_journal(path)
    with contextlib.closing(create_store(path)) as db, immediate(db):
        policy = Policy(account="paper", strategy="model", quantity=10 * SHARE)
        decision = decide(moment(4, value=1), state(deposit()), policy, WIDE, world())
        StoreJournal(db, "paper", recorded_at=78).record(decision)
        StoreJournal(db, "paper", recorded_at=78).append(deposit(ref="more"))
        *_, waits, new = (one.decision for one in load_decisions(db, "paper"))
        assert new == decision
        assert len(open_orders(db, "paper")) == 2
        assert waits.placed
        assert verify_chain(db, "paper") == 3


@pytest.mark.parametrize("table", [*APPEND_ONLY, *APPEND_ONLY_SINCE_3])
def test_a_migrated_store_refuses_to_change_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    path = tmp_path / "algotrade.db"
    first_store(path, monkeypatch)
    first_journal(path)
    with contextlib.closing(create_store(path)) as db:
        names = columns_of(db)[table]
        row = db.execute(f"SELECT * FROM {table}").fetchone()
        triggers = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?"
        assert db.execute(triggers, (table,)).fetchone()[0] >= 3
        if row is None:  # schema 1 had no such table, or the script has nothing for it
            return
        marks = ",".join("?" * len(row))
        for statement, values in (
            *((f"UPDATE {table} SET {name} = {name}", ()) for name in names),
            (f"DELETE FROM {table}", ()),
            (f"REPLACE INTO {table} VALUES ({marks})", row),
        ):
            with pytest.raises(sqlite3.IntegrityError, match=r"is append-only|not the next link"):
                db.execute(statement, values)


def test_a_migrated_store_has_the_schema_of_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_store(tmp_path / "old.db", monkeypatch)
    found = []
    for name in ("old.db", "new.db"):
        with contextlib.closing(create_store(tmp_path / name)) as db:
            rows = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2")
            found.append(rows.fetchall())
    assert found[0] == found[1]


def test_a_migration_that_fails_leaves_the_older_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "algotrade.db"
    first_store(path, monkeypatch)
    with contextlib.closing(sqlite3.connect(path)) as old:
        columns, held = columns_of(old), contents(old)
    with monkeypatch.context() as patch:
        broken = (first_schema, lambda: schema.second_schema() + "CREATE TABLE bars (x);")
        patch.setattr(database, "MIGRATIONS", broken)
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            create_store(path)
    with contextlib.closing(sqlite3.connect(path)) as old:
        assert contents(old) == held
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        assert not old.execute("SELECT 1 FROM sqlite_schema WHERE name = 'bar_chunks'").fetchall()
    with contextlib.closing(create_store(path)) as db:
        assert contents(db, columns) == held


def test_a_chunk_of_another_version_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "algotrade.db"
    first_store(path, monkeypatch)
    with contextlib.closing(create_store(path)) as db:
        expected = load_bars(db, "polygon", "AAPL", "1d")
        db.execute("UPDATE bar_chunks SET version = ?, close = volume", (chunks.VERSION + 1,))
        assert load_bars(db, "polygon", "AAPL", "1d") == expected
        versions = db.execute("SELECT DISTINCT version FROM bar_chunks").fetchall()
        assert versions == [(chunks.VERSION,)]
