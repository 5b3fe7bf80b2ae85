"""What somebody found who had only the documentation: places, keys and backups gone wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from algotrade.store import database, readonly
from cli_helpers import cli, contents, copied, files, one_clear_line

if TYPE_CHECKING:
    from pathlib import Path

READERS = (
    "status",
    "config show",
    "portfolio",
    "trades",
    "orders --all",
    "why AAPL",
    "risk",
    "risk show",
    "risk history",
    "risk what-if -s AAPL --qty 1",
    "risk check --max-age 9",
    "ledger verify",
    "ledger show",
    "replay AAPL",
    "verify parity",
    "drift",
    "bars AAPL",
    "sql SELECT(1)",
    "data check AAPL",
    "data coverage AAPL",
    "quote AAPL",
    "clock",
    "runs list",
    "runs show 1",
    "runs diff 1 1",
    "models list",
    "models verify",
    "models show",
    "predict AAPL",
    "trade -s AAPL --qty 1 --no-model --dry-run",
)
WRITERS = (
    *("deposit 5", "cancel --all", "clock next", "fetch AAPL", "risk check"),
    *("trade -s AAPL --qty 1 --no-model", "backtest AAPL --strategy sma-state", "backup"),
    *("risk reset --reason x", "models shadow off", "ledger accept --reason x"),
)


@pytest.fixture(scope="module")
def kept(traded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home that holds shares, with a model, a shadow and a run; nothing may change it."""
    home = copied(traded, tmp_path_factory.mktemp("kept") / "home")
    cli("backtest", "AAPL", "--strategy", "sma-state", "--from", "2012-01-01", home=home).well()
    (first,) = cli("models", "list", "--json", home=home).well().data
    cli("train", "--model", "logit", "--horizon", "10", home=home).well()
    cli("models", "shadow", first["model"], home=home).well()
    with contextlib.closing(sqlite3.connect(home / "data" / "algotrade.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return home


@pytest.fixture
def read_only(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Refuse what a read-only file system refuses: a log and locks beside the store."""
    connected = database.connect

    def connect(path: Path, mode: str, **more: float) -> sqlite3.Connection:
        if "immutable" in mode or not path.is_relative_to(kept):
            return connected(path, mode, **more)
        refused = sqlite3.OperationalError("attempt to write a readonly database")
        refused.sqlite_errorcode = sqlite3.SQLITE_READONLY
        raise refused

    monkeypatch.setattr(database, "connect", connect)
    monkeypatch.setattr(readonly, "connect", connect)
    return kept


@pytest.mark.parametrize("words", READERS)
def test_what_only_reads_reads_where_nothing_can_be_written(read_only: Path, words: str) -> None:
    before = files(read_only)
    ran = cli(*words.split(), "--json", home=read_only)
    assert ran.code in (0, 3, 20), ran  # a refusal of what-if, a finding of a check
    if words != "config show":
        assert "cannot be locked here" in ran.err
    assert files(read_only) == before


@pytest.mark.parametrize("words", WRITERS)
def test_what_writes_says_that_it_cannot(read_only: Path, words: str) -> None:
    before = files(read_only)
    line = one_clear_line(cli(*words.split(), home=read_only), 11)
    assert "cannot be written" in line
    assert {name: one for name, one in files(read_only).items() if name in before} == before


def test_a_read_only_disk_is_backed_up_to_another(read_only: Path, tmp_path: Path) -> None:
    target = tmp_path / "one.db"
    cli("backup", str(target), home=read_only).well()
    cli("restore", str(target), home=tmp_path / "other").well()
    cli("export", "AAPL", "--file", str(tmp_path / "aapl.csv"), home=read_only).well()
    cli("report", "-o", str(tmp_path / "page.html"), home=read_only).well()


@pytest.mark.parametrize(
    "words",
    [
        "fetch AAPL",
        "fetch AAPL --dry-run",
        "trade -s AAPL --qty 1 --no-model",
        "trade -s AAPL --qty 1 --no-model --follow",
        "train",
        "predict AAPL",
        "portfolio",
        "risk",
        "bars AAPL",
        "quote AAPL",
        "market",
        "backtest AAPL --strategy sma-state",
    ],
)
def test_a_missing_key_is_told_as_such(fetched: Path, tmp_path: Path, words: str) -> None:
    for home in (fetched, tmp_path / "new"):
        if words.startswith("fetch") or home.exists():
            env = {"ALGOTRADE_SOURCE": "polygon"}
            ran = cli(*words.split(), home=home, env=env)
            assert "source polygon needs an API key" in one_clear_line(ran, 12)
            assert "set POLYGON_API_KEY or MASSIVE_API_KEY, or key_file" in ran.err
            assert "--source sample" in ran.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("by", ["itself", "a link", "another name"])
def test_the_store_is_no_backup_of_itself(fetched: Path, tmp_path: Path, by: str) -> None:
    home = copied(fetched, tmp_path / "home")
    store, path = home / "data" / "algotrade.db", tmp_path / "x.db"
    if by == "a link":
        path.symlink_to(store)
    elif by == "another name":
        os.link(store, path)
    else:
        path = store
    before = files(home)
    ran = cli("restore", str(path), "--reason", "why not", home=home)
    assert "is the store itself" in one_clear_line(ran, 2)
    assert files(home) == before


def test_a_backup_without_its_manifest_needs_a_reason(fetched: Path, tmp_path: Path) -> None:
    home = copied(fetched, tmp_path / "home")
    cli("backup", str(tmp_path / "one.db"), home=home).well()
    shutil.move(tmp_path / "one.db", tmp_path / "two.db")
    before = contents(home)
    ran = cli("restore", str(tmp_path / "two.db"), home=home)
    assert "two.db has no manifest two.db.json beside it" in one_clear_line(ran, 2)
    assert contents(home) == before
    fresh = tmp_path / "fresh"
    one_clear_line(cli("restore", str(tmp_path / "two.db"), home=fresh), 2)
    assert not fresh.exists()
    cli("restore", str(tmp_path / "two.db"), "--reason", "it was renamed", home=fresh).well()
    assert contents(fresh)["bars"] == before["bars"]
