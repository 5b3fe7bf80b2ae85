from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.domain.actions import Dividend, Split
from algotrade.domain.times import MINUTE, to_ts
from algotrade.errors import DataError, InputError
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.files import (
    csv_files,
    parse_mapping,
    read_csv,
    read_dividends,
    read_splits,
)

if TYPE_CHECKING:
    from pathlib import Path

    from algotrade.bars import Bars

HEADER = "date,open,high,low,close,volume\n"
TWO = "2024-07-02,10,12.5,9.123456,11,1000\n2024-07-03,11,11,11,11,0\n"
MINUTE_HEADER = "t,open,high,low,close,volume\n"


@cache
def calendar() -> Calendar:
    return exchange_calendar(date(2024, 1, 2), date(2024, 12, 31))


def utc(month: int, day: int, hour: int, minute: int = 0) -> int:
    return to_ts(datetime(2024, month, day, hour, minute, tzinfo=UTC))


def put(folder: Path, text: str | bytes, name: str = "AAPL.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(
    folder: Path,
    text: str | bytes,
    name: str = "AAPL.csv",
    **options: Any,  # noqa: ANN401  those of read_csv
) -> Bars:
    (bars,) = read_csv(put(folder, text, name), calendar=calendar(), **options).values()
    return bars


def refused(
    folder: Path,
    text: str | bytes,
    name: str = "AAPL.csv",
    **options: Any,  # noqa: ANN401  those of read_csv
) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, text, name, **options)
    return f"{caught.value.message} | {caught.value.hint or ''}"


def check_two(bars: Bars) -> None:
    assert (bars.source, bars.symbol, bars.timeframe) == ("csv", "AAPL", "1d")
    assert list(bars.ts_open) == [utc(7, 2, 13, 30), utc(7, 3, 13, 30)]
    assert list(bars.ts_close) == [utc(7, 2, 20), utc(7, 3, 17)]  # the third is a half day
    assert list(bars.open) == [10_000_000, 11_000_000]
    assert list(bars.high) == [12_500_000, 11_000_000]
    assert list(bars.low) == [9_123_456, 11_000_000]
    assert list(bars.close) == [11_000_000, 11_000_000]
    assert list(bars.volume) == [1_000_000_000, 0]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + TWO,
        "\ufeff" + HEADER + TWO,
        (HEADER + TWO).replace("\n", "\r\n"),
        (HEADER + TWO).replace("\n", "\r"),
        (HEADER + TWO).replace(",", ";"),
        (HEADER + TWO).replace(",", "\t"),
        (HEADER + TWO).replace(",", " , "),
        (HEADER + TWO).rstrip("\n"),
        "\n" + HEADER + "\n" + TWO + "\n\n",
        '"Date","Open","High","Low","Close","Volume"\n' + TWO.replace("1000", '"1000.0"'),
        "Date,Open,High,Low,Close,Adj Close,Volume\n"
        + TWO.replace(",11,1000", ",11,5.5,1000").replace(",11,0", ",11,5.5,0"),
        HEADER + "".join(reversed(TWO.splitlines(keepends=True))),  # newest first
        HEADER + TWO + TWO,  # told twice, the same
        HEADER + TWO.replace("2024-07-0", "2024070"),
        HEADER + TWO.replace(",10,", " 00:00:00,10.,").replace("9.123456", "9.12345600"),
        HEADER + TWO.replace("2024-07-02", "2024-07-02T00:00:00-04:00"),
        HEADER + TWO.replace("2024-07-02", "2024-07-02T00:00:00Z"),
        HEADER + TWO.replace("2024-07-02", "2024-07-02T20:00:00Z"),
        HEADER + TWO.replace("2024-07-02", "1719892800"),  # midnight in New York, in seconds
        HEADER + TWO.replace("2024-07-02", "1719892800000"),
        HEADER + TWO.replace("2024-07-02", "1719892800000000000"),
    ],
)
def test_what_people_call_csv_is_read_exactly(tmp_path: Path, text: str) -> None:
    check_two(read(tmp_path, text))


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    check_two(read(tmp_path, gzip.compress((HEADER + TWO).encode()), "AAPL.csv.gz"))


def test_columns_are_mapped_by_hand(tmp_path: Path) -> None:
    text = ("When,First,high,low,Last,Total,open,close\n" + TWO).replace(",1000\n", ",1000,1,2\n")
    mapping = parse_mapping("When=ts, First=open,last=close,Total=volume")
    check_two(read(tmp_path, text.replace(",0\n", ",0,1,2\n"), mapping=mapping))


@pytest.mark.parametrize("mapping", [{"Date": "time"}, {"Day": "ts"}])
def test_a_mapping_of_what_is_not_there_is_refused(tmp_path: Path, mapping: dict[str, str]) -> None:
    with pytest.raises(InputError, match="no such"):
        read(tmp_path, HEADER + TWO, mapping=mapping)


@pytest.mark.parametrize("text", ["", "Date", "Date=", "=ts", "a=b,,c=d"])
def test_a_mapping_has_pairs(text: str) -> None:
    with pytest.raises(InputError, match="HEADING=ROLE"):
        parse_mapping(text)


def test_a_symbol_column_tells_the_symbol_of_each_row(tmp_path: Path) -> None:
    text = (
        "ticker,"
        + HEADER
        + "".join(f"{s},{row}" for s in ("BRK.B", "IBM") for row in TWO.splitlines(keepends=True))
    )
    path = put(tmp_path, text, "all my prices.csv")
    found = read_csv(path, calendar=calendar())
    assert [(name, bars.symbol, len(bars)) for name, bars in found.items()] == [
        ("BRK.B", "BRK.B", 2),
        ("IBM", "IBM", 2),
    ]
    assert list(read_csv(path, calendar=calendar(), symbol="IBM")) == ["IBM"]
    with pytest.raises(DataError, match="no bars of AAPL"):
        read_csv(path, calendar=calendar(), symbol="AAPL")


def test_the_symbol_comes_from_the_argument_or_the_file_name(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + TWO, "BRK.B.csv").symbol == "BRK.B"
    assert read(tmp_path, HEADER + TWO, "aapl.TXT").symbol == "AAPL"
    assert read(tmp_path, HEADER + TWO, "prices of mine.csv", symbol="IBM").symbol == "IBM"
    with pytest.raises(InputError, match="does not tell the symbol"):
        read(tmp_path, HEADER + TWO, "prices of mine.csv")


# ---- minutes


@pytest.mark.parametrize(
    ("stamp", "tz"),
    [
        ("1719927000", None),
        ("1719927000000", None),
        ("1719927000000000", None),
        ("1719927000000000000", None),
        ("2024-07-02T13:30:00Z", None),
        ("2024-07-02T09:30:00-04:00", "Europe/Berlin"),  # its own zone counts
        ("2024-07-02 09:30", "America/New_York"),
        ("2024-07-02 15:30:00.000", "Europe/Berlin"),
        ("20240702 093000", "America/New_York"),
    ],
)
def test_a_minute_is_read_from_unix_and_iso_times(
    tmp_path: Path, stamp: str, tz: str | None
) -> None:
    bars = read(tmp_path, f"{MINUTE_HEADER}{stamp},1,1,1,1,1\n", timeframe="1m", tz=tz)
    assert list(bars.ts_open) == [utc(7, 2, 13, 30)]
    assert list(bars.ts_close) == [utc(7, 2, 13, 30) + MINUTE]


def test_a_date_and_a_time_may_stand_in_two_columns(tmp_path: Path) -> None:
    text = "Date,Time,Open,High,Low,Close,Volume\n2024-07-02,09:30,1,1,1,1,1\n"
    bars = read(tmp_path, text, timeframe="1m", tz="America/New_York")
    assert list(bars.ts_open) == [utc(7, 2, 13, 30)]


@pytest.mark.parametrize(
    ("stamp", "tz", "why"),
    [
        ("2024-07-02 09:30", None, "no time zone"),
        ("2024-11-03 01:30", "America/New_York", "twice or never"),
        ("2024-03-10 02:30", "America/New_York", "twice or never"),
        ("1719927000000000001", None, "finer than a microsecond"),
        ("17199270000", None, "not a Unix time"),
        ("07/02/2024 09:30", "America/New_York", "not a time"),
        ("-1719927000", None, "not a time"),
        ("", None, "not a time"),
    ],
)
def test_a_time_that_is_not_certain_is_refused(
    tmp_path: Path, stamp: str, tz: str | None, why: str
) -> None:
    text = f"{MINUTE_HEADER}{stamp},1,1,1,1,1\n"
    assert "row 2 column 't': " in (told := refused(tmp_path, text, timeframe="1m", tz=tz))
    assert why in told


def test_a_zone_and_a_timeframe_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no time zone"):
        read(tmp_path, HEADER + TWO, tz="Mars/Olympus")
    with pytest.raises(InputError, match="cannot be imported"):
        read(tmp_path, HEADER + TWO, timeframe="2h")


# ---- what is refused


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (",10,", ",ten,", "row 2 column 'open': 'ten' is not a plain number"),
        (",10,", ",nan,", "row 2 column 'open': 'nan'"),
        (",10,", ",1e3,", "row 2 column 'open': '1e3'"),
        (",10,", ",-10,", "row 2 column 'open': '-10'"),
        (",10,", ",$10,", "row 2 column 'open': '$10'"),
        (",10,", ",1_0,", "row 2 column 'open': '1_0'"),
        (",10,", ",\u0661\u0660,", "row 2 column 'open': '\\u0661\\u0660'"),
        (",10,", ",1.2.3,", "row 2 column 'open': '1.2.3'"),
        (",10,", ",.,", "row 2 column 'open': '.'"),
        (",10,", ",,", "row 2 column 'open': ''"),
        (",10,", ",0,", "row 2 column 'open': a price of zero"),
        (",10,", ",0.0000001,", "row 2 column 'open': '0.0000001' is finer"),
        (",10,", ",1000000001,", "row 2 column 'open': '1000000001' is beyond belief"),
        (",10,", f",{'9' * 5000},", "is not a plain number"),
        (",10,", ',"10,50",', "row 2 column 'open': '10,50' is not a plain number"),
        (",10,", ",10;", "row 2: 5 fields where the header has 6"),
        (",10,", ",10,10,", "row 2: 7 fields where the header has 6"),
        (",10,", ',"10,', "row 2: unexpected end of data"),
        (HEADER + TWO, "\n\n" + HEADER + "x,1\n", "row 4: 2 fields"),
        (",10,", f",{'9' * 1_000_000},", "row 2: a line of over 65536 characters"),
        (",10,", ",1\x000,", "row 2: a NUL byte"),
        ("2024-07-02", "2024-07-04", "row 2 column 'date': the exchange was closed on 2024-07-04"),
        ("2024-07-02", "1999-07-02", "row 2 column 'date': the stored exchange calendar"),
        ("2024-07-02", "2024-02-30", "row 2 column 'date': '2024-02-30' is not a date"),
        ("2024-07-02", "07/02/2024", "row 2 column 'date': '07/02/2024' is not a time"),
        ("2024-07-02", "2024-07-02T12:00:00Z", "row 2 column 'date': "),
        ("2024-07-02", "2024-07-03", "row 3 column 'date': '2024-07-03' came before"),
        ("close,", "Open,", "row 1: the heading 'Open' stands twice"),
        ("close", "shut", "row 1: no column for close"),
        ("date", "when", "row 1: no column for ts"),
        (HEADER + TWO, "", "AAPL.csv is empty"),
        (HEADER + TWO, "\n\n", "AAPL.csv is empty"),
        (TWO, "", "AAPL.csv has no bars"),
        (HEADER + TWO, "\x1b[2Jhello\n1\n", "row 1: no column for ts, open"),
    ],
)
def test_what_is_wrong_is_told_by_row_and_column(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    told = refused(tmp_path, (HEADER + TWO).replace(old, new))
    assert why in told
    assert told.isascii()
    assert told.isprintable()
    assert len(told) < 400


def test_the_first_few_wrong_cells_are_told_at_once(tmp_path: Path) -> None:
    told = refused(tmp_path, HEADER + TWO.replace("11,", "x,"))
    assert told.startswith("AAPL.csv row 2 column 'close': 'x'")
    assert "nothing of the file was taken | also row 3 column 'open'" in told
    told = refused(tmp_path, HEADER + "x,1,1,1,1,1\n" * 99)
    assert told.count("not a time") == 5
    assert "not read further" in told


def test_finer_prices_are_rounded_where_that_is_asked(tmp_path: Path) -> None:
    row = "2024-07-02,1.0000005,2.0000015,1.0000004999,1.00000050001,0.0000005\n"
    bars = read(tmp_path, HEADER + row, rounding=True)
    cells = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    assert [c[0] for c in cells] == [1_000_000, 2_000_002, 1_000_000, 1_000_001, 0]


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip at all",
        gzip.compress((HEADER + TWO).encode())[:-9],
        gzip.compress((HEADER + TWO).encode())[:30],
        gzip.compress((HEADER + TWO).encode()) + b"rubbish",
        b"",
    ],
)
def test_a_damaged_compressed_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "AAPL.csv.gz" in refused(tmp_path, content, "AAPL.csv.gz")


def test_utf_16_is_told(tmp_path: Path) -> None:
    assert "save it as CSV in UTF-8" in refused(tmp_path, (HEADER + TWO).encode("utf-16"))


def test_a_file_that_cannot_be_opened_is_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_csv(tmp_path / "AAPL.csv", calendar=calendar())
    with pytest.raises(InputError, match="directory"):
        read_csv(tmp_path, calendar=calendar())


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_at_all_get_past_the_door(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    headed: bool,  # noqa: FBT001
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = put(folder, HEADER.encode() + content if headed else content)
    try:
        found = read_csv(path, calendar=calendar())
    except (DataError, InputError):
        return
    assert all(min(bars.open) > 0 for bars in found.values())


@given(st.integers(1, 10**15), st.integers(0, 8), st.booleans())
def test_a_price_is_read_from_its_text(
    tmp_path_factory: pytest.TempPathFactory,
    micros: int,
    zeros: int,
    bare: bool,  # noqa: FBT001
) -> None:
    whole, part = divmod(micros, 1_000_000)
    text = f"{whole}.{part:06d}{'0' * zeros}"
    if bare and not zeros:
        text = text.rstrip("0")
    row = f"2024-07-02,{text},{text},{text},{text},{text}\n"
    bars = read(tmp_path_factory.mktemp("price"), HEADER + row)
    assert (bars.open[0], bars.volume[0]) == (micros, micros)


# ---- folders and actions


def test_a_folder_gives_its_files_of_bars(tmp_path: Path) -> None:
    names = ["IBM.csv", "AAPL.csv.gz", "splits.csv", "Dividends.csv", "tickers.csv", "notes.md"]
    for name in names:
        put(tmp_path, "", name)
    assert [path.name for path in csv_files(tmp_path)] == ["AAPL.csv.gz", "IBM.csv"]
    put(tmp_path, "", "IBM.csv.gz")
    with pytest.raises(InputError, match=r"IBM\.csv and IBM\.csv\.gz"):
        csv_files(tmp_path)
    empty = tmp_path / "none"
    empty.mkdir()
    with pytest.raises(InputError, match="no CSV file"):
        csv_files(empty)


def test_splits_are_read_as_whole_ratios(tmp_path: Path) -> None:
    text = (
        "ticker,execution_date,split_from,split_to\n"
        "IBM,2024-07-03,1,1.5\nAAPL,2020-08-31,1,4\nAAPL,2020-08-31,1,4\n"
    )
    assert read_splits(put(tmp_path, text, "splits.csv")) == [
        Split(symbol="AAPL", ex_date=date(2020, 8, 31), split_from=1, split_to=4),
        Split(symbol="IBM", ex_date=date(2024, 7, 3), split_from=2, split_to=3),
    ]


def test_dividends_are_read_exactly(tmp_path: Path) -> None:
    text = "ticker,ex_dividend_date,cash_amount\nIBM,2024-07-03,1.67\nAAPL,2020-08-07,0.2050005\n"
    assert read_dividends(put(tmp_path, text, "dividends.csv")) == [
        Dividend(symbol="AAPL", ex_date=date(2020, 8, 7), amount=205_000),
        Dividend(symbol="IBM", ex_date=date(2024, 7, 3), amount=1_670_000),
    ]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("AAPL,2020-08-31,0,4", "row 2 column 'split_from': a split has no zero"),
        ("AAPL,2020-08-31,1,", "row 2 column 'split_to': ''"),
        ("AAPL,31.8.2020,1,4", "row 2 column 'execution_date': date '31.8.2020'"),
        ("../etc,2020-08-31,1,4", "row 2 column 'ticker': symbol '../etc'"),
    ],
)
def test_a_wrong_split_is_told_by_row_and_column(tmp_path: Path, row: str, why: str) -> None:
    path = put(tmp_path, f"ticker,execution_date,split_from,split_to\n{row}\n", "splits.csv")
    with pytest.raises(DataError, match="nothing of the file was taken") as caught:
        read_splits(path)
    assert why in caught.value.message


def test_a_dividend_of_nothing_is_told(tmp_path: Path) -> None:
    path = put(tmp_path, "ticker,ex_dividend_date,cash_amount\nIBM,2024-07-03,0\n", "dividends.csv")
    with pytest.raises(DataError, match="a dividend of nothing"):
        read_dividends(path)
