"""The rules of a cross-section: who must take part, and how far a row looks back; light."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.bars import Bars

FEWEST = 10  # symbols in a section
SHARE = (4, 5)  # of the section that must take part
BETA = 63  # moves that a slope is made of
MILLION = 1_000_000
HIGHEST = {1: 2 * MILLION, 21: 10 * MILLION}  # a move is clipped there: +200%, +1000%
MARKET = {"market_1": 1, "market_21": 21}


def beginning(ts_close: Sequence[int], rows: int = 1) -> int:
    """Give the first close at which the last `rows` rows of a symbol look at the others."""
    return ts_close[max(0, len(ts_close) - rows - BETA)]


def needed(universe: int) -> int:
    """Give how many symbols of a section must take part."""
    some, of = SHARE
    return max(FEWEST, -(-universe * some // of))


def read_with(bars: Bars, others: Sequence[Bars], lookback: int) -> list[Bars]:
    """Give the bars of others that the row of the last of these bars reads."""
    first, last = beginning(bars.ts_close), bars.ts_close[-1]
    found = []
    for one in others:
        start = bisect_right(one.ts_close, first) - lookback
        found.append(one.slice(max(0, start), bisect_right(one.ts_close, last)))
    return found
