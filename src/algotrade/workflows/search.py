"""Search: choose among a small grid, count every point as a trial, and tell how likely luck is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade import measures
from algotrade.errors import InputError, shown
from algotrade.record import NamedTuple
from algotrade.values import read_params
from algotrade.workflows.model_money import said_of, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.domain.costs import CostModel
    from algotrade.learning.card import Metrics
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.evaluation import OutOfSample, Report
    from algotrade.learning.gate import Trial
    from algotrade.learning.pool import Pool
    from algotrade.learning.search import Grid, Searched
    from algotrade.learning.training import Plan
    from algotrade.trading.feed import History


class Search(NamedTuple):
    """What was asked: your own grid, or None for the kind's."""

    grid: Grid | None = None


class Found(NamedTuple):
    """A search that is done: the plan it chose, how, its points as trials, and figures to keep.

    points: for the report, by their parameters in words. pbo: the probability of overfitting.
    """

    plan: Plan
    searched: Searched
    trials: tuple[Trial, ...]
    points: dict[str, Metrics]
    pbo: float | None


def read_grid(texts: Sequence[str] | None) -> Grid | None:
    """Read `name=v1,v2` given several times; None where nothing is given."""
    found: dict[str, tuple[float | int | str | None, ...]] = {}
    for text in texts or ():
        name, equals, values = text.partition("=")
        if not name or not equals or not all(values.split(",")) or " " in text:
            raise InputError(f"grid {shown(text)} cannot be read", hint="--grid max_depth=4,6,8")
        if name in found:
            raise InputError(f"grid {shown(name)} is given twice", hint="one --grid for each name")
        points = [read_params(f"{name}={value}")[name] for value in values.split(",")]
        twice = next(
            (
                text
                for text, one in zip(values.split(","), points, strict=True)
                if points.count(one) > 1
            ),
            None,
        )
        if twice is not None:
            raise InputError(
                f"grid {shown(name)} has the value {shown(twice)} twice",
                hint="each point once: every one is a trial",
            )
        found[name] = tuple(points)
    return found or None


def run_search(
    dataset: Dataset,
    plan: Plan,
    histories: Sequence[History],
    asked: Search,
    *,
    seed: int,
    costs: CostModel,
    pool: Pool,
    told: Callable[[int, int], None],
) -> Found:
    """Fit every point before every block, choose, and walk each point through the loop that trades.

    told(done, total) after each fit. Raises as `learning.search`.
    """
    import numpy as np

    from algotrade.learning.models import choose_model
    from algotrade.learning.overfitting import overfitting_probability
    from algotrade.learning.search import grid_points, plan_at, search

    points = grid_points(plan, len(dataset), asked.grid)
    searched = search(dataset, plan, points, seed=seed, pool=pool, told=told)
    shared = _Money(dataset, histories, costs, plan.threshold)
    gains = list(pool(_gains, shared, searched.outcomes))
    ratios = [measures.sharpe(gain, 1) for gain in gains]
    kind = choose_model(plan.model, len(dataset))
    plans = [plan_at(plan, kind, point) for point in points]
    return Found(
        plan=plans[searched.chosen],
        searched=searched,
        trials=tuple(
            _trial(dataset, one, seed, searched.outcomes[0], ratio)
            for one, ratio in zip(plans, ratios, strict=True)
        ),
        points=_table(searched, ratios),
        pbo=overfitting_probability(np.array(gains).T),
    )


def with_search(report: Report, found: Found | None) -> Report:
    """Add what a search found: its points, the one that each block used, how likely luck is."""
    if found is None:
        return report
    figures: Metrics = {"search_points": len(found.points), "pbo": found.pbo}
    folds = {
        name: {**row, "point": found.searched.by_block[int(name) - 1] + 1}
        for name, row in report.tables.get("folds", {}).items()
    }
    return replace(
        report,
        metrics=report.metrics | figures,
        tables={**report.tables, "folds": folds, "search": found.points},
    )


class _Money(NamedTuple):
    dataset: Dataset
    histories: Sequence[History]
    costs: CostModel
    threshold: float


def _gains(shared: _Money, outcome: OutOfSample) -> list[float]:
    """Give what a point earned over holding, after costs, a period."""
    said = said_of(shared.dataset, outcome, shared.histories)
    walked = walk(said, shared.costs, threshold=shared.threshold)
    return measures.excess_returns(walked.net, walked.hold, 1.0)


def _trial(
    dataset: Dataset, plan: Plan, seed: int, outcome: OutOfSample, ratio: float | None
) -> Trial:
    from algotrade.learning.gate import Trial
    from algotrade.learning.training import name_plan

    when = dataset.ts[outcome.rows]
    return Trial(name_plan(dataset, plan, seed), int(when.min()), int(when.max()), ratio)


def _table(searched: Searched, ratios: Sequence[float | None]) -> dict[str, Metrics]:
    return {
        " ".join(f"{name}={value}" for name, value in point.items()): {
            "point": place + 1,
            "log_loss": searched.losses[place],
            "excess_sharpe": ratios[place],
            "blocks_chosen": searched.by_block.count(place),
            "kept": int(place == searched.chosen),
        }
        for place, point in enumerate(searched.points)
    }
