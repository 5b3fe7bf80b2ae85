"""Care of the store: backups, the way back, a full disk, many at once; short forms of campaigns."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import ledger_world
from algotrade.errors import DiskError, InputError, LedgerError
from algotrade.store import database, disk, heads, readonly
from algotrade.store.backup import manifest_file, read_manifest, write_backup
from algotrade.store.chain import head
from algotrade.store.database import immediate, open_store
from algotrade.store.disk import DiskState, keep_reserve, look_at_disk, reserve_file
from algotrade.store.ledger_check import check_store
from algotrade.workflows.backup import restore
from campaigns import backups, corrupt_ledger, power_loss, syscalls, writers
from test_store_migrate import first_journal, first_store

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.config import Settings

has_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home with a store of two rounds, seen."""
    store = tmp_path / "home" / "data" / "algotrade.db"
    ledger_world.built(store, 2)
    note(store)
    return tmp_path / "home"


def note(store: Path) -> None:
    with contextlib.closing(open_store(store)) as db:
        newest = head(db)
        assert newest is not None
        heads.write_head(store, newest)


def settings_of(home: Path) -> Settings:
    from algotrade.config import load_settings

    return load_settings(home=str(home), isolated=True)


def saved(store: Path, target: Path) -> Path:
    with contextlib.closing(open_store(store)) as db:
        write_backup(db, target, made_at=7)
    return target


def entries(store: Path) -> int:
    with contextlib.closing(open_store(store)) as db:
        list(check_store(db))
        return len(ledger_world.held(db))


# ---- backups


def test_a_backup_is_the_store_and_its_manifest_tells_of_it(home: Path, tmp_path: Path) -> None:
    store = home / "data" / "algotrade.db"
    copy = saved(store, tmp_path / "copies" / "one.db")
    manifest = read_manifest(copy)
    assert manifest is not None
    assert manifest.size == copy.stat().st_size
    assert (manifest.seq, manifest.made_at) == (10, 7)
    assert entries(copy) == entries(store) == 5
    assert copy.stat().st_mode & 0o777 == 0o600
    left = {path.name for path in (tmp_path / "copies").iterdir()} - {"one.db-wal", "one.db-shm"}
    assert left == {"one.db", "one.db.json"}


def test_a_store_that_does_not_hold_is_not_backed_up(home: Path, tmp_path: Path) -> None:
    store = home / "data" / "algotrade.db"
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as db:
        db.execute("DROP TRIGGER marks_no_update")
        db.execute("UPDATE marks SET cash = cash + 1")
    with pytest.raises(LedgerError, match="marks"):
        saved(store, tmp_path / "copies" / "one.db")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_restored_store_is_the_backup_and_what_was_there_lies_aside(
    home: Path, tmp_path: Path
) -> None:
    store = home / "data" / "algotrade.db"
    copy = saved(store, tmp_path / "one.db")
    with contextlib.closing(open_store(store)) as db:
        ledger_world.grow(db, 2)
    note(store)
    with pytest.raises(InputError, match="ends at commit 10 and lacks commit 14"):
        restore(settings_of(home), str(copy), "")
    assert entries(store) == 7
    done = restore(settings_of(home), str(copy), "a drill")
    assert entries(store) == 5
    assert done.aside is not None
    assert entries(done.aside / "algotrade.db") == 7
    assert heads.read_head(store) == done.head
    with contextlib.closing(open_store(store)) as db:
        (words,) = db.execute("SELECT note FROM seals ORDER BY seq DESC LIMIT 1").fetchone()
    assert words == "restored one.db: a drill"
    assert not [path for path in (home / "data").iterdir() if "restoring" in path.name]


def test_whoever_has_the_store_open_sees_what_was_restored(home: Path, tmp_path: Path) -> None:
    store = home / "data" / "algotrade.db"
    copy = saved(store, tmp_path / "one.db")
    with contextlib.closing(open_store(store)) as db:
        ledger_world.grow(db, 2)
        restore(settings_of(home), str(copy), "a drill")
        assert len(ledger_world.held(db)) == 5
        ledger_world.grow(db, 5)
    assert entries(store) == 7


@pytest.mark.parametrize("damage", ["gone", "empty", "noise", "cut", "other"])
def test_a_store_that_cannot_be_opened_is_replaced(home: Path, tmp_path: Path, damage: str) -> None:
    store = home / "data" / "algotrade.db"
    copy = saved(store, tmp_path / "one.db")
    raw = store.read_bytes()
    if damage == "gone":
        store.unlink()
    else:
        wrong = {"empty": b"", "noise": bytes(range(256)) * 99, "cut": raw[: len(raw) // 2]}
        store.write_bytes(wrong.get(damage, b"x" * 9))
    restore(settings_of(home), str(copy), "")
    assert entries(store) == 5


def test_a_backup_that_was_touched_is_refused(home: Path, tmp_path: Path) -> None:
    store = home / "data" / "algotrade.db"
    copy = saved(store, tmp_path / "one.db")
    before = store.read_bytes()
    raw = bytearray(copy.read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.write_bytes(raw)
    with pytest.raises(LedgerError, match="not the file that its manifest tells of"):
        restore(settings_of(home), str(copy), "a drill")
    manifest_file(copy).write_text("{}")
    with pytest.raises(LedgerError, match="is no manifest"):
        restore(settings_of(home), str(copy), "a drill")
    copy.write_text("no store at all, and no manifest")
    manifest_file(copy).unlink()
    with pytest.raises(LedgerError):
        restore(settings_of(home), str(copy), "a drill")
    assert store.read_bytes() == before


def test_a_backup_of_an_older_schema_comes_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_store(tmp_path / "old.db", monkeypatch)
    first_journal(tmp_path / "old.db")
    restore(settings_of(tmp_path / "home"), str(tmp_path / "old.db"), "made before manifests")
    with contextlib.closing(open_store(tmp_path / "home" / "data" / "algotrade.db")) as db:
        names = {one.what: one.found for one in check_store(db)}
    assert names["commits sealed"] == 2  # the first over all there was, and the restoring
    assert names["orders"] == 2


# ---- a disk without room


def test_the_reserve_is_kept_where_there_is_room(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = home / "data" / "algotrade.db"
    assert not look_at_disk(store).reserve
    keep_reserve(store)
    state = look_at_disk(store)
    assert state.reserve
    assert reserve_file(store).stat().st_size == 2**20
    assert state.enough == (state.free >= 64 * 2**20)
    assert not DiskState(2**40, reserve=False).enough
    assert not DiskState(64 * 2**20 - 1, reserve=True).enough
    assert DiskState(64 * 2**20, reserve=True).enough
    reserve_file(store).unlink()
    monkeypatch.setattr(disk, "look_at_disk", lambda _: DiskState(2**20, reserve=False))
    keep_reserve(store)
    assert not reserve_file(store).exists()


def test_what_was_sent_is_written_with_the_reserve(home: Path) -> None:
    store = home / "data" / "algotrade.db"
    tried = []

    def write() -> str:
        tried.append(reserve_file(store).exists())
        with contextlib.closing(open_store(store)) as db:
            if tried[-1]:  # the disk is full until the reserve is gone
                db.execute("PRAGMA max_page_count = 1")
            with immediate(db):
                db.execute("INSERT INTO meta VALUES (?, ?)", ("note", "x" * 20_000))
        return "written"

    keep_reserve(store)
    assert disk.write_at_any_cost(store, write) == "written"
    assert tried == [True, False]
    with contextlib.closing(open_store(store)) as db:
        assert db.execute("SELECT length(value) FROM meta WHERE name = 'note'").fetchone() == (
            20_000,
        )


def test_without_a_reserve_a_full_disk_is_told(home: Path) -> None:
    store = home / "data" / "algotrade.db"

    def write() -> None:
        with contextlib.closing(open_store(store)) as db:
            db.execute("PRAGMA max_page_count = 1")
            with immediate(db):
                db.execute("INSERT INTO meta VALUES (?, ?)", ("note", "x" * 20_000))

    with pytest.raises(DiskError, match="full"), database.sqlite_errors(store):
        disk.write_at_any_cost(store, write)


def test_an_error_of_the_disk_is_never_tried_again(home: Path) -> None:
    store = home / "data" / "algotrade.db"
    keep_reserve(store)
    tried = []

    def write() -> None:
        tried.append(1)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    with pytest.raises(sqlite3.OperationalError):
        disk.write_at_any_cost(store, write)
    assert tried == [1]
    assert reserve_file(store).exists()


# ---- a disk that cannot be written


def test_a_command_that_reads_reads_where_nothing_can_be_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = home / "data" / "algotrade.db"
    told: list[str] = []

    def refused(_: Path, **_more: float) -> sqlite3.Connection:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    real = database.connect

    def connect(path: Path, mode: str) -> sqlite3.Connection:
        return real(path if "immutable" in mode else path.with_name("missing"), mode)

    monkeypatch.setattr(readonly, "open_store", refused)
    monkeypatch.setattr(readonly, "connect", connect)
    with contextlib.closing(readonly.open_to_read(store, say=told.append)) as db:
        assert len(ledger_world.held(db)) == 5
        with pytest.raises(sqlite3.OperationalError):
            db.execute("DELETE FROM meta")
    assert len(told) == 1
    store.with_name("algotrade.db-wal").write_bytes(b"something")
    with pytest.raises(DiskError, match="has changes in algotrade"):
        readonly.open_to_read(store, say=told.append)


# ---- many at once

MIGRATE = "import sys; from pathlib import Path; from algotrade.store.database import create_store;"
MIGRATE += " create_store(Path(sys.argv[1])).close()"


@pytest.mark.slow
@pytest.mark.parametrize("older", [True, False])
def test_programs_that_migrate_at_once_all_find_the_new_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, older: bool
) -> None:
    path = tmp_path / "algotrade.db"
    if older:
        first_store(path, monkeypatch)
        first_journal(path)
    racing = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, str(path)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ended = [(child.communicate()[1], child.returncode) for child in racing]
    assert [code for _, code in ended] == [0] * 4, ended
    with contextlib.closing(open_store(path)) as db:
        assert db.execute("SELECT count(*) FROM seals").fetchone() == (1,)
        list(check_store(db))


@pytest.mark.slow
def test_writers_at_once_lose_nothing_and_deferred_ones_would(tmp_path: Path) -> None:
    ours = writers.campaign("immediate", 3, 40, 1, tmp_path)
    assert ours.wrong == []
    assert ours.transactions + ours.rolled_back == 120
    control = (
        writers.campaign("deferred", 4, 80, seed, tmp_path / str(seed)) for seed in range(20)
    )
    assert any(one.wrong for one in control)


@pytest.mark.slow
def test_backups_under_load_restore_and_copies_of_the_file_would_not(tmp_path: Path) -> None:
    ours = backups.campaign("backup", 4, 1, tmp_path)
    assert ours.wrong == []
    assert ours.commits == sorted(ours.commits)
    assert backups.campaign("cp", 3, 1, tmp_path).wrong


# ---- damage, power loss, calls that fail


@pytest.mark.slow
def test_damage_is_found_and_never_shown_as_a_portfolio(tmp_path: Path) -> None:
    result = corrupt_ledger.campaign(40, 5, tmp_path)
    assert result.wrong == []
    assert result.changed == result.found
    assert result.found_by_sqlite < result.changed


@pytest.mark.slow
@has_strace
def test_what_was_told_survives_a_power_loss_and_with_less_care_would_not(tmp_path: Path) -> None:
    ours = power_loss.campaign("FULL", 60, 2, 1, tmp_path / "full")
    assert ours.wrong == []
    assert ours.commits == 8
    assert power_loss.campaign("OFF", 20, 2, 1, tmp_path / "off").wrong


@pytest.mark.slow
@has_strace
def test_a_call_of_trade_that_fails_or_is_the_last_one_breaks_nothing(tmp_path: Path) -> None:
    ours = syscalls.campaign("algotrade", tmp_path / "ours", trials=3, seed=2)
    assert ours.wrong == []
    assert ours.calls["fdatasync"] > 3
    naive = syscalls.Campaign("naive", tmp_path / "naive")
    struck = [syscalls.Blow("pwrite64", nth, "signal=SIGKILL") for nth in range(15, 20)]
    assert naive.run(struck).wrong


def test_reports_are_json() -> None:
    for made in (
        corrupt_ledger.Result(),
        power_loss.Result(synchronous="FULL"),
        writers.Result(begin="immediate", writers=1),
        backups.Result(way="cp"),
        syscalls.Result(program="naive"),
    ):
        assert json.loads(json.dumps(made.told()))
