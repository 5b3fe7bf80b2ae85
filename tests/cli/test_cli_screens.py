"""What people see: whole screens, kept as files in tests/golden and looked at when they change.

ALGOTRADE_GOLDEN=write pytest tests/cli/test_cli_screens.py   writes the files anew; look at the
difference before you keep it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli_helpers import MONDAY, SERVED, cli, copied, live, served
from polygon_server import PolygonServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli_helpers import Ran

GOLDEN = Path(__file__).parents[1] / "golden"
HOME = "/home/you/trade"  # as long as the folder that stands for it, so that lines break alike
TRADE = ("trade", "--symbol", "AAPL", "--qty", "10")
WRITE = os.environ.get("ALGOTRADE_GOLDEN") == "write"
LOOKS_AHEAD = """
from algotrade import features


@features(lookback=30)
def build(bars):
    move = bars["close"].pct_change()
    return (move.rolling(10).std() / move.std()).to_frame("calm")
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """Give a new folder whose name is as long as HOME."""
    folder = Path(tempfile.mkdtemp(prefix="at", dir="/tmp"))  # a name of known length
    assert len(str(folder)) == len(HOME)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(short: Path, trained: Path) -> Path:
    """Give a sample home with a model, under a name of known length."""
    short.rmdir()
    return copied(trained, short)


def check_screen(name: str, ran: Ran, home: Path) -> None:
    """Compare both streams with the file, once what differs from run to run is made the same."""
    seen = f"{ran.err}---\n{ran.out}".replace(str(home), HOME)
    seen = re.sub(r"\b(logit|rf)-[0-9a-f]{12}\b", r"\1-0123456789ab", seen)
    seen = re.sub(r"\bmodel card [0-9a-f]{12}\b", "model card 0123456789ab", seen)
    assert not [line for line in ran.out.splitlines() if len(line) > 80]
    assert not [line for line in seen.splitlines() if line != line.rstrip()]
    assert seen.isprintable() or set(seen) - {"\n"} == {c for c in seen if c.isprintable()}
    path = GOLDEN / f"{name}.txt"
    if WRITE:
        path.write_text(seen, encoding="utf-8")
    assert seen == path.read_text(encoding="utf-8"), f"ALGOTRADE_GOLDEN=write accepts {path.name}"


def screen(name: str, *command: str, home: Path, env: dict[str, str] | None = None) -> None:
    check_screen(name, cli(*command, "--format", "table", home=home, env=env), home)


def test_screens_before_there_is_a_model(short: Path) -> None:
    screen("portfolio_nowhere", "portfolio", home=short)
    screen("init", "init", home=short)
    screen("status_new", "status", home=short)
    screen("fetch", "fetch", "AAPL", "ibm", home=short)
    screen("predict_no_model", "predict", home=short)
    screen("train", "train", "AAPL", "--model", "logit", home=short)
    search = ("train", "AAPL", "--model", "logit", "--grid", "C=0.05,0.2,0.02")
    screen("train_search", *search, home=short)
    screen("portfolio_empty", "portfolio", home=short)
    screen("trades_empty", "trades", home=short)


def test_screens_of_a_trade(home: Path) -> None:
    screen("predict", "predict", home=home)
    screen("trade_dry_run", *TRADE, "--dry-run", home=home)
    screen("trade", *TRADE, home=home)
    screen("trade_hold", *TRADE, home=home)
    screen("trade_refused", "trade", "-s", "AAPL", "--qty", "400", "--no-model", home=home)
    order = cli("trades", "--json", home=home).well().data[0]["ID"]
    screen("why", "why", order, home=home)
    screen("why_refused", "why", "AAPL", home=home)
    screen("portfolio", "portfolio", home=home)
    screen("trades", "trades", home=home)
    screen("risk", "risk", home=home)
    screen("status", "status", home=home)
    screen("clock", "clock", home=home)
    screen("clock_next", "clock", "next", "2", home=home)
    screen("withdraw", "withdraw", "1234.56", home=home)


def test_screens_of_a_halt(home: Path) -> None:
    reason = "the model buys the same share again and again, which it was never meant to do"
    screen("halt", "risk", "halt", "--reason", reason, home=home)
    screen("halt_risk", "risk", home=home)
    screen("halt_trade", *TRADE, home=home)
    screen("halt_status", "status", home=home)
    screen("halt_reset", "risk", "reset", "--reason", "taught it better", home=home)


def test_screens_of_an_order_that_waits(short: Path, live_trained: Path) -> None:
    short.rmdir()
    home = copied(live_trained, short)
    with PolygonServer({"AAPL": served()}, page_size=250) as server:
        env = live(server.base)
        screen("live_trade", *TRADE, home=home, env=env)
        screen("live_trade_again", *TRADE, home=home, env=env)
        screen("live_portfolio", "portfolio", home=home, env=env)
        server.bars["AAPL"] = served(1)
        screen("live_fetch", "fetch", home=home, env=live(server.base, MONDAY))


def test_screens_of_settings(home: Path) -> None:
    screen("config_show", "config", "show", home=home)
    screen("config_show_origin", "config", "show", "--origin", home=home)


def test_screens_of_stored_data(home: Path) -> None:
    screen("bars", "bars", "AAPL", "--tail", "5", home=home)
    screen("bars_adjusted", "bars", "AAPL", "--tail", "2", "--adjusted", home=home)
    screen("bars_weekly", "bars", "AAPL", "--timeframe", "1w", "--tail", "3", home=home)
    screen("export", "export", "AAPL", "--file", str(home / "aapl.csv"), home=home)
    screen("import", "import", str(home / "aapl.csv"), home=home)
    screen("data_check", "data", "check", home=home)
    screen("data_coverage", "data", "coverage", home=home)
    screen("data_diff_none", "data", "diff", home=home)
    screen("sql", "sql", "SELECT symbol, count(*) AS bars FROM v_bars GROUP BY 1", home=home)
    screen("sql_refused", "sql", "DELETE FROM bars", home=home)
    screen("fetch_plan_none", "fetch", "AAPL", "--dry-run", home=home)


def test_screens_of_what_a_source_changed(short: Path, live_trained: Path) -> None:
    short.rmdir()
    home = copied(live_trained, short)
    rows = [dict(row) for row in served(1)]
    rows[-40]["v"] = 12_345_678
    rows[-50]["c"] = rows[-50]["l"]
    with PolygonServer({"AAPL": rows, "IBM": served()[:-1]}, page_size=250) as server:
        screen("live_trade_before", *TRADE, home=home, env=live(server.base))
        env = live(server.base, MONDAY)
        screen("fetch_plan", "fetch", "AAPL,IBM", "--dry-run", home=home, env=env)
        screen("fetch_full", "fetch", "--full", home=home, env=env)
        screen("fetch_some", "fetch", "IBM", "XYZZY", "AAPL", home=home, env=env)
        screen("data_diff", "data", "diff", home=home, env=env)
        server.bars["GE"] = [row for number, row in enumerate(served(1)) if number % SERVED != 77]
        screen("fetch_gaps", "fetch", "GE", home=home, env=env)
        screen("data_check_gaps", "data", "check", home=home, env=env)
        screen("data_coverage_gaps", "data", "coverage", "GE", home=home, env=env)


def test_screens_of_models(home: Path) -> None:
    (name,) = [one["model"] for one in cli("models", "list", "--json", home=home).well().data]
    screen("models_refused", "models", "promote", name, home=home)
    screen("models_promote", "models", "promote", name, "--reason", "a rehearsal", home=home)
    cli("train", "AAPL", "--model", "logit", "--horizon", "3", home=home).well()
    newer = cli("models", "list", "--json", home=home).well().data[0]["model"]
    screen("models_list", "models", "list", home=home)
    screen("models_shadow", "models", "shadow", newer, home=home)
    screen("models_rm_refused", "models", "rm", name, home=home)
    screen("models_predict", "predict", home=home)
    screen("models_trade", "trade", "--symbol", "AAPL", "--qty", "10", home=home)
    screen("models_verify", "models", "verify", home=home)
    cli("clock", "next", "5", home=home).well()
    shown = cli("models", "show", newer, home=home).well().out.splitlines()
    heads = [line.split(" ")[0] for line in shown[-8:]]
    assert [head for head in heads if head] == ["state", "trained", "expires", "drift", "shadow"]
    screen("models_off", "models", "shadow", "off", home=home)
    screen("models_rm", "models", "rm", newer, home=home)
    screen("models_rollback", "models", "rollback", home=home)


def test_screens_of_an_audit(short: Path, fetched: Path) -> None:
    short.rmdir()
    home = copied(fetched, short)
    (home / "mine.py").write_text(LOOKS_AHEAD, encoding="utf-8")
    screen("audit_cheap", "audit", "AAPL", "--cheap", "--model", "logit", home=home)
    features = f"{home}/mine.py:build"
    screen("audit_failed", "audit", "AAPL", "--features", features, "--tests", "A1,A4", home=home)


@pytest.mark.parametrize(
    "command",
    [
        *("", "trade", "risk", "fetch", "config show", "import", "bars", "export", "sql", "data"),
        *("data check", "data diff", "data coverage"),
    ],
)
def test_help_fits(command: str, home: Path) -> None:
    ran = cli(*command.split(), "--help", home=home, env={"COLUMNS": "80"}).well()
    assert "Usage: algotrade" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_every_golden_file_is_used() -> None:
    tests = Path(__file__).parent.glob("test_*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in tests)
    assert [path.stem for path in GOLDEN.glob("*.txt") if f'("{path.stem}"' not in text] == []
