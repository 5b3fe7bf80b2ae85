"""Backtests in the store: each run with its whole journal, counted and never rewritten."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from algotrade.domain.ledger import Entry, Mark
from algotrade.errors import LedgerError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_COLUMNS = (
    "run_id, number, sweep, created_at, source, strategy, symbols, from_ts, until_ts, plan_hash,"
    " bars_hash, halt, spec, report"
)


class RunRecord(NamedTuple):
    """A run: what was asked (spec), of which bars, and what came of it (report).

    number: in the order of running. sweep: the run_id of the first run of a sweep it belongs to.
    plan_hash: of everything asked but symbols, span and name; two runs of equal plan on spans that
    overlap are one trial.
    """

    run_id: str
    number: int
    sweep: str | None
    created_at: int
    source: str
    strategy: str
    symbols: tuple[str, ...]
    from_ts: int
    until_ts: int
    plan_hash: str
    bars_hash: str
    halt: str | None
    spec: Mapping[str, Any]
    report: Mapping[str, Any]


_CHUNK = 1000  # rows hashed at once


class RunTrail(NamedTuple):
    """The journal of a run; decisions as rows in the order of `v_run_decisions`' table."""

    entries: Sequence[Entry]
    decisions: Sequence[tuple[Any, ...]]
    marks: Sequence[Mark]


def save_run(db: sqlite3.Connection, record: RunRecord, trail: RunTrail) -> RunRecord:
    """Insert a run inside the caller's transaction; it gets the next number."""
    (number,) = db.execute("SELECT coalesce(max(number), 0) + 1 FROM runs").fetchone()
    numbered = record._replace(number=number)
    row = numbered._replace(
        symbols=" ".join(record.symbols),  # type: ignore[arg-type]  # as it is stored
        spec=_dump(record.spec),  # type: ignore[arg-type]
        report=_dump(record.report),  # type: ignore[arg-type]
    )
    db.execute(f"INSERT INTO runs ({_COLUMNS}) VALUES ({','.join('?' * len(row))})", row)
    name = record.run_id
    entries = [(name, seq, *entry) for seq, entry in enumerate(trail.entries, 1)]
    decisions = [(name, seq, *one) for seq, one in enumerate(trail.decisions, 1)]
    marks = [(name, *mark) for mark in trail.marks]
    db.executemany("INSERT INTO run_entries VALUES (?,?,?,?,?,?,?,?,?,?,?)", entries)
    db.executemany("INSERT INTO run_decisions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", decisions)
    db.executemany("INSERT INTO run_marks VALUES (?,?,?,?,?)", marks)
    digest = _digest([tuple(row)], entries, decisions, marks)
    db.execute("INSERT INTO run_digests VALUES (?, ?)", (name, digest))
    return _record(row)


_PARTS = (
    f"SELECT {_COLUMNS} FROM runs WHERE run_id = ?",
    "SELECT * FROM run_entries WHERE run_id = ? ORDER BY seq",
    "SELECT * FROM run_decisions WHERE run_id = ? ORDER BY seq",
    "SELECT * FROM run_marks WHERE run_id = ? ORDER BY ts",
)


def run_digest(db: sqlite3.Connection, run_id: str) -> str:
    """Give the SHA-256 of a run and its whole journal, row by row."""
    return _digest(*(db.execute(part, (run_id,)).fetchall() for part in _PARTS))


def _digest(*parts: Sequence[tuple[Any, ...]]) -> str:
    """Hash rows as they lie in the store, which gives back what it was given."""
    digest = hashlib.sha256()
    for rows in parts:
        for start in range(0, len(rows), _CHUNK):
            digest.update(ascii(rows[start : start + _CHUNK]).encode())
    return digest.hexdigest()


def check_run(db: sqlite3.Connection, run_id: str) -> None:
    """Raise LedgerError where a run is not what was written down."""
    row = db.execute("SELECT digest FROM run_digests WHERE run_id = ?", (run_id,)).fetchone()
    if row is None or row[0] != run_digest(db, run_id):
        raise LedgerError(
            f"run {run_id} is not what was written down",
            hint="the file was changed from outside; algotrade restore FILE, or run it again",
        )


def digest_older_runs(db: sqlite3.Connection) -> None:
    """Note the digest of each run from before digests were kept, as it is now."""
    names = db.execute("SELECT run_id FROM runs EXCEPT SELECT run_id FROM run_digests").fetchall()
    for (name,) in names:
        db.execute("INSERT INTO run_digests VALUES (?, ?)", (name, run_digest(db, name)))


def find_runs(db: sqlite3.Connection, prefix: str) -> list[RunRecord]:
    """Load the runs whose id begins with `prefix`, at most two of them."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM runs WHERE run_id >= ? AND run_id < ? ORDER BY run_id LIMIT 2",
        (prefix, prefix + "~"),
    )
    return [_record(row) for row in rows]


def list_runs(db: sqlite3.Connection, *, last: int | None = None) -> list[RunRecord]:
    """Load the runs, newest first, at most the `last` of them."""
    most = -1 if last is None else min(last, 2**62)  # an integer of SQLite
    rows = db.execute(f"SELECT {_COLUMNS} FROM runs ORDER BY number DESC LIMIT ?", (most,))
    return [_record(row) for row in rows]


def trials(
    db: sqlite3.Connection, source: str, symbols: Iterable[str], from_ts: int, until_ts: int
) -> list[RunRecord]:
    """Load one run of each plan that was tried on any of these symbols in an overlapping span."""
    wanted = {*symbols}
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM runs WHERE source = ? AND from_ts <= ? AND until_ts >= ?"
        " ORDER BY number",
        (source, until_ts, from_ts),
    )
    found: dict[str, RunRecord] = {}
    for record in map(_record, rows):
        if wanted & {*record.symbols}:
            found[record.plan_hash] = record
    return list(found.values())


def run_entries(db: sqlite3.Connection, run_id: str) -> list[Entry]:
    """Load a run's ledger in order."""
    rows = db.execute(
        "SELECT ts, kind, ref, symbol, quantity, price, amount, fee, note FROM run_entries"
        " WHERE run_id = ? ORDER BY seq",
        (run_id,),
    )
    return [Entry._make(row) for row in rows]


def run_marks(db: sqlite3.Connection, run_id: str) -> list[Mark]:
    """Load a run's valuations in time order."""
    rows = db.execute(
        "SELECT ts, cash, value, contributed FROM run_marks WHERE run_id = ? ORDER BY ts", (run_id,)
    )
    return [Mark._make(row) for row in rows]


def run_decisions(db: sqlite3.Connection, run_id: str) -> Iterator[tuple[Any, ...]]:
    """Give a run's orders and spans of holds and refusals, in order of time."""
    return db.execute(
        "SELECT symbol, from_ts, until_ts, action, code, reason, p_up, source, side, quantity,"
        " order_key FROM run_decisions WHERE run_id = ? ORDER BY seq",
        (run_id,),
    )


def _dump(table: Mapping[str, Any]) -> str:
    return json.dumps(table, separators=(",", ":"), allow_nan=False)


def _record(row: tuple[Any, ...]) -> RunRecord:
    made = RunRecord._make(row)
    return made._replace(
        symbols=tuple(row[6].split()), spec=json.loads(row[12]), report=json.loads(row[13])
    )
