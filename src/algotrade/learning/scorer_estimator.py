"""The fallback: a model that has no plain arrays is asked through its hashed, unpickled estimator.

It is slower, needs scikit-learn (and whatever else the estimator imports) in the version that
saved it, and says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from algotrade.errors import ModelError
from algotrade.learning.scorer_base import PROBABILITY, ROUNDING, Plain, check_row, check_rows
from algotrade.learning.threads import one_thread_again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.learning.scorer_base import Estimator, Explanation, Matrix

PROBED = 256  # rows asked one by one and together, spread over the training rows
NOTE = (
    "this model has no plain arrays: its pickled estimator is asked, which is slower and needs"
    " the libraries it was trained with"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorScorer(Plain):
    """What `predict_proba` says.

    content: SHA-256 of its probabilities on the training rows, so that the model's id depends on
    what was learnt. alone: rows are asked one by one, because this estimator answers a row
    with other bits when it is asked in company. reference: the median training row.
    """

    names: tuple[str, ...]
    content: str
    alone: bool
    reference: tuple[float, ...]
    estimator: Estimator = field(default=None, compare=False, repr=False)

    kind = "estimator"
    fields = ("names", "content", "alone", "reference")
    tolerance = ROUNDING

    @property
    def note(self) -> str | None:
        """Say that this is no plain array."""
        return NOTE

    def asking(self, estimator: Estimator) -> EstimatorScorer:
        """Give the scorer with the estimator that it is to ask."""
        return replace(self, estimator=estimator)

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""
        import numpy as np

        check_row(self.names, row)
        return float(_ask(self.estimator, np.array([row], np.float64))[0])

    def score_many(
        self,
        x: Matrix,
        estimator: Estimator = None,  # noqa: ARG002 - one signature for all scorers
    ) -> Matrix:
        """Give p(up) of each row of (n, k): the bits of `score`, as far as was found out."""
        import numpy as np

        check_rows(self.names, x)
        if not self.alone and len(x):
            return _ask(self.estimator, x)
        return np.array([_ask(self.estimator, row[None, :])[0] for row in x], np.float64)

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give (base, unit, contribution per column) of one row; their sum is the score.

        Base is p of the median training row; then its columns are replaced by the row's, one
        after the other, and each gets what the probability moved. Another order of the columns
        would give other parts of the same sum.
        """
        import numpy as np

        check_row(self.names, row)
        steps = np.array([self.reference] * (len(row) + 1), np.float64)
        for column, value in enumerate(row):
            steps[column + 1 :, column] = value
        p = self.score_many(steps).tolist()
        parts = tuple(after - before for before, after in pairwise(p))
        return p[0], PROBABILITY, parts


def estimator_scorer(estimator: Estimator, names: tuple[str, ...], x: Matrix) -> EstimatorScorer:
    """Wrap a fitted estimator; x: its training rows. Raises ModelError where it gives no p(up)."""
    import numpy as np

    probed = np.ascontiguousarray(x[:: max(1, len(x) // PROBED)][:PROBED])
    together = _ask(estimator, probed)
    each = np.concatenate([_ask(estimator, row[None, :]) for row in probed])
    return EstimatorScorer(
        names=names,
        content=hashlib.sha256(_ask(estimator, x).tobytes()).hexdigest(),
        alone=together.tobytes() != each.tobytes(),
        reference=tuple(np.median(x, axis=0).tolist()),
        estimator=estimator,
    )


def _ask(estimator: Estimator, x: Matrix) -> Matrix:
    import numpy as np

    if estimator is None:
        raise ModelError("this scorer was read without its estimator: load it by its card")
    with one_thread_again():
        p = np.asarray(estimator.predict_proba(x))
    if p.shape != (len(x), 2) or not ((p >= 0) & (p <= 1)).all():
        raise ModelError(
            f"{type(estimator).__name__} gives no probabilities of two classes",
            hint="use a classifier with predict_proba, or --model rf",
        )
    return np.ascontiguousarray(p[:, 1], np.float64)
