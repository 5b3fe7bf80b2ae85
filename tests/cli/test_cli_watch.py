"""risk watch and risk check: a moving market over the ledger, halted before it is told."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from cli_helpers import FRIDAY, PATH, PROGRAM, cli, copied, live, locked_store, query
from live_server import LiveServer, snapshot
from watch_world import BARS, HELD, LAST, MONDAY, OPEN_MS, buy, watching

if TYPE_CHECKING:
    from pathlib import Path

WATCH = ("risk", "watch", "--interval", "1")
CHECK = ("risk", "check")
TIGHT = {
    "ALGOTRADE_RISK__DAILY_LOSS_HALT_PCT": "1",
    "ALGOTRADE_RISK__DAILY_LOSS_REDUCE_PCT": "0.5",
    "ALGOTRADE_RISK__DAILY_LOSS_WARN_PCT": "0.2",
}
# HELD shares are 5.8% of equity: a fall by a fifth of the price loses 1.2% of it


@pytest.fixture(scope="session")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a paper home that holds shares; nothing here may change it."""
    home = tmp_path_factory.mktemp("bought") / "home"
    buy(home)
    return home


@pytest.fixture
def holding(bought: Path, tmp_path: Path) -> Path:
    return copied(bought, tmp_path / "holding")


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def check_at(
    home: Path, price: float, env: dict[str, str] | None = None, *, now_ms: int = OPEN_MS
) -> Any:  # noqa: ANN401
    with LiveServer({"AAPL": BARS}) as server:
        server.print_price("AAPL", price, ms=now_ms)
        return cli(*CHECK, "--json", home=home, env=watching(server, **(env or {})))


def test_check_is_quiet_where_all_is_well(holding: Path) -> None:
    with LiveServer({"AAPL": BARS}) as server:
        server.print_price("AAPL", LAST, ms=OPEN_MS)
        ran = cli(*CHECK, "-q", home=holding, env=watching(server)).well()
        told = cli(*CHECK, "--json", home=holding, env=watching(server)).well().data
    assert (ran.out, ran.err) == ("", "")
    [position] = told["positions"]
    assert position["symbol"] == "AAPL"
    assert position["quantity"] == HELD
    assert position["value"] == pytest.approx(HELD * LAST)
    assert position["age_seconds"] == 0
    assert (told["level"], told["market_open"]) == ("ok", True)


@pytest.mark.parametrize(
    ("fall", "level", "code", "moved"),
    [
        (0.05, "warning", 20, []),
        (0.10, "breach", 3, ["reducing"]),
        (0.20, "halting", 3, ["halted"]),
    ],
)
def test_check_tells_how_grave_a_loss_is_and_moves_the_state(
    holding: Path, fall: float, level: str, code: int, moved: list[str]
) -> None:
    ran = check_at(holding, round(LAST * (1 - fall), 2), TIGHT)
    assert (ran.code, ran.envelope["data"]["level"]) == (code, level), ran
    assert "R18 daily loss" in ran.err
    assert query(holding, "SELECT level FROM halts") == [(word,) for word in moved]
    assert (holding / "HALT").exists() is (moved == ["halted"])
    marks = query(holding, "SELECT count(*) FROM marks")
    after = check_at(holding, LAST, TIGHT)
    assert after.code == (4 if moved == ["halted"] else 3 if moved else 0)
    assert query(holding, "SELECT count(*) FROM marks") == marks  # of sessions only


def test_old_prices_in_an_open_market_are_a_matter_of_data(holding: Path) -> None:
    ran = check_at(holding, LAST, now_ms=OPEN_MS - 400_000)
    assert ran.code == 5
    assert "M01 age of prices" in ran.err


def test_a_delayed_feed_is_never_called_live(holding: Path) -> None:
    with LiveServer({"AAPL": BARS}, status="DELAYED") as server:
        server.print_price("AAPL", LAST, ms=OPEN_MS - 15 * 60_000)
        ran = cli(*CHECK, "--format", "table", home=holding, env=watching(server)).well()
    assert "delayed 15 min" in ran.out
    assert "live" not in ran.out


def test_a_wide_spread_warns(holding: Path) -> None:
    with LiveServer({"AAPL": BARS}) as server:
        server.snapshots["AAPL"] = snapshot("AAPL", LAST, OPEN_MS, spread=2.0)
        ran = cli(*CHECK, home=holding, env=watching(server))
    assert ran.code == 20
    assert "M03 spread" in ran.err


def test_a_split_of_today_is_no_loss(holding: Path) -> None:
    with LiveServer({"AAPL": BARS}) as server:
        server.print_price("AAPL", round(LAST / 2, 4), ms=OPEN_MS)
        with_split = copied(holding, holding.with_name("split"))
        other = LiveServer(
            {"AAPL": BARS},
            splits=[
                {
                    "ticker": "AAPL",
                    "execution_date": "2026-11-24",
                    "split_from": 1,
                    "split_to": 2,
                    "id": "x",
                }
            ],
        )
        with other:
            fetched = live(other.base, "2026-11-24T15:00:00Z")
            cli("fetch", "AAPL", "--full", home=with_split, env=fetched).well()
        seen = cli(*CHECK, "--json", home=with_split, env=watching(server, **TIGHT))
        assert seen.code == 0, seen
        assert seen.data["positions"][0]["value"] == pytest.approx(HELD * LAST, rel=1e-4)
        assert cli(*CHECK, home=holding, env=watching(server, **TIGHT)).code == 3  # without it


def test_the_sample_says_that_its_prices_are_of_its_clock(sample: Path) -> None:
    ran = cli(*CHECK, "--format", "table", home=sample)
    assert "prices of the sample's clock" in ran.out
    assert "not of this moment" in ran.err


def test_watch_halts_before_it_prints_and_keeps_history_apart(holding: Path) -> None:
    halted_at_print: list[bool] = []
    with LiveServer({"AAPL": BARS}) as server:
        server.print_price("AAPL", LAST, ms=OPEN_MS)

        def fall() -> None:
            assert server.subscribed("LULD.AAPL")
            server.print_price("AAPL", round(LAST * 0.8, 2), ms=OPEN_MS + 1000)

        thread = threading.Thread(target=fall)
        thread.start()
        run = subprocess.Popen(
            [PROGRAM, *WATCH, "--max-seconds", "3"],
            env={"PATH": PATH, "ALGOTRADE_HOME": str(holding), **watching(server, **TIGHT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        levels = []
        with run:
            for line in run.stdout:
                levels.append(json.loads(line)["level"])
                if levels[-1] == "halting":
                    halted_at_print.append((holding / "HALT").exists())
        thread.join()
    assert halted_at_print == [True]
    assert levels[-1] == "halted"
    assert run.returncode == 4
    assert query(holding, "SELECT kind, level FROM halts") == [("halt", "halted")]
    assert query(holding, "SELECT count(*) > 0 FROM watched") == [(1,)]
    assert query(holding, "SELECT what, level FROM heartbeats") == [("watch", "halted")]
    trade = ("trade", "--symbol", "AAPL", "--qty", "60", "--no-model")
    assert cli(*trade, home=holding, env=live("http://127.0.0.1:1", MONDAY)).code == 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_watch_cleanly(holding: Path, number: int, code: int) -> None:
    with LiveServer({"AAPL": BARS}) as server:
        server.print_price("AAPL", LAST, ms=OPEN_MS)
        env = {"PATH": PATH, "ALGOTRADE_HOME": str(holding), **watching(server)}
        run = subprocess.Popen(
            [PROGRAM, *WATCH], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert run.stdout is not None
        run.stdout.readline()
        run.send_signal(number)
        _, err = run.communicate(timeout=20)
    assert run.returncode == code
    assert "Traceback" not in err


def test_the_dead_mans_switch(holding: Path) -> None:
    with LiveServer({"AAPL": BARS}) as server:
        server.print_price("AAPL", LAST, ms=OPEN_MS)
        env = watching(server)
        never = cli(*CHECK, "--max-age", "120", home=holding, env=env)
        assert never.code == 20
        assert "never looked" in never.err
        cli(*CHECK, "-q", home=holding, env=env).well()
        alive = cli(*CHECK, "--max-age", "120", "-q", home=holding, env=env).well()
        assert (alive.out, alive.err) == ("", "")
    later = env | {"ALGOTRADE_NOW": "2026-11-24T15:02:01Z"}
    dead = cli(*CHECK, "--max-age", "120", "--json", home=holding, env=later)
    assert dead.code == 20
    assert dead.envelope["data"] == {
        "account": "paper",
        "age_seconds": 121,
        "max_age_seconds": 120,
        "alive": False,
    }
    earlier = env | {"ALGOTRADE_NOW": "2026-11-24T14:59:00Z"}  # a beat of the future proves nothing
    assert cli(*CHECK, "--max-age", "120", home=holding, env=earlier).code == 20


def test_a_limit_that_is_lowered_acts_in_a_watch_that_runs(holding: Path) -> None:
    with LiveServer({"AAPL": BARS}) as server:
        server.print_price("AAPL", round(LAST * 0.95, 2), ms=OPEN_MS)
        env = {"PATH": PATH, "ALGOTRADE_HOME": str(holding), **watching(server)}
        with subprocess.Popen(
            [PROGRAM, *WATCH, "--max-seconds", "20"], env=env, stdout=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None
            assert json.loads(run.stdout.readline())["level"] == "ok"
            (holding / "algotrade.toml").write_text(
                "[risk]\ndaily_loss_reduce_pct = 0.1\ndaily_loss_halt_pct = 0.2\n"
            )
            for line in run.stdout:
                if json.loads(line)["halted_now"]:
                    break
            assert (holding / "HALT").exists()
            run.kill()


# ---- a store that is locked, broken, full, read-only


def test_a_halt_by_watch_works_while_another_process_writes(holding: Path) -> None:
    with locked_store(holding):
        ran = check_at(holding, round(LAST * 0.8, 2), TIGHT)
    assert ran.code == 3
    assert (holding / "HALT").exists()
    assert "the halt is not in the ledger" in ran.err
    assert cli("risk", "reset", "--reason", "x", home=holding, env=live("http://127.0.0.1:1")).code


def test_neither_watch_nor_halt_waits_for_the_lock_of_the_account(holding: Path) -> None:
    holder = (
        "import fcntl, os, sys, time\n"
        "handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    lock = str(holding / "data" / "paper.lock")
    with subprocess.Popen([sys.executable, "-c", holder, lock], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            began = time.monotonic()
            assert check_at(holding, round(LAST * 0.8, 2), TIGHT).code == 3
            env = live("http://127.0.0.1:1", MONDAY)
            cli("risk", "halt", "--reason", "drill", home=holding, env=env).well()
            assert time.monotonic() - began < 20  # the lock is waited for 30 s by those who want it
        finally:
            other.kill()


@pytest.mark.parametrize("broken", ["garbage", "torn", "changed"])
def test_a_broken_store_halts_by_file(holding: Path, broken: str) -> None:
    path = holding / "data" / "algotrade.db"
    if broken == "garbage":
        path.write_bytes(os.urandom(20_000))
    elif broken == "torn":
        path.write_bytes(path.read_bytes()[:6000])
    else:
        whole = path.read_bytes()
        assert b"opening deposit" in whole
        path.write_bytes(whole.replace(b"opening deposit", b"opening dEposit"))
    ran = check_at(holding, LAST)
    assert ran.code == 10, ran
    assert "the ledger cannot be trusted" in (holding / "HALT").read_text()
    assert "Traceback" not in ran.err
    again = check_at(holding, LAST)
    assert again.code == 10


@pytest.fixture
def no_halt_file(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Refuse the file HALT, as a read-only home does."""
    opened = os.open

    def refused(path: str, *more: Any) -> int:  # noqa: ANN401  as of os.open
        if str(path).endswith("/HALT"):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return opened(path, *more)

    monkeypatch.setattr(os, "open", refused)
    return monkeypatch


@pytest.mark.usefixtures("no_halt_file")
def test_halt_tells_why_it_could_not_halt(holding: Path) -> None:
    (holding / "data" / "algotrade.db").write_bytes(b"")
    ran = cli("risk", "halt", "--reason", "drill", home=holding, env=live("http://127.0.0.1:1"))
    assert ran.code == 11
    assert "trading is NOT halted" in ran.err


def test_a_halt_that_no_file_takes_stands_in_the_ledger(
    holding: Path, no_halt_file: pytest.MonkeyPatch
) -> None:
    ran = cli("risk", "halt", "--reason", "drill", home=holding, env=live("http://127.0.0.1:1"))
    assert ran.code == 0, ran
    assert "halted in the ledger only" in ran.err
    no_halt_file.undo()
    trade = ("trade", "--symbol", "AAPL", "--qty", "60", "--no-model")
    assert cli(*trade, home=holding, env=live("http://127.0.0.1:1", MONDAY)).code == 4


def test_a_full_disk_still_halts(holding: Path) -> None:
    """No file may grow: the store refuses, and so does the text of the halt, but not its name."""
    driver = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "sys.argv[0] = 'algotrade'\n"
        "from algotrade.cli.main import run\n"
        "run()\n"
    )
    env = {"PATH": PATH, "ALGOTRADE_HOME": str(holding), **live("http://127.0.0.1:1", FRIDAY)}
    ran = subprocess.run(
        [sys.executable, "-c", driver, "risk", "halt", "--reason", "drill"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in ran.stderr
    assert (holding / "HALT").exists()
    assert ran.returncode == 0
    assert "halted by the file" in ran.stderr
    trade = ("trade", "--symbol", "AAPL", "--qty", "60", "--no-model")
    assert cli(*trade, home=holding, env=live("http://127.0.0.1:1", MONDAY)).code == 4


@pytest.mark.parametrize(
    "args",
    [
        (*WATCH, "--max-seconds", "0"),
        ("risk", "watch", "--interval", "0"),
        (*CHECK, "--max-age", "0"),
    ],
)
def test_numbers_that_make_no_sense_are_usage(sample: Path, args: tuple[str, ...]) -> None:
    assert cli(*args, home=sample).code == 2
