from __future__ import annotations

import csv
import gzip
import importlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade import export
from algotrade.bars import COLUMNS, Bars, from_rows
from algotrade.domain.times import MINUTE
from algotrade.errors import DiskError, InputError, SettingsError
from algotrade.export import decimal_text, write_bars, write_rows
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.files import read_csv

if TYPE_CHECKING:
    from pathlib import Path


@cache
def calendar() -> Calendar:
    return exchange_calendar(date(2024, 1, 2), date(2024, 12, 31))


def bars_of(symbol: str = "AAPL", *, price: int = 41_411_000, count: int = 2) -> Bars:
    rows = [
        (calendar().opens[i], calendar().closes[i], price, price + 1, price, price, 1_000_500_000)
        for i in range(count)
    ]
    return from_rows("csv", symbol, "1d", rows)


def test_csv_holds_exact_dollars_and_iso_times(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    assert write_bars(bars_of(), path) == 2
    first = path.read_text().splitlines()[:2]
    assert first == [
        "source,symbol,timeframe,session,ts_open,ts_close,open,high,low,close,volume",
        ",".join(
            [
                *("csv", "AAPL", "1d", "2024-01-02"),
                *("2024-01-02T14:30:00Z", "2024-01-02T21:00:00Z"),
                *("41.411", "41.411001", "41.411", "41.411", "1000.5"),
            ]
        ),
    ]


def test_json_lines_hold_exact_numbers(tmp_path: Path) -> None:
    path = tmp_path / "bars.jsonl"
    assert write_bars([bars_of(), bars_of("BRK.B", price=10**15 + 1)], path) == 4
    rows = [json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines()]
    assert [row["symbol"] for row in rows] == ["AAPL", "AAPL", "BRK.B", "BRK.B"]
    assert rows[0]["ts_close"] == "2024-01-02T21:00:00Z"
    assert rows[2]["open"] == Decimal("1000000000.000001")
    assert list(rows[0]) == list(export.BAR_FIELDS)


def test_parquet_holds_decimals_and_utc_times(tmp_path: Path) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "bars.parquet"
    panel = [bars_of(), bars_of("BRK.B", price=10**15 + 1), bars_of("EMPTY", count=0)]
    assert write_bars(panel, path) == 4
    rows = parquet.read_table(path).to_pylist()
    assert rows[0] == {
        "source": "csv",
        "symbol": "AAPL",
        "timeframe": "1d",
        "session": date(2024, 1, 2),
        "ts_open": datetime(2024, 1, 2, 14, 30, tzinfo=UTC),
        "ts_close": datetime(2024, 1, 2, 21, tzinfo=UTC),
        "open": Decimal("41.411000"),
        "high": Decimal("41.411001"),
        "low": Decimal("41.411000"),
        "close": Decimal("41.411000"),
        "volume": Decimal("1000.500000"),
    }
    assert rows[2]["open"] == Decimal("1000000000.000001")
    write_bars([], path)
    assert parquet.read_table(path).num_rows == 0


def test_parquet_without_pyarrow_tells_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(SettingsError, match="writing Parquet needs pyarrow") as caught:
        write_bars(bars_of(), tmp_path / "bars.parquet")
    assert caught.value.hint == "pip install 'algotrade[parquet]'"
    assert list(tmp_path.iterdir()) == []


ROWS: list[dict[str, Any]] = [
    {
        "symbol": "AAPL",
        "note": "=cmd|' /C calc'!A0",
        "usd": Decimal("-0.10"),
        "on": date(2024, 1, 2),
    },
    {"symbol": "@SUM", "note": None, "shares": -5, "ok": True, "more": {"a": [Decimal("1.50")]}},
]


def test_rows_are_written_under_all_their_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert write_rows(ROWS, path) == 2
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["note"] == "'=cmd|' /C calc'!A0"
    assert (first["usd"], first["on"], first["shares"]) == ("-0.10", "2024-01-02", "")
    assert (second["symbol"], second["shares"], second["ok"]) == ("'@SUM", "-5", "true")
    assert second["more"] == '{"a": [1.50]}'


@pytest.mark.parametrize("risky", ["=1", "+1", "-x", "@a", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_would_run_is_defused(risky: str) -> None:
    assert export.csv_text([[risky]]).lstrip('"').startswith("'")


def test_rows_as_json_lines_keep_decimals_digit_for_digit(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(ROWS, path)
    lines = path.read_text().splitlines()
    assert lines[0] == (
        '{"symbol": "AAPL", "note": "=cmd|\' /C calc\'!A0", "usd": -0.10, "on": "2024-01-02"}'
    )
    assert json.loads(lines[1])["more"] == {"a": [1.5]}
    for nonsense in (float("nan"), Decimal("Infinity")):
        with pytest.raises(ValueError, match=r"JSON"):
            write_rows([{"x": nonsense}], path)


def test_rows_as_parquet_keep_decimals(tmp_path: Path) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    write_rows(ROWS, path)
    rows = parquet.read_table(path).to_pylist()
    assert (rows[0]["usd"], rows[1]["usd"]) == (Decimal("-0.10"), None)
    assert rows[1]["more"] == '{"a": [1.50]}'


def test_a_format_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'xlsx' cannot be written"):
        write_bars(bars_of(), tmp_path / "bars.xlsx")
    assert write_bars(bars_of(), tmp_path / "bars.out", format="csv") == 2


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("before")

    def broken() -> Any:  # noqa: ANN401  a generator of bars
        yield bars_of()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_bars(broken(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["bars.csv"]
    assert path.read_text() == "before"
    with pytest.raises(DiskError, match="No such file"):
        write_bars(bars_of(), tmp_path / "none" / "bars.csv")


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0"), (1, "0.000001"), (-1, "-0.000001"), (10_500_000, "10.5"), (10**18, "1000000000000")],
)
def test_decimal_text_is_exact(micros: int, text: str) -> None:
    assert decimal_text(micros) == text


price = st.integers(1, 10**12)
row = st.tuples(price, price, price, price, st.integers(0, 10**16))


@settings(max_examples=50)
@given(st.lists(row, min_size=1, max_size=20), st.sampled_from(["1d", "1m"]), st.booleans())
def test_bars_come_back_from_csv_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[int, ...]],
    timeframe: str,
    packed: bool,  # noqa: FBT001
) -> None:
    rows = []
    for number, (*prices, volume) in enumerate(drawn):
        opens, closes = calendar().opens[number], calendar().closes[number]
        if timeframe == "1m":
            opens = calendar().opens[0] + (number - 3) * MINUTE
            closes = opens + MINUTE
        rows.append((opens, closes, *prices, volume))
    bars = from_rows("csv", "BRK.B", timeframe, rows)
    path = tmp_path_factory.mktemp("export") / "bars.csv"
    write_bars(bars, path)
    if packed:
        text, path = path.read_bytes(), path.with_name("bars.csv.gz")
        path.write_bytes(gzip.compress(text))
    assert read_csv(path, calendar=calendar(), timeframe=timeframe) == {"BRK.B": bars}
    assert [len(bars.column(name)) for name in COLUMNS] == [len(drawn)] * 7
