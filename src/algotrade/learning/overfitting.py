"""Overfitting: how likely it is that the best point of a search owes its place to luck.

Combinatorially symmetric cross-validation: Bailey, Borwein, Lopez de Prado, Zhu, The probability of
backtest overfitting, Journal of Computational Finance 20(4), 2017.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from algotrade.learning.rows import midranks
from algotrade.learning.threads import one_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

BLOCKS = 16
FEWEST_PERIODS = 2 * BLOCKS


def overfitting_probability(gains: Numbers) -> float | None:
    """Give the share of splits whose best point in one half is below the median in the other.

    gains: (periods, points), what each point earned. The periods are cut into 16 blocks in order,
    of which some are one period longer where 16 does not divide their number (`np.array_split`);
    each of the 12,870 ways to take half of them is a split. Best is by Sharpe ratio, 0 where
    nothing varies; the first of equals; ranks of equals are shared. None below 32 periods or 2
    points.
    """
    import numpy as np

    periods, points = gains.shape
    if periods < FEWEST_PERIODS or points < 2:
        return None
    # about their middle, so that the sums of squares lose nothing
    blocks = np.array_split(gains - gains.mean(axis=0), BLOCKS)
    middle = gains.mean(axis=0)
    taken = np.zeros((12_870, BLOCKS))
    for row, chosen in enumerate(combinations(range(BLOCKS), BLOCKS // 2)):
        taken[row, list(chosen)] = 1
    with one_thread():
        inside = _ratios(taken, blocks, middle)
        outside = _ratios(1 - taken, blocks, middle)
    best = inside.argmax(axis=1)
    split = np.repeat(np.arange(len(taken)), points)
    ranks = midranks(outside.ravel(), split).reshape(outside.shape)
    place = ranks[np.arange(len(taken)), best] / (points + 1)
    return float((place < 0.5).mean())  # the logit of the place is below 0


def _ratios(taken: Numbers, blocks: list[Numbers], middle: Numbers) -> Numbers:
    """Give the Sharpe ratio (ddof 1) of each point over the blocks taken: (splits, points)."""
    import numpy as np

    count = (taken @ np.array([len(block) for block in blocks], float))[:, None]
    mean = taken @ np.array([block.sum(axis=0) for block in blocks]) / count
    squares = taken @ np.array([(block * block).sum(axis=0) for block in blocks])
    variance = (squares - count * mean * mean) / (count - 1)
    varies = variance > 0
    return np.where(varies, (mean + middle) / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
