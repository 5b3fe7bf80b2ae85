"""What somebody who tried to break it found, each as it was found."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from cli_helpers import PATH, PROGRAM, cli, contents, live, one_clear_line, query

if TYPE_CHECKING:
    from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    return {"PATH": PATH, "HOME": str(home), "ALGOTRADE_HOME": str(home)}


BUY = ("trade", "--symbol", "AAPL", "--qty", "2", "--no-model")


@pytest.mark.parametrize(
    "target", ["data/algotrade.db", "data/other.txt", "algotrade.toml", "HALT", "models/x.txt"]
)
def test_a_result_is_never_written_over_the_workspace(sample: Path, target: str) -> None:
    before = contents(sample)
    told = one_clear_line(cli("portfolio", "-o", str(sample / target), home=sample), 2)
    assert "belongs to the workspace" in told
    told = one_clear_line(cli("export", "AAPL", "--file", str(sample / target), home=sample), 2)
    assert "belongs to the workspace" in told
    assert contents(sample) == before
    assert not (sample / "HALT").exists()


def test_a_lost_store_is_not_begun_anew_but_by_init(sample: Path) -> None:
    for file in (sample / "data").glob("algotrade.db*"):
        file.unlink()
    told = one_clear_line(cli("fetch", "AAPL", home=sample), 10)
    assert "is gone" in told
    assert not (sample / "data" / "algotrade.db").exists()
    cli("init", home=sample).well()
    cli("fetch", "AAPL", home=sample).well()


def test_an_emptied_store_is_told_and_kept(sample: Path) -> None:
    store = sample / "data" / "algotrade.db"
    for log in (sample / "data").glob("algotrade.db-*"):
        log.unlink()
    store.write_bytes(b"")
    one_clear_line(cli("fetch", "AAPL", home=sample), 10)
    assert store.stat().st_size == 0


def test_one_client_id_is_one_order_on_a_bar(paper: Path) -> None:
    env = live("http://127.0.0.1:9")  # nothing is asked of the provider
    once = ("trade", "--symbol", "AAPL", "--no-model", "--side", "buy", "--client-id", "job")
    cli(*once, "--qty", "5", home=paper, env=env).well()
    again = cli(*once, "--qty", "5", home=paper, env=env).well()
    assert "already placed" in again.out
    told = one_clear_line(cli(*once, "--qty", "6", home=paper, env=env), 2)
    assert "placed with other arguments" in told
    assert query(paper, "SELECT count(*) FROM orders") == [(1,)]


def test_cash_that_a_waiting_order_needs_cannot_be_withdrawn(paper: Path) -> None:
    env = live("http://127.0.0.1:9")
    cli(*BUY, home=paper, env=env).well()
    told = one_clear_line(cli("withdraw", "99999", home=paper, env=env), 2)
    assert "free cash is 99," in told


def test_a_sunday_is_a_day_without_a_session(paper: Path) -> None:
    for now in ("2026-11-22T14:46:00Z", "2026-11-23T01:00:00Z", "2026-11-26T18:00:00Z"):
        env = live("http://127.0.0.1:9", now)
        assert cli(*BUY, "--if-session", home=paper, env=env).well().out == ""
    assert query(paper, "SELECT count(*) FROM orders") == [(0,)]


def test_training_as_of_the_past_does_not_change_the_model_in_use(sample: Path) -> None:
    used = cli("predict", "AAPL", "--json", home=sample).well().data[0]["model"]
    old = cli("train", "--as-of", "2006-01-03", "--json", home=sample).well().data["model"]
    assert old != used
    assert cli("predict", "AAPL", "--json", home=sample).well().data[0]["model"] == used
    then = cli("predict", "AAPL", "--as-of", "2006-06-01", "--json", home=sample).well()
    assert then.data[0]["model"] == old


def test_a_dangling_link_halts_too(sample: Path) -> None:
    (sample / "HALT").symlink_to(sample / "nowhere")
    assert cli(*BUY, home=sample).code == 4
    assert query(sample, "SELECT count(*) FROM orders") == [(0,)]


def test_a_halt_is_answered_with_4_where_the_decision_is_a_hold(sample: Path) -> None:
    cli(*BUY, home=sample).well()
    (sample / "HALT").touch()
    ran = cli(*BUY, home=sample)
    assert ran.code == 4
    assert "algotrade risk reset" in ran.err


def test_nothing_named_is_not_everything(sample: Path) -> None:
    (sample / "algotrade.toml").write_text("[watchlists]\nnone = []\n", "utf-8")
    for command in ("fetch", "train", "predict"):
        one_clear_line(cli(command, "@none", home=sample), 2)


def test_a_bar_no_market_can_have_printed_is_not_imported(sample: Path) -> None:
    bad = sample / "TEST.csv"
    for row in ("2012-11-16,10,9,11,10,1", "2099-11-20,10,11,9,10,1"):
        bad.write_text(f"date,open,high,low,close,volume\n{row}\n", "utf-8")
        ran = cli("import", str(bad), home=sample)
        assert ran.code == 5, ran
        assert "bug" not in ran.err
    assert query(sample, "SELECT count(*) FROM series WHERE source = 'csv'") == [(0,)]


def test_a_full_disk_under_the_result_is_told_and_not_a_bug(sample: Path) -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        done = subprocess.run(
            [PROGRAM, "portfolio", "--json"],
            env=environment(sample),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 11
    assert "what the command did stands" in done.stderr


def test_closed_streams_are_no_bug(sample: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{PROGRAM} portfolio >&- 2>&-; echo $?"],
        env=environment(sample),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_long_query_can_be_ended(sample: Path, number: signal.Signals) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c"
    with subprocess.Popen(
        [PROGRAM, "sql", endless],
        env=environment(sample),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        time.sleep(1.0)
        process.send_signal(number)
        assert process.wait(timeout=10) in {130, 143}


def test_a_removed_table_is_a_damaged_store(sample: Path) -> None:
    import sqlite3

    with sqlite3.connect(sample / "data" / "algotrade.db") as db:
        db.execute("DROP TABLE ledger")
    assert cli("portfolio", home=sample).code == 10


def test_status_in_a_pipe_says_home_and_halts_first(sample: Path) -> None:
    (sample / "HALT").touch()
    told = cli("status", home=sample).well().out
    assert told.splitlines()[1] == f"home\t{sample}"
    assert "\nhalt\tfile " in told


def test_the_verdict_of_a_training_is_told_in_a_pipe(sample: Path) -> None:
    assert "no evidence of an edge" in cli("train", home=sample).well().err
