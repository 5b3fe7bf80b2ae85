"""With a key: a loopback server that answers like Polygon, in pages and with faults."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from cli_helpers import (
    FRIDAY,
    MARKET,
    MONDAY,
    SERVED,
    TUESDAY,
    cli,
    contents,
    copied,
    live,
    one_clear_line,
    query,
    served,
)
from polygon_server import KEY, Fault, PolygonServer, midnight_ms, plausible_bars

if TYPE_CHECKING:
    from pathlib import Path

TRADE = ("trade", "--symbol", "AAPL", "--qty", "10", "--json")
STORED = (
    "SELECT symbol, open, high, low, close, volume, ts_close FROM bars"
    " JOIN series USING (series_id) WHERE source = 'polygon' ORDER BY symbol, ts_close"
)
# what the server serves for Monday, and by hand what it makes of an order for ten
MONDAY_OPEN, MONDAY_CLOSE = 115.80, 116.08
FILL_PRICE = 115.8579  # 115.80 and five basis points
CASH_AFTER = 98_840.421  # 100,000 - 10 x 115.8579 - 1 of commission
TOTAL_AFTER = 100_001.221  # and 10 x 116.08


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algotrade.market.polygon_http._BACK_OFF", (0.0, 0.0, 0.0))


def as_stored(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Give what the store must hold of served rows: micro-dollars and micro-shares."""
    return [tuple(round(row[name] * 1e6) for name in ("o", "h", "l", "c", "v")) for row in rows]


def stored(home: Path) -> list[tuple[Any, ...]]:
    return [row[1:6] for row in query(home, STORED)]


def is_bars(target: str) -> bool:
    return "/v2/aggs/" in target


@pytest.mark.parametrize("variable", ["POLYGON_API_KEY", "MASSIVE_API_KEY"])
def test_the_six_commands_in_an_empty_home(
    server: PolygonServer, tmp_path: Path, variable: str
) -> None:
    home = tmp_path / "home"
    env = {name: v for name, v in live(server.base).items() if name != "POLYGON_API_KEY"}
    env[variable] = KEY

    [fetched] = cli("fetch", "AAPL", "--json", home=home, env=env).well().data
    assert (fetched["new"], fetched["changed"], fetched["bars"]) == (500, 0, 500)
    assert sum(map(is_bars, (call.target for call in server.calls))) == 2
    assert stored(home) == as_stored(served())

    card = cli("train", "--json", home=home, env=env).well().data
    assert card["kind"] == "logit"
    assert card["verdict"].startswith("too little data to judge")

    [predicted] = cli("predict", "AAPL", "--json", home=home, env=env).well().data
    assert predicted["session"] == "2026-11-20"
    closes = [round(row["c"] * 1e6) for row in served()]
    assert predicted["SMA_50"] == pytest.approx(sum(closes[-50:]) / 50 / 1e6, rel=1e-15)
    assert predicted["SMA_200"] == pytest.approx(sum(closes[-200:]) / 200 / 1e6, rel=1e-15)
    assert predicted["prediction"] == int(predicted["p_up"] > 0.5) == 1

    [placed] = cli(*TRADE, home=home, env=env).well().data
    assert (placed["outcome"], placed["Side"], placed["Quantity"]) == ("placed", "buy", 10)
    assert placed["Price"] is None
    again = cli(*TRADE, home=home, env=env).well().data
    assert [row["outcome"] for row in again] == ["already placed"]
    assert again[0]["ID"] == placed["ID"]

    valued = cli("portfolio", "--json", home=home, env=env).well().data
    assert (valued["ID"], valued["Holdings"]) == ("paper", {})
    assert valued["Cash"] == valued["TotalValue"] == 100_000.0
    assert [order["ID"] for order in valued["waiting"]] == [placed["ID"]]
    assert cli("risk", "--json", home=home, env=env).well().data["account"] == "paper"


def test_a_closed_bar_is_told_with_its_remedy(paper: Path, server: PolygonServer) -> None:
    env = live(server.base)
    cli(*TRADE, home=paper, env=env).well()
    more = ("trade", "--symbol", "AAPL", "--qty", "12")
    before = contents(paper)
    refused = cli(*more, home=paper, env=env)
    assert "closed by order" in one_clear_line(refused, 2)
    assert "--client-id" in refused.err.splitlines()[-1]
    assert contents(paper) == before
    [second] = cli(*more, "--client-id", "b", "--json", home=paper, env=env).well().data
    assert (second["outcome"], second["Quantity"]) == ("placed", 2)  # ten of the twelve are waiting
    words = cli(*TRADE[:-1], "--format", "table", home=paper, env=env).well().out
    assert "already placed as" in words


def test_the_next_fetch_fills_at_the_next_open(paper: Path, server: PolygonServer) -> None:
    """Fill at the open of Monday, five basis points against the buyer, commission one dollar."""
    [placed] = cli(*TRADE, home=paper, env=live(server.base)).well().data
    assert (MARKET[SERVED]["o"], MARKET[SERVED]["c"]) == (MONDAY_OPEN, MONDAY_CLOSE)
    server.bars["AAPL"] = served(1)
    env = live(server.base, MONDAY)
    told = cli("fetch", "--format", "table", home=paper, env=env).well().out
    assert placed["ID"] in told
    [fill] = cli("trades", "--json", home=paper, env=env).well().data
    assert list(fill) == ["ID", "Timestamp", "Symbol", "Side", "Quantity", "Price", "fee"]
    assert fill == {
        "ID": placed["ID"],
        "Timestamp": "2026-11-23T14:30:00Z",
        "Symbol": "AAPL",
        "Side": "buy",
        "Quantity": 10,
        "Price": FILL_PRICE,
        "fee": 1.0,
    }
    valued = cli("portfolio", "--json", home=paper, env=env).well().data
    assert valued["Cash"] == CASH_AFTER
    assert valued["Holdings"] == {"AAPL": 10}
    assert valued["TotalValue"] == TOTAL_AFTER
    assert valued["waiting"] == []
    # another look changes nothing
    before = query(paper, "SELECT * FROM ledger")
    cli("fetch", home=paper, env=env).well()
    assert query(paper, "SELECT * FROM ledger") == before


def test_a_trade_fills_what_waited_and_never_holds_more(paper: Path, server: PolygonServer) -> None:
    cli(*TRADE, home=paper, env=live(server.base)).well()
    for later, now in ((1, MONDAY), (2, TUESDAY)):
        server.bars["AAPL"] = served(later)
        cli("fetch", home=paper, env=live(server.base, now)).well()
        for _ in range(2):
            cli(*TRADE, home=paper, env=live(server.base, now)).well()
            valued = cli("portfolio", "--json", home=paper, env=live(server.base, now)).well().data
            assert valued["Holdings"].get("AAPL", 0) <= 10


def test_a_server_that_dies_on_page_two_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with PolygonServer(
        {"AAPL": served()}, page_size=250, faults=[Fault(kind="die", calls={2})]
    ) as dying:
        ran = cli("fetch", "AAPL", home=home, env=live(dying.base))
    one_clear_line(ran, 7, hint=False)
    for table in ("bars", "series", "coverage", "splits", "dividends"):
        assert query(home, f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608
    with PolygonServer({"AAPL": served()}, page_size=250) as server:
        [report] = cli("fetch", "AAPL", "--json", home=home, env=live(server.base)).well().data
    assert report["new"] == 500
    assert stored(home) == as_stored(served())


def test_a_symbol_that_was_whole_stays_when_the_next_one_breaks(tmp_path: Path) -> None:
    home = tmp_path / "home"
    broken = Fault(kind="die", where=lambda target: "/ticker/MSFT/" in target)
    with PolygonServer({"AAPL": served(), "MSFT": served()}, faults=[broken]) as server:
        one_clear_line(cli("fetch", "AAPL,MSFT", home=home, env=live(server.base)), 7, hint=False)
    assert {row[0] for row in query(home, STORED)} == {"AAPL"}
    assert stored(home) == as_stored(served())


def test_a_second_fetch_finds_nothing_new(paper: Path, server: PolygonServer) -> None:
    before = query(paper, STORED)
    [report] = cli("fetch", "AAPL", "--json", home=paper, env=live(server.base)).well().data
    assert (report["new"], report["changed"], report["bars"]) == (0, 0, 500)
    assert query(paper, STORED) == before
    quiet = cli("fetch", "-q", home=paper, env=live(server.base)).well()
    assert (quiet.out, quiet.err) == ("", "")


def test_a_corrected_bar_is_counted_and_its_earlier_version_kept(
    paper: Path, server: PolygonServer
) -> None:
    rows = [dict(row) for row in served()]
    rows[-2]["c"] = corrected = round(rows[-2]["l"] + 0.01, 2)
    server.bars["AAPL"] = rows
    [report] = cli("fetch", "AAPL", "--json", home=paper, env=live(server.base)).well().data
    assert (report["new"], report["changed"], report["bars"]) == (0, 1, 500)
    assert query(paper, STORED)[-2][4] == round(corrected * 1e6)
    kept = query(paper, "SELECT close FROM bar_revisions")
    assert kept == [(round(served()[-2]["c"] * 1e6),)]


def test_a_key_set_later_mixes_nothing(sample: Path, server: PolygonServer) -> None:
    cli(*TRADE, home=sample).well()
    before = contents(sample)
    env = live(server.base)
    remedies = {
        ("predict", "AAPL"): (6, "algotrade train"),
        TRADE[:-1]: (5, "--source"),
        ("portfolio",): (5, "--source"),
        ("risk",): (5, "--source"),
    }
    for command, (code, remedy) in remedies.items():
        ran = cli(*command, home=sample, env=env)
        one_clear_line(ran, code)
        assert remedy in ran.err.splitlines()[-1], ran
    assert contents(sample) == before

    cli("fetch", "AAPL", home=sample, env=env).well()
    told = one_clear_line(cli("predict", "AAPL", home=sample, env=env), 6)
    assert "no model of source polygon; there is one of source sample" in told
    one_clear_line(cli(*TRADE[:-1], home=sample, env=env), 6)
    model = query(sample, "SELECT model_id FROM trainings")[0][0]
    told = one_clear_line(cli("predict", "--model", model, home=sample, env=env), 5)
    assert "was trained on source sample" in told

    cli("train", home=sample, env=env).well()
    [placed] = cli(*TRADE, home=sample, env=env).well().data
    assert placed["account"] == "paper"
    theirs = cli("portfolio", "--json", home=sample, env=env).well().data
    ours = cli("portfolio", "--json", "--source", "sample", home=sample).well().data
    assert (theirs["ID"], theirs["Holdings"], theirs["Cash"]) == ("paper", {}, 100_000.0)
    assert (ours["ID"], ours["Holdings"]) == ("sample", {"AAPL": 10})
    by_source = cli("portfolio", "--json", "--source", "sample", home=sample, env=env).well().data
    assert by_source == ours

    # the key is lost, as in a crontab: the sample must not be traded in its place
    before = contents(sample)
    told = one_clear_line(cli(*TRADE[:-1], home=sample), 12)
    assert "account paper of source polygon, and no API key is set" in told
    assert contents(sample) == before


def test_a_plan_that_refuses_old_years_shortens_the_range(tmp_path: Path) -> None:
    home = tmp_path / "home"
    rows = plausible_bars(700)
    old = Fault(kind="403", where=lambda target: is_bars(target) and "/day/2016-" in target)
    with PolygonServer({"AAPL": rows}, page_size=250, faults=[old]) as server:
        env = live(server.base)
        ran = cli("fetch", "AAPL", "--json", home=home, env=env).well()
        [report] = ran.data
        assert "the plan does not include 2016-" in ran.err
        assert "fetching from 2024-11-21" in ran.err  # 729 days before 2026-11-20
        assert report["from"] == "2024-11-21"
        expected = [row for row in rows if row["t"] >= midnight_ms(date(2024, 11, 21))]
        assert stored(home) == as_stored(expected)
        cli("train", home=home, env=env).well()
        # every later fetch, too: what the plan refuses is not asked again, unless somebody asks
        again = cli("fetch", "AAPL", "--json", home=home, env=env).well()
        assert (again.data[0]["new"], again.envelope["warnings"]) == (0, [])
        older = cli("fetch", "AAPL", "--from", "2016-01-04", home=home, env=env).well()
        assert "the plan does not include what is before 2024-11-21" in older.err
        assert stored(home) == as_stored(expected)


@pytest.mark.parametrize(
    ("kind", "code"), [("401", 12), ("500", 7), ("html", 5), ("truncate", 5), ("nan", 5)]
)
def test_a_refusing_or_raving_provider_stores_nothing(tmp_path: Path, kind: str, code: int) -> None:
    home = tmp_path / "home"
    with PolygonServer({"AAPL": served()}, faults=[Fault(kind=kind)]) as server:
        one_clear_line(cli("fetch", "AAPL", home=home, env=live(server.base)), code, hint=False)
    assert query(home, "SELECT count(*) FROM bars") == [(0,)]
    assert query(home, "SELECT count(*) FROM series") == [(0,)]


def test_an_impossible_bar_is_set_aside_and_told(tmp_path: Path) -> None:
    rows = [dict(row) for row in served()]
    rows[7]["h"] = rows[7]["l"] - 1
    home = tmp_path / "home"
    with PolygonServer({"AAPL": rows}) as server:
        ran = cli("fetch", "AAPL", "--json", home=home, env=live(server.base))
    assert ran.code == 5
    assert ran.envelope["data"][0]["rejected"] == 1
    assert "set aside" in ran.err
    assert len(stored(home)) == 499


def test_an_unknown_symbol_is_told_and_trains_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with PolygonServer({"AAPL": served()}) as server:
        told = one_clear_line(cli("fetch", "XYZZY", home=home, env=live(server.base)), 5)
    assert "no bars for XYZZY" in told
    assert query(home, "SELECT count(*) FROM series") == [(0,)]


def test_the_key_appears_nowhere(tmp_path: Path) -> None:
    home = tmp_path / "home"
    printed = []
    with PolygonServer({"AAPL": served()}, page_size=250) as server:
        env = live(server.base)
        for command in (
            ("init",),
            ("fetch", "AAPL"),
            ("train",),
            TRADE,
            ("status", "--json"),
            ("config", "show", "--origin", "--json"),
            ("portfolio", "-v"),
            ("fetch", "NONE"),
        ):
            ran = cli(*command, home=home, env=env)
            printed.append(ran.out + ran.err)
        wrong = cli("fetch", home=home, env=env | {"POLYGON_API_KEY": "a-wrong-key-77"})
        printed.append(wrong.out + wrong.err)
        assert wrong.code == 12
        assert all(KEY not in call.target for call in server.calls)
    assert not [text for text in printed if KEY in text or "a-wrong-key-77" in text]
    found = [path for path in home.rglob("*") if path.is_file()]
    assert len(found) > 4
    assert not [path for path in found if KEY.encode() in path.read_bytes()]


def test_no_key_for_polygon_is_told(paper: Path) -> None:
    before = contents(paper)
    ran = cli("fetch", "AAPL", "--source", "polygon", home=paper, env={"ALGOTRADE_NOW": FRIDAY})
    one_clear_line(ran, 12)
    assert "POLYGON_API_KEY" in ran.err
    assert contents(paper) == before


def test_a_prepared_home_is_no_test_s_to_change(live_trained: Path, tmp_path: Path) -> None:
    mine = copied(live_trained, tmp_path / "mine")
    assert contents(mine) == contents(live_trained)
