"""What Polygon knows besides history: each answer read strictly, prices by what the plan allows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.times import to_ts
from algotrade.errors import AlgotradeError, DataError, PlanError
from algotrade.market.polygon_reference import PolygonReference
from algotrade.market.source import Holiday, MarketStatus, Quote, TickerDetails
from polygon_server import Fault, PolygonServer, Row, midnight_ms, plausible_bars
from polygon_world import FRIDAY, micros, replying, sessions, world

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.market.calendar import Calendar

# exchange_calendars 4.13 under pandas 3.1: its own call, not ours
pytestmark = pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")

AT = to_ts(datetime(2026, 11, 20, 15, 30, 0, 250_000, tzinfo=UTC))
AAPL = {"ticker": "AAPL", "name": "Apple Inc.", "market": "stocks", "type": "CS", "active": True}
APPLE = AAPL | {"list_date": "1980-12-12", "market_cap": 3e12}


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return sessions()


# --- details


def test_details_of_a_ticker() -> None:
    plain = {"ticker": "NEW", "name": "New \x1b[31mShares\u202e", "active": True}
    with world(PolygonServer(tickers=[APPLE, plain])) as w:
        assert w.reference.details("AAPL") == TickerDetails(
            symbol="AAPL",
            name="Apple Inc.",
            active=True,
            delisted=None,
            kind="CS",
            listed=date(1980, 12, 12),
        )
        new = w.reference.details("NEW")
    assert new is not None
    assert (new.name, new.kind, new.listed) == ("New [31mShares", None, None)


def test_a_delisted_ticker_is_found_with_its_last_delisting() -> None:
    old = {"ticker": "TWTR", "name": "Tweeter", "active": False}
    gone = [
        old | {"delisted_utc": "2007-06-11T00:00:00Z"},
        old | {"name": "Twitter, Inc.", "type": "CS", "delisted_utc": "2022-10-28T04:00:00Z"},
        old | {"name": "Nobody knows when"},
    ]
    with world(PolygonServer(tickers=gone)) as w:
        details = w.reference.details("TWTR")
        assert w.targets() == [
            "/v3/reference/tickers/TWTR",
            "/v3/reference/tickers?ticker=TWTR&active=false&limit=1000",
        ]
        assert w.reference.details("NONE") is None
    assert details is not None
    assert (details.name, details.active) == ("Twitter, Inc.", False)
    assert details.delisted == date(2022, 10, 28)


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (None, "came as None"),
        ([AAPL], "came as a list"),
        (AAPL | {"ticker": "EVIL"}, "ticker 'EVIL'"),
        (AAPL | {"name": ""}, "name '' is not a text"),
        (AAPL | {"active": "true"}, "neither true nor false"),
        (AAPL | {"type": 5}, "type 5 is not a text"),
        (AAPL | {"list_date": "1980-02-30"}, "not a date"),
        (AAPL | {"delisted_utc": "2022-10-28"}, "not an instant"),
        (AAPL | {"delisted_utc": "2022-13-28T00:00:00Z"}, "not an instant"),
    ],
)
def test_details_that_contradict_or_mean_nothing_are_an_error(results: object, words: str) -> None:
    with world(replying({"status": "OK", "results": results})) as w:
        with pytest.raises(DataError, match=words) as caught:
            w.reference.details("AAPL")
        assert "details of AAPL" in str(caught.value)


# --- the market

NOW_OPEN = {
    "afterHours": False,
    "earlyHours": False,
    "exchanges": {"nasdaq": "open", "nyse": "open", "otc": "open"},
    "market": "open",
    "serverTime": "2026-11-20T10:30:00-05:00",
}


def test_the_market_s_status_by_the_provider_s_clock() -> None:
    with world(PolygonServer(market=NOW_OPEN)) as w:
        assert w.reference.market_status() == MarketStatus(
            state="open",
            before_hours=False,
            after_hours=False,
            ts=to_ts(datetime(2026, 11, 20, 15, 30, tzinfo=UTC)),
        )


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [NOW_OPEN],
        NOW_OPEN | {"market": "ajar"},
        NOW_OPEN | {"market": None},
        NOW_OPEN | {"afterHours": 0},
        NOW_OPEN | {"serverTime": "2026-11-20T10:30:00"},
        NOW_OPEN | {"serverTime": 1},
        {"status": "OK"},
    ],
)
def test_a_status_that_means_nothing_is_an_error(answer: object) -> None:
    with world(replying(answer)) as w, pytest.raises(DataError, match="market"):
        w.reference.market_status()


def test_a_status_that_nobody_gives_is_an_error() -> None:
    with world(PolygonServer()) as w, pytest.raises(DataError, match="market status came as None"):
        w.reference.market_status()


CLOSED = {"date": "2026-11-26", "exchange": "NYSE", "name": "Thanksgiving", "status": "closed"}
EARLY = CLOSED | {
    "date": "2026-11-27",
    "status": "early-close",
    "open": "2026-11-27T14:30:00.000Z",
    "close": "2026-11-27T18:00:00.000Z",
}


def test_holidays_are_those_of_the_nyse_by_date(calendar: Calendar) -> None:
    both = [row | {"exchange": name} for row in (EARLY, CLOSED) for name in ("NASDAQ", "NYSE")]
    with world(PolygonServer(holidays=both)) as w:
        closed, early = w.reference.holidays()
    assert closed == Holiday(
        session=date(2026, 11, 26), name="Thanksgiving", opens=None, closes=None
    )
    index = calendar.find(date(2026, 11, 27))
    assert index is not None
    assert (early.opens, early.closes) == (calendar.opens[index], calendar.closes[index])


@pytest.mark.parametrize(
    "rows",
    [
        {"status": "OK"},
        [None],
        [CLOSED, CLOSED | {"name": "Turkey"}],
        [CLOSED | {"date": "26.11.2026"}],
        [CLOSED | {"status": "open"}],
        [CLOSED | {"status": "early-close"}],
        [EARLY | {"close": EARLY["open"]}],
        [EARLY | {"date": "2026-11-28"}],
    ],
)
def test_holidays_that_contradict_or_mean_nothing_are_an_error(rows: object) -> None:
    with world(replying(rows)) as w, pytest.raises(DataError, match="holidays"):
        w.reference.holidays()


# --- a current price

TRADE = {"T": "AAPL", "p": 129.8473, "t": AT * 1_000, "s": 25}
SHOT: Row = {
    "ticker": "AAPL",
    "updated": (AT + 7) * 1_000,
    "lastTrade": {"p": 120.47, "t": AT * 1_000 + 999, "s": 236},
    "min": {"c": 120.42, "t": AT // 60_000_000 * 60_000, "v": 5_000},
    "day": {"c": 120.42},
    "prevDay": {"c": 119.49},
}
DAILY = plausible_bars(3)
WAYS = ("/v2/snapshot/", "/v2/last/", "/prev")


def within(part: str) -> Callable[[str], bool]:
    return lambda target: part in target


def quoting(*refused: str, snapshot: Row = SHOT, status: str = "OK") -> PolygonServer:
    return PolygonServer(
        {"AAPL": DAILY},
        snapshots={"AAPL": snapshot},
        trades={"AAPL": TRADE},
        status=status,
        faults=[Fault(kind="403", where=within(way)) for way in refused],
    )


def test_the_price_is_the_best_that_the_plan_allows(calendar: Calendar) -> None:
    friday = calendar.find(FRIDAY.start)
    assert friday is not None
    answers = [("snapshot", 120_470_000, AT), ("trade", 129_847_300, AT)]
    answers.append(("previous close", micros(DAILY[-1]["c"]), calendar.closes[friday]))
    for count, (kind, price, ts) in enumerate(answers):
        with world(quoting(*WAYS[:count]), calendar) as w:
            for _ in range(2):
                quote = w.reference.quote("AAPL")
                assert quote == Quote(symbol="AAPL", price=price, ts=ts, kind=kind, delayed=False)
            assert len(w.server.calls) == count + 2  # what was refused is not asked again
            again = PolygonReference(w.http, calendar)
            again.quote("AAPL")
            assert len(w.server.calls) == count + 3


def test_a_plan_without_any_price_says_so_each_time(calendar: Calendar) -> None:
    with world(quoting(*WAYS), calendar) as w:
        for _ in range(2):
            with pytest.raises(PlanError, match="no current price"):
                w.reference.quote("AAPL")
        assert len(w.server.calls) == 3


def test_a_plan_without_trades_gives_the_last_minute(calendar: Calendar) -> None:
    shot = {name: value for name, value in SHOT.items() if name != "lastTrade"}
    with world(quoting(snapshot=shot, status="DELAYED"), calendar) as w:
        quote = w.reference.quote("AAPL")
    assert quote == Quote(
        symbol="AAPL", price=120_420_000, ts=AT + 7, kind="snapshot", delayed=True
    )


def test_a_snapshot_of_zeros_before_the_first_trade_is_passed_over(calendar: Calendar) -> None:
    zeros = SHOT | {"lastTrade": {"p": 0, "t": 0}, "min": {"c": 0, "t": 0}, "updated": 0}
    with world(quoting(snapshot=zeros), calendar) as w:
        quote = w.reference.quote("AAPL")
    assert quote is not None
    assert quote.kind == "trade"


def test_a_ticker_without_any_price_has_none(calendar: Calendar) -> None:
    with world(PolygonServer(), calendar) as w:
        assert w.reference.quote("NONE") is None
        assert len(w.server.calls) == 3


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("snapshots", {"ticker": "EVIL"}),
        ("snapshots", {"lastTrade": {"p": "120", "t": AT * 1_000}}),
        ("snapshots", {"lastTrade": {"p": -1, "t": AT * 1_000}}),
        ("snapshots", {"lastTrade": {"p": 120.4700001, "t": AT * 1_000}}),
        ("snapshots", {"lastTrade": {"p": 120, "t": None}}),
        ("snapshots", {"lastTrade": [1]}),
        ("trades", {"T": "EVIL"}),
        ("trades", {"p": None}),
        ("trades", {"t": 1.5}),
        ("bars", {"t": midnight_ms(date(2026, 11, 15))}),
        ("bars", {"t": "soon"}),
        ("bars", {"c": True}),
    ],
)
def test_a_price_that_means_nothing_is_an_error(calendar: Calendar, kind: str, change: Row) -> None:
    answers: dict[str, tuple[int, Row]] = {
        "snapshots": (0, {"ticker": SHOT | change}),
        "trades": (1, {"results": TRADE | change}),
        "bars": (2, {"ticker": "AAPL", "results": [DAILY[-1] | change]}),
    }
    refusals, answer = answers[kind]
    with world(replying({"status": "OK"} | answer), calendar) as w:
        w.http.refused.update(("snapshot", "trade", "previous close")[:refusals])
        with pytest.raises(DataError):
            w.reference.quote("AAPL")


@pytest.mark.parametrize(
    "answer",
    [
        {"ticker": "EVIL", "results": DAILY[-1:]},
        {"ticker": "AAPL", "results": DAILY[-2:]},
        {"ticker": "AAPL", "results": DAILY[-1:], "adjusted": True},
        {"ticker": "AAPL", "results": [None]},
    ],
)
def test_a_previous_close_of_anything_else_is_an_error(calendar: Calendar, answer: Row) -> None:
    with world(replying({"status": "OK"} | answer), calendar) as w:
        w.http.refused.update(("snapshot", "trade"))
        with pytest.raises(DataError, match="previous close"):
            w.reference.quote("AAPL")


@pytest.mark.parametrize("kind", ["html", "500", "401", "truncate"])
def test_a_fault_is_not_taken_for_a_plan_that_refuses(calendar: Calendar, kind: str) -> None:
    with world(PolygonServer(faults=[Fault(kind=kind)]), calendar) as w:
        with pytest.raises(AlgotradeError) as caught:
            w.reference.quote("AAPL")
        assert not isinstance(caught.value, PlanError)
        assert w.http.refused == set()
