"""From a fitted scikit-learn estimator to a scorer, and the proof that both say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import ModelError
from algotrade.learning.scorer_estimator import estimator_scorer
from algotrade.learning.scorer_linear import LinearScorer, ScaledScorer
from algotrade.learning.scorer_trees import LEAF, ODDS_UNIT, UNIT, BoostingScorer, ForestScorer
from algotrade.learning.scorer_votes import BlendScorer
from algotrade.learning.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    from algotrade.learning.scorer_base import Estimator, Matrix, Scorer

    Names: TypeAlias = tuple[str, ...]

LARGEST = 1.7976931348623157e308  # stands for an infinite threshold: no feature is over it
COLUMNS = ("roots", "feature", "threshold", "left", "right", "value")


def build_scorer(estimator: Estimator, names: Names, x: Matrix) -> Scorer:
    """Take the arrays out of a fitted estimator, or wrap it where it has none we know.

    x: its training rows. Forests, boosting, logistic regression, one of them behind a scaler and
    soft votes become arrays; a subclass does not, as it may predict in its own way.
    """
    return array_scorer(estimator, names) or estimator_scorer(estimator, names, x)


def array_scorer(estimator: Estimator, names: Names) -> Scorer | None:
    """Give the estimator as plain arrays; None for one that cannot be given so."""
    kind = type(estimator)
    builder = _BUILDERS.get(kind.__name__)
    if builder is None or not kind.__module__.startswith("sklearn."):
        return None
    return builder(estimator, names)


def check_scorer(scorer: Scorer, estimator: Estimator, x: Matrix) -> None:
    """Refuse a scorer that differs from its estimator on these rows; raises ModelError.

    A forest may differ by the rounding of its leaves to 1e-9, the others by about 1e-11.
    """
    import numpy as np

    own = scorer.score_many(x)
    with one_thread():
        theirs = estimator.predict_proba(x)[:, 1]
    difference = float(np.abs(own - theirs).max())
    if not difference <= scorer.tolerance:
        raise ModelError(
            f"the scorer differs from its estimator by {difference:.3g},"
            f" at most {scorer.tolerance:.0e}"
        )


def _forest(estimator: Estimator, names: Names) -> ForestScorer:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for fitted in getattr(estimator, "estimators_", [estimator]):
        tree = fitted.tree_
        values = [round(UNIT * rate) for rate in tree.value[:, 0, 1].tolist()]
        _lay_tree(columns, tree, values)
    return ForestScorer(names=names, **_tuples(columns))


def _gradient_boosting(estimator: Estimator, names: Names) -> BoostingScorer:
    """Take boosted regression trees, which compare in single precision."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for (fitted,) in estimator.estimators_.tolist():
        tree = fitted.tree_
        leaves = (estimator.learning_rate * tree.value[:, 0, 0]).tolist()
        counts = tree.n_node_samples.tolist()
        left, right = tree.children_left.tolist(), tree.children_right.tolist()
        _lay_tree(columns, tree, _means(leaves, counts, left, right))
    start = estimator._raw_predict_init([[0.0] * len(names)])[0, 0]  # noqa: SLF001 - not told elsewhere
    return BoostingScorer(names=names, baseline=_odds(start), single=True, **_tuples(columns))


def _hist_boosting(estimator: Estimator, names: Names) -> BoostingScorer | None:
    """Take boosted histogram trees, which compare in double precision."""
    # scikit-learn keeps these private; `check_scorer` proves what we made of them
    rounds, start = estimator._predictors, estimator._baseline_prediction  # noqa: SLF001
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for (predictor,) in rounds:
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            return None
        leaf = nodes["is_leaf"].astype(bool)
        left, right = (
            [LEAF if e else int(c) for e, c in zip(leaf, nodes[side], strict=True)]
            for side in ("left", "right")
        )
        values = _means(nodes["value"].tolist(), nodes["count"].tolist(), left, right)
        thresholds = [min(value, LARGEST) for value in nodes["num_threshold"].tolist()]
        _lay(columns, nodes["feature_idx"].tolist(), thresholds, left, right, values)
    baseline = _odds(float(start.ravel()[0]))
    return BoostingScorer(names=names, baseline=baseline, single=False, **_tuples(columns))


def _logistic(estimator: Estimator, names: Names) -> LinearScorer | None:
    return _linear(estimator, names, (0.0,) * len(names), (1.0,) * len(names))


def _linear(
    estimator: Estimator, names: Names, mean: tuple[float, ...], scale: tuple[float, ...]
) -> LinearScorer:
    return LinearScorer(
        names=names,
        intercept=float(estimator.intercept_[0]),
        mean=mean,
        scale=scale,
        weight=tuple(estimator.coef_[0].tolist()),
    )


def _pipeline(estimator: Estimator, names: Names) -> Scorer | None:
    """Put a scaler before one of the others."""
    steps = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
    if len(steps) == 1:
        return array_scorer(steps[0], names)
    if len(steps) != 2 or type(steps[0]).__name__ != "StandardScaler":
        return None
    scaler, model = steps
    mean = tuple(scaler.mean_.tolist()) if scaler.with_mean else (0.0,) * len(names)
    scale = tuple(scaler.scale_.tolist()) if scaler.with_std else (1.0,) * len(names)
    inner = array_scorer(model, names)
    if isinstance(inner, LinearScorer):
        return _linear(model, names, mean, scale)
    return inner and ScaledScorer(mean=mean, scale=scale, inner=inner)


def _vote(estimator: Estimator, names: Names) -> BlendScorer | None:
    if estimator.voting != "soft":
        return None
    members = [array_scorer(member, names) for member in estimator.estimators_]
    found = tuple(member for member in members if member is not None)
    if len(found) < len(members):
        return None
    weights = estimator.weights if estimator.weights is not None else [1.0] * len(found)
    return BlendScorer(members=found, weights=tuple(map(float, weights)))


def _lay_tree(columns: dict[str, list[Any]], tree: Estimator, values: list[int]) -> None:
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    _lay(columns, tree.feature.tolist(), tree.threshold.tolist(), left, right, values)


def _lay(
    columns: dict[str, list[Any]],
    feature: list[int],
    threshold: list[float],
    left: list[int],
    right: list[int],
    values: list[int],
) -> None:
    """Lay one tree behind those that are there; a leaf has no children, asks for nothing."""
    root = len(columns["feature"])
    leaf = [child < 0 for child in left]
    columns["roots"].append(root)
    columns["feature"] += _unless(leaf, feature, LEAF)
    columns["threshold"] += _unless(leaf, threshold, 0.0)
    columns["left"] += _unless(leaf, [root + child for child in left], LEAF)
    columns["right"] += _unless(leaf, [root + child for child in right], LEAF)
    columns["value"] += values


def _unless(leaf: list[bool], values: Iterable[Any], instead: float) -> list[Any]:
    return [instead if end else value for end, value in zip(leaf, values, strict=True)]


def _means(leaves: list[float], counts: list[int], left: list[int], right: list[int]) -> list[int]:
    """Give every node its whole number: a leaf's own, else the mean of the rows below."""
    values = [0] * len(leaves)
    for node in reversed(range(len(leaves))):  # a child comes after its parent
        if left[node] < 0:
            values[node] = _odds(leaves[node])
        else:
            weighed = [(counts[side[node]], values[side[node]]) for side in (left, right)]
            whole = sum(count for count, _ in weighed)
            values[node] = sum(count * value for count, value in weighed) // max(1, whole)
    return values


def _odds(value: float) -> int:
    return round(ODDS_UNIT * float(value))


def _tuples(columns: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: tuple(values) for name, values in columns.items()}


_BUILDERS: dict[str, Callable[[Estimator, Names], Scorer | None]] = {
    **dict.fromkeys(
        (
            *("RandomForestClassifier", "ExtraTreesClassifier"),
            *("DecisionTreeClassifier", "ExtraTreeClassifier"),
        ),
        _forest,
    ),
    "HistGradientBoostingClassifier": _hist_boosting,
    "GradientBoostingClassifier": _gradient_boosting,
    **dict.fromkeys(("LogisticRegression", "LogisticRegressionCV"), _logistic),
    "Pipeline": _pipeline,
    "VotingClassifier": _vote,
}
