"""The soft vote: the weighted mean of what several scorers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.learning.scorer_base import (
    PROBABILITY,
    ROUNDING,
    Plain,
    check_row,
    check_rows,
    sigmoid,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.learning.scorer_base import Estimator, Explanation, Matrix, Scorer, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendScorer(Plain):
    """p(up) = sum of weight * p of each member, in their order, over the sum of the weights."""

    members: tuple[Scorer, ...]
    weights: tuple[float, ...]

    kind = "blend"
    fields = ("weights",)

    @property
    def names(self) -> tuple[str, ...]:
        """Give the columns of a row, in order."""
        return self.members[0].names

    @property
    def tolerance(self) -> float:
        """Give the largest difference from the estimator that rounding explains."""
        return ROUNDING + max(member.tolerance for member in self.members)

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""
        check_row(self.names, row)
        total = 0.0
        for weight, member in zip(self.weights, self.members, strict=True):
            total += weight * member.score(row)
        return min(1.0, total / sum(self.weights))

    def score_many(
        self,
        x: Matrix,
        estimator: Estimator = None,  # noqa: ARG002 - one signature for all scorers
    ) -> Matrix:
        """Give p(up) of each row of (n, k): the bits of `score`."""
        import numpy as np

        check_rows(self.names, x)
        total = np.zeros(len(x))
        for weight, member in zip(self.weights, self.members, strict=True):
            total += weight * member.score_many(x)
        return np.minimum(1.0, total / sum(self.weights))

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give (base, unit, contribution per column) of one row; their sum is the score.

        A member that explains itself in log-odds moves the probability from that of its base to
        its own; each of its columns gets the share of that move that it has in the log-odds.
        """
        whole = sum(self.weights)
        base, parts = 0.0, [0.0] * len(self.names)
        for weight, member in zip(self.weights, self.members, strict=True):
            start, moved = _in_probability(*member.explain(row))
            base += weight / whole * start
            parts = [part + weight / whole * more for part, more in zip(parts, moved, strict=True)]
        return base, PROBABILITY, tuple(parts)

    def table(self) -> Table:
        """Give the arrays by name, as its file holds them."""
        return Plain.table(self) | {"members": [member.table() for member in self.members]}


def _in_probability(
    base: float, unit: str, parts: tuple[float, ...]
) -> tuple[float, tuple[float, ...]]:
    if unit == PROBABILITY:
        return base, parts
    start, moved = sigmoid(base), sum(parts)
    slope = (sigmoid(base + moved) - start) / moved if moved else start * (1 - start)
    return start, tuple(part * slope for part in parts)
