"""What somebody found who had only the documentation: words that say too little or wrong."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from algotrade.store import limits as limit_store
from algotrade.store.database import open_store
from cli_helpers import cli, contents, copied, one_clear_line

if TYPE_CHECKING:
    from pathlib import Path

TRADE = ("trade", "-s", "AAPL", "--no-model", "--qty", "3")
RESET = ("risk", "reset", "--reason", "looked")


@pytest.fixture
def home(fetched: Path, tmp_path: Path) -> Path:
    return copied(fetched, tmp_path / "home")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--folds", "100000"), "train.folds = '100000' (from flag)"),
        (("--folds", "101"), "train.folds = '101' (from flag)"),
        (("--grid", "C=1,1"), "grid 'C' has the value '1' twice"),
        (("--grid", "C=0.5,1,0.50"), "grid 'C' has the value '0.5' twice"),
        (("--window", "rolling:10"), "train.window = rolling:10 leaves no row to test"),
        (("--window", "rolling:33"), "train.window = rolling:33 leaves no row to test"),
        (("--window", "rollin"), "train.window = 'rollin' cannot be read"),
    ],
)
def test_a_training_that_judges_nothing_is_refused(
    home: Path, more: tuple[str, ...], told: str
) -> None:
    assert told in one_clear_line(cli("train", "--model", "logit", *more, home=home), 2)
    assert not list((home / "models").glob("*"))


def test_a_rolling_window_has_a_length_of_its_own(home: Path) -> None:
    words = ("train", "--model", "logit", "--json")
    named = cli(*words, "--window", "rolling:756", home=home).well().data
    alone = cli(*words, "--window", "rolling", home=home).well().data
    assert alone["model"] == named["model"]


def test_no_shadow_has_a_word_in_a_pipe(home: Path) -> None:
    assert cli("models", "shadow", "off", home=home).well().out == "shadow\noff\n"
    assert cli("models", "shadow", "off", "--json", home=home).well().data == {"shadow": None}


def test_nobody_said_up_where_nobody_was_asked(home: Path) -> None:
    (bought,) = cli(*TRADE, "--json", home=home).well().data
    (sold,) = cli("flatten", "--yes", "--json", home=home).well().data["orders"]
    assert (bought["Side"], bought["signal"], sold["Side"], sold["signal"]) == (
        *("buy", None),
        *("sell", None),
    )
    rule = ("--strategy", "sma-state", "--dry-run", "--json")
    (asked,) = cli("trade", "-s", "AAPL", "--qty", "1", *rule, home=home).well().data
    assert asked["signal"] in {"up", "down"}


def test_a_folder_named_halt_halts_and_says_how_it_is_lifted(home: Path) -> None:
    (home / "HALT").mkdir()
    assert cli(*TRADE, home=home).code == 4
    assert "only" not in cli("risk", "halt", "--reason", "x", home=home).well().err
    before = contents(home)
    ran = cli(*RESET, home=home)
    assert "HALT is a folder: its name halts" in one_clear_line(ran, 11)
    assert "rmdir" in ran.err
    assert contents(home) == before
    (home / "HALT").rmdir()
    cli(*RESET, home=home).well()
    cli(*TRADE, home=home).well()


def test_a_halt_that_cannot_be_removed_says_that_it_stands(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

    cli("risk", "halt", "--reason", "x", home=home).well()

    def unlink(path: Path, **_: bool) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink)
        ran = cli(*RESET, home=home)
    assert "trading is still halted: " in one_clear_line(ran, 11)
    assert "rm " in ran.err
    assert cli(*TRADE, home=home).code == 4


def test_why_tells_why_a_check_was_not_asked(home: Path) -> None:
    cli(*TRADE, home=home).well()
    data = cli("why", "AAPL", "--json", home=home).well().data
    because = data["not_applicable_because"]
    assert [*because] == data["not_applicable"]
    assert because["R27"] == "not of a simulated account"
    assert because["R29"] == "no model spoke"
    assert because["R11"] == "off until the data name sectors"
    env = {"ALGOTRADE_RISK__SHORT": "on"}
    cli(*TRADE, "--client-id", "b", home=home, env=env).well()
    data = cli("why", "AAPL", "--json", home=home).well().data
    assert data["not_applicable_because"]["R13"] == "selling short is allowed"


def test_refusals_for_rate_are_counted_over_their_own_days(home: Path) -> None:
    said: list[str] = []
    with contextlib.closing(open_store(home / "data" / "algotrade.db")) as db:
        db.set_trace_callback(said.append)
        assert limit_store.rate_breaches(db, "sample", 5) == 0
        db.set_trace_callback(None)
        plan = db.execute(f"EXPLAIN QUERY PLAN {said[-1]}").fetchall()
    assert "account=? AND decided_at>?" in plan[0][3], plan
    assert len(plan) == 1
    with contextlib.closing(sqlite3.connect(":memory:")) as db:  # without the index: all of it
        db.execute("CREATE TABLE decisions (account, decided_at, code)")
        plan = db.execute(f"EXPLAIN QUERY PLAN {said[-1]}").fetchall()
    assert plan[0][3] == "SCAN decisions"
