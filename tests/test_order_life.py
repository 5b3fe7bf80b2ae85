"""The life of an order: which steps there are, in code and in the store; its fills within it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from itertools import product
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.ledger import ADJUSTMENT, Entry, apply, imbalance, replay
from algotrade.domain.orders import (
    ACCEPTED,
    ARROWS,
    CANCELLED,
    EXPIRED,
    FILLED,
    INTENT,
    NEW,
    OPEN_STATES,
    PARTIAL,
    REJECTED,
    SELL,
    SUBMITTING,
    TRIGGERED,
    UNKNOWN,
    check_arrow,
    state_after_fill,
)
from algotrade.errors import LedgerError
from algotrade.store import orders as order_store
from algotrade.store.database import create_store, immediate
from algotrade.store.journal import StoreJournal, order_state
from algotrade.store.records import AccountRecord, open_account
from algotrade.store.schema_orders import ORDERS
from builders import ACCOUNT, DOLLAR, SHARE, bought, deposit, opens, order, replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from algotrade.domain.orders import Order

STATES = (
    *(INTENT, SUBMITTING, UNKNOWN, REJECTED, ACCEPTED),
    *(TRIGGERED, PARTIAL, FILLED, CANCELLED, EXPIRED),
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(create_store(tmp_path / "algotrade.db")) as opened:
        open_account(opened, AccountRecord(ACCOUNT, "polygon", 0))
        yield opened


def added(db: sqlite3.Connection, **changes: object) -> Order:
    """Write an order down behind the program's back, without a state."""
    one = replace(order(), **changes)
    db.execute(
        "INSERT INTO orders (key, account, strategy, symbol, side, quantity, bar_ts, placed_at,"
        " client_id) VALUES (?,?,?,?,?,?,?,?,'')",
        one[:8],
    )
    return one


def write(db: sqlite3.Connection, key: str, seq: int, state: str) -> None:
    db.execute("INSERT INTO order_events VALUES (?, ?, 1, ?, '', NULL)", (key, seq, state))


def walks() -> dict[str, list[str]]:
    """Find a way to every state from the beginning, by the table alone."""
    ways: dict[str, list[str]] = {NEW: []}
    for _ in STATES:
        for before, way in list(ways.items()):
            for after in ARROWS[before]:
                ways.setdefault(after, [*way, after])
    return ways


def test_every_state_is_reached_and_every_open_one_can_end() -> None:
    assert {*walks()} == {NEW, *STATES} == {*ARROWS}
    for state in OPEN_STATES:
        assert {CANCELLED, EXPIRED, FILLED} <= {*ARROWS[state]}
    assert ARROWS[FILLED] == ()


@pytest.mark.parametrize("before", [NEW, *STATES])
def test_code_and_store_allow_the_same_steps(db: sqlite3.Connection, before: str) -> None:
    for number, after in enumerate((*STATES, "lost")):
        one = added(db, key=f"{number:032x}")
        way = walks()[before]
        for seq, state in enumerate(way, start=1):
            write(db, one.key, seq, state)
        allowed = after in ARROWS[before]
        with (
            contextlib.nullcontext()
            if allowed
            else pytest.raises(sqlite3.IntegrityError, match="no such step")
        ):
            write(db, one.key, len(way) + 1, after)
        with contextlib.nullcontext() if allowed else pytest.raises(LedgerError, match="cannot go"):
            check_arrow(one.key, before, after)


def test_the_store_names_exactly_the_steps_of_the_table() -> None:
    named = {tuple(pair.split(">")) for pair in re.findall(r",(\w*>\w+)(?=,)", ORDERS)}
    assert named == {(before, after) for before, ends in ARROWS.items() for after in ends}


def test_the_journal_refuses_a_step_before_the_store_does(db: sqlite3.Connection) -> None:
    one = added(db)
    book = StoreJournal(db, ACCOUNT, recorded_at=1)
    book.order_event(one, 1, INTENT, "")
    with pytest.raises(LedgerError, match="from intent to accepted"), immediate(db):
        book.order_event(one, 2, ACCEPTED, "")
    assert order_state(db, one.key) == INTENT


def test_a_fill_leaves_an_ended_order_ended_unless_it_is_whole() -> None:
    for before, left in product((CANCELLED, EXPIRED), (0, 1)):
        assert state_after_fill(before, left) == (before if left else FILLED)
    for before in (ACCEPTED, SUBMITTING, UNKNOWN, PARTIAL, REJECTED):
        assert state_after_fill(before, 1) == PARTIAL
        assert state_after_fill(before, 0) == FILLED


# fills within their order


def fill(one: Order, number: int, quantity: int, symbol: str = "AAPL") -> Entry:
    made = bought(quantity, 100 * DOLLAR, ref=f"{one.key}.{number}", symbol=symbol)
    return made._replace(ts=opens(1))


@pytest.mark.parametrize(
    ("parts", "fits"), [((10,), True), ((4, 6), True), ((4, 7), False), ((11,), False)]
)
def test_fills_of_an_order_never_come_to_more_than_it_asked(
    db: sqlite3.Connection,
    parts: tuple[int, ...],
    fits: bool,  # noqa: FBT001  a case
) -> None:
    one, book = added(db), StoreJournal(db, ACCOUNT, recorded_at=1)
    book.append(deposit())
    with (
        contextlib.nullcontext()
        if fits
        else pytest.raises(sqlite3.IntegrityError, match="beyond its order")
    ):
        for number, part in enumerate(parts, start=1):
            book.append(fill(one, number, part * SHARE))
    ((booked,),) = db.execute("SELECT coalesce(sum(quantity), 0) FROM ledger WHERE kind = 'fill'")
    assert booked <= 10 * SHARE
    assert order_store.filled_of(db, ACCOUNT, one.key)[0] == booked


@pytest.mark.parametrize("wrong", [{"side": SELL}, {"symbol": "MSFT"}])
def test_a_fill_of_another_side_or_symbol_is_none_of_its_order(
    db: sqlite3.Connection, wrong: dict[str, object]
) -> None:
    one, book = added(db, **wrong), StoreJournal(db, ACCOUNT, recorded_at=1)
    with pytest.raises(sqlite3.IntegrityError, match="beyond its order"):
        book.append(fill(one, 1, SHARE))


def test_an_execution_is_written_down_once(db: sqlite3.Connection) -> None:
    one = added(db)
    execution = order_store.Execution("x1", one.key, 1, "AAPL", SHARE, DOLLAR, 0, None)
    order_store.save_execution(db, ACCOUNT, execution)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        order_store.save_execution(db, ACCOUNT, execution._replace(quantity=2 * SHARE))
    for statement in ("UPDATE executions SET seq = 1", "DELETE FROM executions"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    assert order_store.refused_of(db, ACCOUNT, one.key) == SHARE


def test_two_orders_of_the_broker_under_one_key_are_an_error(db: sqlite3.Connection) -> None:
    one = added(db)
    order_store.name_order(db, ACCOUNT, one.key, "b1")
    order_store.name_order(db, ACCOUNT, one.key, "b1")
    with pytest.raises(LedgerError, match="two orders under the key"):
        order_store.name_order(db, ACCOUNT, one.key, "b2")
    assert order_store.key_of(db, ACCOUNT, "b1") == one.key


# adjustments


def test_an_adjustment_of_shares_and_one_of_cash_keep_the_balance() -> None:
    """Buy 3 AAPL by hand at 100, 2 dollars of it unexplained."""
    book = replay([deposit()])
    shares = Entry(1, ADJUSTMENT, "AAPL 2", "AAPL", 3 * SHARE, 100 * DOLLAR, -300 * DOLLAR)
    cash = Entry(1, ADJUSTMENT, "cash 3", amount=-2 * DOLLAR)
    fee = Entry(1, ADJUSTMENT, "fee 4", fee=DOLLAR // 4)
    for entry in (shares, cash, fee):
        book = apply(book, entry)
        assert imbalance(book) == 0
    start = deposit().amount
    assert (book.held("AAPL"), book.cash) == (3 * SHARE, start - 302_250_000)
    assert (book.contributed, book.fees) == (start - 2 * DOLLAR, DOLLAR // 4)
