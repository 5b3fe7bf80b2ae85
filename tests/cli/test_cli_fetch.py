"""What `fetch` asks for and what it does not, what it keeps when interrupted, what it tells."""

from __future__ import annotations

import io
import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.domain.times import to_day
from algotrade.market.polygon_http import PolygonHttp
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
from polygon_server import KEY, Fault, PolygonServer, plausible_bars, plausible_minutes

if TYPE_CHECKING:
    from pathlib import Path

TRADE = ("trade", "--symbol", "AAPL", "--qty", "10", "--json")
MINUTES = plausible_minutes(44, count=20)  # of September 22 to November 20
ALL_BARS = (
    "SELECT symbol, timeframe, ts_close, seconds, open, high, low, close, volume FROM bars"
    " JOIN series USING (series_id) ORDER BY symbol, timeframe, ts_close"
)
COVERED = (
    "SELECT symbol, timeframe, first_day, last_day FROM coverage JOIN series USING (series_id)"
    " ORDER BY symbol, timeframe, first_day"
)
MONTHS = (
    "SELECT strftime('%m', ts_close / 1000000, 'unixepoch'), count(*) FROM bars GROUP BY 1 ORDER"
    " BY 1"
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algotrade.market.polygon_http._BACK_OFF", (0.0, 0.0, 0.0))


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Take no time to wait, and tell how long it would have been."""
    found: list[float] = []
    assert PolygonHttp.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(PolygonHttp.__init__.__kwdefaults__, "sleep", found.append)
    return found


def targets(server: PolygonServer, since: int = 0) -> list[str]:
    return [call.target for call in server.calls[since:]]


def fetch(home: Path, server: PolygonServer, *args: str, now: str = FRIDAY) -> Any:  # noqa: ANN401 -- rows
    return cli("fetch", *args, "--json", home=home, env=live(server.base, now)).well().data


def test_minutes_come_in_whole_months_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    home, calm = tmp_path / "home", tmp_path / "calm"
    # September takes two pages, then splits and dividends are asked for, then October begins
    with PolygonServer(
        minutes={"AAPL": MINUTES}, page_size=100, faults=[Fault(kind="die", calls={6})]
    ) as dying:
        ran = cli("fetch", "AAPL", "--timeframe", "1m", home=home, env=live(dying.base))
        one_clear_line(ran, 7, hint=False)
        assert sum("/minute/" in target for target in targets(dying)) >= 4
    per_month = [("09", 140), ("10", 440), ("11", 300)]
    assert query(home, MONTHS) == per_month[:1]
    with PolygonServer(minutes={"AAPL": MINUTES}, page_size=500) as server:
        [report] = fetch(home, server, "AAPL", "--timeframe", "1m")
        assert (report["new"], report["changed"], report["bars"]) == (740, 0, 880)
        assert not [t for t in targets(server) if "/minute/2026-09-21/" in t]  # that is there
        assert fetch(calm, server, "AAPL", "--timeframe", "1m")[0]["new"] == 880
        before = len(server.calls)
        [again] = fetch(calm, server, "--timeframe", "1m")
        assert (again["new"], again["changed"]) == (0, 0)
        assert len(server.calls) - before == 1
    assert query(home, MONTHS) == per_month
    assert query(home, ALL_BARS) == query(calm, ALL_BARS)
    assert query(home, COVERED) == query(calm, COVERED)


def test_a_first_fetch_of_minutes_asks_once_a_month_and_once_for_splits(tmp_path: Path) -> None:
    with PolygonServer(minutes={"AAPL": MINUTES}) as server:
        fetch(tmp_path / "home", server, "AAPL", "--timeframe", "1m")
        kinds = ["minute" if "/minute/" in t else t.split("?")[0] for t in targets(server)]
    assert kinds == ["minute", "/stocks/v1/splits", "/stocks/v1/dividends", "minute", "minute"]


def test_a_second_fetch_makes_one_call_a_symbol_and_finds_nothing_new(tmp_path: Path) -> None:
    home = tmp_path / "home"
    bars = {name: served() for name in ("AAPL", "MSFT", "IBM")}
    with PolygonServer(bars, page_size=250) as server:
        fetch(home, server, "AAPL,MSFT,IBM")
        before, seen = contents(home), len(server.calls)
        told = fetch(home, server)
        assert [(row["new"], row["changed"], row["gaps"]) for row in told] == [(0, 0, 0)] * 3
        assert [target.split("/")[4] for target in targets(server, seen)] == ["AAPL", "IBM", "MSFT"]
        assert all("/2026-11-16/" in target for target in targets(server, seen))  # five sessions
        after = contents(home)
        assert {name for name in after if after[name] != before[name]} <= {"coverage"}


def test_full_finds_a_correction_that_lies_back(paper: Path, server: PolygonServer) -> None:
    env = live(server.base)
    [placed] = cli(*TRADE, home=paper, env=env).well().data
    shown = ("bars", "AAPL", "--tail", "0", "--json")
    before = cli(*shown, home=paper, env=env).well().data
    model = query(paper, "SELECT model_id FROM trainings")[0][0]

    at = SERVED - 60
    rows = [dict(row) for row in served(1)]
    rows[at]["c"] = corrected = round((rows[at]["h"] + rows[at]["l"]) / 2, 2)
    server.bars["AAPL"] = rows
    env = live(server.base, MONDAY)
    [report] = fetch(paper, server, now=MONDAY)
    assert (report["new"], report["changed"]) == (1, 0)  # too long ago to be asked again
    [report] = fetch(paper, server, "--full", now=MONDAY)
    assert (report["new"], report["changed"], report["bars"]) == (0, 1, 501)
    [report] = fetch(paper, server, "--full", now=MONDAY)
    assert (report["new"], report["changed"]) == (0, 0)

    now = cli(*shown, home=paper, env=env).well().data
    assert now[at]["close"] == corrected
    assert [row for row in now[:SERVED] if row not in before] == [now[at]]
    for instant in ("2026-11-20", "2026-11-22", "2026-11-23T21:04:59Z"):
        assert cli(*shown, "--as-of", instant, home=paper, env=env).well().data == before
    assert len(cli(*shown, "--as-of", MONDAY, home=paper, env=env).well().data) == 501

    [change] = cli("data", "diff", "--json", home=paper, env=env).well().data
    assert change == {
        "symbol": "AAPL",
        "what": f"1d bar of {now[at]['session']}",
        "known_at": FRIDAY,
        "changed_at": MONDAY,
        "old": {"close": MARKET[at]["c"]},
        "new": {"close": corrected},
        "decisions": [1],
        "models": [model],
    }
    assert query(paper, "SELECT substr(order_key, 1, 10) FROM decisions") == [(placed["ID"],)]
    later = ("data", "diff", "--since", "2026-11-24", "--json")
    assert cli(*later, home=paper, env=env).well().data == []
    assert cli("data", "diff", "MSFT", "--json", home=paper, env=env).well().data == []


def test_gaps_are_told_and_refilled_only_on_demand(tmp_path: Path) -> None:
    home, calm = tmp_path / "home", tmp_path / "calm"
    holed = [row for number, row in enumerate(served()) if number not in (300, 301, 400)]
    with PolygonServer({"AAPL": holed}) as server:
        assert fetch(home, server, "AAPL")[0]["gaps"] == 3
        server.bars["AAPL"] = served()
        assert [fetch(home, server)[0][name] for name in ("new", "gaps")] == [0, 3]
        seen = len(server.calls)
        [report] = fetch(home, server, "--gaps")
        assert (report["new"], report["changed"], report["gaps"]) == (3, 0, 0)
        assert sum("/v2/aggs/" in target for target in targets(server, seen)) == 2
        fetch(calm, server, "AAPL")
    assert query(home, ALL_BARS) == query(calm, ALL_BARS)


def test_a_dry_run_shows_the_calls_and_makes_none(paper: Path, server: PolygonServer) -> None:
    before = contents(paper)
    env = live(server.base)
    plan = cli("fetch", "AAPL,MSFT", "--dry-run", "--json", home=paper, env=env).well()
    assert [(row["symbol"], row["pages"]) for row in plan.data] == [("AAPL", 1)] + [("MSFT", 1)] * 3
    months = cli("fetch", "-n", "IBM", "--timeframe", "1m", home=paper, env=env).well()
    assert months.out.count("/v2/aggs/ticker/IBM/range/1/minute/") == 3
    words = cli("fetch", "-n", "MSFT", "--format", "table", home=paper, env=env).well()
    assert "3 calls at least" in words.out
    assert KEY not in plan.out + plan.err + months.out + months.err + words.out + words.err
    assert server.calls == []
    assert contents(paper) == before
    # what was shown is what is asked
    fetch(paper, server, "AAPL")
    assert targets(server) == [row["call"] for row in plan.data if row["symbol"] == "AAPL"]


def test_a_dry_run_before_there_is_a_home(tmp_path: Path, server: PolygonServer) -> None:
    nowhere = tmp_path / "home"
    plan = cli("fetch", "AAPL", "-n", "--json", home=nowhere, env=live(server.base)).well()
    assert server.calls == []
    assert not nowhere.exists()
    fetch(nowhere, server, "AAPL")
    first_pages = [target for target in targets(server) if "cursor" not in target]
    assert first_pages == [row["call"] for row in plan.data]


def test_a_dry_run_of_the_sample_costs_no_calls(fetched: Path) -> None:
    ran = cli("fetch", "AAPL", "-n", "--format", "table", home=fetched).well()
    assert "no calls" in ran.out


def test_a_split_between_two_fetches(tmp_path: Path) -> None:
    home = tmp_path / "home"
    before_split, friday = served(), ("--as-of", "2026-11-22")
    quartered = {name: MARKET[SERVED][name] / 4 for name in ("o", "h", "l", "c")}
    monday = MARKET[SERVED] | {name: round(price, 4) for name, price in quartered.items()}
    announced = {
        "id": "E1",
        "ticker": "AAPL",
        "execution_date": "2026-11-23",
        "split_from": 1,
        "split_to": 4,
        "adjustment_type": "forward_split",
    }
    raw, adjusted = (
        ("bars", "AAPL", "--tail", "0", "--json", *more) for more in ((), ("--adjusted",))
    )
    with PolygonServer({"AAPL": before_split}) as server:
        env = live(server.base)
        fetch(home, server, "AAPL")
        old_raw = cli(*raw, home=home, env=env).well().data
        old_adjusted = cli(*adjusted, home=home, env=env).well().data
        assert old_raw == old_adjusted
        server.bars["AAPL"] = [*before_split, monday]
        server.actions["splits"] = [announced]
        [report] = fetch(home, server, now=MONDAY)
        assert (report["new"], report["changed"], report["actions"]) == (1, 0, 1)
        env = live(server.base, MONDAY)
    new_raw = cli(*raw, home=home, env=env).well().data
    assert new_raw[:-1] == old_raw
    new_adjusted = cli(*adjusted, home=home, env=env).well().data
    assert new_adjusted[-1] == new_raw[-1]
    for old, new in zip(old_raw, new_adjusted, strict=False):
        assert new["close"] == round(old["close"] / 4, 6)
        assert new["volume"] == pytest.approx(old["volume"] * 4, rel=1e-15)
    assert cli(*raw, *friday, home=home, env=env).well().data == old_raw
    assert cli(*adjusted, *friday, home=home, env=env).well().data == old_adjusted
    assert cli("data", "check", "--json", home=home, env=env).well().data["issues"] == []


def test_one_unknown_symbol_does_not_stop_the_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with PolygonServer({"AAPL": served(), "IBM": served()}) as server:
        env = live(server.base)
        ran = cli("fetch", "AAPL", "XYZZY", "IBM", "--json", home=home, env=env)
        assert ran.code == 5
        assert ran.envelope["ok"] is False
        assert [row["symbol"] for row in ran.envelope["data"]] == ["AAPL", "IBM"]
        [told] = [line for line in ran.err.splitlines() if "XYZZY" in line]
        assert told.startswith("algotrade: XYZZY: polygon has no bars for XYZZY (try: ")
        assert told.removeprefix("algotrade: ") in ran.envelope["warnings"]
        nobody = cli("fetch", "XYZZY", "ZZYZX", "--json", home=home, env=env)
        assert (nobody.code, nobody.envelope["data"]) == (5, [])
    assert query(home, "SELECT DISTINCT symbol FROM series ORDER BY 1") == [("AAPL",), ("IBM",)]


def test_a_symbol_that_the_plan_refuses_does_not_stop_the_others(tmp_path: Path) -> None:
    refused = Fault(kind="403", where=lambda target: "/ticker/IBM/" in target)
    with PolygonServer({"AAPL": served(), "IBM": served()}, faults=[refused]) as server:
        ran = cli("fetch", "IBM,AAPL", "--json", home=tmp_path / "home", env=live(server.base))
    assert ran.code == 12
    assert [row["symbol"] for row in ran.envelope["data"]] == ["AAPL"]


def test_an_account_is_opened_with_the_first_bars_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with PolygonServer({"AAPL": served()}) as server:
        one_clear_line(cli("fetch", "XYZZY", home=home, env=live(server.base)), 5)
        assert query(home, "SELECT count(*) FROM accounts") == [(0,)]
        fetch(home, server, "AAPL")
    assert query(home, "SELECT account FROM accounts") == [("paper",)]


def test_a_429_is_waited_for_and_told(tmp_path: Path, slept: list[float]) -> None:
    busy = Fault(kind="429", calls={1, 2}, value="7")
    with PolygonServer({"AAPL": served()}, faults=[busy]) as server:
        ran = cli("fetch", "AAPL", "--json", home=tmp_path / "home", env=live(server.base)).well()
        assert len(server.calls) == 5
    assert slept == [7.0, 7.0]
    assert ran.err.count("waiting 7 s (too many requests (429))") == 1
    assert ran.data[0]["new"] == 500


def test_pacing_is_told_once_where_nobody_watches(tmp_path: Path, slept: list[float]) -> None:
    names = ("AAPL", "IBM", "MSFT", "GE")
    with PolygonServer(dict.fromkeys(names, served())) as server:
        env = live(server.base, ALGOTRADE_RATE="5")
        ran = cli("fetch", *names, home=tmp_path / "home", env=env).well()
        assert len(server.calls) == 12
    assert len(slept) == 7
    assert slept[0] == pytest.approx(60, abs=3)
    told = [line for line in ran.err.splitlines() if "waiting" in line]
    assert len(told) == 1
    assert told[0].startswith("algotrade: IBM  waiting 60 s (5 calls a minute)  done about ")
    assert cli("fetch", "-q", home=tmp_path / "home", env=live(server.base)).err.count("\n") <= 2


def test_an_old_start_asks_for_what_lies_before_and_no_more(tmp_path: Path) -> None:
    home, calm = tmp_path / "home", tmp_path / "calm"
    with PolygonServer({"AAPL": served()}) as server:
        fetch(home, server, "AAPL", "--from", "2026-01-02")
        seen = len(server.calls)
        [report] = fetch(home, server, "AAPL", "--from", "2025-01-02")
        spans = [t.split("?")[0].split("/")[-2:] for t in targets(server, seen) if "/v2/" in t]
        assert spans == [["2025-01-02", "2026-01-01"], ["2026-11-16", "2026-11-20"]]
        assert report["from"] == "2025-01-02"
        fetch(calm, server, "AAPL", "--from", "2025-01-02")
    assert query(home, ALL_BARS) == query(calm, ALL_BARS)
    assert query(home, COVERED) == query(calm, COVERED)
    assert query(home, COVERED)[0][2:] == (to_day(date(2025, 1, 2)), to_day(date(2026, 11, 20)))


def test_empty_answers_are_remembered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    young = served()[-100:]
    with PolygonServer({"AAPL": young}) as server:
        fetch(home, server, "AAPL", "--from", "2020-01-02")
        seen = len(server.calls)
        fetch(home, server, "AAPL", "--from", "2020-01-02")
        assert len(server.calls) - seen == 1
        assert "/2026-11-16/" in server.calls[-1].target


def test_days_of_absence_are_caught_up(tmp_path: Path) -> None:
    home, calm = tmp_path / "home", tmp_path / "calm"
    with PolygonServer({"AAPL": MARKET[:470]}) as server:
        early = f"{date(2026, 10, 9)}T21:05:00Z"
        fetch(home, server, "AAPL", now=early)
        server.bars["AAPL"] = MARKET
        [report] = fetch(home, server, now=TUESDAY)
        assert report["gaps"] == 0
        assert report["to"] == "2026-11-24"
        start = date(2026, 11, 24) - timedelta(days=366 * 10 + 1)
        fetch(calm, server, "AAPL", "--from", start.isoformat(), now=TUESDAY)
    assert query(home, ALL_BARS) == query(calm, ALL_BARS)


def test_watch_lists_and_symbols_from_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "algotrade.toml").write_text('[watchlists]\nmain = ["AAPL", "ibm"]\n', encoding="utf-8")
    with PolygonServer({name: served() for name in ("AAPL", "IBM", "MSFT", "GE")}) as server:
        assert [row["symbol"] for row in fetch(home, server, "@main")] == ["AAPL", "IBM"]
        monkeypatch.setattr("sys.stdin", io.StringIO("msft GE\nAAPL\n@main"))
        assert [row["symbol"] for row in fetch(home, server, "-")] == ["MSFT", "GE", "AAPL", "IBM"]
        env = live(server.base)
        told = cli("fetch", "@nope", home=home, env=env)
        one_clear_line(told, 2)
        assert "@main" in told.err
        monkeypatch.setattr("sys.stdin", io.StringIO(" \n"))
        seen = len(server.calls)
        one_clear_line(cli("fetch", "-", home=home, env=env), 2)  # and not all that are stored
        assert len(server.calls) == seen


def test_what_is_fetched_is_told_in_every_format(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with PolygonServer({"AAPL": served()}, status="DELAYED") as server:
        env = live(server.base)
        ran = cli("fetch", "AAPL", "--format", "jsonl", home=home, env=env).well()
    row = json.loads(ran.out)
    assert list(row) == [
        *("symbol", "source", "timeframe", "new", "changed", "bars", "from", "to", "gaps"),
        *("actions", "rejected", "delayed"),
    ]
    assert row["delayed"] is True
    assert "delayed" in ran.err


def test_a_copy_of_a_home_fetches_on(live_trained: Path, tmp_path: Path) -> None:
    mine = copied(live_trained, tmp_path / "mine")
    rows = plausible_bars(3, seed=9)
    with PolygonServer({"AAPL": served(), "IBM": rows}) as server:
        assert fetch(mine, server, "IBM")[0]["bars"] == 3
