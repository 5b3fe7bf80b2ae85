"""Features: the row of the last bar in plain Python, and the door to the rows of all bars.

`compute_features` gives the same numbers, bit for bit, for a whole history (see `matrix.py`).
This file must stay light: `predict` and `trade` import it, and neither loads numpy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from algotrade.domain.money import MICROS
from algotrade.errors import DataError
from algotrade.learning.basis import (
    check_prices,
    check_size,
    price_runs,
    split_cuts,
    volume_runs,
)
from algotrade.learning.formulas import FORMULAS, PRICES, STEPS
from algotrade.learning.presets import (
    DEFAULT,
    PRESETS,
    SEED,
    TREND,
    FeatureSpec,
    check_names,
    feature_spec,
)

if TYPE_CHECKING:
    from array import array

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.basis import Run

__all__ = [
    "DEFAULT",
    "PRESETS",
    "SEED",
    "TREND",
    "FeatureSpec",
    "LastWindow",
    "compute_features",
    "feature_row",
    "feature_spec",
    "trend",
]


def compute_features(bars: Bars, spec: FeatureSpec) -> NDArray[np.float64]:
    """Compute every row: shape (len(bars), len(spec.names)), row t known at ts_close[t].

    Row t reads bars t - lookback + 1 .. t in the share basis of t. NaN before the warm-up is
    over and where a formula divides by zero. Raises DataError where prices are not positive or
    too large for exact sums.
    """
    from algotrade.learning.matrix import feature_matrix

    if spec.own is None:
        return feature_matrix(bars, spec)
    import numpy as np

    mine, house = spec.own.columns, _house_part(spec, spec.own.columns)
    columns = np.hstack([spec.own.matrix(bars), feature_matrix(bars, house)])
    columns[: spec.lookback - 1] = np.nan
    places = [(*mine, *house.names).index(name) for name in spec.names]
    return np.ascontiguousarray(columns[:, places])


def feature_row(bars: Bars, spec: FeatureSpec) -> tuple[float, ...]:
    """Compute the row of the last bar: the last row of `compute_features`, bit for bit.

    Standard library only. NaN where a formula divides by zero. Raises DataError with fewer than
    `spec.lookback` bars, and where prices are not positive or too large for exact sums.
    """
    house = spec if spec.own is None else _house_part(spec, spec.own.columns)
    check_names(house)
    if len(bars) < spec.lookback:
        raise DataError(
            f"{bars.symbol}: {len(bars)} bars, but one row of features needs {spec.lookback}",
            hint="load earlier bars: algotrade fetch with an earlier start",
        )
    window = LastWindow(bars, spec.lookback)
    row = {name: FORMULAS[name](window) for name in house.names}
    if spec.own is not None:
        row |= zip(spec.own.columns, spec.own.row(bars), strict=True)
    return tuple(row[name] for name in spec.names)


def trend(bars: Bars) -> tuple[float, float]:
    """Give SMA_50 and SMA_200 of the last bar in dollars; raises as `feature_row`."""
    fast, slow = feature_row(bars, SEED)
    return fast, slow


def _house_part(spec: FeatureSpec, others: tuple[str, ...]) -> FeatureSpec:
    """Give the part of a spec that FORMULAS compute."""
    names = tuple(name for name in spec.names if name not in others)
    return FeatureSpec(preset=spec.preset, names=names, lookback=spec.lookback)


class LastWindow:
    """The last `lookback` bars as lists of integers: the algebra of one row."""

    __slots__ = ("_columns", "_shares", "memo", "scale")

    def __init__(self, bars: Bars, lookback: int) -> None:
        first, stop = len(bars) - lookback, len(bars)
        cuts = split_cuts(bars) if bars.splits else []
        runs = price_runs(cuts, first, stop)
        shares = volume_runs(cuts, first, stop)
        self.scale = runs[-1][2]
        self.memo: dict[int, float] = {}
        self._columns = {name: _scaled(bars.column(name), runs) for name in PRICES}
        check_prices(bars, ((min(values), max(values)) for values in self._columns.values()))
        self._columns["shares"] = _scaled(bars.volume, shares, unit=MICROS)
        check_size(bars, max(self._columns["shares"]))

    def at(self, column: str, back: int) -> int:
        """Give the value `back` bars ago."""
        return self._columns[column][-1 - back]

    def total(self, column: str, length: int) -> int:
        """Give the exact integer sum of the last `length` values."""
        return sum(self._tail(column, length))

    def squares(self, column: str, length: int) -> int:
        """Give the exact sum of the squares of the last `length` values."""
        return sum([value * value for value in self._tail(column, length)])

    def highest(self, column: str, length: int) -> int:
        """Give the largest of the last `length` values."""
        return max(self._tail(column, length))

    def lowest(self, column: str, length: int) -> int:
        """Give the smallest of the last `length` values."""
        return min(self._tail(column, length))

    def ratio(self, above: float, below: float) -> float:
        """Divide once; NaN where `below` is zero."""
        return above / below if below else math.nan

    def root(self, value: float) -> float:
        """Give the square root."""
        return math.sqrt(value)

    def real(self, value: int) -> float:
        """Give an integer as the nearest double."""
        return float(value)

    def positive(self, value: float) -> float:
        """Give max(value, 0)."""
        return max(0, value)

    def whole(self, value: float, low: int, high: int) -> int:
        """Round half to even and clip."""
        return min(max(round(value), low), high)

    def _tail(self, column: str, length: int) -> list[int]:
        values = self._columns.get(column, [])
        if len(values) < length and column in STEPS:
            values = self._steps(column, length, len(values)) + values
            self._columns[column] = values
        return values[-length:]

    def _steps(self, column: str, length: int, known: int) -> list[int]:
        """Compute the steps that a longer tail needs before those already known."""
        close, step = self._columns["close"], STEPS[column]
        stop = len(close) - known
        now, before = (
            close[stop + known - length : stop],
            close[stop + known - length - 1 : stop - 1],
        )
        return [step(self, *pair) for pair in zip(now, before, strict=True)]


def _scaled(column: array[int], runs: list[Run], *, unit: int = 1) -> list[int]:
    """Bring a column into the scale of its runs, in whole units."""
    if unit == 1 and len(runs) == 1:
        return column[runs[0][0] :].tolist()
    return [value // unit * factor for start, stop, factor in runs for value in column[start:stop]]
