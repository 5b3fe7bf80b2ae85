"""replay, verify and drift on the command line: screens, schemas, exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli_helpers import cli, copied, one_clear_line, query
from verify_world import spoil

if TYPE_CHECKING:
    from pathlib import Path

STEPS = ["grounds", "model", "bars", "features", "signal", "state", "risk", "order"]


@pytest.fixture
def home(traded: Path, tmp_path: Path) -> Path:
    return copied(traded, tmp_path / "home")


def order_id(home: Path) -> str:
    return str(query(home, "SELECT order_id FROM v_orders")[0][0])


def envelope(home: Path, *words: str, code: int = 0) -> dict[str, Any]:
    ran = cli(*words, "--json", home=home)
    assert ran.code == code, ran
    found: dict[str, Any] = json.loads(ran.out)
    assert found["ok"] is (code == 0)
    assert bool(ran.err.count("differs") or ran.err.count("DIFFERENT")) is bool(code)
    return found


def test_replay_walks_every_step_and_says_identical(home: Path) -> None:
    ran = cli("replay", order_id(home), home=home).well()
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == STEPS
    assert lines[-1] == "IDENTICAL"
    found = envelope(home, "replay", order_id(home))
    assert found["schema"] == "algotrade.replay/1"
    assert [step["name"] for step in found["data"]["steps"]] == STEPS
    assert all(step["identical"] for step in found["data"]["steps"])


def test_replay_stops_at_the_first_difference_with_both_values(home: Path) -> None:
    spoil(home, "UPDATE bars SET high = high + 1 WHERE ts_close = (SELECT bar_ts FROM orders)")
    found = envelope(home, "replay", order_id(home), code=10)["data"]
    assert found["what"] == "bars"
    assert len(found["stored"]) == len(found["now"]) == 64
    assert found["steps"][-1] == {**found["steps"][-1], "name": "bars", "identical": False}
    ran = cli("replay", order_id(home), home=home)
    assert ran.code == 10
    assert "DIFFERENT first: bars" in ran.out
    assert f"stored {found['stored']}" in ran.out
    assert ran.err.splitlines()[-1].startswith("algotrade: decision 1 differs: bars: stored ")


def test_replay_takes_a_symbol_and_a_number_too(home: Path) -> None:
    assert envelope(home, "replay", "AAPL")["data"]["decision"] == 1
    assert envelope(home, "replay", "--decision", "1")["data"]["identical"] is True
    one_clear_line(cli("replay", "--decision", "2", home=home), 2)
    one_clear_line(cli("replay", home=home), 2)
    one_clear_line(cli("replay", "MSFT", home=home), 2)


def test_verify_parity_in_words_and_json(home: Path) -> None:
    found = envelope(home, "verify", "parity", "--backtest")
    assert found["schema"] == "algotrade.verify/1"
    assert found["data"]["backtest"] == {
        "sessions": 1, "entries": 1, "orders": 1, "identical": True,
        "what": None, "stored": None, "now": None,
    }  # fmt: skip
    ran = cli("verify", "parity", "--backtest", "--format", "table", home=home).well()
    assert ran.out.splitlines() == [
        "sample: 1 decisions IDENTICAL, hash chain of 2 entries holds",
        "one backtest over 1 sessions: 1 entries and 1 orders IDENTICAL",
    ]


def test_a_fill_that_the_bars_do_not_give_is_found_by_the_backtest(home: Path) -> None:
    spoil(home, "UPDATE bars SET open = low WHERE ts_close > (SELECT bar_ts FROM orders)")
    assert envelope(home, "verify", "parity")["data"]["passed"] is True  # no decision read it
    ran = cli("verify", "parity", "--backtest", "--json", home=home)
    assert ran.code == 10
    assert json.loads(ran.out)["data"]["backtest"]["what"] == "ledger.1.price"
    assert "algotrade: backtest: ledger.1.price: stored " in ran.err


def test_differences_fit_the_screen_and_name_the_next_command(home: Path) -> None:
    spoil(home, "UPDATE orders SET quantity = 1")
    ran = cli("verify", "parity", "--format", "table", home=home)
    assert ran.code == 10
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert "orders.quantity" in ran.out
    assert "next: algotrade replay --decision 1" in ran.out


def test_no_drift_is_one_line_and_drift_is_a_table_that_adds_up(home: Path) -> None:
    ran = cli("drift", "--format", "table", home=home).well()
    assert ran.out.count("\n") <= 2
    assert "no drift" in ran.out
    spoil(home, "UPDATE bars SET open = low WHERE ts_close > (SELECT bar_ts FROM orders)")
    found = envelope(home, "drift")
    assert found["schema"] == "algotrade.drift/1"
    data = found["data"]
    assert data["gap"] != 0
    assert sum(round(part["usd"] * 1e6) for part in data["parts"]) == round(data["gap"] * 1e6)
    assert [part["part"] for part in data["parts"]] == [
        "timing", "data revision", "signal", "risk", "fill", "cost", "other",
    ]  # fmt: skip
    text = cli("drift", "--format", "table", home=home).well().out
    assert "other prices or quantities than simulated" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())


def test_drift_of_a_span_without_decisions_is_an_error(home: Path) -> None:
    one_clear_line(cli("drift", "--from", "2013-02-01", home=home), 2)
    day = str(query(home, "SELECT substr(decided_for, 1, 10) FROM v_decisions")[0][0])
    assert envelope(home, "drift", "--from", day, "--to", day)["data"]["decisions"] == 1


def test_an_empty_account_has_nothing_to_differ(fetched: Path) -> None:
    assert envelope(fetched, "verify", "parity", "--backtest")["data"]["decisions"] == 0
