"""Bars in the store: the newest revision as rows, earlier ones beside it, and what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING

from algotrade.bars import Bars, from_rows
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.times import MICROSECONDS, to_date, to_day

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from algotrade.bars import Finding

_VALUES = "ts_close, seconds, open, high, low, close, volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveReport:
    """What saving bars changed: bars not known before, and bars the source corrected."""

    new: int
    changed: int


def save_bars(
    db: sqlite3.Connection, bars: Bars, *, recorded_at: Callable[[int], int]
) -> SaveReport:
    """Save bars inside the caller's transaction; a changed bar keeps its earlier version.

    recorded_at: gives the time a bar became known from its ts_close.
    """
    series = series_id(db, bars.source, bars.symbol, bars.timeframe)
    known = _stored_rows(db, series, bars)
    new, changed = [], []
    for row in _rows(bars):
        stored = known.get(row[0])
        if stored is None:
            new.append((series, *row, recorded_at(row[0])))
        elif stored != row:
            changed.append((series, *row, recorded_at(row[0])))
    _supersede(db, series, changed)
    db.executemany("INSERT INTO bars VALUES (?,?,?,?,?,?,?,?,?)", new)
    return SaveReport(new=len(new), changed=len(changed))


def load_bars(
    db: sqlite3.Connection,
    source: str,
    symbol: str,
    timeframe: str,
    *,
    until: int | None = None,
    after: int | None = None,
    last: int | None = None,
    known_at: int | None = None,
) -> Bars:
    """Load bars in time order with ts_close in (after, until], at most the `last` of them.

    known_at: read them as they were known then; without it, the newest revision.
    """
    ident = find_series(db, source, symbol, timeframe)
    splits = tuple(load_splits(db, source, symbol, known_at=known_at))
    if ident is None:
        return Bars(source=source, symbol=symbol, timeframe=timeframe, splits=splits)
    low = -(2**62) if after is None else after
    high = 2**62 if until is None else until
    rows = _select(db, ident, low, high, last, known_at)
    shaped = ((ts - seconds * MICROSECONDS, ts, *rest) for ts, seconds, *rest in reversed(rows))
    return from_rows(source, symbol, timeframe, shaped, splits)


def series_id(db: sqlite3.Connection, source: str, symbol: str, timeframe: str) -> int:
    """Give the number of a series, creating it where it is new."""
    found = find_series(db, source, symbol, timeframe)
    if found is not None:
        return found
    db.execute(
        "INSERT INTO series (source, symbol, timeframe) VALUES (?,?,?)", (source, symbol, timeframe)
    )
    return int(db.execute("SELECT last_insert_rowid()").fetchone()[0])


def stored_symbols(db: sqlite3.Connection, source: str, timeframe: str) -> list[str]:
    """Give the symbols of a source that have bars, by name."""
    rows = db.execute(
        "SELECT symbol FROM series s WHERE source = ? AND timeframe = ?"
        " AND EXISTS (SELECT 1 FROM bars b WHERE b.series_id = s.series_id) ORDER BY symbol",
        (source, timeframe),
    )
    return [symbol for (symbol,) in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSummary:
    """How much of one series is stored."""

    source: str
    symbol: str
    timeframe: str
    bars: int
    first: int
    last: int


def summaries(db: sqlite3.Connection) -> list[SeriesSummary]:
    """Give each stored series with its number of bars and its first and last ts_close."""
    rows = db.execute(
        "SELECT s.source, s.symbol, s.timeframe, count(*), min(b.ts_close), max(b.ts_close)"
        " FROM bars b JOIN series s USING (series_id) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    return [
        SeriesSummary(source=source, symbol=symbol, timeframe=timeframe, bars=n, first=a, last=z)
        for source, symbol, timeframe, n, a, z in rows
    ]


def find_series(db: sqlite3.Connection, source: str, symbol: str, timeframe: str) -> int | None:
    """Give the number of a series, or None where nothing of it was ever stored."""
    row = db.execute(
        "SELECT series_id FROM series WHERE source = ? AND symbol = ? AND timeframe = ?",
        (source, symbol, timeframe),
    ).fetchone()
    return None if row is None else int(row[0])


def save_coverage(
    db: sqlite3.Connection, ident: int, *, first_day: int, last_day: int, asked_at: int, bars: int
) -> None:
    """Record that the sessions [first_day, last_day] were asked for and fully answered."""
    db.execute(
        "INSERT INTO coverage (series_id, first_day, last_day, asked_at, bars) VALUES (?,?,?,?,?)",
        (ident, first_day, last_day, asked_at, bars),
    )


def covered(db: sqlite3.Connection, ident: int) -> tuple[int, int] | None:
    """Give the first and last day of the unbroken span asked so far, or None."""
    spans = db.execute(
        "SELECT first_day, last_day FROM coverage WHERE series_id = ? ORDER BY first_day",
        (ident,),
    ).fetchall()
    if not spans:
        return None
    first, last = spans[0]
    for start, end in spans[1:]:
        if start > last + 1:
            return first, last
        last = max(last, end)
    return first, last


def save_rejected(
    db: sqlite3.Connection, ident: int, findings: Iterable[Finding], *, seen_at: int
) -> None:
    """Keep bars that were set aside, with the reason."""
    db.executemany(
        "INSERT OR IGNORE INTO rejected_bars VALUES (?,?,?,?)",
        [(ident, finding.when, finding.reason, seen_at) for finding in findings],
    )


def save_splits(
    db: sqlite3.Connection, source: str, symbol: str, splits: Sequence[Split], *, known_at: int
) -> int:
    """Save the splits a source tells of; one it no longer tells of is superseded, not removed."""
    rows = {to_day(s.ex_date): (s.split_from, s.split_to) for s in splits}
    return _save_actions(db, "splits", _SPLIT, (source, symbol), rows, known_at)


def save_dividends(
    db: sqlite3.Connection, source: str, symbol: str, paid: Sequence[Dividend], *, known_at: int
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
    known_at: int,
) -> int:
    """Save facts by ex-day; give how many are new or changed."""
    stored = {day: tuple(values) for day, *values in _load_actions(db, table, columns, of, None)}
    db.executemany(
        f"UPDATE {table} SET superseded_at = ?"
        " WHERE source = ? AND symbol = ? AND ex_day = ? AND superseded_at IS NULL",
        [(known_at, *of, day) for day in stored if rows.get(day) != stored[day]],
    )
    fresh = [(*of, day, *rows[day], known_at) for day in rows if stored.get(day) != rows[day]]
    marks = ", ".join("?" * (4 + len(columns.split(", "))))
    db.executemany(
        f"INSERT OR REPLACE INTO {table} (source, symbol, ex_day, {columns}, known_at)"
        f" VALUES ({marks})",
        fresh,
    )
    return len(fresh)


def _rows(bars: Bars) -> Iterable[tuple[int, ...]]:
    def row(ts_open: int, ts_close: int, *values: int) -> tuple[int, ...]:
        return (ts_close, (ts_close - ts_open) // MICROSECONDS, *values)

    columns = (bars.ts_open, bars.ts_close, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return starmap(row, zip(*columns, strict=True))


def _stored_rows(db: sqlite3.Connection, ident: int, bars: Bars) -> dict[int, tuple[int, ...]]:
    if not len(bars):
        return {}
    rows = db.execute(
        f"SELECT {_VALUES} FROM bars WHERE series_id = ? AND ts_close BETWEEN ? AND ?",
        (ident, bars.ts_close[0], bars.ts_close[-1]),
    )
    return {row[0]: row for row in rows}


def _supersede(db: sqlite3.Connection, ident: int, changed: Sequence[tuple[int, ...]]) -> None:
    db.executemany(
        f"INSERT INTO bar_revisions SELECT series_id, {_VALUES}, known_at, ?"
        " FROM bars WHERE series_id = ? AND ts_close = ? ON CONFLICT DO NOTHING",
        [(row[-1], ident, row[1]) for row in changed],
    )
    db.executemany(
        "UPDATE bars SET seconds = ?3, open = ?4, high = ?5, low = ?6, close = ?7, volume = ?8,"
        " known_at = ?9 WHERE series_id = ?1 AND ts_close = ?2",
        changed,
    )


def _select(
    db: sqlite3.Connection, ident: int, low: int, high: int, last: int | None, known_at: int | None
) -> list[tuple[int, ...]]:
    """Give rows newest first."""
    limit = -1 if last is None else last
    if known_at is None:
        return db.execute(
            f"SELECT {_VALUES} FROM bars WHERE series_id = ? AND ts_close > ? AND ts_close <= ?"
            " ORDER BY ts_close DESC LIMIT ?",
            (ident, low, high, limit),
        ).fetchall()
    return db.execute(
        f"SELECT {_VALUES} FROM bars WHERE series_id = ?1 AND ts_close > ?2 AND ts_close <= ?3"
        f" AND known_at <= ?5 UNION ALL SELECT {_VALUES} FROM bar_revisions WHERE series_id = ?1"
        " AND ts_close > ?2 AND ts_close <= ?3 AND known_at <= ?5 AND superseded_at > ?5"
        " ORDER BY ts_close DESC LIMIT ?4",
        (ident, low, high, limit, known_at),
    ).fetchall()
