"""The built-in sample: what it holds, what it hides, and that it is what the set's own numbers say.

Expected prices were read by hand from the source set; `data/sample_adjustment.csv` is the set's
own ratio of adjusted to traded close, written down by tools/build_sample.py before any derivation.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
import zlib
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.actions import Dividend, Split
from algotrade.domain.times import to_date, to_day, to_ts
from algotrade.errors import DataError, InputError
from algotrade.market import sample
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.sample import SYMBOLS, SampleSource
from algotrade.market.source import BarSource, Span

if TYPE_CHECKING:
    from algotrade.bars import Bars

# exchange_calendars 4.13 under pandas 3.1 reads a column in a way that pandas will change
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning:DeprecationWarning")

RATIOS = Path(__file__).with_name("data") / "sample_adjustment.csv"
EVERYTHING = Span(start=date(1990, 1, 1), end=date(2030, 1, 1))
END_OF_2013 = to_ts(datetime(2013, 12, 31, tzinfo=UTC))
ROWS = {"AAPL": 3270, "IBM": 3270, "MSFT": 3270, "GOOG": 2148}
ACTIONS = {"AAPL": (2, 3), "IBM": (0, 52), "MSFT": (1, 37), "GOOG": (0, 0)}


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return exchange_calendar(date(1999, 11, 1), date(2013, 12, 31))


@pytest.fixture(scope="module")
def source(calendar: Calendar) -> BarSource:
    return SampleSource(calendar, now=END_OF_2013)


def at(text: str) -> int:
    return to_ts(datetime.fromisoformat(text))


def only_bars(source: BarSource, symbol: str, span: Span = EVERYTHING) -> Bars:
    (page,) = source.bars(symbol, "1d", span)
    assert page.rejected == ()
    assert not page.delayed
    return page.bars


def row(bars: Bars, index: int) -> tuple[int, ...]:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return tuple(column[index] for column in columns)


@pytest.mark.parametrize(
    ("symbol", "session", "expected"),
    [
        ("AAPL", date(2000, 3, 1), ("118.56", "132.06", "118.5", "130.31", 9_616_100)),
        ("AAPL", date(2013, 3, 1), ("438.0", "438.1799", "429.98", "430.47", 19_730_300)),
        ("GOOG", date(2004, 8, 19), ("100.01", "104.06", "95.96", "100.335", 44_659_000)),
        ("IBM", date(2000, 3, 1), ("102.0", "105.5", "100.06", "100.25", 10_807_800)),
        ("MSFT", date(2000, 3, 1), ("89.62", "94.09", "88.94", "90.81", 53_444_900)),
    ],
)
def test_bars_are_the_sets_rows_in_micro_units(
    source: BarSource, symbol: str, session: date, expected: tuple[str | int, ...]
) -> None:
    bars = only_bars(source, symbol, Span(start=session, end=session + timedelta(days=1)))
    *prices, volume = expected
    micros = [round(float(price) * 10_000) * 100 for price in prices]
    assert len(bars) == 1
    assert row(bars, 0) == (*micros, int(volume) * 1_000_000)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_session_has_one_consistent_bar(
    source: BarSource, calendar: Calendar, symbol: str
) -> None:
    bars = only_bars(source, symbol)
    assert len(bars) == ROWS[symbol]
    first = calendar.opens.index(bars.ts_open[0])
    assert bars.ts_open == calendar.opens[first : first + len(bars)]
    assert bars.ts_close == calendar.closes[first : first + len(bars)]
    assert to_date(calendar.day[first + len(bars) - 1]) == sample.last_session()
    for open_, high, low, close, volume in (row(bars, index) for index in range(len(bars))):
        assert 0 < low <= min(open_, close) <= max(open_, close) <= high
        assert volume > 0


def test_sample_begins_and_ends_where_it_says(source: BarSource) -> None:
    days = sample.read_columns("AAPL").day
    assert (to_date(days[0]), to_date(days[-1])) == (sample.first_session(), sample.last_session())
    assert source.granted_start("GOOG") == sample.first_session()
    assert only_bars(source, "AAPL").source == source.name == "sample"


@pytest.mark.parametrize(
    ("session", "opens", "closes"),
    [
        ("2012-07-05", "2012-07-05T13:30:00Z", "2012-07-05T20:00:00Z"),
        ("2012-11-23", "2012-11-23T14:30:00Z", "2012-11-23T18:00:00Z"),  # the half day
        ("2013-01-02", "2013-01-02T14:30:00Z", "2013-01-02T21:00:00Z"),
    ],
)
def test_bar_times_are_the_exchanges(
    source: BarSource, session: str, opens: str, closes: str
) -> None:
    day = date.fromisoformat(session)
    bars = only_bars(source, "IBM", Span(start=day, end=day + timedelta(days=1)))
    assert (bars.ts_open[0], bars.ts_close[0]) == (at(opens), at(closes))


def test_span_excludes_its_end_and_may_be_empty(source: BarSource) -> None:
    week = Span(start=date(2012, 12, 24), end=date(2012, 12, 28))
    assert len(only_bars(source, "MSFT", week)) == 3  # closed on Christmas day
    assert len(only_bars(source, "MSFT", Span(start=week.start, end=week.start))) == 0
    assert len(only_bars(source, "GOOG", Span(start=date(2001, 1, 1), end=date(2002, 1, 1)))) == 0


def test_a_bar_appears_at_its_close_and_not_before(calendar: Calendar) -> None:
    close = at("2012-11-23T18:00:00Z")
    before = only_bars(SampleSource(calendar, now=close - 1), "AAPL")
    after = only_bars(SampleSource(calendar, now=close), "AAPL")
    assert before.ts_close[-1] == at("2012-11-21T21:00:00Z")  # the day before was Thanksgiving
    assert after.ts_close[-1] == close
    assert len(after) == len(before) + 1


def test_actions_appear_with_their_ex_date_and_not_before(calendar: Calendar) -> None:
    def seen(now: str) -> tuple[int, int]:
        source = SampleSource(calendar, now=at(now))
        return len(source.splits("AAPL")), len(source.dividends("AAPL"))

    assert seen("2000-06-20T20:00:00Z") == (0, 0)
    assert seen("2000-06-21T13:30:00Z") == (1, 0)
    assert seen("2005-02-26T12:00:00Z") == (1, 0)  # Saturday before a Monday's ex-date
    assert seen("2005-02-28T21:00:00Z") == (2, 0)
    assert seen("2012-08-08T20:00:00Z") == (2, 0)
    assert seen("2012-08-09T20:00:00Z") == (2, 1)


def test_bars_carry_only_the_splits_visible_with_them(calendar: Calendar) -> None:
    source = SampleSource(calendar, now=at("2003-01-02T21:00:00Z"))
    assert [split.ex_date for split in only_bars(source, "AAPL").splits] == [date(2000, 6, 21)]
    assert only_bars(source, "MSFT").splits == ()


def test_known_splits_and_dividends(source: BarSource) -> None:
    def split(symbol: str, ex_date: date) -> Split:
        return Split(symbol=symbol, ex_date=ex_date, split_from=1, split_to=2)

    assert source.splits("AAPL") == [
        split("AAPL", date(2000, 6, 21)),
        split("AAPL", date(2005, 2, 28)),
    ]
    assert source.splits("MSFT") == [split("MSFT", date(2003, 2, 18))]
    assert [(d.ex_date.isoformat(), d.amount) for d in source.dividends("AAPL")] == [
        ("2012-08-09", 2_650_000),
        ("2012-11-07", 2_650_000),
        ("2013-02-07", 2_650_000),
    ]
    special = Dividend(symbol="MSFT", ex_date=date(2004, 11, 15), amount=3_080_000)
    assert special in source.dividends("MSFT")
    for symbol in SYMBOLS:
        assert (len(source.splits(symbol)), len(source.dividends(symbol))) == ACTIONS[symbol]


def test_regular_dividends_rise_in_the_steps_the_companies_announced(source: BarSource) -> None:
    def steps(symbol: str) -> list[float]:
        amounts = [d.amount / 1e6 for d in source.dividends(symbol) if d.amount < 3_000_000]
        return list(dict.fromkeys(amounts))

    assert steps("IBM") == [
        *(0.13, 0.14, 0.15, 0.16, 0.18, 0.20, 0.30, 0.40, 0.50, 0.55, 0.65, 0.75, 0.85)
    ]
    assert steps("MSFT") == [0.08, 0.16, 0.09, 0.10, 0.11, 0.13, 0.20, 0.23]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_rebuilt_adjusted_closes_equal_the_sets_on_every_row(
    source: BarSource, calendar: Calendar, symbol: str
) -> None:
    bars = only_bars(source, symbol)
    factors = _factors(source, bars, calendar, symbol)
    runs = _published_ratios(symbol)
    last = len(bars) - 1
    checked = _ratio_on(runs, sample.last_session())
    for index in range(last, -1, -1):
        day = sample.read_columns(symbol).day[index]
        assert checked == pytest.approx(_ratio_on(runs, to_date(day)), rel=1e-12)
        checked /= factors.get(day, 1.0)


@pytest.mark.parametrize("symbol", ["AAPL", "MSFT"])
def test_returns_are_continuous_across_splits(
    source: BarSource, calendar: Calendar, symbol: str
) -> None:
    closes = only_bars(source, symbol).close
    first = calendar.find(sample.first_session())
    assert first is not None
    for split in source.splits(symbol):
        index = (calendar.find(split.ex_date) or 0) - first
        raw = closes[index] / closes[index - 1]
        assert raw < 0.6
        assert 0.95 < raw * split.split_to / split.split_from < 1.15


def _factors(source: BarSource, bars: Bars, calendar: Calendar, symbol: str) -> dict[int, float]:
    """Give the set's factor of each ex-date: the share ratio, or 1 + dividend over close."""
    closes = dict(zip(sample.read_columns(symbol).day, bars.close, strict=True))
    assert len(closes) == len(bars) <= len(calendar)
    factors = {to_day(s.ex_date): s.split_to / s.split_from for s in source.splits(symbol)}
    for dividend in source.dividends(symbol):
        day = to_day(dividend.ex_date)
        factors[day] = 1 + dividend.amount / closes[day]
    return factors


def _published_ratios(symbol: str) -> list[tuple[date, float]]:
    with RATIOS.open(encoding="ascii", newline="") as lines:
        found = defaultdict(list)
        for line in csv.DictReader(lines):
            found[line["symbol"]].append(
                (date.fromisoformat(line["from"]), float(line["adjusted_over_close"]))
            )
    return found[symbol]


def _ratio_on(runs: list[tuple[date, float]], day: date) -> float:
    return next(ratio for start, ratio in reversed(runs) if start <= day)


def test_clock_starts_sixty_sessions_before_the_end(calendar: Calendar) -> None:
    now = sample.opening_now(calendar)
    bars = only_bars(SampleSource(calendar, now=now), "AAPL")
    assert now == bars.ts_close[-1] == at("2012-12-03T21:00:00Z")
    assert len(bars) == ROWS["AAPL"] - 60


def test_clock_needs_a_calendar_that_reaches_the_end(calendar: Calendar) -> None:
    with pytest.raises(DataError, match="does not cover 2013-03-01"):
        sample.opening_now(_until(calendar, date(2012, 1, 1)))


def test_bars_need_a_calendar_that_covers_them(calendar: Calendar) -> None:
    source = SampleSource(_until(calendar, date(2012, 1, 1)), now=END_OF_2013)
    with pytest.raises(DataError, match="does not cover"):
        only_bars(source, "AAPL")


def test_a_calendar_without_a_bars_session_is_refused(calendar: Calendar) -> None:
    gap = calendar.day.index(to_day(date(2012, 7, 5)))
    day, opens, closes = (
        column[:gap] + column[gap + 1 :]
        for column in (calendar.day, calendar.opens, calendar.closes)
    )
    source = SampleSource(Calendar(day=day, opens=opens, closes=closes), now=END_OF_2013)
    with pytest.raises(DataError, match="2012-07-05"):
        only_bars(source, "IBM")


def _until(calendar: Calendar, end: date) -> Calendar:
    count = sum(day < to_day(end) for day in calendar.day)
    return Calendar(
        day=calendar.day[:count], opens=calendar.opens[:count], closes=calendar.closes[:count]
    )


@pytest.mark.parametrize("symbol", ["TSLA", "aapl", "../AAPL", ""])
def test_unknown_symbol_is_refused_with_the_four_there_are(source: BarSource, symbol: str) -> None:
    for ask in (
        lambda: list(source.bars(symbol, "1d", EVERYTHING)),
        lambda: source.splits(symbol),
        lambda: source.dividends(symbol),
    ):
        with pytest.raises(DataError, match="no symbol") as caught:
            ask()
        assert caught.value.hint == "it has AAPL, IBM, MSFT, GOOG"


def test_other_timeframes_are_refused(source: BarSource) -> None:
    with pytest.raises(InputError, match="1m"):
        list(source.bars("AAPL", "1m", EVERYTHING))


def _content() -> bytes:
    return zlib.decompress((sample.DATA / "AAPL.bars").read_bytes())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        _content()[:-1],
        _content() + b"\0",
        _content().replace(b"AAPL", b"MSFT", 1),
        _content().replace(b"sample 1", b"sample 2", 1),
        _content().replace(b"3270", b"3269", 1),
        _content()[:-1] + b"\xff",  # the last byte plane's sign bit: a negative rest
        _content()[:26] + b"\0" + _content()[27:],  # a day that does not move on
    ],
    ids=["empty", "short", "long", "symbol", "version", "count", "negative", "standing-day"],
)
def test_content_that_is_not_ours_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"unexpected header|out of range"):
        sample.unpack("AAPL", content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("AAPL.bars", b"not zlib"),
        ("actions.csv", b"symbol,ex_date,kind,value\nAAPL,2000-06-21,split,1\n"),
        ("actions.csv", b"symbol,ex_date,kind,value\nAAPL,2000-02-31,split,1:2\n"),
        ("actions.csv", None),
    ],
)
def test_a_damaged_package_is_a_data_error_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None
) -> None:
    monkeypatch.setattr(sample, "DATA", tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    read = sample.read_actions if name == "actions.csv" else sample.read_columns
    arguments = () if name == "actions.csv" else ("AAPL",)
    with pytest.raises(DataError, match=f"{name} is damaged") as caught:
        read.__wrapped__(*arguments)
    assert caught.value.hint == "install algotrade again"


def test_provenance_names_every_data_file_with_its_hash() -> None:
    text = (sample.DATA / "SAMPLE.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"\| `([\w.]+)` \|[^|]*\| `([0-9a-f]{64})` \|", text))
    files = [path for path in sample.DATA.iterdir() if path.name != "SAMPLE.md"]
    assert told == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert sum(path.stat().st_size for path in files) < 100_000


def test_reading_the_sample_imports_nothing_heavy() -> None:
    program = (
        "import json, sys; from algotrade.market import sample;"
        "sample.read_columns('AAPL'); sample.read_actions(); print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    heavy = {"numpy", "pandas", "exchange_calendars", "sqlite3", "importlib.resources"}
    assert not heavy & set(json.loads(done.stdout))
