"""Minute bars of Polygon, and pages read all at once: just what reading row by row gives."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from algotrade.bars import COLUMNS
from algotrade.domain.times import to_ts
from algotrade.errors import DataError
from algotrade.market.polygon_bars import Asked, read_page, read_rows, read_whole
from algotrade.market.source import Span
from polygon_server import (
    MINUTE_MS,
    Fault,
    PolygonServer,
    Row,
    midnight_ms,
    plausible_bars,
    plausible_minutes,
)
from polygon_world import FRIDAY, NOW, WHOLE, micros, replying, sessions, world

if TYPE_CHECKING:
    from algotrade.market.calendar import Calendar

# exchange_calendars 4.13 under pandas 3.1: its own call, not ours
pytestmark = pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")

WEEK = Span(start=date(2026, 11, 16), end=date(2026, 11, 21))
NINE_THIRTY = midnight_ms(FRIDAY.start) + 570 * MINUTE_MS


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return sessions()


@pytest.fixture(scope="module")
def minutes() -> list[Row]:
    """Five sessions from 04:00 to 20:00 New York."""
    return plausible_minutes(5, first_minute=240, count=960)


# --- minute bars


def test_minutes_of_all_hours_come_through_exactly(calendar: Calendar, minutes: list[Row]) -> None:
    with world(PolygonServer(minutes={"AAPL": minutes}, page_size=1_700), calendar) as w:
        pages = w.bars(WEEK, "1m")
        targets = w.targets()
    assert [len(page.bars) for page in pages] == [1_700, 1_700, 1_400]
    assert not any(page.rejected for page in pages)
    for field, name in zip("ohlcv", COLUMNS[2:], strict=True):
        got = [value for page in pages for value in page.bars.column(name)]
        assert got == [micros(row[field]) for row in minutes]
    opens = [ts for page in pages for ts in page.bars.ts_open]
    assert opens == [row["t"] * 1_000 for row in minutes]
    closes = [ts for page in pages for ts in page.bars.ts_close]
    assert closes == [ts + 60_000_000 for ts in opens]
    assert {page.bars.timeframe for page in pages} == {"1m"}
    assert targets[0] == (
        "/v2/aggs/ticker/AAPL/range/1/minute/2026-11-16/2026-11-20"
        "?adjusted=false&sort=asc&limit=50000"
    )
    assert len(targets) == 3


def test_a_minute_that_is_still_forming_is_left_out(calendar: Calendar, minutes: list[Row]) -> None:
    now = to_ts(datetime(2026, 11, 20, 14, 31, 59, tzinfo=UTC))  # in the minute from 9:31
    with world(PolygonServer(minutes={"AAPL": minutes}), calendar, now=now) as w:
        (page,) = w.bars(FRIDAY, "1m")
    assert page.rejected == ()
    assert page.bars.ts_close[-1] == to_ts(datetime(2026, 11, 20, 14, 31, tzinfo=UTC))
    assert len(page.bars) == 331


def test_minutes_across_the_change_of_clocks_stay_in_their_new_york_day(
    calendar: Calendar,
) -> None:
    changes = plausible_minutes(2, last=date(2026, 11, 2), first_minute=0, count=1_440)
    assert midnight_ms(date(2026, 11, 2)) - midnight_ms(date(2026, 11, 1)) == 25 * 3_600_000
    with world(PolygonServer(minutes={"AAPL": changes}), calendar) as w:
        for day, count in ((date(2026, 10, 30), 1_440), (date(2026, 11, 2), 1_440)):
            (page,) = w.bars(Span(start=day, end=day + timedelta(days=1)), "1m")
            assert (len(page.bars), page.rejected) == (count, ())


@pytest.mark.parametrize(
    ("change", "when", "words"),
    [
        ({"t": NINE_THIRTY + 1}, "row 1", "not a whole minute"),
        ({"t": NINE_THIRTY + 30_000}, "row 1", "not a whole minute"),
        ({"t": None}, "row 1", "not a time"),
        ({"t": NINE_THIRTY - 7 * 86_400_000}, "2026-11-13T14:30:00Z", "outside the range"),
        ({"t": NINE_THIRTY - 5 * 86_400_000}, "2026-11-15T14:30:00Z", "closed that day"),
        ({"c": "12.50"}, "2026-11-20T14:30:00Z", "c '12.50' is not a number"),
        ({"h": 1}, "2026-11-20T14:30:00Z", "contradict"),
    ],
)
def test_a_minute_that_cannot_be_believed_is_set_aside(
    calendar: Calendar, change: Row, when: str, words: str
) -> None:
    good = {"t": NINE_THIRTY, "o": 10, "h": 12.5, "l": 9, "c": 11, "v": 1.5}
    rows = [good | change, good | {"t": NINE_THIRTY + MINUTE_MS}]
    answer = {"status": "OK", "ticker": "AAPL", "results": rows}
    with world(replying(answer), calendar) as w:
        (page,) = w.bars(Span(start=date(2026, 11, 14), end=date(2026, 11, 21)), "1m")
    assert list(page.bars.ts_open) == [(NINE_THIRTY + MINUTE_MS) * 1_000]
    (finding,) = page.rejected
    assert (finding.symbol, finding.when) == ("AAPL", when)
    assert words in finding.reason


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncate", "no valid JSON"),
        ("unsorted", "out of order at 2026-11-20T"),
        ("fresh_next", "out of order"),
        ("endless_next", "do not end"),
        ("empty_page", "no later bar"),
        ("short_count", "resultsCount"),
        ("wrong_ticker", "got 'EVIL'"),
        ("404", "page 2 is missing"),
    ],
)
def test_faults_on_the_second_page_of_minutes_are_errors(
    calendar: Calendar, minutes: list[Row], kind: str, words: str
) -> None:
    fault = Fault(kind=kind, calls=range(2, 99))
    server = PolygonServer(minutes={"AAPL": minutes}, page_size=2_000, faults=[fault])
    with world(server, calendar) as w, pytest.raises(DataError, match=words):
        w.bars(WEEK, "1m")


def test_pages_of_a_bar_each_do_not_go_on_for_ever(calendar: Calendar, minutes: list[Row]) -> None:
    with world(PolygonServer(minutes={"AAPL": minutes}, page_size=1), calendar) as w:
        with pytest.raises(DataError, match="do not end"):
            w.bars(FRIDAY, "1m")
        assert len(w.server.calls) == 10 + 16


# --- what will be asked


def test_the_plan_tells_the_calls_without_making_them(calendar: Calendar) -> None:
    with world(PolygonServer(), calendar) as w:
        (daily,) = w.source.plan("BRK.B", "1d", WHOLE)
        (minute,) = w.source.plan("AAPL", "1m", WHOLE)
        (week,) = w.source.plan("AAPL", "1m", WEEK)
        later = Span(start=date(2026, 11, 23), end=date(2026, 12, 1))
        assert w.source.plan("AAPL", "1d", later) == []
        splits, dividends = w.source.plan_actions("AAPL")
        assert w.server.calls == []
        w.bars(WEEK, "1m")
        w.source.splits("AAPL")
        w.source.dividends("AAPL")
        assert w.targets() == [week.target, splits.target, dividends.target]
    assert (daily.pages, minute.pages, week.pages) == (1, 10, 1)  # 515 sessions of 960 minutes
    assert "/BRK.B/range/1/day/2024-11-01/2026-11-20?adjusted=false" in daily.target


# --- all at once

DAYS = plausible_bars(12)
MINUTES = plausible_minutes(2, count=6)
WILD: list[Any] = [
    *(None, True, False, "", "10", [], {}, 0, -1, -0.0, 1, 10**9, 10**9 - 1, 10**13, 10**400),
    *(-(10**400), 2**63, 2**64, 9 * 10**9, 9 * 10**9 + 1, 8_999_999_999_999, 123_456_789_012),
    *(float("nan"), float("inf"), -float("inf"), 1e300, 5e-324, 0.0000001, 12.3456789, 1e9, 9e12),
    *(8.99e12, 99.999999, 100.0, 101.5, 12345.678901),
]


def mutate(rows: list[Any], draw: st.DrawFn) -> None:
    at = draw(st.integers(0, len(rows) - 1))
    change = draw(st.sampled_from(["field", "price", "volume", "time", "drop", "row", "swap"]))
    if change == "row":
        rows[at] = draw(st.sampled_from([None, [], {}, "row", 1]))
    if not isinstance(rows[at], dict) or not rows[at]:
        return
    row = rows[at] = dict(rows[at])
    if change == "field":
        row[draw(st.sampled_from("tohlcv"))] = draw(st.sampled_from(WILD))
    elif change == "price":  # one that is well: exact to the micro-dollar
        price = draw(st.integers(1, 10**15 - 1)) / 1e6
        row.update(o=price, h=price, l=price, c=draw(st.sampled_from([price, int(price) or 1])))
        row.update(h=max(price, row["c"]), l=min(price, row["c"]))
    elif change == "volume":
        row["v"] = draw(st.integers(0, 9 * 10**12) | st.floats(0, 9e12, exclude_max=True))
    elif change == "time" and isinstance(row.get("t"), int):
        row["t"] += draw(st.sampled_from([1, -1, 1_000, 60_000, -60_000, 3_600_000, 86_400_000]))
    elif change == "drop":
        row.pop(draw(st.sampled_from("tohlcv")), None)
    elif change == "swap":
        rows.reverse()


@st.composite
def asked_pages(draw: st.DrawFn) -> tuple[list[Any], str]:
    timeframe = draw(st.sampled_from(["1d", "1m"]))
    rows: list[Any] = list(DAYS if timeframe == "1d" else MINUTES)
    for _ in range(draw(st.integers(0, 3))):
        mutate(rows, draw)
    return rows, timeframe


@settings(max_examples=600, deadline=None)
@given(
    page=asked_pages(),
    span=st.sampled_from([WHOLE, WHOLE, FRIDAY]),
    behind=st.sampled_from([0, 0, 0, 1]),
)
def test_a_page_read_at_once_is_the_page_read_row_by_row(
    page: tuple[list[Any], str], span: Span, behind: int
) -> None:
    rows, timeframe = page
    asked = Asked("AAPL", timeframe, span.start, span.end, NOW)
    after = behind * (DAYS[-1]["t"] - 1)
    whole = read_whole(rows, asked, sessions(), after)
    try:
        bars, rejected, _ = read_rows(rows, asked, sessions(), after)
    except DataError:
        event("out of order")
        assert whole is None
        return
    event("rejected" if rejected else "well")
    assert whole == (None if rejected else bars)


def test_days_beyond_the_calendar_are_told_by_the_row_path(calendar: Calendar) -> None:
    asked = Asked("AAPL", "1m", date(2023, 1, 1), date(2026, 11, 21), NOW)
    rows = [MINUTES[0] | {"t": midnight_ms(date(2023, 6, 1)) + 600 * MINUTE_MS}]
    assert read_whole(rows, asked, calendar, -1) is None
    with pytest.raises(DataError, match="calendar does not cover 2023-06-01"):
        read_rows(rows, asked, calendar, -1)


def test_a_bad_row_in_a_long_page_costs_that_row_alone(
    calendar: Calendar, minutes: list[Row]
) -> None:
    asked = Asked("AAPL", "1m", WEEK.start, WEEK.end, NOW)
    answer: Row = {"status": "OK", "ticker": "AAPL", "results": list(minutes)}
    good, last = read_page(answer, asked, calendar, -1)
    answer["results"][2_000] = minutes[2_000] | {"c": 10.12345678}
    bad, same = read_page(answer, asked, calendar, -1)
    assert last == same == minutes[-1]["t"]
    assert len(good.bars) == len(minutes)
    assert bad.bars.slice(0, 2_000) == good.bars.slice(0, 2_000)
    assert bad.bars.slice(2_000, 4_799) == good.bars.slice(2_001, 4_800)
    assert [finding.reason for finding in bad.rejected] == [
        "c 10.12345678 is finer than a micro-dollar"
    ]
