"""What somebody found who had only the documentation: flags and settings that mean nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli_helpers import cli, contents, copied, files, one_clear_line

if TYPE_CHECKING:
    from pathlib import Path

TRADE = ("trade", "-s", "AAPL", "--no-model")
RISKED = (*TRADE, "--risk", "0.5%")


@pytest.fixture
def home(fetched: Path, tmp_path: Path) -> Path:
    return copied(fetched, tmp_path / "home")


def test_a_stop_on_the_wrong_side_of_an_entry_is_told(home: Path) -> None:
    before = contents(home)
    for more in ((), ("--dry-run",)):
        ran = cli(*RISKED, "--stop", "50000", *more, home=home)
        line = one_clear_line(ran, 2)
        assert "--stop 50,000.00 is not below 586.19, the last close of AAPL" in line
        assert "try: a stop below 586.19" in ran.err
    assert contents(home) == before


def test_a_short_position_has_its_stop_above(home: Path) -> None:
    rule = ("trade", "-s", "AAPL", "--strategy", "sma-state", "-p", "fast=5", "-p", "slow=200")
    env = {"ALGOTRADE_RISK__SHORT": "on"}
    words = (*rule, "--short", "--risk", "0.5%", "--dry-run", "--json")
    (said,) = cli(*words, "--stop", "5%", home=home, env=env).well().data
    right, wrong = ("900", "200") if said["signal"] == "down" else ("200", "900")
    cli(*words, "--stop", right, home=home, env=env).well()
    one_clear_line(cli(*words[:-1], "--stop", wrong, home=home, env=env), 2)


def test_a_stop_is_no_obstacle_to_what_is_held(home: Path) -> None:
    cli(*RISKED, "--stop", "560", home=home).well()
    ran = cli(*RISKED, "--stop", "5000", "--json", home=home).well()
    assert ran.data[0]["code"] == "in"


@pytest.mark.parametrize("stop", ["0%", "0", "100%", "-5%", "", "5000%", "x"])
def test_what_is_no_stop_to_size_by_is_told_with_one_that_is(home: Path, stop: str) -> None:
    ran = cli(*RISKED, f"--stop={stop}", home=home)
    assert one_clear_line(ran, 2) == f"algotrade: --stop {stop!r} is no stop to size by"
    assert "--stop 95" in ran.err
    assert "--stop 5%" in ran.err


def test_a_stop_that_is_a_price_is_for_one_symbol(home: Path) -> None:
    words = ("trade", "-s", "AAPL,MSFT", "--no-model", "--risk", "1%", "--stop", "5")
    assert "2 symbols" in one_clear_line(cli(*words, home=home), 2)


@pytest.mark.parametrize(
    "words",
    [
        ("orders",),
        ("cancel", "--all"),
        ("reconcile",),
        ("flatten", "--yes"),
        ("risk",),
        ("risk", "what-if", "-s", "AAPL", "--qty", "1"),
        ("risk", "check"),
        ("portfolio",),
        ("why", "AAPL"),
        (*TRADE, "--qty", "1"),
        (*TRADE, "--qty", "1", "--dry-run"),
    ],
)
def test_an_unknown_broker_means_the_same_everywhere(home: Path, words: tuple[str, ...]) -> None:
    told = {
        "nosuch": "no broker is called 'nosuch'",
        "alpaca": "the paper account at alpaca needs a key and none is set",
    }
    for broker, line in told.items():
        ran = cli(*words, home=home, env={"ALGOTRADE_BROKER": broker})
        assert one_clear_line(ran, 12) == f"algotrade: {line}"


@pytest.mark.parametrize("broker", ["../../elsewhere", "", "a b", "x" * 33])
def test_a_broker_has_a_plain_name(home: Path, tmp_path: Path, broker: str) -> None:
    before = files(tmp_path)
    one_clear_line(cli(*TRADE, "--qty", "1", "--broker", broker, home=home), 2)
    one_clear_line(cli("orders", home=home, env={"ALGOTRADE_BROKER": broker}), 12)
    assert files(tmp_path) == before


@pytest.mark.parametrize("rule", ["R19", "r19", "R16", "R17", "R20", "R01", "R11", "r7", "R99"])
def test_what_may_not_be_overridden_is_refused_with_what_may(home: Path, rule: str) -> None:
    ran = cli(*TRADE, "--qty", "1", "--override", rule, "--reason", "x", home=home)
    assert "--override" in one_clear_line(ran, 2)
    assert "those that may be overridden: R04, R05, R06, R07," in ran.err
    assert "R19" not in ran.err.splitlines()[-1]


def test_an_override_is_known_in_any_case(home: Path) -> None:
    words = (*TRADE, "--qty", "20", "--override", "r05,R10", "--json")
    (row,) = cli(*words, "--reason", "the desk agreed", home=home).well().data
    assert "overridden: R05 order value" in row["reason"]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--override", "R07", "--reason", "  "), "--reason is empty"),
        (("--override", "R07"), "--override needs --reason"),
        (("--override", ",", "--reason", "x"), "--override names no limit"),
        (("--reason", "x"), "--reason needs --override"),
        (("--client-id", ""), "--client-id '' cannot be used"),
    ],
)
def test_what_an_override_or_a_name_lacks_is_told(
    home: Path, more: tuple[str, ...], line: str
) -> None:
    assert one_clear_line(cli(*TRADE, "--qty", "1", *more, home=home), 2) == f"algotrade: {line}"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('[notify]\non = "hallts"', "notify.on = 'hallts' (from algotrade.toml)"),
        ('[notify]\ncommand = "mail \'you"', "notify.command = "),
        ("[notify]\ncommand = \"''\"", "notify.command = "),
        ('[train]\nparams = "C"', "train.params = 'C' (from algotrade.toml)"),
        ('[train]\nparams = "C=1 C=2"', "train.params = 'C=1 C=2'"),
        ('[train]\nwindow = "rollin"', "train.window = 'rollin'"),
        ("[train]\nfolds = 100000", "train.folds = '100000'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_at_once(home: Path, table: str, told: str) -> None:
    (home / "algotrade.toml").write_text(table, encoding="utf-8")
    for words in (("status",), ("config", "show"), (*TRADE, "--qty", "1")):
        line = one_clear_line(cli(*words, home=home), 12)
        assert told in line
        assert "algotrade.toml" in line


WRONG = (
    "format = 'x'\nrate = 'x'\n[risk]\nmax_order_usd = 'x'\nno_such_limit = 1\n"
    "[train]\nfolds = 'x'\n[notify]\non = 'x'\n[watch]\nfeed = 'x'\n"
    "[backup]\nkeep = 'x'\n[watchlists]\nmain = 'AAPL'\n"
)


def test_who_wants_out_waits_for_no_setting_that_is_not_needed(home: Path) -> None:
    cli(*TRADE, "--qty", "3", "--limit", "-2.5%", home=home).well()
    (home / "algotrade.toml").write_text(WRONG, encoding="utf-8")
    one_clear_line(cli("orders", home=home), 12)
    ran = cli("cancel", "--all", "--json", home=home).well()
    assert [row["state"] for row in ran.data] == ["cancelled"]
    assert "risk.max_order_usd = 'x' (from algotrade.toml) cannot be used; its default" in ran.err
    (home / "algotrade.toml").unlink()
    cli(*TRADE, "--qty", "3", home=home).well()
    (home / "algotrade.toml").write_text(WRONG, encoding="utf-8")
    ran = cli("flatten", "--yes", "--json", home=home).well()
    assert [row["outcome"] for row in ran.data["orders"]] == ["placed"]
    assert ran.err.count("its default stands") == 8  # of nine: --json names the format
    (home / "algotrade.toml").unlink()
    assert cli("portfolio", "--json", home=home).well().data["Holdings"] == {}


@pytest.mark.parametrize(
    "needed",
    [
        "source = 'x'",
        "broker = '../x'",
        "live = 'x'",
        "brokr = 'alpaca'",
        "[costs]\nslippage_bps = 'x'",
        "key_file = '/nope'",
        "[risk",
    ],
)
def test_who_wants_out_is_told_what_is_needed(home: Path, needed: str) -> None:
    (home / "algotrade.toml").write_text(needed, encoding="utf-8")
    for words in (("cancel", "--all"), ("flatten", "--yes")):
        one_clear_line(cli(*words, home=home), 12, hint="nope" not in needed)


def test_a_key_is_not_needed_where_the_source_is_named(home: Path) -> None:
    (home / "algotrade.toml").write_text("key_file = '/nope'\nsource = 'sample'", encoding="utf-8")
    ran = cli("flatten", "--yes", home=home).well()
    assert "key_file" in ran.err
