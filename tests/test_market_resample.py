from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import Bars, adjusted, from_rows
from algotrade.domain.actions import Split
from algotrade.domain.times import MINUTE, session_date, to_ts
from algotrade.errors import DataError, InputError
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.resample import resample

DOLLAR = 1_000_000
LATER = 2 * 10**15
HALF_DAY = date(2024, 7, 3)


@cache
def calendar() -> Calendar:
    return exchange_calendar(date(2024, 1, 2), date(2024, 12, 31))


def index_of(day: date) -> int:
    index = calendar().find(day)
    assert index is not None
    return index


def utc(day: date, hour: int, minute: int = 0) -> int:
    return to_ts(datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC))


def minutes(day: date, *, before: int = 0, after: int = 0) -> Bars:
    """Make the minutes of a session; prices rise by a dollar a minute, volume is the minute."""
    opens, closes = calendar().opens[index_of(day)], calendar().closes[index_of(day)]
    rows = []
    for ts in range(opens - before * MINUTE, closes + after * MINUTE, MINUTE):
        minute = (ts - opens) // MINUTE
        price = (1000 + minute) * DOLLAR
        rows.append((ts, ts + MINUTE, price, price + 2, price - 1, price + 1, 1000 + minute))
    return from_rows("polygon", "AAPL", "1m", rows)


def daily(first: date, closes: list[int], splits: tuple[Split, ...] = ()) -> Bars:
    start = index_of(first)
    rows = [
        (calendar().opens[at], calendar().closes[at], p, p + 2, p - 1, p + 1, 10 * DOLLAR)
        for at, p in enumerate(closes, start=start)
    ]
    return from_rows("polygon", "AAPL", "1d", rows, splits)


def test_an_hour_ends_at_the_close_of_a_half_day() -> None:
    hours = resample(minutes(HALF_DAY, before=90, after=90), "1h", calendar())
    assert hours.timeframe == "1h"
    assert list(hours.ts_open) == [utc(HALF_DAY, h, 30) for h in (13, 14, 15, 16)]
    assert list(hours.ts_close) == [*hours.ts_open[1:], utc(HALF_DAY, 17)]
    assert list(hours.open) == [(1000 + m) * DOLLAR for m in (0, 60, 120, 180)]
    assert list(hours.close) == [(1000 + m) * DOLLAR + 1 for m in (59, 119, 179, 209)]
    assert list(hours.high) == [(1000 + m) * DOLLAR + 2 for m in (59, 119, 179, 209)]
    assert list(hours.low) == [(1000 + m) * DOLLAR - 1 for m in (0, 60, 120, 180)]
    assert hours.volume[0] == sum(range(1000, 1060))
    assert hours.volume[3] == sum(range(1180, 1210))


@pytest.mark.parametrize(
    ("timeframe", "count", "last"),
    [("5m", 78, 5), ("15m", 26, 15), ("30m", 13, 30), ("1h", 7, 30), ("1d", 1, 390)],
)
def test_regular_hours_make_whole_buckets(timeframe: str, count: int, last: int) -> None:
    made = resample(minutes(date(2024, 7, 2), before=330, after=240), timeframe, calendar())
    assert len(made) == count
    assert (made.ts_open[0], made.ts_close[-1]) == (
        utc(date(2024, 7, 2), 13, 30),
        utc(date(2024, 7, 2), 20),
    )
    assert made.ts_close[-1] - made.ts_open[-1] == last * MINUTE
    assert sum(made.volume) == sum(range(1000, 1390))


def test_half_hours_make_hours_as_minutes_do() -> None:
    bars = minutes(date(2024, 7, 2))
    halves = resample(bars, "30m", calendar())
    assert resample(halves, "1h", calendar()) == resample(bars, "1h", calendar())


def test_the_clocks_of_new_york_are_followed() -> None:
    for day, hour in ((date(2024, 3, 8), 14), (date(2024, 3, 11), 13)):
        made = resample(minutes(day), "1d", calendar())
        assert (made.ts_open[0], made.ts_close[0]) == (
            utc(day, hour, 30),
            utc(day, hour + 7),
        )


def test_a_bucket_without_a_bar_is_absent() -> None:
    bars = minutes(date(2024, 7, 2))
    thin = from_rows("polygon", "AAPL", "1m", [row_of(bars, at) for at in (7, 9, 300)])
    made = resample(thin, "5m", calendar(), now=LATER)
    assert [(ts - bars.ts_open[0]) // MINUTE for ts in made.ts_open] == [5, 300]
    assert list(made.volume) == [1007 + 1009, 1300]


def row_of(bars: Bars, at: int) -> tuple[int, ...]:
    names = ("ts_open", "ts_close", "open", "high", "low", "close", "volume")
    return tuple(bars.column(name)[at] for name in names)


def test_only_buckets_that_are_over_are_given() -> None:
    bars = minutes(date(2024, 7, 2))
    start = bars.ts_open[0]
    assert len(resample(bars.slice(0, 9), "5m", calendar())) == 1  # what came after is not known
    assert len(resample(bars.slice(0, 9), "5m", calendar(), now=LATER)) == 2
    assert len(resample(bars, "5m", calendar(), now=start + 10 * MINUTE)) == 2
    assert len(resample(bars, "5m", calendar(), now=start + 10 * MINUTE - 1)) == 1
    forming = resample(bars, "5m", calendar(), now=start + 8 * MINUTE, complete_only=False)
    assert list(forming.close) == [1004 * DOLLAR + 1, 1007 * DOLLAR + 1]
    assert forming.ts_close[-1] == start + 10 * MINUTE


def test_days_make_weeks_that_end_with_their_last_session() -> None:
    weeks = resample(
        daily(date(2024, 6, 24), [100 * DOLLAR + i for i in range(11)]), "1w", calendar()
    )
    assert [session_date(ts) for ts in weeks.ts_open] == [date(2024, 6, 24), date(2024, 7, 1)]
    assert [session_date(ts) for ts in weeks.ts_close] == [date(2024, 6, 28), date(2024, 7, 5)]
    assert list(weeks.volume) == [50 * DOLLAR, 40 * DOLLAR]  # the fourth of July is a holiday
    assert list(weeks.open) == [100 * DOLLAR, 100 * DOLLAR + 5]
    assert list(weeks.close) == [100 * DOLLAR + 5, 100 * DOLLAR + 9]
    easter = resample(daily(date(2024, 3, 25), [DOLLAR * 9] * 4), "1w", calendar())
    assert [session_date(ts) for ts in easter.ts_close] == [date(2024, 3, 28)]


def test_a_split_inside_a_week_takes_the_shares_of_its_last_bar() -> None:
    split = Split(symbol="AAPL", ex_date=date(2024, 6, 26), split_from=1, split_to=4)
    closes = [400 * DOLLAR] * 7 + [100 * DOLLAR] * 8
    bars = daily(date(2024, 6, 14), closes, (split,))
    weeks = resample(bars, "1w", calendar(), now=bars.ts_close[-1])
    assert [session_date(ts) for ts in weeks.ts_open][:3] == [
        *(date(2024, 6, 10), date(2024, 6, 17), date(2024, 6, 24)),
    ]
    assert list(weeks.open)[:3] == [400 * DOLLAR, 400 * DOLLAR, 100 * DOLLAR]
    assert weeks.high[2] == 100 * DOLLAR + 2
    assert weeks.low[2] == 100 * DOLLAR - 1
    assert weeks.volume[2] == 2 * 40 * DOLLAR + 3 * 10 * DOLLAR
    assert [s.ex_date for s in weeks.splits] == [date(2024, 6, 24)]
    assert list(adjusted(weeks).open) == [100 * DOLLAR] * 4
    assert [s.ex_date for s in bars.splits] == [date(2024, 6, 26)]


def test_a_split_between_weeks_or_still_to_come_changes_nothing() -> None:
    monday = Split(symbol="AAPL", ex_date=date(2024, 6, 24), split_from=1, split_to=4)
    later = Split(symbol="AAPL", ex_date=date(2024, 7, 3), split_from=1, split_to=2)
    bars = daily(date(2024, 6, 17), [400 * DOLLAR] * 4 + [100 * DOLLAR] * 7, (monday, later))
    weeks = resample(bars, "1w", calendar(), now=bars.ts_close[-1], complete_only=False)
    assert list(weeks.open) == [400 * DOLLAR, 100 * DOLLAR, 100 * DOLLAR]
    assert weeks.splits == (monday, later)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("1m", "1m"),
        ("5m", "1m"),
        ("1m", "1w"),
        ("1d", "1h"),
        ("1w", "1d"),
        ("1m", "2h"),
        ("1d", "1d"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(source: str, target: str) -> None:
    with pytest.raises(InputError, match="cannot be made"):
        resample(Bars(source="csv", symbol="A", timeframe=source), target, calendar())


def test_no_bars_make_no_bars() -> None:
    made = resample(Bars(source="csv", symbol="A", timeframe="1m"), "1h", calendar())
    assert (len(made), made.timeframe) == (0, "1h")
    late = minutes(date(2024, 7, 2), after=30).slice(395, 410)
    assert len(resample(late, "1h", calendar(), now=LATER)) == 0


def test_bars_out_of_order_or_off_the_calendar_are_refused() -> None:
    bars = minutes(date(2024, 7, 2))
    shuffled = from_rows("polygon", "A", "1m", [row_of(bars, at) for at in (3, 2)])
    with pytest.raises(DataError, match="out of order"):
        resample(shuffled, "5m", calendar())
    year = timedelta(days=400)
    early = utc(date(2024, 7, 2) - year, 14)
    outside = from_rows("polygon", "A", "1m", [(early, early + MINUTE, 1, 1, 1, 1, 1)])
    with pytest.raises(DataError, match="does not cover"):
        resample(outside, "5m", calendar())
    holiday = utc(date(2024, 7, 4), 14)
    closed = from_rows("polygon", "A", "1d", [(holiday, holiday + MINUTE, 1, 1, 1, 1, 1)])
    with pytest.raises(DataError, match="was closed on 2024-07-04"):
        resample(closed, "1w", calendar())


def by_hand(bars: Bars, length: int, now: int) -> list[tuple[int, ...]]:
    """Group minutes one by one, the slow and plain way."""
    buckets: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for at in range(len(bars)):
        row = row_of(bars, at)
        index = index_of(session_date(row[0]))
        opens, closes = calendar().opens[index], calendar().closes[index]
        if opens <= row[0] and row[1] <= closes and row[1] <= now:
            start = opens + (row[0] - opens) // length * length
            buckets.setdefault((start, min(start + length, closes)), []).append(row)
    return [
        (
            *times,
            rows[0][2],
            max(row[3] for row in rows),
            min(row[4] for row in rows),
            rows[-1][5],
            sum(row[6] for row in rows),
        )
        for times, rows in sorted(buckets.items())
        if times[1] <= now
    ]


bar = st.tuples(st.integers(100, 200), st.integers(0, 9), st.integers(0, 9), st.integers(0, 10**15))


@settings(max_examples=60)
@given(
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(-330, 600)), bar, max_size=80),
    st.sampled_from([("5m", 5), ("15m", 15), ("30m", 30), ("1h", 60), ("1d", 390)]),
    st.tuples(st.integers(0, 3), st.integers(-10, 600)),
)
def test_resampling_conserves_what_a_plain_loop_does(
    drawn: dict[tuple[int, int], tuple[int, int, int, int]],
    target: tuple[str, int],
    until: tuple[int, int],
) -> None:
    first = index_of(date(2024, 7, 1))  # the third session is a half day

    def at(place: tuple[int, int]) -> int:
        return calendar().opens[first + place[0]] + place[1] * MINUTE

    rows = []
    for place in sorted(drawn):
        price, up, down, volume = drawn[place]
        ts = at(place)
        rows.append((ts, ts + MINUTE, price, price + up, price - down, price + up - down, volume))
    rows = [(*row[:5], min(max(row[5], row[4]), row[3]), row[6]) for row in rows]
    bars = from_rows("polygon", "AAPL", "1m", rows)
    name, count = target
    for now in (LATER, at(until)):
        made = resample(bars, name, calendar(), now=now)
        assert [row_of(made, i) for i in range(len(made))] == by_hand(bars, count * MINUTE, now)
    # causality: what was not known then changes nothing
    known = from_rows("polygon", "AAPL", "1m", [row for row in rows if row[1] <= at(until)])
    assert resample(known, name, calendar(), now=at(until)) == resample(
        bars, name, calendar(), now=at(until)
    )
