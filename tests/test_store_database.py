"""The file: what is opened and what refused, transactions, the lock, many writers at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from algotrade.errors import DiskError, LedgerError, LockedError, SettingsError
from algotrade.store import database
from algotrade.store.database import (
    create_store,
    immediate,
    lock,
    open_store,
    sqlite_errors,
    statements_of,
)
from algotrade.store.records import get_meta, set_meta
from algotrade.store.schema import APPEND_ONLY, APPLICATION_ID, MIGRATIONS, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "algotrade.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(create_store(path)) as store:
        yield store


def raw(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(path, isolation_level=None))


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


# opening


def test_a_missing_file_is_exit_10_and_stays_missing(path: Path) -> None:
    with pytest.raises(LedgerError, match="no store at") as caught:
        open_store(path)
    assert caught.value.exit_code == 10
    assert not path.parent.exists()


def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(LedgerError):
        open_store(path)


def test_an_empty_file_is_not_taken_for_an_empty_account(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(LedgerError, match="is not a store of algotrade"):
        open_store(path)
    assert [(file.name, file.stat().st_size) for file in path.parent.iterdir()] == [(path.name, 0)]


def foreign(path: Path, *, application: int = 0, version: int = 0) -> bytes:
    path.parent.mkdir()
    with raw(path) as other:
        other.execute("CREATE TABLE theirs (a)")
        other.execute(f"PRAGMA application_id = {application}")
        other.execute(f"PRAGMA user_version = {version}")
    return path.read_bytes()


@pytest.mark.parametrize("application", [0, 0x12345678])
def test_a_foreign_file_is_refused_and_not_touched(path: Path, application: int) -> None:
    before = foreign(path, application=application)
    for opening in (open_store, create_store):
        with pytest.raises(LedgerError, match="is not a store of algotrade"):
            opening(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_newer_file_is_exit_12_and_not_touched(path: Path) -> None:
    before = foreign(path, application=APPLICATION_ID, version=VERSION + 1)
    for opening in (open_store, create_store):
        with pytest.raises(SettingsError, match="newer than this program") as caught:
            opening(path)
        assert caught.value.exit_code == 12
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_older_file_is_exit_12_with_the_remedy(path: Path) -> None:
    foreign(path, application=APPLICATION_ID, version=VERSION - 1)
    with pytest.raises(SettingsError, match=f"this program needs {VERSION}") as caught:
        open_store(path)
    assert "algotrade init" in str(caught.value.hint)


@pytest.mark.parametrize("content", [b"x", b"not a database" * 20, b"not a database" * 1_000])
def test_garbage_is_exit_10_and_not_touched(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    for opening in (open_store, create_store):
        with pytest.raises(LedgerError, match=r"is not a (readable )?store"), sqlite_errors(path):
            opening(path)
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_page_is_exit_10(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(path.read_bytes())
    content[100:200] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="is not a readable store") as caught, sqlite_errors(path):
        open_store(path)
    assert (caught.value.exit_code, caught.value.hint) == (10, "algotrade restore FILE")


def test_a_store_has_its_marks_and_pragmas_and_is_private(
    db: sqlite3.Connection, path: Path
) -> None:
    def pragma(name: str) -> object:
        return db.execute(f"PRAGMA {name}").fetchone()[0]

    assert (pragma("application_id"), pragma("user_version")) == (APPLICATION_ID, VERSION)
    assert pragma("journal_mode") == "wal"
    wanted = {"synchronous": 2, "foreign_keys": 1, "recursive_triggers": 1}
    assert {name: pragma(name) for name in wanted} == wanted
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    loose = db.execute(
        "SELECT name FROM pragma_table_list WHERE type = 'table' AND schema = 'main'"
        " AND NOT strict AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%migrations%'"
    )
    assert loose.fetchall() == []


def schema_of(store: sqlite3.Connection) -> list[tuple[str, str]]:
    return store.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def test_creating_again_changes_nothing(db: sqlite3.Connection, path: Path) -> None:
    set_meta(db, "kept", "yes")
    before = schema_of(db)
    assert {
        f"{table}_no_{verb}" for table in APPEND_ONLY for verb in ("update", "delete", "replace")
    } <= {name for name, _ in before}
    with contextlib.closing(create_store(path)) as again:
        assert schema_of(again) == before
        assert get_meta(again, "kept") == "yes"


def test_an_empty_file_is_a_lost_store_and_stays(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(LedgerError, match="not a store of algotrade"):
        create_store(path)
    assert path.stat().st_size == 0


def test_a_creation_that_was_killed_half_way_is_begun_anew(path: Path) -> None:
    """A store is made beside its place and moved there whole; a kill leaves the unfinished one."""
    path.parent.mkdir()
    with raw(path.with_suffix(".new")) as half:
        half.execute("CREATE TABLE half (x)")
    with contextlib.closing(create_store(path)) as made:
        assert made.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert get_meta(made, "anything") is None
    assert not path.with_suffix(".new").exists()


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_store_of_any_older_schema_is_brought_up_to_date_with_what_it_holds(
    path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    with monkeypatch.context() as then:
        then.setattr(database, "MIGRATIONS", MIGRATIONS[:version])
        then.setattr(database, "VERSION", version)
        with contextlib.closing(create_store(path)) as old:
            set_meta(old, "kept", "yes")
            assert old.execute("PRAGMA user_version").fetchone() == (version,)
    with pytest.raises(SettingsError, match=f"has schema {version}"):
        open_store(path)
    with contextlib.closing(create_store(path)) as new:
        assert new.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert get_meta(new, "kept") == "yes"
        upgraded = schema_of(new)
    with contextlib.closing(create_store(path.with_name("fresh.db"))) as fresh:
        assert upgraded == schema_of(fresh)


CREATE = """
import sys, pathlib
from algotrade.store.database import create_store
sys.stdin.readline()
store = create_store(pathlib.Path(sys.argv[1]))
print(store.execute("SELECT count(*) FROM ledger").fetchone()[0])
"""


def test_processes_that_create_at_once_all_find_one_store(path: Path) -> None:
    running = [python(CREATE, path) for _ in range(4)]
    for process in running:
        go(process)
    ended = [process.communicate(timeout=60) for process in running]
    assert [(out.strip(), err) for out, err in ended] == [("0", "")] * 4


# transactions

SET_A = "INSERT INTO meta VALUES ('a', '1')"


def in_one(db: sqlite3.Connection, *steps: str | BaseException) -> None:
    """Run statements in one transaction; an exception among them is raised."""
    with immediate(db):
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            db.execute(step)


def test_all_or_nothing(db: sqlite3.Connection) -> None:
    with pytest.raises(KeyboardInterrupt):
        in_one(db, SET_A, KeyboardInterrupt())
    assert get_meta(db, "a") is None
    assert not db.in_transaction
    with immediate(db):
        set_meta(db, "a", "2")
    assert get_meta(db, "a") == "2"


def test_a_commit_that_fails_leaves_no_transaction_open(db: sqlite3.Connection) -> None:
    orphan = "INSERT INTO settled VALUES ('nobody', 'AAPL', 1)"
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        in_one(db, "PRAGMA defer_foreign_keys = ON", orphan)
    assert not db.in_transaction
    with immediate(db):
        set_meta(db, "a", "1")
    assert db.execute("SELECT count(*) FROM settled").fetchone() == (0,)


def test_a_transaction_inside_another_is_refused_and_undoes_it(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
        in_one(db, SET_A, "BEGIN IMMEDIATE")
    assert get_meta(db, "a") is None


def test_an_error_that_sqlite_has_rolled_back_itself_is_told_as_it_was(
    db: sqlite3.Connection,
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        in_one(db, SET_A, "INSERT OR ROLLBACK INTO meta VALUES ('a', '2')")
    assert get_meta(db, "a") is None


def test_a_writer_that_never_ends_is_exit_9(db: sqlite3.Connection, path: Path) -> None:
    with contextlib.closing(open_store(path)) as other, immediate(other):
        db.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(LockedError) as caught, sqlite_errors(path), immediate(db):
            pass
    assert caught.value.exit_code == 9


def test_a_full_disk_is_exit_11_and_nothing_is_half_written(
    db: sqlite3.Connection, path: Path
) -> None:
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DiskError) as caught, sqlite_errors(path):
        in_one(db, SET_A, "INSERT INTO meta VALUES ('large', hex(zeroblob(50000)))")
    assert caught.value.exit_code == 11
    assert not db.in_transaction
    assert get_meta(db, "a") is None


def test_a_folder_that_cannot_be_written_is_exit_11(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError), sqlite_errors(tmp_path):
        create_store(tmp_path / "file" / "algotrade.db")


def test_another_error_is_passed_on(path: Path) -> None:
    with pytest.raises(sqlite3.ProgrammingError, match="a bug"), sqlite_errors(path):
        raise sqlite3.ProgrammingError("a bug")


ADD = """
import sys, pathlib
from algotrade.store.database import immediate, open_store
store = open_store(pathlib.Path(sys.argv[1]))
store.execute("PRAGMA synchronous = OFF")
sys.stdin.readline()
for _ in range(200):
    with immediate(store):
        value = int(store.execute("SELECT value FROM meta WHERE name = 'n'").fetchone()[0])
        store.execute("UPDATE meta SET value = ? WHERE name = 'n'", (str(value + 1),))
"""


@pytest.mark.slow
def test_eight_processes_of_two_hundred_transactions_lose_none(
    db: sqlite3.Connection, path: Path
) -> None:
    set_meta(db, "n", "0")
    running = [python(ADD, path) for _ in range(8)]
    for process in running:
        go(process)
    assert [process.communicate(timeout=60) for process in running] == [("", "")] * 8
    assert get_meta(db, "n") == "1600"


def test_eight_threads_of_two_hundred_transactions_lose_none(
    db: sqlite3.Connection, path: Path
) -> None:
    set_meta(db, "n", "0")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with contextlib.closing(open_store(path)) as mine:
                mine.execute("PRAGMA synchronous = OFF")
                for _ in range(200):
                    with immediate(mine):
                        set_meta(mine, "n", str(int(get_meta(mine, "n") or 0) + 1))
        except BaseException as error:  # noqa: BLE001  whatever it is, the test must see it
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert get_meta(db, "n") == "1600"


DIE = """
import os, signal, sys, pathlib
from algotrade.store.database import immediate, open_store
store = open_store(pathlib.Path(sys.argv[1]))
store.execute("INSERT INTO meta VALUES ('committed', '1')")
with immediate(store):
    store.execute("INSERT INTO meta VALUES ('open', '1')")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_keeps_what_was_committed_and_nothing_else(
    db: sqlite3.Connection, path: Path
) -> None:
    process = python(DIE, path)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    with immediate(db):  # and nobody is locked out
        assert (get_meta(db, "committed"), get_meta(db, "open")) == ("1", None)


def test_a_copy_of_file_and_log_opens(db: sqlite3.Connection, path: Path, tmp_path: Path) -> None:
    set_meta(db, "a", "1")
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    with contextlib.closing(open_store(copy)) as copied:
        assert get_meta(copied, "a") == "1"


# the lock between runs

HOLD = """
import sys, pathlib
from algotrade.store.database import lock
with lock(pathlib.Path(sys.argv[1]), what="it"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = python(HOLD, path)
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_who_waits_in_vain_is_told_what_is_held(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    with holder(file):
        began = time.monotonic()
        with (
            pytest.raises(
                LockedError, match=r"another run holds account x \(waited 0\.2 s\)"
            ) as caught,
            lock(file, what="account x", wait_s=0.2),
        ):
            pytest.fail("the lock was given twice")
        assert time.monotonic() - began >= 0.2
    assert caught.value.exit_code == 9


def test_who_waits_gets_it_when_the_other_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    with holder(file) as process:
        timer = threading.Timer(0.2, go, [process])
        timer.start()
        with lock(file, what="it", wait_s=30):
            assert process.wait(timeout=30) == 0
        timer.join()


def test_a_killed_holder_frees_it(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    with holder(file) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        with lock(file, what="it", wait_s=0):
            pass


def test_it_is_freed_by_an_error_and_kept_from_children(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    children = []

    def work() -> None:
        with lock(file, what="it", wait_s=0):
            children.append(subprocess.Popen(["sleep", "60"], close_fds=False))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    try:
        with lock(file, what="it", wait_s=0):
            pass
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert file.stat().st_mode & 0o777 == 0o600


def test_within_one_process_it_is_held_too(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    with lock(file, what="it"), pytest.raises(LockedError), lock(file, what="it", wait_s=0):
        pytest.fail("the lock was given twice")


def test_statements_are_cut_where_sqlite_cuts_them() -> None:
    script = """
    CREATE TABLE a (b);
    CREATE TRIGGER t BEFORE INSERT ON a BEGIN SELECT 1; SELECT 2; END;
    INSERT INTO a VALUES ('x;y');
    """
    cut = statements_of(script)
    assert [statement.split(maxsplit=2)[:2] for statement in cut] == [
        ["CREATE", "TABLE"],
        ["CREATE", "TRIGGER"],
        ["INSERT", "INTO"],
    ]
