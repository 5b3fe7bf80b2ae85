"""The ledger looked over, listed, and accepted as it is by a person with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.ledger import Entry, replay
from algotrade.errors import InputError, LedgerError
from algotrade.record import NamedTuple
from algotrade.store import chain, heads, journal
from algotrade.store.database import immediate, reading
from algotrade.store.ledger_check import check_store
from algotrade.workflows.context import Workspace, account_lock, account_record

if TYPE_CHECKING:
    from algotrade.store.ledger_check import Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What was looked over; `wrong` is the first thing that does not hold, or None."""

    checked: tuple[Checked, ...]
    head: chain.Head | None
    wrong: str | None


class Line(NamedTuple):
    """One entry with its number, the cash after it, and the hash that ties it to all before."""

    seq: int
    entry: Entry
    cash: int
    hash: str


def verify_ledger(ws: Workspace) -> VerifyResult:
    """Check the whole store, and that it is no older than what this home has seen."""
    done: list[Checked] = []
    wrong = None
    try:
        seen = heads.read_head(ws.settings.store)
        with reading(ws.db):
            done.extend(check_store(ws.db))
            chain.check_tail(ws.db, seen)
    except LedgerError as error:
        wrong = error.message
    return VerifyResult(checked=tuple(done), head=None if wrong else chain.head(ws.db), wrong=wrong)


def show_ledger(ws: Workspace, last: int | None = None) -> list[Line]:
    """List the account's entries, oldest first; the hash chain is checked first."""
    account_record(ws)
    journal.verify_chain(ws.db, ws.account)
    lines = []
    entries = journal.load_entries(ws.db, ws.account)
    cash = 0
    for seq, entry in enumerate(entries, 1):
        cash += entry.amount - entry.fee
        lines.append((seq, entry, cash))
    if entries and cash != replay(entries).cash:
        raise LedgerError(f"cash of account {ws.account} does not add up")
    shown = lines[-last:] if last else lines
    return [
        Line(seq, entry, cash, journal.entry_hash(ws.db, ws.account, seq) or "")
        for seq, entry, cash in shown
    ]


def accept_ledger(ws: Workspace, reason: str) -> chain.Head:
    """Take a sound store as it is, though this home has seen a newer one; the reason is sealed.

    Raises LedgerError where the store itself does not hold: that is never accepted.
    """
    if not reason.strip():
        raise InputError("--reason is empty", hint="say why, for whoever reads this later")
    with account_lock(ws):
        for _ in check_store(ws.db):
            pass
        seen = heads.read_head(ws.settings.store)
        if seen is not None and chain.has(ws.db, seen):
            raise InputError(
                "there is nothing to accept: the store has all that this home has seen",
                hint="algotrade ledger verify",
            )
        with immediate(ws.db):
            chain.seal(ws.db, note=f"accepted: {reason}")
        newest = chain.head(ws.db)
        assert newest is not None  # noqa: S101  it was made above
        heads.write_head(ws.settings.store, newest)
    return newest
