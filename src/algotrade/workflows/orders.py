"""Orders: list them, cancel them, and flatten: end every position by orders that only reduce."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.orders import (
    BUY,
    CANCELLED,
    GIVEN_UP,
    INTENT,
    NEVER_SENT,
    OPEN_STATES,
    SELL,
    UNSURE_STATES,
)
from algotrade.domain.times import MINUTE
from algotrade.errors import InputError, OrderUnknownError, SettingsError, shown
from algotrade.record import NamedTuple
from algotrade.store import journal
from algotrade.store import orders as order_store
from algotrade.store.database import immediate
from algotrade.workflows.brokers import open_broker
from algotrade.workflows.context import account_lock, account_record
from algotrade.workflows.settle import settle
from algotrade.workflows.state import load_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.broker.protocol import BrokerClient
    from algotrade.domain.orders import Fill, Order
    from algotrade.store.journal import OrderStatus
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.trade import TradeResult

_GIVE_UP_AFTER = 10 * MINUTE  # by then a broker that has an order tells of it
CANCEL_ASKED = "asked"  # the broker has not confirmed the end yet


class OrderLine(NamedTuple):
    """An order with its newest state and what was filled of it, nano-shares."""

    status: OrderStatus
    filled: int
    broker_id: str | None


class OrderList(NamedTuple):
    """Orders of an account, oldest first; fills that were booked while looking."""

    account: str
    lines: tuple[OrderLine, ...]
    fills: tuple[Fill, ...]

    @property
    def unknown(self) -> tuple[OrderStatus, ...]:
        """Give the orders that may or may not be at the broker."""
        return tuple(one.status for one in self.lines if one.status.state in UNSURE_STATES)


class Cancelled(NamedTuple):
    """What became of a request to cancel: a state of the order, or `asked`."""

    order: Order
    state: str
    filled: int


def list_orders(
    ws: Workspace, *, everything: bool = False, client: BrokerClient | None = None
) -> OrderList:
    """List the open orders, or all; at a real broker they are caught up with first."""
    account_record(ws)
    fills: tuple[Fill, ...] = ()
    if ws.at_broker:
        from algotrade.workflows.send import recover

        with account_lock(ws) as held:
            fills = recover(held, client or open_broker(ws)).fills
    load = journal.all_orders if everything else journal.open_orders
    lines = tuple(_line(ws, status) for status in load(ws.db, ws.account))
    return OrderList(ws.account, lines, fills)


def cancel(
    ws: Workspace,
    names: Sequence[str],
    *,
    everything: bool = False,
    client: BrokerClient | None = None,
) -> tuple[Cancelled, ...]:
    """Cancel the named open orders, or all; one that has ended already is told as it is."""
    account_record(ws)
    with account_lock(ws) as held:
        return cancel_locked(held, names, everything=everything, client=client)


def cancel_locked(
    ws: Workspace,
    names: Sequence[str],
    *,
    everything: bool = False,
    client: BrokerClient | None = None,
) -> tuple[Cancelled, ...]:
    """Cancel with the account's lock held; never refused by a halt."""
    if ws.at_broker:
        from algotrade.workflows.send import recover

        client = client or open_broker(ws)
        recover(ws, client)
    else:
        with immediate(ws.db):
            settle(ws)
    if everything:
        chosen = journal.open_orders(ws.db, ws.account)
    else:
        chosen = [_find(ws, name) for name in names]
    ended = tuple(
        _cancel_at(ws, status, client) if client else _cancel_here(ws, status) for status in chosen
    )
    unsure = [one for one in ended if one.state in UNSURE_STATES]
    if unsure:
        raise OrderUnknownError(
            f"order {unsure[0].order.id} may or may not be at the broker",
            hint="algotrade cancel again in ten minutes: then it is given up if it is not there",
        )
    return ended


def flatten(
    ws: Workspace, *, consent: bool = False, client: BrokerClient | None = None
) -> tuple[tuple[Cancelled, ...], list[TradeResult]]:
    """Cancel every open order, then end every position at the market, through the risk checks.

    The orders only reduce, so the limits that exempt such orders let them pass; a halt does not.
    """
    from algotrade.workflows.trade import Request, trade_locked

    if ws.live and not consent:
        raise SettingsError("real money moves only with a yes", hint="--live, and --yes in cron")
    account_record(ws)
    with account_lock(ws) as held:
        client = client or (open_broker(held) if held.at_broker else None)
        ended = cancel_locked(held, (), everything=True, client=client)
        state = load_state(held)
        requests = []
        for symbol, position in sorted(state.portfolio.positions.items()):
            side = SELL if position.quantity > 0 else BUY
            left = abs(position.quantity) - state.working(symbol, side)
            if left > 0:
                requests.append(
                    Request(
                        symbols=(symbol,),
                        quantity=left,
                        side=side,
                        use_model=False,
                        client_id="flatten",
                    )
                )
        if not requests:
            return ended, []
        return ended, trade_locked(held, requests, client=client)


def _line(ws: Workspace, status: OrderStatus) -> OrderLine:
    key = status.order.key
    filled, _ = order_store.filled_of(ws.db, ws.account, key)
    return OrderLine(status, filled, order_store.broker_id_of(ws.db, key))


def _find(ws: Workspace, name: str) -> OrderStatus:
    known = all(c in "0123456789abcdef" for c in name) and len(name) >= 4
    found = journal.find_orders(ws.db, name) if known else []
    ours = [status for status in found if status.order.account == ws.account]
    if len(ours) == 1:
        return ours[0]
    what = (
        "more than one order begins" if ours else f"account {ws.account} has no order that begins"
    )
    raise InputError(f"{what} with {shown(name)}", hint="algotrade orders lists them")


def _cancel_here(ws: Workspace, status: OrderStatus) -> Cancelled:
    """End an order of a simulated account."""
    if status.state in OPEN_STATES:
        _end(ws, status.order, "cancelled by a person")
    return _now(ws, status.order)


def _cancel_at(ws: Workspace, status: OrderStatus, client: BrokerClient) -> Cancelled:
    """Ask the broker to end an order, and take its word for what came of it."""
    from algotrade.workflows.send import catch_up

    order = status.order
    if status.state == INTENT:
        _end(ws, order, f"{NEVER_SENT}: cancelled by a person")
    elif status.state in UNSURE_STATES:
        _give_up(ws, order, client)
    elif status.state in OPEN_STATES:
        broker_id = order_store.broker_id_of(ws.db, order.key)
        if broker_id is not None:
            client.cancel(broker_id)
        catch_up(ws, client)
    now = _now(ws, order)
    still_open = now.state in OPEN_STATES and now.state not in UNSURE_STATES
    return now._replace(state=CANCEL_ASKED) if still_open else now


def _give_up(ws: Workspace, order: Order, client: BrokerClient) -> None:
    """End an order that the broker does not know long after it was sent; a person says so."""
    if client.lookup(order.key) is None and ws.clock.now() - order.placed_at > _GIVE_UP_AFTER:
        _end(ws, order, GIVEN_UP)


def _end(ws: Workspace, order: Order, detail: str) -> None:
    with immediate(ws.db):
        book = journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now())
        book.order_event(order, ws.clock.now(), CANCELLED, detail)


def _now(ws: Workspace, order: Order) -> Cancelled:
    filled, _ = order_store.filled_of(ws.db, ws.account, order.key)
    return Cancelled(order, journal.order_state(ws.db, order.key), filled)
