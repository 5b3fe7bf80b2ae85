"""Risk: every limit with its value and headroom; halting, and lifting a halt with a reason."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from algotrade.domain.decisions import Policy
from algotrade.domain.orders import BUY, Order
from algotrade.domain.risk import (
    ACTIVE,
    HALTED,
    REDUCING,
    Check,
    Conditions,
    Limits,
    RiskVerdict,
)
from algotrade.domain.rules import SIMULATED
from algotrade.errors import DiskError, HaltedError, InputError, OrderUnknownError, shown
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.database import immediate
from algotrade.store.disk import write_at_any_cost
from algotrade.trading.losses import warnings
from algotrade.trading.risk import check_order
from algotrade.workflows.conditions import Gatherer, kind_of, store_outlook
from algotrade.workflows.context import DAILY, Workspace, account_record, halts
from algotrade.workflows.models import no_bars
from algotrade.workflows.speakers import MANUAL, Spoken, settled_bar
from algotrade.workflows.state import load_state, stale_sessions

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.config import Settings
    from algotrade.trading.state import TradingState

HALT_WAIT_SECONDS = 1.0  # the file halts already; nobody waits for a store that is busy
_ANY_SIZE = 10**18  # nano-shares: more than any limit lets through


class RiskResult(NamedTuple):
    """The account against its limits; `halted` names every place that says halted.

    level: active, reducing or halted; cause: why it is reducing. warnings: losses over the limits
    that only warn.
    """

    account: str
    now: int
    equity: int | None
    verdict: RiskVerdict
    halted: tuple[str, ...]
    level: str = ACTIVE
    cause: str | None = None
    warnings: tuple[Check, ...] = ()
    limits: Limits = Limits()
    kind: str = SIMULATED


class WhatIf(NamedTuple):
    """An order that nobody placed, with every check, and the largest of its side that passes."""

    account: str
    order: Order
    price: int
    verdict: RiskVerdict
    largest: int


def show_risk(ws: Workspace) -> RiskResult:
    """Check the account as it stands, without an order."""
    account_record(ws)
    state = load_state(ws)
    outside = halts(ws)
    limits = ws.settings.limits()
    halted = ((f"ledger: {state.halt}",) if state.halt else ()) + outside
    return RiskResult(
        account=ws.account,
        now=ws.clock.now(),
        equity=state.equity,
        verdict=check_order(None, state, limits, account_conditions(ws, state)),
        halted=halted,
        level=HALTED if halted else REDUCING if state.reducing else ACTIVE,
        cause=state.reducing,
        warnings=warnings(state, limits),
        limits=limits,
        kind=kind_of(ws),
    )


def account_conditions(ws: Workspace, state: TradingState) -> Conditions:
    """Gather what an account is checked in, without an order."""
    gatherer = Gatherer(ws, Policy(ws.account, MANUAL), ())
    book = store_outlook(ws).book(ws.clock.now(), state) if state.staked else None
    return gatherer.account(stale=_stalest(ws, state), market=book)


def what_if(
    ws: Workspace, symbol: str, *, quantity: int, side: str = BUY, price: int | None = None
) -> WhatIf:
    """Check an order that is not placed; nothing is changed.

    price: the price to trade at, micro-dollars; without it, the newest close.
    """
    account_record(ws)
    bars = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, until=ws.clock.now(), last=1)
    if not len(bars):
        raise no_bars(ws, symbol)
    moment, now = settled_bar(bars, Spoken(None)), ws.clock.now()
    state = load_state(ws, known={symbol: moment.close})
    gathered = Gatherer(ws, Policy(ws.account, MANUAL), ()).conditions(moment)
    conditions = gathered._replace(
        reference_price=price or moment.close,
        market=store_outlook(ws).facts(symbol, moment.ts, state),
    )
    order = Order("what-if", ws.account, MANUAL, symbol, side, quantity, moment.ts, now, "")
    limits = ws.settings.limits()
    verdict = check_order(order, state, limits, conditions)
    most = check_order(order._replace(quantity=_ANY_SIZE), state, limits, conditions)
    return WhatIf(ws.account, order, price or moment.close, verdict, most.max_quantity or 0)


def write_halt_file(settings: Settings, reason: str) -> None:
    """Halt by a file, durable before this returns; works with the store locked or broken.

    Its name halts, whatever stands in it: a disk too full for the words still halts.
    """
    if not settings.home.is_dir():
        raise InputError(f"no workspace at {settings.home}", hint="name it with --home")
    if settings.halt_file.is_dir():  # its name halts, and no words can stand in it
        return
    try:
        handle = os.open(settings.halt_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with contextlib.suppress(OSError):
                os.write(handle, f"{reason}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        folder = os.open(settings.home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise DiskError(f"{settings.halt_file} cannot be written: {error.strerror}") from error


def record_halt(ws: Workspace, reason: str) -> None:
    """Record a person's halt in the store, beside the file that already stops trading."""

    def write() -> None:
        with immediate(ws.db, wait_s=HALT_WAIT_SECONDS):
            journal.save_halt(ws.db, ws.account, ts=ws.clock.now(), kind="halt", reason=reason)

    write_at_any_cost(ws.settings.store, write)


def reset_halt(ws: Workspace, reason: str) -> None:
    """Lift a halt, or let orders add again, with a reason; refused while the cause remains.

    Raises HaltedError for a loss that is still over its limit, OrderUnknownError while an order
    may or may not be at the broker.
    """
    if ws.settings.halt:
        raise HaltedError(
            "the environment variable ALGOTRADE_HALT halts trading", hint="unset it, then reset"
        )
    if ws.settings.halt_file.is_dir():
        raise DiskError(
            f"{ws.settings.halt_file} is a folder: its name halts, and no reset removes it",
            hint=f"look into it, then rmdir {shown(str(ws.settings.halt_file))}",
        )
    account_record(ws)
    state = load_state(ws)
    state.halt = state.reducing = None  # what is looked for is the cause, not that it halts
    conditions = account_conditions(ws, state)._replace(halts=())
    unknown = conditions.around.unknown if conditions.around is not None else None
    if unknown:
        raise OrderUnknownError(
            f"orders of {', '.join(unknown)} are in unknown state", hint="algotrade reconcile"
        )
    verdict = check_order(None, state, ws.settings.limits(), conditions)
    cause = verdict.halt or verdict.reduce
    if cause is not None:
        raise HaltedError(
            f"the cause remains: {cause}",
            hint="wait for another session or week, or algotrade risk set its limit",
        )
    with immediate(ws.db):
        if journal.standing_halt(ws.db, ws.account) is not None:
            journal.save_halt(ws.db, ws.account, ts=ws.clock.now(), kind="reset", reason=reason)
    _remove(ws.settings.halt_file)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(
            f"trading is still halted: {file} cannot be removed: {error.strerror}",
            hint=f"rm {shown(str(file))}",
        ) from error


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
