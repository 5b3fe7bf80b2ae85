"""Bars in the store: as they were, revisions as they were known, coverage, corporate actions."""

from __future__ import annotations

import contextlib
import sqlite3
from array import array
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.bars import COLUMNS, Finding
from algotrade.domain.actions import Dividend, Split
from algotrade.store.actions import load_dividends, load_splits, save_dividends, save_splits
from algotrade.store.bars import (
    SaveReport,
    SeriesSummary,
    find_series,
    load_bars,
    save_bars,
    save_rejected,
    series_id,
    stored_symbols,
    summaries,
)
from algotrade.store.database import create_store
from builders import DOLLAR, bars_of, closes, opens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from algotrade.bars import Bars

D = DOLLAR


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(create_store(tmp_path / "algotrade.db")) as store:
        store.execute("PRAGMA synchronous = OFF")
        yield store


def save(db: sqlite3.Connection, bars: Bars, known_at: int) -> SaveReport:
    return save_bars(db, bars, recorded_at=lambda _: known_at)


def with_values(bars: Bars, column: str, *values: int) -> Bars:
    changes: dict[str, Any] = {column: array("q", values)}
    return replace(bars, **changes)


def prices(db: sqlite3.Connection, **asked: int) -> list[int]:
    return [close // D for close in load_bars(db, "sample", "AAPL", "1d", **asked).close]


def test_every_column_comes_back(db: sqlite3.Connection) -> None:
    rows = {
        "ts_open": [opens(0), opens(1)],
        "ts_close": [closes(0), closes(1)],
        "open": [100_000_001, 2**61],
        "high": [110_000_000, 2**61 + 1],
        "low": [1, 5],
        "close": [100_500_000, 6],
        "volume": [0, 2**62],
    }
    bars = bars_of([1, 1])
    for name, values in rows.items():
        bars = with_values(bars, name, *values)
    assert save(db, bars, 5) == SaveReport(new=2, changed=0)
    loaded = load_bars(db, "sample", "AAPL", "1d")
    assert {name: list(loaded.column(name)) for name in COLUMNS} == rows
    assert loaded == bars
    assert loaded.fingerprint() == bars.fingerprint()


def test_spans_are_open_below_and_closed_above(db: sqlite3.Connection) -> None:
    save(db, bars_of([1 * D, 2 * D, 3 * D, 4 * D]), 5)
    assert prices(db) == [1, 2, 3, 4]
    assert prices(db, until=closes(2)) == [1, 2, 3]
    assert prices(db, until=closes(2) - 1) == [1, 2]
    assert prices(db, after=closes(1)) == [3, 4]
    assert prices(db, after=closes(1) - 1) == [2, 3, 4]
    assert prices(db, last=2) == [3, 4]
    assert prices(db, last=2, until=closes(2)) == [2, 3]
    assert prices(db, last=9, after=closes(0), until=closes(1)) == [2]
    assert prices(db, last=0) == []


def test_series_do_not_mix(db: sqlite3.Connection) -> None:
    save(db, bars_of([1 * D]), 5)
    save(db, bars_of([2 * D], source="polygon"), 5)
    save(db, bars_of([3 * D, 4 * D], symbol="MSFT"), 5)
    save(db, replace(bars_of([5 * D]), timeframe="1h"), 5)
    assert prices(db) == [1]
    assert stored_symbols(db, "sample", "1d") == ["AAPL", "MSFT"]
    assert stored_symbols(db, "polygon", "1d") == ["AAPL"]
    assert SeriesSummary(
        source="sample", symbol="MSFT", timeframe="1d", bars=2, first=closes(0), last=closes(1)
    ) in summaries(db)
    assert len(load_bars(db, "sample", "ZZZ", "1d")) == 0
    assert find_series(db, "sample", "ZZZ", "1d") is None  # and asking created nothing
    assert series_id(db, "sample", "AAPL", "1d") == find_series(db, "sample", "AAPL", "1d")


def test_saving_the_same_again_changes_nothing(db: sqlite3.Connection) -> None:
    save(db, bars_of([1 * D, 2 * D]), 5)
    before = list(db.iterdump())
    assert save(db, bars_of([1 * D, 2 * D]), 9) == SaveReport(new=0, changed=0)
    assert list(db.iterdump()) == before
    assert save(db, bars_of([]), 9) == SaveReport(new=0, changed=0)


def test_a_corrected_bar_is_read_as_it_was_known(db: sqlite3.Connection) -> None:
    save(db, bars_of([1 * D, 2 * D]), 10)
    assert save(db, bars_of([1 * D, 5 * D, 3 * D]), 20) == SaveReport(new=1, changed=1)
    save(db, bars_of([1 * D, 2 * D, 3 * D]), 30)  # the source takes it back
    known = {at: prices(db, known_at=at) for at in (9, 10, 19, 20, 29, 30, 99)}
    first, second, third = [1, 2], [1, 5, 3], [1, 2, 3]
    assert known == {
        9: [],
        10: first,
        19: first,
        20: second,
        29: second,
        30: third,
        99: third,
    }
    assert prices(db) == third
    assert prices(db, known_at=25, last=2) == [5, 3]
    assert prices(db, known_at=25, until=closes(1), after=closes(0)) == [5]


def test_corrections_at_one_instant_leave_the_last_word(db: sqlite3.Connection) -> None:
    """A clock that stands still, as ALGOTRADE_NOW makes it, must not stop a correction."""
    for price in (1, 2, 3, 4):
        save(db, bars_of([price * D]), 10)
    assert prices(db) == prices(db, known_at=10) == [4]
    save(db, bars_of([5 * D]), 20)
    assert (prices(db, known_at=10), prices(db, known_at=20)) == ([4], [5])


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume", "ts_open"])
def test_a_change_of_any_value_is_a_revision(db: sqlite3.Connection, column: str) -> None:
    base = with_values(with_values(bars_of([10 * D]), "high", 20 * D), "low", 5 * D)
    save(db, base, 10)
    change = -60 * D if column == "ts_open" else 1
    changed = with_values(base, column, base.column(column)[0] + change)
    assert save(db, changed, 20) == SaveReport(new=0, changed=1)
    assert load_bars(db, "sample", "AAPL", "1d") == changed
    assert load_bars(db, "sample", "AAPL", "1d", known_at=19) == base


def test_bars_may_become_known_each_at_its_close(db: sqlite3.Connection) -> None:
    save_bars(db, bars_of([1 * D, 2 * D]), recorded_at=lambda ts_close: ts_close)
    assert prices(db, known_at=closes(1) - 1) == [1]
    assert prices(db, known_at=closes(1)) == [1, 2]


@pytest.mark.parametrize(
    ("column", "value"),
    [("high", 9 * D), ("low", 11 * D), ("close", 0), ("open", -1), ("volume", -1)],
)
def test_bars_that_cannot_be_are_refused_by_the_file_itself(
    db: sqlite3.Connection, column: str, value: int
) -> None:
    bars = with_values(bars_of([10 * D]), column, value)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        save(db, bars, 1)


def test_a_bar_must_last(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        save(db, with_values(bars_of([D]), "ts_open", closes(0)), 1)


def test_a_bar_set_aside_is_kept_once_with_its_reason(db: sqlite3.Connection) -> None:
    ident = series_id(db, "sample", "AAPL", "1d")
    finding = Finding(symbol="AAPL", when="2024-01-02", reason="high under low")
    for seen_at in (1, 2):
        save_rejected(db, ident, [finding], seen_at=seen_at)
    kept = db.execute("SELECT * FROM rejected_bars").fetchall()
    assert kept == [(ident, "2024-01-02", "high under low", 1)]


# corporate actions


def split(day: date, old: int = 1, new: int = 2) -> Split:
    return Split(symbol="AAPL", ex_date=day, split_from=old, split_to=new)


def paid(day: date, amount: int) -> Dividend:
    return Dividend(symbol="AAPL", ex_date=day, amount=amount)


JUNE, JULY = date(2024, 6, 10), date(2024, 7, 1)


def test_splits_are_superseded_not_removed(db: sqlite3.Connection) -> None:
    told = [
        (10, [split(JUNE)], 1),
        (20, [split(JUNE, 1, 3), split(JULY)], 2),  # corrected, and a new one
        (30, [split(JULY)], 0),  # one is no longer told of
        (40, [split(JUNE), split(JULY)], 1),  # and told of again
    ]
    for known_at, splits, fresh in told:
        assert save_splits(db, "sample", "AAPL", splits, known_at=known_at) == fresh
    assert load_splits(db, "sample", "AAPL", known_at=9) == []
    for known_at, splits, _ in told:
        assert load_splits(db, "sample", "AAPL", known_at=known_at) == splits
        assert load_splits(db, "sample", "AAPL", known_at=known_at + 9) == splits
    assert load_splits(db, "sample", "AAPL") == told[-1][1]
    assert load_splits(db, "polygon", "AAPL") == load_splits(db, "sample", "MSFT") == []
    assert db.execute("SELECT count(*) FROM splits").fetchone() == (4,)


def test_actions_corrected_at_one_instant_leave_the_last_word(db: sqlite3.Connection) -> None:
    for new in (2, 3, 4):
        save_splits(db, "sample", "AAPL", [split(JUNE, 1, new)], known_at=10)
        save_dividends(db, "sample", "AAPL", [paid(JUNE, new)], known_at=10)
    assert load_splits(db, "sample", "AAPL", known_at=10) == [split(JUNE, 1, 4)]
    assert load_dividends(db, "sample", "AAPL") == [paid(JUNE, 4)]


def test_dividends_of_one_day_add_up(db: sqlite3.Connection) -> None:
    several = [paid(JUNE, 250_000), paid(JULY, 1), paid(JUNE, 1_000_000)]
    assert save_dividends(db, "sample", "AAPL", several, known_at=10) == 2
    assert load_dividends(db, "sample", "AAPL") == [paid(JUNE, 1_250_000), paid(JULY, 1)]
    assert save_dividends(db, "sample", "AAPL", several, known_at=20) == 0
    assert load_dividends(db, "sample", "AAPL", known_at=9) == []


def test_bars_come_with_the_splits_known_then(db: sqlite3.Connection) -> None:
    save(db, bars_of([1 * D]), 5)
    save_splits(db, "sample", "AAPL", [split(JUNE)], known_at=10)
    assert load_bars(db, "sample", "AAPL", "1d").splits == (split(JUNE),)
    assert load_bars(db, "sample", "AAPL", "1d", known_at=9).splits == ()
    assert load_bars(db, "sample", "ZZZ", "1d").splits == ()


def test_the_view_of_bars_speaks_dollars_and_shares(db: sqlite3.Connection) -> None:
    save(db, bars_of([100_500_000]), 5)
    rows = db.execute("SELECT * FROM v_bars").fetchall()
    p = 100.5
    assert rows == [("sample", "AAPL", "1d", "2024-01-01T21:00:00Z", p, p, p, p, 1_000_000.0)]
