"""Reconcile: the broker against the ledger, to the share and the cent; a difference halts.

What moves between two questions is no difference: the comparison is made up to three times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade import clock
from algotrade.domain.ledger import ADJUSTMENT, DEPOSIT, Entry, replay
from algotrade.domain.money import NANOS, format_quantity, format_usd, notional
from algotrade.domain.times import DAY
from algotrade.errors import HaltedError, InputError, LedgerError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import journal, records
from algotrade.store import orders as order_store
from algotrade.store.database import immediate
from algotrade.workflows.brokers import clock_apart, compare_hours, open_broker
from algotrade.workflows.context import DAILY, account_lock
from algotrade.workflows.send import catch_up, recover, unknown_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.broker.protocol import BrokerAccount, BrokerClient, BrokerPosition
    from algotrade.domain.orders import Fill
    from algotrade.store.journal import OrderStatus
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.send import Caught

_TRIES = 3
_PAUSE_SECONDS = 1.0
_CENT = 10_000  # micro-dollars
_LOOK_BACK = 7 * DAY

POSITION = "position"
CASH = "cash"
ORDER = "order"


class Difference(NamedTuple):
    """One thing that ledger and broker tell differently, in nano-shares or micro-dollars."""

    what: str
    name: str
    ledger: int
    broker: int

    def told(self) -> str:
        """Say it in a few words."""
        if self.what == ORDER:
            return f"order {self.name} at the broker is not of this ledger"
        shown = format_usd if self.what == CASH else format_quantity
        return f"{self.name}: ledger {shown(self.ledger)}, broker {shown(self.broker)}"


class Reconciled(NamedTuple):
    """How broker and ledger compare; `fixed`: entries that were booked to make them agree."""

    account: str
    number: str
    now: int
    differences: tuple[Difference, ...]
    unknown: tuple[OrderStatus, ...]
    late: int
    fills: tuple[Fill, ...]
    fixed: tuple[Entry, ...] = ()


def reconcile(
    ws: Workspace,
    *,
    fix_local: bool = False,
    reason: str = "",
    client: BrokerClient | None = None,
    sleep: Callable[[float], None] = clock.sleep,
) -> Reconciled:
    """Compare, book what was missed, halt on a difference; open the account where there is none.

    fix_local: book what differs as visible entries of kind adjustment, with the reason.
    """
    if fix_local and not reason:
        raise InputError("--fix-local needs a --reason", hint="a few words; they are written down")
    client = client or open_broker(ws)
    with account_lock(ws) as held:
        found = start(held, client, sleep=sleep, halt=not fix_local)
        if fix_local and found.differences and not found.unknown and not found.late:
            fixed = _fix(held, client, found.differences, reason)
            found = compare(held, client, catch_up(held, client))._replace(fixed=fixed)
    compare_hours(ws, client)
    return found


def start(
    ws: Workspace,
    client: BrokerClient,
    *,
    sleep: Callable[[float], None] = clock.sleep,
    halt: bool = True,
) -> Reconciled:
    """Recover, book and compare, with the account's lock held: the start of whatever sends."""
    open_account(ws, client)
    apart = clock_apart(ws, client)
    caught = recover(ws, client)
    fills, left = caught.fills, _TRIES
    while True:
        left -= 1
        found = compare(ws, client, caught)
        if not found.differences or not left:
            break
        sleep(_PAUSE_SECONDS)
        caught = catch_up(ws, client)
        fills += caught.fills
    with immediate(ws.db):
        records.set_meta(ws.db, f"mismatches:{ws.account}", str(len(found.differences)))
        records.set_meta(ws.db, f"clock:{ws.account}", "" if apart is None else str(apart))
        if found.differences and halt and journal.current_halt(ws.db, ws.account) is None:
            told = f"broker and ledger differ: {found.differences[0].told()}"
            journal.save_halt(ws.db, ws.account, ts=ws.clock.now(), kind="halt", reason=told)
        if not found.differences:
            records.set_meta(ws.db, f"reconciled:{ws.account}", str(ws.clock.now()))
    return found._replace(fills=fills)


def insist(found: Reconciled) -> Reconciled:
    """Raise where broker and ledger differ: nothing is decided on a wrong position."""
    if found.differences:
        raise LedgerError(
            f"account {found.account} is halted: broker and ledger differ,"
            f" {found.differences[0].told()}",
            hint="algotrade reconcile shows all; --fix-local books them, with a --reason",
        )
    return found


def compare(ws: Workspace, client: BrokerClient, caught: Caught) -> Reconciled:
    """Compare once. Fills that are told by an order and by no execution yet are waited for."""
    account = client.account()
    _check_number(ws, account)
    there = {one.symbol: one for one in client.positions()}
    book = replay(journal.load_entries(ws.db, ws.account))
    unknown = unknown_orders(ws)
    unsure = {status.order.symbol for status in (*unknown, *caught.missing)}
    late = dict(caught.late)
    found = [] if unsure else list(_foreign_orders(ws, client))
    for symbol in sorted({*there, *book.positions} - unsure):
        held, theirs = book.held(symbol), there[symbol].quantity if symbol in there else 0
        if held != theirs:
            late |= _late_of(ws, client, symbol)
            waiting = sum(_signed(ws, key, quantity, symbol) for key, quantity in late.items())
            if held + waiting != theirs:
                found.append(Difference(POSITION, symbol, held, theirs))
    if not late and not unsure and abs(account.cash - book.cash) >= _CENT:
        found.append(Difference(CASH, "cash", book.cash, account.cash))
    return Reconciled(
        account=ws.account,
        number=account.number,
        now=ws.clock.now(),
        differences=tuple(found),
        unknown=(*unknown, *caught.missing),
        late=len(late),
        fills=caught.fills,
    )


def open_account(ws: Workspace, client: BrokerClient) -> None:
    """Open the account with what is at the broker, where it is not open yet."""
    if any(record.account == ws.account for record in records.accounts(ws.db)):
        return
    now, account, positions = ws.clock.now(), client.account(), client.positions()
    cost = sum(notional(one.quantity, one.price) for one in positions)
    with immediate(ws.db):
        records.open_account(ws.db, records.AccountRecord(ws.account, ws.source, now))
        records.set_meta(ws.db, f"number:{ws.account}", account.number)
        book = journal.StoreJournal(ws.db, ws.account, recorded_at=now)
        note = "cash and cost of positions at the broker"
        book.append(
            Entry(ts=now, kind=DEPOSIT, ref="opening", amount=account.cash + cost, note=note)
        )
        for one in positions:
            book.append(
                _adjusted(now, f"opening {one.symbol}", one, one.quantity, "held at the broker")
            )
    ws.say(f"opened account {ws.account} with {format_usd(account.cash)} USD and"
           f" {len(positions)} positions")  # fmt: skip


def _check_number(ws: Workspace, account: BrokerAccount) -> None:
    """Refuse a key of another account than the one this ledger is of."""
    known = records.get_meta(ws.db, f"number:{ws.account}")
    if known is not None and known != account.number:
        raise LedgerError(
            f"the key is of account {account.number!a}, the ledger of {known!a}",
            hint="another account needs a home of its own: --home FOLDER",
        )
    if account.blocked:
        raise HaltedError(f"the broker has blocked account {account.number!a}", hint="ask it why")


def _foreign_orders(ws: Workspace, client: BrokerClient) -> Sequence[Difference]:
    ours = {order.key for order in journal.load_orders(ws.db, ws.account)}
    return [
        Difference(ORDER, f"{one.broker_id} ({one.side} {one.symbol})"[:60], 0, one.quantity)
        for one in client.orders()
        if one.key not in ours
    ]


def _late_of(ws: Workspace, client: BrokerClient, symbol: str) -> dict[str, int]:
    """Find fills of ended orders of a symbol that no execution tells of yet."""
    late = {}
    for order in journal.load_orders(ws.db, ws.account)[-200:]:
        if order.symbol != symbol or order.placed_at < ws.clock.now() - _LOOK_BACK:
            continue
        if order_store.broker_id_of(ws.db, order.key) is None:
            continue
        found = client.lookup(order.key)
        booked, _ = order_store.filled_of(ws.db, ws.account, order.key)
        if found is not None and booked < found.filled <= order.quantity:
            late[order.key] = found.filled - booked
    return late


def _signed(ws: Workspace, key: str, quantity: int, symbol: str) -> int:
    for status in journal.find_orders(ws.db, key):
        if status.order.symbol == symbol:
            return quantity if status.order.signed > 0 else -quantity
    return 0


def _fix(
    ws: Workspace, client: BrokerClient, differences: Sequence[Difference], reason: str
) -> tuple[Entry, ...]:
    """Book what differs: positions at the newest price, then what is left of the cash."""
    there = {one.symbol: one for one in client.positions()}
    cash, now = client.account().cash, ws.clock.now()
    entries: list[Entry] = []
    with immediate(ws.db):
        number = order_store.last_seq(ws.db, ws.account)
        book = journal.StoreJournal(ws.db, ws.account, recorded_at=now)
        for one in differences:
            if one.what == POSITION:
                known = there.get(one.name)
                priced = _price(ws, one.name, known)
                ref = f"{one.name} {number + len(entries) + 1}"
                entries.append(_adjusted(now, ref, priced, one.broker - one.ledger, reason))
                book.append(entries[-1])
        portfolio = replay(journal.load_entries(ws.db, ws.account))
        left = cash - portfolio.cash
        if left:
            ref = f"cash {number + len(entries) + 1}"
            entries.append(Entry(ts=now, kind=ADJUSTMENT, ref=ref, amount=left, note=reason))
            book.append(entries[-1])
    return tuple(entries)


def _price(ws: Workspace, symbol: str, known: BrokerPosition | None) -> BrokerPosition:
    """Give the price to book an unexplained change at: the newest close, else the broker's."""
    from algotrade.broker.protocol import BrokerPosition

    newest = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, last=1)
    price = newest.close[-1] if len(newest) else (known.price if known else 0)
    return BrokerPosition(symbol, NANOS, price)


def _adjusted(now: int, ref: str, one: BrokerPosition, quantity: int, note: str) -> Entry:
    return Entry(
        ts=now,
        kind=ADJUSTMENT,
        ref=ref,
        symbol=one.symbol,
        quantity=quantity,
        price=one.price,
        amount=-notional(quantity, one.price),
        note=note,
    )
