from __future__ import annotations

from array import array
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.bars import COLUMNS, Bars, from_rows
from algotrade.domain.actions import Split
from algotrade.domain.times import HOUR, MINUTE, to_date, to_ts
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.quality import (
    ERROR,
    NOTE,
    WARNING,
    Issue,
    inspect_bars,
    missing_sessions,
    set_aside,
    shared_gaps,
    summarise,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

DOLLAR = 1_000_000
LATER = 2 * 10**15  # 2033


@cache
def calendar() -> Calendar:
    return exchange_calendar(date(2001, 1, 1), date(2024, 12, 31))


def index_of(day: date) -> int:
    index = calendar().find(day)
    assert index is not None
    return index


def daily(
    first: date, closes: Sequence[float], *, splits: tuple[Split, ...] = (), symbol: str = "AAPL"
) -> Bars:
    """Make bars of consecutive sessions that open and close at the same price."""
    start = index_of(first)
    rows = []
    for at, close in enumerate(closes, start=start):
        price = round(close * DOLLAR)
        times = calendar().opens[at], calendar().closes[at]
        rows.append((*times, price, price, price, price, (1000 + at) * DOLLAR))
    return from_rows("csv", symbol, "1d", rows, splits)


def without(bars: Bars, *dropped: int) -> Bars:
    keep = [row for row in range(len(bars)) if row not in dropped]
    columns = {name: [bars.column(name)[row] for row in keep] for name in COLUMNS}
    return from_rows(bars.source, bars.symbol, bars.timeframe, zip(*columns.values(), strict=True))


def changed(bars: Bars, row: int, **values: int) -> Bars:
    columns: dict[str, Any] = {name: array("q", bars.column(name)) for name in values}
    for name, value in values.items():
        columns[name][row] = value
    return replace(bars, **columns)


def look(bars: Bars, *, now: int = LATER, splits: Sequence[Split] | None = None) -> list[Issue]:
    return inspect_bars(bars, calendar(), now=now, known_splits=splits)


def kinds(issues: Sequence[Issue]) -> list[tuple[str, str]]:
    return [(issue.kind, issue.when) for issue in issues]


def utc(year: int, month: int, day: int, hour: int) -> int:
    return to_ts(datetime(year, month, day, hour, tzinfo=UTC))


def split(day: date, old: int, new: int) -> Split:
    return Split(symbol="AAPL", ex_date=day, split_from=old, split_to=new)


def test_clean_bars_over_closures_and_half_days_have_no_issue() -> None:
    # the attack of 2001, Sandy, two state funerals, and every half day between
    bars = daily(date(2001, 1, 2), [100 + (i % 7) for i in range(6000)])
    assert look(bars) == []
    assert missing_sessions(bars, calendar()) == []


def test_no_bars_have_no_issue() -> None:
    assert look(Bars(source="csv", symbol="AAPL", timeframe="1d")) == []


WEEK = (date(2024, 7, 1), [100.0] * 8)  # 3 July is a half day, 4 July a holiday


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("not-positive", {"open": 0}),
        ("not-positive", {"low": -1}),
        ("not-positive", {"volume": -1}),
        ("high-low", {"high": 99 * DOLLAR}),
        ("high-low", {"low": 101 * DOLLAR}),
        ("high-low", {"close": 102 * DOLLAR}),
        ("off-grid", {"ts_close": utc(2024, 7, 3, 20)}),  # as if it were a whole day
        ("off-grid", {"ts_open": utc(2024, 7, 3, 13)}),  # half an hour early
    ],
)
def test_an_impossible_bar_is_an_error_and_set_aside(kind: str, values: dict[str, int]) -> None:
    bars = changed(daily(*WEEK), 2, **values)
    issues = look(bars)
    assert [(i.kind, i.severity, i.when, i.row) for i in issues if i.row is not None] == [
        (kind, ERROR, "2024-07-03", 2)
    ]
    kept, findings = set_aside(bars, issues)
    assert len(kept) == 7
    assert [(f.symbol, f.when) for f in findings] == [("AAPL", "2024-07-03")]
    assert missing_sessions(kept, calendar()) == [date(2024, 7, 3)]


def test_a_bar_on_a_holiday_has_no_session() -> None:
    times = {"ts_open": utc(2024, 7, 4, 13), "ts_close": utc(2024, 7, 4, 20)}
    issues = look(changed(daily(*WEEK), 2, **times))
    assert kinds(issues) == [("gap", "2024-07-03"), ("no-session", "2024-07-04")]


def test_a_bar_outside_the_calendar_has_no_session() -> None:
    times = {"ts_open": utc(1999, 7, 1, 13), "ts_close": utc(1999, 7, 1, 20)}
    assert kinds(look(changed(daily(*WEEK), 0, **times))) == [("no-session", "1999-07-01")]


def test_a_bar_that_is_not_over_is_an_error() -> None:
    bars = daily(*WEEK)
    issues = look(bars, now=bars.ts_close[-1] - 1)
    assert [(i.kind, i.severity, i.row) for i in issues] == [("future", ERROR, 7)]
    assert look(bars, now=bars.ts_close[-1]) == []


def test_a_second_bar_of_one_time_is_a_duplicate() -> None:
    bars = daily(*WEEK)
    columns = [[*bars.column(name)[:4], *bars.column(name)[3:]] for name in COLUMNS]
    twice = from_rows("csv", "AAPL", "1d", zip(*columns, strict=True))
    issues = look(twice)
    assert [(i.kind, i.severity, i.row) for i in issues if i.severity == ERROR] == [
        ("duplicate", ERROR, 4)
    ]
    assert set_aside(twice, issues)[0] == bars


def test_of_two_bars_of_one_time_the_possible_one_stays() -> None:
    bars = daily(*WEEK)
    columns = [[*bars.column(name)[:4], *bars.column(name)[3:]] for name in COLUMNS]
    twice = changed(from_rows("csv", "AAPL", "1d", zip(*columns, strict=True)), 3, close=0)
    assert set_aside(twice, look(twice))[0] == bars


def test_a_bar_after_a_later_one_is_unsorted() -> None:
    bars = daily(*WEEK)
    columns = [[c[0], c[2], c[1], *c[3:]] for c in map(bars.column, COLUMNS)]
    issues = look(from_rows("csv", "AAPL", "1d", zip(*columns, strict=True)))
    assert [(i.kind, i.row) for i in issues if i.severity == ERROR] == [("unsorted", 2)]


def test_a_run_of_missing_sessions_is_one_gap() -> None:
    bars = without(daily(*WEEK), 2, 3, 6)
    issues = look(bars)
    assert [(i.kind, i.severity, i.when, i.count) for i in issues] == [
        ("gap", WARNING, "2024-07-03", 2),
        ("gap", WARNING, "2024-07-10", 1),
    ]
    assert "2024-07-03 to 2024-07-05 (2 sessions)" in issues[0].message
    days = [date(2024, 7, 3), date(2024, 7, 5), date(2024, 7, 10)]
    assert missing_sessions(bars, calendar()) == days


def test_an_unplanned_closure_that_all_symbols_share_is_no_gap() -> None:
    panel = [replace(without(daily(*WEEK), 4), symbol=f"S{i}") for i in range(5)]
    closed = shared_gaps(panel, calendar())
    assert closed == [date(2024, 7, 8)]
    assert shared_gaps(panel[:4], calendar()) == []
    assert shared_gaps([*panel, daily(*WEEK)], calendar()) == []
    assert inspect_bars(panel[0], calendar(), now=LATER, closures=closed) == []


def test_what_is_strange_but_possible_is_a_warning() -> None:
    bars = changed(daily(*WEEK), 3, volume=0)
    assert [(i.kind, i.severity) for i in look(bars)] == [("zero-volume", WARNING)]
    bars = daily(*WEEK)
    assert [(i.kind, i.row) for i in look(changed(bars, 3, volume=bars.volume[2]))] == [
        ("repeated", 3)
    ]


@pytest.mark.parametrize(("factor", "found"), [(1.19, []), (0.81, []), (1.25, [3]), (0.79, [3])])
def test_a_move_of_more_than_a_fifth_is_a_jump(factor: float, found: list[int]) -> None:
    issues = look(daily(date(2024, 7, 1), [100.0] * 3 + [100 * factor] * 5))
    assert [i.row for i in issues] == found
    assert {i.kind for i in issues} <= {"jump"}


EX = date(2024, 7, 8)  # the fifth bar


@pytest.mark.parametrize(
    ("closes", "splits", "found"),
    [
        ([100.0] * 4 + [25.0] * 4, [split(EX, 1, 4)], []),
        ([100.0] * 4 + [27.0] * 4, [split(EX, 1, 4)], []),
        ([100.0] * 4 + [1000.0] * 4, [split(EX, 10, 1)], []),
        ([100.0] * 4 + [25.0] * 4, [], ["missing-split"]),
        ([100.0] * 4 + [66.5] * 4, [], ["missing-split"]),
        ([100.0] * 4 + [1010.0] * 4, [], ["missing-split"]),
        ([100.0] * 4 + [44.0] * 4, [], ["jump"]),
        ([100.0] * 8, [split(EX, 1, 4)], ["split-not-followed"]),
        ([100.0] * 6 + [25.0] * 2, [split(EX, 1, 4)], ["late-split"]),
        ([100.0] * 2 + [25.0] * 6, [split(EX, 1, 4)], ["late-split"]),
        ([100.0] * 4 + [40.0] * 4, [split(EX, 1, 4)], ["wrong-split"]),
        ([100.0] * 4 + [50.0] * 4, [split(EX, 1, 4)], ["wrong-split"]),
        ([100.0] * 8, [split(EX, 20, 21)], []),  # smaller than a day's move: nothing can be said
        (
            [100.0] * 4 + [50.0] * 4,
            [split(EX, 1, 2), split(EX + timedelta(days=1), 1, 2)],
            ["duplicate-split", "late-split"],
        ),
        ([100.0] * 4 + [50.0] * 4, [split(date(2024, 7, 6), 1, 2)], ["split-off-session"]),
        ([100.0] * 8, [split(date(2025, 1, 1), 1, 4), split(date(2020, 1, 1), 1, 4)], []),
    ],
)
def test_splits_are_checked_against_the_price(
    closes: list[float], splits: list[Split], found: list[str]
) -> None:
    bars = daily(date(2024, 7, 1), closes)
    issues = look(bars, splits=splits)
    assert [issue.kind for issue in issues] == found
    assert set_aside(bars, issues) == (bars, ())  # the bars are as traded, whatever the splits
    assert [i.kind for i in look(replace(bars, splits=tuple(splits)))] == found


def test_a_late_split_tells_the_day_on_which_the_price_moved() -> None:
    (issue,) = look(daily(date(2024, 7, 1), [100.0] * 6 + [25.0] * 2), splits=[split(EX, 1, 4)])
    assert issue.severity == ERROR
    assert issue.when == "2024-07-08"
    assert dict(issue.values)["followed"] == "2024-07-10"
    assert "the price moved on 2024-07-10" in issue.message


def test_a_crash_within_the_day_is_no_missing_split() -> None:
    bars = daily(date(2024, 7, 1), [100.0] * 4 + [50.0] * 4)
    crash = changed(bars, 4, open=100 * DOLLAR, high=100 * DOLLAR)
    assert kinds(look(crash)) == [("jump", "2024-07-08")]


def test_a_level_break_after_a_long_gap_may_be_another_company() -> None:
    bars = without(daily(date(2024, 1, 2), [100.0] * 20 + [12.0] * 100), *range(20, 90))
    assert kinds(look(bars)) == [("gap", "2024-01-31"), ("ticker-reuse", "2024-05-10")]
    calm = without(daily(date(2024, 1, 2), [100.0] * 120), *range(20, 90))
    assert kinds(look(calm)) == [("gap", "2024-01-31")]


def minutes(day: date, *, before: int = 0, after: int = 0) -> Bars:
    at = index_of(day)
    opens, closes = calendar().opens[at], calendar().closes[at]
    times = range(opens - before * MINUTE, closes + after * MINUTE, MINUTE)
    rows = [(ts, ts + MINUTE, *[DOLLAR] * 4, DOLLAR) for ts in times]
    return from_rows("polygon", "AAPL", "1m", rows)


def test_missing_minutes_are_counted_in_regular_hours_only() -> None:
    whole = minutes(date(2024, 7, 3), before=60, after=30)  # closes at 13:00
    assert len(whole) == 60 + 210 + 30
    assert look(whole) == []
    issues = look(without(whole, 5, 100, 101, 290))  # 5 and 290 are outside regular hours
    assert [(i.kind, i.severity, i.count, i.when) for i in issues] == [
        ("missing-minutes", NOTE, 2, "2024-07-03")
    ]
    assert dict(issues[0].values)["expected"] == 210


def test_minutes_before_the_first_bar_and_after_the_last_are_not_missing() -> None:
    assert look(minutes(date(2024, 7, 2)).slice(30, 200)) == []


def test_a_minute_off_the_minute_is_off_grid() -> None:
    bars = minutes(date(2024, 7, 2))
    issues = look(changed(bars, 7, ts_open=bars.ts_open[7] + 1))
    assert ("off-grid", "2024-07-02T13:37:00.000001Z") in kinds(issues)


def test_minutes_miss_whole_sessions_too() -> None:
    first, last = minutes(date(2024, 7, 1)), minutes(date(2024, 7, 3))
    columns = [[*first.column(name), *last.column(name)] for name in COLUMNS]
    both = from_rows("polygon", "AAPL", "1m", zip(*columns, strict=True))
    assert kinds(look(both)) == [("gap", "2024-07-02")]


def test_issues_are_summed_up_by_kind_errors_first() -> None:
    bars = changed(changed(daily(*WEEK), 1, volume=0), 3, close=0)
    told = summarise([*look(bars), *look(replace(bars, symbol="IBM"))])
    assert [(k.kind, k.severity, k.issues, k.count, k.symbols) for k in told] == [
        ("not-positive", ERROR, 2, 2, 2),
        ("gap", WARNING, 2, 2, 2),
        ("zero-volume", WARNING, 2, 2, 2),
    ]
    assert (told[0].first, told[0].last) == ("2024-07-05", "2024-07-05")


values = st.sampled_from([-DOLLAR, 0, 1, 99 * DOLLAR, 100 * DOLLAR, 10**12])
damage = st.tuples(st.integers(0, 19), st.sampled_from(COLUMNS[2:]), values)
moved = st.tuples(st.integers(0, 19), st.integers(0, 19))


@given(st.lists(damage, max_size=6), st.lists(moved, max_size=6))
def test_what_is_left_has_no_error(
    damages: list[tuple[int, str, int]], moves: list[tuple[int, int]]
) -> None:
    rows = list(zip(*map(daily(date(2024, 1, 2), [100.0] * 20).column, COLUMNS), strict=True))
    for to, taken in moves:
        rows[to] = rows[taken]
    bars = from_rows("csv", "AAPL", "1d", rows)
    for row, name, value in damages:
        bars = changed(bars, row, **{name: value})
    kept, findings = set_aside(bars, look(bars))
    assert len(kept) + len(findings) == len(bars)
    assert [i for i in look(kept) if i.severity == ERROR] == []
    assert list(kept.ts_close) == sorted(set(kept.ts_close))
    days = [to_date((ts - 5 * HOUR) // (24 * HOUR)) for ts in kept.ts_open]
    if days:
        expected = (index_of(days[-1]) - index_of(days[0])) + 1 - len(days)
        assert len(missing_sessions(kept, calendar())) == expected
