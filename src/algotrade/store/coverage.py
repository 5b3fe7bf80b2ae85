"""What was asked of a source: days it has answered for, and bars it gave that were set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.errors import InputError

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A bar that was set aside: which (`when` and `reason` in words), and when it was seen."""

    source: str
    symbol: str
    timeframe: str
    when: str
    reason: str
    seen_at: int


def note_covered(
    db: sqlite3.Connection, series: int, first_day: int, last_day: int, *, asked_at: int, bars: int
) -> None:
    """Note that the days [first_day, last_day] were asked for and fully answered, if by nothing.

    Inside the caller's transaction: the one that saves the answer. Spans that overlap or touch
    become one, with the newest `asked_at` and all `bars` (one answered twice counts twice).
    """
    _check_span(first_day, last_day)
    touching = db.execute(
        "SELECT coverage_id, first_day, last_day, asked_at, bars FROM coverage"
        " WHERE series_id = ? AND first_day <= ? AND last_day >= ?",
        (series, last_day + 1, first_day - 1),
    ).fetchall()
    for _, first, last, asked, count in touching:
        first_day, last_day = min(first, first_day), max(last, last_day)
        asked_at, bars = max(asked, asked_at), bars + count
    db.executemany("DELETE FROM coverage WHERE coverage_id = ?", [(row[0],) for row in touching])
    db.execute(
        "INSERT INTO coverage (series_id, first_day, last_day, asked_at, bars) VALUES (?,?,?,?,?)",
        (series, first_day, last_day, asked_at, bars),
    )


def covered_spans(db: sqlite3.Connection, series: int) -> list[tuple[int, int]]:
    """Give the days answered for, as spans (first, last) that neither overlap nor touch."""
    spans: list[tuple[int, int]] = []
    rows = db.execute(
        "SELECT first_day, last_day FROM coverage WHERE series_id = ? ORDER BY first_day", (series,)
    )
    for first, last in rows:
        if spans and first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        else:
            spans.append((first, last))
    return spans


def missing_spans(
    db: sqlite3.Connection, series: int | None, first_day: int, last_day: int
) -> list[tuple[int, int]]:
    """Give the days of [first_day, last_day] not answered for yet, as spans (first, last).

    series: None stands for one that nothing was ever stored of. Both ends belong to a span; days
    are calendar days, so a span may hold no session at all.
    """
    _check_span(first_day, last_day)
    missing = []
    for first, last in [] if series is None else covered_spans(db, series):
        if first > last_day:
            break
        if first > first_day:
            missing.append((first_day, first - 1))
        first_day = max(first_day, last + 1)
    if first_day <= last_day:
        missing.append((first_day, last_day))
    return missing


def forget_covered(db: sqlite3.Connection, series: int) -> None:
    """Forget what was answered for, so that all of it is asked again; bars stay."""
    db.execute("DELETE FROM coverage WHERE series_id = ?", (series,))


def list_rejected(
    db: sqlite3.Connection, source: str, symbol: str | None = None, timeframe: str | None = None
) -> list[Rejected]:
    """Give the bars set aside, by symbol, timeframe and bar."""
    rows = db.execute(
        "SELECT s.source, s.symbol, s.timeframe, r.bar, r.reason, r.seen_at"
        " FROM rejected_bars r JOIN series s USING (series_id)"
        " WHERE s.source = ?1 AND (?2 IS NULL OR s.symbol = ?2)"
        " AND (?3 IS NULL OR s.timeframe = ?3) ORDER BY 2, 3, 4, 5",
        (source, symbol, timeframe),
    )
    return [
        Rejected(
            source=row[0],
            symbol=row[1],
            timeframe=row[2],
            when=row[3],
            reason=row[4],
            seen_at=row[5],
        )
        for row in rows
    ]


def _check_span(first_day: int, last_day: int) -> None:
    if first_day > last_day:
        raise InputError(f"a span of days ends at {last_day}, before it begins at {first_day}")
