"""The cross-section over numpy: the bars of a universe on one grid of closes, and its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.learning.basis import check_prices, check_size, split_cuts
from algotrade.learning.cross_rules import BETA, HIGHEST, MARKET, MILLION, needed
from algotrade.learning.matrix import feature_matrix
from algotrade.learning.presets import FeatureSpec
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.basis import Cut

    Array = NDArray[Any]
    Rows = NDArray[np.intp]

_RANK = "rank_"


class Moves(NamedTuple):
    """Moves of N symbols over m steps: millionths (N, m), 0 where a symbol has not both bars.

    total, number: (m,) of all symbols.
    """

    moves: Array
    there: Array
    total: Array
    number: Array

    def part(self, start: int, stop: int) -> Moves:
        """Give some of the steps."""
        steps = slice(start, stop)
        kept = self.moves[:, steps], self.there[:, steps]
        return Moves(*kept, self.total[steps], self.number[steps])

    def without(self, row: int | None) -> tuple[Array, Array]:
        """Give the sum of the moves and their number at each step, one symbol left out."""
        if row is None:
            return self.total, self.number
        return self.total - self.moves[row], self.number - self.there[row]


class Grid:
    """A universe on the closes that any of its symbols has: N symbols, n closes.

    ts: (n,) rising. What an asked symbol shares with others is computed once.
    """

    def __init__(self, universe: Sequence[Bars], columns: Sequence[str], lookback: int) -> None:
        import numpy as np

        self.symbols = [one.symbol for one in universe]
        self.ranked = tuple(name.removeprefix(_RANK) for name in columns if _RANK in name)
        self._times = [one.numpy("ts_close") for one in universe]
        self.ts = np.unique(np.concatenate(self._times))
        if not len(self.ts):
            self.ts = np.zeros(1, np.int64)  # a close that nobody asks about
        self._close = np.zeros((len(universe), len(self.ts)), np.int64)
        self._cuts: list[list[Cut]] = []
        self._values = np.full((len(self.ranked), len(universe), len(self.ts)), np.nan)
        self._steps: dict[int, Moves] = {}
        spec = FeatureSpec(preset="cross", names=self.ranked, lookback=lookback)
        for row, bars in enumerate(universe):
            place = np.searchsorted(self.ts, self._times[row])
            if len(bars):
                check_prices(bars, [(min(bars.close), max(bars.close))])
            self._close[row, place] = bars.numpy("close")
            self._cuts.append([(int(place[at]), old, new) for at, old, new in split_cuts(bars)])
            self._values[:, row, place] = feature_matrix(bars, spec).T
        self._bars = list(universe)
        # infinite where there is no value: at the end of each row, above every value
        self._sorted = np.where(np.isnan(self._values), np.inf, self._values)
        self._sorted = np.ascontiguousarray(np.sort(self._sorted, axis=1).transpose(0, 2, 1))
        self._count = np.isfinite(self._sorted).sum(axis=2)

    def rows_of(self, ts: NDArray[np.int64]) -> tuple[Rows, Array]:
        """Give the row of each close, and whether the grid has it."""
        import numpy as np

        rows = np.minimum(np.searchsorted(self.ts, ts), len(self.ts) - 1)
        return rows, self.ts[rows] == ts

    def moves(self, rows: Rows, lag: int) -> Moves:
        """Give each symbol's move from a row to that `lag` places later in `rows`; (N, m - lag)."""
        import numpy as np

        if not len(rows) or not (np.diff(rows) == 1).all():
            return self._moves(rows[:-lag], rows[lag:], HIGHEST[lag])
        if lag not in self._steps:  # consecutive rows: a part of all moves of the grid
            every = np.arange(len(self.ts))
            self._steps[lag] = self._moves(every[:-lag], every[lag:], HIGHEST[lag])
        first = int(rows[0])
        return self._steps[lag].part(first, first + max(0, len(rows) - lag))

    def others(self, name: str, rows: Rows, value: Array, own: int | None) -> tuple[Array, ...]:
        """Count at each row the others with a smaller value, an equal one, and any at all."""
        import numpy as np

        place = self.ranked.index(name)
        ordered = self._sorted[place]
        less = _below(ordered, rows, value, inclusive=False)
        most = ordered.shape[1] - 1
        equal = (ordered[rows, np.minimum(less, most)] == value).astype(np.int64)
        after = ordered[rows, np.minimum(less + 1, most)]
        tied = np.flatnonzero((less < most) & (after == value))
        if len(tied):  # as good as never: the same double twice
            upto = _below(ordered, rows[tied], value[tied], inclusive=True)
            equal[tied] = upto - less[tied]
        count = self._count[place][rows]
        if own is not None:  # what the universe says of the symbol asked about does not count
            itself = self._values[place, own, rows]
            less, equal = less - (itself < value), equal - (itself == value)
            count = count - np.isfinite(itself)
        return less, equal, count

    def _moves(self, before: Rows, now: Rows, highest: int) -> Moves:
        import numpy as np

        moves = np.zeros((len(self.symbols), len(now)), np.int32)
        there = np.zeros((len(self.symbols), len(now)), np.bool_)
        for row, bars in enumerate(self._bars):
            pair = self._close[row, before], self._close[row, now]
            seen = [((before < at) & (now >= at), old, new) for at, old, new in self._cuts[row]]
            there[row] = (pair[0] > 0) & (pair[1] > 0)
            moves[row] = np.where(there[row], _moved(bars, *pair, seen, highest), 0)
        total, number = moves.sum(axis=0, dtype=np.int64), there.sum(axis=0, dtype=np.int64)
        return Moves(moves, there, total, number)


def cross_columns(
    grid: Grid, bars: Bars, columns: Sequence[str], lookback: int
) -> dict[str, Array]:
    """Compute columns of one symbol by name, (n,) each, from a full look-back; see `cross.py`."""
    import numpy as np

    asked = _Asked(grid, bars, lookback)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {}
        for name in columns:
            if name in MARKET:
                found[name] = asked.market(MARKET[name])
            elif name == f"beta_{BETA}":
                found[name] = asked.beta()
            else:
                found[name] = asked.rank(name.removeprefix(_RANK))
            found[name][: lookback - 1] = np.nan
    return found


class _Asked:
    """One symbol among the others, at each of its own n bars."""

    def __init__(self, grid: Grid, bars: Bars, lookback: int) -> None:
        import numpy as np

        self._grid, self._bars = grid, bars
        self._own = grid.symbols.index(bars.symbol) if bars.symbol in grid.symbols else None
        self._needed = needed(len(grid.symbols) + (self._own is None))
        self._rows, self._known = grid.rows_of(bars.numpy("ts_close"))
        spec = FeatureSpec(preset="cross", names=grid.ranked, lookback=lookback)
        self._values = dict(zip(grid.ranked, feature_matrix(bars, spec).T, strict=True))
        check_prices(bars, [(min(bars.close), max(bars.close))])
        self._at = np.arange(len(bars))
        self._cuts = split_cuts(bars)

    def market(self, lag: int) -> Array:
        """Give the mean move of the section over the last `lag` bars, as a fraction."""
        total, count, _ = self._section(lag)
        found = self._empty()
        found[lag:] = total / (count * MILLION)
        return found

    def beta(self) -> Array:
        """Give the slope of the last 63 own moves on those of the market."""
        import numpy as np

        found = self._empty()
        total, count, own = self._section(1)
        mean = np.rint(np.where(np.isnan(total), 0.0, total / count)).astype(np.int64)
        r, m = _windows(own), _windows(mean)
        # of whole millionths: each product below 2^42, the differences below 2^56
        slope = BETA * _windows(own * mean) - r * m
        spread = BETA * _windows(mean * mean) - m * m
        told = _windows(np.isnan(total).astype(np.int64)) == 0
        found[BETA:] = np.where(told & (spread > 0), slope / spread, np.nan)
        return found

    def rank(self, name: str) -> Array:
        """Give the place in (0, 1) among the section by a value; ties share theirs."""
        import numpy as np

        value = self._values[name]
        less, equal, count = self._grid.others(name, self._rows, value, self._own)
        count = np.where(self._known, count, 0)
        enough = np.isfinite(value) & (count + 1 >= self._needed)
        return np.where(enough, (2 * less + equal + 1) / (2 * (count + 1)), np.nan)

    def _section(self, lag: int) -> tuple[Array, Array, Array]:
        """Give sum and number of the section's moves, NaN where too few; and the own moves."""
        import numpy as np

        others = self._grid.moves(self._rows, lag)
        total, count = others.without(self._own)
        known = self._known[lag:] & self._known[: len(self._known) - lag]
        close = self._bars.numpy("close")
        before, now = self._at[: len(self._at) - lag], self._at[lag:]
        seen = [((before < at) & (now >= at), old, new) for at, old, new in self._cuts]
        pair = close[: len(close) - lag], close[lag:]
        own = _moved(self._bars, *pair, seen, HIGHEST[lag])
        enough = known & (count + 1 >= self._needed)
        return np.where(enough, total + own, np.nan), count + 1, own

    def _empty(self) -> Array:
        import numpy as np

        return np.full(len(self._bars), np.nan)


def _moved(
    bars: Bars, first: Array, last: Array, seen: Sequence[tuple[Array, int, int]], highest: int
) -> Array:
    """Give moves in whole millionths, from integers in one share basis and one division.

    seen: of each split the steps that it falls into, old and new shares. A step without a first
    close is nothing.
    """
    import numpy as np

    for steps, old, new in seen:
        if steps.any():
            check_size(bars, int(last[steps].max()) * new)
            check_size(bars, int(first[steps].max()) * old)
            last = np.where(steps, last * new, last)
            first = np.where(steps, first * old, first)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (last - first) / first
    millionths = np.rint(np.where(first > 0, ratio, 0.0) * MILLION)
    whole: Array = np.clip(millionths, -MILLION, highest).astype(np.int64)
    return whole


def _windows(values: Array) -> Array:
    """Give the sum of each window of 63 values; a running sum may wrap, a difference is exact."""
    import numpy as np

    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    found: Array = sums[BETA:] - sums[:-BETA]
    return found


def _below(ordered: Array, rows: Rows, value: Array, *, inclusive: bool) -> Array:
    """Count in each row of (n, N), sorted, the values below the one asked about; bisection."""
    import numpy as np

    low = np.zeros(len(rows), np.int64)
    high = np.full(len(rows), ordered.shape[1], np.int64)
    for _ in range(int(ordered.shape[1]).bit_length()):
        middle = np.minimum((low + high) // 2, ordered.shape[1] - 1)
        seen, searched = ordered[rows, middle], low < high
        further = seen <= value if inclusive else seen < value
        low, high = (
            np.where(searched & further, middle + 1, low),
            np.where(searched & ~further, middle, high),
        )
    return low
