"""Without a key: the loop on the sample, the fields that scripts read, and a month of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli_helpers import OPENING_CASH, Ran, cli, contents, process, query

if TYPE_CHECKING:
    from pathlib import Path

TRADE = ("trade", "--symbol", "AAPL", "--qty", "10")
LOOP = (
    ("fetch", "AAPL"),
    ("train",),
    ("predict", "AAPL", "--json"),
    TRADE,
    TRADE,
    ("portfolio", "--json"),
    ("risk",),
)
OLD_FIELDS = {
    "trade": ("ID", "Timestamp", "Symbol", "Quantity", "Price", "Side"),
    "portfolio": ("ID", "Holdings", "Cash", "TotalValue"),
    "predict": ("prediction", "SMA_50", "SMA_200"),
}


def balanced(account: dict[str, Any]) -> None:
    """Insist that the total is cash and holdings at their last prices, to the micro-dollar."""
    held = {row["symbol"]: row for row in account["positions"]}
    assert account["Holdings"] == {name: row["quantity"] for name, row in held.items()}
    values = [
        round(row["quantity"] * 1e9) * round(row["last"] * 1e6) // 10**9 for row in held.values()
    ]
    cash, total = (round(account[name] * 1e6) for name in ("Cash", "TotalValue"))
    assert total == cash + sum(values)


def bought_once(ran: list[Ran]) -> None:
    *_, account, risk = ran
    balanced(account.data)
    assert 0 <= account.data["Holdings"].get("AAPL", 0) <= 10
    assert account.data["ID"] == "sample"
    assert risk.out.startswith("id\tname\tunit\tvalue\tlimit\theadroom\tstatus\tclass\nR01\t")
    assert all("no API key: built-in sample" in each.err for each in ran)


@pytest.mark.slow
def test_the_issue_s_order_with_nothing_but_home_and_path(tmp_path: Path) -> None:
    ran = [process(*command, cwd=tmp_path).well() for command in LOOP]
    bought_once(ran)
    # no terminal: no bar, no colour, no carriage return
    for each in ran:
        assert not set(each.out + each.err) & set("\x1b\r━")
        assert len(each.err.splitlines()) <= 4
    assert (tmp_path / ".local/share/algotrade/data/algotrade.db").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".local"]
    for command in LOOP[2:]:
        plain = [part for part in command if part != "--json"]
        quiet = process(*plain, "-q", cwd=tmp_path).well()
        assert (quiet.out, quiet.err) == ("", "")


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for command in (*LOOP, ("status",), ("clock", "next"), ("trades",), ("why", "AAPL")):
        plain = [part for part in command if part != "--json"]
        ran = cli(*plain, "-q", home=home).well()
        assert (ran.out, ran.err) == ("", ""), command


def test_predict_keeps_the_old_fields(sample: Path) -> None:
    [row] = cli("predict", "AAPL", "--json", home=sample).well().data
    assert set(OLD_FIELDS["predict"]) <= set(row)
    # as printed, every price of this window is in the shares of its last bar: AAPL split in 2005
    closes = [close for (close,) in query(sample, "SELECT close FROM bars ORDER BY ts_close")]
    assert row["SMA_50"] == pytest.approx(sum(closes[-50:]) / 50e6, rel=1e-15)
    assert row["SMA_200"] == pytest.approx(sum(closes[-200:]) / 200e6, rel=1e-15)
    assert row["prediction"] == int(row["p_up"] > row["threshold"])


def test_trade_keeps_the_old_fields(sample: Path) -> None:
    first = cli(*TRADE, "--json", home=sample).well()
    assert first.envelope["schema"] == "algotrade.trade/1"
    [row] = first.data
    assert tuple(row)[:6] == OLD_FIELDS["trade"]
    assert (row["Symbol"], row["Quantity"], row["Side"]) == ("AAPL", 10, "buy")
    assert row["Timestamp"] == "2012-12-04T14:30:00Z"  # decided on Monday's close, filled Tuesday
    assert row["outcome"] == "placed"
    assert query(sample, "SELECT open FROM bars ORDER BY ts_close DESC LIMIT 1") == [(581_800_000,)]
    assert row["Price"] == 582.0909  # 581.80 and five basis points
    [again] = cli(*TRADE, "--json", home=sample).well().data
    assert (again["outcome"], again["ID"], again["Quantity"]) == ("hold", None, 0)
    assert "already holding 10 of 10" in again["reason"]


def test_trades_keep_the_old_fields(traded: Path) -> None:
    [row] = cli("trades", "--json", home=traded).well().data
    assert set(row) == {*OLD_FIELDS["trade"], "fee"}
    assert row["ID"]
    assert (row["Price"], row["fee"]) == (582.0909, 1.0)


def test_portfolio_keeps_the_old_fields(traded: Path) -> None:
    account = cli("portfolio", "--json", home=traded).well().data
    assert tuple(account)[:4] == OLD_FIELDS["portfolio"]
    balanced(account)
    assert account["Cash"] == 94_178.091  # 100,000 - 10 x 582.0909 - 1
    assert account["Holdings"] == {"AAPL": 10}


def test_deposits_and_withdrawals_to_the_micro(sample: Path) -> None:
    put = cli("deposit", "0.000001", "--note", "a micro", "--json", home=sample).well().data
    assert put["Cash"] == OPENING_CASH + 1e-6
    taken = cli("withdraw", "99999.99", "--json", home=sample).well().data
    assert taken["Cash"] == taken["TotalValue"] == 0.010001
    notes = query(sample, "SELECT kind, note, amount FROM ledger ORDER BY seq")
    assert notes[1:] == [("deposit", "a micro", 1), ("withdrawal", "", -99_999_990_000)]


def test_a_side_is_an_order_of_its_own(sample: Path) -> None:
    """Buy six and two by side, as the model says up; a target of ten then buys the two missing."""
    side = ("trade", "--symbol", "AAPL", "--side", "buy", "--json", "--qty")
    assert cli(*side, "6", home=sample).well().data[0]["outcome"] == "placed"
    assert cli(*side, "2", home=sample).well().data[0]["outcome"] == "placed"
    [target] = cli(*TRADE, "--json", home=sample).well().data
    if target["prediction"]:
        assert (target["outcome"], target["Quantity"]) == ("placed", 2)
    assert cli("portfolio", "--json", home=sample).well().data["Holdings"]["AAPL"] <= 10


def test_a_sell_that_the_model_disagrees_with_is_a_hold(traded: Path, sample: Path) -> None:
    del traded
    cli(*TRADE, home=sample).well()
    sell = ("trade", "--symbol", "AAPL", "--qty", "4", "--side", "sell", "--json")
    [held] = cli(*sell, home=sample).well().data
    assert (held["outcome"], held["prediction"]) == ("hold", 1)
    assert "does not agree with sell" in held["reason"]
    [sold] = cli(*sell, "--no-model", home=sample).well().data
    assert (sold["outcome"], sold["Side"], sold["Quantity"]) == ("placed", "sell", 4)
    assert cli("portfolio", "--json", home=sample).well().data["Holdings"] == {"AAPL": 6}


def test_more_than_held_is_never_sold(sample: Path) -> None:
    sell = ("trade", "--symbol", "AAPL", "--qty", "1", "--side", "sell", "--no-model")
    refused = cli(*sell, "--json", home=sample)
    assert (refused.code, refused.envelope["ok"]) == (3, False)
    failed = [row["id"] for row in refused.envelope["data"][0]["checks"] if row["status"] == "fail"]
    assert failed == ["R13"]
    assert "R13" in refused.err


def test_an_order_over_the_limit_is_refused_with_the_size_that_would_pass(sample: Path) -> None:
    big = ("trade", "--symbol", "AAPL", "--no-model", "--qty")
    refused = cli(*big, "100", home=sample)
    assert refused.code == 3
    assert "R05 order value" in refused.err
    told = "the largest order that would pass: --qty "
    largest = next(line for line in refused.err.splitlines() if told in line).split(told)[1]
    assert cli(*big, str(int(largest) + 1), "--dry-run", home=sample).code == 3
    assert cli(*big, largest, "--dry-run", home=sample).code == 0
    assert cli(*big, largest, home=sample).code == 0


def proposed(side: str, quantity: int) -> dict[str, object]:
    """Give a proposed market order as `trade --json` tells it."""
    prices = {"limit_price": None, "stop_price": None}
    return {"Side": side, "Quantity": quantity, "type": "market", **prices}


def test_the_size_that_would_pass_counts_what_is_held(traded: Path) -> None:
    hold = ("trade", "--symbol", "AAPL", "--no-model", "--dry-run", "--qty")
    refused = cli(*hold, "400", home=traded)
    told = "the largest order that would pass: --qty "
    largest = int(refused.err.splitlines()[-1].removeprefix(f"algotrade: {told}"))
    assert largest > 10
    assert cli(*hold, str(largest + 1), home=traded).code == 3
    [row] = cli(*hold, str(largest), "--json", home=traded).well().data
    assert row["proposed"] == proposed("buy", largest - 10)


def test_a_dry_run_writes_nothing(sample: Path) -> None:
    before = contents(sample)
    ran = cli(*TRADE, "--dry-run", "--json", home=sample).well()
    assert ran.data[0]["outcome"] == "dry run"
    assert ran.data[0]["proposed"] == proposed("buy", 10)
    assert contents(sample) == before
    assert cli(*TRADE, "--json", home=sample).well().data[0]["outcome"] == "placed"


def test_a_day_without_a_session_is_nothing_to_do(sample: Path) -> None:
    assert cli(*TRADE, "--if-session", "-q", home=sample).well().out == ""


def test_a_month_of_one_shot_trades(sample: Path) -> None:
    orders = set()
    for _ in range(20):
        [row] = cli(*TRADE, "--json", home=sample).well().data
        assert row["outcome"] in {"placed", "hold"}
        if row["ID"]:
            assert row["ID"] not in orders
            orders.add(row["ID"])
        else:
            cli("clock", "next", home=sample).well()
        account = cli("portfolio", "--json", home=sample).well().data  # checks the chain, too
        balanced(account)
        assert 0 <= account["Holdings"].get("AAPL", 0) <= 10
        assert account["waiting"] == []
    accounts = cli("status", "--json", home=sample).well().data["accounts"]
    fills = cli("trades", "--json", home=sample).well().data
    assert {row["ID"] for row in fills} == orders
    assert accounts[0]["entries"] >= 1 + len(fills)
    gained = [
        account[name] for name in ("contributed", "realised", "unrealised", "dividends", "fees")
    ]
    explained = sum(round(value * 1e6) for value in gained[:4]) - round(gained[4] * 1e6)
    assert explained == round(account["TotalValue"] * 1e6)


WIDE = {
    "ALGOTRADE_CASH_USD": "1000000",
    "ALGOTRADE_RISK__MAX_ORDER_USD": "1000000",
    "ALGOTRADE_RISK__MAX_ORDER_PCT": "100",
    "ALGOTRADE_RISK__MAX_POSITION_PCT": "100",
    "ALGOTRADE_RISK__MAX_GROSS_PCT": "200",
}


def test_an_order_of_more_than_a_bar_holds_is_filled_bar_by_bar(tmp_path: Path) -> None:
    """GOOG trades some 2 million shares a day; here orders may take a ten thousandth of them."""
    home, env = tmp_path / "home", {**WIDE, "ALGOTRADE_COSTS__VOLUME_CAP_PCT": "0.01"}
    cli("fetch", "GOOG", home=home, env=env).well()
    hold = ("trade", "-s", "GOOG", "--qty", "400", "--no-model", "--json")
    [placed] = cli(*hold, home=home, env=env).well().data
    taken: list[int] = []
    for _ in range(9):
        day = cli("clock", "--json", home=home, env=env).well().data["session"]
        volumes = dict(query(home, "SELECT substr(closed_at, 1, 10), volume FROM v_bars"))
        taken.append(min(400 - sum(taken), int(volumes[day] / 10_000)))
        fills = cli("trades", "--json", home=home, env=env).well().data
        assert [row["Quantity"] for row in fills] == taken
        assert {row["ID"] for row in fills} == {placed["ID"]}
        account = cli("portfolio", "--json", home=home, env=env).well().data
        balanced(account)
        if sum(taken) == 400:
            break
        [waiting] = account["waiting"]
        assert waiting["ID"] == placed["ID"]
        # the same bar, looked at once more by another trade, gives no more than it gave
        [again] = cli(*hold, home=home, env=env).well().data
        assert (again["outcome"], again["ID"]) == ("hold", None)
        assert cli("trades", "--json", home=home, env=env).well().data == fills
        cli("clock", "next", home=home, env=env).well()
    assert len(taken) > 1
    assert sum(taken) == 400
    assert account["waiting"] == []
    assert account["fees"] == pytest.approx(2.0, abs=1e-9)  # 400 at half a cent, the minimum once


def test_several_symbols_are_traded_in_one_pass(tmp_path: Path) -> None:
    home = tmp_path / "home"
    cli("fetch", "AAPL,IBM,MSFT", home=home).well()
    both = ("trade", "-s", "AAPL", "-s", "MSFT,IBM", "--no-model", "--qty", "3", "--json")
    rows = cli(*both, home=home).well().data
    assert [row["Symbol"] for row in rows] == ["AAPL", "MSFT", "IBM"]
    assert [row["outcome"] for row in rows] == ["placed"] * 3
    assert len({row["ID"] for row in rows}) == 3
    assert all(row["filled"] for row in rows)
    held = cli("portfolio", "--json", home=home).well().data["Holdings"]
    assert held == {"AAPL": 3, "IBM": 3, "MSFT": 3}
    # one session later: one clock step for the pass, not one for each order
    [again] = {row["outcome"] for row in cli(*both, home=home).well().data}
    assert again == "hold"
    # one is refused, the others hold; the exit code is the worst of the three
    before = contents(home)
    cli(*both[:-3], "--qty", "4", "--dry-run", home=home).well()
    refused = cli(*both[:-3], "--qty", "30", "--dry-run", "--json", home=home)
    assert refused.code == 3
    outcomes = {row["Symbol"]: row["action"] for row in refused.envelope["data"]}
    assert outcomes == {"AAPL": "refused", "IBM": "order", "MSFT": "order"}
    assert contents(home) == before


def test_short_selling_is_refused_unless_it_is_switched_on(sample: Path) -> None:
    sell = ("trade", "-s", "AAPL", "--no-model", "--side", "sell", "--qty", "2")
    refused = cli(*sell, home=sample)
    assert refused.code == 3
    assert "R13 sold short" in refused.err
    env = {"ALGOTRADE_RISK__SHORT": "on"}
    [row] = cli(*sell, "--json", home=sample, env=env).well().data
    assert row["filled"]
    account = cli("portfolio", "--json", home=sample, env=env).well().data
    assert account["Holdings"] == {"AAPL": -2}
    checks = cli("risk", "--json", home=sample, env=env).well().data["checks"]
    [short] = [check for check in checks if check["id"] == "R13"]
    assert (short["status"], short["value"]) == ("n/a", None)
    for command in (("risk",), ("why", "AAPL"), ("portfolio",)):
        cli(*command, "--format", "table", home=sample, env=env).well()
    # what would pass is told of a short sale, too
    large = cli(*sell[:-1], "400", "--client-id", "x", home=sample, env=env)
    told = "the largest order that would pass: --qty "
    largest = int(next(line for line in large.err.splitlines() if told in line).split(told)[1])
    assert largest > 2
    again = (*sell[:-1], str(largest), "--client-id", "x", "--dry-run")
    cli(*again, home=sample, env=env).well()
