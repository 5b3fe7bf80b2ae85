"""Seals: whatever a portfolio or a decision rests on, one change of it is found."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.ledger import DEPOSIT, Entry, Stretch
from algotrade.domain.orders import FILLED
from algotrade.errors import LedgerError
from algotrade.store import chain, heads
from algotrade.store.chain import Head, check_all, check_tail
from algotrade.store.database import create_store, immediate, open_store
from algotrade.store.journal import StoreJournal, save_halt
from algotrade.store.ledger_check import check_store
from algotrade.store.records import AccountRecord, open_account, set_meta, set_settled
from algotrade.store.schema_care import RANGED, TRAILED
from builders import ACCOUNT, DOLLAR
from test_store_journal import bought_10, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DAY = 86_400_000_000


def write(db: sqlite3.Connection) -> None:
    """Write one row of every sealed table that a simulated account has, in six commits."""
    with immediate(db):
        open_account(db, AccountRecord(ACCOUNT, "sample", 1))
        StoreJournal(db, ACCOUNT, recorded_at=1).append(
            Entry(ts=1, kind=DEPOSIT, ref="opening", amount=10_000 * DOLLAR)
        )
        set_meta(db, "sample_clock", "5")
    decision = placed()
    assert decision.placed is not None
    with immediate(db):
        StoreJournal(db, ACCOUNT, recorded_at=2).record(decision)
    with immediate(db):
        book = StoreJournal(db, ACCOUNT, recorded_at=3)
        book.append(bought_10(f"{decision.placed.key}.1"))
        book.order_event(decision.placed, 9, FILLED, "")
    with immediate(db):
        book.mark(ACCOUNT, Stretch([10], 5 * DOLLAR, [0], 5 * DOLLAR))
    with immediate(db):
        save_halt(db, ACCOUNT, ts=11, kind="halt", reason="a drill")
    with immediate(db):
        set_settled(db, ACCOUNT, "AAPL", 10)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sealed") / "algotrade.db"
    with contextlib.closing(create_store(path)) as db:
        write(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    shutil.copy(made, tmp_path / "algotrade.db")
    with contextlib.closing(open_store(tmp_path / "algotrade.db")) as copy:
        for (name,) in copy.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE '%chunk%'"
        ).fetchall():
            copy.execute(f'DROP TRIGGER "{name}"')
        copy.execute("PRAGMA foreign_keys = OFF")
        yield copy


def test_a_store_left_alone_is_sealed_from_first_to_last(db: sqlite3.Connection) -> None:
    check_tail(db)
    assert check_all(db) == 7  # the empty store, and six commits
    rows = [json.loads(one.rows) for one in chain.seals(db, last=9)]
    assert [sorted(one) for one in reversed(rows)] == [
        [], ["accounts"], ["decisions", "order_events"], ["order_events"], ["marks"], ["halts"], [],
    ]  # fmt: skip


CHANGES = {
    "the newest mark": "UPDATE marks SET cash = cash + 1",
    "a mark that is gone": "DELETE FROM marks",
    "the newest state of an order": "UPDATE order_events SET state = 'accepted' WHERE seq = 2",
    "a state that is gone": "DELETE FROM order_events WHERE seq = 2",
    "an order": "UPDATE orders SET quantity = quantity + 1",
    "an order that is gone": "DELETE FROM orders",
    "a decision": "UPDATE decisions SET reason = reason || '.'",
    "a decision's body": "UPDATE decisions SET body = replace(body, '1', '2')",
    "a decision that is gone": "DELETE FROM decisions",
    "one decision more": "INSERT INTO decisions (account, strategy, symbol, bar_ts, decided_at,"
    " action, reason, body) SELECT account, strategy, symbol, bar_ts, decided_at, action, reason,"
    " body FROM decisions",
    "a halt that is gone": "DELETE FROM halts",
    "a halt made a reset": "UPDATE halts SET kind = 'reset'",
    "the source of an account": "UPDATE accounts SET source = 'csv'",
    "the sample clock": "UPDATE meta SET value = '4' WHERE name = 'sample_clock'",
    "the sample clock gone": "DELETE FROM meta WHERE name = 'sample_clock'",
    "the note of the newest entry": "DELETE FROM meta WHERE name LIKE 'head:%'",
    "what was settled": "UPDATE settled SET ts = 9",
    "nothing settled": "DELETE FROM settled",
    "more settled": "INSERT INTO settled SELECT account, 'IBM', ts FROM settled",
    "the newest entry gone": "DELETE FROM ledger WHERE seq = 2",
    "a seal that is gone": "DELETE FROM seals WHERE seq = 7",
    "the words of a seal": "UPDATE seals SET note = 'accepted' WHERE seq = 7",
    "an earlier seal": "UPDATE seals SET rows = '{}' WHERE seq = 3",
    "a trail that is gone": "DELETE FROM trail WHERE n = 1",
    "the count of moves": "UPDATE moved SET n = n + 1",
    "no count of moves": "DELETE FROM moved",
}


@pytest.mark.parametrize("sql", CHANGES.values(), ids=CHANGES.keys())
def test_one_change_by_hand_is_found_at_the_start(db: sqlite3.Connection, sql: str) -> None:
    assert db.execute(sql).rowcount > 0
    with pytest.raises(LedgerError):
        check_tail(db)
    with pytest.raises(LedgerError):
        check_all(db)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("INSERT INTO marks SELECT account, ts - 5, cash, value, contributed FROM marks", "marks"),
        (("INSERT INTO order_events SELECT key, 3, ts, 'expired', '', 1 FROM order_events"
         " WHERE seq = 2"), "order_events has 3 rows, 2 are sealed"),
        (("INSERT INTO orders SELECT 'x' || key, account, strategy, symbol, side, quantity, bar_ts,"
         " placed_at, client_id, type, limit_price, stop_price, time_in_force FROM orders"),
         "2 orders, 1 with a first state"),
        ("UPDATE grounds SET body = replace(body, '1', '2')", "do not have this hash"),
        ("UPDATE ledger SET fee = fee + 1 WHERE seq = 2", "does not fit its hash chain"),
    ],
)  # fmt: skip
def test_what_a_start_does_not_look_at_the_whole_check_finds(
    db: sqlite3.Connection, sql: str, told: str
) -> None:
    assert db.execute(sql).rowcount > 0
    with pytest.raises(LedgerError, match=told):
        list(check_store(db))


def test_the_triggers_refuse_a_way_back(made: Path, tmp_path: Path) -> None:
    shutil.copy(made, tmp_path / "algotrade.db")
    refused = (
        "UPDATE settled SET ts = ts - 1",
        "DELETE FROM settled",
        "UPDATE meta SET value = '4' WHERE name = 'sample_clock'",
        "DELETE FROM meta WHERE name = 'sample_clock'",
        "DELETE FROM meta WHERE name LIKE 'head:%'",
        "DELETE FROM seals",
        "UPDATE seals SET note = 'x'",
        "INSERT OR REPLACE INTO seals SELECT * FROM seals WHERE seq = 7",
        (
            "INSERT INTO seals SELECT seq + 2, ends, rows, state, note, hash, hash FROM seals"
            " WHERE seq = 7"
        ),
        "DELETE FROM trail",
        "UPDATE trail SET a = 'x'",
        "DELETE FROM run_digests",
    )
    with contextlib.closing(open_store(tmp_path / "algotrade.db")) as db:
        db.execute("INSERT INTO runs VALUES ('r',1,NULL,1,'s','m','A',1,2,'p','b',NULL,'{}','{}')")
        db.execute("INSERT INTO run_digests VALUES ('r', 'd')")
        for sql in refused:
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(sql)


def test_every_table_with_a_key_is_sealed_or_known_not_to_be(made: Path) -> None:
    apart = {
        *("bars", "bar_revisions", "bar_chunks", "series", "coverage", "rejected_bars", "sessions"),
        *("splits", "dividends"),  # what the market did: as-of reads and `data check`
        *("runs", "run_entries", "run_decisions", "run_marks"),  # under their digest
        *("ledger", "orders", "grounds", "meta", "settled"),  # chain, first state, hash, STATE
        *("seals", "trail", "moved", "_sqlite_migrations"),
        *("trials", "holdouts", "shadows", "shadow_words", "model_drift"),  # learning
        *("heartbeats", "watched"),  # what was seen, not what is rested on
    }
    with contextlib.closing(sqlite3.connect(made)) as db:
        names = {
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")
        }
    assert names - apart - {*RANGED} - {*TRAILED} == set()


def test_nothing_written_is_no_commit(made: Path, tmp_path: Path) -> None:
    shutil.copy(made, tmp_path / "algotrade.db")
    with contextlib.closing(open_store(tmp_path / "algotrade.db")) as db:
        before = chain.head(db)
        with immediate(db):
            set_meta(db, "actions:sample:AAPL", "1")
        assert chain.head(db) == before
        with contextlib.suppress(ZeroDivisionError), immediate(db):
            set_settled(db, ACCOUNT, "AAPL", 99)
            raise ZeroDivisionError
        assert chain.head(db) == before
        check_tail(db)


def test_old_commits_are_checked_though_a_later_schema_added_columns(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(made, tmp_path / "algotrade.db")
    with contextlib.closing(open_store(tmp_path / "algotrade.db")) as db:
        with immediate(db):
            db.execute("ALTER TABLE marks ADD COLUMN more INTEGER NOT NULL DEFAULT 0")
            db.execute("PRAGMA user_version = 99")
        check_tail(db)
        assert check_all(db) == 8
        db.execute("DROP TRIGGER marks_no_update")
        db.execute("UPDATE marks SET more = 1")
        with pytest.raises(LedgerError, match="marks"):
            check_all(db)
    monkeypatch.undo()


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Callable[[], None]:
    """Give a way to open the store as a command does."""
    store = tmp_path / "algotrade.db"
    shutil.copy(made, store)

    def visit() -> None:
        with (
            contextlib.closing(open_store(store)) as db,
            heads.watched(db, store, say=print),
            immediate(db),
        ):
            (last,) = db.execute("SELECT max(ts) FROM marks").fetchone()
            StoreJournal(db, ACCOUNT, recorded_at=3).mark(ACCOUNT, Stretch([last + DAY], 1, [0], 1))

    return visit


def test_an_old_store_put_back_is_found(
    home: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "algotrade.db"
    home()
    assert "heads is missing" in capsys.readouterr().out  # it was made without; checked whole
    kept = store.read_bytes()
    home()
    noted = heads.read_head(store)
    assert noted is not None
    assert noted.seq == 9
    newer = store.read_bytes()
    store.write_bytes(kept)
    with pytest.raises(LedgerError, match="stops at commit 8, older"):
        home()
    store.write_bytes(newer)
    heads.write_head(store, Head(8, "0" * 64))
    with pytest.raises(LedgerError, match="has another commit 8"):
        home()


def test_a_store_newer_than_the_note_is_what_a_kill_leaves(
    home: Callable[[], None], tmp_path: Path
) -> None:
    store = tmp_path / "algotrade.db"
    home()
    old = heads.read_head(store)
    home()
    assert old is not None
    heads.write_head(store, old)
    home()
    noted = heads.read_head(store)
    assert noted is not None
    assert noted.seq == 10


@pytest.mark.parametrize("text", ["", "store", "store x y", "store 5 abc", "\xff\xfe"])
def test_a_garbled_note_is_told(home: Callable[[], None], tmp_path: Path, text: str) -> None:
    heads.heads_file(tmp_path / "algotrade.db").write_text(text, encoding="latin-1")
    with pytest.raises(LedgerError, match="heads cannot be read"):
        home()


def test_a_note_that_cannot_be_written_fails_nothing(
    home: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "heads").mkdir()
    with pytest.raises(IsADirectoryError):
        home()
    (tmp_path / "heads").rmdir()
    (tmp_path / "heads.part").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "write_head", _full)
        home()
    assert "cannot be written: [Errno 28]" in capsys.readouterr().out


def _full(store: Path, head: Head) -> None:
    raise OSError(28, "No space left on device", str(store), head)


def test_the_seals_of_equal_histories_are_equal(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        with contextlib.closing(create_store(tmp_path / name / "algotrade.db")) as db:
            write(db)
            found.append(chain.head(db))
    assert found[0] == found[1]
