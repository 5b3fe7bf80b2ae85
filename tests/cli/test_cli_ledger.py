"""The commands ledger, backup and restore; what commands say of a store that was changed."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from cli_helpers import cli, copied, files, one_clear_line, query
from verify_world import spoil

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(traded: Path, tmp_path: Path) -> Path:
    """Give a copy of a home that holds 10 AAPL."""
    return copied(traded, tmp_path / "home")


def test_verify_tells_what_it_looked_over(home: Path) -> None:
    ran = cli("ledger", "verify", "--json", home=home).well()
    assert ran.data["passed"] is True
    assert ran.data["wrong"] is None
    found = {(row["account"], row["what"]): row["count"] for row in ran.data["checked"]}
    assert found["sample", "entries"] == 2
    assert found[None, "orders"] == 1
    assert len(ran.data["hash"]) == 64
    assert ran.envelope["schema"] == "algotrade.ledger-verify/1"
    shown = cli("ledger", "verify", "--format", "table", home=home).well()
    assert "everything holds" in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    assert cli("ledger", "verify", "-q", home=home).well().out == ""


def test_show_lists_the_entries_with_the_cash_after_each(home: Path) -> None:
    deposit, fill = cli("ledger", "show", "--json", home=home).well().data
    assert (deposit["seq"], deposit["kind"], deposit["cash"]) == (1, "deposit", 100_000.0)
    assert (fill["kind"], fill["symbol"], fill["quantity"]) == ("fill", "AAPL", 10)
    assert fill["cash"] == pytest.approx(100_000 - 10 * fill["price"] - fill["fee"], abs=1e-6)
    rows = cli("ledger", "show", "--last", "1", "--json", home=home).well().data
    assert [row["seq"] for row in rows] == [2]
    shown = cli("ledger", "show", "--format", "table", home=home).well()
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    assert "100,000.00" in shown.out


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE marks SET cash = cash + 1", "marks"),
        ("DELETE FROM order_events WHERE state = 'filled'", "order_events"),
        ("DELETE FROM meta WHERE name = 'sample_clock'", "meta"),
        ("UPDATE settled SET ts = ts - 1", "settled"),
        ("UPDATE decisions SET reason = 'another'", "decisions"),
    ],
)
def test_a_store_that_was_changed_trades_no_more_and_verify_names_it(
    home: Path, sql: str, what: str
) -> None:
    spoil(home, sql)
    for command in (
        ("portfolio",),
        ("trade", "--symbol", "AAPL", "--qty", "20", "--no-model"),
        ("fetch", "AAPL"),
        ("clock", "next"),
        ("status",),
        ("deposit", "5"),
        ("backup",),
    ):
        said = one_clear_line(cli(*command, home=home), 10)
        assert what in said, command
    ran = cli("ledger", "verify", home=home)
    assert ran.code == 10
    assert what in ran.err
    parity = cli("verify", "parity", "--json", home=home)
    assert parity.code == 10
    assert json.loads(parity.out)["data"]["differences"]


def test_a_run_that_was_edited_is_told(home: Path) -> None:
    cli("backtest", "AAPL", "--strategy", "sma-state", "--from", "2012-06-01", home=home).well()
    cli("runs", "show", "1", home=home).well()
    spoil(home, "UPDATE run_marks SET cash = cash + 1")
    said = one_clear_line(cli("runs", "show", "1", home=home), 10)
    assert "is not what was written down" in said
    assert "is not what was written down" in cli("ledger", "verify", home=home).err
    assert cli("portfolio", home=home).code == 0  # nothing rests on a run


def test_backup_and_restore_and_the_way_back(home: Path) -> None:
    made = cli("backup", "--json", home=home).well().data
    assert made["file"].startswith(str(home / "backups" / "algotrade-"))
    cash = cli("portfolio", "--json", home=home).well().data["Cash"]
    cli("deposit", "5", home=home).well()
    refused = cli("restore", made["file"], home=home)
    assert "lacks commit" in one_clear_line(refused, 2)
    ran = cli("restore", made["file"], "--reason", "a drill", "--json", home=home).well()
    assert ran.data["commit"] == made["seq"] + 1
    assert cli("portfolio", "--json", home=home).well().data["Cash"] == cash
    cli("ledger", "verify", home=home).well()
    trade = cli("trade", "--symbol", "AAPL", "--qty", "12", "--no-model", "--json", home=home)
    assert trade.well().data[0]["outcome"] == "placed"


def test_the_newest_backups_are_kept(home: Path) -> None:
    env = {"ALGOTRADE_BACKUP__KEEP": "2"}
    made = [cli("backup", "--json", home=home, env=env).well().data for _ in range(3)]
    assert made[2]["removed"] == [made[0]["file"]]
    assert {*files(home / "backups")} == {
        f"{one['file'].rpartition('/')[2]}{end}" for one in made[1:] for end in ("", ".json")
    }


def test_a_backup_goes_where_it_is_told_and_over_nothing(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.db"
    cli("backup", str(target), home=home).well()
    assert "is there already" in one_clear_line(cli("backup", str(target), home=home), 2)
    other = tmp_path / "other"
    cli("restore", str(target), home=other).well()
    assert query(other, "SELECT * FROM ledger") == query(home, "SELECT * FROM ledger")
    assert "no backup at" in one_clear_line(cli("restore", "nowhere.db", home=home), 2)


def test_an_old_store_put_back_by_hand_is_found_and_accepted_with_a_reason(home: Path) -> None:
    store = home / "data" / "algotrade.db"
    kept = store.read_bytes()
    cli("deposit", "5", home=home).well()
    store.write_bytes(kept)
    for command in (("portfolio",), ("trade", "--symbol", "AAPL", "--qty", "20", "--no-model")):
        assert "older" in one_clear_line(cli(*command, home=home), 10)
    assert "older" in cli("ledger", "verify", home=home).err
    assert "empty" in one_clear_line(cli("ledger", "accept", "--reason", " ", home=home), 2)
    done = cli("ledger", "accept", "--reason", "I put it back", "--json", home=home).well().data
    assert done["reason"] == "I put it back"
    cli("portfolio", home=home).well()
    notes = query(home, "SELECT note FROM seals WHERE note <> ''")
    assert notes == [("accepted: I put it back",)]


def test_a_store_that_does_not_hold_is_never_accepted(home: Path) -> None:
    spoil(home, "UPDATE marks SET cash = cash + 1")
    said = one_clear_line(cli("ledger", "accept", "--reason", "so what", home=home), 10)
    assert "marks" in said


def test_a_log_that_was_lost_is_found(home: Path) -> None:
    store = home / "data" / "algotrade.db"
    with contextlib.closing(sqlite3.connect(store)) as keeper:  # so that the log is not folded in
        keeper.execute("SELECT 1 FROM meta").fetchone()
        cli("deposit", "5", home=home).well()
        shutil.copy(store, store.with_name("main.db"))
        assert store.with_name("algotrade.db-wal").stat().st_size
    for name in ("algotrade.db-wal", "algotrade.db-shm"):
        store.with_name(name).unlink(missing_ok=True)
    store.with_name("main.db").replace(store)
    assert "older" in one_clear_line(cli("portfolio", home=home), 10)


def test_without_its_note_every_commit_is_checked_and_it_is_made_again(home: Path) -> None:
    (home / "data" / "heads").unlink()
    ran = cli("portfolio", home=home).well()
    assert "heads is missing" in ran.err
    assert (home / "data" / "heads").exists()
    assert "heads" not in cli("portfolio", home=home).well().err


def test_a_store_that_is_gone_is_not_made_anew(home: Path) -> None:
    shutil.rmtree(home / "models", ignore_errors=True)
    for name in ("algotrade.db", "sample.lock"):
        (home / "data" / name).unlink()
    assert "is gone" in one_clear_line(cli("fetch", "AAPL", home=home), 10)
    cli("init", home=home).well()
    cli("fetch", "AAPL", home=home).well()
    assert cli("portfolio", home=home).code == 0
