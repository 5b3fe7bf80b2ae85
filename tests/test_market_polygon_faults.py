"""A broken answer of Polygon is an error with its exit code, never part of a history."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.errors import (
    AlgotradeError,
    DataError,
    PlanError,
    ProviderError,
    SecretError,
)
from algotrade.market.polygon_paging import next_request
from algotrade.market.polygon_words import clean
from polygon_server import KEY, Fault, PolygonServer, Row, plausible_bars
from polygon_world import WHOLE, sessions, world
from vendor_client_faults import CASES, ours, vendor

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


# --- faults: (fault on page 2, error, exit code, words)

FAULTS = [
    ("truncate", DataError, 5, "no valid JSON object"),
    ("html", DataError, 5, "proxy.* login"),
    ("empty", DataError, 5, "no valid JSON object .*: nothing"),
    ("list", DataError, 5, "no valid JSON object"),
    ("deep", DataError, 5, "no valid JSON object"),
    ("huge_number", DataError, 5, "no valid JSON object"),
    ("not_utf8", DataError, 5, "no valid JSON object"),
    ("nan", DataError, 5, "no valid JSON object"),
    ("no_status", DataError, 5, "status None"),
    ("wrong_ticker", DataError, 5, "asked for AAPL, got 'EVIL'"),
    ("adjusted", DataError, 5, "adjusted"),
    ("unsorted", DataError, 5, "out of order"),
    ("no_results", DataError, 5, "resultsCount"),
    ("null_results", DataError, 5, "resultsCount"),
    ("short_count", DataError, 5, "resultsCount"),
    ("endless_next", DataError, 5, "the pages do not end"),
    ("fresh_next", DataError, 5, "out of order"),
    ("bad_next", DataError, 5, "next_url"),
    ("cut_gzip", DataError, 5, "cut or damaged"),
    ("half_gzip", DataError, 5, "cut or damaged"),
    ("404", DataError, 5, "page 2 is missing"),
    ("gzip_bomb", ProviderError, 7, "32 MiB"),
    ("error_body", ProviderError, 7, "ERROR .*broken"),
    ("418", ProviderError, 7, "418"),
    ("302", ProviderError, 7, "302"),
    ("500", ProviderError, 7, "status 500, 4 times"),
    ("reset", ProviderError, 7, "the connection broke, 4 times"),
    ("close", ProviderError, 7, "the connection broke, 4 times"),
    ("cut_headers", ProviderError, 7, "the connection broke, 4 times"),
    ("cut_chunks", ProviderError, 7, "the connection broke, 4 times"),
    ("408", ProviderError, 7, "status 408, 4 times"),
    ("520", ProviderError, 7, "status 520, 4 times"),
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
        path, query = next_request(next_url)
    except DataError:
        return
    assert path.startswith("/")
    assert urlencode(query).isascii()
    assert all(name.casefold() != "apikey" for name, _ in query)


# --- beside the vendor's own client


def test_what_the_vendor_s_client_loses_in_silence_is_an_error_here() -> None:
    chosen = ("none", "HTML with 200", "another ticker", "reset, twice")
    cases = [case for case in CASES if case.name in chosen]
    theirs = [(o.right, o.wrong, o.ended) for o in map(vendor, cases)]
    own = [(o.right, o.wrong, o.ended) for o in map(ours, cases)]
    assert theirs == [
        (500, 0, "well"),
        (250, 0, "no exception (a line on standard output)"),
        (250, 250, "no exception"),
        (500, 0, "well"),
    ]
    assert own == [
        (500, 0, "well"),
        (0, 0, "DataError, exit 5"),
        (0, 0, "DataError, exit 5"),
        (500, 0, "well"),
    ]


def test_the_table_in_the_docs_has_each_fault_that_the_script_tries() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "data.md").read_text("utf-8")
    told = re.findall(r"^\| ([^|]+?) \| \d+(?: \+ \d+ wrong)? \|", page, re.MULTILINE)
    assert told == [case.name for case in CASES]


# --- words


@given(st.text())
def test_clean_text_is_fit_for_a_terminal(text: str) -> None:
    cleaned = clean(text)
    assert not set(cleaned) & {chr(code) for code in (*range(32), *range(127, 160), 0x202E, 0x2066)}
    assert len(cleaned) <= 203
    cleaned.encode()
