"""Polygon over a real socket: whole answers come through exactly, broken ones never as whole."""

from __future__ import annotations

import json
import time
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.bars import COLUMNS
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.times import to_ts
from algotrade.errors import (
    AlgotradeError,
    DataError,
    InputError,
    PlanError,
    ProviderError,
    SecretError,
    SettingsError,
)
from algotrade.market import polygon, polygon_http
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.polygon import PolygonSource
from algotrade.market.polygon_http import PolygonHttp, clean
from algotrade.market.source import BarPage, Span
from polygon_server import EVERY, KEY, Fault, PolygonServer, Row, midnight_ms, plausible_bars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# exchange_calendars 4.13 under pandas 3.1: its own call, not ours
pytestmark = pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")

TODAY = date(2026, 11, 22)  # a Sunday; the last session was Friday the 20th
NOW = to_ts(datetime(2026, 11, 22, 12, tzinfo=UTC))
WHOLE = Span(start=date(2024, 11, 1), end=date(2026, 11, 21))
FRIDAY = Span(start=date(2026, 11, 20), end=date(2026, 11, 21))


@dataclass
class FakeTime:
    """A clock that only sleeping moves."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@dataclass
class World:
    server: PolygonServer
    http: PolygonHttp
    source: PolygonSource
    clock: FakeTime
    said: list[str]

    def bars(self, span: Span = WHOLE) -> list[BarPage]:
        return list(self.source.bars("AAPL", "1d", span))


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return exchange_calendar(date(2024, 1, 2), date(2026, 12, 31))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return plausible_bars(500)


@pytest.fixture(autouse=True)
def _fresh_pacing() -> None:
    polygon_http._PACERS.clear()  # ports come again, and fake clocks disagree


@contextmanager
def world(
    server: PolygonServer,
    calendar: Calendar | None = None,
    *,
    now: int = NOW,
    base: str = "",
    key: str = KEY,
    rate: int = 0,
    deadline_s: float = 180.0,
    read_timeout_s: float = 30.0,
    monotonic: Callable[[], float] | None = None,
) -> Iterator[World]:
    clock, said = FakeTime(), list[str]()
    with server:
        http = PolygonHttp(
            base=base or server.base,
            key=key,
            rate_per_minute=rate,
            deadline_s=deadline_s,
            read_timeout_s=read_timeout_s,
            announce=said.append,
            sleep=clock.sleep,
            monotonic=monotonic or clock.monotonic,
        )
        known = calendar or Calendar(day=array("q"), opens=array("q"), closes=array("q"))
        source = PolygonSource(http, known, today=TODAY, now=now, announce=said.append)
        try:
            yield World(server, http, source, clock, said)
        finally:
            http.close()


def replying(answer: object) -> PolygonServer:
    """Give a server that answers this to every call."""
    return PolygonServer(faults=[Fault(kind="reply", value=json.dumps(answer))])


def micros(number: float) -> int:
    return int(Decimal(repr(number)) * 1_000_000)


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


def test_only_daily_bars_are_known(calendar: Calendar) -> None:
    with world(PolygonServer(), calendar) as w, pytest.raises(InputError, match="1m"):
        w.source.bars("AAPL", "1m", WHOLE)


def test_a_share_class_and_a_hostile_symbol_stay_one_segment_of_the_path(
    calendar: Calendar,
) -> None:
    with world(PolygonServer(), calendar) as w:
        for symbol in ("BRK.B", "../x?y"):
            with pytest.raises(DataError):  # the server echoes what it was asked
                list(w.source.bars(symbol + "%", "1d", WHOLE))
        assert "/ticker/..%2Fx%3Fy%25/range/" in w.server.calls[1].target


# --- faults: (fault on page 2, error, exit code, words)

FAULTS = [
    ("truncate", DataError, 5, "no valid JSON object"),
    ("html", DataError, 5, "proxy.* login"),
    ("list", DataError, 5, "no valid JSON object"),
    ("deep", DataError, 5, "no valid JSON object"),
    ("huge_number", DataError, 5, "no valid JSON object"),
    ("not_utf8", DataError, 5, "no valid JSON object"),
    ("nan", DataError, 5, "no valid JSON object"),
    ("no_status", DataError, 5, "status None"),
    ("wrong_ticker", DataError, 5, "asked for AAPL, got 'EVIL'"),
    ("adjusted", DataError, 5, "adjusted"),
    ("unsorted", DataError, 5, "out of order"),
    ("short_count", DataError, 5, "resultsCount"),
    ("endless_next", DataError, 5, "the pages do not end"),
    ("fresh_next", DataError, 5, "out of order"),
    ("bad_next", DataError, 5, "next_url"),
    ("cut_gzip", DataError, 5, "cut or damaged"),
    ("404", DataError, 5, "page 2 is missing"),
    ("gzip_bomb", ProviderError, 7, "32 MiB"),
    ("error_body", ProviderError, 7, "ERROR .*broken"),
    ("418", ProviderError, 7, "418"),
    ("302", ProviderError, 7, "302"),
    ("500", ProviderError, 7, "status 500, 4 times"),
    ("reset", ProviderError, 7, "the connection broke, 4 times"),
    ("short", ProviderError, 7, "the connection broke, 4 times"),
    ("die", ProviderError, 7, "cannot connect, 4 times"),
    ("hang", ProviderError, 7, "silence, 4 times"),
    ("429", ProviderError, 7, r"too many requests \(429\)"),
    ("401", SecretError, 12, "the key was refused .*Unknown API Key"),
    ("403", PlanError, 12, "Your plan doesn't include"),
]


@pytest.mark.parametrize(("kind", "error", "code", "words"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_on_the_second_page_ends_the_fetch(
    calendar: Calendar,
    rows: list[Row],
    kind: str,
    error: type[AlgotradeError],
    code: int,
    words: str,
) -> None:
    fault = Fault(kind=kind, calls=range(2, 99))
    server = PolygonServer({"AAPL": rows}, page_size=200, faults=[fault])
    with world(server, calendar, read_timeout_s=0.1 if kind == "hang" else 30) as w:
        pages = w.source.bars("AAPL", "1d", WHOLE)
        assert len(next(pages).bars) == 200
        with pytest.raises(error, match=words) as caught:
            list(pages)
    assert caught.value.exit_code == code
    assert KEY not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_page_without_bars_that_promises_more_ends_the_fetch(
    calendar: Calendar, rows: list[Row]
) -> None:
    server = PolygonServer({"AAPL": rows}, page_size=200, faults=[Fault(kind="empty_page")])
    with world(server, calendar) as w, pytest.raises(DataError, match="no later bar"):
        w.bars()


@pytest.mark.parametrize("kind", ["slow_drip", "slow_headers"])
def test_a_slow_drip_is_cut_at_the_deadline(calendar: Calendar, rows: list[Row], kind: str) -> None:
    server = PolygonServer({"AAPL": rows}, faults=[Fault(kind=kind)])
    with world(server, calendar, deadline_s=0.3, monotonic=time.monotonic) as w:
        began = time.monotonic()
        with pytest.raises(ProviderError, match=r"within 0\.3 s"):
            w.bars()
        assert 0.25 < time.monotonic() - began < 1.0


def test_a_passing_fault_is_retried_in_silence(calendar: Calendar, rows: list[Row]) -> None:
    faults = [
        Fault(kind="500", calls={1}),
        Fault(kind="reset", calls={2}),
        Fault(kind="short", calls={3}),
    ]
    with world(PolygonServer({"AAPL": rows}, faults=faults), calendar) as w:
        assert sum(len(page.bars) for page in w.bars()) == 500
        assert w.clock.slept == [0.5, 1.0, 2.0]
        assert w.said == []


def test_a_foreign_next_url_is_asked_of_our_host_without_a_key(
    calendar: Calendar, rows: list[Row]
) -> None:
    with PolygonServer() as foreign:
        fault = Fault(kind="foreign_next", calls={1}, value=foreign.base)
        server = PolygonServer({"AAPL": rows}, page_size=250, faults=[fault])
        with world(server, calendar) as w:
            assert sum(len(page.bars) for page in w.bars()) == 500
            assert "stolen" not in w.server.calls[1].target
        assert foreign.calls == []


def test_a_vendor_that_repeats_the_key_does_not_get_it_into_a_message(
    calendar: Calendar, rows: list[Row]
) -> None:
    spoilt = "\x1b]0;".join(KEY.partition("-"))  # hidden by control characters
    for kind, value in (("401", KEY), ("401", spoilt), ("error_body", KEY), ("500", KEY)):
        server = PolygonServer({"AAPL": rows}, faults=[Fault(kind=kind, value=value)])
        with world(server, calendar) as w, pytest.raises(AlgotradeError) as caught:
            w.bars()
        assert KEY not in f"{caught.value} {caught.value.hint} {w.said} {w.http!r}"


@given(st.text() | st.builds("https://h/p?{}".format, st.text()) | st.none() | st.integers())
def test_a_next_url_of_any_shape_is_a_path_without_a_key_or_an_error(next_url: object) -> None:
    try:
        path, query = polygon._next_request(next_url)
    except DataError:
        return
    assert path.startswith("/")
    assert urlencode(query).isascii()
    assert all(name.casefold() != "apikey" for name, _ in query)


# --- limits and waits


def test_429_waits_as_long_as_told(calendar: Calendar, rows: list[Row]) -> None:
    for value, least, most in (
        ("7", 7, 7),
        ("0", 1, 1),
        ("99999", 120, 120),
        (format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True), 38, 41),
        ("soon", 60, 60),
        ("", 60, 60),
    ):
        fault = Fault(kind="429", calls={1}, value=value)
        with world(PolygonServer({"AAPL": rows}, faults=[fault]), calendar) as w:
            assert sum(len(page.bars) for page in w.bars()) == 500
            (wait,) = w.clock.slept
            assert least <= wait <= most
            assert w.said == [f"polygon: waiting {wait:.0f} s: too many requests (429)"][: wait > 1]


def test_429_without_end_is_given_up_at_the_deadline(calendar: Calendar, rows: list[Row]) -> None:
    server = PolygonServer({"AAPL": rows}, faults=[Fault(kind="429")])
    with world(server, calendar, deadline_s=150.0) as w:
        with pytest.raises(ProviderError, match="within 150 s"):
            w.bars()
        assert sum(w.clock.slept) < 150


def test_pacing_is_one_minute_window_shared_by_the_process() -> None:
    with world(PolygonServer(), rate=5) as w:
        other = PolygonHttp(
            base=w.server.base,
            key=KEY,
            announce=w.said.append,
            sleep=w.clock.sleep,
            monotonic=w.clock.monotonic,
        )
        at = []
        for number in range(12):
            assert (w.http, other)[number % 2].get("/none") is None
            at.append(w.clock.now - 1000)
            w.clock.now += 1
        other.close()
    assert at == [0, 1, 2, 3, 4, 60, 61, 62, 63, 64, 120, 121]
    assert w.said == ["polygon: waiting 55 s: 5 calls a minute"] * 2


@pytest.mark.parametrize(
    "base",
    [
        "http://api.polygon.io",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "http://10.0.0.1:80",
        "ftp://api.polygon.io",
        "https://user@api.polygon.io",
        "https://api.polygon.io/path",
        "api.polygon.io",
        "",
    ],
)
def test_a_base_that_would_show_the_key_is_refused(base: str) -> None:
    with pytest.raises(SettingsError, match="API base"):
        PolygonHttp(base=base, key=KEY, announce=print)


def test_https_anywhere_and_loopback_are_accepted() -> None:
    for base in ("https://api.massive.com/", "http://localhost:80", "http://[::1]:8123"):
        PolygonHttp(base=base, key=KEY, announce=print).close()


@pytest.mark.parametrize("key", ["", "  ", "a b", "abc\n", "kéy"])
def test_a_key_that_is_none_is_refused_unseen(key: str) -> None:
    with pytest.raises(SecretError) as caught:
        PolygonHttp(key=key, announce=print)
    assert not key.strip() or key not in str(caught.value)
    assert "MASSIVE_API_KEY" in str(caught.value.hint)


def test_a_rate_below_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="rate -1"):
        PolygonHttp(key=KEY, rate_per_minute=-1, announce=print)


def test_a_wrong_key_is_refused_with_where_keys_come_from(calendar: Calendar) -> None:
    refused = pytest.raises(SecretError, match="Unknown API Key")
    with world(PolygonServer(), calendar, key="another-key") as w, refused as caught:
        w.bars()
    assert "POLYGON_API_KEY" in str(caught.value.hint)


def test_plain_text_where_tls_was_asked_for_is_no_connection() -> None:
    server = PolygonServer()
    with world(server, base=server.base.replace("http", "https")) as w:
        with pytest.raises(ProviderError, match="no secure connection"):
            w.http.get("/none")
        assert w.server.calls == []


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
        session, _ = polygon._session(row)
        price = polygon._price(row if isinstance(row, dict) else {}, "o")
    except polygon._UnbelievableError:
        return
    assert isinstance(session, date)
    assert price > 0


# --- splits and dividends


def split(day: str, old: object, new: object) -> Row:
    return {"ticker": "AAPL", "execution_date": day, "split_from": old, "split_to": new}


def paid(day: str, amount: object, **more: object) -> Row:
    row = {"ticker": "AAPL", "ex_dividend_date": day, "cash_amount": amount}
    return {**row, "currency": "USD", **more}


SPLITS = [split("2014-06-09", 1, 7), split("2020-08-31", 1.0, 4.0), split("2021-01-04", 1, 1.5)]
READ = [
    Split(symbol="AAPL", ex_date=date(2014, 6, 9), split_from=1, split_to=7),
    Split(symbol="AAPL", ex_date=date(2020, 8, 31), split_from=1, split_to=4),
    Split(symbol="AAPL", ex_date=date(2021, 1, 4), split_from=2, split_to=3),
]


@pytest.mark.parametrize("kind", ["", "404", "403"])
def test_splits_come_in_pages_and_from_the_old_endpoint_too(kind: str) -> None:
    faults = [Fault(kind=kind, where=lambda target: "/stocks/v1/" in target)] if kind else []
    doubled = sorted([*SPLITS, SPLITS[0]], key=lambda row: str(row["execution_date"]))
    with world(PolygonServer(splits=doubled, page_size=2, faults=faults)) as w:
        assert w.source.splits("AAPL") == READ
        assert w.source.splits("MSFT") == []
        old = [call.target for call in w.server.calls if call.target.startswith("/v3/")]
        assert len(old) == (3 if kind else 0)


def test_dividends_are_exact_and_foreign_money_is_left_out() -> None:
    rows = [
        paid("2012-08-09", 2.65),
        paid("2012-08-09", 2.65),
        paid("2012-08-09", 0.5),
        paid("2013-02-07", 0.2348215, currency=None),
        paid("2014-02-07", 0.0000025),
        paid("2015-02-07", 0.3, currency="CAD"),
        paid("2016-02-07", 0),
    ]
    with world(PolygonServer(dividends=rows, page_size=3)) as w:
        read = w.source.dividends("AAPL")
    expected = [
        (date(2012, 8, 9), 500_000),
        (date(2012, 8, 9), 2_650_000),
        (date(2013, 2, 7), 234_822),  # half to even
        (date(2014, 2, 7), 2),  # half to even
    ]
    assert read == [Dividend(symbol="AAPL", ex_date=day, amount=amount) for day, amount in expected]
    assert w.said == [
        "AAPL: dividend of 2015-02-07 in 'CAD' left out",
        "AAPL: dividend of 2016-02-07 of nothing left out",
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [split("2020-08-31", 1, 4), split("2020-08-31", 1, 5)],
        [split("2020-08-31", 0, 4)],
        [split("2020-08-31", -1, 4)],
        [split("2020-08-31", 1, "4")],
        [split("2020-02-30", 1, 4)],
        [split("20200831", 1, 4)],
        [split("2020-08-31", 1, 10**12)],
    ],
)
def test_splits_that_contradict_or_mean_nothing_are_an_error(rows: list[Row]) -> None:
    with world(PolygonServer(splits=rows)) as w, pytest.raises(DataError):
        w.source.splits("AAPL")


@pytest.mark.parametrize("amount", [-0.1, "0.1", True, None, 1e12])
def test_dividends_that_mean_nothing_are_an_error(amount: object) -> None:
    server = PolygonServer(dividends=[paid("2020-08-31", amount)])
    with world(server) as w, pytest.raises(DataError, match="cash_amount"):
        w.source.dividends("AAPL")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("endless_next", "do not end"),
        ("fresh_next", "do not end"),
        ("404", "are known"),
        ("html", "JSON"),
    ],
)
def test_faults_of_actions_are_errors(kind: str, words: str) -> None:
    server = PolygonServer(splits=SPLITS, faults=[Fault(kind=kind, calls=EVERY)])
    with world(server) as w, pytest.raises(DataError, match=words):
        w.source.splits("AAPL")


def test_a_row_of_another_symbol_among_the_actions_is_an_error() -> None:
    server = replying({"status": "OK", "results": [{"ticker": "B"}]})
    with world(server) as w, pytest.raises(DataError, match="an object"):
        w.source.dividends("AAPL")


# --- words


@given(st.text())
def test_clean_text_is_fit_for_a_terminal(text: str) -> None:
    cleaned = clean(text)
    assert not set(cleaned) & {chr(code) for code in (*range(32), *range(127, 160), 0x202E, 0x2066)}
    assert len(cleaned) <= 203
    cleaned.encode()
