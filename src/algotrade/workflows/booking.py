"""Booking: what the broker did becomes ledger entries, each execution once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.broker.protocol import BrokerFill
from algotrade.domain.ledger import (
    ADJUSTMENT,
    DEPOSIT,
    DIVIDEND,
    WITHDRAWAL,
    Entry,
    fill_entry,
)
from algotrade.domain.money import format_quantity
from algotrade.domain.orders import BUY, Fill, state_after_fill
from algotrade.domain.times import DAY
from algotrade.record import NamedTuple
from algotrade.store import journal, records
from algotrade.store import orders as order_store
from algotrade.store.database import immediate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.broker.protocol import Activity, BrokerClient, CashMove
    from algotrade.domain.orders import Order
    from algotrade.workflows.context import Workspace

_LOOK_BACK = 7 * DAY  # executions told as late as this are still found


class Booked(NamedTuple):
    """Fills that are new in the ledger; what could not be booked, in words."""

    fills: tuple[Fill, ...] = ()
    refused: tuple[str, ...] = ()


def book(ws: Workspace, client: BrokerClient) -> Booked:
    """Ask the broker what happened and book what is new; the store's own rules hold.

    A fill of more than its order asked for is no ledger entry: it halts the account.
    """
    opened = _opened_at(ws)
    newest = order_store.newest_execution(ws.db, ws.account)
    since = opened if newest is None else max(opened, newest - _LOOK_BACK)
    return book_activities(ws, client.fills(since))


def book_activities(ws: Workspace, activities: Sequence[Activity]) -> Booked:
    """Book what is new of these, in one transaction, in the order of their times."""
    fills: list[Fill] = []
    refused: list[str] = []
    with immediate(ws.db):
        opened = _opened_at(ws)
        ours = {order.key: order for order in journal.load_orders(ws.db, ws.account)}
        for one in sorted(activities, key=lambda each: (each.ts, each.execution_id)):
            if order_store.is_known(ws.db, ws.account, one.execution_id):
                continue
            if not isinstance(one, BrokerFill):
                if one.ts >= opened:
                    _book_cash(ws, one)
                continue
            key = order_store.key_of(ws.db, ws.account, one.broker_id)
            if key is None:
                continue  # an order that is not ours: reconcile tells what it changed
            found = _book_fill(ws, ours[key], one)
            if isinstance(found, Fill):
                fills.append(found)
            else:
                refused.append(found)
        if refused and journal.current_halt(ws.db, ws.account) is None:
            now = ws.clock.now()
            journal.save_halt(ws.db, ws.account, ts=now, kind="halt", reason=refused[0])
    return Booked(tuple(fills), tuple(refused))


def _opened_at(ws: Workspace) -> int:
    return next(one.opened_at for one in records.accounts(ws.db) if one.account == ws.account)


def _book_fill(ws: Workspace, order: Order, one: BrokerFill) -> Fill | str:
    """Write ledger entry, order state and execution; or the execution alone, and say why."""
    filled, count = order_store.filled_of(ws.db, ws.account, order.key)
    left = order.quantity - filled - abs(one.quantity)
    wrong = one.symbol != order.symbol or (one.quantity > 0) != (order.side == BUY)
    if wrong or left < 0 or one.quantity == 0:
        _save(ws, one, order.key, None)
        what = "another trade" if wrong else "more"
        return (
            f"order {order.id} asked to {order.side} {format_quantity(order.quantity)}"
            f" {order.symbol}, the broker filled {what}: execution {one.execution_id} of"
            f" {format_quantity(one.quantity)} is not booked"
        )
    book = journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now())
    entry = fill_entry(
        ts=one.ts,
        ref=f"{order.key}.{count + 1}",
        symbol=one.symbol,
        quantity=one.quantity,
        price=one.price,
        fee=one.fee,
        note=one.execution_id,
    )
    before = journal.order_state(ws.db, order.key)
    book.append(entry)
    book.order_event(order, one.ts, state_after_fill(before, left), "")
    _save(ws, one, order.key, order_store.last_seq(ws.db, ws.account))
    return Fill(order, one.ts, one.quantity, one.price, one.fee)


def _book_cash(ws: Workspace, one: CashMove) -> None:
    """Book a move of cash: deposits, withdrawals and dividends as such, charges as fees."""
    kind, amount, fee = one.kind, one.amount, 0
    if kind not in (DEPOSIT, WITHDRAWAL, DIVIDEND):
        kind = ADJUSTMENT
        if amount < 0:
            amount, fee = 0, -amount
    if one.amount:
        entry = Entry(
            ts=one.ts,
            kind=kind,
            ref=one.execution_id,
            symbol=one.symbol if kind == DIVIDEND else "",
            amount=amount,
            fee=fee,
            note=one.note,
        )
        journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now()).append(entry)
    _save(ws, one, None, order_store.last_seq(ws.db, ws.account) if one.amount else None)


def _save(ws: Workspace, one: Activity, key: str | None, seq: int | None) -> None:
    moved = (one.quantity, one.price, 0) if isinstance(one, BrokerFill) else (0, 0, one.amount)
    execution = order_store.Execution(one.execution_id, key, one.ts, one.symbol, *moved, seq)
    order_store.save_execution(ws.db, ws.account, execution)
