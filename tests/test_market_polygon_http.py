"""Keys, bases, waits and pacing of the calls to Polygon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from algotrade.errors import (
    DataError,
    PlanError,
    ProviderError,
    SecretError,
    SettingsError,
)
from algotrade.market.polygon_http import PolygonHttp
from polygon_server import KEY, Fault, PolygonServer, Row, plausible_bars
from polygon_world import sessions, world

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


# --- what a display needs to know


def test_each_wait_of_over_a_second_is_told_beforehand(calendar: Calendar, rows: list[Row]) -> None:
    told: list[tuple[float, str]] = []
    faults = [Fault(kind="500", calls=range(1, 4)), Fault(kind="429", calls={4}, value="9")]
    server = PolygonServer({"AAPL": rows}, page_size=250, faults=faults)
    with world(server, calendar, rate=5, on_wait=lambda *wait: told.append(wait)) as w:
        w.bars()
        assert w.clock.slept == [0.5, 1.0, 2.0, 9.0, pytest.approx(47.5)]
        assert w.said == []
        assert w.http.calls_made == len(w.server.calls) == 6
    assert told == [
        (2.0, "status 500"),
        (9.0, "too many requests (429)"),
        (pytest.approx(47.5), "5 calls a minute"),
    ]


def test_the_eta_of_further_calls_is_when_they_come_to_pass() -> None:
    for before in (0, 1, 3, 5, 7):
        for left in (0, 1, 2, 4, 5, 6, 11, 23):
            with world(PolygonServer(), rate=5) as w:
                for _ in range(before):
                    w.http.get("/none")
                    w.clock.now += 3
                began, eta = w.clock.now, w.http.eta(left)
                for _ in range(left):
                    w.http.get("/none")
                assert w.clock.now - began == eta, (before, left)


def test_without_pacing_nothing_is_waited_for() -> None:
    with world(PolygonServer(), rate=0) as w:
        w.http.get("/none")
        assert w.http.eta(1_000_000) == 0.0


def test_an_answer_without_a_status_may_be_any_json_but_an_error(calendar: Calendar) -> None:
    for value, expected in (
        ("[1]", [1]),
        ('{"a": 1}', {"a": 1}),
        ('{"status": "NOT_FOUND"}', None),
    ):
        with world(PolygonServer(faults=[Fault(kind="reply", value=value)]), calendar) as w:
            assert w.http.get_bare("/v1/marketstatus/now") == expected
    for kind, error in (("html", DataError), ("error_body", ProviderError), ("403", PlanError)):
        server = PolygonServer(market={"market": "open"}, faults=[Fault(kind=kind)])
        with world(server, calendar) as w, pytest.raises(error):
            w.http.get_bare("/v1/marketstatus/now")
    with world(PolygonServer()) as w:
        assert w.http.get_bare("/none") is None
