"""Older stores: refused until they are brought up to date, and then with all that they held."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from algotrade.bars import from_rows
from algotrade.domain.times import DAY, HOUR
from algotrade.errors import SettingsError
from algotrade.store import chunks, database, schema
from algotrade.store.bars import load_bars, save_bars
from algotrade.store.chunks import differing_series
from algotrade.store.database import create_store, immediate, open_store
from algotrade.store.schema import MIGRATIONS, VERSION, first_schema

if TYPE_CHECKING:
    from pathlib import Path

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


def contents(db: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    tables = db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"
        " AND name NOT LIKE 'sqlite%' AND name <> 'bar_chunks'"
    ).fetchall()
    return {name: db.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}  # noqa: S608


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
    with contextlib.closing(sqlite3.connect(path)) as old:
        held = contents(old)
    assert len(held["bars"]) == 600
    with contextlib.closing(create_store(path)) as db:
        assert contents(db) == held
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert load_bars(db, "polygon", "AAPL", "1d").volume.tolist() == list(range(600))
        assert db.execute("SELECT count(*) FROM bar_chunks").fetchone() == (1,)
        db.execute("UPDATE bars SET volume = 7 WHERE volume = 599")
        assert load_bars(db, "polygon", "AAPL", "1d").volume.tolist() == [*range(599), 7]
        assert differing_series(db) == []
    with contextlib.closing(open_store(path)) as db:
        assert len(load_bars(db, "polygon", "AAPL", "1d")) == 600


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
        held = contents(old)
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
        assert contents(db) == held


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
