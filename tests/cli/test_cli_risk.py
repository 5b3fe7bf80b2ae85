"""Risk by command: what-if, changes of limits, overrides, size by risk, and runaway scripts."""

from __future__ import annotations

import stat
import tomllib
from typing import TYPE_CHECKING

import pytest

from cli_helpers import cli, contents, live, one_clear_line, query

if TYPE_CHECKING:
    from pathlib import Path

BUY = ("trade", "--symbol", "AAPL", "--no-model", "--side", "buy")
NOWHERE = "http://127.0.0.1:9"


def test_a_script_that_trades_without_end_is_halted_and_told_once(paper: Path) -> None:
    """`while true; do algotrade trade --client-id $RANDOM ...; done`, ever another size."""
    env = live(NOWHERE)
    codes, told = [], 0
    for turn in range(12):
        words = (*BUY, "--qty", str(1 + turn), "--client-id", f"r{turn}")
        ran = cli(*words, home=paper, env=env)
        codes.append(ran.code)
        told += "trading is halted: R15 order rate" in ran.err
    assert codes == [0, 0, 0, 3, 3, 4, 4, 4, 4, 4, 4, 4]
    assert told == 1
    assert query(paper, "SELECT count(*), sum(quantity) / 1000000000 FROM orders") == [(3, 6)]
    assert query(paper, "SELECT kind, level FROM halts") == [("halt", "halted")]
    # what waited is void, and a person's reset begins a new count
    assert query(paper, "SELECT state FROM v_orders") == [("cancelled",)] * 3
    cli("risk", "reset", "--reason", "script stopped", home=paper, env=env).well()
    cli(*BUY, "--qty", "20", "--client-id", "again", home=paper, env=env).well()


def test_the_same_order_again_and_again_is_a_duplicate(paper: Path) -> None:
    env = live(NOWHERE)
    codes = [
        cli(*BUY, "--qty", "1", "--client-id", f"r{turn}", home=paper, env=env).code
        for turn in range(5)
    ]
    assert codes == [0, 3, 3, 4, 4]
    assert query(paper, "SELECT code FROM decisions") == [
        ("in",),
        ("R04",),
        ("R04",),
        ("halted",),
        ("halted",),
    ]


def test_what_if_tells_every_check_and_changes_nothing(sample: Path) -> None:
    before = contents(sample)
    ran = cli("risk", "what-if", "--symbol", "AAPL", "--qty", "10", "--json", home=sample).well()
    data = ran.data
    assert (data["passes"], data["Side"], data["Quantity"]) == (True, "buy", 10)
    assert data["largest"] == pytest.approx(10_000 / (data["Price"] * 1.03), rel=1e-6)
    assert {check["status"] for check in data["checks"]} == {"pass", "n/a"}
    big = cli("risk", "what-if", "-s", "AAPL", "--qty", "600", "--json", home=sample)
    assert big.code == 3
    failed = {row["id"] for row in big.envelope["data"]["checks"] if row["status"] == "fail"}
    assert failed == {"R05", "R06", "R10", "R12", "R12c", "R14", "R23", "R23e"}
    far = cli("risk", "what-if", "-s", "AAPL", "--qty", "1", "--price", "700", home=sample)
    assert far.code == 3
    sale = cli("risk", "what-if", "-s", "AAPL", "--qty", "1", "--side", "sell", home=sample)
    assert sale.code == 3  # none is held
    one_clear_line(
        cli("risk", "what-if", "-s", "AAPL", "--qty", "1", "--side", "x", home=sample), 2
    )
    one_clear_line(cli("risk", "what-if", "-s", "AAPL", "--qty", "nan", home=sample), 2)
    assert contents(sample) == before


def test_a_limit_is_lowered_at_once_and_raised_with_a_reason(sample: Path) -> None:
    path = sample / "algotrade.toml"
    path.write_text(
        '# mine\nsource = "sample"\n\n[risk]\n# keep me\nmax_order_shares = 400  # as agreed\n',
        encoding="utf-8",
    )
    cli("risk", "set", "max_order_shares", "5", home=sample).well()
    text = path.read_text(encoding="utf-8")
    assert "# mine" in text
    assert "# keep me" in text
    assert "# as agreed" in text
    assert tomllib.loads(text)["risk"] == {"max_order_shares": 5}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    refused = cli(*BUY, "--qty", "10", home=sample)
    assert refused.code == 3
    assert "R06" in refused.err
    one_clear_line(cli("risk", "set", "max_order_shares", "50", home=sample), 2)
    again = cli("risk", "set", "risk.max_order_shares", "50", "--reason", "more", home=sample)
    assert again.well()
    cli("risk", "set", "min_price_usd", "5", home=sample).well()  # here more is stricter
    one_clear_line(cli("risk", "set", "min_price_usd", "4", home=sample), 2)
    cli("risk", "set", "restricted", "IBM", home=sample).well()
    one_clear_line(cli("risk", "set", "restricted", "", home=sample), 2)
    one_clear_line(cli("risk", "set", "short", "on", home=sample), 2)
    rows = cli("risk", "history", "--json", home=sample).well().data
    assert [(row["name"], row["was"], row["became"], row["raised"]) for row in rows] == [
        ("risk.max_order_shares", "400", "5", False),
        ("risk.max_order_shares", "5", "50", True),
        ("risk.min_price_usd", "1", "5", False),
        ("risk.restricted", "", "IBM", False),
    ]
    assert cli("risk", "set", "max_order_shares", "50", home=sample).well()  # nothing changes
    assert query(sample, "SELECT count(*) FROM limit_changes") == [(4,)]
    one_clear_line(
        cli(
            "risk",
            "set",
            "max_order_usd",
            "1",
            home=sample,
            env={"ALGOTRADE_RISK__MAX_ORDER_USD": "9"},
        ),
        2,
    )


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("max_order_usd", "nan"),
        ("max_order_usd", "-1"),
        ("max_ordr_usd", "1"),
        ("restricted", '"?"'),
    ],
)
def test_a_limit_that_cannot_be_read_stops_every_command(
    sample: Path, line: str, value: str
) -> None:
    (sample / "algotrade.toml").write_text(f"[risk]\n{line} = {value}\n", encoding="utf-8")
    one_clear_line(cli(*BUY, "--qty", "1", home=sample), 12)
    (sample / "algotrade.toml").write_text("[risk]\nmax_order_usd = [\n", encoding="utf-8")
    one_clear_line(cli("risk", home=sample), 12, hint=False)


@pytest.mark.parametrize(
    ("name", "value"), [("cash_usd", "1"), ("nothing", "1"), ("max_order_usd", "x")]
)
def test_what_is_no_limit_is_not_set(sample: Path, name: str, value: str) -> None:
    one_clear_line(cli("risk", "set", name, value, "--reason", "x", home=sample), 2)


def test_an_override_is_for_one_order_and_is_written_down(sample: Path) -> None:
    words = (*BUY, "--qty", "20")
    assert cli(*words, home=sample).code == 3
    for more in (("--override", "R05"), ("--override", "R01", "--reason", "x"), ("--reason", "x")):
        one_clear_line(cli(*words, *more, home=sample), 2)
    one_clear_line(cli(*words, "--override", "R99", "--reason", "x", home=sample), 2)
    cli(*words, "--override", "R05,R10", "--reason", "the desk agreed", home=sample).well()
    why = cli("why", "AAPL", "--format", "table", home=sample).well().out
    assert "overrides R05, R10: the desk agreed" in " ".join(why.split())
    assert "IDENTICAL" in cli("replay", "AAPL", home=sample).well().out
    assert cli(*words, "--client-id", "b", home=sample).code == 3  # not for the next


def test_a_size_by_risk_loses_what_was_said_at_the_stop(sample: Path) -> None:
    words = ("trade", "-s", "AAPL", "--no-model", "--risk", "0.5%", "--stop", "560", "--json")
    [row] = cli(*words, home=sample).well().data
    # the close is 586.19, the worst entry 3% above it; 500 dollars are 0.5% of 100,000
    assert row["Quantity"] == pytest.approx(500 / (586.19 * 1.03 - 560), rel=1e-6)
    why = cli("why", "AAPL", "--format", "table", home=sample).well().out
    assert "0.50% of equity at risk down to a stop at 560.00" in " ".join(why.split())
    assert "IDENTICAL" in cli("replay", "AAPL", home=sample).well().out
    wrong = cli(
        "trade", "-s", "IBM", "--no-model", "--risk", "1%", "--stop", "900", "--json", home=sample
    )
    assert wrong.code in (0, 5)  # a stop above a long entry sizes nothing
    one_clear_line(cli("trade", "-s", "AAPL", "--no-model", "--risk", "1%", home=sample), 2)


def test_reducing_lasts_until_a_person_resets_it_and_lets_exits_out(sample: Path) -> None:
    cli(*BUY, "--qty", "10", home=sample).well()
    env = {
        "ALGOTRADE_RISK__DAILY_LOSS_REDUCE_PCT": "0",
        "ALGOTRADE_RISK__DAILY_LOSS_WARN_PCT": "0",
    }
    added = (*BUY, "--qty", "1", "--client-id", "b")
    assert cli(*added, home=sample, env=env).code == 3  # it lost something since yesterday
    [(kind, level, reason)] = query(sample, "SELECT kind, level, reason FROM halts")
    assert (kind, level) == ("halt", "reducing")
    assert reason.startswith("R18 daily loss")
    ran = cli(*added, "--json", home=sample)
    assert ran.code == 3
    [row] = ran.envelope["data"]
    assert [one["id"] for one in row["checks"] if one["status"] == "fail"] == ["R01r"]
    assert "REDUCING" in cli("risk", "--format", "table", home=sample).well().out
    assert cli("risk", "show", "--json", home=sample).well().data["state"] == "reducing"
    one_clear_line(cli("risk", "reset", "--reason", "x", home=sample, env=env), 4)  # it remains
    sale = ("trade", "--symbol", "AAPL", "--no-model", "--side", "sell", "--qty", "10")
    cli(*sale, home=sample).well()
    cli("risk", "reset", "--reason", "looked", home=sample).well()
    assert cli("risk", "--json", home=sample).well().data["state"] == "active"
    assert cli("verify", "parity", home=sample).code == 0
