"""Verify: every stored decision of an account made again, and compared bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from algotrade.errors import LedgerError
from algotrade.store import chain, journal
from algotrade.store.past import load_past, missing_decisions
from algotrade.workflows.context import Workspace, account_record
from algotrade.workflows.replay import Difference, Replay, Replayer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.store.past import Past

SHOWN = 10  # decisions that differ are kept to be shown; all are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityResult:
    """How many decisions come out the same.

    entries: of the ledger, whose hash chain was checked first. partial: decisions stored before
    the store noted what they saw; their inputs and signals were compared. differing: the first
    few. rows: what is wrong with rows that no decision can tell of.
    """

    account: str
    entries: int
    decisions: int
    identical: int
    partial: int
    differing: tuple[Replay, ...]
    rows: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Tell whether nothing differs."""
        return self.identical == self.decisions and not self.rows


def verify_parity(
    ws: Workspace, *, progress: Callable[[int, int], None] | None = None
) -> ParityResult:
    """Make every stored decision of the account again, from the store alone."""
    account_record(ws)
    entries = journal.verify_chain(ws.db, ws.account)
    past = load_past(ws.db, ws.account)
    replayer, identical = Replayer(ws, past), 0
    differing: list[Replay] = []
    for number, one in enumerate(past.decisions, 1):
        made = replayer.replay(one)
        identical += made.identical
        if not made.identical and len(differing) < SHOWN:
            differing.append(made)
        if progress is not None:
            progress(number, len(past.decisions))
    rows = _lost(ws, past)
    return ParityResult(
        account=ws.account,
        entries=entries,
        decisions=len(past.decisions),
        identical=identical,
        partial=sum(one.seen is None for one in past.decisions),
        differing=tuple(differing),
        rows=tuple(rows if rows or differing else _unsealed(ws)),
    )


def _lost(ws: Workspace, past: Past) -> list[Difference]:
    """Tell of orders without a decision, fills without an order, and numbers that are gone."""
    decided = {placed.key for one in past.decisions if (placed := one.stored.decision.placed)}
    found = [
        Difference(f"orders.{order.id}", f"{order.side} {order.symbol}", "no decision placed it")
        for key, order in past.orders.items()
        if key not in decided
    ]
    found += [
        Difference(f"ledger.{entry.ref[:10]}", f"fill of {entry.symbol}", "no such order")
        for entry in past.entries
        if entry.kind == "fill" and entry.ref.rpartition(".")[0] not in past.orders
    ]
    gone = missing_decisions(ws.db)
    if gone:
        found.append(Difference("decisions", f"numbered without a gap, {gone} more", "missing"))
    return found


def _unsealed(ws: Workspace) -> list[Difference]:
    """Tell of what no decision reads: the newest state of an order, the newest mark, the clock."""
    try:
        chain.check_all(ws.db)
    except LedgerError as error:
        return [Difference("seals", "as they were written", error.message)]
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """Whether one run of the loop over the span gives the ledger and the orders entry for entry.

    sessions: with a decision. entries, orders: compared, after those that the span began with.
    """

    account: str
    sessions: int
    entries: int
    orders: int
    difference: Difference | None


def verify_backtest(ws: Workspace) -> BacktestResult:
    """Walk the account's span once more in one process, on today's data, and compare it all."""
    from algotrade.workflows.rerun import Choices, Rerun

    account_record(ws)
    journal.verify_chain(ws.db, ws.account)
    past = load_past(ws.db, ws.account)
    noted = [one for one in past.decisions if one.seen is not None]
    if not noted:
        return BacktestResult(account=ws.account, sessions=0, entries=0, orders=0, difference=None)
    rerun = Rerun(ws, past, noted)
    made = rerun.run(Choices(stored_halts=True))
    entries = past.entries[rerun.opening :]
    orders = [placed for one in noted if (placed := one.stored.decision.placed)]
    pairs = [
        *_unequal("ledger", entries, made.entries),
        *_unequal("orders", orders, made.orders),
    ]
    return BacktestResult(
        account=ws.account,
        sessions=len({one.stored.decision.ts for one in noted}),
        entries=len(entries),
        orders=len(orders),
        difference=pairs[0] if pairs else None,
    )


def _unequal(what: str, stored: Sequence[Any], made: Sequence[Any]) -> list[Difference]:
    """Give the first field that differs between two lists of records, if any does."""
    for place, (old, new) in enumerate(zip_longest(stored, made), 1):
        if old is None or new is None:
            return [Difference(f"{what}.{place}", _told(old), _told(new))]
        for name in old._fields:
            before, after = getattr(old, name), getattr(new, name)
            if before != after:
                return [Difference(f"{what}.{place}.{name}", before, after)]
    return []


def _told(record: Any) -> str:  # noqa: ANN401  an entry, an order, or neither
    return "nothing" if record is None else str(record)
