"""Symbols, times, order identity: one spelling, integers, keys made before anything is sent."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.domain.orders import order_key
from algotrade.domain.symbols import parse_symbol
from algotrade.domain.times import (
    iso,
    parse_date,
    parse_instant,
    session_date,
    session_day,
    to_date,
    to_datetime,
    to_day,
    to_ts,
)
from algotrade.errors import InputError
from builders import order

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("typed", "symbol", "noted"),
    [
        ("AAPL", "AAPL", False),
        ("A", "A", False),
        ("BRK.B", "BRK.B", False),
        ("KIMpL", "KIMpL", False),
        ("aapl", "AAPL", True),
        ("BRK/B", "BRK.B", True),
        ("bf-b", "BF.B", True),
    ],
)
def test_one_spelling_for_each_symbol(typed: str, symbol: str, *, noted: bool) -> None:
    choice = parse_symbol(typed)
    assert (choice.symbol, choice.note is not None) == (symbol, noted)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "TOOLONG",
        "AAPL ",
        "A B",
        "../A",
        "AAPL\n",
        "1",
        "\uff21\uff21",
        "\ufb01",
        "A.",
        "A..B",
        "'--",
    ],
)
def test_anything_else_is_no_symbol(typed: str) -> None:
    with pytest.raises(InputError, match="is not a ticker"):
        parse_symbol(typed)


@settings(max_examples=100, deadline=None)
@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)))  # noqa: DTZ001  given a zone below
def test_an_instant_survives_as_microseconds(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    assert to_datetime(to_ts(moment)) == moment
    assert parse_instant(iso(to_ts(moment)), field="x") == to_ts(moment)
    elsewhere = moment.astimezone(timezone(timedelta(hours=-5)))
    assert to_ts(elsewhere) == to_ts(moment)


@settings(max_examples=100, deadline=None)
@given(st.dates(date(1990, 1, 1), date(2037, 12, 31)), st.integers(4 * 60, 20 * 60 - 1))
def test_a_session_is_the_new_york_date_from_four_to_eight(day: date, minute: int) -> None:
    local = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=NEW_YORK)
    assert session_date(to_ts(local)) == day
    assert to_date(session_day(to_ts(local))) == day
    assert to_day(day) == (day - date(1970, 1, 1)).days


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="a zone is required"):
        to_ts(datetime(2024, 1, 1))  # noqa: DTZ001  that is the point


@pytest.mark.parametrize(
    "text",
    ["", "2024-1-1", "2024-02-30", "20240101", "1969-12-31", "2024-01-01T00", "\uff12024-01-01"],
)
def test_other_dates_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--from"):
        parse_date(text, field="--from")


@pytest.mark.parametrize("text", ["", "now", "2024-01-01", "2024-01-01T00:00:00", "1704067200"])
def test_other_instants_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="ALGOTRADE_NOW"):
        parse_instant(text, field="ALGOTRADE_NOW")


def test_the_key_is_the_documented_hash_of_the_identity() -> None:
    digest = hashlib.sha256(b"paper|model|AAPL|17|c1|buy 10").hexdigest()
    assert order_key("paper", "model", "AAPL", 17, "c1", "buy 10") == digest[:32]


def test_each_part_of_the_identity_changes_the_key() -> None:
    same = ("paper", "model", "AAPL", 17, "", "")
    others = [
        ("live", *same[1:]),
        ("paper", "manual", *same[2:]),
        (*same[:2], "MSFT", *same[3:]),
        (*same[:3], 18, "", ""),
        (*same[:4], "c1", ""),
        (*same[:5], "buy 10"),
        (*same[:5], "sell 10"),
        (*same[:4], "buy 10", ""),  # a client id that looks like a request
    ]
    keys = {order_key(*identity) for identity in [same, *others]}
    assert len(keys) == len(others) + 1
    assert order_key(*same) == order_key(*same)


def test_an_order_knows_its_sign_and_its_short_name() -> None:
    assert (order("buy", 5).signed, order("sell", 5).signed) == (5, -5)
    assert order(key="0123456789abcdef").id == "0123456789"
