"""Scorers: models as plain arrays, scored without scikit-learn and without unpickling.

One arithmetic for one row and for a million. A forest's leaf values are integers, so their sum
does not depend on the order of the trees; a linear model multiplies and adds in the order of its
columns. Standard library only at import.
"""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.errors import DataError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Explanation: TypeAlias = tuple[float, str, tuple[float, ...]]
    Scorer: TypeAlias = "ForestScorer | LinearScorer"

UNIT = 1_000_000_000  # a leaf's probability is an integer count of 1e-9
LEAF = -1
LARGEST_SINGLE = (2 - 2**-23) * 2.0**127
FOREST_FIELDS = ("names", "roots", "feature", "threshold", "left", "right", "value")
LINEAR_FIELDS = ("names", "intercept", "mean", "scale", "weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestScorer:
    """Decision trees laid end to end; tree i starts at node `roots[i]`.

    A node asks x[feature] <= threshold, with x rounded to single precision as scikit-learn does,
    and goes left or right, always to a later node; a leaf has feature -1. `value` is the up-rate
    at every node in units of 1e-9; p(up) is the mean over the leaves reached.
    """

    names: tuple[str, ...]
    roots: tuple[int, ...]
    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[int, ...]

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""
        x = self._single(row)
        feature, threshold, left, right = self.feature, self.threshold, self.left, self.right
        total = 0
        for root in self.roots:
            node = root
            while (column := feature[node]) >= 0:
                node = left[node] if x[column] <= threshold[node] else right[node]
            total += self.value[node]
        return total / (UNIT * len(self.roots))

    def score_many(
        self,
        x: NDArray[np.float64],
        estimator: Any = None,  # noqa: ANN401 - scikit-learn ships no types
    ) -> NDArray[np.float64]:
        """Give p(up) of each row of (n, k): the bits of `score`.

        With the estimator the leaves are found by its `apply`, in C; without, by numpy here.
        """
        import numpy as np

        check_rows(self.names, x)
        leaves = self._walk(x) if estimator is None else estimator.apply(x) + list(self.roots)
        total = np.array(self.value)[leaves].sum(axis=1)
        p: NDArray[np.float64] = np.true_divide(total, UNIT * len(self.roots))
        return p

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give (base, unit, contribution per column) of one row; their sum is the score.

        A column's contribution is what the up-rate changed at the nodes that asked for it on the
        row's paths (Saabas' path decomposition).
        """
        x = self._single(row)
        moved = [0] * len(self.names)
        for root in self.roots:
            node = root
            while (column := self.feature[node]) >= 0:
                side = self.left if x[column] <= self.threshold[node] else self.right
                moved[column] += self.value[side[node]] - self.value[node]
                node = side[node]
        whole = UNIT * len(self.roots)
        base = sum(self.value[root] for root in self.roots) / whole
        return base, "probability", tuple(amount / whole for amount in moved)

    def to_json(self) -> bytes:
        """Give the arrays as JSON bytes; the same scorer always gives the same bytes."""
        return _dump({"kind": "forest"} | {name: getattr(self, name) for name in FOREST_FIELDS})

    def _single(self, row: Sequence[float]) -> array[float]:
        check_row(self.names, row)
        return array("f", row)

    def _walk(self, x: NDArray[np.float64]) -> NDArray[np.intp]:
        import numpy as np

        single = x.astype(np.float32).astype(np.float64)
        feature, threshold = np.array(self.feature), np.array(self.threshold)
        left, right = np.array(self.left), np.array(self.right)
        nodes = np.tile(np.array(self.roots), (len(x), 1))
        rows = np.arange(len(x))[:, None]
        while (inside := feature[nodes] >= 0).any():
            goes_left = single[rows, feature[nodes]] <= threshold[nodes]
            nodes = np.where(inside, np.where(goes_left, left[nodes], right[nodes]), nodes)
        return nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScorer:
    """Logistic regression on standardised columns.

    log-odds = intercept + sum of weight * (x - mean) / scale, added in the order of the columns.
    """

    names: tuple[str, ...]
    intercept: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""
        odds = self.intercept
        for part in self._parts(row):
            odds += part
        return sigmoid(odds)

    def score_many(
        self,
        x: NDArray[np.float64],
        estimator: Any = None,  # noqa: ANN401, ARG002 - one signature for all scorers
    ) -> NDArray[np.float64]:
        """Give p(up) of each row of (n, k): the bits of `score`."""
        import numpy as np

        check_rows(self.names, x)
        odds = np.full(len(x), self.intercept)
        for column, (mean, scale, weight) in enumerate(
            zip(self.mean, self.scale, self.weight, strict=True)
        ):
            odds = odds + weight * ((x[:, column] - mean) / scale)
        return np.array([sigmoid(value) for value in odds.tolist()], dtype=np.float64)

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give (base, unit, contribution per column) of one row; their sum is the log-odds."""
        return self.intercept, "log-odds", tuple(self._parts(row))

    def to_json(self) -> bytes:
        """Give the arrays as JSON bytes; the same scorer always gives the same bytes."""
        return _dump({"kind": "linear"} | {name: getattr(self, name) for name in LINEAR_FIELDS})

    def _parts(self, row: Sequence[float]) -> list[float]:
        check_row(self.names, row)
        columns = zip(row, self.mean, self.scale, self.weight, strict=True)
        return [weight * ((value - mean) / scale) for value, mean, scale, weight in columns]


def sigmoid(odds: float) -> float:
    """Give the probability of log-odds, without overflow, by the C library's exp."""
    if odds >= 0:
        return 1 / (1 + math.exp(-odds))
    power = math.exp(odds)
    return power / (1 + power)


def check_row(names: tuple[str, ...], row: Sequence[float]) -> None:
    """Refuse a row of another length or with a value that single precision cannot hold."""
    if len(row) != len(names):
        raise DataError(f"a row of {len(row)} features, the model reads {len(names)}")
    for name, value in zip(names, row, strict=True):
        if not abs(value) <= LARGEST_SINGLE:  # also true for NaN
            raise DataError(
                f"feature {name} is {value}: no prediction",
                hint="the bars are flat, halted or wrong; look at them before trading",
            )


def check_rows(names: tuple[str, ...], x: NDArray[np.float64]) -> None:
    """Refuse a matrix that `check_row` would refuse in any of its rows."""
    import numpy as np

    bad = np.flatnonzero(~(np.abs(x) <= LARGEST_SINGLE).all(axis=1))
    check_row(names, x[bad[0] if len(bad) else 0].tolist() if len(x) else [0.0] * x.shape[1])


def build_scorer(estimator: Any, names: tuple[str, ...]) -> Scorer:  # noqa: ANN401 - scikit-learn ships no types
    """Take the arrays out of a fitted forest or a pipeline of scaler and logistic regression."""
    if hasattr(estimator, "estimators_"):
        return _build_forest(estimator, names)
    scaler, logistic = (step for _, step in estimator.steps)
    return LinearScorer(
        names=names,
        intercept=float(logistic.intercept_[0]),
        mean=tuple(scaler.mean_.tolist()),
        scale=tuple(scaler.scale_.tolist()),
        weight=tuple(logistic.coef_[0].tolist()),
    )


def check_scorer(scorer: Scorer, estimator: Any, x: NDArray[np.float64]) -> None:  # noqa: ANN401 - scikit-learn ships no types
    """Refuse a scorer that differs from its estimator on these rows; raises ModelError.

    A forest may differ by the rounding of its leaves to 1e-9, a linear model by 1e-12.
    """
    import numpy as np

    allowed = 1 / UNIT if isinstance(scorer, ForestScorer) else 1e-12
    own = scorer.score_many(x)
    difference = float(np.abs(own - estimator.predict_proba(x)[:, 1]).max())
    if not difference <= allowed or not np.array_equal(own, scorer.score_many(x, estimator)):
        raise ModelError(
            f"the scorer differs from its estimator by {difference:.3g}, at most {allowed:.0e}"
        )


def _build_forest(estimator: Any, names: tuple[str, ...]) -> ForestScorer:  # noqa: ANN401 - scikit-learn ships no types
    columns: dict[str, list[Any]] = {name: [] for name in FOREST_FIELDS[1:]}
    for fitted in estimator.estimators_:
        tree, root = fitted.tree_, len(columns["feature"])
        leaf = tree.children_left < 0
        columns["roots"].append(root)
        columns["feature"] += [
            LEAF if end else int(f) for end, f in zip(leaf, tree.feature, strict=True)
        ]
        columns["threshold"] += [
            0.0 if end else float(value) for end, value in zip(leaf, tree.threshold, strict=True)
        ]
        for side, child in (("left", tree.children_left), ("right", tree.children_right)):
            columns[side] += [
                LEAF if end else root + int(c) for end, c in zip(leaf, child, strict=True)
            ]
        columns["value"] += [round(UNIT * float(rate)) for rate in tree.value[:, 0, 1]]
    return ForestScorer(names=names, **{name: tuple(values) for name, values in columns.items()})


def _dump(table: dict[str, Any]) -> bytes:
    return json.dumps(table, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
