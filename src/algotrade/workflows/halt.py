"""Halting by a program: the file first, then the store; one place is enough to stop trading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.risk import REDUCING
from algotrade.errors import AlgotradeError, DiskError
from algotrade.record import NamedTuple
from algotrade.store import journal
from algotrade.store.database import immediate, sqlite_errors
from algotrade.workflows.risk import HALT_WAIT_SECONDS, record_halt, write_halt_file

if TYPE_CHECKING:
    from algotrade.config import Settings
    from algotrade.workflows.context import Workspace


class Halted(NamedTuple):
    """Where a halt stands now, and a line for each place that failed."""

    places: tuple[str, ...]
    failures: tuple[str, ...]


def halt_by_file(settings: Settings, cause: str) -> Halted:
    """Halt where no store can be opened."""
    try:
        write_halt_file(settings, cause)
    except DiskError as error:
        return Halted((), (error.message,))
    return Halted((f"file {settings.halt_file}",), ())


def halt_account(ws: Workspace, cause: str) -> Halted:
    """Halt in both places; never raises, never waits longer than a second for the store."""
    places, failures = halt_by_file(ws.settings, cause)
    try:
        with sqlite_errors(ws.settings.store):
            record_halt(ws, cause)
    except AlgotradeError as error:
        return Halted(places, (*failures, f"the halt is not in the ledger: {error.message}"))
    return Halted((*places, "ledger"), failures)


def reduce_account(ws: Workspace, cause: str) -> Halted:
    """Leave only reducing orders; only the ledger knows that state."""
    now = ws.clock.now()
    try:
        with sqlite_errors(ws.settings.store), immediate(ws.db, wait_s=HALT_WAIT_SECONDS):
            journal.save_halt(ws.db, ws.account, ts=now, kind="halt", reason=cause, level=REDUCING)
    except AlgotradeError as error:
        return Halted((), (f"reducing only is not in the ledger: {error.message}",))
    return Halted(("ledger",), ())
