"""Seals: one link a commit over all that a portfolio or a decision rests on.

A seal holds a SHA-256 for each table over the rows that its commit wrote, one for each part of what
may change in place, and the hash of the seal before. The rows of a seal are found again by `ends`:
how far each table went. The text that is hashed is `ascii()` of the rows as SQLite gives them, a
thousand at a time: integers, texts and the shortest form of a float, the same everywhere.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from algotrade.errors import LedgerError
from algotrade.record import NamedTuple
from algotrade.store.schema_care import RANGED, TRAILED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HINT = "algotrade ledger verify names the first difference; algotrade restore FILE mends it"
_CHUNK = 1000
_dump = json.JSONEncoder(separators=(",", ":")).encode
_TAIL_SEALS, _TAIL_ROWS = 32, 200  # how far back a start looks
_TRAIL, _MOVED, _SCHEMA = "trail", "moved", "schema"

# what may change in place, and the newest link of each ledger
STATE = {
    "settled": "SELECT account, symbol, ts FROM settled ORDER BY account, symbol",
    "meta": "SELECT name, value FROM meta WHERE name = 'sample_clock' OR name LIKE 'head:%'"
    " ORDER BY name",
    "ledger": "SELECT a.account, l.seq, l.hash FROM accounts a LEFT JOIN ledger l"
    " ON l.account = a.account AND l.seq = (SELECT max(seq) FROM ledger WHERE account = a.account)"
    " ORDER BY a.account",
    "marks": "SELECT m.* FROM accounts a JOIN marks m ON m.account = a.account"
    " AND m.ts = (SELECT max(ts) FROM marks WHERE account = a.account) ORDER BY a.account",
    "halts": "SELECT * FROM halts ORDER BY halt_id DESC LIMIT 1",
}
_STATE_OF = {"accounts", "marks", "halts"}  # tables that STATE reads beside what `moved` counts


class Seal(NamedTuple):
    """One link; ends, rows and state as the JSON that is hashed."""

    seq: int
    ends: str
    rows: str
    state: str
    note: str
    previous: str
    hash: str


class Head(NamedTuple):
    """The number and the hash of the newest seal that somebody has seen."""

    seq: int
    hash: str


def seal(db: sqlite3.Connection, *, note: str = "") -> None:
    """Seal what the open transaction has written, if it has; called before every commit.

    note: a person's words, such as why an old state is accepted; then there is always a seal.
    """
    try:
        ends = _ends(db)
    except sqlite3.OperationalError:
        if _has_seals(db):
            raise
        return  # an older schema, on its way up
    newest = last_seal(db)
    before = _ends_of(newest)
    if ends == before and not note:
        return
    rows = _rows(db, _start(before, ends), ends)
    seq, previous = (newest.seq + 1, newest.hash) if newest else (1, "")
    same = newest and before.get(_MOVED) == ends[_MOVED] and not _STATE_OF & {*rows}
    state = newest.state if newest and same else _dump(_state(db))
    body = (seq, _dump(ends), _dump(rows), state, note, previous)
    db.execute("INSERT INTO seals VALUES (?,?,?,?,?,?,?)", (*body, _hash(body)))


def last_seal(db: sqlite3.Connection) -> Seal | None:
    """Give the newest seal, or None of a store in which nothing was ever written."""
    row = db.execute("SELECT * FROM seals ORDER BY seq DESC LIMIT 1").fetchone()
    return None if row is None else Seal(*row)


def head(db: sqlite3.Connection) -> Head | None:
    """Give the newest seal's number and hash."""
    newest = last_seal(db)
    return Head(newest.seq, newest.hash) if newest else None


def has(db: sqlite3.Connection, seen: Head) -> bool:
    """Tell whether the store has this very seal."""
    row = db.execute("SELECT hash FROM seals WHERE seq = ?", (seen.seq,)).fetchone()
    return row is not None and row[0] == seen.hash


def check_tail(db: sqlite3.Connection, seen: Head | None = None) -> None:
    """Check what the last commits wrote, and what may change in place; raise LedgerError.

    The newest commits are checked until a few hundred rows are covered.

    seen: a seal that was seen before; the store must still have it.
    """
    newest = last_seal(db)
    if seen is not None:
        _check_seen(db, newest, seen)
    if newest is None:
        _check_ends(db, {})
        return
    tail = [*seals(db, last=_TAIL_SEALS + 1)]
    covered = 0
    for place, one in enumerate(tail[:_TAIL_SEALS]):
        before = tail[place + 1] if place + 1 < len(tail) else None
        _check_link(one, before)
        if _is_current(one, newest):
            covered += _check_rows(db, one, before)
        if covered >= _TAIL_ROWS:
            break
    _check_state(db, newest)
    _check_ends(db, _ends_of(newest))


def check_all(db: sqlite3.Connection) -> int:
    """Recompute every seal and every row that it covers; give the number of seals, or raise."""
    before: Seal | None = None
    found = db.execute("SELECT * FROM seals ORDER BY seq").fetchall()
    every = [Seal(*row) for row in found]
    for one in every:
        _check_link(one, before)
        if _is_current(one, every[-1]):
            _check_rows(db, one, before)
        before = one
    if before is not None:
        _check_state(db, before)
        _check_counts(db, _ends_of(before))
    _check_ends(db, _ends_of(before))
    return len(found)


def _ends(db: sqlite3.Connection) -> dict[str, int]:
    row = db.execute(_ends_sql()).fetchone()
    return dict(zip((*RANGED, _TRAIL, _MOVED, _SCHEMA), row, strict=True))


@lru_cache(maxsize=1)
def _ends_sql() -> str:
    parts = [f"(SELECT coalesce(max({key}), 0) FROM {table})" for table, key in RANGED.items()]
    parts += ["(SELECT coalesce(max(n), 0) FROM trail)", "coalesce((SELECT n FROM moved), -1)"]
    return f"SELECT {', '.join(parts)}, (SELECT user_version FROM pragma_user_version)"


def _ends_of(one: Seal | None) -> Mapping[str, int]:
    try:
        return _parsed(one.ends) if one else {}
    except ValueError:
        raise LedgerError(f"commit {one and one.seq}: its seal cannot be read", hint=HINT) from None


@lru_cache(maxsize=64)
def _parsed(ends: str) -> Mapping[str, int]:
    found: Mapping[str, int] = json.loads(ends)
    return found


def _is_current(one: Seal, newest: Seal) -> bool:
    """Tell whether a seal's rows have their shape of then; else a later seal covers them anew."""
    return _ends_of(one).get(_SCHEMA) == _ends_of(newest).get(_SCHEMA)


def _start(before: Mapping[str, int], ends: Mapping[str, int]) -> Mapping[str, int]:
    """Give where the rows of a seal begin: a new schema's first seal covers all there is."""
    return before if before.get(_SCHEMA) == ends.get(_SCHEMA) else {}


def _rows(
    db: sqlite3.Connection, start: Mapping[str, int], ends: Mapping[str, int]
) -> dict[str, list[Any]]:
    """Give for each table with rows between two ends how many there are, and their digest."""
    found = {}
    for table, key in RANGED.items():
        first, last = start.get(table, 0), ends.get(table, 0)
        if last > first:
            sql = f"SELECT * FROM {table} WHERE {key} > ? AND {key} <= ? ORDER BY {key}"
            found[table] = _digest(db.execute(sql, (first, last)))
    first, last = start.get(_TRAIL, 0), ends.get(_TRAIL, 0)
    if last > first:
        tables = db.execute(
            "SELECT DISTINCT what FROM trail WHERE n > ? AND n <= ? ORDER BY what", (first, last)
        )
        for (table,) in tables.fetchall():
            found[table] = _digest(db.execute(_trailed_sql(table), (first, last)))
    return found


@lru_cache(maxsize=16)
def _trailed_sql(table: str) -> str:
    if table not in TRAILED:
        raise LedgerError(f"the trail names {table!r}, which is no table of ours", hint=HINT)
    on = " AND ".join(
        f"t.{name} = w.{place}" for name, place in zip(TRAILED[table], "ab", strict=False)
    )
    order = ", o.*" if table == "order_events" else ""  # an order is sealed with its first state
    join = " LEFT JOIN orders o ON o.key = t.key AND t.seq = 1" if order else ""
    return (
        f"SELECT t.*{order} FROM trail w LEFT JOIN {table} t ON {on}{join}"
        f" WHERE w.n > ? AND w.n <= ? AND w.what = '{table}' ORDER BY w.n"
    )


def _digest(rows: sqlite3.Cursor) -> list[Any]:
    count, digest = 0, hashlib.sha256()
    while chunk := rows.fetchmany(_CHUNK):
        count += len(chunk)
        digest.update(ascii(chunk).encode())
    return [count, digest.hexdigest()]


def _state(db: sqlite3.Connection) -> dict[str, list[Any]]:
    return {name: _digest(db.execute(sql)) for name, sql in STATE.items()}


def _hash(body: tuple[Any, ...]) -> str:
    seq, ends, rows, state, note, previous = body
    return hashlib.sha256(ascii([seq, ends, rows, state, note, previous]).encode()).hexdigest()


def _has_seals(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'seals'").fetchone())


def _check_seen(db: sqlite3.Connection, newest: Seal | None, seen: Head) -> None:
    found = newest.seq if newest else 0
    if has(db, seen):
        return
    what = f"stops at commit {found}" if found < seen.seq else f"has another commit {seen.seq}"
    raise LedgerError(
        f"the store {what}, older or other than what this home has seen ({seen.seq})",
        hint='algotrade restore a newer backup; or algotrade ledger accept --reason "..."',
    )


def _check_link(one: Seal, before: Seal | None) -> None:
    seq, previous = (before.seq + 1, before.hash) if before else (1, "")
    if one.seq != seq or one.previous != previous or one.hash != _hash(one[:-1]):
        raise LedgerError(f"commit {one.seq}: its seal does not fit the chain", hint=HINT)


def _check_rows(db: sqlite3.Connection, one: Seal, before: Seal | None) -> int:
    ends = _ends_of(one)
    start = _start(_ends_of(before), ends)
    stored, made = json.loads(one.rows), _rows(db, start, ends)
    for table in dict.fromkeys((*stored, *made)):
        if stored.get(table) != made.get(table):
            raise LedgerError(_differs(f"commit {one.seq}: {table}", table, start, ends), hint=HINT)
    return sum(count for count, _ in made.values())


def _differs(what: str, table: str, start: Mapping[str, int], ends: Mapping[str, int]) -> str:
    if table in RANGED:
        what += f" {start.get(table, 0) + 1} to {ends.get(table, 0)}"
    return f"{what} differ from their seal"


def _check_ends(db: sqlite3.Connection, ends: Mapping[str, int]) -> None:
    now = _ends(db)
    for name, found in now.items():
        known = ends.get(name, 0)
        if found == known or (name == _SCHEMA and not ends):
            continue
        kind = "changed without a seal" if found > known else "missing"
        raise LedgerError(f"{name} after {min(known, found)}: rows {kind}", hint=HINT)


def _check_state(db: sqlite3.Connection, newest: Seal) -> None:
    stored, made = json.loads(newest.state), _state(db)
    for name, value in made.items():
        if stored.get(name) != value:
            raise LedgerError(f"{name} differs from its seal (commit {newest.seq})", hint=HINT)


def _check_counts(db: sqlite3.Connection, ends: Mapping[str, int]) -> None:
    """Find rows that no trail leads to: they were put there with the triggers off."""
    for table in TRAILED:
        (rows,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
        (known,) = db.execute("SELECT count(*) FROM trail WHERE what = ?", (table,)).fetchone()
        if rows != known:
            raise LedgerError(f"{table} has {rows} rows, {known} are sealed", hint=HINT)
    for table, key in RANGED.items():
        (low,) = db.execute(f"SELECT coalesce(min({key}), 1) FROM {table}").fetchone()
        if low < 1 or ends.get(table, 0) < 0:
            raise LedgerError(f"{table} has a row numbered {low}", hint=HINT)
    (orders,) = db.execute("SELECT count(*) FROM orders").fetchone()
    (first,) = db.execute("SELECT count(*) FROM order_events WHERE seq = 1").fetchone()
    if orders != first:
        raise LedgerError(f"{orders} orders, {first} with a first state", hint=HINT)


def seals(db: sqlite3.Connection, *, last: int) -> Iterator[Seal]:
    """Give the newest seals, newest first."""
    rows = db.execute("SELECT * FROM seals ORDER BY seq DESC LIMIT ?", (last,))
    return (Seal(*row) for row in rows)
