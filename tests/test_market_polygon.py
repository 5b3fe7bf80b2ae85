"""Polygon over a real socket: whole answers come through exactly, bad rows are set aside."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.bars import COLUMNS
from algotrade.domain.times import to_ts
from algotrade.errors import (
    DataError,
    InputError,
    PlanError,
)
from algotrade.market import polygon_bars, polygon_fields
from algotrade.market.source import Span
from polygon_server import KEY, Fault, PolygonServer, Row, midnight_ms, plausible_bars
from polygon_world import FRIDAY, TODAY, WHOLE, micros, replying, sessions, world

if TYPE_CHECKING:
    from algotrade.market.calendar import Calendar

# exchange_calendars 4.13 under pandas 3.1: its own call, not ours
pytestmark = pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return sessions()


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return plausible_bars(500)


# --- whole answers


def test_500_bars_in_two_pages_come_through_exactly(
    calendar: Calendar, rows: list[Row], capfd: pytest.CaptureFixture[str]
) -> None:
    with world(PolygonServer({"AAPL": rows}, page_size=250), calendar) as w:
        pages = w.bars()
        targets = [call.target for call in w.server.calls]
        headers = [call.headers["Authorization"] for call in w.server.calls]
    assert [len(page.bars) for page in pages] == [250, 250]
    assert not any(page.rejected or page.delayed for page in pages)
    for field_name, name in zip("ohlcv", COLUMNS[2:], strict=True):
        got = [value for page in pages for value in page.bars.column(name)]
        assert got == [micros(row[field_name]) for row in rows]
    opens = [value // 1000 for page in pages for value in page.bars.ts_open]
    assert [ts - 34_200_000 for ts in opens] == [row["t"] for row in rows]  # midnight to 9:30
    assert headers == [f"Bearer {KEY}"] * 2
    assert not any(KEY in target for target in targets)
    assert "adjusted=false" in targets[0]
    assert w.source.granted_start("AAPL") == WHOLE.start
    assert capfd.readouterr() == ("", "")  # the client's logger is quiet


def test_an_unknown_ticker_is_no_bars(calendar: Calendar) -> None:
    with world(PolygonServer(), calendar) as w:
        assert [len(page.bars) for page in w.bars()] == [0]


@pytest.mark.parametrize("results", [None, []])
def test_results_that_are_null_or_empty_are_no_bars(calendar: Calendar, results: object) -> None:
    with world(replying({"status": "OK", "results": results}), calendar) as w:
        assert [len(page.bars) for page in w.bars()] == [0]


def test_a_delayed_plan_is_said_so(calendar: Calendar, rows: list[Row]) -> None:
    with world(PolygonServer({"AAPL": rows}, status="DELAYED"), calendar) as w:
        assert [page.delayed for page in w.bars()] == [True]


def test_a_session_that_is_still_forming_is_left_out(calendar: Calendar, rows: list[Row]) -> None:
    before_close = to_ts(datetime(2026, 11, 20, 20, 59, tzinfo=UTC))
    for now, count in ((before_close, 0), (before_close + 60_000_000, 1)):
        with world(PolygonServer({"AAPL": rows}), calendar, now=now) as w:
            (page,) = w.bars(FRIDAY)
            assert (len(page.bars), page.rejected) == (count, ())


def test_the_future_is_never_asked_for(calendar: Calendar, rows: list[Row]) -> None:
    far = date(2030, 1, 1)
    with world(PolygonServer({"AAPL": rows}), calendar) as w:
        assert w.bars(Span(start=TODAY + timedelta(days=1), end=far)) == []
        assert w.server.calls == []
        w.bars(Span(start=FRIDAY.start, end=far))
        assert f"/2026-11-20/{TODAY}?" in w.server.calls[0].target


def test_only_bars_that_are_stored_are_asked_for(calendar: Calendar) -> None:
    with world(PolygonServer(), calendar) as w, pytest.raises(InputError, match="5m") as caught:
        w.source.bars("AAPL", "5m", WHOLE)
    assert caught.value.hint == "use one of 1d, 1m"


def test_a_share_class_and_a_hostile_symbol_stay_one_segment_of_the_path(
    calendar: Calendar,
) -> None:
    with world(PolygonServer(), calendar) as w:
        for symbol in ("BRK.B", "../x?y"):
            with pytest.raises(DataError):  # the server echoes what it was asked
                list(w.source.bars(symbol + "%", "1d", WHOLE))
        assert "/ticker/..%2Fx%3Fy%25/range/" in w.server.calls[1].target


# --- the plan


def test_a_range_beyond_the_plan_is_shortened_and_said(calendar: Calendar, rows: list[Row]) -> None:
    fault = Fault(kind="403", where=lambda target: "/day/2010-01-04/" in target)
    with world(PolygonServer({"AAPL": rows}, faults=[fault]), calendar) as w:
        pages = w.bars(Span(start=date(2010, 1, 4), end=WHOLE.end))
        granted = w.source.granted_start("AAPL")
    assert granted == date(2024, 11, 23)
    assert sum(len(page.bars) for page in pages) == 499  # the first row is of the day before
    assert w.said == [
        "AAPL: the plan does not include 2010-01-04..; fetching from 2024-11-23",
    ]


@pytest.mark.parametrize("start", [date(2010, 1, 4), FRIDAY.start])
def test_a_plan_without_the_data_is_an_error(calendar: Calendar, start: date) -> None:
    with world(PolygonServer(faults=[Fault(kind="403")]), calendar) as w:
        with pytest.raises(PlanError, match="upgrade"):
            w.bars(Span(start=start, end=WHOLE.end))
        assert w.source.granted_start("AAPL") is None


# --- rows that cannot be believed

GOOD = {"t": midnight_ms(date(2026, 11, 19)), "o": 10, "h": 12.5, "l": 9, "c": 11, "v": 1.5}
BAD_ROWS = [
    ({"t": None}, "t None is not a time"),
    ({"t": str(GOOD["t"])}, "is not a time"),
    ({"t": True}, "is not a time"),
    ({"t": 10**30}, "is not a time"),
    ({"t": -86_400_000}, "is not a time"),
    ({"t": GOOD["t"] + 3_600_000}, "not midnight in New York"),
    ({"t": GOOD["t"] + 1}, "not midnight in New York"),
    ({"t": midnight_ms(date(2026, 11, 15))}, "closed that day"),
    ({"t": midnight_ms(date(2024, 10, 31))}, "outside the range"),
    ({"o": None}, "o None is not a number"),
    ({"o": "10"}, "o '10' is not a number"),
    ({"o": True}, "o True is not a number"),
    ({"o": [[]]}, "o a list is not a number"),
    ({"c": 1e300}, "beyond belief"),
    ({"c": 10**400}, "beyond belief"),
    ({"c": 0}, "c 0 is not positive"),
    ({"c": -1}, "c -1 is not positive"),
    ({"c": 10.0000001}, "finer than a micro-dollar"),
    ({"h": 10.5}, "contradict"),
    ({"l": 10.5}, "contradict"),
    ({"h": 8}, "contradict"),
    ({"v": -1}, "v -1 is negative"),
    ({"v": None}, "v None is not a number"),
    ({"v": 1e13}, "beyond belief"),
]


@pytest.mark.parametrize(("change", "words"), BAD_ROWS)
def test_a_row_that_cannot_be_believed_is_set_aside(
    calendar: Calendar, change: Row, words: str
) -> None:
    friday = GOOD | {"t": midnight_ms(FRIDAY.start)}
    answer = {"status": "OK", "ticker": "AAPL", "results": [GOOD | change, friday]}
    with world(replying(answer), calendar) as w:
        (page,) = w.bars()
    assert list(page.bars.close) == [11_000_000]
    assert list(page.bars.volume) == [1_500_000]
    (finding,) = page.rejected
    assert words in finding.reason


@given(
    row=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from("tohlcvx"), inner, max_size=7)
        ),
        max_leaves=8,
    )
)
def test_no_row_gets_past_the_door_by_any_shape(row: object) -> None:
    try:
        session, _ = polygon_bars._place(row, "1d")
        price = polygon_fields.price(row if isinstance(row, dict) else {}, "o")
    except ValueError:
        return
    assert isinstance(session, date)
    assert price > 0
