"""Send: intents go to the broker, each once; what is not certain is looked up, never sent blindly.

Every state is committed before the next step, so that a crash at any point leaves an order that the
next command understands: an intent was never sent, `submitting` may have been, and is looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.broker.protocol import Accepted, Rejected
from algotrade.domain.orders import (
    ACCEPTED,
    CANCELLED,
    EXPIRED,
    FILLED,
    GIVEN_UP,
    INTENT,
    KEY_SHOWN,
    NEVER_SENT,
    OPEN_STATES,
    PARTIAL,
    REJECTED,
    SUBMITTING,
    TRIGGERED,
    UNKNOWN,
    UNSURE_STATES,
)
from algotrade.domain.times import DAY, MICROSECONDS
from algotrade.errors import (
    AlgotradeError,
    DataError,
    LedgerError,
    OrderUnknownError,
    ProviderError,
)
from algotrade.record import NamedTuple
from algotrade.store import journal
from algotrade.store import orders as order_store
from algotrade.store.database import immediate
from algotrade.store.disk import write_at_any_cost
from algotrade.workflows.booking import book
from algotrade.workflows.context import halts

if TYPE_CHECKING:
    from algotrade.broker.protocol import Answer, BrokerClient, BrokerOrder
    from algotrade.domain.orders import Fill, Order
    from algotrade.store.journal import OrderStatus
    from algotrade.workflows.context import Workspace

INTENT_SECONDS = 60  # an intent that is older was decided on another market: it is not sent
RESEND_SECONDS = 60  # an order that a broker does not know may be sent again for so long
_CHASED = 7 * DAY  # an order that was given up is looked for so long


class Caught(NamedTuple):
    """Where the account stands after recovery.

    unknown: orders that may or may not be at the broker. missing: orders that the broker had and
    does not tell of. late: fills that an order tells of and no execution yet, nano-shares by key.
    """

    fills: tuple[Fill, ...] = ()
    unknown: tuple[OrderStatus, ...] = ()
    missing: tuple[OrderStatus, ...] = ()
    late: tuple[tuple[str, int], ...] = ()


def recover(ws: Workspace, client: BrokerClient) -> Caught:
    """Finish what was interrupted and catch up: the normal start of every command with orders."""
    for status in journal.open_orders(ws.db, ws.account):
        if status.state == INTENT and _is_old(ws, status.order, INTENT_SECONDS):
            _event(ws, status.order, EXPIRED, f"{NEVER_SENT}: older than a minute")
        elif status.state == SUBMITTING:
            _event(ws, status.order, UNKNOWN, "interrupted while it was sent")
    for status in _in_states(ws, UNKNOWN):
        _resolve(ws, client, status.order)
    _chase_given_up(ws, client)
    try:
        caught = catch_up(ws, client)
    except ProviderError as error:
        unknown = unknown_orders(ws)
        if not unknown:
            raise
        raise OrderUnknownError(
            f"order {unknown[0].order.id} may or may not be at the broker: {error.message}",
            hint="algotrade reconcile looks again",
        ) from error
    return caught._replace(unknown=unknown_orders(ws))


def catch_up(ws: Workspace, client: BrokerClient) -> Caught:
    """Take the broker's word on every open order, and book its fills."""
    local = _in_states(ws, ACCEPTED, TRIGGERED, PARTIAL)
    there = {one.key: one for one in client.orders()} if local else {}
    told: list[tuple[Order, BrokerOrder]] = []
    missing = []
    for status in local:
        found = there.get(status.order.key) or client.lookup(status.order.key)
        if found is None:
            missing.append(status)
        else:
            told.append((status.order, found))
    booked = book(ws, client)
    late = []
    for order, found in told:
        _adopt(ws, order, found)
        outstanding = found.filled - _told_of(ws, order)
        if outstanding > 0:
            late.append((order.key, outstanding))
    if booked.refused:
        raise LedgerError(
            f"account {ws.account} is halted: {booked.refused[0]}",
            hint="algotrade reconcile shows what differs",
        )
    return Caught(booked.fills, missing=tuple(missing), late=tuple(late))


def send(ws: Workspace, client: BrokerClient) -> tuple[Fill, ...]:
    """Send every intent of the account, and book what was filled at once."""
    intents = _in_states(ws, INTENT)
    if not intents:
        return ()
    for status in intents:
        order = status.order
        halted = (*halts(ws), *filter(None, [journal.current_halt(ws.db, ws.account)]))
        if halted:
            _event(ws, order, CANCELLED, f"{NEVER_SENT}: trading is halted")
        elif _is_old(ws, order, INTENT_SECONDS):
            _event(ws, order, EXPIRED, f"{NEVER_SENT}: older than a minute")
        else:
            _submit(ws, client, order, again=False)
    try:
        return catch_up(ws, client).fills
    except ProviderError as error:  # the orders are there; the next command books their fills
        ws.say(f"{error.message}; algotrade orders asks again")
        return ()


def unknown_orders(ws: Workspace) -> tuple[OrderStatus, ...]:
    """Give the orders that may or may not be at the broker."""
    return tuple(_in_states(ws, *UNSURE_STATES))


def _chase_given_up(ws: Workspace, client: BrokerClient) -> None:
    """Look for orders that a person gave up: one that appears is cancelled, its fills booked."""
    since = ws.clock.now() - _CHASED
    for key in order_store.keys_with(ws.db, ws.account, GIVEN_UP, since):
        try:
            found = client.lookup(key)
            if found is not None:
                with immediate(ws.db):
                    order_store.name_order(ws.db, ws.account, key, found.broker_id)
                if found.state in OPEN_STATES:
                    client.cancel(found.broker_id)
        except (ProviderError, DataError) as error:
            ws.say(f"order {key[:KEY_SHOWN]} cannot be looked up: {error.message}")


def _submit(ws: Workspace, client: BrokerClient, order: Order, *, again: bool) -> None:
    """Note that it is sent, send it once, note what came of it.

    again: an earlier call may have placed it, so that only its presence proves anything.
    """
    _event(ws, order, SUBMITTING, "once more, under the same key" if again else "")
    try:
        answer: Answer = client.submit(order)
    except AlgotradeError as error:  # certainly not accepted by this call
        _event(ws, order, UNKNOWN if again else INTENT, error.message)
        raise
    if isinstance(answer, Accepted):
        _adopt(ws, order, answer.order)
    elif isinstance(answer, Rejected):
        _event(ws, order, UNKNOWN if again else REJECTED, answer.reason)
    else:
        _event(ws, order, UNKNOWN, answer.reason)
        _look_up(ws, client, order)


def _look_up(ws: Workspace, client: BrokerClient, order: Order) -> bool | None:
    """Adopt the order if the broker has it; tell whether it has, None where it cannot be asked."""
    try:
        found = client.lookup(order.key)
    except (ProviderError, DataError) as error:
        ws.say(f"order {order.id} cannot be looked up: {error.message}")
        return None
    if found is not None:
        _adopt(ws, order, found)
    return found is not None


def _resolve(ws: Workspace, client: BrokerClient, order: Order) -> None:
    """Look an unknown order up; send it again only where two of it would be one, and soon."""
    is_there = _look_up(ws, client, order)
    if is_there is False and client.dedupes and not _is_old(ws, order, RESEND_SECONDS):
        try:
            _submit(ws, client, order, again=True)
        except ProviderError as error:
            ws.say(error.message)


def _adopt(ws: Workspace, order: Order, found: BrokerOrder) -> None:
    """Take the broker's word on an order; fills are booked by their executions alone."""
    with immediate(ws.db):
        order_store.name_order(ws.db, ws.account, order.key, found.broker_id)
        state = journal.order_state(ws.db, order.key)
        filled, _ = order_store.filled_of(ws.db, ws.account, order.key)
        journaled = journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now())
        told_whole = found.filled <= _told_of(ws, order)
        ended = found.state not in OPEN_STATES and told_whole and filled < order.quantity
        if state not in OPEN_STATES or (state not in UNSURE_STATES and not ended):
            return
        if not ended:  # nothing is booked yet of an order that had no name
            journaled.order_event(order, ws.clock.now(), ACCEPTED, "")
            return
        after = found.state
        if after == FILLED or (filled and after == REJECTED):  # by fills that were refused
            after = CANCELLED
        journaled.order_event(order, ws.clock.now(), after, found.detail)


def _told_of(ws: Workspace, order: Order) -> int:
    """Give what executions told of an order so far, booked or refused."""
    booked, _ = order_store.filled_of(ws.db, ws.account, order.key)
    return booked + order_store.refused_of(ws.db, ws.account, order.key)


def _event(ws: Workspace, order: Order, state: str, detail: str) -> None:
    def write() -> None:
        with immediate(ws.db):
            book = journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now())
            book.order_event(order, ws.clock.now(), state, detail)

    write_at_any_cost(ws.settings.store, write)


def _in_states(ws: Workspace, *states: str) -> list[OrderStatus]:
    return [one for one in journal.open_orders(ws.db, ws.account) if one.state in states]


def _is_old(ws: Workspace, order: Order, seconds: int) -> bool:
    return ws.clock.now() - order.placed_at > seconds * MICROSECONDS
