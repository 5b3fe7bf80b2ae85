"""Halting, and being killed half way: what stops stays stopped, what was owed is finished once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from algotrade.store import database
from cli_helpers import (
    PATH,
    PROGRAM,
    cli,
    contents,
    copied,
    live,
    locked_store,
    one_clear_line,
    process,
    query,
)

if TYPE_CHECKING:
    from pathlib import Path

TRADE = ("trade", "--symbol", "AAPL", "--qty", "10")
HALT = ("risk", "halt", "--reason")
RESET = ("risk", "reset", "--reason")


def refused_as_halted(home: Path, **env: str) -> None:
    """Insist that a trade is refused with exit 4, explained, and changes nothing of value."""
    ran = cli(*TRADE, "--json", home=home, env=env)
    assert ran.code == 4, ran
    [row] = ran.envelope["data"]
    assert (row["outcome"], row["ID"]) == ("refused", None)
    assert [check["id"] for check in row["checks"] if check["status"] == "fail"] == ["R01"]
    assert "R01 halts" in ran.err
    assert "algotrade risk reset --reason" in ran.err
    assert query(home, "SELECT count(*) FROM orders") == [(0,)]
    assert cli(*TRADE, "--dry-run", home=home, env=env).code == 4


def test_a_halt_stops_trading_until_a_person_lifts_it(sample: Path) -> None:
    told = cli(*HALT, "the model looks wrong", "--json", home=sample).well().data
    assert told["reason"] == "the model looks wrong"
    assert (sample / "HALT").read_text(encoding="utf-8") == "the model looks wrong\n"
    refused_as_halted(sample)
    risk = cli("risk", "--format", "table", home=sample).well().out
    assert "HALTED: ledger: the model looks wrong" in risk.replace("\n", " ")
    assert "HALTED" in cli("status", "--format", "table", home=sample).well().out
    cli(*RESET, "looked, it is fine", home=sample).well()
    assert not (sample / "HALT").exists()
    assert query(sample, "SELECT kind, reason FROM halts") == [
        ("halt", "the model looks wrong"),
        ("reset", "looked, it is fine"),
    ]
    assert cli(*TRADE, "--json", home=sample).well().data[0]["outcome"] == "placed"


def test_a_file_that_any_script_can_make_halts(sample: Path) -> None:
    (sample / "HALT").touch()
    refused_as_halted(sample)
    cli(*RESET, "ok", home=sample).well()
    cli(*TRADE, home=sample).well()


def test_the_store_s_halt_holds_without_the_file(sample: Path) -> None:
    cli(*HALT, "x", home=sample).well()
    (sample / "HALT").unlink()
    refused_as_halted(sample)


def test_the_environment_halts_and_cannot_be_reset_away(sample: Path) -> None:
    refused_as_halted(sample, ALGOTRADE_HALT="1")
    told = one_clear_line(cli(*RESET, "x", home=sample, env={"ALGOTRADE_HALT": "1"}), 4)
    assert "ALGOTRADE_HALT" in told
    cli(*TRADE, home=sample).well()


def test_a_reason_is_required(sample: Path) -> None:
    one_clear_line(cli("risk", "halt", home=sample), 2)
    assert not (sample / "HALT").exists()
    one_clear_line(cli(*HALT, " \n", home=sample), 2)
    assert not (sample / "HALT").exists()
    cli(*HALT, "x", home=sample).well()
    one_clear_line(cli("risk", "reset", home=sample), 2)
    one_clear_line(cli(*RESET, "", home=sample), 2)
    assert (sample / "HALT").exists()


def test_a_halt_works_with_the_store_locked(sample: Path) -> None:
    with locked_store(sample):
        began = time.monotonic()
        ran = process(*HALT, "runaway", cwd=sample, env={"ALGOTRADE_HOME": str(sample)}).well()
        waited = time.monotonic() - began
    assert (sample / "HALT").read_text(encoding="utf-8") == "runaway\n"
    assert "halted by the file" in ran.err
    assert waited < 5
    refused_as_halted(sample)


def test_a_halt_works_with_the_account_locked(sample: Path) -> None:
    with database.lock(sample / "data" / "sample.lock", what="the test"):
        cli(*HALT, "now", home=sample).well()
    refused_as_halted(sample)


@pytest.mark.parametrize("damage", ["garbage", "empty", "missing", "foreign"])
def test_a_halt_works_with_the_store_broken(sample: Path, damage: str) -> None:
    path = sample / "data" / "algotrade.db"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"garbage": b"\x00garbage" * 999, "empty": b""}.get(damage, bytes(99)))
    ran = cli(*HALT, "the store is broken", "--json", home=sample).well()
    assert ran.data["halted"] is True
    assert "halted by the file" in ran.err
    assert (sample / "HALT").read_text(encoding="utf-8") == "the store is broken\n"
    one_clear_line(cli(*TRADE, home=sample), 10, hint=False)


def test_another_run_of_the_same_account_is_told(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setitem(database.lock.__wrapped__.__kwdefaults__, "wait_s", 0.1)  # type: ignore[attr-defined]
    before = contents(sample)
    with database.lock(sample / "data" / "sample.lock", what="the test"):
        one_clear_line(cli(*TRADE, home=sample), 9)
    with locked_store(sample):
        one_clear_line(cli(*TRADE, home=sample), 9)
        one_clear_line(cli("deposit", "5", home=sample), 9)
    assert contents(sample) == before


# what a power cut would do, at the two moments where it matters
_KILLED_BEFORE_THE_CLOCK = """
import os, sys
import algotrade.workflows.trade as workflow
workflow._move_clock = lambda ws: os.kill(os.getpid(), 9)
from algotrade.cli.main import run
sys.argv[0] = "algotrade"
run()
"""
_KILLED_WHILE_THE_CLOCK_MOVES = """
import os, sys
import algotrade.workflows.sample_clock as workflow
workflow.settle = lambda ws: os.kill(os.getpid(), 9)
from algotrade.cli.main import run
sys.argv[0] = "algotrade"
run()
"""


@pytest.mark.parametrize("driver", [_KILLED_BEFORE_THE_CLOCK, _KILLED_WHILE_THE_CLOCK_MOVES])
def test_a_killed_trade_is_finished_by_the_next_and_not_doubled(sample: Path, driver: str) -> None:
    env = {"ALGOTRADE_HOME": str(sample)}
    killed = process(*TRADE, cwd=sample, env=env, driver=driver)
    assert killed.code == -signal.SIGKILL
    account = cli("portfolio", "--json", home=sample).well().data
    assert account["as_of"] == "2012-12-03T21:00:00Z"
    assert (account["Holdings"], len(account["waiting"])) == ({}, 1)

    ran = cli(*TRADE, "--json", home=sample).well()
    assert "moved the sample clock for an order that was still waiting" in ran.err
    assert ran.data[0]["outcome"] in {"hold", "placed"}
    fills = cli("trades", "--json", home=sample).well().data
    assert [(row["Side"], row["Quantity"], row["Price"]) for row in fills][:1] == [
        ("buy", 10, 582.0909)
    ]
    assert query(sample, "SELECT count(*) FROM orders WHERE side = 'buy'") == [(1,)]
    assert cli("portfolio", "--json", home=sample).well().data["Holdings"].get("AAPL", 0) <= 10


def test_a_killed_trade_ends_like_one_that_was_not(sample: Path, tmp_path: Path) -> None:
    other = copied(sample, tmp_path / "other")
    process(
        *TRADE, cwd=sample, env={"ALGOTRADE_HOME": str(sample)}, driver=_KILLED_BEFORE_THE_CLOCK
    )
    cli("clock", "next", home=sample).well()
    cli(*TRADE, home=other).well()
    assert contents(sample) == contents(other)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_rolls_back_and_says_so(number: int, code: int, sample: Path) -> None:
    driver = """
import sys, time
import algotrade.workflows.trade as workflow
def wait(*_, **__):
    print("inside", file=sys.stderr, flush=True)
    time.sleep(20)
workflow._decide = wait
from algotrade.cli.main import run
sys.argv[0] = "algotrade"
run()
"""
    before = contents(sample)
    with subprocess.Popen(
        [sys.executable, "-c", driver, *TRADE],
        env={"PATH": PATH, "HOME": str(sample), "ALGOTRADE_HOME": str(sample)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stderr is not None
        while child.stderr.readline().strip() != "inside":
            assert child.poll() is None
        child.send_signal(number)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert number == signal.SIGTERM or err == "algotrade: interrupted; nothing half-written\n"
    assert contents(sample) == before
    assert cli(*TRADE, "--json", home=sample).well().data[0]["outcome"] == "placed"


def test_four_runs_at_once_place_one_order(paper: Path) -> None:
    clean = {"PATH": PATH, "HOME": str(paper), "ALGOTRADE_HOME": str(paper)}
    env = clean | live("http://127.0.0.1:9")  # nothing is fetched
    runs = [
        subprocess.Popen(
            [PROGRAM, *TRADE, "--json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    ended = [(run.communicate(timeout=60)[0], run.returncode) for run in runs]
    assert [code for _, code in ended] == [0] * 4
    outcomes = sorted(json.loads(out)["data"][0]["outcome"] for out, _ in ended)
    assert outcomes == ["already placed"] * 3 + ["placed"]
    assert query(paper, "SELECT count(*) FROM orders") == [(1,)]
