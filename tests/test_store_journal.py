"""The journal: append-only by trigger, chained by hash, strict in type, readable through views."""

# ruff: noqa: S608  the names of our own tables; values are bound

from __future__ import annotations

import contextlib
import sqlite3
from functools import partial
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.decisions import (
    EQUITY,
    PROBABILITY,
    SILENT,
    VOLATILITY,
    Decision,
    Policy,
    Sizing,
)
from algotrade.domain.ledger import Entry, Mark, Stretch, fill_entry
from algotrade.domain.orders import CANCELLED, EXPIRED, FILLED, PARTIAL, TRIGGERED, OpenOrder
from algotrade.domain.signals import DOWN, KEEP, UP, Signal
from algotrade.errors import LedgerError
from algotrade.store import journal as store
from algotrade.store.database import create_store, immediate
from algotrade.store.decisions import decision_of, last_decision, load_decisions
from algotrade.store.journal import StoreJournal, verify_chain
from algotrade.store.records import (
    AccountRecord,
    TrainingRecord,
    accounts,
    get_meta,
    load_sessions,
    open_account,
    save_sessions,
    save_training,
    set_meta,
    set_settled,
    settled_until,
    trainings,
)
from algotrade.store.schema import APPEND_ONLY as FIRST_APPEND_ONLY
from algotrade.store.schema_runs import APPEND_ONLY_SINCE_3
from algotrade.trading.decision import decide
from builders import (
    ACCOUNT,
    DOLLAR,
    NO_MODEL,
    SHARE,
    WIDE,
    bought,
    closes,
    deposit,
    moment,
    opens,
    order,
    replace,
    state,
    world,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from algotrade.domain.orders import Order
    from algotrade.domain.risk import Conditions

APPEND_ONLY = (*FIRST_APPEND_ONLY, *APPEND_ONLY_SINCE_3)
RUN_ROWS = {  # of a run that is as small as can be
    "runs": ("r" * 12, 1, None, 5, "sample", "model", "AAPL", 1, 2, "p", "b", None, "{}", "{}"),
    "run_entries": ("r" * 12, 1, 1, "deposit", "opening", "", 0, 0, 5, 0, ""),
    "run_decisions": (
        *("r" * 12, 1, "AAPL", 1, 2, "hold", "in", "held"),
        *(0.5, "m", None, None, None),
    ),
    "run_marks": ("r" * 12, 1, 5, 0, 5),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "algotrade.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(create_store(path)) as made:
        made.execute("PRAGMA synchronous = OFF")
        for name in (ACCOUNT, "sample"):
            open_account(made, AccountRecord(name, "sample", 1))
        yield made


def book(db: sqlite3.Connection, account: str = ACCOUNT) -> StoreJournal:
    return StoreJournal(db, account, recorded_at=77)


def bought_10(ref: str) -> Entry:
    return fill_entry(
        ts=opens(1), ref=ref, symbol="AAPL", quantity=10 * SHARE, price=100 * DOLLAR, fee=DOLLAR
    )


def placed(**changes: object) -> Decision:
    policy = Policy(account=ACCOUNT, strategy="model", quantity=10 * SHARE)
    decision = decide(
        moment(0, value=1),
        state(deposit()),
        replace(policy, **changes),
        WIDE,
        world(),
    )
    assert decision.placed
    return decision


def order_of(decision: Decision) -> Order:
    assert decision.placed
    return decision.placed


@pytest.fixture
def full(db: sqlite3.Connection) -> sqlite3.Connection:
    """A store with something in every append-only table, three links in the chain of `paper`."""
    decision = placed()
    book(db).append(deposit())
    book(db).record(decision)
    book(db).append(bought_10(f"{order_of(decision).key}.1"))
    book(db).order_event(order_of(decision), opens(1), FILLED, "")
    book(db).append(deposit(5 * DOLLAR, ref="deposit 1")._replace(note="more"))
    one = Stretch([closes(1)], 98_999 * DOLLAR, [1_010 * DOLLAR], 100_005 * DOLLAR)
    book(db).mark(ACCOUNT, one)
    book(db).halt(ACCOUNT, closes(1), "R19")
    book(db, "sample").append(deposit())
    save_training(db, TrainingRecord("m", "sample", 5, "c" * 64))
    for table, row in RUN_ROWS.items():
        db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    return db


def test_every_append_only_table_has_something_in_it(full: sqlite3.Connection) -> None:
    assert all(content(full))


def content(db: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    return [db.execute(f"SELECT * FROM {table}").fetchall() for table in APPEND_ONLY]


# append-only


def refusal(table: str) -> str:
    """Give what a trigger says; of the ledger's two either may be the first to see a repeat."""
    return f"{table} is append-only" + ("|not the next link" if table == "ledger" else "")


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_nothing_written_is_changed_removed_or_replaced(
    full: sqlite3.Connection, table: str
) -> None:
    before = content(full)
    columns = [row[1] for row in full.execute(f"PRAGMA table_info({table})")]
    row = full.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    marks = ",".join("?" * len(row))
    attempts = [
        *((f"UPDATE {table} SET {column} = {column}", ()) for column in columns),
        (f"UPDATE OR REPLACE {table} SET {columns[0]} = {columns[0]}", ()),
        (f"DELETE FROM {table}", ()),
        (f"INSERT INTO {table} VALUES ({marks})", row),
        (f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row),
        (f"REPLACE INTO {table} VALUES ({marks})", row),
        (
            f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO UPDATE SET {columns[0]} = 1",
            row,
        ),
    ]
    for statement, values in attempts:
        with pytest.raises(sqlite3.IntegrityError, match=refusal(table)):
            full.execute(statement, values)
    assert content(full) == before


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_triggers_hold_for_anyone_who_opens_the_file(
    full: sqlite3.Connection, path: Path, table: str
) -> None:
    before = content(full)
    with contextlib.closing(sqlite3.connect(path)) as anyone:  # and without our pragmas
        row = anyone.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
        marks = ",".join("?" * len(row))
        for statement, values in (
            (f"DELETE FROM {table}", ()),
            (f"REPLACE INTO {table} VALUES ({marks})", row),
        ):
            with pytest.raises(sqlite3.IntegrityError, match=refusal(table)):
                anyone.execute(statement, values)
    assert content(full) == before


def test_the_same_fill_is_never_booked_twice(full: sqlite3.Connection) -> None:
    (ref,) = full.execute("SELECT ref FROM ledger WHERE kind = 'fill'").fetchone()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        book(full).append(bought_10(ref))
    book(full).append(bought_10("another.1"))


def test_the_same_order_is_never_placed_twice(full: sqlite3.Connection) -> None:
    before = content(full)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), immediate(full):
        book(full).record(placed(quantity=5 * SHARE))  # another size, the same identity
    assert content(full) == before  # the decision went with its order


# the chain


def next_link(db: sqlite3.Connection, **changes: object) -> tuple[str, dict[str, object]]:
    last = db.execute("SELECT * FROM ledger WHERE account = 'paper' ORDER BY seq DESC")
    names = [column[0] for column in last.description]
    row = dict(zip(names, last.fetchone(), strict=True))
    row.update(seq=row["seq"] + 1, ref="new", previous=row["hash"], hash="f" * 64)
    row.update(changes)
    return f"INSERT INTO ledger VALUES ({','.join(':' + name for name in names)})", row


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": 5},
        {"seq": 0},
        {"seq": -1},
        {"previous": ""},
        {"previous": "0" * 64},
        {"account": "sample"},
        {"account": "sample", "seq": 2},
    ],
)
def test_only_the_next_link_of_the_chain_is_taken(
    full: sqlite3.Connection, wrong: dict[str, object]
) -> None:
    statement, row = next_link(full, **wrong)
    with pytest.raises(sqlite3.IntegrityError, match=refusal("ledger")):
        full.execute(statement, row)
    assert full.execute(*next_link(full)).rowcount == 1


@pytest.mark.parametrize("wrong", [{"seq": 2, "previous": ""}, {"seq": 1, "previous": "0" * 64}])
def test_a_chain_begins_with_one_and_nothing_before(
    full: sqlite3.Connection, wrong: dict[str, object]
) -> None:
    open_account(full, AccountRecord("new", "sample", 1))
    statement, row = next_link(full, account="new", **wrong)
    with pytest.raises(sqlite3.IntegrityError, match="not the next link"):
        full.execute(statement, row)


def test_a_true_chain_is_counted(full: sqlite3.Connection) -> None:
    assert (verify_chain(full, ACCOUNT), verify_chain(full, "sample")) == (3, 1)
    assert verify_chain(full, "nobody") == 0


ALTERED = {
    "account": "'other'",
    "seq": "9",
    "recorded_at": "recorded_at + 1",
    "ts": "ts - 1",
    "kind": "'dividend'",
    "ref": "ref || 'x'",
    "symbol": "'MSFT'",
    "quantity": "quantity + 1",
    "price": "price - 1",
    "amount": "amount + 1",
    "fee": "fee + 1",
    "note": "'changed'",
    "previous": "hash",
    "hash": "upper(hash)",
}


def without_triggers(path: Path, statement: str = "") -> int:
    """Change the file as its owner can: drop its triggers, then run a statement."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as owner:
        triggers = owner.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            owner.execute(f"DROP TRIGGER {name}")
        return owner.execute(statement).rowcount


def tamper(path: Path, statement: str) -> None:
    assert without_triggers(path, statement) == 1


def test_every_column_of_the_ledger_is_altered_below(db: sqlite3.Connection) -> None:
    assert list(ALTERED) == [row[1] for row in db.execute("PRAGMA table_info(ledger)")]


@pytest.mark.parametrize("seq", [1, 2, 3])
@pytest.mark.parametrize("column", ALTERED)
def test_any_altered_value_breaks_the_chain(
    full: sqlite3.Connection, path: Path, column: str, seq: int
) -> None:
    change = f"UPDATE ledger SET {column} = {ALTERED[column]}"
    tamper(path, f"{change} WHERE account = 'paper' AND seq = {seq}")
    with pytest.raises(
        LedgerError, match="ledger of account"
    ) as caught:  # a moved entry is missed here or one too many there
        list(map(partial(verify_chain, full), (ACCOUNT, "other")))
    assert caught.value.exit_code == 10


def test_a_cut_tail_is_seen(full: sqlite3.Connection, path: Path) -> None:
    tamper(path, "DELETE FROM ledger WHERE account = 'paper' AND seq = 3")
    with pytest.raises(LedgerError, match="entries after 2 are missing"):
        verify_chain(full, ACCOUNT)


@pytest.mark.parametrize("seq", [1, 2])
def test_a_removed_entry_breaks_the_chain(full: sqlite3.Connection, path: Path, seq: int) -> None:
    tamper(path, f"DELETE FROM ledger WHERE account = 'paper' AND seq = {seq}")
    with pytest.raises(LedgerError, match="does not fit"):
        verify_chain(full, ACCOUNT)


def test_the_first_wrong_entry_is_named(full: sqlite3.Connection, path: Path) -> None:
    tamper(path, "UPDATE ledger SET amount = 1 WHERE account = 'paper' AND seq = 2")
    with pytest.raises(LedgerError, match="account paper: entry 2 does not fit"):
        verify_chain(full, ACCOUNT)


# types


INTEGERS = {
    "ledger": ["seq", "recorded_at", "ts", "quantity", "price", "amount", "fee"],
    "marks": ["ts", "cash", "value", "contributed"],
    "orders": ["quantity", "bar_ts", "placed_at"],
    "order_events": ["seq", "ts"],
}
NOT_INTEGERS = [1.5, "x", "1.5", float("inf"), float("nan"), 1e308, None, b"1"]


@pytest.mark.parametrize(("table", "columns"), INTEGERS.items())
def test_what_is_no_integer_is_refused(
    full: sqlite3.Connection, path: Path, table: str, columns: list[str]
) -> None:
    without_triggers(path)
    row = full.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    names = [column[1] for column in full.execute(f"PRAGMA table_info({table})")]
    statement = f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})"
    before = content(full)
    for column in columns:
        for value in NOT_INTEGERS:
            values = [value if n == column else v for n, v in zip(names, row, strict=True)]
            with pytest.raises(sqlite3.IntegrityError, match=r"cannot store|NOT NULL"):
                full.execute(statement, values)
    assert content(full) == before


def test_a_number_beyond_64_bits_is_refused_not_wrapped(db: sqlite3.Connection) -> None:
    with pytest.raises(OverflowError):
        book(db).append(deposit(2**63))
    book(db).append(deposit(2**63 - 1))
    assert store.load_entries(db, ACCOUNT)[0].amount == 2**63 - 1


def test_a_negative_fee_and_an_account_that_is_not_there_are_refused(
    db: sqlite3.Connection,
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        book(db).append(deposit()._replace(fee=-1))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        book(db, "nobody").append(deposit())


# what was written comes back


def test_entries_come_back_as_they_were(full: sqlite3.Connection) -> None:
    first, fill, last = store.load_entries(full, ACCOUNT)
    assert first == deposit()
    assert fill == bought_10(fill.ref)
    assert last == deposit(5 * DOLLAR, ref="deposit 1")._replace(note="more")
    assert store.fills_of(full, fill.ref[:32]) == [fill]
    assert store.fills_of(full, fill.ref[:31]) == []
    assert store.load_entries(full, "nobody") == []


def test_marks_and_halts_come_back(full: sqlite3.Connection) -> None:
    assert store.load_marks(full, ACCOUNT) == [
        Mark(closes(1), 98_999 * DOLLAR, 1_010 * DOLLAR, 100_005 * DOLLAR)
    ]
    assert store.current_halt(full, ACCOUNT) == "R19"
    assert store.current_halt(full, "sample") is None
    store.save_halt(full, ACCOUNT, ts=1, kind="reset", reason="looked into")
    assert store.current_halt(full, ACCOUNT) is None
    store.save_halt(full, ACCOUNT, ts=0, kind="halt", reason="again")  # order counts, not time
    assert store.current_halt(full, ACCOUNT) == "again"
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        store.save_halt(full, ACCOUNT, ts=1, kind="pause", reason="")


def test_an_order_is_open_until_an_event_ends_it(db: sqlite3.Connection) -> None:
    one, two = placed(), placed(client_id="two")
    for decision in (one, two):
        book(db).record(decision)
    both = [order_of(one), order_of(two)]  # as they were placed, whatever their keys
    assert [status.order for status in store.open_orders(db, ACCOUNT)] == both
    assert store.open_orders(db, "sample") == []
    book(db).order_event(order_of(one), opens(1), FILLED, "")
    for state_now in (TRIGGERED, PARTIAL):  # these do not end it
        book(db).order_event(order_of(two), opens(1), state_now, "")
        assert store.open_orders(db, ACCOUNT) == [(order_of(two), state_now, "", opens(1))]
    book(db).order_event(order_of(two), opens(1), CANCELLED, "2-for-1 split")
    assert store.open_orders(db, ACCOUNT) == []
    (status,) = store.find_orders(db, order_of(two).id)
    assert (status.order, status.state, status.detail, status.since) == (
        order_of(two),
        CANCELLED,
        "2-for-1 split",
        opens(1),
    )


def test_an_expired_order_is_open_no_more(db: sqlite3.Connection) -> None:
    book(db).record(placed())
    book(db).order_event(order_of(placed()), closes(1), EXPIRED, "at the session's end")
    assert store.open_orders(db, ACCOUNT) == []


def test_orders_are_found_by_the_beginning_of_their_key(db: sqlite3.Connection) -> None:
    keys = ["ab" + "0" * 30, "ab" + "f" * 30, "ac" + "0" * 30]
    for key in keys:
        book(db).record(replace(placed(), order=order(key=key)))
    assert [s.order.key for s in store.find_orders(db, "ab")] == keys[:2]
    assert [s.order.key for s in store.find_orders(db, "abf")] == [keys[1]]
    assert len(store.find_orders(db, "a")) == 2  # two are enough to say: not one
    assert store.find_orders(db, "b") == store.find_orders(db, "%") == []


def test_orders_on_a_bar_are_those_of_one_identity(db: sqlite3.Connection) -> None:
    asked = [placed(side="buy"), placed(side="buy", quantity=5 * SHARE), placed(client_id="other")]
    for decision in asked:
        book(db).record(decision)
    found = store.orders_on_bar(db, ACCOUNT, "model", "AAPL", closes(0), "")
    assert {status.order.key for status in found} == {order_of(d).key for d in asked[:2]}
    assert store.orders_on_bar(db, ACCOUNT, "model", "AAPL", closes(1), "") == []
    assert store.orders_on_bar(db, "sample", "model", "AAPL", closes(0), "") == []


def test_a_decision_comes_back_whole_with_its_order(full: sqlite3.Connection) -> None:
    decision = placed()
    stored = decision_of(full, order_of(decision).key)
    assert stored.decision == decision
    assert stored.decision.prediction
    assert stored.decision.prediction.features == (("SMA_50", 100.5), ("SMA_200", 99.25))
    assert last_decision(full, ACCOUNT, "AAPL") == stored
    assert last_decision(full, ACCOUNT, "AAPL", until=closes(0)) == stored
    assert last_decision(full, ACCOUNT, "AAPL", until=closes(0) - 1) is None
    assert last_decision(full, ACCOUNT, "MSFT") is None
    assert list(load_decisions(full, ACCOUNT)) == [stored]
    assert list(load_decisions(full, "sample")) == []
    with pytest.raises(LedgerError, match="no decision"):
        decision_of(full, "0" * 32)


RULE = Signal("sma-state fast=50 slow=200 @1a2b", UP, volatility=250_000, bars_hash="b" * 64)
PRICED: dict[str, object] = {"limit_price": 95 * DOLLAR, "stop_bps": 100, "time_in_force": "day"}
KINDS = [  # what is said of the bar, and how the position is asked for
    (NO_MODEL, {}),
    (NO_MODEL, {"side": "sell"}),
    (RULE, {"sizing": Sizing(EQUITY, 1_000), "whole": True}),
    (RULE, {"sizing": Sizing(VOLATILITY, 1_500, cap=3_000)}),
    (RULE._replace(stance=DOWN), {"short": True}),
    (RULE._replace(stance=KEEP), {"order_type": "stop"}),
    (
        Signal("m" * 12, UP, 0.1 + 0.2, 1 / 3, weight=123_456),
        {"sizing": Sizing(PROBABILITY, 1_000, band=5), "exit_below": 0.49},
    ),
    (RULE, {"order_type": "stop-limit", "client_id": "c1", **PRICED}),
    (None, {}),
]


@pytest.mark.parametrize(("signal", "asked"), KINDS)
@pytest.mark.parametrize("conditions", [world(), world(None, stale=None, halts=("file", "x"))])
def test_every_kind_of_decision_comes_back_equal(
    db: sqlite3.Connection,
    signal: Signal | None,
    asked: dict[str, object],
    conditions: Conditions,
) -> None:
    policy = Policy(account=ACCOUNT, strategy="rule", quantity=10 * SHARE)
    waiting = OpenOrder(order("sell", 2 * SHARE, key="w" * 32), filled=SHARE)
    situation = state(
        deposit(), bought(3 * SHARE, 90 * DOLLAR), open_orders=[waiting], peak_profit=7 * DOLLAR
    )
    decision = decide(
        moment(0, signal=signal),
        situation,
        replace(policy, **asked),
        replace(WIDE, allow_short=True),
        conditions,
    )
    book(db).record(decision)
    (stored,) = load_decisions(db, ACCOUNT)
    assert stored.decision == decision
    assert repr(stored.decision) == repr(decision)  # 1 is not 1.0, a list is not a tuple


def test_what_decisions_have_in_common_is_kept_once(db: sqlite3.Connection) -> None:
    book(db).record(placed())
    one = book(db)
    for day in range(3):  # by one journal, and by one for each as a process of its own has
        bar = moment(day)
        policy = Policy(account=ACCOUNT, strategy="model", quantity=SHARE)
        one.record(decide(bar, state(deposit()), policy, WIDE, world()))
        book(db).record(decide(bar, state(deposit()), policy, WIDE, world()))
    assert db.execute("SELECT count(*) FROM grounds").fetchone() == (2,)
    assert [stored.decision.code for stored in load_decisions(db, ACCOUNT)][1:] == [SILENT] * 6


@pytest.mark.parametrize(
    "body", ["{}", "[]", "null", "[1,2,3,4,5,6,7,8]", '["m",null,["k"],[[],null,null],0,0,0,[1]]']
)
def test_a_decision_that_was_changed_from_outside_is_a_failure_of_the_ledger(
    full: sqlite3.Connection, path: Path, body: str
) -> None:
    without_triggers(path, f"UPDATE decisions SET body = '{body}'")
    with pytest.raises(LedgerError, match="decision 1 cannot be read"):
        last_decision(full, ACCOUNT, "AAPL")


def test_a_refusal_is_written_without_an_order(db: sqlite3.Connection) -> None:
    refused = decide(
        moment(0, value=1),
        state(deposit()),
        Policy(account=ACCOUNT, strategy="model", quantity=SHARE),
        replace(WIDE, max_order_quantity=1),
        world(),
    )
    book(db).record(refused)
    rows = db.execute("SELECT action, code, order_key FROM decisions").fetchall()
    assert rows == [("refused", "R06", None)]
    assert db.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    stored = last_decision(db, ACCOUNT, "AAPL")
    assert stored
    assert stored.decision.order
    assert stored.decision.order.quantity == SHARE  # what was proposed is kept


# small records


def test_records_come_back(db: sqlite3.Connection) -> None:
    assert not open_account(db, AccountRecord(ACCOUNT, "polygon", 9))  # the first one stays
    assert accounts(db) == [
        AccountRecord(ACCOUNT, "sample", 1),
        AccountRecord("sample", "sample", 1),
    ]
    set_meta(db, "a", "1")
    set_meta(db, "a", "2")
    assert (get_meta(db, "a"), get_meta(db, "b")) == ("2", None)
    set_settled(db, ACCOUNT, "AAPL", 5)
    set_settled(db, ACCOUNT, "AAPL", 7)
    set_settled(db, "sample", "AAPL", 6)
    assert settled_until(db, ACCOUNT) == {"AAPL": 7}
    for number in (1, 2):
        save_training(db, TrainingRecord("m", "sample", number, "c" * 64))
    assert [training.trained_at for training in trainings(db)] == [2, 1]


def test_the_calendar_is_replaced_whole(db: sqlite3.Connection) -> None:
    save_sessions(db, [(1, 10, 20), (2, 30, 40)])
    save_sessions(db, [(3, 70, 80), (2, 50, 60)])
    days, opened, closed = load_sessions(db)
    assert (list(days), list(opened), list(closed)) == ([2, 3], [50, 70], [60, 80])
    assert list(load_sessions(db, from_day=3)[0]) == [3]
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"), immediate(db):
        save_sessions(db, [(4, 20, 20)])
    assert list(load_sessions(db)[0]) == [2, 3]


# views


VIEWS = {
    "v_bars": "source symbol timeframe closed_at open high low close volume",
    "v_orders": "order_id account strategy symbol side quantity type limit_price stop_price"
    " time_in_force state detail decided_for placed_at",
    "v_fills": "order_id account symbol side quantity price fee filled_at",
    "v_decisions": "decision_id account strategy symbol decided_for decided_at action code reason"
    " prediction p_up model_id order_id bars_hash held working equity max_quantity grounds"
    " ledger_seq",
    "v_equity": "account marked_at equity cash value contributed",
    "v_runs": "run_id number sweep source strategy symbols halt plan_hash bars_hash created_at"
    " first_bar last_bar spec report",
    "v_run_figures": "run_id name value",
    "v_run_fills": "run_id order_id symbol side quantity price fee filled_at",
    "v_run_decisions": "run_id seq symbol action code reason p_up source side quantity order_id"
    " first_bar last_bar",
    "v_run_equity": "run_id marked_at equity cash value contributed",
}


@pytest.mark.parametrize(("view", "columns"), VIEWS.items())
def test_views_have_the_promised_columns(db: sqlite3.Connection, view: str, columns: str) -> None:
    described = db.execute(f"SELECT * FROM {view}").description
    assert [column[0] for column in described] == columns.split()


def test_views_speak_dollars_shares_and_iso(full: sqlite3.Connection) -> None:
    decision = placed()
    short, reason = order_of(decision).id, decision.reason
    day0, day1 = "2024-01-01T21:00:00Z", "2024-01-02T21:00:00Z"
    [(grounds,)] = full.execute("SELECT hash FROM grounds").fetchall()
    expected = {
        "v_orders": (
            *(short, ACCOUNT, "model", "AAPL", "buy", 10.0),
            *("market", None, None, "gtc", "filled", "", day0, day0),
        ),
        "v_fills": (short, ACCOUNT, "AAPL", "buy", 10.0, 100.0, 1.0, "2024-01-02T14:30:00Z"),
        "v_decisions": (
            *(1, ACCOUNT, "model", "AAPL", day0, day0, "order", "in", reason),
            *(1, 0.625, "m" * 12, short, "0" * 64, 0.0, 0.0, 100_000.0, None, grounds, 1),
        ),
        "v_equity": (ACCOUNT, day1, 100_009.0, 98_999.0, 1_010.0, 100_005.0),
    }
    for view, row in expected.items():
        assert full.execute(f"SELECT * FROM {view}").fetchall() == [row]


def test_decisions_written_together_are_the_rows_of_one_by_one(tmp_path: Path) -> None:
    made = [placed(), replace(placed(), order=order(key="ab" * 16))]
    halted = [*made, replace(placed(), order=order(key="cd" * 16))]
    tables = ("decisions", "orders", "order_events", "halts")
    found = []
    for name in ("alone", "together"):
        with contextlib.closing(create_store(tmp_path / f"{name}.db")) as db, immediate(db):
            open_account(db, AccountRecord(ACCOUNT, "polygon", 0))
            journal = book(db)
            with journal.together() if name == "together" else contextlib.nullcontext():
                for number, decision in enumerate(halted):
                    journal.record(decision)
                    if number == 1:  # the next decision must see it, the first two not
                        journal.halt(ACCOUNT, 5, "loss")
            found.append([db.execute(f"SELECT * FROM {table}").fetchall() for table in tables])
    assert found[0] == found[1]
    assert [len(rows) for rows in found[0]] == [3, 3, 3, 1]
