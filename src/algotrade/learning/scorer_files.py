"""Reading a scorer's JSON: strictly, so that a walk through it ends and no number is odd."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from algotrade.errors import ModelError
from algotrade.learning.card import parse_object
from algotrade.learning.scorers import (
    FOREST_FIELDS,
    LEAF,
    LINEAR_FIELDS,
    UNIT,
    ForestScorer,
    LinearScorer,
)

if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from algotrade.learning.scorers import Scorer

    Table: TypeAlias = dict[str, Any]


def read_scorer(data: bytes) -> Scorer:
    """Read a scorer strictly; raises ModelError on anything that is not exactly one."""
    table = parse_object(data, "scorer")
    kind = table.pop("kind", None)
    if kind == "forest" and set(table) == set(FOREST_FIELDS):
        return _read_forest(table)
    if kind == "linear" and set(table) == set(LINEAR_FIELDS):
        return _read_linear(table)
    raise ModelError("scorer: unknown kind or fields", hint="train again: algotrade train")


def _read_forest(table: Table) -> ForestScorer:
    names = _strings(table["names"])
    whole = {
        name: _list(table, name, int) for name in ("roots", "feature", "left", "right", "value")
    }
    forest = ForestScorer(names=names, threshold=_list(table, "threshold", float), **whole)
    nodes = len(forest.feature)
    if {len(getattr(forest, name)) for name in FOREST_FIELDS[2:]} != {nodes}:
        raise ModelError("scorer: columns of different lengths")
    if not all(LEAF <= column < len(names) for column in forest.feature):
        raise ModelError("scorer: a node asks for a feature that is not there")
    if not all(0 <= value <= UNIT for value in forest.value):
        raise ModelError("scorer: a value is not a probability")
    _check_trees(forest, nodes)
    return forest


def _check_trees(forest: ForestScorer, nodes: int) -> None:
    """Refuse node tables that are not trees: a walk must end, inside its own tree, at a leaf."""
    roots = (*forest.roots, nodes)
    if roots[0] != 0 or any(later <= root for root, later in pairwise(roots)):
        raise ModelError("scorer: its trees are out of order")
    children: list[int] = []
    for root, stop in pairwise(roots):
        for node in range(root, stop):
            sides = (forest.left[node], forest.right[node])
            if forest.feature[node] == LEAF:
                if sides != (LEAF, LEAF):
                    raise ModelError("scorer: a leaf has children")
            elif not all(node < child < stop for child in sides):
                raise ModelError("scorer: a node leads backwards or out of its tree")
            else:
                children += sides
    if len(set(children)) != len(children) or len(children) != nodes - len(forest.roots):
        raise ModelError("scorer: a node is not reached exactly once")


def _read_linear(table: Table) -> LinearScorer:
    names = _strings(table["names"])
    columns = {name: _list(table, name, float) for name in ("mean", "scale", "weight")}
    (intercept,) = _list({"intercept": [table["intercept"]]}, "intercept", float)
    if any(len(values) != len(names) for values in columns.values()):
        raise ModelError("scorer: columns of different lengths")
    if not all(value > 0 for value in columns["scale"]):
        raise ModelError("scorer: a scale is not positive")
    return LinearScorer(names=names, intercept=intercept, **columns)


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
        raise ModelError(f"scorer: {name} is not a list of plain {kind.__name__} numbers")
    if kind is float and not all(map(math.isfinite, values)):
        raise ModelError(f"scorer: {name} has a number that is not finite")
    return tuple(values)
