"""A fetch that is killed, interrupted or not alone; short form of tests/campaigns/kill_fetch.py."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from campaigns.kill_fetch import Campaign, campaign, world
from cli_helpers import PATH, PROGRAM, live, query, served
from polygon_server import PolygonServer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_fetch_that_is_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    result = campaign("algotrade", kills=6, symbols=8, seed=7, folder=tmp_path)
    assert result.wrong == []
    assert result.kills == 6


@pytest.mark.slow
def test_the_harness_sees_a_saver_that_tears(tmp_path: Path) -> None:
    with world(2) as server:
        naive = Campaign(server, "naive", tmp_path, random.Random(1))  # noqa: S311 -- moments
        naive.leave_alone()
        assert naive.result.wrong == []
        for number in range(20):  # where the machine is busy the blow may fall too late
            home = tmp_path / f"home{number}"
            # the fourth call is for the first symbol's second page: its first one is committed
            if naive.disturb(home, calls=4, pause=0):
                naive.look(home)
            if naive.result.wrong:
                break
        naive.compare(home)
    assert [line.partition(": ")[2][:4] for line in naive.result.wrong] == ["torn", "bars"]


def start(home: Path, *args: str, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, "fetch", *args],
        env={"PATH": PATH, "ALGOTRADE_HOME": str(home), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("blow", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_interrupts_keeps_whole_symbols(
    tmp_path: Path, blow: signal.Signals, code: int
) -> None:
    with PolygonServer({"AAPL": served(), "IBM": served()}) as server:
        child = start(tmp_path, "AAPL,IBM", env=live(server.base, ALGOTRADE_RATE="5"))
        assert child.stderr is not None
        for line in child.stderr:
            if "waiting" in line:
                assert "IBM  waiting 60 s (5 calls a minute)  done about " in line
                break
        time.sleep(0.2)
        child.send_signal(blow)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert query(tmp_path, "SELECT symbol FROM series") == [("AAPL",)]
    assert query(tmp_path, "SELECT count(*) FROM bars") == [(500,)]


@pytest.mark.slow
def test_two_fetches_at_once_store_what_one_would(tmp_path: Path) -> None:
    bars = {name: served() for name in ("AAPL", "IBM", "GE", "MSFT", "KO", "PG")}
    with PolygonServer(bars, page_size=250) as server:
        both = [start(tmp_path, *bars, env=live(server.base)) for _ in range(2)]
        ended = [(child.communicate(timeout=60), child.returncode) for child in both]
    assert [code for _, code in ended] == [0, 0], ended
    found = query(tmp_path, "SELECT count(*), count(DISTINCT series_id) FROM bars")
    assert found == [(6 * 500, 6)]
    assert query(tmp_path, "SELECT count(*) FROM bar_revisions") == [(0,)]
    assert query(tmp_path, "SELECT count(*), count(DISTINCT series_id) FROM coverage") == [(6, 6)]
    assert query(tmp_path, "SELECT count(*) FROM ledger") == [(1,)]
