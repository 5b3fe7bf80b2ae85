"""The report: everything `train` prints of a model's tested rows, in figures a card can keep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade.learning.calibration import calibrate
from algotrade.learning.evaluation import evaluate
from algotrade.learning.information import information
from algotrade.learning.rows import pair_rows, places
from algotrade.learning.significance import (
    DRAWS,
    permutation_test,
    score_intervals,
    scores,
)
from algotrade.learning.stability import by_group, consistency, importance, random_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from algotrade.learning.card import Metrics
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.evaluation import OutOfSample, Report
    from algotrade.learning.information import Coefficient
    from algotrade.learning.rows import Rows
    from algotrade.learning.stability import Part


def full_report(
    dataset: Dataset,
    outcome: OutOfSample,
    rng: np.random.Generator,
    *,
    threshold: float,
    parts: Sequence[Part] = (),
    draws: int = DRAWS,
    trials: int = 1,
) -> Report:
    """Give `evaluate`'s report with intervals, information, calibration, luck and stability.

    parts: what was fitted before each test block, for the importance of features; without them
    that table is left out. trials: plans judged on these dates, which the permutation needs
    enough shifts for. Figures of the money are added by `with_money`. The same generator state
    gives the same report.
    """
    report = evaluate(dataset, outcome, threshold=threshold)
    if not len(outcome.rows):
        return report
    rows = pair_rows(dataset, outcome, threshold=threshold)
    years, folds, symbols = _years(rows), _folds(rows), by_group(rows, rows.symbol, rows.symbols)
    found: Metrics = {
        **_skill(rows, rng, draws),
        **_luck(rows, rng, trials, draws),
        **_information(rows),
        "years_consistent": consistency(years),
        "folds_consistent": consistency(folds),
    }
    calibration, bins = _calibration(rows)
    tables = {"calibration": bins, "years": years, "folds": folds, "symbols": symbols}
    if parts:
        tables["importance"] = importance(dataset, parts, rng)
    return replace(report, metrics=report.metrics | found | calibration, tables=tables)


def with_money(report: Report, money: Metrics) -> Report:
    """Add the figures of `judge_money`."""
    return replace(report, metrics=report.metrics | money)


def _skill(rows: Rows, rng: np.random.Generator, draws: int) -> Metrics:
    found: Metrics = {"mcc": scores(rows)["mcc"]}
    for name, interval in score_intervals(rows, rng, draws=draws).items():
        found[f"{name}_low"] = interval.low if interval else None
        found[f"{name}_high"] = interval.high if interval else None
    return found


def _luck(rows: Rows, rng: np.random.Generator, trials: int, draws: int) -> Metrics:
    # draws of its own: their number grows with the trials, and the other figures must not move
    test = permutation_test(rows, rng.spawn(1)[0], trials=trials)
    entry = random_entry(rows, rng, draws=draws)
    return {
        "permutation_p": test.p if test else None,
        "permutation_counted": test.counted if test else None,
        "permutation_shifts": test.shifts if test else None,
        "permutation_independent": test.independent if test else None,
        "held_return": entry.own if entry else None,
        "random_entry_return": entry.mean if entry else None,
        "random_entry_percentile": entry.percentile if entry else None,
    }


def _information(rows: Rows) -> Metrics:
    found = information(rows)
    figures: Metrics = {
        "ic_across_symbols": int(found.across),
        "ic_dates": found.dates,
        "ic_lags": found.lags,
    }
    return figures | _coefficient("ic", found.ic) | _coefficient("rank_ic", found.rank_ic)


def _coefficient(name: str, found: Coefficient | None) -> Metrics:
    return {
        name: found.mean if found else None,
        f"{name}_ratio": found.ratio if found else None,
        f"{name}_t": found.t if found else None,
    }


def _calibration(rows: Rows) -> tuple[Metrics, dict[str, Metrics]]:
    found = calibrate(rows.y, rows.p)
    figures: Metrics = {
        "ece": found.ece,
        "calibration_slope": found.slope,
        "calibration_intercept": found.intercept,
    }
    bins: dict[str, Metrics] = {
        f"{number:02}": {"n": one.n, "p": one.p, "up_rate": one.up_rate}
        for number, one in enumerate(found.bins, start=1)
    }
    return figures, bins


def _years(rows: Rows) -> dict[str, Metrics]:
    import numpy as np

    return by_group(rows, places(rows.year), [str(year) for year in np.unique(rows.year).tolist()])


def _folds(rows: Rows) -> dict[str, Metrics]:
    return by_group(rows, rows.fold, [str(n + 1) for n in range(int(rows.fold.max()) + 1)])
