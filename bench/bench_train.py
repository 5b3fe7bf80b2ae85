"""Training with five folds against the scikit-learn fits it contains, within one run.

    python bench/bench_train.py [ROUNDS] [--symbols N] [--bars N] [--kinds rf,logit]

500 symbols x 2,500 bars, the default features and the kinds' own parameters. Counted are all of
`train` but the audit and the reading of bars: features and labels, folds cut and checked, five fits
and their predictions, the full report with its money, the fit on every row, its scorer proven equal
on each row, the card, the saved files. The clock of the fits runs inside the six calls of the
estimator's own `fit`, so both are of one run. Seconds of the processor, on one thread. The budget
is for rf, the default; other kinds are told beside it, as the report costs more than their fits do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bench_features import panel, peak_mb  # type: ignore[import-not-found, unused-ignore] # beside

from algotrade.learning import training
from algotrade.learning.dataset import build_dataset
from algotrade.learning.registry import save_model
from algotrade.trading.feed import History
from algotrade.workflows.model_money import report_with_money

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from algotrade.bars import Bars
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.evaluation import Report

BUDGET, BUDGETED = 1.3, "rf"


@contextmanager
def timed_fits() -> Iterator[list[float]]:
    """Collect the processor time of each estimator's `fit`."""
    names = vars(training)
    make, found = names["make_model"], list[float]()

    def made(*args: Any) -> Any:  # noqa: ANN401 - scikit-learn ships no types
        model = make(*args)
        fit = model.fit

        def timed(*rows: Any) -> Any:  # noqa: ANN401
            began = time.process_time()
            try:
                return fit(*rows)
            finally:
                found.append(time.process_time() - began)
                del model.fit

        model.fit = timed
        return model

    names["make_model"] = made
    try:
        yield found
    finally:
        names["make_model"] = make


def run(bars: Sequence[Bars], kind: str) -> tuple[float, float, int]:
    """Train once: seconds of all, seconds of the fits, rows."""
    plan, histories = training.Plan(model=kind), [History(one) for one in bars]

    def judge(dataset: Dataset, walked: training.Walked) -> Report:
        rng = np.random.default_rng(7)
        return report_with_money(dataset, walked, histories, rng, threshold=plan.threshold)

    began = time.process_time()
    with timed_fits() as fits, tempfile.TemporaryDirectory() as folder:
        dataset = build_dataset(bars)
        trained = training.train(dataset, plan, seed=7, now=0, judge=judge)
        save_model(Path(folder), trained)
    if len(fits) != plan.folds + 1:
        sys.exit(f"{len(fits)} fits where {plan.folds + 1} belong")
    return time.process_time() - began, sum(fits), len(dataset)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=1)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--bars", type=int, default=2_500)
    parser.add_argument("--kinds", default="rf")
    asked = parser.parse_args()
    bars, held = panel(asked.symbols, asked.bars), True
    for kind in asked.kinds.split(","):
        runs = [run(bars, kind) for _ in range(asked.rounds)]
        ratios = [every / fits for every, fits, _ in runs]
        ratio = statistics.median(ratios)
        held &= ratio <= BUDGET or kind != BUDGETED
        print(
            f"{kind:<6}{runs[0][2]:>10,} rows  train {runs[0][0]:8.2f} s  fits {runs[0][1]:8.2f} s"
            f"  {ratio:6.2f} x as long (least {min(ratios):.2f}"
            + (f"; budget {BUDGET:.2f})" if kind == BUDGETED else ")"),
            flush=True,
        )
    print(f"peak memory {peak_mb():.0f} MB")
    sys.exit(not held)


if __name__ == "__main__":
    main()
