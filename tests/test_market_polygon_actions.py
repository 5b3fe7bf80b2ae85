"""Splits and dividends of Polygon: exact facts, or an error."""

from __future__ import annotations

from datetime import date

import pytest

from algotrade.domain.actions import Dividend, Split
from algotrade.errors import (
    DataError,
)
from polygon_server import EVERY, Fault, PolygonServer, Row
from polygon_world import replying, world

# exchange_calendars 4.13 under pandas 3.1: its own call, not ours
pytestmark = pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")


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
