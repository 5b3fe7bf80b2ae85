"""A secret planted wherever a key may live is seen nowhere; no text drives a terminal."""

from __future__ import annotations

import contextlib
import json
import subprocess
import unicodedata
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from algotrade.cli.main import COMMANDS
from cli_helpers import FRIDAY, PATH, PROGRAM, Ran, cli, copied, served
from live_server import LiveServer, status
from polygon_faults import Fault
from watch_world import BARS, LAST, OPEN_MS, OPEN_NOW, buy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CANARY = "c4nary-polygon-77f1"
BROKER = {
    f"ALPACA_{kind}_{part}": f"c4nary-{kind}-{part}-31"
    for kind in ("PAPER", "LIVE")
    for part in ("KEY_ID", "SECRET")
}
HOOK = "https://hooks.invalid/c4nary-hook-9"
SECRETS = (CANARY, "c4nary-hook-9", *BROKER.values())
PLACES = ("POLYGON_API_KEY", "MASSIVE_API_KEY", "key_file", "credential")

EVERY_COMMAND = {
    "demo": ["demo --help"],  # it runs without our keys: see its own tests
    "init": ["init"],
    "status": ["status"],
    "config": ["config show", "config show --origin"],
    "fetch": ["fetch AAPL", "fetch NONE", "fetch AAPL --full -v"],
    "import": ["import /nonexistent"],
    "bars": ["bars AAPL"],
    "export": ["export AAPL"],
    "data": ["data check", "data coverage", "data diff"],
    "sql": ["sql SELECT*FROM(v_bars)LIMIT(2)", "sql SELECT*FROM(meta)"],
    "quote": ["quote AAPL", "quote AAPL --details -v"],
    "market": ["market"],
    "clock": ["clock"],
    "train": ["train --model logit -v"],
    "audit": ["audit AAPL --tests A1"],
    "models": ["models"],
    "report": ["report"],
    "predict": ["predict AAPL"],
    "backtest": ["backtest AAPL --strategy sma-state"],
    "runs": ["runs list"],
    "trade": [
        "trade --symbol AAPL --qty 10 --no-model -v",
        "trade --symbol AAPL --qty 10 --no-model --follow --interval 1 --max-seconds 1",
        "trade --symbol AAPL --qty 10 --no-model --broker alpaca -v",
    ],
    "orders": ["orders", "orders --broker alpaca -v"],
    "cancel": ["cancel --all", "cancel --all --broker alpaca"],
    "reconcile": ["reconcile", "reconcile --broker alpaca -v"],
    "flatten": ["flatten", "flatten --yes --broker alpaca"],
    "risk": [
        "risk",
        "risk check -v",
        "risk check --max-age 5",
        "risk watch --once -v",
        "risk watch --max-seconds 1 --interval 1",
        "risk halt --reason drill",
        "risk reset --reason drill",
    ],
    "notify": ["notify test -v"],
    "why": ["why AAPL"],
    "replay": ["replay AAPL"],
    "verify": ["verify parity"],
    "drift": ["drift"],
    "portfolio": ["portfolio"],
    "trades": ["trades"],
    "deposit": ["deposit 5"],
    "withdraw": ["withdraw 5"],
    "ledger": ["ledger verify", "ledger show"],
    "backup": ["backup"],
    "restore": ["restore /nonexistent"],
}
STREAMED = {"refused", "gone"}


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a paper home that holds shares; nothing here may change it."""
    home = tmp_path_factory.mktemp("bought") / "home"
    buy(home)
    return home


def test_every_command_is_looked_at() -> None:
    assert set(EVERY_COMMAND) >= set(COMMANDS)


@contextlib.contextmanager
def planted(place: str, folder: Path) -> Iterator[dict[str, str]]:
    """Put the canary where a key may live; give the environment that finds it."""
    env = {"ALGOTRADE_WEBHOOK": HOOK, **BROKER}
    if place == "key_file":
        file = folder / "key"
        file.write_text(CANARY)
        file.chmod(0o600)
        env["ALGOTRADE_KEY_FILE"] = str(file)
    elif place == "credential":
        (folder / "polygon").write_text(CANARY)
        env["CREDENTIALS_DIRECTORY"] = str(folder)
    else:
        env[place] = CANARY
    yield env


def insist_unseen(ran: Ran, what: str) -> None:
    for secret in SECRETS:
        assert secret not in ran.out + ran.err, (what, secret)


def insist_unwritten(home: Path) -> None:
    for path in home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in SECRETS), path


def settings(server: LiveServer, env: Mapping[str, str], now: str = OPEN_NOW) -> dict[str, str]:
    return {
        "ALGOTRADE_API_BASE": server.base,
        "ALGOTRADE_WATCH__STREAM": server.stream,
        "ALGOTRADE_WATCH__INDEX": "",
        "ALGOTRADE_RATE": "0",
        "ALGOTRADE_NOW": now,
        "ALGOTRADE_BROKER_BASE": "http://127.0.0.1:1",
        **env,
    }


def known(env: dict[str, str]) -> dict[str, str]:
    """Leave out what names no setting of this version."""
    from algotrade.config import _RESERVED, variable_of
    from algotrade.settings import SETTINGS

    names = {variable_of(one.name) for one in SETTINGS} | set(_RESERVED)
    return {k: v for k, v in env.items() if not k.startswith("ALGOTRADE_") or k in names}


def test_no_command_shows_or_keeps_a_secret(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with planted("POLYGON_API_KEY", tmp_path) as env:
        with LiveServer({"AAPL": served()}, key=CANARY) as server:
            fetched = cli("fetch", "AAPL", home=home, env=known(settings(server, env, FRIDAY)))
            insist_unseen(fetched.well(), "fetch")
        with LiveServer({"AAPL": BARS}, key=CANARY) as server:
            server.print_price("AAPL", LAST, ms=OPEN_MS)
            for name, commands in EVERY_COMMAND.items():
                for line in commands:
                    ran = cli(*line.split(), home=home, env=known(settings(server, env)))
                    insist_unseen(ran, line)
                    assert "a bug" not in ran.err, (name, ran)
    insist_unwritten(home)


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        *((place, "401") for place in PLACES),
        *((PLACES[0], fault) for fault in ("403", "500", "html", "echo", "refused", "gone")),
    ],
)
def test_no_failure_shows_a_secret(place: str, fault: str, bought: Path, tmp_path: Path) -> None:
    home = copied(bought, tmp_path / "home")
    words = f"Unknown API Key {CANARY} of {CANARY}"
    faults = {
        "401": [Fault(kind="401", value=words)],
        "403": [Fault(kind="403", value=words)],
        "500": [Fault(kind="500", value=words)],
        "html": [Fault(kind="reply", value=f"<html>{CANARY}</html>")],
        "echo": [Fault(kind="reply", value=json.dumps({"status": CANARY, "results": CANARY}))],
    }
    refusal = f"bad key {CANARY}" if fault == "refused" else ""
    with (
        planted(place, tmp_path) as env,
        LiveServer({}, key=CANARY, faults=faults.get(fault, ()), refusal=refusal) as server,
        mock.patch("algotrade.market.polygon_http._BACK_OFF", (0.0,)),
    ):
        told = known(settings(server, env))
        if fault == "gone":
            server.rest.die()
            server.hang_up()
        for line in (
            "fetch AAPL --full -v",
            "quote AAPL -v",
            "risk check -v --json",
            *(["risk watch --max-seconds 1 --interval 1 -v"] if fault in STREAMED else []),
        ):
            ran = cli(*line.split(), home=home, env=told)
            insist_unseen(ran, line)
            assert "a bug" not in ran.err, ran
    insist_unwritten(home)


def test_a_bug_with_a_secret_at_hand_is_told_without_it(bought: Path, tmp_path: Path) -> None:
    """A traceback shows lines of code, never the values of their variables."""
    home = copied(bought, tmp_path / "home")

    def broken(*_args: object, **_more: object) -> object:
        key = CANARY
        raise RuntimeError(f"broken beside a key of {len(key)} letters")

    with (
        planted("POLYGON_API_KEY", tmp_path) as env,
        LiveServer({}, key=CANARY) as server,
        mock.patch("algotrade.market.polygon_http.PolygonHttp.get", broken),
    ):
        told = known(settings(server, env))
        ran = cli("quote", "AAPL", "-v", home=home, env=told)
    assert ran.code == 1
    assert "Traceback" in ran.err
    insist_unseen(ran, "quote")
    insist_unwritten(home)


def test_no_process_shows_a_secret_to_others(bought: Path, tmp_path: Path) -> None:
    home = copied(bought, tmp_path / "home")
    file = tmp_path / "tell"
    file.write_text("#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline > \"$0.args\"\nenv > \"$0.env\"\n")
    file.chmod(0o700)
    with planted("POLYGON_API_KEY", tmp_path) as env, LiveServer({"AAPL": BARS}, key=CANARY) as s:
        s.print_price("AAPL", LAST, ms=OPEN_MS)
        told = known(settings(s, env)) | {
            "PATH": PATH,
            "ALGOTRADE_HOME": str(home),
            "ALGOTRADE_NOTIFY__COMMAND": str(file),
            "ALGOTRADE_RISK__DAILY_LOSS_HALT_PCT": "0.5",
            "ALGOTRADE_RISK__DAILY_LOSS_REDUCE_PCT": "0.4",
        }
        with subprocess.Popen(
            [PROGRAM, "risk", "watch", "--interval", "1", "--max-seconds", "4"],
            env=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watch:
            assert watch.stdout is not None
            watch.stdout.readline()
            assert s.subscribed("LULD.AAPL")
            s.print_price("AAPL", round(LAST * 0.8, 2), ms=OPEN_MS + 1000)
            with open(f"/proc/{watch.pid}/cmdline", encoding="utf-8") as cmdline:  # noqa: PTH123
                shown = cmdline.read()
            out, err = watch.communicate(timeout=30)
    insist_unseen(Ran(code=0, out=shown + out, err=err), "watch")
    for left in (file.with_name("tell.args"), file.with_name("tell.env")):
        assert left.exists(), err
        assert not any(secret in left.read_text() for secret in SECRETS), left


# ---- terminals

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eleft\u2066 [/x] [link=http://x]y[/link]"
FORBIDDEN = {"Cc", "Cf"}


def insist_plain(ran: Ran, what: str) -> None:
    raw = [c for c in ran.out + ran.err if unicodedata.category(c) in FORBIDDEN and c not in "\n\t"]
    assert raw == [], (what, raw)
    assert "a bug" not in ran.err, ran


def test_text_of_the_provider_drives_no_terminal(bought: Path, tmp_path: Path) -> None:
    home = copied(bought, tmp_path / "home")
    details: Any = {
        "ticker": "AAPL",
        "name": f"Apple {ESCAPES}",
        "active": True,
        "type": f"CS{ESCAPES}",
    }
    server = LiveServer({"AAPL": BARS}, tickers=[details])
    failing = LiveServer({}, faults=[Fault(kind="500", value=ESCAPES)], refusal=ESCAPES)
    env = {"POLYGON_API_KEY": server.key}
    with server, failing, mock.patch("algotrade.market.polygon_http._BACK_OFF", (0.0,)):
        server.print_price("AAPL", LAST, ms=OPEN_MS)
        for form in ("table", "tsv", "csv", "json"):
            for line in ("quote AAPL --details", "risk check"):
                ran = cli(*line.split(), "--format", form, home=home, env=settings_of(server, env))
                insist_plain(ran, line)
        for line in ("quote AAPL -v", "fetch AAPL --full", "risk watch --max-seconds 1"):
            insist_plain(cli(*line.split(), home=home, env=settings_of(failing, env)), line)
        odd = [status("error", ESCAPES), json.dumps([{"ev": ESCAPES, "sym": ESCAPES}])]
        assert all("\x1b" not in message for message in odd)  # JSON escapes; we must not unescape


def settings_of(server: LiveServer, env: dict[str, str]) -> dict[str, str]:
    return known(settings(server, env))


def test_text_of_a_person_or_a_file_drives_no_terminal(bought: Path, tmp_path: Path) -> None:
    home = copied(bought, tmp_path / "home")
    env = {"ALGOTRADE_SOURCE": "csv"}
    file = tmp_path / "EVIL.csv"
    file.write_text(
        f"date,open,high,low,close,volume\n2026-11-20,1,1,1,{ESCAPES},5\n{ESCAPES},1,1,1,1,1\n",
        encoding="utf-8",
    )
    csv = tmp_path / "csv"
    insist_plain(cli("import", str(file), home=csv, env=env), "import")
    live: dict[str, str] = {"POLYGON_API_KEY": "x", "ALGOTRADE_NOW": FRIDAY}
    insist_plain(cli("risk", "halt", "--reason", ESCAPES, home=home, env=live), "halt")
    for line in ("risk", "risk --format table", "status --format table", "status", "risk check"):
        insist_plain(cli(*line.split(), home=home, env=live), line)
    insist_plain(cli("fetch", ESCAPES, home=home, env=live), "fetch")
    insist_plain(cli("trade", "--symbol", ESCAPES, "--qty", ESCAPES, home=home, env=live), "trade")
