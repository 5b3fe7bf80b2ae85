"""why: orders, holds and refusals explained: limits, inputs, and what would have changed them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli_helpers import cli, copied, one_clear_line, process, query
from verify_world import seal_anew, spoil

if TYPE_CHECKING:
    from pathlib import Path

    from cli_helpers import Ran

QUICK = """
import sys
from algotrade.cli import main
try:
    main.run()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"numpy", "pandas", "sklearn", "scipy", "joblib", "exchange_calendars"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture
def home(traded: Path, tmp_path: Path) -> Path:
    """Give a home with an order, a hold and a refusal."""
    made = copied(traded, tmp_path / "home")
    cli("trade", "-s", "AAPL", "--qty", "10", home=made).well()
    refused = cli("trade", "-s", "AAPL", "--qty", "900", "--no-model", home=made)
    assert refused.code == 3
    return made


def told(ran: Ran) -> str:
    assert all(len(line) <= 80 for line in ran.out.splitlines()), ran.out
    return " ".join(ran.well().out.split())


def explained(home: Path, *words: str) -> dict[str, Any]:
    envelope = cli("why", *words, "--json", home=home).well().envelope
    assert envelope["schema"] == "algotrade.why/1"
    data: dict[str, Any] = envelope["data"]
    return data


def order_id(home: Path) -> str:
    return str(query(home, "SELECT order_id FROM v_orders")[0][0])


def test_an_order_is_told_with_every_limit_and_the_command_that_repeats_it(home: Path) -> None:
    text = told(cli("why", order_id(home), home=home))
    for name in ("R01 halts", "R05 order value", "R12c cash needed", "R25 stale sessions"):
        assert name in text
    assert "would have placed nothing if p(up) <= 0.5: was 0.5" in text
    assert f"repeat algotrade replay {order_id(home)}" in text
    assert "sha256 model card" in text


def test_a_hold_names_the_probability_that_would_have_sold_and_the_size_that_would_have_bought(
    home: Path,
) -> None:
    (hold,) = query(home, "SELECT decision_id FROM decisions WHERE action = 'hold'")[0]
    data = explained(home, "--decision", str(hold))
    assert data["action"] == "hold"
    changes = {one["changes"][0]["what"]: one for one in data["counterfactuals"]}
    assert changes["p_up"]["Side"] == "sell"
    assert changes["p_up"]["changes"][0]["relation"] == "<="
    assert changes["quantity"]["changes"][0] == {
        "what": "quantity", "name": "--qty", "unit": "shares",
        "relation": ">", "was": 10, "value": 10,
    }  # fmt: skip
    assert data["repeat"] == f"algotrade replay --decision {hold}"


def test_a_refusal_names_every_limit_it_takes_and_the_largest_size(home: Path) -> None:
    data = explained(home, "AAPL")
    assert data["action"] == "refused"
    together, smaller = data["counterfactuals"]
    failed = {check["id"] for check in data["checks"] if check["status"] == "fail"}
    assert {"R05", "R10"} <= failed
    assert {"max_order_notional", "max_position_bps"} <= {c["what"] for c in together["changes"]}
    assert smaller["changes"][0]["value"] == pytest.approx(10 + data["max_quantity"])
    largest = f"{smaller['changes'][0]['value']:.9f}"
    passed = cli("trade", "-s", "AAPL", "--no-model", "--qty", largest, "-n", "--json", home=home)
    assert passed.well().data[0]["action"] == "order"


def test_a_date_finds_the_decision_of_that_session(home: Path) -> None:
    days = query(home, "SELECT substr(decided_for, 1, 10), decision_id FROM v_decisions")
    newest = dict(days)
    for day, number in newest.items():
        assert explained(home, "AAPL", "--date", day)["decision"] == number
    ran = cli("why", "AAPL", "--date", "2011-01-03", home=home)
    assert "no decision on AAPL for 2011-01-03" in one_clear_line(ran, 2)


def test_nothing_or_too_much_asked_is_an_error(home: Path) -> None:
    for words in ((), ("AAPL", "--decision", "1"), ("--decision", "99")):
        one_clear_line(cli("why", *words, home=home), 2)


def selected(home: Path, columns: str, view: str, decision: int) -> list[dict[str, Any]]:
    """Ask a view as anybody can."""
    statement = f"SELECT {columns} FROM {view} WHERE decision_id = {decision}"  # noqa: S608 -- ours
    rows: list[dict[str, Any]] = cli("sql", statement, "--json", home=home).well().data
    return rows


def test_each_number_traces_to_a_documented_view(home: Path) -> None:
    data = explained(home, order_id(home))
    number = data["decision"]
    told = data | data["inputs"]
    columns = (
        *("action", "code", "reason", "p_up", "bars_hash", "held", "working", "equity"),
        *("max_quantity", "grounds", "ledger_seq"),
    )
    (row,) = selected(home, ", ".join(columns), "v_decisions", number)
    assert row == {name: told[name] for name in columns}
    checks = selected(home, "*", "v_checks", number)
    names = ("unit", "value", "headroom", "status")
    assert [(c["check_id"], c["bound"], *(c[name] for name in names)) for c in checks] == [
        (c["id"], c["limit"], *(c[name] for name in names)) for c in data["checks"]
    ]
    features = selected(home, "name, value", "v_features", number)
    assert {one["name"]: one["value"] for one in features} == data["features"]
    drivers = selected(home, "name, contribution, unit", "v_drivers", number)
    assert drivers == data["drivers"]


def test_a_decision_of_the_first_format_is_told_as_far_as_it_goes(home: Path) -> None:
    (body, grounds) = query(
        home,
        "SELECT d.body, g.body FROM decisions d JOIN grounds g ON g.hash = d.grounds"
        " WHERE d.decision_id = 2",
    )[0]
    body = _old(body, grounds)
    before = explained(home, "--decision", "2")["checks"]
    spoil(
        home,
        f"UPDATE decisions SET body = '{body}' WHERE decision_id = 2",  # noqa: S608 -- our own row
        "UPDATE decisions SET grounds = NULL, code = NULL, ledger_seq = NULL, marks_ts = NULL,"
        " halt_id = NULL WHERE decision_id = 2",
    )
    seal_anew(home)
    data = explained(home, "--decision", "2")
    assert data["counterfactuals"] == []
    assert data["inputs"]["ledger_seq"] is None
    assert data["checks"] == before
    again = cli("replay", "--decision", "2", "--json", home=home).well().data
    assert again["partial"] is True
    assert again["identical"] is True
    parity = cli("verify", "parity", "--json", home=home).well().data
    assert parity["partial"] == 1


def _old(body: str, grounds: str) -> str:
    """Write a body as the first version of the program did."""
    signal, prediction, order, verdict, held, working, equity, conditions = json.loads(body)
    policy, limits = json.loads(grounds)
    ids, values, bounds, letters, largest, halt, _ = verdict
    words = {"p": "pass", "f": "fail", "e": "exempt", "n": "n/a"}
    names = (
        *("model_id", "symbol", "ts", "p_up", "threshold", "value", "features", "drivers"),
        *("base", "unit", "bars_hash"),
    )
    del signal, order
    kept = ("account", "strategy", "quantity", "side", "client_id")
    return json.dumps(
        {
            "prediction": dict(zip(names, prediction[: len(names)], strict=True)),
            "order": None,
            "verdict": {
                "checks": [
                    {"id": i, "name": i, "unit": "", "value": v, "limit": b, "status": words[s]}
                    for i, v, b, s in zip(ids, values, bounds, letters, strict=True)
                ],
                "max_quantity": largest,
                "halt": halt,
            },
            "held": held,
            "working": working,
            "equity": equity,
            "conditions": dict(
                zip(("now", "reference_price", "stale_sessions", "halts"), conditions, strict=False)
            ),
            "policy": {name: policy[name] for name in kept} | {"use_model": True},
            "limits": dict(list(limits.items())[:10]),  # the first ones
        }
    )


def test_why_starts_without_anything_heavy(home: Path) -> None:
    ran = process("why", "AAPL", "--home", str(home), cwd=home.parent, driver=QUICK)
    assert ran.code == 0, ran
