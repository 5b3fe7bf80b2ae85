"""Waiting orders: those that have not ended, with what was filled of them so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.orders import ACCEPTED, PARTIAL, TRIGGERED, OpenOrder
from algotrade.store import journal

if TYPE_CHECKING:
    from algotrade.domain.costs import CostModel
    from algotrade.store.journal import OrderStatus
    from algotrade.workflows.context import Workspace


def waiting_orders(ws: Workspace) -> list[OpenOrder]:
    """Load the account's open orders, oldest first."""
    statuses = journal.open_orders(ws.db, ws.account)
    costs = ws.settings.costs() if statuses else None
    return [
        _with_fills(ws, status, costs)
        if costs and status.state != ACCEPTED
        else OpenOrder(status.order)  # a fill would have changed its state
        for status in statuses
    ]


def _with_fills(ws: Workspace, status: OrderStatus, costs: CostModel) -> OpenOrder:
    waiting = OpenOrder(status.order, triggered=status.state in (TRIGGERED, PARTIAL))
    for entry in journal.fills_of(ws.db, status.order.key):
        first = waiting.fills == 0
        waiting = waiting._replace(
            filled=waiting.filled + abs(entry.quantity),
            fills=waiting.fills + 1,
            charged=waiting.charged + costs.charge(entry.quantity, entry.price, first=first),
            fee=waiting.fee + entry.fee,
        )
    return waiting
