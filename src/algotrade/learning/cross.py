"""Cross-section: columns that compare a symbol with the others of a universe at the same close.

`market_k` is the mean move of the section over the symbol's last k bars, `beta_63` the slope of
its last 63 one-bar moves on those of the market, `rank_f` its place in (0, 1) by the value of f.
The section of a symbol is the universe and the symbol itself, asked by its own bars. At each of
its closes another one takes part who has bars that close then (and at the close before, for a
move); ranks are among those with a full look-back. Where fewer than 10 take part, or fewer than
80% of the section, a column is NaN: nothing is filled.

Exact: a move is a whole number of millionths made of integer prices in one share basis, sums are
integers, and each column ends in one division. So a row is the same bits however long the
histories are, in whatever order they come. This file is light; numpy is loaded where it computes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from algotrade.domain.times import session_date
from algotrade.errors import InputError
from algotrade.learning.cross_rules import BETA, FEWEST, MARKET, needed, read_with
from algotrade.learning.presets import CROSS, FeatureSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars

    Array = NDArray[Any]
    Matrix = NDArray[np.float64]

SHOWN = 5  # symbols that a sentence names
_CHECK_DIGITS = 4


def bind(spec: FeatureSpec, universe: Sequence[Bars]) -> FeatureSpec:
    """Bind the columns that compare symbols to the bars of a universe; other specs stay.

    Raises InputError with fewer than 10 symbols.
    """
    if not spec.crosses:
        return spec
    if len(universe) < FEWEST:
        raise InputError(
            f"features {spec.preset} compare {FEWEST} symbols or more, there are {len(universe)}",
            hint="name more symbols, or --features default",
        )
    columns = tuple(name for name in spec.names if name in CROSS)
    return replace(spec, own=CrossSection(universe, columns, spec.lookback))


class CrossSection:
    """The columns of one universe, whose bars are given once for every symbol that is asked about.

    The bars must reach back as `read` says, and may reach further. Computed as it is asked for,
    and kept.
    """

    def __init__(self, universe: Sequence[Bars], columns: tuple[str, ...], lookback: int) -> None:
        self.columns = columns
        self.universe = sorted(universe, key=lambda one: one.symbol)
        self._lookback = lookback
        self._kept: Any = None

    def matrix(self, bars: Bars) -> Matrix:
        """Compute every row of one symbol: (len(bars), columns), NaN where too few take part.

        Raises DataError that names the symbol whose prices cannot be.
        """
        import numpy as np

        from algotrade.learning.cross_grid import cross_columns

        if len(bars) < self._lookback:
            return np.full((len(bars), len(self.columns)), np.nan)
        found = cross_columns(self._grid(), bars, self.columns, self._lookback)
        return np.ascontiguousarray(np.stack([found[name] for name in self.columns], axis=1))

    def row(self, bars: Bars) -> tuple[float, ...]:
        """Compute the row of the last bar from its look-back: the last row of `matrix`."""
        tail = bars.slice(max(0, len(bars) - self._lookback), len(bars))
        return tuple(self.matrix(tail)[-1].tolist())

    def read(self, bars: Bars) -> list[Bars]:
        """Give the bars of the others that the row of the last bar reads, by symbol."""
        return read_with(bars, self._others(bars.symbol), self._lookback)

    def fingerprint(self, bars: Bars) -> str:
        """Name all bars that the row of the last bar reads, in such a way that one can be found.

        Its own bars' SHA-256, that of all others', and 4 digits of each of the others'.
        """
        own = bars.slice(max(0, len(bars) - self._lookback), len(bars)).fingerprint()
        prints = [one.fingerprint() for one in self.read(bars)]
        whole = hashlib.sha256("".join(prints).encode()).hexdigest()
        return f"{own}+{whole}.{''.join(one[:_CHECK_DIGITS] for one in prints)}"

    def missing(self, bars: Bars) -> str:
        """Say who is missing for the row of the last bar; empty where enough take part."""
        others = self._others(bars.symbol)
        size, closes = len(others) + 1, bars.ts_close[-max(self._lookback, BETA + 1) :]
        reach = min(len(closes) - 1, MARKET["market_21"])
        pairs = [(closes[-1], closes[-1]), (closes[-1 - reach], closes[-1])]
        pairs += reversed([*pairwise(closes[-BETA - 1 :])])
        for before, now in pairs:
            there = {one.symbol for one in others if _closes(one, now) and _closes(one, before)}
            if len(there) + 1 < needed(size):
                late = any(_closes(one, now) for one in others if one.symbol not in there)
                day = session_date(before if late and before != now else now)
                return _told(others, there, size, f"a bar of {day}")
        there = {
            one.symbol
            for one in others
            if _closes(one, closes[-1]) and bisect_right(one.ts_close, closes[-1]) >= self._lookback
        }
        if len(there) + 1 < needed(size):
            what = f"{self._lookback} bars to {session_date(closes[-1])}"
            return _told(others, there, size, what)
        return ""

    def _others(self, symbol: str) -> list[Bars]:
        return [one for one in self.universe if one.symbol != symbol]

    def _grid(self) -> Any:  # noqa: ANN401 - its file loads numpy
        if self._kept is None:
            from algotrade.learning.cross_grid import Grid

            self._kept = Grid(self.universe, self.columns, self._lookback)
        return self._kept


def split_print(text: str, others: Sequence[str]) -> dict[str, str]:
    """Give the parts of a fingerprint by name: `bars`, `bars.SYMBOL` of each other, `bars.others`.

    others: the symbols of the universe but the one asked about. An ordinary fingerprint has the
    first part alone.
    """
    own, _, rest = text.partition("+")
    whole, _, digits = rest.partition(".")
    parts = {"bars": own}
    for number, symbol in enumerate(sorted(others)):
        start = number * _CHECK_DIGITS
        parts[f"bars.{symbol}"] = digits[start : start + _CHECK_DIGITS]
    return parts | {"bars.others": whole}


def _closes(bars: Bars, ts: int) -> bool:
    place = bisect_left(bars.ts_close, ts)
    return place < len(bars) and bars.ts_close[place] == ts


def _told(others: Sequence[Bars], there: set[str], size: int, what: str) -> str:
    absent = [one.symbol for one in others if one.symbol not in there]
    names = ", ".join(absent[:SHOWN]) + (" ..." if len(absent) > SHOWN else "")
    return (
        f"{len(there) + 1} of {size} symbols have {what}, a cross-section needs {needed(size)};"
        f" missing: {names}"
    )
