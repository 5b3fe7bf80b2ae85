"""Sizing columns: damped probability weights and yearly volatilities, as exact integers.

Both look back over a finite window and add integers only, so a value computed from the last
`window` bars is the value of the whole history, bit for bit. Standard library only: live trading
computes one value with the same code.

Source of the damped weight: probability sizing as measured in the learning notes (full size at
p = 0.6, an exponential mean over 5 bars: less turnover for the same signal).
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from math import gcd, isqrt
from typing import TYPE_CHECKING

from algotrade.domain.money import divide_half_even
from algotrade.domain.signals import PPM
from algotrade.learning.basis import check_prices, split_cuts
from algotrade.learning.formulas import RETURN_UNIT

if TYPE_CHECKING:
    from algotrade.bars import Bars

SIZE_UNIT = 1_000_000_000  # a raw size is an integer count of 1e-9
FULL_SIZE = 0.1  # p(up) above one half that asks for the full size
UNKNOWN = -1  # a volatility that is not known: fewer than window + 1 bars


def damped_weights(p_up: array[float], *, span: int = 5, window: int = 20) -> array[int]:
    """Give the damped size at every bar, in PPM of the full position: 0 to 1,000,000.

    The raw size is clip((2p - 1) / 0.2, 0, 1); the weight is its exponential mean, decay
    1 - 2 / (span + 1) a bar, over the last `window` bars including the bar itself, divided by the
    whole window's weights and rounded half-even. NaN, and bars before the first, count as size 0:
    where nothing is said nothing is held, and a new voice comes in by degrees. So the last
    `window` probabilities give the last weight whatever came before. span, window: at least 1.
    """
    kept, lost = _decay(span)
    newest, oldest = lost ** (window - 1), kept ** (window - 1)  # weights of a window's two ends
    whole = SIZE_UNIT * sum(kept**back * lost ** (window - 1 - back) for back in range(window))
    sizes = [0] * window + [_size(p) for p in p_up]
    weights, total = array("q"), 0
    for gone, size in zip(sizes, sizes[window:], strict=False):
        # each integer weight is kept / lost of the one a bar younger, so this division is exact
        total = (total - gone * oldest) * kept // lost + size * newest
        weights.append(divide_half_even(total * PPM, whole) if total else 0)
    return weights


def volatilities(bars: Bars, *, window: int = 20, periods_per_year: int = 252) -> array[int]:
    """Give the annualised volatility at every bar in PPM; -1 where it is not known.

    The sample standard deviation of the last `window` simple returns from close to close, in one
    share basis across splits, times the square root of `periods_per_year`, rounded half-even.
    Needs window + 1 bars. 0 where the price did not move. window: at least 2. Raises DataError
    where prices are not positive.
    """
    if not len(bars):
        return array("q")
    check_prices(bars, [(min(bars.close), max(bars.close))])
    returns = _returns(bars)
    below = window * (window - 1) * (RETURN_UNIT // PPM) ** 2
    found, total, squares = array("q", [UNKNOWN] * min(window, len(bars))), 0, 0
    for index, value in enumerate(returns):
        total, squares = total + value, squares + value * value
        if index >= window:
            gone = returns[index - window]
            total, squares = total - gone, squares - gone * gone
        if index >= window - 1:
            spread = window * squares - total * total
            found.append(_root_half_even(spread * periods_per_year, below))
    return found


def _decay(span: int) -> tuple[int, int]:
    """Give 1 - 2 / (span + 1) as a fraction in lowest terms."""
    common = gcd(span - 1, span + 1)
    return (span - 1) // common, (span + 1) // common


def _size(p: float) -> int:
    """Give clip((2p - 1) / 0.2, 0, 1) in units of 1e-9; 0 for NaN."""
    if not p > 0.5:
        return 0
    # p - 0.5 is exact, so there is one rounding before the rounding to whole units
    return min(round((p - 0.5) * (SIZE_UNIT / FULL_SIZE)), SIZE_UNIT)


def _returns(bars: Bars) -> list[int]:
    """Give each simple return in whole units of 1e-8, the second bar's first."""
    close = bars.close
    returns = [
        divide_half_even(RETURN_UNIT * (now - before), before) for before, now in pairwise(close)
    ]
    ratios: dict[int, tuple[int, int]] = {}
    for position, old, new in split_cuts(bars):
        olds, news = ratios.get(position, (1, 1))
        ratios[position] = olds * old, news * new
    for position, (old, new) in ratios.items():
        before, now = close[position - 1] * old, close[position] * new
        returns[position - 1] = divide_half_even(RETURN_UNIT * (now - before), before)
    return returns


def _root_half_even(above: int, below: int) -> int:
    """Give the square root of above / below as the nearest integer, ties to even."""
    root = isqrt(above // below)
    middle = (2 * root + 1) ** 2 * below  # four times the square of root + 1/2, over below
    return root + (4 * above > middle or (4 * above == middle and root % 2))
