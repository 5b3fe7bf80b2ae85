"""Risk: every limit with its value and headroom; halting, and lifting a halt with a reason."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from algotrade.domain.risk import Conditions, RiskVerdict
from algotrade.errors import DiskError, HaltedError, InputError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.database import immediate
from algotrade.trading.risk import check_order
from algotrade.workflows.context import DAILY, Workspace, account_record, halts
from algotrade.workflows.state import load_state, stale_sessions

if TYPE_CHECKING:
    from algotrade.config import Settings
    from algotrade.trading.state import TradingState

HALT_WAIT_SECONDS = 1.0  # the file halts already; nobody waits for a store that is busy


class RiskResult(NamedTuple):
    """The account against its limits; `halted` names every place that says halted."""

    account: str
    now: int
    equity: int | None
    verdict: RiskVerdict
    halted: tuple[str, ...]


def show_risk(ws: Workspace) -> RiskResult:
    """Check the account as it stands, without an order."""
    account_record(ws)
    state = load_state(ws)
    outside = halts(ws)
    conditions = Conditions(
        now=ws.clock.now(),
        reference_price=None,
        stale_sessions=_stalest(ws, state),
        halts=outside,
    )
    return RiskResult(
        account=ws.account,
        now=ws.clock.now(),
        equity=state.equity,
        verdict=check_order(None, state, ws.settings.limits(), conditions),
        halted=((f"ledger: {state.halt}",) if state.halt else ()) + outside,
    )


def write_halt_file(settings: Settings, reason: str) -> None:
    """Halt by a file, durable before this returns; works with the store locked or broken."""
    if not settings.home.is_dir():
        raise InputError(f"no workspace at {settings.home}", hint="name it with --home")
    try:
        handle = os.open(settings.halt_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(handle, f"{reason}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise DiskError(f"{settings.halt_file} cannot be written: {error.strerror}") from error


def record_halt(ws: Workspace, reason: str) -> None:
    """Record a person's halt in the store, beside the file that already stops trading."""
    with immediate(ws.db, wait_s=HALT_WAIT_SECONDS):
        journal.save_halt(ws.db, ws.account, ts=ws.clock.now(), kind="halt", reason=reason)


def reset_halt(ws: Workspace, reason: str) -> None:
    """Lift a halt, with a reason; refused while a limit that halts is still passed."""
    if ws.settings.halt:
        raise HaltedError(
            "the environment variable ALGOTRADE_HALT halts trading", hint="unset it, then reset"
        )
    account_record(ws)
    cause = show_risk(ws).verdict.halt
    if cause is not None:
        raise HaltedError(
            f"the cause remains: {cause}", hint="raise that limit in algotrade.toml, then reset"
        )
    with immediate(ws.db):
        if journal.current_halt(ws.db, ws.account) is not None:
            journal.save_halt(ws.db, ws.account, ts=ws.clock.now(), kind="reset", reason=reason)
    ws.settings.halt_file.unlink(missing_ok=True)


def _stalest(ws: Workspace, state: TradingState) -> int | None:
    """Count the missing sessions of the worst symbol that the account has a stake in."""
    worst = 0
    for symbol in state.staked:
        bars = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, last=1)
        behind = stale_sessions(ws, bars.ts_close[-1] if len(bars) else None)
        if behind is None:
            return None
        worst = max(worst, behind)
    return worst
