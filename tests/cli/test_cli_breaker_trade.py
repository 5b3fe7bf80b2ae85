"""What somebody found who was told to break trading, backtests and their proofs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli_helpers import cli, contents, one_clear_line

if TYPE_CHECKING:
    from pathlib import Path

PRINTING = """
from algotrade import UP, Window, strategy


@strategy(lookback=2)
def loud(window: Window) -> int:
    print("buy, buy, buy")
    return UP
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    cli("fetch", "AAPL", "MSFT", home=made).well()
    return made


@pytest.mark.parametrize("who", [("--strategy", "sma-state"), ("--no-model",)])
@pytest.mark.parametrize(
    "flag", [("--probability", "5%"), ("--qty", "2", "--exit-below", "0.4")], ids=lambda f: f[0]
)
def test_what_reads_a_probability_needs_a_model(
    home: Path, who: tuple[str, ...], flag: tuple[str, ...]
) -> None:
    """A rule's weight was taken as whole, so that it bought where the rule said down."""
    before = contents(home)
    line = one_clear_line(cli("trade", "-s", "AAPL", *flag, *who, home=home), 2)
    assert "p(up), which only a model says" in line
    assert contents(home) == before


def test_drift_of_a_span_knows_nothing_of_what_was_traded_after_it(home: Path) -> None:
    cli("trade", "-s", "MSFT", "--qty", "2", "--no-model", home=home).well()
    cli("clock", "next", "3", home=home).well()
    cli("trade", "-s", "AAPL", "--qty", "1", "--no-model", home=home).well()
    cli("clock", "next", home=home).well()
    ran = cli("drift", "--to", "2012-12-04", "--json", home=home).well()
    told = json.loads(ran.out)["data"]
    assert (told["decisions"], told["gap"]) == (1, 0)


def test_what_a_strategy_prints_is_no_result(home: Path, tmp_path: Path) -> None:
    rule = tmp_path / "loud.py"
    rule.write_text(PRINTING, encoding="utf-8")
    asked = ("trade", "-s", "AAPL", "--qty", "1", "--strategy", f"{rule}:loud", "--json")
    ran = cli(*asked, home=home).well()
    assert json.loads(ran.out)["data"][0]["outcome"] == "placed"
    assert "buy, buy, buy" in ran.err


def test_a_short_position_is_told_as_one(home: Path) -> None:
    short = {"ALGOTRADE_RISK__SHORT": "on"}
    asked = ("trade", "-s", "MSFT", "--usd", "500", "--short", "--strategy", "sma-state", "--json")
    told = json.loads(cli(*asked, home=home, env=short).well().out)["data"][0]
    assert told["Side"] == "sell"
    assert "says down: hold short" in told["reason"]
    again = json.loads(cli(*asked, home=home, env=short).well().out)["data"][0]
    assert "says down: already short" in again["reason"]
    checks = cli("why", "MSFT", "--json", home=home, env=short).well().data["checks"]
    assert next(check for check in checks if check["id"] == "R13")["status"] == "n/a"
