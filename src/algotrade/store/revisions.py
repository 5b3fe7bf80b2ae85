"""Revisions: what a source has changed after the fact, and who had already used the old values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from algotrade.domain.times import DAY, HOUR
from algotrade.store.bars import load_bars
from algotrade.store.database import reading
from algotrade.store.records import TrainingRecord

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

BAR, SPLIT, DIVIDEND = "bar", "split", "dividend"
PROVEN, POSSIBLE = "proven", "possible"

_BAR_NAMES = ("seconds", "open", "high", "low", "close", "volume")
_ACTIONS = {  # kind -> table, names of its values
    SPLIT: ("splits", ("split_from", "split_to")),
    DIVIDEND: ("dividends", ("amount",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A fact that was believed in [known_at, superseded_at) and then replaced.

    timeframe: of a bar; "" for a split or a dividend.
    ts_close: of a bar; None for a split or a dividend. ex_day: of those; None for a bar.
    old, new: the values in the units of the store; new is None where the source no longer tells
    of the fact (or somebody deleted the row).
    """

    kind: str
    source: str
    symbol: str
    timeframe: str
    ts_close: int | None
    ex_day: int | None
    known_at: int
    superseded_at: int
    old: Mapping[str, int]
    new: Mapping[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsingDecision:
    """A stored decision that read an old value, or may have.

    proof: "proven" where the decision's own fingerprint of its bars was found again from the bars
    as they were known then, the old value among them; "possible" where nothing rules it out.
    """

    decision_id: int
    account: str
    strategy: str
    bar_ts: int
    decided_at: int
    action: str
    order_key: str | None
    model_id: str | None
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Who used an old value: decisions, and trainings of the source while it was believed.

    The store does not know which symbols and bars a training read: its card does.
    """

    decisions: tuple[UsingDecision, ...]
    trainings: tuple[TrainingRecord, ...]


def list_revisions(
    db: sqlite3.Connection, source: str, symbol: str | None = None, since: int | None = None
) -> list[Revision]:
    """Give what the source changed at or after `since`, oldest change first."""
    with reading(db):
        found = [*_bar_revisions(db, source, symbol)]
        for kind in _ACTIONS:
            found += _action_revisions(db, kind, source, symbol)
    if since is not None:
        found = [revision for revision in found if revision.superseded_at >= since]
    return sorted(
        found,
        key=lambda r: (r.superseded_at, r.symbol, r.kind, r.timeframe, r.ts_close or r.ex_day or 0),
    )


def users_of(
    db: sqlite3.Connection,
    revision: Revision,
    lookbacks: Mapping[str, int] | None = None,
    comparing: Mapping[str, int] | None = None,
) -> Users:
    """Give who used the value that the revision replaced.

    A decision qualifies if its account trades on the source, it is about the symbol, its bar is
    the revised one or later (for a split: its session is the ex-date or later), and it was made in
    [known_at, superseded_at). The store does not know how far a model looks back: `lookbacks` gives
    it, by model id, from the cards. With it, decisions whose window does not reach the bar drop out
    and the fingerprint in the decision proves the others; without it all of them are "possible".
    comparing: how many bars of the symbol those models read that compare others with it, by id;
    their decisions about others are "possible". A decision without a prediction reads no bar but
    the newest one. A dividend is read by the ledger alone, so no decision used it as such. Where a
    source's bars are known at their close (the sample), old and new value have the same known_at
    and no instant lies between: nobody is named.
    """
    with reading(db):
        decisions = (
            ()
            if revision.kind == DIVIDEND
            else tuple(_decisions(db, revision, lookbacks, comparing or {}))
        )
        rows = db.execute(
            "SELECT model_id, source, trained_at, card_sha256 FROM trainings WHERE source = ?"
            " AND trained_at >= ? AND trained_at < ? ORDER BY training_id",
            (revision.source, revision.known_at, revision.superseded_at),
        )
        trained = tuple(TrainingRecord(*row) for row in rows)
    return Users(decisions=decisions, trainings=trained)


def _bar_revisions(db: sqlite3.Connection, source: str, symbol: str | None) -> Iterable[Revision]:
    """Give each superseded version of a bar with the version that came next."""
    values = ", ".join(_BAR_NAMES)
    rows = db.execute(
        "WITH chosen AS (SELECT * FROM series"
        " WHERE source = ?1 AND (?2 IS NULL OR symbol = ?2)),"
        f" old AS (SELECT series_id, ts_close, known_at, superseded_at, {values}"
        " FROM bar_revisions WHERE series_id IN (SELECT series_id FROM chosen)),"
        f" versions AS (SELECT * FROM old UNION ALL"
        f" SELECT series_id, ts_close, known_at, NULL, {values} FROM bars"
        " WHERE (series_id, ts_close) IN (SELECT series_id, ts_close FROM old))"
        f" SELECT symbol, timeframe, ts_close, known_at, superseded_at, {values}"
        " FROM versions JOIN chosen USING (series_id)"
        " ORDER BY series_id, ts_close, superseded_at IS NULL, known_at, superseded_at",
        (source, symbol),
    ).fetchall()
    for row, following in pairwise([*rows, None]):
        if row is None or row[4] is None:
            continue
        is_same = following is not None and row[:3] == following[:3]
        yield Revision(
            kind=BAR,
            source=source,
            symbol=row[0],
            timeframe=row[1],
            ts_close=row[2],
            ex_day=None,
            known_at=row[3],
            superseded_at=row[4],
            old=_named(_BAR_NAMES, row[5:]),
            new=_named(_BAR_NAMES, following[5:]) if is_same and following else None,
        )


def _action_revisions(
    db: sqlite3.Connection, kind: str, source: str, symbol: str | None
) -> Iterable[Revision]:
    """Give each superseded split or dividend with what was told in its place from then on."""
    table, names = _ACTIONS[kind]
    old, new = (", ".join(f"{row}.{name}" for name in names) for row in ("o", "n"))
    rows = db.execute(
        f"SELECT o.symbol, o.ex_day, o.known_at, o.superseded_at, n.known_at, {old}, {new}"
        f" FROM {table} o LEFT JOIN {table} n ON n.source = o.source AND n.symbol = o.symbol"
        " AND n.ex_day = o.ex_day AND n.known_at = o.superseded_at"
        " WHERE o.superseded_at IS NOT NULL AND o.source = ?1 AND (?2 IS NULL OR o.symbol = ?2)",
        (source, symbol),
    )
    for row in rows:
        yield Revision(
            kind=kind,
            source=source,
            symbol=row[0],
            timeframe="",
            ts_close=None,
            ex_day=row[1],
            known_at=row[2],
            superseded_at=row[3],
            old=_named(names, row[5 : 5 + len(names)]),
            new=None if row[4] is None else _named(names, row[5 + len(names) :]),
        )


def _named(names: tuple[str, ...], values: Iterable[int]) -> dict[str, int]:
    return dict(zip(names, values, strict=True))


def _decisions(
    db: sqlite3.Connection,
    revision: Revision,
    lookbacks: Mapping[str, int] | None,
    comparing: Mapping[str, int],
) -> Iterable[UsingDecision]:
    rows = db.execute(
        "SELECT d.decision_id, d.account, d.strategy, d.bar_ts, d.decided_at, d.action,"
        " d.order_key, d.model_id, CASE WHEN d.grounds IS NULL"  # whole, as schema 1 kept it
        "  THEN json_extract(d.body, '$.prediction.bars_hash')"
        "  ELSE json_extract(d.body, '$[0][6]') END, d.symbol"
        " FROM decisions d JOIN accounts a USING (account)"
        " WHERE a.source = ? AND d.bar_ts >= ?"
        " AND (d.symbol = ? OR d.model_id IN (SELECT value FROM json_each(?)))"
        " AND d.decided_at >= ? AND d.decided_at < ? ORDER BY d.decision_id",
        (
            revision.source,
            _reaches(revision),
            revision.symbol,
            json.dumps([*comparing]),
            revision.known_at,
            revision.superseded_at,
        ),
    ).fetchall()
    for *told, own_hash, symbol in rows:
        bar_ts, decided_at, model_id = told[3], told[4], told[7]
        if symbol == revision.symbol:
            lookback = 1 if model_id is None else (lookbacks or {}).get(model_id)
            proof = _proof(db, revision, lookback, bar_ts, decided_at, own_hash)
        else:
            proof = _proof(db, revision, comparing[model_id], bar_ts, decided_at, None)
        if proof is not None:
            yield UsingDecision(
                decision_id=told[0],
                account=told[1],
                strategy=told[2],
                bar_ts=bar_ts,
                decided_at=decided_at,
                action=told[5],
                order_key=told[6],
                model_id=model_id,
                proof=proof,
            )


def _reaches(revision: Revision) -> int:
    """Give the first instant whose bar can have read the fact."""
    if revision.ts_close is not None:
        return revision.ts_close
    return (revision.ex_day or 0) * DAY + 5 * HOUR  # where the session of that date begins


def _proof(
    db: sqlite3.Connection,
    revision: Revision,
    lookback: int | None,
    bar_ts: int,
    decided_at: int,
    bars_hash: str | None,
) -> str | None:
    """Tell how sure it is that the decision read the old value; None where it did not."""
    if lookback is None or revision.kind != BAR:
        return POSSIBLE
    window = load_bars(
        db,
        revision.source,
        revision.symbol,
        revision.timeframe,
        until=bar_ts,
        last=lookback,
        known_at=decided_at,
    )
    if revision.ts_close not in window.ts_close:
        return None
    own = (bars_hash or "").partition("+")[
        0
    ]  # after it, where a model compares symbols: the others
    return PROVEN if window.fingerprint() == own else POSSIBLE
