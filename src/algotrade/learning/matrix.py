"""The feature matrix of a whole history: the same formulas over numpy, in blocks between splits.

Rows that see the same splits in their look-back share one integer scale, so they are computed
together; a block never reads a split that one of its rows does not see.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS
from algotrade.learning.basis import check_prices, check_size, price_runs, split_cuts, volume_runs
from algotrade.learning.formulas import FORMULAS, PRICES, STEPS
from algotrade.learning.presets import FeatureSpec, check_names

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.basis import Cut, Run

    Array = NDArray[Any]


def feature_matrix(bars: Bars, spec: FeatureSpec) -> NDArray[np.float64]:
    """Compute every row; see `features.compute_features`."""
    import numpy as np

    check_names(spec)
    matrix = np.empty((len(bars), len(spec.names)))
    matrix[: spec.lookback - 1] = np.nan
    cuts = split_cuts(bars)
    with np.errstate(divide="ignore", invalid="ignore"):  # `ratio` says NaN itself
        for start, stop in blocks(cuts, spec.lookback, len(bars)):
            window = BlockWindow(bars, cuts, start=start, stop=stop, lookback=spec.lookback)
            columns = np.empty((len(spec.names), stop - start))
            for column, name in zip(columns, spec.names, strict=True):
                column[:] = FORMULAS[name](window)
            matrix[start:stop] = columns.T  # at once: quicker than a stride for each column
    return matrix


def blocks(cuts: list[Cut], lookback: int, rows: int) -> list[tuple[int, int]]:
    """Cut the rows that have a full look-back into runs that see the same splits."""
    first = lookback - 1
    edges = {first, rows}
    for position, _, _ in cuts:
        # seen from its own bar until its last bar before leaves the window
        edges.update((position, position + lookback - 1))
    inside = sorted(edge for edge in edges if first <= edge <= rows)
    return list(pairwise(inside))


class BlockWindow:
    """Rows [start, stop) of a history: every answer is an array with one value per row.

    Integers are summed as such, and given as doubles: all that a formula makes of prices, shares
    and their sums is below 2^53, so they are exact and dividing them need not convert them.
    """

    def __init__(
        self, bars: Bars, cuts: list[Cut], *, start: int, stop: int, lookback: int
    ) -> None:
        first = start - lookback + 1
        prices, shares = price_runs(cuts, first, stop), volume_runs(cuts, first, stop)
        self.scale = prices[-1][2]
        self.memo: dict[int, Array] = {}
        self._rows = stop - start
        self._sums: dict[tuple[str, int], Array] = {}
        self._real: dict[str, Array] = {}
        for name in PRICES:
            check_prices(bars, _extremes(bars.numpy(name), prices))
        whole_shares = bars.numpy("volume") // MICROS
        for _, largest in _extremes(whole_shares, shares):
            check_size(bars, largest)
        self._columns = {name: _scaled(bars.numpy(name), prices) for name in PRICES}
        self._columns["shares"] = _scaled(whole_shares, shares)
        close = self._columns["close"]
        for name, step in STEPS.items():
            self._columns[name] = step(self, close[1:], close[:-1])

    def at(self, column: str, back: int) -> Array:
        """Give the value `back` bars ago."""
        if column not in self._real:
            self._real[column] = self._columns[column].astype(float)
        values = self._real[column]
        stop = len(values) - back
        return values[stop - self._rows : stop]

    def total(self, column: str, length: int) -> Array:
        """Give the exact sum of the last `length` values."""
        return self._rolling(column, length, power=1).astype(float)

    def squares(self, column: str, length: int) -> Array:
        """Give the exact sum of the squares of the last `length` values, in integers."""
        return self._rolling(column, length, power=2)

    def highest(self, column: str, length: int) -> Array:
        """Give the largest of the last `length` values."""
        import numpy as np

        return self._extreme(np.maximum, column, length)

    def lowest(self, column: str, length: int) -> Array:
        """Give the smallest of the last `length` values."""
        import numpy as np

        return self._extreme(np.minimum, column, length)

    def ratio(self, above: Array, below: Array | int) -> Array:
        """Divide once; NaN where `below` is zero."""
        import numpy as np

        found: Array = np.true_divide(above, below)
        if not math.isfinite(found @ found):  # x / 0 would be infinite
            found[np.broadcast_to(np.equal(below, 0), found.shape)] = np.nan
        return found

    def root(self, value: Array) -> Array:
        """Give the square root."""
        import numpy as np

        return np.sqrt(value)

    def real(self, value: Array) -> Array:
        """Give an integer as the nearest double."""
        return value.astype(float, copy=False)

    def positive(self, value: Array) -> Array:
        """Give max(value, 0)."""
        import numpy as np

        return np.maximum(value, 0)

    def whole(self, value: Array, low: int, high: int) -> Array:
        """Round half to even and clip."""
        import numpy as np

        return np.minimum(np.maximum(np.rint(value), low), high).astype(np.int64)

    def _rolling(self, column: str, length: int, *, power: int) -> Array:
        # a running sum of integers may wrap around; the difference of two of them is still exact
        import numpy as np

        if (column, power) not in self._sums:
            values = self._columns[column]
            sums = np.zeros(len(values) + 1, np.int64)
            np.cumsum(values if power == 1 else values * values, out=sums[1:])
            self._sums[column, power] = sums
        sums = self._sums[column, power]
        stop = len(sums) - length
        rolled: Array = sums[-self._rows :] - sums[stop - self._rows : stop]
        return rolled

    def _extreme(self, of: np.ufunc, column: str, length: int) -> Array:
        """Double the window until two of them cover it."""
        found, width = self._columns[column][-self._rows - length + 1 :], 1
        while 2 * width <= length:
            found = of(found[width:], found[:-width])
            width *= 2
        rest = length - width
        extreme: Array = of(found[rest:], found[: len(found) - rest])
        return extreme


def _extremes(values: Array, runs: list[Run]) -> list[tuple[int, int]]:
    """Give smallest and largest scaled value of each run, in Python integers (no overflow)."""
    return [
        (int(values[start:stop].min()) * factor, int(values[start:stop].max()) * factor)
        for start, stop, factor in runs
    ]


def _scaled(values: Array, runs: list[Run]) -> Array:
    import numpy as np

    scaled: Array = np.concatenate([values[start:stop] * factor for start, stop, factor in runs])
    return scaled
