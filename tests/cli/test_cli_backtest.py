"""backtest and runs at the command line: what they print, what they refuse, what they keep."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli_helpers import cli, contents, copied, one_clear_line, process, query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli_helpers import Ran

GOLDEN = Path(__file__).parents[1] / "golden"
WRITE = os.environ.get("ALGOTRADE_GOLDEN") == "write"
RULE = ("--strategy", "sma-state")
FAST = ("-p", "fast=5", "-p", "slow=20")
SHORT = ("--from", "2010-01-04", "--to", "2011-12-30")
ASKED = ("backtest", "AAPL", *RULE, *FAST, *SHORT)
OWN = """
from algotrade import DOWN, UP, Window, strategy


@strategy(lookback=lambda days: days + 1)
def momentum(window: Window, *, days: int = 20) -> int:
    return UP if window.close[-1] > window.close[-days - 1] else DOWN
"""
_FIGURES = """start end profit realised dividends fees slippage closed_trades win_rate profit_factor
average_trade best_trade worst_trade sessions periods_per_year total_return annual_return volatility
sharpe sharpe_low sharpe_high psr sortino calmar max_drawdown longest_drawdown value_at_risk
expected_shortfall turnover exposure time_invested benchmark_return excess excess_psr judged_sharpe
judged_skew judged_kurtosis bars symbols orders fills expired cancelled dividends_paid delisted
refused_spans hold_spans trials deflated_sharpe"""
FIGURES = _FIGURES.split()
NAMES = {
    *("run", "number", "sweep", "strategy", "symbols", "first", "last", "source"),
    *("halt", "halted", "reducing", "reduced", "verdict"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with bars of two symbols; nothing here may change it."""
    home = tmp_path_factory.mktemp("stored") / "home"
    cli("fetch", "AAPL", "IBM", home=home).well()
    return home


@pytest.fixture(scope="module")
def kept(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with two runs; nothing here may change it."""
    home = copied(stored, tmp_path_factory.mktemp("kept") / "home")
    cli(*ASKED, home=home).well()
    cli("backtest", "AAPL", "IBM", *RULE, *SHORT, "--usd", "5000", home=home).well()
    return home


@pytest.fixture
def home(stored: Path, tmp_path: Path) -> Path:
    return copied(stored, tmp_path / "home")


def numbers(found: Any) -> Iterator[float]:  # noqa: ANN401  any JSON
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from numbers(one)
    elif isinstance(found, float | int):
        yield found


def data(schema: str, *command: str, home: Path) -> Any:  # noqa: ANN401  as the schema says
    ran = cli(*command, "--json", home=home).well()
    assert ran.envelope["schema"] == f"algotrade.{schema}/1"
    assert all(math.isfinite(one) for one in numbers(ran.envelope))
    return ran.data


def facts(home: Path) -> dict[str, str]:
    """Give a digest of every table but the cache of columns, which reading may fill."""
    return {name: told for name, told in contents(home).items() if name != "bar_chunks"}


def table(ran: Ran) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ran.well().out), delimiter="\t"))


def test_the_json_of_a_run(home: Path) -> None:
    found = data("backtest", *ASKED, home=home)
    assert set(found) == NAMES | {"figures", "spec"}
    assert list(found["figures"]) == FIGURES
    assert (found["first"], found["last"]) == ("2010-01-04", "2011-12-30")
    assert (found["number"], found["symbols"], found["halted"]) == (1, "AAPL", None)
    assert found["spec"]["limits_name"] == "live"
    assert data("backtest", *ASKED, home=home) == found, "found, not repeated"
    assert data("backtest", "runs", "show", "1", home=home) == found
    (row,) = data("runs", "runs", "list", home=home)
    assert row == {**found["figures"], **{name: found[name] for name in NAMES}}


def test_the_json_of_the_parts_of_a_run(kept: Path) -> None:
    name = query(kept, "SELECT run_id FROM runs WHERE number = 1")[0][0]
    show = ("runs", "show", name[:6])
    fills = data("run-fills", *show, "--fills", home=kept)
    assert fills["run"] == name
    assert set(fills["fills"][0]) == {
        *("session", "filled_at", "side", "symbol", "quantity", "price", "fee", "order")
    }
    counted = query(kept, "SELECT count(*) FROM v_run_fills WHERE run_id = ?", name)
    assert [(len(fills["fills"]),)] == counted
    decisions = data("run-decisions", *show, "--decisions", home=kept)["decisions"]
    assert set(decisions[0]) == {
        *("symbol", "first", "last", "action", "code", "reason", "p_up", "source", "side"),
        *("quantity", "order"),
    }
    placed = [one["order"] for one in decisions if one["action"] == "order"]
    assert {one["order"] for one in fills["fills"]} <= set(placed)
    equity = data("run-equity", *show, "--equity", home=kept)["equity"]
    assert set(equity[0]) == {"marked_at", "equity", "cash", "value"}
    assert equity[-1]["equity"] == data("backtest", *show, home=kept)["figures"]["end"]
    stored = "SELECT marked_at, equity, cash, value FROM v_run_equity WHERE run_id = ?"
    assert [tuple(one.values()) for one in equity] == query(kept, stored, name)


def test_the_json_of_a_difference(kept: Path) -> None:
    found = data("runs-diff", "runs", "diff", "1", "2", home=kept)
    assert set(found) == {"first", "second", "differences"}
    parts = {one["name"]: (one["first"], one["second"]) for one in found["differences"]}
    assert {"symbols", "policy.sizing", "trials"} <= set(parts)
    assert parts["policy.sizing"][0] == ["equity", 500, 10000, 2000, None, None, 0]
    assert data("runs-diff", "runs", "diff", "1", "01", home=kept)["differences"] == []


def test_the_json_of_a_grid(home: Path) -> None:
    asked = ("backtest", "AAPL", *RULE, *SHORT, "-p", "fast=5,10", "-p", "slow=20,50")
    rows = data("sweep", *asked, home=home)
    assert [set(row) for row in rows] == [NAMES | set(FIGURES)] * 4
    sharpes = [row["sharpe"] for row in rows]
    assert sharpes == sorted(sharpes, reverse=True)
    assert {row["trials"] for row in rows} == {4}
    assert {row["symbols"] for row in rows} == {"AAPL"}
    ran = [row["strategy"] for row in sorted(rows, key=lambda row: row["number"])]
    grid = [f"sma-state fast={fast} slow={slow}" for fast in (5, 10) for slow in (20, 50)]
    assert ran == grid
    again = data("sweep", *asked, home=home)
    assert again == rows


def test_a_pipe_is_given_rows_and_a_run_told_in_plain_letters(home: Path) -> None:
    env = {"ALGOTRADE_HOME": str(home), "PYTHONIOENCODING": "ascii"}
    told = process(*ASKED, cwd=home, env=env).well().out
    assert told.isascii()
    assert all(len(line) <= 80 for line in told.splitlines())
    found = data("backtest", "runs", "show", "1", home=home)
    assert told.startswith(f"{found['run']}  sma-state fast=5 slow=20 on AAPL, 2010-01-04 ..")
    assert f"-> ${found['figures']['end']:,.2f}:" in told
    (row,) = table(cli("runs", "list", home=home))
    assert list(row)[: len(NAMES)] == list(found)[: len(NAMES)]
    assert list(row)[len(NAMES) :] == [name for name in FIGURES if name != "symbols"]
    assert (row["run"], row["symbols"]) == (found["run"], "AAPL")
    assert float(row["end"]) == found["figures"]["end"]
    assert len(table(cli("runs", "show", "1", "--fills", home=home))) == found["figures"]["fills"]


def test_a_file_of_limits(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text('[risk]\ndrawdown_halt_pct = 0.5\nshort = "on"\n', encoding="utf-8")
    found = data("backtest", *ASKED, "--limits", str(path), home=home)
    assert found["spec"]["limits"]["drawdown_halt_bps"] == 50
    assert found["spec"]["limits"]["allow_short"] is True
    assert found["halt"].startswith("R19 drawdown")
    assert "2010-01-04" < found["halted"] <= "2011-12-30"
    head = cli("runs", "show", "1", "--format", "table", home=home).well().out.split("\n", 1)[0]
    assert head.startswith(f"HALTED   {found['halted']}: R19 drawdown")
    wide = data("backtest", *ASKED, "--limits", "wide", home=home)
    assert (wide["halted"], wide["spec"]["limits_name"]) == (None, "wide")


def test_a_strategy_of_your_own(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "momentum.py"
    path.write_text(OWN, encoding="utf-8")
    asked = ("backtest", "AAPL", "--strategy", f"{path}:momentum", *SHORT)
    found = data("backtest", *asked, "-p", "days=60", home=home)
    assert found["strategy"] == "momentum.py:momentum days=60"
    assert found["figures"]["fills"] > 5
    path.write_text(OWN.replace("UP if", "DOWN if").replace("else DOWN", "else UP"), "utf-8")
    other = data("backtest", *asked, "-p", "days=60", home=home)
    assert other["run"] != found["run"]
    assert other["figures"]["trials"] == 2


LIMITS_FILES = {
    "empty": b"",
    "unknown": b"[risk]\nmax_gros = 1\n",
    "broken": b"[risk\n",
    "more": b"[risk]\n[cash]\nx = 1\n",
    "no table": b"risk = 3\n",
    "no text": b"\xff\xfe",
    "a list": b"[risk]\ndrawdown_halt_pct = [1]\n",
    "no number": b"[risk]\ndrawdown_halt_pct = nan\n",
    "negative": b"[risk]\ndrawdown_halt_pct = -1\n",
    "a table": b"[risk.drawdown_halt_pct]\nx = 1\n",
}


@pytest.mark.parametrize("name", [*LIMITS_FILES, "missing", "a folder"])
def test_bad_files_of_limits_run_nothing(home: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "limits.toml"
    if name in LIMITS_FILES:
        path.write_bytes(LIMITS_FILES[name])
    elif name == "a folder":
        path.mkdir()
    before = facts(home)
    one_clear_line(cli(*ASKED, "--limits", str(path), home=home), 2)
    assert facts(home) == before


BAD: list[tuple[int, str, tuple[str, ...]]] = [
    (2, "lies after", (*RULE, "--from", "2011-01-03", "--to", "2010-01-04")),
    (2, "is not a date", (*RULE, "--from", "yesterday")),
    (2, "is not a date", (*RULE, "--to", "2010-02-30")),
    (5, "no bar of any symbol", (*RULE, "--from", "2050-01-01")),
    (5, "no sample bars of AAPL by 1999-01-04", (*RULE, "--to", "1999-01-04")),
    (5, "no sample bars of ZZZZ", ("ZZZZ", *RULE)),
    (2, "no watch-list", ("@none", *RULE)),
    (2, "unknown strategy", ("--strategy", "nope")),
    (2, "cannot be read", ("--strategy", "/nowhere/file.py:f")),
    (2, "has no parameter 'foo'", (*RULE, "-p", "foo=1")),
    (2, "is not name=value", (*RULE, "-p", "fast")),
    (2, "fast=''", (*RULE, "-p", "fast=10,,20")),
    (2, "fast='x'", (*RULE, "-p", "fast=10,x")),
    (2, "cannot be used", (*RULE, "-p", "fast=10,300", "-p", "slow=100")),
    (2, "given twice", (*RULE, "-p", "fast=10", "-p", "fast=20")),
    (2, "-p sets parameters", ("-p", "fast=10")),
    (2, "contradict", (*RULE, "--model", "x")),
    (2, "contradict", (*RULE, "--walk-forward")),
    (2, "contradict", ("--model", "x", "--walk-forward")),
    (2, "contradict", (*RULE, "--qty", "1", "--usd", "5")),
    (2, "contradict", (*RULE, "--equity", "5%", "--volatility", "5%")),
    (2, "--qty '' is not", (*RULE, "--qty", "")),
    (2, "is zero", (*RULE, "--qty", "0")),
    (2, "is not a percentage", (*RULE, "--equity", "0%")),
    (2, "p(up)", (*RULE, "--probability", "10%")),
    (2, "p(up)", (*RULE, "--exit-below", "0.4")),
    (2, "is not a probability", (*RULE, "--exit-below", "2")),
    (2, "without cash", (*RULE, "--cash", "0")),
    (2, "cash_usd", (*RULE, "--cash", "-5")),
    (2, "commission_pct", (*RULE, "--commission", "x%")),
    (2, "slippage_bps", (*RULE, "--slippage", "-1")),
    (2, "--every", (*RULE, "--every", "0")),
    (5, "no sample bars of ZZZZ", (*RULE, "--benchmark", "ZZZZ")),
    (2, "is not a ticker", (*RULE, "--benchmark", "")),
    (2, "is not a time in force", (*RULE, "--tif", "week")),
    (2, "is not a price", (*RULE, "--limit", "0")),
    (6, "no model", ()),
    (6, "no model 'rf-000'", ("--model", "rf-000")),
]


@pytest.mark.parametrize(("code", "text", "asked"), BAD, ids=lambda one: str(one)[:50])
def test_what_cannot_be_run_is_told_and_nothing_is_kept(
    stored: Path, code: int, text: str, asked: tuple[str, ...]
) -> None:
    before = facts(stored)
    symbols = () if asked[:1] in {("ZZZZ",), ("@none",)} else ("AAPL",)
    assert text in one_clear_line(cli("backtest", *symbols, *asked, home=stored), code)
    assert facts(stored) == before


@pytest.mark.parametrize(
    "name", ["", "b-", "99", "0", "9" * 5000, "\udcff", "²", "b-%", "' OR 1=1", "B-"]
)
def test_a_run_that_is_not_meant_clearly_is_not_shown(kept: Path, name: str) -> None:
    line = one_clear_line(cli("runs", "show", name, home=kept), 2)
    assert ("more than one run" in line) == (name == "b-")
    one_clear_line(cli("runs", "diff", "1", name, home=kept), 2)


def test_parts_of_a_run_contradict_each_other(kept: Path) -> None:
    one_clear_line(cli("runs", "show", "1", "--fills", "--equity", home=kept), 2)
    asked = cli("runs", "show", "99", "--json", home=kept)
    assert (asked.code, asked.out) == (2, "")
    assert json.loads(asked.err.splitlines()[-1])["error"]["code"] == 2


def test_no_runs_yet(stored: Path) -> None:
    assert data("runs", "runs", "list", home=stored) == []
    assert "no runs yet" in cli("runs", "list", "--format", "table", home=stored).well().out


def test_the_newest_runs_come_first(kept: Path) -> None:
    assert [row["number"] for row in data("runs", "runs", "list", home=kept)] == [2, 1]
    assert [row["number"] for row in data("runs", "runs", "list", "--last", "1", home=kept)] == [2]


def test_ruin_is_told(home: Path) -> None:
    asked = ("--short", "--limits", "wide", "--usd", "99999")
    found = data("backtest", "backtest", "AAPL", *RULE, *asked, home=home)
    assert found["verdict"] == "The account is ruined: its equity fell to nothing."
    assert found["figures"]["max_drawdown"] < -1


def screen(name: str, *command: str, home: Path) -> None:
    """Compare a screen with its file; ids of runs hang on the version, and are made the same."""
    ran = cli(*command, "--format", "table", home=home).well()
    seen = re.sub(r"\bb-[0-9a-f]{12}\b", "b-0123456789ab", f"{ran.err}---\n{ran.out}")
    assert not [line for line in seen.splitlines() if len(line) > 80 or line != line.rstrip()]
    path = GOLDEN / f"{name}.txt"
    if WRITE:
        path.write_text(seen, encoding="utf-8")
    assert seen == path.read_text(encoding="utf-8"), f"ALGOTRADE_GOLDEN=write accepts {path.name}"


def test_screens_of_backtests(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("[risk]\ndrawdown_halt_pct = 0.5\n", encoding="utf-8")
    screen("runs_none", "runs", "list", home=home)
    screen("backtest", *ASKED, home=home)
    screen("backtest_halted", *ASKED, "--limits", str(path), home=home)
    grid = ("-p", "fast=5,10", "-p", "slow=20,50")
    screen("backtest_grid", "backtest", "AAPL", *RULE, *SHORT, *grid, home=home)
    screen("runs_list", "runs", "list", home=home)
    screen("runs_diff", "runs", "diff", "1", "3", home=home)
    screen("runs_same", "runs", "diff", "1", "1", home=home)
    screen("runs_fills", "runs", "show", "1", "--fills", home=home)
    screen("runs_decisions", "runs", "show", "1", "--decisions", home=home)
