"""Tested rows: out-of-sample predictions beside what happened, in the form that measures read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.learning.splits import sessions

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.dataset import Dataset
    from algotrade.learning.evaluation import OutOfSample

    Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The m rows of all test blocks, in order of (decision time, symbol).

    y: 0.0 or 1.0. p: probability of up. base: up-rate of the block's training part.
    change: simple return from entry to exit. moment, day, fold: place of the row's decision time,
    session and test block among those there are, from 0. year: of the session. symbol: index into
    `symbols`. horizon: bars that a label looks ahead. threshold: p over it says up.
    """

    y: NDArray[np.float64]
    p: NDArray[np.float64]
    base: NDArray[np.float64]
    change: NDArray[np.float64]
    moment: NDArray[np.int64]
    day: NDArray[np.int64]
    fold: NDArray[np.int64]
    year: NDArray[np.int64]
    symbol: NDArray[np.int64]
    symbols: tuple[str, ...]
    horizon: int
    threshold: float

    def __len__(self) -> int:
        return len(self.y)

    @property
    def days(self) -> int:
        """Give the number of sessions."""
        return int(self.day.max()) + 1 if len(self) else 0

    @property
    def said_up(self) -> NDArray[np.float64]:
        """Give 1.0 where the model says up, else 0.0."""
        return (self.p > self.threshold).astype(float)


def pair_rows(dataset: Dataset, outcome: OutOfSample, *, threshold: float) -> Rows:
    """Join predictions with their dataset; rows in any order."""
    import numpy as np

    fold = outcome.fold
    if fold is None:
        fold = np.cumsum(np.concatenate([[0], np.diff(outcome.base) != 0]))[: len(outcome.rows)]
    order = np.argsort(outcome.rows, kind="stable")
    rows = outcome.rows[order]
    day = sessions(dataset.ts[rows])
    return Rows(
        y=dataset.y[rows].astype(float),
        p=outcome.p[order],
        base=outcome.base[order],
        change=dataset.change[rows],
        moment=places(dataset.ts[rows]),
        day=places(day),
        fold=places(fold[order]),
        year=day.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970,
        symbol=dataset.symbol[rows],
        symbols=dataset.symbols,
        horizon=dataset.labels.horizon,
        threshold=threshold,
    )


def places(values: Array) -> NDArray[np.int64]:
    """Give the place of each value among the distinct values, from 0."""
    import numpy as np

    _, inverse = np.unique(values, return_inverse=True)
    return inverse.astype(np.int64)


def midranks(values: Array, group: Array | None = None) -> NDArray[np.float64]:
    """Give ranks from 1, ties sharing their mean rank; within each group of rows, if given."""
    import numpy as np

    groups = np.zeros(len(values), np.int64) if group is None else group
    order = np.lexsort((values, groups))
    sorted_values, sorted_groups = values[order], groups[order]
    new_group = np.concatenate([[True], np.diff(sorted_groups) != 0])[: len(order)]
    new_value = new_group | np.concatenate([[True], np.diff(sorted_values) != 0])[: len(order)]
    place = np.arange(len(order))
    start_of_group = np.maximum.accumulate(np.where(new_group, place, 0))
    tie = np.cumsum(new_value) - 1
    first = np.flatnonzero(new_value)
    last = np.concatenate([first[1:], [len(order)]])[: len(first)] - 1
    ranks = np.empty(len(order))
    ranks[order] = ((first + last) / 2)[tie] - start_of_group + 1
    return ranks
