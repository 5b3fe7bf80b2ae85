"""The other doors: import, export, bars, sql, and what `data check` and `data coverage` tell."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from cli_helpers import (
    FRIDAY,
    MARKET,
    MONDAY,
    SERVED,
    cli,
    contents,
    copied,
    live,
    one_clear_line,
    query,
    served,
)
from polygon_server import PolygonServer, plausible_bars, plausible_minutes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NEW_YORK = ZoneInfo("America/New_York")
CSV_ENV = {"ALGOTRADE_NOW": FRIDAY, "ALGOTRADE_SOURCE": "csv"}
COLUMNS = ("o", "h", "l", "c", "v")
VALUES = (
    "SELECT symbol, ts_close, seconds, open, high, low, close, volume FROM bars"
    " JOIN series USING (series_id) WHERE source = ? ORDER BY symbol, ts_close"
)


def day_of(row: dict[str, Any]) -> date:
    return datetime.fromtimestamp(row["t"] / 1000, UTC).astimezone(NEW_YORK).date()


def write_csv(
    path: Path,
    rows: Sequence[dict[str, Any]],
    header: str = "date,open,high,low,close,volume",
    form: str = "%Y-%m-%d",
) -> Path:
    lines = [header]
    lines += [",".join([f"{day_of(r):{form}}", *(str(r[c]) for c in COLUMNS)]) for r in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_flat(path: Path, bars: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    lines = ["ticker,volume,open,close,high,low,window_start,transactions"]
    lines += [
        ",".join([name, *(str(row[column]) for column in "vochl"), f"{row['t']}000000", "7"])
        for name, rows in bars.items()
        for row in rows
    ]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))


def as_stored(row: dict[str, Any]) -> tuple[int, ...]:
    return tuple(round(row[name] * 1e6) for name in COLUMNS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with bars of two symbols, a split and a dividend beside them."""
    found = tmp_path / "data" / "daily"
    found.mkdir(parents=True)
    write_csv(found / "AAPL.csv", served())
    write_csv(found / "IBM.csv", plausible_bars(300, seed=5))
    (found.parent / "splits.csv").write_text(
        "ticker,execution_date,split_from,split_to\nIBM,2020-06-15,1,2\n", encoding="utf-8"
    )
    (found / "dividends.csv").write_text(
        "ticker,ex_dividend_date,cash_amount\nIBM,2026-06-15,1.25\n", encoding="utf-8"
    )
    return found


def imported(home: Path, *args: str) -> Any:  # noqa: ANN401 -- a row
    return cli("import", *args, "--json", home=home, env=CSV_ENV).well().data


def test_a_folder_is_imported_in_one_command(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    expected = {"source": "csv", "symbols": 2, "new": 800, "changed": 0, "rejected": 0}
    assert imported(home, str(folder)) == expected | {"splits": 1, "dividends": 1}
    assert [row[3:] for row in query(home, VALUES, "csv")[:SERVED]] == list(
        map(as_stored, served())
    )
    again = imported(home, str(folder))
    assert (again["new"], again["changed"], again["splits"]) == (0, 0, 0)
    # the rest of the loop takes them as it takes any source
    [shown] = cli("bars", "IBM", "--tail", "1", "--json", home=home, env=CSV_ENV).well().data
    assert shown["session"] == "2026-11-20"
    assert cli("data", "check", home=home, env=CSV_ENV).code == 0
    assert cli("train", "AAPL", home=home, env=CSV_ENV).code == 0
    one_clear_line(cli("fetch", "AAPL", home=home, env=CSV_ENV), 2)


def test_the_whole_loop_on_imported_bars(tmp_path: Path) -> None:
    home = tmp_path / "home"
    bad = write_csv(tmp_path / "BAD.csv", [{**row, "c": "x"} for row in served()[:2]])
    one_clear_line(cli("import", str(bad), home=home, env=CSV_ENV), 5)
    assert query(home, "SELECT * FROM accounts") == []
    path = write_csv(tmp_path / "AAPL.csv", served())
    imported(home, str(path))
    cli("train", "--model", "logit", home=home, env=CSV_ENV).well()
    trade = ("trade", "--symbol", "AAPL", "--qty", "10", "--json")
    [placed] = cli(*trade, home=home, env=CSV_ENV).well().data
    assert (placed["account"], placed["outcome"]) == ("csv", "placed")
    write_csv(path, served(1))
    told = cli(
        *("import", str(path), "--format", "table"),
        home=home,
        env=CSV_ENV | {"ALGOTRADE_NOW": MONDAY},
    ).well()
    assert "bought 10 AAPL at 115.8579" in told.out
    valued = cli("portfolio", "--json", home=home, env=CSV_ENV).well().data
    assert (valued["ID"], valued["Holdings"]) == ("csv", {"AAPL": 10})


def test_columns_are_mapped_by_hand(tmp_path: Path) -> None:
    header = "Tag,Eroeffnung,Hoch,Tief,Schluss,Stuecke"
    path = write_csv(tmp_path / "apple.csv", served()[-9:], header, "%Y%m%d")
    names = "Tag=ts,Eroeffnung=open,Hoch=high,Tief=low,Schluss=close,Stuecke=volume"
    home = tmp_path / "home"
    unmapped = cli("import", str(path), "--symbol", "AAPL", home=home, env=CSV_ENV)
    assert unmapped.code in (2, 5)
    report = imported(home, str(path), "--symbol", "aapl", "--map", names)
    assert (report["symbols"], report["new"]) == (1, 9)
    rows = query(home, VALUES, "csv")
    assert [row[3:] for row in rows] == list(map(as_stored, served()[-9:]))
    wrong = {"Tag": 2, "Tag=when": 2, "Nirgends=ts": 2, "=": 2, names + ",Hoch=ts": 5, "Tag=ts": 5}
    for mapping, code in wrong.items():
        ran = cli("import", str(path), "--map", mapping, "--symbol", "AAPL", home=home, env=CSV_ENV)
        one_clear_line(ran, code)


def test_the_help_names_roles_that_there_are(tmp_path: Path) -> None:
    told = " ".join(
        cli("import", "--help", home=tmp_path, env={"COLUMNS": "200"}).well().out.split()
    )
    mapping = told.partition("Columns by name: '")[2].partition("'")[0]
    path = write_csv(tmp_path / "AAPL.csv", served()[-2:], "Date,open,high,low,Last,volume")
    assert imported(tmp_path / "home", str(path), "--map", mapping)["new"] == 2


@pytest.mark.parametrize(
    ("cell", "told"),
    [("abc", "close"), ("-1", "close"), ("", "close"), ("nan", "close"), ("1e400", "close")],
)
def test_one_bad_cell_stores_nothing(folder: Path, tmp_path: Path, cell: str, told: str) -> None:
    path = folder / "IBM.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    fields = lines[140].split(",")
    lines[140] = ",".join([*fields[:4], cell, fields[5]])
    path.write_text("\n".join(lines), encoding="utf-8")
    home = tmp_path / "home"
    ran = cli("import", str(folder), home=home, env=CSV_ENV)
    line = one_clear_line(ran, 5, hint=False)
    assert "IBM.csv" in line
    assert "141" in line
    assert told in line
    for table in ("bars", "series", "splits", "dividends", "bar_revisions"):
        assert query(home, f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("AAPL.csv", b""),
        ("AAPL.csv", b"\x00\xff\xfe"),
        ("AAPL.csv", b"date,open,high,low,close,volume\n"),
        ("AAPL.csv.gz", b"no gzip"),
        ("AAPL.csv", b"date,open\n2026-11-20,1\n"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    ran = cli("import", str(tmp_path / name), home=tmp_path / "home", env=CSV_ENV)
    one_clear_line(ran, 5, hint=False)
    one_clear_line(cli("import", str(tmp_path / "no"), home=tmp_path / "home", env=CSV_ENV), 2)
    kind = cli("import", str(tmp_path / name), "--kind", "xls", home=tmp_path, env=CSV_ENV)
    one_clear_line(kind, 2)


@pytest.mark.parametrize("timeframe", ["1d", "1m"])
def test_flat_files_give_what_a_fetch_gives(tmp_path: Path, timeframe: str) -> None:
    daily = {"AAPL": MARKET[SERVED - 2 : SERVED], "IBM": plausible_bars(2, seed=5)}
    minutes = {name: plausible_minutes(2, seed=n) for n, name in enumerate(daily)}
    bars = daily if timeframe == "1d" else minutes
    where = tmp_path / "flat" / "2026" / "11"
    where.mkdir(parents=True)
    for session in (date(2026, 11, 19), date(2026, 11, 20)):
        rows = {name: [r for r in bars[name] if day_of(r) == session] for name in bars}
        write_flat(where / f"{session}.csv.gz", rows)
    flat, fetched = tmp_path / "home", tmp_path / "fetched"
    with PolygonServer(daily, minutes=minutes) as server:
        env = live(server.base)
        ways = ("import", str(tmp_path / "flat"), "--kind", "flat", "--timeframe", timeframe)
        report = cli(*ways, "--json", home=flat, env=env).well().data
        assert (report["source"], report["symbols"]) == ("polygon", 2)
        assert report["new"] == sum(map(len, bars.values()))
        assert cli(*ways, "--json", home=flat, env=env).well().data["new"] == 0
        start = ("--from", "2026-11-19", "--timeframe", timeframe)
        cli("fetch", "AAPL,IBM", *start, home=fetched, env=env).well()
        assert query(flat, VALUES, "polygon") == query(fetched, VALUES, "polygon")
        # a fetch on top finds the same bars
        told = cli("fetch", *start, "--json", home=flat, env=env).well().data
        assert [(row["new"], row["changed"]) for row in told] == [(0, 0)] * 2


def test_a_flat_file_that_is_cut_stores_nothing(tmp_path: Path) -> None:
    good, bad = tmp_path / "2026-11-19.csv.gz", tmp_path / "2026-11-20.csv.gz"
    for path in (good, bad):
        write_flat(path, {"AAPL": [r for r in served() if str(day_of(r)) == path.name[:10]]})
    bad.write_bytes(bad.read_bytes()[:-9])
    home = tmp_path / "home"
    ran = cli("import", str(tmp_path), "--kind", "flat", home=home, env=live("http://[::1]:9"))
    assert bad.name in one_clear_line(ran, 5, hint=False)
    assert query(home, "SELECT count(*) FROM bars") == [(0,)]


def test_export_to_csv_and_back(paper: Path, tmp_path: Path) -> None:
    env, path, home = live("http://[::1]:9"), tmp_path / "AAPL.csv", tmp_path / "home"
    ran = cli("export", "AAPL", "--file", str(path), "--json", home=paper, env=env).well()
    assert ran.data == {"file": str(path), "bars": SERVED}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["close"]) for row in rows] == [row["c"] for row in served()]
    assert rows[-1]["session"] == "2026-11-20"
    assert imported(home, str(path))["new"] == SERVED
    assert query(home, VALUES, "csv") == query(paper, VALUES, "polygon")


def test_export_to_json_lines(paper: Path, tmp_path: Path) -> None:
    env, path = live("http://[::1]:9"), tmp_path / "out.jsonl"
    cli("export", "--file", str(path), "--from", "2026-11-01", home=paper, env=env).well()
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {row["symbol"] for row in rows} == {"AAPL"}
    assert [row["close"] for row in rows] == [row["c"] for row in served()[-len(rows) :]]
    assert len(rows) == 15


@pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow: the extra `parquet`"
)
def test_export_to_parquet(paper: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

    path = tmp_path / "out.parquet"
    env = live("http://[::1]:9")
    cli("export", "AAPL", "-f", str(path), home=paper, env=env).well()
    table = pq.read_table(path)
    assert [float(price) for price in table["close"].to_pylist()] == [r["c"] for r in served()]


def test_an_export_is_whole_or_not_at_all(paper: Path, tmp_path: Path) -> None:
    env, path = live("http://[::1]:9"), tmp_path / "out.csv"
    path.write_text("mine", encoding="utf-8")
    refused = {
        ("AAPL,XYZZY", str(path)): 5,
        ("AAPL", str(tmp_path / "out.xls")): 2,
        ("AAPL", str(tmp_path / "none" / "out.csv")): 11,
        ("AAPL", ""): 2,
    }
    for (symbols, file), code in refused.items():
        one_clear_line(cli("export", symbols, "--file", file, home=paper, env=env), code)
    assert path.read_text(encoding="utf-8") == "mine"
    assert [file.name for file in tmp_path.glob("*out*")] == ["out.csv"]


def test_bars_of_longer_timeframes_add_up(tmp_path: Path) -> None:
    home = tmp_path / "home"
    minutes = plausible_minutes(3)
    with PolygonServer({"AAPL": served()}, minutes={"AAPL": minutes}) as server:
        env = live(server.base)
        cli("fetch", "AAPL", home=home, env=env).well()
        cli("fetch", "AAPL", "--timeframe", "1m", home=home, env=env).well()

    def bars(timeframe: str, *more: str) -> Any:  # noqa: ANN401 -- rows
        ways = ("bars", "AAPL", "--timeframe", timeframe, "--json", *more)
        return cli(*ways, home=home, env=env).well().data

    assert len(bars("1m", "--tail", "0")) == 3 * 390
    assert [row["close"] for row in bars("1m")] == [row["c"] for row in minutes[-10:]]
    fives, hours, weeks = (bars(name, "--tail", "0") for name in ("5m", "1h", "1w"))
    assert len(fives) == 3 * 78
    assert len(hours) == 3 * 7  # the last of the day has half an hour
    for number, row in enumerate(fives):
        group = minutes[5 * number : 5 * number + 5]
        assert (row["open"], row["close"]) == (group[0]["o"], group[-1]["c"])
        assert row["high"] == max(minute["h"] for minute in group)
        assert row["low"] == min(minute["l"] for minute in group)
        assert row["volume"] == pytest.approx(sum(minute["v"] for minute in group), rel=1e-12)
    days = served()[-5:]
    last = weeks[-1]
    assert (last["open"], last["close"]) == (days[0]["o"], days[-1]["c"])
    assert last["volume"] == pytest.approx(sum(day["v"] for day in days), rel=1e-12)
    assert [len(bars("1d", "--tail", n)) for n in ("1", "0")] == [1, 500]
    narrow = bars("1d", "--from", "2026-11-10", "--to", "2026-11-12", "--tail", "0")
    assert [row["session"] for row in narrow] == ["2026-11-10", "2026-11-11", "2026-11-12"]
    for wrong in (("--tail", "-1"), ("--timeframe", "7m"), ("--as-of", "soon"), ("--from", "x")):
        one_clear_line(cli("bars", "AAPL", *wrong, home=home, env=env), 2)
    one_clear_line(cli("bars", "XYZZY", home=home, env=env), 5)
    elsewhen = {"--as-of": "2020-01-01", "--from": "2026-11-21", "--to": "2020-01-03"}
    for flag, day in elsewhen.items():
        told = one_clear_line(cli("bars", "AAPL", flag, day, home=home, env=env), 5)
        assert "stored are 2024-11-22 .. 2026-11-20" in told
    with PolygonServer(minutes={"IBM": minutes}) as server:
        env = live(server.base)
        cli("fetch", "IBM", "--timeframe", "1m", home=home, env=env).well()
        assert "only 1m" in one_clear_line(cli("bars", "IBM", home=home, env=env), 5)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM bars",
        "UPDATE bars SET close = 1",
        "INSERT INTO meta VALUES ('x', 'y')",
        "DROP TABLE bars",
        "CREATE TEMP TABLE t (x)",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "ATTACH '/tmp/x.db' AS other",
        "VACUUM INTO '/tmp/x.db'",
        "SELECT 1; DELETE FROM bars",
        "SELECT load_extension('x')",
        "no sql at all",
        "-- a comment",
        "BEGIN",
        "SELECT * FROM nowhere",
        "",
    ],
)
def test_sql_reads_only(statement: str, live_trained: Path) -> None:
    before = contents(live_trained)
    ran = cli("sql", statement, home=live_trained, env=live("http://[::1]:9"))
    one_clear_line(ran, 2)
    assert contents(live_trained) == before


def test_sql_answers(live_trained: Path) -> None:
    asked = "SELECT symbol, count(*) AS n, max(close) FROM v_bars GROUP BY 1"
    ran = cli("sql", asked, "--json", home=live_trained, env=live("http://[::1]:9")).well()
    highest = max(row["c"] for row in served())
    assert ran.data == [{"symbol": "AAPL", "n": 500, "max(close)": highest}]
    none = cli("sql", "SELECT 1 AS x WHERE 0", "--json", home=live_trained).well()
    assert none.data == []


def checked(home: Path, code: int, *args: str) -> Any:  # noqa: ANN401 -- data
    ran = cli("data", "check", *args, "--json", home=home, env=live("http://[::1]:9"))
    assert ran.code == code, ran
    assert ran.envelope["ok"] is (code == 0)
    return ran.envelope["data"]


def test_data_check_has_three_endings(tmp_path: Path) -> None:
    home = tmp_path / "home"
    holed = [row for number, row in enumerate(served()) if number != 300]
    unfollowed = {
        "id": "E1",
        "ticker": "IBM",
        "execution_date": "2026-06-15",
        "split_from": 1,
        "split_to": 4,
        "adjustment_type": "forward_split",
    }
    bars = {"AAPL": served(), "GE": holed, "IBM": served()}
    with PolygonServer(bars, splits=[unfollowed]) as server:
        cli("fetch", "AAPL,GE,IBM", home=home, env=live(server.base)).well()
    good = checked(home, 0, "AAPL")
    assert (good["symbols"], good["bars"], good["issues"]) == (1, 500, [])
    [gap] = checked(home, 20, "GE")["issues"]
    assert (gap["symbol"], gap["severity"]) == ("GE", "warning")
    assert gap["when"].startswith(str(day_of(served()[300])))
    errors = checked(home, 5, "IBM")
    assert errors["errors"] == 1
    assert errors["issues"][0]["when"].startswith("2026-06-15")
    everything = checked(home, 5)
    assert (everything["symbols"], everything["errors"], everything["warnings"]) == (3, 1, 1)
    one_clear_line(cli("data", "check", "XYZZY", home=home, env=live("http://[::1]:9")), 5)


def test_coverage_is_drawn_by_month(tmp_path: Path) -> None:
    home = tmp_path / "home"
    rows = plausible_bars(230)  # from December 2025 on
    holed = [row for row in rows if str(day_of(row)) != "2026-03-10"]
    none_in_may = [row for row in holed if day_of(row).month != 5]
    with PolygonServer({"AAPL": none_in_may}) as server:
        cli("fetch", "AAPL", home=home, env=live(server.base)).well()
        ran = cli("data", "coverage", "--json", home=home, env=live(server.base)).well()
    first, second = ran.data
    assert (first["year"], first["months"], first["gaps"]) == (2025, "···········█", 0)
    assert (second["year"], second["months"]) == (2026, "██▒█·██████·")
    assert second["gaps"] == 1 + 20  # and the twenty sessions of May
    assert first["bars"] + second["bars"] == len(none_in_may)


def test_reading_takes_no_key(live_trained: Path, tmp_path: Path) -> None:
    home = copied(live_trained, tmp_path / "home")
    for command in (
        ("bars", "AAPL"),
        ("data", "diff"),
        ("data", "coverage"),
        ("export", "AAPL", "-f", str(tmp_path / "x.csv")),
    ):
        cli(*command, "--source", "polygon", home=home, env={"ALGOTRADE_NOW": FRIDAY}).well()
