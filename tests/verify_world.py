"""A home on the sample with many decisions of every kind, made in process; and how to spoil it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

from algotrade.config import load_settings
from algotrade.domain.decisions import EQUITY, NOTIONAL, PROBABILITY, VOLATILITY, Sizing
from algotrade.store.chain import seal
from algotrade.workflows.context import open_workspace
from algotrade.workflows.portfolio import move_cash
from algotrade.workflows.risk import record_halt, reset_halt
from algotrade.workflows.sample_clock import advance_clock, show_clock
from algotrade.workflows.trade import Request, trade
from cli_helpers import cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from algotrade.workflows.context import Workspace

SHARE = 10**9
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
FAST = (("fast", "3"), ("slow", "10"))


@contextlib.contextmanager
def opened(home: Path, flags: dict[str, str | None] | None = None) -> Iterator[Workspace]:
    settings = load_settings(home=str(home), flags={"source": "sample", **(flags or {})})
    with open_workspace(settings, lambda _: None, checked=False) as ws:
        yield ws


def requests(step: int) -> list[Request]:
    """Give what is asked at one step: models and rules, every size and kind, some refused."""
    rule: dict[str, Any] = {"rule": "sma-state", "params": FAST}
    return [
        Request(symbols=SYMBOLS, quantity=10 * SHARE),
        Request(symbols=SYMBOLS, sizing=Sizing(PROBABILITY, 300), client_id="p"),
        Request(symbols=SYMBOLS, sizing=Sizing(EQUITY, 200), order_type="limit", limit_bps=-40,
                time_in_force="day", client_id="l", **rule),
        Request(symbols=SYMBOLS, sizing=Sizing(VOLATILITY, 100), whole=True, rule="sma-cross",
                params=FAST, client_id="v"),
        Request(symbols=SYMBOLS, sizing=Sizing(NOTIONAL, 900_000_000), order_type="stop",
                stop_bps=30, client_id="s", **rule),
        Request(symbols=("MSFT",), use_model=False, quantity=5_000 * SHARE, client_id=f"m{step}"),
        Request(symbols=("IBM",), side="sell", use_model=False, quantity=SHARE // 3,
                client_id=f"x{step}"),
    ]  # fmt: skip


def build(home: Path, steps: int) -> None:
    """Trade through the sample: some 22 decisions a step, a halt, a deposit, other limits."""
    cli("fetch", *SYMBOLS, home=home).well()
    cli("train", "--model", "logit", home=home).well()
    for step in range(steps):
        flags: dict[str, str | None] = {"risk.max_position_pct": "4"} if step % 7 == 3 else {}
        for request in requests(step):
            with opened(home, flags) as ws:
                trade(ws, request)
        with opened(home) as ws:
            _happen(ws, step)
            if step % 8 == 0 and show_clock(ws).sessions_left:
                advance_clock(ws)


def _happen(ws: Workspace, step: int) -> None:
    if step == 5:
        record_halt(ws, "a person said so")
    if step == 7:
        reset_halt(ws, "the person went home")
    if step in {2, 9}:
        move_cash(ws, "deposit" if step == 2 else "withdrawal", 1_234_567_890, "by a test")


def spoil(home: Path, *statements: str) -> int:
    """Change the store by hand, its refusals dropped; give how many rows were changed."""
    with contextlib.closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        guards = db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '*_no_*'"
        ).fetchall()
        for (name,) in guards:
            db.execute(f'DROP TRIGGER "{name}"')
        changed = sum(db.execute(statement).rowcount for statement in statements)
        db.commit()
    return changed


def seal_anew(home: Path) -> None:
    """Seal the store as it is, as a migration does: what was spoilt was then always there."""
    store = home / "data" / "algotrade.db"
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM seals")
        seal(db, note="by a test")
        db.execute("COMMIT")
    (home / "data" / "heads").unlink(missing_ok=True)
