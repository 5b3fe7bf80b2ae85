"""Why: the decision behind an order, a hold or a refusal, as it was written down then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from algotrade.domain.symbols import parse_symbol
from algotrade.errors import InputError
from algotrade.store import journal
from algotrade.workflows.context import Workspace, account_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.domain.ledger import Entry
    from algotrade.store.journal import OrderStatus, StoredDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyResult:
    """A stored decision with what became of its order; `body` is the decision as plain data."""

    decision_id: int
    body: Mapping[str, Any]
    order: OrderStatus | None
    fills: tuple[Entry, ...]


def why(ws: Workspace, what: str) -> WhyResult:
    """Explain an order by its id or a prefix of it, else the newest decision on a symbol."""
    account_record(ws)
    if _is_key(what):
        found = journal.find_orders(ws.db, what.lower())
        if len(found) > 1:
            raise InputError(f"more than one order begins with {what}", hint="give more of the id")
        if found:
            stored = journal.decision_of(ws.db, found[0].order.key)
            return _explained(ws, stored, found[0])
    symbol = parse_symbol(what).symbol
    newest = journal.last_decision(ws.db, ws.account, symbol)
    if newest is None:
        raise InputError(
            f"account {ws.account} has no order {what!a} and no decision on {symbol}",
            hint="algotrade trades lists the orders that were filled",
        )
    order = journal.find_orders(ws.db, newest.order_key)[0] if newest.order_key else None
    return _explained(ws, newest, order)


def _explained(ws: Workspace, stored: StoredDecision, order: OrderStatus | None) -> WhyResult:
    fills = journal.fills_of(ws.db, order.order.key) if order else []
    return WhyResult(
        decision_id=stored.decision_id, body=stored.body, order=order, fills=tuple(fills)
    )


def _is_key(text: str) -> bool:
    return 4 <= len(text) <= 32 and all(c in "0123456789abcdef" for c in text.lower())
