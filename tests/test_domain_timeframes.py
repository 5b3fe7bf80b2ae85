"""Timeframes: one spelling for each, two of them stored, and each read from a stored one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.domain.timeframes import (
    DERIVED,
    STORED,
    TIMEFRAMES,
    parse_timeframe,
    seconds_of,
    stored_base,
)
from algotrade.errors import InputError


def test_each_timeframe_is_stored_or_derived_and_reads_as_itself() -> None:
    assert sorted(TIMEFRAMES) == sorted(STORED + DERIVED)
    assert [parse_timeframe(text) for text in TIMEFRAMES] == list(TIMEFRAMES)


def test_a_vendor_s_words_are_read_too() -> None:
    spelt = [parse_timeframe(text) for text in ("minute", "hour", "60m", "day", "week")]
    assert spelt == ["1m", "1h", "1h", "1d", "1w"]


@pytest.mark.parametrize(
    "text", ["", "1M", "1D", "2m", "5 m", "1s", "month", "\uff11m", "-1d", "1m\n"]
)
def test_what_is_no_timeframe_of_ours_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(InputError, match=r"^--bar ") as caught:
        parse_timeframe(text, field="--bar")
    assert caught.value.hint == "one of 1m, 5m, 15m, 30m, 1h, 1d, 1w"


@given(st.text())
def test_any_text_is_a_timeframe_or_an_input_error(text: str) -> None:
    try:
        assert parse_timeframe(text) in TIMEFRAMES
    except InputError as error:
        assert str(error).isascii()  # noqa: PT017 -- most texts are none, some are


def test_seconds_and_the_stored_timeframe_below() -> None:
    assert [seconds_of(t) for t in TIMEFRAMES] == [60, 300, 900, 1800, 3600, 86400, 604800]
    assert [stored_base(t) for t in TIMEFRAMES] == ["1m"] * 5 + ["1d"] * 2
