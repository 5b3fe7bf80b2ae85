"""Share basis: the integer factors that bring a run of bars into the shares of its last bar.

A price before a split of `split_from` old into `split_to` new shares is worth
price * split_from / split_to after it. To stay in integers a whole window is multiplied by one
common scale; ratios inside the window do not see it, and dollars divide by it once.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from math import gcd, prod
from typing import TYPE_CHECKING

from algotrade.domain.times import session_day, to_day
from algotrade.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from algotrade.bars import Bars

# Every window sum must be an exact double. The longest window is 200 bars; 256 leaves room.
LARGEST = 2**53 // 256

Cut = tuple[int, int, int]  # first bar in the new shares, split_from, split_to
Run = tuple[int, int, int]  # first bar, stop, factor


def split_cuts(bars: Bars) -> list[Cut]:
    """Give the splits that fall between two of these bars, by position.

    A split whose ex-date is after the last bar is not there: the future moves nothing.
    """
    cuts = []
    for split in bars.splits:
        position = bisect_left(bars.ts_open, to_day(split.ex_date), key=session_day)
        if 0 < position < len(bars):
            cuts.append((position, split.split_from, split.split_to))
    return sorted(cuts)


def price_runs(cuts: list[Cut], first: int, stop: int) -> list[Run]:
    """Give the factors that bring prices of bars [first, stop) into one integer scale.

    The factor of the last run is the scale of the result: value / scale is in the shares of
    the last bar.
    """
    seen = [cut for cut in cuts if first < cut[0] < stop]
    if not seen:
        return [(first, stop, 1)]
    edges = [first, *(cut[0] for cut in seen), stop]
    runs = [
        (start, end, prod(cut[2] for cut in seen[:index]) * prod(cut[1] for cut in seen[index:]))
        for index, (start, end) in enumerate(pairwise(edges))
        if start < end  # two splits may fall on one bar
    ]
    common = gcd(*(factor for _, _, factor in runs))
    return [(start, end, factor // common) for start, end, factor in runs]


def volume_runs(cuts: list[Cut], first: int, stop: int) -> list[Run]:
    """Give the factors for share volumes, which move inversely to prices."""
    return price_runs([(position, new, old) for position, old, new in cuts], first, stop)


def check_prices(bars: Bars, extremes: Iterable[tuple[int, int]]) -> None:
    """Refuse (smallest, largest) pairs that are not positive or too large to be summed exactly.

    Raises DataError.
    """
    for smallest, largest in extremes:
        if smallest <= 0:
            raise DataError(
                f"{bars.symbol}: a price of {smallest} micro-dollars; prices must be positive",
                hint="check the bars: algotrade fetch shows what its checks found",
            )
        check_size(bars, largest)


def check_size(bars: Bars, largest: int) -> None:
    """Refuse a scaled value too large for exact window sums; raises DataError."""
    if largest > LARGEST:
        raise DataError(
            f"{bars.symbol}: a price or volume is too large for exact features"
            f" ({largest} after split adjustment, at most {LARGEST})",
            hint="check its splits: one of them is probably wrong",
        )
