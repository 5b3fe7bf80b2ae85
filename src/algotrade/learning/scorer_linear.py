"""Scorers that standardise: logistic regression, and any other scorer behind a scaler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.learning.scorer_base import (
    BLOCK,
    LOG_ODDS,
    ROUNDING,
    Plain,
    check_row,
    check_rows,
    sigmoid,
    sigmoids,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.learning.scorer_base import Estimator, Explanation, Matrix, Scorer, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScorer(Plain):
    """Logistic regression on standardised columns.

    log-odds = intercept + sum of weight * (x - mean) / scale, added in the order of the columns.
    """

    names: tuple[str, ...]
    intercept: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]

    kind = "linear"
    fields = ("names", "intercept", "mean", "scale", "weight")
    tolerance = ROUNDING

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""
        odds = self.intercept
        for part in self._parts(row):
            odds += part
        return sigmoid(odds)

    def score_many(
        self,
        x: Matrix,
        estimator: Estimator = None,  # noqa: ARG002 - one signature for all scorers
    ) -> Matrix:
        """Give p(up) of each row of (n, k): the bits of `score`."""
        import numpy as np

        check_rows(self.names, x)
        odds = np.full(len(x), self.intercept)
        mean, scale, weight = (
            np.array(values)[:, None] for values in (self.mean, self.scale, self.weight)
        )
        room = np.empty((len(self.names), BLOCK))
        for start in range(0, len(x), BLOCK):
            sums = odds[start : start + BLOCK]
            parts = room[:, : len(sums)]  # a column after the other
            np.subtract(x[start : start + BLOCK].T, mean, out=parts)
            parts /= scale
            parts *= weight
            for part in parts:
                sums += part
        return sigmoids(odds)

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give (base, unit, contribution per column) of one row; their sum is the log-odds."""
        return self.intercept, LOG_ODDS, tuple(self._parts(row))

    def _parts(self, row: Sequence[float]) -> list[float]:
        check_row(self.names, row)
        columns = zip(row, self.mean, self.scale, self.weight, strict=True)
        return [weight * ((value - mean) / scale) for value, mean, scale, weight in columns]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledScorer(Plain):
    """Another scorer on (x - mean) / scale."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    inner: Scorer

    kind = "scaled"
    fields = ("mean", "scale")

    @property
    def names(self) -> tuple[str, ...]:
        """Give the columns of a row, in order."""
        return self.inner.names

    @property
    def tolerance(self) -> float:
        """Give the largest difference from the estimator that rounding explains."""
        return self.inner.tolerance

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""
        return self.inner.score(self._scaled(row))

    def score_many(
        self,
        x: Matrix,
        estimator: Estimator = None,  # noqa: ARG002 - one signature for all scorers
    ) -> Matrix:
        """Give p(up) of each row of (n, k): the bits of `score`."""
        import numpy as np

        check_rows(self.names, x)
        return self.inner.score_many((x - np.array(self.mean)) / np.array(self.scale))

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give what the scorer behind the scaler explains."""
        return self.inner.explain(self._scaled(row))

    def table(self) -> Table:
        """Give the arrays by name, as its file holds them."""
        return Plain.table(self) | {"inner": self.inner.table()}

    def _scaled(self, row: Sequence[float]) -> list[float]:
        check_row(self.names, row)
        columns = zip(row, self.mean, self.scale, strict=True)
        return [(value - mean) / scale for value, mean, scale in columns]
