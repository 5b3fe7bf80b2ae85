"""Bars in the store: the newest revision as rows, earlier ones beside it."""

from __future__ import annotations

from itertools import chain, islice, repeat
from operator import floordiv, sub
from typing import TYPE_CHECKING

from algotrade.bars import COLUMNS, Bars, from_rows
from algotrade.domain.times import DAY, HOUR, MICROSECONDS
from algotrade.record import NamedTuple
from algotrade.store.actions import load_splits
from algotrade.store.chunks import BEGIN, END, prepare_chunks, stream_columns, to_array
from algotrade.store.database import reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from algotrade.bars import Finding

_VALUES = "ts_close, seconds, open, high, low, close, volume"
_SLICE = 8192  # bars compared with what is stored at a time: bounds memory
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TOGETHER = 50  # rows of one INSERT: SQLite starts a statement once for all of them


class SaveReport(NamedTuple):
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
    new = changed = 0
    for start in range(0, len(bars), _SLICE):
        part = bars if len(bars) <= _SLICE else bars.slice(start, min(start + _SLICE, len(bars)))
        fresh, corrected = _save_part(db, series, part, recorded_at)
        new, changed = new + fresh, changed + corrected
    return SaveReport(new=new, changed=changed)


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

    known_at: read them as they were known then; without it, the newest revision. Without `last`
    and `known_at` they come from the cache of columns where it holds them.
    """
    ident = find_series(db, source, symbol, timeframe)
    low = BEGIN if after is None else min(max(BEGIN, after), END)
    high = END if until is None else min(max(BEGIN, until), END)
    if ident is None or last is not None or known_at is not None:
        with reading(db):
            splits = tuple(load_splits(db, source, symbol, known_at=known_at))
            rows = [] if ident is None else _select(db, ident, low, high, last, known_at)
        shaped = ((ts - seconds * MICROSECONDS, ts, *rest) for ts, seconds, *rest in reversed(rows))
        return from_rows(source, symbol, timeframe, shaped, splits)
    prepare_chunks(db, (ident,), low + 1, high + 1)
    with reading(db):
        splits = tuple(load_splits(db, source, symbol))
        (blobs,) = stream_columns(db, (ident,), COLUMNS, low + 1, high + 1)
    columns = dict(zip(COLUMNS, map(to_array, blobs), strict=True))
    return Bars(source=source, symbol=symbol, timeframe=timeframe, splits=splits, **columns)


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


class SeriesSummary(NamedTuple):
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


def summary(
    db: sqlite3.Connection, source: str, symbol: str, timeframe: str
) -> SeriesSummary | None:
    """Give how much of one series is stored, or None where nothing is."""
    ident = find_series(db, source, symbol, timeframe)
    row = db.execute(
        "SELECT count(*), min(ts_close), max(ts_close) FROM bars WHERE series_id = ?", (ident,)
    ).fetchone()
    if not row[0]:
        return None
    return SeriesSummary(
        source=source, symbol=symbol, timeframe=timeframe, bars=row[0], first=row[1], last=row[2]
    )


def stored_days(db: sqlite3.Connection, ident: int) -> set[int]:
    """Give the sessions (days since 1970) that have a bar."""
    rows = db.execute(
        "SELECT DISTINCT (ts_close - seconds * 1000000 - ?) / ? FROM bars WHERE series_id = ?",
        (5 * HOUR, DAY, ident),
    )
    return {day for (day,) in rows}


def find_series(db: sqlite3.Connection, source: str, symbol: str, timeframe: str) -> int | None:
    """Give the number of a series, or None where nothing of it was ever stored."""
    row = db.execute(
        "SELECT series_id FROM series WHERE source = ? AND symbol = ? AND timeframe = ?",
        (source, symbol, timeframe),
    ).fetchone()
    return None if row is None else int(row[0])


def save_rejected(
    db: sqlite3.Connection, ident: int, findings: Iterable[Finding], *, seen_at: int
) -> None:
    """Keep bars that were set aside, with the reason."""
    db.executemany(
        "INSERT OR IGNORE INTO rejected_bars VALUES (?,?,?,?)",
        [(ident, finding.when, finding.reason, seen_at) for finding in findings],
    )


def _save_part(
    db: sqlite3.Connection, series: int, bars: Bars, recorded_at: Callable[[int], int]
) -> tuple[int, int]:
    """Save some bars; give how many were new and how many corrected."""
    known = db.execute(
        f"SELECT {_VALUES} FROM bars WHERE series_id = ? AND ts_close BETWEEN ? AND ?"
        " ORDER BY ts_close",
        (series, min(bars.ts_close), max(bars.ts_close)),
    ).fetchall()
    rows: Iterable[tuple[int, ...]] = _rows(bars)
    if known:
        rows = list(rows)
        if rows == known:
            return 0, 0
    stored = {row[0]: row for row in known}
    new = (row for row in rows if row[0] not in stored)
    changed = [row for row in rows if stored.get(row[0], row) != row] if known else []
    _supersede(db, [(series, *row, recorded_at(row[0])) for row in changed])
    return _insert(db, series, new if known else rows, recorded_at), len(changed)


def _rows(bars: Bars) -> Iterator[tuple[int, ...]]:
    """Give the rows of bars in the order of _VALUES."""
    lengths = map(sub, bars.ts_close, bars.ts_open)
    seconds = map(floordiv, lengths, repeat(MICROSECONDS))
    values = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return zip(bars.ts_close, seconds, *values, strict=True)


def _insert(
    db: sqlite3.Connection,
    series: int,
    rows: Iterable[tuple[int, ...]],
    recorded_at: Callable[[int], int],
) -> int:
    """Insert rows of the order of _VALUES, many by each statement; give how many."""
    whole = ((series, *row, recorded_at(row[0])) for row in rows)
    count = 0
    while batch := list(islice(whole, _TOGETHER * 100)):
        count += len(batch)
        even = len(batch) - len(batch) % _TOGETHER
        db.executemany(
            f"INSERT INTO bars VALUES {', '.join([_ROW] * _TOGETHER)}",
            (tuple(chain(*batch[at : at + _TOGETHER])) for at in range(0, even, _TOGETHER)),
        )
        db.executemany(f"INSERT INTO bars VALUES {_ROW}", batch[even:])
    return count


def _supersede(db: sqlite3.Connection, changed: Sequence[tuple[int, ...]]) -> None:
    db.executemany(
        f"INSERT OR REPLACE INTO bar_revisions SELECT series_id, {_VALUES}, known_at, ?"
        " FROM bars WHERE series_id = ? AND ts_close = ?",
        [(row[-1], row[0], row[1]) for row in changed],
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
