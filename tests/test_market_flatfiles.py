from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.domain.times import MINUTE, to_date, to_ts
from algotrade.errors import DataError, InputError
from algotrade.market import digits
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.flatfiles import FlatBatch, flat_files, read_flat_file, read_flat_files
from algotrade.market.source import Span

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

HEADER = "ticker,volume,open,close,high,low,window_start,transactions"
DAY = date(2024, 7, 2)
OPEN = to_ts(datetime(2024, 7, 2, 13, 30, tzinfo=UTC))


@cache
def calendar() -> Calendar:
    return exchange_calendar(date(2024, 1, 2), date(2024, 12, 31))


def line(
    ticker: str = "AAPL", minute: int = 0, prices: str = "10,11,12.5,9.123456", volume: str = "1000"
) -> str:
    return f"{ticker},{volume},{prices},{(OPEN + minute * MINUTE) * 1000},7"


def put(folder: Path, lines: Sequence[str], name: str = "2024-07-02.csv.gz") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{one}\n" for one in [HEADER, *lines]).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def read(
    folder: Path,
    lines: Sequence[str],
    *,
    timeframe: str = "1m",
    symbols: Collection[str] | None = None,
) -> FlatBatch:
    path = put(folder, lines)
    return read_flat_file(path, timeframe=timeframe, calendar=calendar(), symbols=symbols)


def rejected(batch: FlatBatch) -> list[tuple[str, str, str]]:
    return [(f.symbol, f.when, f.reason) for f in batch.rejected]


def test_minutes_are_read_exactly(tmp_path: Path) -> None:
    lines = [line(), line(minute=1), line("IBM", 3, "123456789.01,1,123456789.01,1", "0.5")]
    batch = read(tmp_path, lines)
    aapl, ibm = batch.bars
    assert (aapl.source, aapl.symbol, aapl.timeframe) == ("polygon", "AAPL", "1m")
    assert list(aapl.ts_open) == [OPEN, OPEN + MINUTE]
    assert list(aapl.ts_close) == [OPEN + MINUTE, OPEN + 2 * MINUTE]
    assert list(aapl.open) == [10_000_000] * 2
    assert list(aapl.close) == [11_000_000] * 2
    assert list(aapl.high) == [12_500_000] * 2
    assert list(aapl.low) == [9_123_456] * 2
    assert list(aapl.volume) == [1_000_000_000] * 2
    assert (ibm.symbol, ibm.open[0], ibm.volume[0]) == ("IBM", 123_456_789_010_000, 500_000)
    assert (batch.rejected, batch.skipped) == ((), ())


def test_days_begin_at_midnight_in_new_york(tmp_path: Path) -> None:
    midnight = to_ts(datetime(2024, 7, 2, 4, tzinfo=UTC)) * 1000
    lines = [f"{s},5e2,10,11,12,9,{midnight},7" for s in ("A", "BRK.B")]
    batch = read(
        tmp_path, [*lines, f"C,5,10,11,12,9,{midnight + 3_600_000_000_000},7"], timeframe="1d"
    )
    assert [bars.symbol for bars in batch.bars] == ["A", "BRK.B"]
    index = calendar().find(DAY)
    assert index is not None
    assert list(batch.bars[0].ts_open) == [calendar().opens[index]]
    assert list(batch.bars[0].ts_close) == [calendar().closes[index]]
    assert batch.bars[0].volume[0] == 500_000_000
    assert [(symbol, when) for symbol, when, _ in rejected(batch)] == [("C", "2024-07-02")]


def test_extended_hours_belong_to_the_session(tmp_path: Path) -> None:
    first, last = -(5 * 60 + 30), 10 * 60 + 29
    batch = read(tmp_path, [line(minute=m) for m in (first - 1, first, last, last + 1)])
    assert list(batch.bars[0].ts_open) == [OPEN + first * MINUTE, OPEN + last * MINUTE]
    assert len(batch.rejected) == 2


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (line(minute=2).replace(f"{(OPEN + 2 * MINUTE) * 1000}", "-60000000000"), "window_start"),
        (line(minute=2).replace("000,7", "001,7"), "window_start"),
        (line(minute=2).replace("0000000000,7", "00000,7"), "window_start"),
        (line(minute=2 + 24 * 60), "window_start"),
        (line(minute=2, prices="10,11,10.5,9"), "open 10 high 10.5 low 9 close 11"),
        (line(minute=2, prices="10,11,12,10.5"), "not believable"),
        (line(minute=2, prices="0,0,0,0"), "not believable"),
        (line(minute=2, prices="-10,11,12,9"), "open '-10' is not a number"),
        (line(minute=2, prices="nan,11,12,9"), "open 'nan' is not a number"),
        (line(minute=2, prices=",11,12,9"), "open '' is not a number"),
        (line(minute=2, prices="1.2.3,11,12,9"), "open '1.2.3' is not a number"),
        (line(minute=2, prices="10.0000001,11,12,9"), "at most 6 decimals"),
        (line(minute=2, prices="10,11,1200000000,9"), "high 1.2e+09 is beyond belief"),
        (line(minute=2, volume="-1"), "volume '-1' is not a number"),
        (line(minute=2, volume="99999999999999999999"), "volume"),
        (line(minute=2, volume="1e99"), "volume '1e99' is not a number"),
        (line(minute=2) + ",8", "9 fields instead of 8"),
        ("AAPL,1", "2 fields instead of 8"),
        (line(minute=1), "a second bar of this time, the same values"),
        (line(minute=1, volume="7"), "a second bar of this time, other values"),
    ],
)
def test_a_row_that_cannot_be_believed_is_set_aside(tmp_path: Path, bad: str, why: str) -> None:
    good = [line(minute=0), line(minute=1), line(minute=3), line("IBM")]
    batch = read(tmp_path, [*good[:2], bad, *good[2:]])
    assert [list(bars.volume) for bars in batch.bars] == [[1_000_000_000] * 3, [1_000_000_000]]
    ((symbol, _, reason),) = rejected(batch)
    assert symbol == ("" if "fields" in why else "AAPL")
    assert why in reason


@pytest.mark.parametrize(
    ("text", "micros"),
    [("1e1", 10_000_000), ("1.05e+1", 10_500_000), ("10.50000000", 10_500_000), ("100e-1", 10**7)],
)
def test_other_notations_are_read_exactly(tmp_path: Path, text: str, micros: int) -> None:
    batch = read(tmp_path, [line(prices=f"{text},11,12,9")])
    assert list(batch.bars[0].open) == [micros]


def test_a_file_of_unbelievable_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="11 of 31 rows cannot be believed"):
        read(tmp_path, [line(minute=m, volume="x" if m % 3 == 0 else "1") for m in range(31)])
    few = read(tmp_path, [line(minute=m, volume="x" if m % 3 == 0 else "1") for m in range(28)])
    assert (len(few.bars[0]), len(few.rejected)) == (18, 10)
    with pytest.raises(DataError, match="20 of 20 rows cannot be believed"):
        read(tmp_path, [line(minute=m) for m in range(20)], timeframe="1d")


def test_rows_in_any_order_are_put_in_order(tmp_path: Path) -> None:
    lines = [line("IBM", 5), line("AAPL", 3), line("IBM", 2), line("AAPL", 1), line("AAPL", 2)]
    aapl, ibm = read(tmp_path, lines).bars
    assert [(ts - OPEN) // MINUTE for ts in aapl.ts_open] == [1, 2, 3]
    assert [(ts - OPEN) // MINUTE for ts in ibm.ts_open] == [2, 5]


def test_only_the_wanted_symbols_are_read(tmp_path: Path) -> None:
    names = (
        "AAPL",
        "AAPLE",
        "IBM",
        "ABCDEFGHIJKLMNOP",
        "ABCDEFGHIJKLMNOQ",
        "KIMpL",
        "ZVZZT",
        "TOVXr",
    )
    lines = [line(name) for name in names]
    batch = read(tmp_path, lines, symbols={"IBM", "KIMpL", "MSFT"})
    assert [bars.symbol for bars in batch.bars] == ["IBM", "KIMpL"]
    assert batch.skipped == ()
    batch = read(tmp_path, lines)
    assert [bars.symbol for bars in batch.bars] == ["AAPL", "AAPLE", "IBM", "KIMpL", "ZVZZT"]
    assert batch.skipped == ("'ABCDEFGHIJKLMNOP'", "'ABCDEFGHIJKLMNOQ'", "'TOVXr'")


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "2024-07-02.csv"
    stamp = OPEN * 1000
    path.write_text(
        f"window_start,vwap,ticker,low,high,close,open,volume\n{stamp},1,A,9,12,11,10,5"
    )
    (bars,) = read_flat_file(path, timeframe="1m", calendar=calendar()).bars
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0]) == (
        10**7,
        12 * 10**6,
        9 * 10**6,
        11 * 10**6,
    )


def test_blocks_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line(name, minute) for name in ("A", "BB", "CCC") for minute in range(50)]
    whole = read(tmp_path, lines)
    for size in (70, 100, 1000):
        monkeypatch.setattr(digits, "_BLOCK", size)
        assert read(tmp_path, lines) == whole


def test_a_stream_of_several_members_is_one_file(tmp_path: Path) -> None:
    path = put(tmp_path, [line()])
    path.write_bytes(path.read_bytes() + gzip.compress(f"{line(minute=1)}\n".encode()))
    (bars,) = read_flat_file(path, timeframe="1m", calendar=calendar()).bars
    assert len(bars) == 2


@pytest.mark.parametrize("cut", [1, 8, 20, 60])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = put(tmp_path, [line(minute=m) for m in range(100)])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match="cannot be read whole"):
        read_flat_file(path, timeframe="1m", calendar=calendar())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, [line(minute=m) for m in range(100)])
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the checksum
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read whole"):
        read_flat_file(path, timeframe="1m", calendar=calendar())


@pytest.mark.parametrize("text", ["", "<html>", "ticker,volume\n", f"{HEADER},open\n"])
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "2024-07-02.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="not a flat file"):
        read_flat_file(path, timeframe="1m", calendar=calendar())


def test_the_name_tells_the_session(tmp_path: Path) -> None:
    path = put(tmp_path, [], "2024-07-04.csv.gz")
    with pytest.raises(DataError, match="the exchange was closed"):
        read_flat_file(path, timeframe="1m", calendar=calendar())
    with pytest.raises(InputError, match="not named"):
        read_flat_file(tmp_path / "today.csv.gz", timeframe="1m", calendar=calendar())
    with pytest.raises(InputError, match="1d or 1m"):
        read_flat_file(path, timeframe="1h", calendar=calendar())


def test_a_folder_is_read_in_date_order(tmp_path: Path) -> None:
    for day in calendar().day:
        session = to_date(day)
        if date(2024, 6, 27) <= session <= date(2024, 7, 8) and session.day != 5:
            stamp = to_ts(datetime(session.year, session.month, session.day, 4, tzinfo=UTC)) * 1000
            lines = [f"{s},5,10,11,12,9,{stamp},7" for s in ("A", "B")]
            put(tmp_path, lines, f"{session:%Y/%m}/{session}.csv.gz")
    put(tmp_path, [], "notes.csv")
    folder = flat_files(tmp_path, calendar())
    days = [27, 28, 1, 2, 3, 8]
    assert [session.day for session, _ in folder.files] == days
    assert folder.missing == (date(2024, 7, 5),)
    paths = [path for _, path in reversed(folder.files)]
    by_file = list(read_flat_files(paths, timeframe="1d", calendar=calendar()))
    assert [batch.files[0].name[8:10] for batch in by_file] == [f"{day:02d}" for day in days]
    months = list(read_flat_files(paths, timeframe="1d", calendar=calendar(), by_month=True))
    assert [[(b.symbol, len(b)) for b in batch.bars] for batch in months] == [
        [("A", 2), ("B", 2)],
        [("A", 4), ("B", 4)],
    ]
    joined = [ts for batch in months for ts in batch.bars[0].ts_close]
    assert joined == [ts for batch in by_file for ts in batch.bars[0].ts_close] == sorted(joined)
    span = Span(start=date(2024, 6, 28), end=date(2024, 7, 2))
    assert [s.day for s, _ in flat_files(tmp_path, calendar(), span=span).files] == [28, 1]


def test_two_files_of_a_day_are_refused(tmp_path: Path) -> None:
    put(tmp_path, [], "day/2024-07-02.csv.gz")
    put(tmp_path, [], "minute/2024-07-02.csv.gz")
    with pytest.raises(InputError, match="two files of 2024-07-02"):
        flat_files(tmp_path, calendar())
    with pytest.raises(InputError, match="no flat file"):
        flat_files(tmp_path, calendar(), span=Span(start=date(2023, 1, 1), end=date(2023, 2, 1)))


plain = st.builds(
    lambda whole, part: f"{whole}.{part}" if part else whole,
    st.from_regex(r"[0-9]{1,12}", fullmatch=True),
    st.from_regex(r"[0-9]{0,6}", fullmatch=True),
)
any_text = st.text(st.characters(codec="ascii", exclude_characters=",\n"), max_size=24)


@given(st.lists(st.one_of(plain, any_text), min_size=1, max_size=20))
def test_decimals_are_those_of_decimal(fields: list[str]) -> None:
    block = "".join(f"x,{field},y\n" for field in fields).encode()
    numbers = digits.decimals(digits.cut(block, 3), 1, 6)
    for text, value, wrong in zip(
        fields, numbers.values.tolist(), numbers.wrong.tolist(), strict=True
    ):
        whole, point, part = text.partition(".")
        good = (whole + part).isdigit() and whole and bool(part) == bool(point)
        if good and len(whole) <= 12 and len(part) <= 6:
            assert not wrong
            assert value == Decimal(text) * 10**6
        elif not good:
            assert wrong


@given(st.lists(st.one_of(st.integers(0, 2**64).map(str), any_text), min_size=1, max_size=20))
def test_whole_numbers_are_those_of_int(fields: list[str]) -> None:
    block = "".join(f"{field},y\n" for field in fields).encode()
    numbers = digits.whole_numbers(digits.cut(block, 2), 0)
    for text, value, wrong in zip(
        fields, numbers.values.tolist(), numbers.wrong.tolist(), strict=True
    ):
        if text.isdigit() and len(text) <= 19 and int(text) < 2**63:
            assert (value, wrong) == (int(text), False)
        else:
            assert wrong


@given(st.lists(st.tuples(any_text, st.integers(1, 4)), min_size=1, max_size=12))
def test_runs_are_those_of_the_text(groups: list[tuple[str, int]]) -> None:
    fields = [text for text, count in groups for _ in range(count)]
    table = digits.cut("".join(f"{field},y\n" for field in fields).encode(), 2)
    found = [
        text.decode() for start, stop, text in digits.runs(table, 0) for _ in range(start, stop)
    ]
    assert found == fields


@given(st.binary(max_size=400))
def test_no_bytes_at_all_get_past_the_door(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "2024-07-02.csv"
    path.write_bytes(f"{HEADER}\n{line()}\n".encode() + content)
    try:
        batch = read_flat_file(path, timeframe="1m", calendar=calendar())
    except DataError:
        return
    assert "AAPL" in {bars.symbol for bars in batch.bars}
