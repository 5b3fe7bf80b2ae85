"""The cache of bars: columns of 64-bit integers in chunks, derived from rows and never their peer.

A chunk holds the bars of one series with ts_close in [start, stop); triggers of the schema drop the
chunk in which any row comes, goes or changes. The chunks of a series that is wholly cached tile the
line of time from BEGIN to END; what they leave open is read from rows, and built again when enough
of it is missing and the store may be written. A reader never waits for that, nor fails by it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

from algotrade.bars import COLUMNS
from algotrade.record import NamedTuple
from algotrade.store.database import immediate, reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BEGIN, END = -(2**61), 2**61  # their distance is an integer of SQLite
VERSION = 1
ROWS = 1024  # of a chunk: small enough to build again after each append, large enough to read fast
WORTH = 512  # bars outside the cache from which on building beats reading them as rows again
_TURN = 256 * ROWS  # bars built in one transaction: bounds memory and the write-ahead log

# checks the lengths that the record's header tells; the blobs themselves are not read for it
_FITS = " AND ".join(
    (
        f"version = {VERSION}",
        "(count = 0 OR (first_ts >= start AND last_ts < stop))",
        *(f"length({name}) = 8 * count" for name in COLUMNS),
    )
)
_ROW = {name: name for name in COLUMNS} | {"ts_open": "ts_close - seconds * 1000000"}
_PASSED_OVER = (  # why a cache may stay unbuilt: none of it concerns who only wants to read
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH),
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN),
)


class Gap(NamedTuple):
    """A stretch [start, stop) of a series, in ts_close; most often one that no chunk holds."""

    series: int
    start: int
    stop: int


def stream_columns(
    db: sqlite3.Connection,
    series: Iterable[int],
    names: Sequence[str],
    start: int = BEGIN,
    stop: int = END,
) -> Iterator[list[bytes]]:
    """Give one series after the other: columns of its bars with ts_close in [start, stop).

    Each column is little-endian 64-bit integers, in time order. Call inside `reading`, so that
    chunks and the rows between them are of one moment.
    """
    for ident in series:
        parts: list[list[bytes]] = [[] for _ in names]
        for piece in _lay(db, ident, names, start, stop):
            for blobs in _row_blobs(db, piece, names) if isinstance(piece, Gap) else (piece,):
                for part, blob in zip(parts, blobs, strict=True):
                    part.append(blob)
        yield [b"".join(part) for part in parts]


def prepare_chunks(
    db: sqlite3.Connection, series: Iterable[int], start: int = BEGIN, stop: int = END
) -> None:
    """Build the cache of these series before they are read, where it lacks much of [start, stop).

    Not in the middle of a transaction of the caller, nor in a store open for reading only.
    """
    if db.in_transaction or _setting(db, "query_only"):
        return
    with reading(db):
        idents = list(dict.fromkeys(series))
        whole = _whole_series(db, idents)
        partly = [ident for ident in idents if ident not in whole]
        is_worth = _is_worth(db, (gap for ident in partly for gap in _gaps(db, ident, start, stop)))
    if is_worth:
        build_chunks(db, partly)


def build_chunks(db: sqlite3.Connection, series: Iterable[int]) -> int:
    """Build what the cache lacks of these series, in turns; give the bars built.

    Nothing happens inside a transaction of the caller; and where the store is open for reading
    only, the disk is full or somebody else writes, the rest stays unbuilt.
    """
    built = 0
    idents = list(dict.fromkeys(series))
    if db.in_transaction:
        return built
    try:
        with _in_passing(db):
            while turn := _build_turn(db, idents):
                built += turn
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSED_OVER:
            raise
    return built


def differing_series(db: sqlite3.Connection) -> list[int]:
    """Give the series whose cache says something else than their rows: none, unless tampered."""
    idents = [row[0] for row in db.execute("SELECT DISTINCT series_id FROM bar_chunks ORDER BY 1")]
    return [ident for ident in idents if not _agrees(db, ident)]


def drop_chunks(db: sqlite3.Connection) -> None:
    """Drop the whole cache; it builds itself again."""
    db.execute("DELETE FROM bar_chunks")


def to_array(blob: bytes) -> array[int]:
    """Give little-endian 64-bit integers as a column."""
    column = array("q")
    column.frombytes(blob)
    if sys.byteorder == "big":
        column.byteswap()
    return column


def to_blob(column: array[int]) -> bytes:
    """Give a column as little-endian 64-bit integers."""
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _whole_series(db: sqlite3.Connection, series: Sequence[int]) -> set[int]:
    """Give those of the series whose chunks tile the line."""
    rows = db.execute(
        f"SELECT series_id FROM bar_chunks WHERE series_id IN (SELECT value FROM json_each(?))"
        f" AND {_FITS} GROUP BY series_id HAVING sum(stop - start) = ?",
        (str(list(series)), END - BEGIN),
    )
    return {ident for (ident,) in rows}


def _lay(
    db: sqlite3.Connection, series: int, names: Sequence[str], start: int, stop: int
) -> Iterator[Gap | list[bytes]]:
    """Give what [start, stop) consists of: columns from chunks, and the gaps between them."""
    at = start
    chunks = db.execute(
        "SELECT start, stop, CASE WHEN start < ?2 OR stop > ?3 THEN ts_close END"
        f"{''.join(f', {name}' for name in names)} FROM bar_chunks"
        f" WHERE series_id = ?1 AND start < ?3 AND stop > ?2 AND {_FITS} ORDER BY start",
        (series, start, stop),
    )
    for first, end, times, *blobs in chunks:
        if start < at and first < at:  # overlaps the one before: not of our making
            continue
        if first > at:
            yield Gap(series, at, first)
        yield blobs if times is None else _cut(to_array(times), blobs, start, stop)
        at = end
    if at < stop:
        yield Gap(series, at, stop)


def _cut(times: array[int], blobs: Sequence[bytes], start: int, stop: int) -> list[bytes]:
    first, end = bisect_left(times, start), bisect_left(times, stop)
    return [blob[8 * first : 8 * end] for blob in blobs]


def _row_blobs(db: sqlite3.Connection, gap: Gap, names: Sequence[str]) -> Iterator[list[bytes]]:
    cursor = _select_rows(db, gap, names, limit=-1)
    while rows := cursor.fetchmany(8 * ROWS):
        yield _blobs(rows)


def _select_rows(
    db: sqlite3.Connection, within: Gap, names: Sequence[str], *, limit: int
) -> sqlite3.Cursor:
    return db.execute(
        f"SELECT {', '.join(_ROW[name] for name in names)} FROM bars"
        " WHERE series_id = ? AND ts_close >= ? AND ts_close < ? ORDER BY ts_close LIMIT ?",
        (*within, limit),
    )


def _blobs(rows: Sequence[tuple[int, ...]]) -> list[bytes]:
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    return [to_blob(array("q", column)) for column in columns]


def _is_worth(db: sqlite3.Connection, gaps: Iterable[Gap]) -> bool:
    missing = 0
    for gap in gaps:
        missing += db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM bars WHERE series_id = ? AND ts_close >= ?"
            " AND ts_close < ? LIMIT ?)",
            (*gap, WORTH),
        ).fetchone()[0]
        if missing >= WORTH:
            return True
    return False


@contextlib.contextmanager
def _in_passing(db: sqlite3.Connection) -> Iterator[None]:
    """Wait for nobody and sync nothing: what is lost with the power is built again."""
    before = {name: _setting(db, name) for name in ("busy_timeout", "synchronous")}
    db.execute("PRAGMA busy_timeout = 0")
    db.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        for name, value in before.items():
            db.execute(f"PRAGMA {name} = {value}")


def _setting(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _build_turn(db: sqlite3.Connection, series: Sequence[int]) -> int:
    """Fill gaps in one transaction until the turn is over; give the bars built."""
    built = 0
    with immediate(db):
        for ident in series:
            for gap in _gaps(db, ident):
                built += _fill(db, gap, _TURN - built)
                if built >= _TURN:
                    return built
    return built


def _gaps(db: sqlite3.Connection, series: int, start: int = BEGIN, stop: int = END) -> list[Gap]:
    return [piece for piece in _lay(db, series, (), start, stop) if isinstance(piece, Gap)]


def _fill(db: sqlite3.Connection, gap: Gap, room: int) -> int:
    """Fill a gap with chunks, from its start on, until about `room` bars are built."""
    series, start, stop = gap
    db.execute(
        "DELETE FROM bar_chunks WHERE series_id = ? AND start < ? AND stop > ?",
        (series, stop, start),
    )
    built = 0
    while start < stop and built < room:
        rows = _select_rows(db, Gap(series, start, stop), COLUMNS, limit=ROWS + 1).fetchall()
        end = rows[ROWS][1] if len(rows) > ROWS else stop
        _insert_chunk(db, Gap(series, start, end), rows[:ROWS])
        built, start = built + len(rows[:ROWS]), end
    return built


def _insert_chunk(db: sqlite3.Connection, within: Gap, rows: Sequence[tuple[int, ...]]) -> None:
    first, last = (rows[0][1], rows[-1][1]) if rows else (None, None)
    db.execute(
        f"INSERT INTO bar_chunks (series_id, start, stop, version, count, first_ts, last_ts,"
        f" {', '.join(COLUMNS)}) VALUES (?,?,?,?,?,?,?, ?,?,?,?,?,?,?)",
        (*within, VERSION, len(rows), first, last, *_blobs(rows)),
    )


def _agrees(db: sqlite3.Connection, series: int) -> bool:
    chunks = db.execute(
        f"SELECT start, stop, {', '.join(COLUMNS)} FROM bar_chunks WHERE series_id = ? AND {_FITS}",
        (series,),
    )
    return all(
        blobs == _blobs(_select_rows(db, Gap(series, start, stop), COLUMNS, limit=-1).fetchall())
        for start, stop, *blobs in chunks
    )
