"""Search: a small grid of parameters, chosen before each test block by what went before it.

Every point is walked forward over the same blocks: three early ones, cut inside the training part
of the first test block, and the test blocks themselves. A test block is predicted by the point of
the least log loss on the blocks before it, labels that end inside it left out; so no test block
takes part in the choice it is judged by. The model that is kept uses the best point of all blocks.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from algotrade.errors import DataError, InputError
from algotrade.learning.evaluation import log_losses
from algotrade.learning.models import choose_model, model_params
from algotrade.learning.pool import alone
from algotrade.learning.splits import Fold, walk_forward
from algotrade.learning.training import test_fold, usable_folds, walked_of
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.card import Params
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.evaluation import OutOfSample
    from algotrade.learning.pool import Pool
    from algotrade.learning.training import Plan, Tested, Walked

    Grid: TypeAlias = Mapping[str, tuple[float | int | str | None, ...]]

MOST_POINTS = 12
EARLY = 3  # blocks before the first test block
GRIDS: dict[str, Grid] = {
    "logit": {"C": (0.05, 0.005, 0.02, 0.2, 1.0)},
    "rf": {"max_depth": (6, 4, 8), "max_samples": (0.5, 0.25)},
    "hgb": {"max_leaf_nodes": (8, 4, 16), "max_iter": (120, 60, 240)},
    "blend": {"logit__C": (0.05, 0.02, 0.2), "hgb__max_iter": (120, 60, 240)},
}


class Searched(NamedTuple):
    """What a search found; points are parameters of the model.

    chosen: the place of the point that is kept. by_block: of the point used in each test block.
    losses: mean log loss of each point over all blocks. outcomes: what each point said in the
    test blocks. walked: the walk forward of the choice, point by point as it was made.
    """

    points: tuple[Params, ...]
    chosen: int
    by_block: tuple[int, ...]
    losses: tuple[float, ...]
    outcomes: tuple[OutOfSample, ...]
    walked: Walked


def grid_points(plan: Plan, rows: int, own: Grid | None = None) -> tuple[Params, ...]:
    """Give the points of your own grid, else of the kind's; the first is the kind's default.

    Raises InputError for more than 12 points, for a parameter that the kind does not have or that
    the plan fixes, and for a kind without a grid.
    """
    kind = choose_model(plan.model, rows)
    grid = own or GRIDS.get(kind)
    if grid is None:
        raise InputError(
            f"there is no grid for the model {kind}", hint="your own: --grid max_depth=4,6,8"
        )
    fixed = [name for name in grid if name in plan.params]
    if fixed:
        raise InputError(
            f"parameter {fixed[0]} is fixed and searched at once",
            hint="--param or --grid, not both",
        )
    count = 1
    for values in grid.values():
        count *= len(values)
    if count > MOST_POINTS:
        raise InputError(
            f"the grid has {count} points, at most {MOST_POINTS}: each is a trial that raises the"
            " bar for all",
            hint="fewer values",
        )
    points = tuple(dict(zip(grid, point, strict=True)) for point in product(*grid.values()))
    for point in points:
        model_params(kind, {**plan.params, **point}, rows)
    return points


def plan_at(plan: Plan, kind: str, point: Params) -> Plan:
    """Give the plan of a point; what the kind does by default is not said, as in a plan by hand."""
    from dataclasses import replace

    usual = {name: values[0] for name, values in GRIDS.get(kind, {}).items()}
    said = {name: value for name, value in point.items() if usual.get(name) != value}
    return replace(plan, params={**plan.params, **said})


def search(
    dataset: Dataset,
    plan: Plan,
    points: Sequence[Params],
    *,
    seed: int,
    pool: Pool = alone,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> Searched:
    """Fit every point before every block and choose; the same bits with any pool.

    told(done, total) after each fit. Raises DataError where the bars are too few for the early
    blocks, and as `training.train`.
    """
    kind = choose_model(plan.model, len(dataset))
    outer = usable_folds(dataset, plan)
    inner = _early_folds(dataset, plan, outer)
    folds = (*inner, *outer)
    # the long ones first, so that no worker is left with one at the end
    tasks = sorted(
        ((point, place) for point in range(len(points)) for place in range(len(folds))),
        key=lambda task: -len(folds[task[1]].train),
    )
    shared = _Work(dataset, folds, kind, plan, tuple(points), seed)
    tested: dict[tuple[int, int], Tested] = {}
    for task, found in zip(tasks, pool(_fit_point, shared, tasks), strict=True):
        tested[task] = found
        told(len(tested), len(tasks))
    return _chosen(dataset, points, folds, len(inner), tested)


class _Work(NamedTuple):
    dataset: Dataset
    folds: tuple[Fold, ...]
    kind: str
    plan: Plan
    points: tuple[Params, ...]
    seed: int


def _fit_point(shared: _Work, task: tuple[int, int]) -> Tested:
    point, place = task
    plan = plan_at(shared.plan, shared.kind, shared.points[point])
    return test_fold(shared.dataset, shared.folds[place], shared.kind, plan, shared.seed)


def _early_folds(dataset: Dataset, plan: Plan, outer: Sequence[Fold]) -> list[Fold]:
    """Cut the blocks that the first choice is made by, inside the first training part."""
    import numpy as np

    found: list[Fold] = []
    if outer:
        rows = outer[0].train
        cut = walk_forward(
            dataset.ts[rows], dataset.label_end[rows], folds=EARLY, window=plan.window
        )
        found = [Fold(rows[fold.train], rows[fold.test]) for fold in cut]
        found = [fold for fold in found if len(np.unique(dataset.y[fold.train])) == 2]
    if not found:
        raise DataError(
            "too few bars to search: no block before the first test block can choose",
            hint="load more bars: algotrade fetch with an earlier start",
        )
    return found


def _chosen(
    dataset: Dataset,
    points: Sequence[Params],
    folds: Sequence[Fold],
    early: int,
    tested: Mapping[tuple[int, int], Tested],
) -> Searched:
    import numpy as np

    rows = [fold.test for fold in folds]
    places = range(len(folds))
    losses = [
        [log_losses(dataset.y[rows[place]], tested[point, place].p) for place in places]
        for point in range(len(points))
    ]
    by_block = []
    for place in places[early:]:
        # a label that ends in the block is not known when its point is chosen
        before = dataset.label_end[np.concatenate(rows[:place])] < dataset.ts[rows[place]].min()
        by_block.append(_least(losses, place, before))
    means = [float(np.concatenate(one).mean()) for one in losses]
    outcomes = [
        walked_of(folds[early:], [tested[point, place] for place in places[early:]]).outcome
        for point in range(len(points))
    ]
    used = [tested[by_block[place - early], place] for place in places[early:]]
    return Searched(
        points=tuple(points),
        chosen=int(np.argmin(means)),
        by_block=tuple(by_block),
        losses=tuple(means),
        outcomes=tuple(outcomes),
        walked=walked_of(folds[early:], used),
    )


def _least(
    losses: Sequence[Sequence[NDArray[np.float64]]], stop: int, known: NDArray[np.bool_]
) -> int:
    """Give the point of the least mean log loss on the known rows of blocks before `stop`."""
    import numpy as np

    means = [float(np.concatenate(one[:stop])[known].mean()) for one in losses]
    return int(np.argmin(means))  # the first of equals
