"""Labels: whether the price is higher some bars after the next open, and when that is known.

A decision at the close of bar t is filled at the open of t + 1, so the label compares the open of
t + 1 + horizon with the open of t + 1, in one share basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from algotrade.learning.basis import split_cuts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars

UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpec:
    """Which future the label looks at: `horizon` bars from the next open."""

    horizon: int = 5


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """One label per bar, shape (len(bars),).

    y: int8, 1 up, 0 not up, -1 not known yet.
    label_end: int64, the instant (microseconds UTC) at which it is known, -1 where it is not.
    change: float64, the simple return from entry to exit, NaN where it is not known.
    """

    y: NDArray[np.int8]
    label_end: NDArray[np.int64]
    change: NDArray[np.float64]


def compute_labels(bars: Bars, spec: LabelSpec) -> Labels:
    """Label every bar: 1 iff open[t+1+h] > open[t+1]; row t reads bars up to t + 1 + h."""
    import numpy as np

    horizon, known = spec.horizon, max(0, len(bars) - spec.horizon - 1)
    y = np.full(len(bars), UNKNOWN, np.int8)
    label_end = np.full(len(bars), UNKNOWN, np.int64)
    change = np.full(len(bars), np.nan)
    opens = bars.numpy("open")
    y[:known] = opens[1 + horizon :] > opens[1 : 1 + known]
    label_end[:known] = bars.numpy("ts_open")[1 + horizon :]
    change[:known] = opens[1 + horizon :] / opens[1 : 1 + known] - 1
    for row in _rows_across_splits(bars, horizon, known):
        before, after = _across_splits(bars, row + 1, row + 1 + horizon)
        y[row], change[row] = after > before, after / before - 1
    return Labels(y, label_end, change)


def _rows_across_splits(bars: Bars, horizon: int, known: int) -> set[int]:
    """Give the rows with a split after their entry bar, up to their exit bar."""
    return {
        row
        for position, _, _ in split_cuts(bars)
        for row in range(max(0, position - 1 - horizon), min(known, position - 1))
    }


def _across_splits(bars: Bars, entry: int, leave: int) -> tuple[int, int]:
    """Give two opens in one share basis, in exact integers."""
    seen = [cut for cut in split_cuts(bars) if entry < cut[0] <= leave]
    before = bars.open[entry] * prod(cut[1] for cut in seen)
    return before, bars.open[leave] * prod(cut[2] for cut in seen)
