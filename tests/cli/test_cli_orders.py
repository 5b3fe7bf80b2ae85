"""Orders of a simulated account at the command line: list, cancel, flatten, reconcile."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from algotrade.store import database, readonly
from cli_helpers import cli, files, one_clear_line, query

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LOW = ("trade", "--symbol", "AAPL", "--qty", "3", "--no-model", "--limit", "-2.5%")


def test_a_waiting_order_is_listed_and_cancelled(sample: Path) -> None:
    cli(*LOW, home=sample).well()
    (row,) = cli("orders", "--json", home=sample).well().data
    assert (row["state"], row["Quantity"], row["filled"], row["type"]) == (
        "accepted",
        3,
        0,
        "limit",
    )
    assert row["broker_id"] is None
    ran = cli("cancel", row["ID"], "--json", home=sample).well()
    assert ran.envelope["schema"] == "algotrade.cancel/1"
    assert ran.data == [{"ID": row["ID"], "Symbol": "AAPL", "state": "cancelled", "filled": 0}]
    assert cli("orders", "--json", home=sample).well().data == []
    (ended,) = cli("orders", "--all", "--json", home=sample).well().data
    assert (ended["state"], ended["detail"]) == ("cancelled", "cancelled by a person")
    cli("clock", "next", "3", home=sample).well()
    assert query(sample, "SELECT count(*) FROM ledger WHERE kind = 'fill'") == [(0,)]


def test_cancelling_again_changes_nothing(sample: Path) -> None:
    cli(*LOW, home=sample).well()
    (row,) = cli("orders", "--json", home=sample).well().data
    cli("cancel", row["ID"], home=sample).well()
    events = query(sample, "SELECT * FROM order_events")
    cli("cancel", row["ID"], home=sample).well()
    cli("cancel", "--all", home=sample).well()
    assert query(sample, "SELECT * FROM order_events") == events


def test_the_orders_of_a_person_fit_80_columns(sample: Path) -> None:
    cli(*LOW, home=sample).well()
    table = cli("orders", "--format", "table", home=sample).well().out
    assert max(map(len, table.splitlines())) <= 80
    assert "buy 3 AAPL limit" in " ".join(table.split())
    nothing = cli("cancel", "--all", "--format", "table", home=sample).well().out
    assert nothing.startswith("cancelled buy 3 AAPL limit ")


def test_flatten_ends_what_is_held_and_what_waits(traded: Path, tmp_path: Path) -> None:
    import shutil

    home = tmp_path / "home"
    shutil.copytree(traded, home)
    assert "needs a yes" in one_clear_line(cli("flatten", home=home), 2)
    cli(*LOW, "--client-id", "low", "--side", "buy", home=home).well()
    ran = cli("flatten", "--yes", "--json", home=home).well()
    assert [row["Side"] for row in ran.data["orders"]] == ["sell"]
    assert cli("portfolio", "--json", home=home).well().data["Holdings"] == {}
    assert cli("orders", "--json", home=home).well().data == []


def test_there_is_no_broker_to_ask_about_a_simulated_account(sample: Path) -> None:
    assert "is simulated" in one_clear_line(cli("reconcile", home=sample), 2)
    assert "name orders, or all" in one_clear_line(cli("cancel", home=sample), 2)
    assert "begins with 'zz'" in one_clear_line(cli("cancel", "zz", home=sample), 2)
    cli("trade", "--symbol", "AAPL", "--qty", "1", "--no-model", "--require-open", home=sample)


def test_an_unknown_broker_names_those_there_are(sample: Path) -> None:
    ran = cli("reconcile", "--broker", "nobody", "--source", "polygon", home=sample)
    line = one_clear_line(ran, 12)
    assert "no broker is called 'nobody'" in line


def test_orders_of_a_read_only_home_are_told(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli(*LOW, home=sample).well()
    told = cli("orders", "--json", home=sample).well().data
    with contextlib.closing(sqlite3.connect(sample / "data" / "algotrade.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def connect(path: Path, mode: str, **more: float) -> sqlite3.Connection:
        """Refuse what a read-only file system refuses: a log and locks beside the store."""
        if "immutable" in mode:
            return connected(path, mode, **more)
        refused = sqlite3.OperationalError("attempt to write a readonly database")
        refused.sqlite_errorcode = sqlite3.SQLITE_READONLY
        raise refused

    connected = database.connect
    monkeypatch.setattr(database, "connect", connect)
    monkeypatch.setattr(readonly, "connect", connect)
    before = files(sample)
    ran = cli("orders", "--json", home=sample).well()
    assert ran.data == told
    assert "read as a file that nobody is writing" in ran.err
    assert files(sample) == before
    assert "cannot be written" in one_clear_line(cli("cancel", "--all", home=sample), 11)
