"""Models in the store: their states, what shadows say, how far the input of each has drifted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

TRAINED, PROMOTED, RETIRED, REMOVED = "trained", "promoted", "retired", "removed"
GATE, HAND, REFIT = "gate", "hand", "refit"
_STATE = "model_id, source, state, at, decided_by, reason, numbers"


class ModelState(NamedTuple):
    """One step in a model's life: promoted, retired or removed, when, by what, and why.

    at: microseconds UTC. by: GATE, HAND or REFIT. numbers: what the gate compared.
    """

    model_id: str
    source: str
    state: str
    at: int
    by: str
    reason: str
    numbers: Mapping[str, Any]


class ShadowWord(NamedTuple):
    """What a shadow and the model in use said of one bar."""

    shadow: str
    used: str
    symbol: str
    bar_ts: int
    said_at: int
    shadow_p: float
    used_p: float


def save_state(db: sqlite3.Connection, state: ModelState) -> None:
    """Append a state."""
    numbers = json.dumps(dict(state.numbers), allow_nan=False)
    db.execute(
        f"INSERT INTO model_states ({_STATE}) VALUES (?,?,?,?,?,?,?)", (*state[:-1], numbers)
    )


def model_states(
    db: sqlite3.Connection, *, source: str | None = None, until: int | None = None
) -> list[ModelState]:
    """Give the states in the order of their making, of one source, until an instant."""
    rows = db.execute(
        f"SELECT {_STATE} FROM model_states"
        " WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR at <= ?2) ORDER BY state_id",
        (source, until),
    )
    return [ModelState._make((*row[:-1], json.loads(row[-1]))) for row in rows]


def set_shadow(db: sqlite3.Connection, source: str, model_id: str, at: int) -> None:
    """Name the shadow of a source; an empty name ends it."""
    db.execute("INSERT INTO shadows (source, model_id, at) VALUES (?,?,?)", (source, model_id, at))


def shadow_of(db: sqlite3.Connection, source: str) -> str | None:
    """Give the shadow of a source, or None."""
    row = db.execute(
        "SELECT model_id FROM shadows WHERE source = ? ORDER BY shadow_id DESC LIMIT 1", (source,)
    ).fetchone()
    return (row[0] or None) if row else None


def save_word(db: sqlite3.Connection, word: ShadowWord) -> None:
    """Write down what a shadow said, once for each bar."""
    key = (word.shadow, word.used, word.symbol, word.bar_ts)
    known = db.execute(
        "SELECT 1 FROM shadow_words WHERE (shadow, used, symbol, bar_ts) = (?,?,?,?)", key
    ).fetchone()
    if known is None:
        db.execute("INSERT INTO shadow_words VALUES (?,?,?,?,?,?,?)", word)


def shadow_words(db: sqlite3.Connection, shadow: str) -> list[ShadowWord]:
    """Give all that a model has said as a shadow, by symbol and bar."""
    rows = db.execute(
        "SELECT shadow, used, symbol, bar_ts, said_at, shadow_p, used_p FROM shadow_words"
        " WHERE shadow = ? ORDER BY used, symbol, bar_ts",
        (shadow,),
    )
    return [ShadowWord(*row) for row in rows]


def save_drift(
    db: sqlite3.Connection,
    model_id: str,
    symbol: str,
    bar_ts: int,
    *,
    noted_at: int,
    indices: Mapping[str, float],
) -> bool:
    """Note the stability index of each feature, once for each bar; tell whether it is new."""
    if load_drift(db, model_id, symbol, bar_ts) is not None:
        return False
    db.execute(
        "INSERT INTO model_drift VALUES (?,?,?,?,?)",
        (model_id, symbol, bar_ts, noted_at, json.dumps(dict(indices), allow_nan=False)),
    )
    return True


def load_drift(
    db: sqlite3.Connection, model_id: str, symbol: str, bar_ts: int
) -> dict[str, float] | None:
    """Give the stability index of each feature at a bar, None where it was not noted."""
    row = db.execute(
        "SELECT indices FROM model_drift WHERE (model_id, symbol, bar_ts) = (?,?,?)",
        (model_id, symbol, bar_ts),
    ).fetchone()
    return None if row is None else {name: float(x) for name, x in json.loads(row[0]).items()}


def newest_drift(db: sqlite3.Connection, model_id: str) -> dict[str, tuple[int, dict[str, float]]]:
    """Give for each symbol the newest bar at which drift was noted, and the indices there."""
    rows = db.execute(
        "SELECT symbol, max(bar_ts), indices FROM model_drift WHERE model_id = ? GROUP BY symbol",
        (model_id,),
    )
    return {symbol: (ts, json.loads(indices)) for symbol, ts, indices in rows}


def is_named(db: sqlite3.Connection, model_id: str) -> str | None:
    """Tell what needs a model to be made again: a stored decision or a run; None if nothing."""
    row = db.execute(
        "SELECT decision_id, account FROM decisions WHERE model_id = ? LIMIT 1", (model_id,)
    ).fetchone()
    if row:
        return f"decision {row[0]} of account {row[1]}"
    row = db.execute(
        "SELECT run_id FROM runs WHERE instr(spec, json_quote(?)) LIMIT 1", (model_id,)
    ).fetchone()
    return f"run {row[0]}" if row else None
