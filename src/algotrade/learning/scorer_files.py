"""Reading a scorer's JSON: strictly, so that a walk through it ends and no number is odd.

Only the kind that is read is imported: `predict` and `trade` start here.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from algotrade.errors import ModelError
from algotrade.learning.card import parse_object

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from algotrade.learning.scorer_base import Scorer, Table
    from algotrade.learning.scorer_estimator import EstimatorScorer
    from algotrade.learning.scorer_linear import LinearScorer, ScaledScorer
    from algotrade.learning.scorer_trees import BoostingScorer, ForestScorer, Trees
    from algotrade.learning.scorer_votes import BlendScorer

    Reader: TypeAlias = Callable[[Table], Scorer]

DEEPEST = 8  # votes of votes of scaled votes: no model needs more


def read_scorer(data: bytes) -> Scorer:
    """Read a scorer strictly; raises ModelError on anything that is not exactly one.

    An EstimatorScorer comes without its estimator, which the registry adds.
    """
    return _read(parse_object(data, "scorer"), 0)


def _read(table: object, depth: int) -> Scorer:
    if not isinstance(table, dict) or depth > DEEPEST:
        raise ModelError("scorer: not an object, or one too deep inside another")
    rest = {name: value for name, value in table.items() if name != "kind"}
    kind = table.get("kind")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is not None:
        return reader(rest)
    if kind == "scaled":
        return _read_scaled(rest, depth)
    if kind == "blend":
        return _read_blend(rest, depth)
    raise ModelError("scorer: unknown kind", hint="train again: algotrade train")


def _exactly(table: Table, names: tuple[str, ...]) -> None:
    if set(table) != set(names):
        raise ModelError("scorer: fields are missing or unknown")


def _read_forest(table: Table) -> ForestScorer:
    from algotrade.learning.scorer_trees import UNIT, ForestScorer

    _exactly(table, ForestScorer.fields)
    forest = ForestScorer(**_tree_columns(table))
    if not all(0 <= value <= UNIT for value in forest.value):
        raise ModelError("scorer: a value is not a probability")
    _check_trees(forest)
    return forest


def _read_boosting(table: Table) -> BoostingScorer:
    from algotrade.learning.scorer_trees import BoostingScorer

    _exactly(table, BoostingScorer.fields)
    (baseline,) = _list({"baseline": [table["baseline"]]}, "baseline", int)
    (single,) = _list({"single": [table["single"]]}, "single", bool)
    trees = BoostingScorer(baseline=baseline, single=single, **_tree_columns(table))
    largest = max(map(abs, trees.value), default=0)
    if abs(baseline) + largest * len(trees.roots) > 2**53:
        raise ModelError("scorer: its values do not add up exactly")
    _check_trees(trees)
    return trees


def _tree_columns(table: Table) -> Table:
    whole = ("roots", "feature", "left", "right", "value")
    return {
        "names": _strings(table["names"]),
        "threshold": _list(table, "threshold", float),
        **{name: _list(table, name, int) for name in whole},
    }


def _check_trees(trees: Trees) -> None:
    """Refuse node tables that are not trees: a walk must end, inside its own tree, at a leaf."""
    from algotrade.learning.scorer_trees import LEAF

    nodes = len(trees.feature)
    columns = (trees.threshold, trees.left, trees.right, trees.value)
    if any(len(column) != nodes for column in columns):
        raise ModelError("scorer: columns of different lengths")
    if not all(LEAF <= column < len(trees.names) for column in trees.feature):
        raise ModelError("scorer: a node asks for a feature that is not there")
    roots = (*trees.roots, nodes)
    if roots[0] != 0 or any(later <= root for root, later in pairwise(roots)):
        raise ModelError("scorer: its trees are out of order")
    children: list[int] = []
    for root, stop in pairwise(roots):
        for node in range(root, stop):
            sides = (trees.left[node], trees.right[node])
            if trees.feature[node] == LEAF:
                if sides != (LEAF, LEAF):
                    raise ModelError("scorer: a leaf has children")
            elif not all(node < child < stop for child in sides):
                raise ModelError("scorer: a node leads backwards or out of its tree")
            else:
                children += sides
    if len(set(children)) != len(children) or len(children) != nodes - len(trees.roots):
        raise ModelError("scorer: a node is not reached exactly once")


def _read_linear(table: Table) -> LinearScorer:
    from algotrade.learning.scorer_linear import LinearScorer

    _exactly(table, LinearScorer.fields)
    names = _strings(table["names"])
    (intercept,) = _list({"intercept": [table["intercept"]]}, "intercept", float)
    weight = _list(table, "weight", float)
    if len(weight) != len(names):
        raise ModelError("scorer: columns of different lengths")
    return LinearScorer(
        names=names, intercept=intercept, weight=weight, **_scaling(table, len(names))
    )


def _read_scaled(table: Table, depth: int) -> ScaledScorer:
    from algotrade.learning.scorer_linear import ScaledScorer

    _exactly(table, (*ScaledScorer.fields, "inner"))
    inner = _read(table["inner"], depth + 1)
    _refuse_unbound(inner)
    return ScaledScorer(inner=inner, **_scaling(table, len(inner.names)))


def _scaling(table: Table, width: int) -> Table:
    mean, scale = _list(table, "mean", float), _list(table, "scale", float)
    if not len(mean) == len(scale) == width:
        raise ModelError("scorer: columns of different lengths")
    if not all(value > 0 for value in scale):
        raise ModelError("scorer: a scale is not positive")
    return {"mean": mean, "scale": scale}


def _read_blend(table: Table, depth: int) -> BlendScorer:
    from algotrade.learning.scorer_votes import BlendScorer

    _exactly(table, (*BlendScorer.fields, "members"))
    weights = _list(table, "weights", float)
    if not isinstance(table["members"], list) or not 0 < len(table["members"]) == len(weights):
        raise ModelError("scorer: a vote without voters, or not one weight for each")
    members = tuple(_read(member, depth + 1) for member in table["members"])
    for member in members:
        _refuse_unbound(member)
        if member.names != members[0].names:
            raise ModelError("scorer: voters read different features")
    if min(weights) < 0 or not 0 < sum(weights) < math.inf:
        raise ModelError("scorer: a weight is negative, or all are zero")
    return BlendScorer(members=members, weights=weights)


def _refuse_unbound(scorer: Scorer) -> None:
    if scorer.note is not None:
        raise ModelError("scorer: an estimator cannot stand inside another scorer")


def _read_estimator(table: Table) -> EstimatorScorer:
    from algotrade.learning.scorer_estimator import EstimatorScorer

    _exactly(table, EstimatorScorer.fields)
    names, reference = _strings(table["names"]), _list(table, "reference", float)
    (content,) = _list({"content": [table["content"]]}, "content", str)
    (alone,) = _list({"alone": [table["alone"]]}, "alone", bool)
    if len(reference) != len(names):
        raise ModelError("scorer: columns of different lengths")
    return EstimatorScorer(names=names, content=content, alone=alone, reference=reference)


def _strings(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise ModelError("scorer: names are not texts")
    if not values or len(set(values)) < len(values):
        raise ModelError("scorer: a name is given twice, or none is given")
    return tuple(values)


def _list(table: Table, name: str, kind: type) -> tuple[Any, ...]:
    values = table[name]
    # an exact type: True is not 1, and 1 is not 1.0
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise ModelError(f"scorer: {name} is not a plain {kind.__name__}, or a list of them")
    if kind is float and not all(map(math.isfinite, values)):
        raise ModelError(f"scorer: {name} has a number that is not finite")
    return tuple(values)


_READERS: dict[str, Reader] = {
    "forest": _read_forest,
    "boosting": _read_boosting,
    "linear": _read_linear,
    "estimator": _read_estimator,
}
