"""Decisions in the store: what each has for itself, and once what many have in common.

A decision's body is a JSON array of its parts in the order of `_PARTS`; policy and limits lie in
`grounds` under their hash. What is read back equals what was decided, bit for bit.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from algotrade.domain.decisions import ORDER, Decision, Policy, Sizing
from algotrade.domain.orders import Order
from algotrade.domain.predictions import Prediction
from algotrade.domain.risk import (
    Check,
    Conditions,
    Limits,
    MarketFacts,
    ModelFacts,
    Rates,
    RiskVerdict,
    Surroundings,
    verdict_of,
)
from algotrade.domain.signals import DOWN, UP, Signal
from algotrade.errors import LedgerError
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

Grounds: TypeAlias = tuple[Policy, Limits]

_MOST = 2**63 - 1  # an integer of SQLite
_COLUMNS = (
    "d.decision_id, d.account, d.strategy, d.symbol, d.bar_ts, d.decided_at, d.action, d.code,"
    " d.reason, d.body, g.body"
)
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_FROM = " FROM decisions d LEFT JOIN grounds g ON g.hash = d.grounds"
_INSERT = (
    "INSERT INTO decisions (account, strategy, symbol, bar_ts, decided_at, action, reason,"
    " prediction, p_up, model_id, order_key, body, code, grounds, decision_id,"
    " ledger_seq, marks_ts, halt_id)"
    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,"
    " (SELECT coalesce(max(seq), 0) FROM ledger WHERE account = ?1),"
    " (SELECT coalesce(max(ts), 0) FROM marks WHERE account = ?1),"
    " (SELECT coalesce(max(halt_id), 0) FROM halts WHERE account = ?1))"
)


class StoredDecision(NamedTuple):
    """A decision as it was written down, with its number."""

    decision_id: int
    decision: Decision


def save_decisions(
    db: sqlite3.Connection, decisions: Sequence[Decision], known: dict[Grounds, str]
) -> range:
    """Insert decisions, each with the last ledger entry, mark and halt; give their numbers.

    known: remembers the grounds that this journal has stored already.
    """
    (last,) = db.execute("SELECT coalesce(max(decision_id), 0) FROM decisions").fetchone()
    numbers = range(last + 1, last + 1 + len(decisions))
    hashes = _grounds_of(db, decisions, known)
    rows = map(_row, numbers, decisions, hashes)
    db.executemany(_INSERT, rows)
    return numbers


def _grounds_of(
    db: sqlite3.Connection, decisions: Sequence[Decision], known: dict[Grounds, str]
) -> list[str]:
    """Give the hash of each decision's grounds, and store those that are new."""
    policy, limits, digest, hashes = None, None, "", []
    for decision in decisions:
        if decision.policy is not policy or decision.limits is not limits:
            policy, limits = grounds = decision.policy, decision.limits
            if grounds not in known:
                known[grounds] = _save_grounds(db, grounds)
            digest = known[grounds]
        hashes.append(digest)
    return hashes


def _row(number: int, decision: Decision, grounds: str) -> tuple[object, ...]:
    """Give a decision's values in the order of `_INSERT`."""
    order, signal, prediction = decision.order, decision.signal, decision.prediction
    body = (
        signal,
        prediction,
        order,
        decision.verdict,
        decision.held,
        decision.working,
        decision.equity,
        decision.conditions,
    )
    return (
        decision.account,
        decision.strategy,
        decision.symbol,
        decision.ts,
        decision.decided_at,
        decision.action,
        decision.reason,
        prediction.value if prediction else None,
        signal.p_up if signal else None,
        (signal.source or None) if signal else None,
        order.key if order is not None and decision.action == ORDER else None,
        _encode(body),
        decision.code,
        grounds,
        number,
    )


def decision_of(db: sqlite3.Connection, order_key: str) -> StoredDecision:
    """Load the decision that placed an order."""
    row = db.execute(f"SELECT {_COLUMNS}{_FROM} WHERE d.order_key = ?", (order_key,)).fetchone()
    if row is None:
        raise LedgerError(f"order {order_key} has no decision in the store")
    return _stored(row)


def last_decision(
    db: sqlite3.Connection, account: str, symbol: str, *, after: int = -(2**62), until: int = 2**62
) -> StoredDecision | None:
    """Load the newest decision about a symbol, or about its bars in (after, until]."""
    row = db.execute(
        f"SELECT {_COLUMNS}{_FROM} WHERE d.account = ? AND d.symbol = ?"
        " AND d.bar_ts > ? AND d.bar_ts <= ? ORDER BY d.decision_id DESC LIMIT 1",
        (account, symbol, after, until),
    ).fetchone()
    return None if row is None else _stored(row)


def numbered_decision(
    db: sqlite3.Connection, account: str, decision_id: int
) -> StoredDecision | None:
    """Load the account's decision of that number, or None."""
    if abs(decision_id) > _MOST:
        return None
    row = db.execute(
        f"SELECT {_COLUMNS}{_FROM} WHERE d.account = ? AND d.decision_id = ?",
        (account, decision_id),
    ).fetchone()
    return None if row is None else _stored(row)


def load_decisions(db: sqlite3.Connection, account: str) -> Iterator[StoredDecision]:
    """Give the account's decisions, oldest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS}{_FROM} WHERE d.account = ? ORDER BY d.decision_id", (account,)
    )
    return map(_stored, rows)


@lru_cache(maxsize=8)
def _told(grounds: Grounds) -> tuple[str, str]:
    """Give grounds as JSON and its hash."""
    import hashlib

    policy, limits = grounds
    body = _encode([policy._asdict(), limits._asdict()])
    return body, hashlib.sha256(body.encode()).hexdigest()


def _save_grounds(db: sqlite3.Connection, grounds: Grounds) -> str:
    body, digest = _told(grounds)
    if db.execute("SELECT 1 FROM grounds WHERE hash = ?", (digest,)).fetchone() is None:
        db.execute("INSERT INTO grounds VALUES (?, ?)", (digest, body))
    return digest


def _stored(row: tuple[Any, ...]) -> StoredDecision:
    decision_id, account, strategy, symbol, ts, decided_at, action, code, reason = row[:9]
    try:
        parts = _parts(json.loads(row[9]), row[10])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise LedgerError(
            f"decision {decision_id} cannot be read: {error}",
            hint="the file was changed from outside; restore a backup",
        ) from error
    decision = Decision(
        account=account,
        strategy=strategy,
        symbol=symbol,
        ts=ts,
        decided_at=decided_at,
        action=action,
        code=code or "",
        reason=reason,
        **parts,
    )
    return StoredDecision(decision_id, decision)


def _parts(body: Any, grounds: str | None) -> dict[str, Any]:  # noqa: ANN401  JSON
    if grounds is None:
        return _first_parts(body)
    signal, prediction, order, verdict, held, working, equity, conditions = body
    policy, limits = json.loads(grounds)
    return {
        "signal": None if signal is None else Signal(*signal),
        "prediction": None if prediction is None else _prediction(prediction),
        "order": None if order is None else Order(*order),
        "verdict": _verdict(verdict),
        "held": held,
        "working": working,
        "equity": equity,
        "conditions": _conditions(conditions),
        "policy": _policy(policy),
        "limits": _limits(limits),
    }


def _prediction(values: list[Any]) -> Prediction:
    made = Prediction(*values)
    return made._replace(
        features=tuple((name, value) for name, value in made.features),
        drivers=tuple((name, value) for name, value in made.drivers),
        outside=tuple(made.outside),
        drift=tuple((name, value) for name, value in made.drift),
    )


def _verdict(values: list[Any]) -> RiskVerdict:
    ids, found, limits, *rest = values
    return RiskVerdict(tuple(ids), tuple(found), tuple(limits), *rest)


def _policy(values: dict[str, Any]) -> Policy:
    sizing = values["sizing"]
    overrides = tuple(values.get("overrides", ()))
    return Policy(**values | {"sizing": sizing and Sizing(*sizing), "overrides": overrides})


def _limits(values: dict[str, Any]) -> Limits:
    made = Limits(**values)
    return made._replace(restricted=tuple(made.restricted), allowed=tuple(made.allowed))


def _conditions(values: list[Any]) -> Conditions:
    made = Conditions(*values)
    rates, market, model, around = made.rates, made.market, made.model, made.around
    if rates is not None:
        rates = Rates(*rates)
        rates = rates._replace(alike=tuple((side, quantity) for side, quantity in rates.alike))
    if market is not None:
        market = MarketFacts(*market)
        market = market._replace(own=tuple(market.own), others=tuple(market.others))
    if around is not None:
        around = Surroundings(*around)
        unknown = around.unknown
        around = around._replace(unknown=None if unknown is None else tuple(unknown))
    return made._replace(
        halts=tuple(made.halts),
        rates=rates,
        market=market,
        model=None if model is None else ModelFacts(*model),
        around=around,
    )


def _first_parts(body: dict[str, Any]) -> dict[str, Any]:
    """Read the body of a decision that was stored whole, before there were grounds."""
    said, policy = body["prediction"], body["policy"]
    manual = not policy.pop("use_model")
    verdict = body["verdict"]
    checks = tuple(Check(**check) for check in verdict["checks"])
    signal = None if not manual else Signal("", UP)
    if said is not None:
        stance = UP if said["value"] else DOWN
        signal = Signal(
            source=said["model_id"],
            stance=stance,
            p_up=said["p_up"],
            threshold=said["threshold"],
            bars_hash=said["bars_hash"],
        )
    return {
        "signal": signal,
        "prediction": None if said is None else _prediction(list(said.values())),
        "order": None if body["order"] is None else Order(**body["order"]),
        "verdict": verdict_of(checks, verdict["max_quantity"], verdict["halt"]),
        "held": body["held"],
        "working": body["working"],
        "equity": body["equity"],
        "conditions": _conditions(list(body["conditions"].values())),
        "policy": Policy(**policy),
        "limits": Limits(**body["limits"]),
    }
