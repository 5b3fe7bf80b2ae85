"""Splits and dividends in the store: dated facts, with the time each was known and replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from algotrade.domain.actions import Dividend, Split
from algotrade.domain.times import to_date, to_day

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

# the instant at which facts were known, or how to tell it from a fact's ex-day
KnownAt = int | Callable[[int], int]


def save_splits(
    db: sqlite3.Connection, source: str, symbol: str, splits: Sequence[Split], *, known_at: KnownAt
) -> int:
    """Save the splits a source tells of; one it no longer tells of is superseded, not removed."""
    rows = {to_day(s.ex_date): (s.split_from, s.split_to) for s in splits}
    return _save_actions(db, "splits", _SPLIT, (source, symbol), rows, known_at)


def save_dividends(
    db: sqlite3.Connection, source: str, symbol: str, paid: Sequence[Dividend], *, known_at: KnownAt
) -> int:
    """Save the dividends a source tells of, as `save_splits` does; several on one day add up."""
    rows: dict[int, tuple[int, ...]] = {}
    for dividend in paid:
        day = to_day(dividend.ex_date)
        rows[day] = (rows.get(day, (0,))[0] + dividend.amount,)
    return _save_actions(db, "dividends", _DIVIDEND, (source, symbol), rows, known_at)


def load_splits(
    db: sqlite3.Connection, source: str, symbol: str, *, known_at: int | None = None
) -> list[Split]:
    """Load the splits of a symbol by ex-date, as known then or now."""
    rows = _load_actions(db, "splits", _SPLIT, (source, symbol), known_at)
    return [
        Split(symbol=symbol, ex_date=to_date(day), split_from=split_from, split_to=split_to)
        for day, split_from, split_to in rows
    ]


def load_dividends(
    db: sqlite3.Connection, source: str, symbol: str, *, known_at: int | None = None
) -> list[Dividend]:
    """Load the dividends of a symbol by ex-date, as known then or now."""
    rows = _load_actions(db, "dividends", _DIVIDEND, (source, symbol), known_at)
    return [Dividend(symbol=symbol, ex_date=to_date(day), amount=amount) for day, amount in rows]


_SPLIT = "split_from, split_to"
_DIVIDEND = "amount"


def _load_actions(
    db: sqlite3.Connection, table: str, columns: str, of: tuple[str, str], known_at: int | None
) -> list[tuple[int, ...]]:
    at = 2**62 if known_at is None else known_at
    return db.execute(
        f"SELECT ex_day, {columns} FROM {table} WHERE source = ? AND symbol = ?"
        " AND known_at <= ? AND (superseded_at IS NULL OR superseded_at > ?) ORDER BY ex_day",
        (*of, at, at),
    ).fetchall()


def _save_actions(
    db: sqlite3.Connection,
    table: str,
    columns: str,
    of: tuple[str, str],
    rows: Mapping[int, tuple[int, ...]],
    known_at: KnownAt,
) -> int:
    """Save facts by ex-day; give how many are new or changed."""

    def when(day: int) -> int:
        return known_at if isinstance(known_at, int) else known_at(day)

    stored = {day: tuple(values) for day, *values in _load_actions(db, table, columns, of, None)}
    db.executemany(
        f"UPDATE {table} SET superseded_at = ?"
        " WHERE source = ? AND symbol = ? AND ex_day = ? AND superseded_at IS NULL",
        [(when(day), *of, day) for day in stored if rows.get(day) != stored[day]],
    )
    fresh = [(*of, day, *rows[day], when(day)) for day in rows if stored.get(day) != rows[day]]
    marks = ", ".join("?" * (4 + len(columns.split(", "))))
    db.executemany(
        f"INSERT OR REPLACE INTO {table} (source, symbol, ex_day, {columns}, known_at)"
        f" VALUES ({marks})",
        fresh,
    )
    return len(fresh)
