"""An account that grows commit by commit, without bars: what campaigns damage, copy and race for.

A round is four commits: a decision with its order; its fill; a mark and what is settled; a deposit.
Each is made by the functions that commands use, and the same rounds give the same bytes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from algotrade.domain.decisions import Decision, Policy
from algotrade.domain.ledger import DEPOSIT, Entry, Stretch, fill_entry
from algotrade.domain.orders import FILLED
from algotrade.domain.times import DAY
from algotrade.store.database import create_store, immediate
from algotrade.store.journal import StoreJournal, load_entries, save_halt
from algotrade.store.records import AccountRecord, open_account, set_meta, set_settled
from algotrade.trading.decision import decide
from builders import ACCOUNT, DOLLAR, SHARE, WIDE, closes, deposit, moment, replace, state, world

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

SOURCE = "polygon"  # whose account this is
COMMITS = 4  # a round


def open_world(store: Path) -> sqlite3.Connection:
    """Make a store with an opened account."""
    db = create_store(store)
    with immediate(db):
        open_account(db, AccountRecord(ACCOUNT, SOURCE, 1))
        book = StoreJournal(db, ACCOUNT, recorded_at=1)
        book.append(Entry(ts=1, kind=DEPOSIT, ref="opening", amount=10**6 * DOLLAR))
        set_meta(db, "sample_clock", str(closes(0)))
    return db


def grow(db: sqlite3.Connection, number: int) -> None:
    """Make round `number`, which comes after those before."""
    for commit in range(COMMITS):
        step(db, number, commit)


def step(db: sqlite3.Connection, number: int, commit: int) -> None:
    """Make one commit of a round."""
    with immediate(db):
        _STEPS[commit](db, number)


def size(db: sqlite3.Connection) -> int:
    """Give how many commits of rounds there are, by what they wrote."""
    (count,) = db.execute(
        "SELECT (SELECT count(*) FROM decisions) + (SELECT count(*) FROM ledger WHERE kind <>"
        " 'split') - 1 + (SELECT count(*) FROM marks)"
    ).fetchone()
    return int(count)


def _decision(number: int) -> Decision:
    policy = Policy(account=ACCOUNT, strategy="model", quantity=10 * SHARE, client_id=str(number))
    at = moment(number, value=1)
    seen = replace(world(), now=at.ts)
    made = decide(at, state(deposit()), policy, WIDE, seen)
    assert made.placed, made
    return made


def _decide(db: sqlite3.Connection, number: int) -> None:
    StoreJournal(db, ACCOUNT, recorded_at=closes(number)).record(_decision(number))


def _fill(db: sqlite3.Connection, number: int) -> None:
    order = _decision(number).placed
    assert order is not None
    book = StoreJournal(db, ACCOUNT, recorded_at=closes(number) + 1)
    price = (100 + number % 50) * DOLLAR
    book.append(
        fill_entry(
            ts=closes(number) + 1,
            ref=f"{order.key}.1",
            symbol=order.symbol,
            quantity=order.quantity,
            price=price,
            fee=DOLLAR,
        )
    )
    book.order_event(order, closes(number) + 1, FILLED, "")


def _mark(db: sqlite3.Connection, number: int) -> None:
    book = StoreJournal(db, ACCOUNT, recorded_at=closes(number))
    book.mark(ACCOUNT, Stretch([closes(number)], number * DOLLAR, [0], 10**6 * DOLLAR))
    set_settled(db, ACCOUNT, "AAPL", closes(number))
    set_meta(db, "sample_clock", str(closes(number)))
    if number % 7 == 3:
        kind = "halt" if number % 14 == 3 else "reset"
        save_halt(db, ACCOUNT, ts=closes(number), kind=kind, reason="a drill")


def _deposit(db: sqlite3.Connection, number: int) -> None:
    entry = Entry(ts=closes(number) + DAY // 2, kind=DEPOSIT, ref=f"d{number}", amount=DOLLAR)
    StoreJournal(db, ACCOUNT, recorded_at=entry.ts).append(entry)


_STEPS = (_decide, _fill, _mark, _deposit)


def built(store: Path, rounds: int) -> None:
    """Make a store of so many rounds, and close it."""
    with contextlib.closing(open_world(store)) as db:
        for number in range(rounds):
            grow(db, number)


def held(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Give the account's ledger as plain rows."""
    return [tuple(entry) for entry in load_entries(db, ACCOUNT)]
