"""Information: how probabilities and the returns that follow go together, date by date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.learning.rows import midranks
from algotrade.learning.significance import FEWEST_LAGS, newey_west_t
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from algotrade.learning.rows import Rows

    Array = NDArray[Any]

FEWEST_SYMBOLS = 10  # a correlation across fewer says nothing


class Coefficient(NamedTuple):
    """An information coefficient: mean over dates, mean over standard deviation, and its t."""

    mean: float
    ratio: float | None
    t: float | None


class Information(NamedTuple):
    """Pearson's and Spearman's correlation of p with the return that follows.

    across: True where each date's is taken across its symbols (10 or more), False where it is
    taken along time for each symbol. dates: that have one.
    """

    across: bool
    dates: int
    lags: int
    ic: Coefficient | None
    rank_ic: Coefficient | None


def information(rows: Rows) -> Information:
    """Correlate p with the return that follows; t by Newey-West with max(horizon - 1, 5) lags.

    Across symbols: one correlation a date. Along time: each symbol's p and returns are
    standardised over the test span, and a date's figure is the mean product of its symbols, so
    that their mean is the mean correlation. Coefficients are None where nothing varies.
    """
    import numpy as np

    lags = max(rows.horizon - 1, FEWEST_LAGS)
    across = bool(len(rows)) and bool((np.bincount(rows.moment) >= FEWEST_SYMBOLS).any())
    group = rows.moment if across else rows.symbol
    ranked = midranks(rows.p, group), midranks(rows.change, group)
    series = _across if across else _along
    plain, ranks = series(rows, rows.p, rows.change), series(rows, *ranked)
    return Information(
        across, len(plain), lags, _coefficient(plain, lags), _coefficient(ranks, lags)
    )


def _coefficient(values: Array, lags: int) -> Coefficient | None:
    if len(values) < 2:
        return None
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    return Coefficient(mean, mean / spread if spread > 0 else None, newey_west_t(values, lags))


def _across(rows: Rows, a: Array, b: Array) -> Array:
    """Give each date's correlation across its symbols."""
    import numpy as np

    enough = (np.bincount(rows.moment) >= FEWEST_SYMBOLS)[rows.moment]
    moment, (a, b) = (
        rows.moment[enough],
        (_standard(v[enough], rows.moment[enough]) for v in (a, b)),
    )
    count, total = np.bincount(moment), np.bincount(moment, weights=a * b)
    ok = (count > 0) & np.isfinite(total)
    found: Array = total[ok] / count[ok]
    return found


def _along(rows: Rows, a: Array, b: Array) -> Array:
    """Give each date's mean product of what is standardised by symbol."""
    import numpy as np

    product = _standard(a, rows.symbol) * _standard(b, rows.symbol)
    ok = np.isfinite(product)
    count = np.bincount(rows.moment[ok])
    total = np.bincount(rows.moment[ok], weights=product[ok])
    found: Array = total[count > 0] / count[count > 0]
    return found


def _standard(values: Array, group: Array) -> Array:
    """Take the mean off and divide by the standard deviation (ddof 0), by group; NaN if it is 0."""
    import numpy as np

    count = np.maximum(np.bincount(group), 1)
    off = values - (np.bincount(group, weights=values) / count)[group]
    spread = np.sqrt(np.bincount(group, weights=off * off) / count)
    size = np.sqrt(np.bincount(group, weights=values * values) / count)
    spread = np.where(spread > 1e-12 * size, spread, np.nan)
    standard: Array = off / spread[group]
    return standard
