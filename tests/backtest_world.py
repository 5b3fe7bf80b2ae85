"""Backtests on a home with stored bars: plans, what they came to, and bars spoiled by noise."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import EQUITY, Sizing
from algotrade.domain.risk import WIDE
from algotrade.domain.times import DAY, end_of_day
from algotrade.workflows.backtest import backtest
from algotrade.workflows.backtest_plan import Plan
from algotrade.workflows.runs import run_trail
from algotrade.workflows.settle import load_history
from algotrade.workflows.trade import Request
from verify_world import opened

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.bars import Bars
    from algotrade.store.runs import RunRecord, RunTrail

DOLLAR = 1_000_000
SHARE = 10**9
CASH = 100_000 * DOLLAR
LOGIT: dict[str, str | None] = {"train.model": "logit"}
RULE: dict[str, Any] = {"rule": "sma-state", "params": (("fast", "5"), ("slow", "20"))}


class Ran(NamedTuple):
    record: RunRecord
    trail: RunTrail

    @property
    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = self.record.report["figures"]
        return found


def since(day: str) -> int:
    return end_of_day(date.fromisoformat(day)) + 1 - DAY


def until(day: str) -> int:
    return end_of_day(date.fromisoformat(day))


def plan_of(
    *symbols: str, first: str | None = None, last: str | None = None, **changes: object
) -> Plan:
    asked: dict[str, Any] = {"sizing": Sizing(EQUITY, 3_000), **RULE}
    asked |= {name: changes.pop(name) for name in list(changes) if name in Request._fields}
    plan = Plan(
        request=Request(symbols=symbols, **asked),
        from_ts=None if first is None else since(first),
        until_ts=None if last is None else until(last),
        limits=WIDE,
        limits_name="wide",
        costs=CostModel(),
        cash=CASH,
    )
    return plan._replace(**changes)  # type: ignore[arg-type]  # a test names the field it changes


MODEL: dict[str, Any] = {"rule": None, "params": ()}


def played(home: Path, plan: Plan) -> Ran:
    with opened(home, LOGIT) as ws:
        record = backtest(ws, plan).record
        return Ran(record, run_trail(ws, record))


def bars_of(home: Path, symbol: str) -> Bars:
    with opened(home) as ws:
        return load_history(ws, symbol).bars


def spoiled(home: Path, after: int) -> None:
    """Replace every bar after an instant by noise, and let a split and a dividend be among them."""
    rng = random.Random(1)  # noqa: S311 - a test market
    with closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        db.create_function("noise", 0, lambda: rng.randrange(DOLLAR, 900 * DOLLAR))
        db.execute("CREATE TEMP TABLE n AS SELECT series_id, ts_close, noise() AS p FROM bars")
        db.execute(
            "UPDATE bars SET volume = volume / 2 + 1, (open, high, low, close) ="
            " (SELECT p, p, p, p FROM n WHERE n.series_id = bars.series_id"
            " AND n.ts_close = bars.ts_close) WHERE ts_close > ?",
            (after,),
        )
        day = after // DAY + 10
        for symbol in ("AAPL", "IBM"):
            db.execute("INSERT INTO splits VALUES ('sample', ?, ?, 1, 3, 1, NULL)", (symbol, day))
            db.execute(
                "INSERT INTO dividends VALUES ('sample', ?, ?, 7000000, 1, NULL)", (symbol, day)
            )
        db.commit()


def upto(ran: Ran, ts: int) -> tuple[object, ...]:
    """Give what a run did up to an instant; a span under way there is cut, but for its code."""
    decisions = [
        (one[0], one[1], min(one[2], ts), *one[3:])
        for one in ran.trail.decisions
        if one[1] <= ts
    ]  # fmt: skip
    return (
        [entry for entry in ran.trail.entries if entry.ts <= ts],
        decisions,
        [mark for mark in ran.trail.marks if mark.ts <= ts],
    )
