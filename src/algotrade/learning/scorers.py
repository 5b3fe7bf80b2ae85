"""Scorers: models as plain arrays, scored without scikit-learn and without unpickling.

The door to the files `scorer_*.py`. One arithmetic for one row and for a million: leaf values of
trees are whole numbers, so their sum does not depend on the order of the trees; linear models add
in the order of their columns. `scorer_files.read_scorer` reads one and imports only its kind.
"""

from __future__ import annotations

from algotrade.learning.scorer_base import (
    LARGEST_SINGLE,
    Scorer,
    check_row,
    check_rows,
    sigmoid,
    sigmoids,
)
from algotrade.learning.scorer_build import array_scorer, build_scorer, check_scorer
from algotrade.learning.scorer_estimator import EstimatorScorer
from algotrade.learning.scorer_linear import LinearScorer, ScaledScorer
from algotrade.learning.scorer_trees import BoostingScorer, ForestScorer
from algotrade.learning.scorer_votes import BlendScorer

__all__ = [
    "LARGEST_SINGLE",
    "BlendScorer",
    "BoostingScorer",
    "EstimatorScorer",
    "ForestScorer",
    "LinearScorer",
    "ScaledScorer",
    "Scorer",
    "array_scorer",
    "build_scorer",
    "check_row",
    "check_rows",
    "check_scorer",
    "sigmoid",
    "sigmoids",
]
