"""Search: points, the choice that never sees its test block, overfitting."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest

from algotrade.errors import DataError, InputError
from algotrade.learning import training
from algotrade.learning.dataset import take_rows
from algotrade.learning.overfitting import overfitting_probability
from algotrade.learning.search import GRIDS, grid_points, search
from algotrade.learning.splits import judged_folds
from algotrade.learning.training import Plan, train
from learning_markets import market
from oracle_rows import bells, point_gains

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from algotrade.learning.dataset import Dataset
    from algotrade.learning.search import Searched

LOGIT = Plan(model="logit")
POINTS = grid_points(LOGIT, 5_000)


def few() -> Dataset:
    """Rows of a small market with a hidden edge."""
    return market(edge=0.008, count=700, symbols="AB")


def found(dataset: Dataset, plan: Plan = LOGIT) -> Searched:
    return search(dataset, plan, POINTS, seed=1)


def loss(y: NDArray[np.int8], p: NDArray[np.float64]) -> float:
    return float(-np.log(np.where(y == 1, p, 1 - p)).mean())


# ---- the grid


def test_every_kind_has_a_small_grid_that_begins_with_its_default() -> None:
    for kind in GRIDS:
        points = grid_points(Plan(model=kind), 5_000)
        assert 2 <= len(points) <= 12
        assert len({tuple(point.items()) for point in points}) == len(points)
    assert grid_points(LOGIT, 5_000)[0] == {"C": 0.05}
    assert grid_points(Plan(model="rf"), 5_000)[0] == {"max_depth": 6, "max_samples": 0.5}


def test_a_grid_of_your_own_takes_the_place_of_the_kinds() -> None:
    points = grid_points(LOGIT, 5_000, {"C": (1.0, 2.0), "max_iter": (100, 200)})
    assert points == (
        {"C": 1.0, "max_iter": 100}, {"C": 1.0, "max_iter": 200},
        {"C": 2.0, "max_iter": 100}, {"C": 2.0, "max_iter": 200},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "grid", "told"),
    [
        (LOGIT, {"C": tuple(float(n) for n in range(1, 14))}, "13 points"),
        (LOGIT, {"depth": (1,)}, "depth"),
        (replace(LOGIT, params={"C": 1.0}), None, "fixed and searched"),
        (Plan(model="sklearn.ensemble:ExtraTreesClassifier"), None, "no grid"),
    ],
)
def test_a_grid_that_cannot_be_searched_is_refused(
    plan: Plan, grid: dict[str, tuple[float, ...]] | None, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        grid_points(plan, 5_000, grid)


# ---- the choice


def test_each_block_is_predicted_by_the_point_that_was_best_before_it() -> None:
    dataset = few()
    result = found(dataset)
    folds = judged_folds(dataset.ts, dataset.label_end)
    assert len(result.by_block) == len(folds) >= 3
    for place, fold in enumerate(folds):
        used = replace(LOGIT, params=dict(POINTS[result.by_block[place]]))
        alone = training.test_fold(dataset, fold, "logit", used, 1)
        said = result.walked.outcome.p[result.walked.outcome.fold == place]
        assert said.tobytes() == alone.p.tobytes()
    # the last block: scored again by hand over the test blocks before it and the early ones
    start = dataset.ts[folds[-1].test].min()
    assert all(
        dataset.label_end[result.outcomes[0].rows[result.outcomes[0].fold == place]].min() < start
        for place in range(len(folds) - 1)
    )


def test_a_block_and_what_follows_it_move_no_choice_before() -> None:
    dataset = few()
    folds = judged_folds(dataset.ts, dataset.label_end)
    whole = found(dataset)
    for place, fold in enumerate(folds):
        start = dataset.ts[fold.test].min()
        y = dataset.y.copy()
        unknown = dataset.label_end >= start  # ends in the block or after it
        y[unknown] = 1 - y[unknown]
        other = found(replace(dataset, y=y))
        assert other.by_block[: place + 1] == whole.by_block[: place + 1]
        if place == len(folds) // 2:
            before = whole.walked.outcome.fold <= place  # type: ignore[operator] # given above
            assert (other.walked.outcome.p[before] == whole.walked.outcome.p[before]).all()


def test_the_choice_prefers_what_predicts() -> None:
    """A point that shrinks everything to the base rate loses where there is an edge to learn."""
    dataset = market(edge=0.012, count=900, symbols="AB")
    result = search(dataset, LOGIT, ({"C": 1e-9}, {"C": 0.05}), seed=1)
    assert result.chosen == 1
    assert set(result.by_block) == {1}
    assert result.losses[1] < result.losses[0]
    rows = result.outcomes[1].rows
    assert loss(dataset.y[rows], result.outcomes[1].p) < loss(dataset.y[rows], result.outcomes[0].p)


def test_equal_points_leave_the_default() -> None:
    result = search(few(), LOGIT, ({"max_iter": 1000}, {"max_iter": 2000}), seed=1)
    assert (result.chosen, set(result.by_block)) == (0, {0})


def test_training_takes_the_walk_of_a_search() -> None:
    dataset = few()
    result = found(dataset)
    plan = replace(LOGIT, params=dict(result.points[result.chosen]))
    model = train(dataset, plan, seed=1, now=5, walked=result.walked)
    assert model.card.params["C"] == result.points[result.chosen]["C"]
    assert model.card.metrics["n"] == len(result.walked.outcome.rows)
    assert len(model.card.folds) == len(result.by_block)
    plain = train(dataset, plan, seed=1, now=5)
    assert plain.scorer == model.scorer


def test_too_few_bars_are_told() -> None:
    dataset = few()
    with pytest.raises(DataError, match="too few bars to search"):
        found(take_rows(dataset, np.arange(120)))


# ---- overfitting


def by_definition(gains: NDArray[np.float64]) -> float:
    """Bailey and others, 2017, section 2.2, one split after the other."""
    blocks = np.array_split(np.arange(len(gains)), 16)
    below = []
    for chosen in combinations(range(16), 8):
        inside = np.concatenate([blocks[n] for n in chosen])
        outside = np.concatenate([blocks[n] for n in range(16) if n not in chosen])
        best = np.argmax(gains[inside].mean(axis=0) / gains[inside].std(axis=0, ddof=1))
        ratios = gains[outside].mean(axis=0) / gains[outside].std(axis=0, ddof=1)
        rank = (ratios < ratios[best]).sum() + 1
        below.append(rank / (gains.shape[1] + 1) < 0.5)
    return float(np.mean(below))


def test_overfitting_is_that_of_the_definition_also_where_16_does_not_divide() -> None:
    for count, points in ((160, 6), (171, 5)):
        gains = 0.01 * bells(count * points, count).reshape(count, points)
        assert overfitting_probability(gains) == by_definition(gains)


# purgedcv 0.1.11 and ffn 1.4.1, which agree: tools/learning_oracles.py
ORACLE = {"noise": 0.7086247086247086, "skill": 0.09230769230769231}


def test_overfitting_is_that_of_other_libraries() -> None:
    for name, gains in point_gains().items():
        assert overfitting_probability(gains) == pytest.approx(ORACLE[name], abs=1e-9)


def test_overfitting_needs_periods_and_points() -> None:
    assert overfitting_probability(np.ones((31, 3))) is None
    assert overfitting_probability(np.ones((100, 1))) is None
    assert overfitting_probability(np.zeros((100, 4))) == 0.0  # all equal: nothing below anything
