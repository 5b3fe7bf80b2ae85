"""trade --follow: each bar once, beside cron jobs and a provider that fails; and who is told."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from algotrade.market import polygon_http
from cli_helpers import FRIDAY, MONDAY, TUESDAY, cli, copied, live, query, served
from polygon_faults import Fault
from polygon_server import PolygonServer
from watch_world import buy

if TYPE_CHECKING:
    from pathlib import Path

TRADE = ("trade", "--symbol", "AAPL", "--qty", "60", "--no-model")
FOLLOW = (*TRADE, "--follow", "--interval", "1")


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("bought") / "home"
    buy(home)
    return home


@pytest.fixture
def holding(bought: Path, tmp_path: Path) -> Path:
    return copied(bought, tmp_path / "holding")


def told_to(folder: Path) -> tuple[dict[str, str], Path]:
    """Give the environment in which a program appends every message to a file."""
    script, file = folder / "tell.py", folder / "told.jsonl"
    script.write_text(f"import sys\nopen({str(file)!r}, 'a').write(sys.stdin.read() + '\\n')\n")
    return {"ALGOTRADE_NOTIFY__COMMAND": f"{sys.executable} {script}"}, file


def texts(file: Path) -> list[str]:
    if not file.exists():
        return []
    rows: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    return [event["text"] for row in rows for event in row["events"]]


def test_the_bar_of_a_session_is_fetched_and_decided_for_once(holding: Path) -> None:
    with PolygonServer({"AAPL": served(2)}) as server:
        env = live(server.base, TUESDAY)
        first = cli(*FOLLOW, "--max-seconds", "2", "--json", home=holding, env=env)
        assert first.code == 0, first
        [line] = first.out.splitlines()
        [row] = json.loads(line)["data"]
        assert (row["outcome"], row["decided_for"]) == ("placed", "2026-11-24")
        calls = len(server.calls)
        again = cli(*FOLLOW, "--max-seconds", "1", "--json", home=holding, env=env).well()
        assert json.loads(again.out.splitlines()[0])["data"][0]["outcome"] == "already placed"
        assert len(server.calls) == calls  # the bar is there: nothing is asked
    assert query(holding, "SELECT count(*) FROM orders") == [(2,)]
    assert query(holding, "SELECT what, level FROM heartbeats") == [("follow", "ok")]


def test_until_close_ends_with_the_bar_of_the_session_that_closes(holding: Path) -> None:
    """At Tuesday's noon the loop waits; when the clock has passed the close it decides and ends."""
    times = iter(["2026-11-24T17:00:00Z", "2026-11-24T17:00:00Z"])

    class Passing:
        def now(self) -> int:
            from algotrade.domain.times import parse_instant

            return parse_instant(next(times, TUESDAY), field="now")

    with (
        PolygonServer({"AAPL": served(2)}) as server,
        mock.patch("algotrade.workflows.context._clock", return_value=Passing()),
    ):
        env = live(server.base, MONDAY)
        ran = cli(*FOLLOW, "--until-close", "--max-seconds", "30", "--json", home=holding, env=env)
    assert ran.code == 0, ran
    rows = [json.loads(line)["data"][0] for line in ran.out.splitlines()]
    assert rows[-1]["decided_for"] == "2026-11-24"


def test_a_provider_that_fails_is_asked_again(holding: Path) -> None:
    with (
        PolygonServer({"AAPL": served(2)}, faults=[Fault(kind="500", calls=range(1, 5))]) as server,
        mock.patch.object(polygon_http, "_BACK_OFF", (0.0, 0.0, 0.0)),
    ):
        ran = cli(
            *FOLLOW, "--max-seconds", "4", "--json", home=holding, env=live(server.base, TUESDAY)
        )
    assert ran.code == 0, ran
    assert "trying again" in ran.err
    assert json.loads(ran.out.splitlines()[-1])["data"][0]["outcome"] == "placed"


def test_cron_jobs_beside_it_place_no_second_order(holding: Path) -> None:
    with PolygonServer({"AAPL": served(2)}) as server:
        env = live(server.base, TUESDAY)
        cli("fetch", "AAPL", home=holding, env=env).well()
        ended: list[int] = []
        # one process has one environment: the jobs are processes of their own
        import os
        import subprocess

        from cli_helpers import PATH, PROGRAM

        full = {"PATH": PATH, "HOME": os.devnull, "ALGOTRADE_HOME": str(holding), **env}

        def job(args: tuple[str, ...]) -> None:
            done = subprocess.run([PROGRAM, *args, "-q"], env=full, check=False, timeout=60)
            ended.append(done.returncode)

        jobs = [(*FOLLOW, "--max-seconds", "2"), TRADE, TRADE]
        threads = [threading.Thread(target=job, args=(args,)) for args in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ended == [0, 0, 0]
    assert query(holding, "SELECT count(*) FROM orders") == [(2,)]


def test_the_sample_has_nothing_to_follow(sample: Path) -> None:
    ran = cli(*FOLLOW, home=sample)
    assert ran.code == 2
    assert "nothing to follow" in ran.err


@pytest.mark.parametrize(
    "args",
    [
        (*TRADE, "--interval", "5"),
        (*TRADE, "--until-close"),
        (*TRADE, "--follow", "--dry-run"),
        (*TRADE, "--follow", "--interval", "0"),
        (*TRADE, "--follow", "--max-seconds", "0"),
    ],
)
def test_flags_that_make_no_loop_are_usage(sample: Path, args: tuple[str, ...]) -> None:
    assert cli(*args, home=sample).code == 2


# ---- notices


def test_fills_refusals_halts_and_failures_are_told_once(bought: Path, tmp_path: Path) -> None:
    home = copied(bought, tmp_path / "home")
    told, file = told_to(tmp_path)
    with PolygonServer({"AAPL": served(2)}) as server:
        env = live(server.base, TUESDAY, **told)
        big = ("trade", "--symbol", "AAPL", "--qty", "9999", "--no-model")
        cli("fetch", "AAPL", home=home, env=env).well()
        for _ in range(2):
            assert cli(*big, home=home, env=env).code == 3
        [refusal] = texts(file)
        assert refusal.startswith("AAPL: ")
        for _ in range(2):
            cli(*TRADE, home=home, env=env).well()
        assert len(texts(file)) == 1
        server.die()
        for _ in range(2):
            with mock.patch.object(polygon_http, "_BACK_OFF", (0.0,)):
                assert cli("fetch", "AAPL", "--full", home=home, env=env).code == 7
        assert texts(file)[1:] == [text for text in texts(file) if text.startswith("fetch failed")]
        assert len(texts(file)) == 2


def test_a_fill_is_told_by_the_fetch_that_brings_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    told, file = told_to(tmp_path)
    with PolygonServer({"AAPL": served()}) as server:
        cli("fetch", "AAPL", home=home, env=live(server.base)).well()
        cli(*TRADE, home=home, env=live(server.base, FRIDAY, **told)).well()
    assert texts(file) == []
    with PolygonServer({"AAPL": served(1)}) as server:
        for _ in range(2):
            cli("fetch", "AAPL", home=home, env=live(server.base, MONDAY, **told)).well()
    [fill] = texts(file)
    assert fill.startswith("bought 60 AAPL at ")


def test_notify_test_tells_whether_it_went(sample: Path, tmp_path: Path) -> None:
    told, file = told_to(tmp_path)
    assert cli("notify", "test", "--json", home=sample, env=told).well().data == {
        "delivered": True,
        "failures": [],
    }
    assert texts(file) == ["this is a test"]
    nobody = cli("notify", "test", home=sample)
    assert nobody.code == 12
    failing = cli("notify", "test", home=sample, env={"ALGOTRADE_NOTIFY__COMMAND": "false"})
    assert failing.code == 7
    assert "ended with 1" in failing.err
