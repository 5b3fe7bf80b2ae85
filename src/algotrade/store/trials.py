"""Trials in the store: plans that were judged, on which test spans, and hold-outs spent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

TRAIN, SEARCH = "train", "search"
_TRIAL = "plan, source, symbols, what, first_ts, last_ts, sharpe, model_id, created_at"
_HOLDOUT = "plan, source, symbols, first_ts, last_ts, figures, created_at"
_OVERLAP = "WHERE source = ? AND first_ts <= ? AND last_ts >= ?"


class TrialRecord(NamedTuple):
    """One plan that was judged: what for, on which test span, and how it did.

    plan: `card.plan_hash`. what: TRAIN or SEARCH. first_ts, last_ts: first and last test decision.
    sharpe: of the excess over holding, a period; None where undefined. model_id: None for a point
    of a search that was not kept.
    """

    plan: str
    source: str
    symbols: tuple[str, ...]
    what: str
    first_ts: int
    last_ts: int
    sharpe: float | None
    model_id: str | None
    created_at: int


class HoldoutRecord(NamedTuple):
    """A hold-out that was looked at: by which plan, on which span, and what came of it."""

    plan: str
    source: str
    symbols: tuple[str, ...]
    first_ts: int
    last_ts: int
    figures: Mapping[str, Any]
    created_at: int


def save_trial(db: sqlite3.Connection, record: TrialRecord) -> bool:
    """Append a trial inside the caller's transaction; tell whether it is new but for its time."""
    row = record._replace(symbols=" ".join(record.symbols))  # type: ignore[arg-type]  # as stored
    known = db.execute(
        "SELECT 1 FROM trials WHERE plan = ? AND source = ? AND symbols = ? AND what = ?"
        " AND first_ts = ? AND last_ts = ? AND sharpe IS ? AND model_id IS ?",
        row[:-1],
    ).fetchone()
    if known is None:
        db.execute(f"INSERT INTO trials ({_TRIAL}) VALUES ({','.join('?' * len(row))})", row)
    return known is None


def load_trials(
    db: sqlite3.Connection, source: str, symbols: Iterable[str], first_ts: int, last_ts: int
) -> list[TrialRecord]:
    """Load the trials of this source on any of these symbols in an overlapping span, in order."""
    wanted = {*symbols}
    rows = db.execute(
        f"SELECT {_TRIAL} FROM trials {_OVERLAP} ORDER BY trial_id", (source, last_ts, first_ts)
    )
    found = [TrialRecord._make((*row[:2], tuple(row[2].split()), *row[3:])) for row in rows]
    return [one for one in found if wanted & {*one.symbols}]


def save_holdout(db: sqlite3.Connection, record: HoldoutRecord) -> None:
    """Append a hold-out that was looked at, inside the caller's transaction."""
    row = record._replace(
        symbols=" ".join(record.symbols),  # type: ignore[arg-type]  # as stored
        figures=json.dumps(record.figures, allow_nan=False),  # type: ignore[arg-type]
    )
    db.execute(f"INSERT INTO holdouts ({_HOLDOUT}) VALUES ({','.join('?' * len(row))})", row)


def load_holdouts(
    db: sqlite3.Connection, source: str, symbols: Iterable[str], first_ts: int, last_ts: int
) -> list[HoldoutRecord]:
    """Load the spent hold-outs of this source that share a symbol and a time with this span."""
    wanted = {*symbols}
    rows = db.execute(
        f"SELECT {_HOLDOUT} FROM holdouts {_OVERLAP} ORDER BY holdout_id",
        (source, last_ts, first_ts),
    )
    found = [
        HoldoutRecord._make(
            (*row[:2], tuple(row[2].split()), *row[3:5], json.loads(row[5]), row[6])
        )
        for row in rows
    ]
    return [one for one in found if wanted & {*one.symbols}]
