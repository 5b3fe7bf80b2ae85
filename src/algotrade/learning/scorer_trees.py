"""Scorers made of decision trees: forests and boosting, with whole numbers in their leaves.

Whole numbers add up to the same whatever the order, so one row in plain Python and a million rows
in numpy give the same bits.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from algotrade.learning.scorer_base import (
    LOG_ODDS,
    PROBABILITY,
    ROUNDING,
    Plain,
    check_row,
    check_rows,
    sigmoid,
    sigmoids,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.scorer_base import Estimator, Explanation, Matrix

UNIT = 1_000_000_000  # a forest's leaf: an up-rate as a whole count of 1e-9
ODDS_UNIT = 2**40  # a boosting leaf: log-odds as a whole count of 2^-40, so dividing is exact
LEAF = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees(Plain):
    """Decision trees laid end to end; tree i starts at node `roots[i]`.

    A node asks x[feature] <= threshold and goes left or right, always to a later node; a leaf has
    feature -1. `value` is a whole number at every node: a leaf's own, elsewhere the mean over the
    training rows that passed. single: x is rounded to single precision before it is compared.
    """

    names: tuple[str, ...]
    roots: tuple[int, ...]
    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[int, ...]
    single: bool = True
    _batch: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def total(self, row: Sequence[float]) -> int:
        """Add the values of the leaves that one row reaches."""
        x = self._read(row)
        feature, threshold, left, right = self.feature, self.threshold, self.left, self.right
        total = 0
        for root in self.roots:
            node = root
            while (column := feature[node]) >= 0:
                node = left[node] if x[column] <= threshold[node] else right[node]
            total += self.value[node]
        return total

    def totals(self, x: Matrix) -> NDArray[np.int64]:
        """Add the values of the leaves that each row of (n, k) reaches."""
        from algotrade.learning.scorer_batch import Batch

        check_rows(self.names, x)
        if "trees" not in self._batch:
            self._batch["trees"] = Batch(self)
        batch: Batch = self._batch["trees"]
        return batch.totals(x)

    def moved(self, row: Sequence[float]) -> list[int]:
        """Give for each column what `value` changed at the nodes that asked for it.

        Saabas' path decomposition: the values of the roots and these add up to `total`.
        """
        x = self._read(row)
        moved = [0] * len(self.names)
        for root in self.roots:
            node = root
            while (column := self.feature[node]) >= 0:
                side = self.left if x[column] <= self.threshold[node] else self.right
                moved[column] += self.value[side[node]] - self.value[node]
                node = side[node]
        return moved

    def _read(self, row: Sequence[float]) -> Sequence[float]:
        check_row(self.names, row)
        return array("f", row) if self.single else row


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestScorer(Trees):
    """A forest: p(up) is the mean of the up-rates (in units of 1e-9) of the leaves reached."""

    kind = "forest"
    fields = ("names", "roots", "feature", "threshold", "left", "right", "value")
    tolerance = 1 / UNIT

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""
        return self.total(row) / (UNIT * len(self.roots))

    def score_many(
        self,
        x: Matrix,
        estimator: Estimator = None,  # noqa: ARG002 - one signature for all scorers
    ) -> Matrix:
        """Give p(up) of each row of (n, k): the bits of `score`."""
        p: Matrix = self.totals(x) / (UNIT * len(self.roots))
        return p

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give (base, unit, contribution per column) of one row; their sum is the score."""
        whole = UNIT * len(self.roots)
        base = sum(self.value[root] for root in self.roots) / whole
        return base, PROBABILITY, tuple(amount / whole for amount in self.moved(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingScorer(Trees):
    """Boosted trees: log-odds are the baseline and the leaves reached, in units of 2^-40."""

    baseline: int

    kind = "boosting"
    fields = (*ForestScorer.fields, "baseline", "single")

    @property
    def tolerance(self) -> float:
        """Give the largest difference from the estimator that rounding explains."""
        # each leaf is off by half a unit at most, and the sigmoid flattens by 4
        return ROUNDING + (len(self.roots) + 1) / (8 * ODDS_UNIT)

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""
        return sigmoid((self.baseline + self.total(row)) / ODDS_UNIT)

    def score_many(
        self,
        x: Matrix,
        estimator: Estimator = None,  # noqa: ARG002 - one signature for all scorers
    ) -> Matrix:
        """Give p(up) of each row of (n, k): the bits of `score`."""
        return sigmoids((self.baseline + self.totals(x)) / ODDS_UNIT)

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give (base, unit, contribution per column) of one row; their sum is the log-odds."""
        base = self.baseline + sum(self.value[root] for root in self.roots)
        parts = tuple(amount / ODDS_UNIT for amount in self.moved(row))
        return base / ODDS_UNIT, LOG_ODDS, parts
