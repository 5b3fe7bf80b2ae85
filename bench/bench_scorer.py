"""The scorers against scikit-learn's own predict_proba, as ratios within one run.

    python bench/bench_scorer.py [ROUNDS]

A forest of 100 trees of depth 8 (and boosting, logistic regression, a soft vote) on 16 columns: one
row, 500 rows (a market's bar close) and 100,000 rows. Both take turns, round by round, each on one
thread; printed are the medians and the median of the per-round ratios. One row is scored in plain
Python; a process of its own proves that neither scikit-learn nor numpy is imported for it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algotrade.learning.models import fit_model, make_model, model_params
from algotrade.learning.scorers import build_scorer
from algotrade.learning.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.learning.scorers import Scorer

    Pairs = list[tuple[float, float]]

COLUMNS, TRAINED_ON, MANY = 16, 20_000, 100_000
KINDS = {"rf": {"n_estimators": 100, "max_depth": 8, "max_samples": None}, "hgb": {}}
KINDS |= {"logit": {}, "blend": {}}
# how many times quicker at least, by kind and rows; a batch within 1.5 times the estimator's own
BUDGETS = {("rf", 1): 50.0, **{(kind, MANY): 1 / 1.5 for kind in KINDS}}
FORBIDDEN = ("sklearn", "numpy", "scipy", "joblib", "pandas")


def make(kind: str, params: dict[str, Any]) -> tuple[Any, Scorer]:
    """Fit a model on columns of which a few matter."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(TRAINED_ON, COLUMNS))
    y = (x[:, 0] + x[:, 1] * x[:, 2] + 2 * rng.normal(size=TRAINED_ON) > 0).astype(np.int8)
    chosen = model_params(kind, {}, TRAINED_ON) | params
    if kind == "rf":
        chosen["min_samples_leaf"] = 1
    estimator = fit_model(make_model(kind, chosen, 7), x, y)
    return estimator, build_scorer(estimator, tuple(f"x{i}" for i in range(COLUMNS)), x)


def seconds(work: Callable[[], object], times: int) -> float:
    """Give the processor time of one call, over so many: both are one thread."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def check_light(scorer: Scorer, row: list[float]) -> None:
    """Score one row from the file in a new process; stop where it imports what it must not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scorer.json"
        path.write_bytes(scorer.to_json())
        code = (
            "import sys, pathlib\n"
            "from algotrade.learning.scorer_files import read_scorer\n"
            f"scorer = read_scorer(pathlib.Path({str(path)!r}).read_bytes())\n"
            f"assert scorer.score({row!r}) == {scorer.score(row)!r}\n"
            f"heavy = set({FORBIDDEN!r}) & set(sys.modules)\n"
            "sys.exit(f'imports {heavy}' if heavy else 0)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


def turns(
    ours: Callable[[], object], theirs: Callable[[], object], rows: int, rounds: int
) -> Pairs:
    """Time both in turn, round by round: seconds of ours and of theirs."""
    many, few = {1: (2_000, 50), 500: (20, 10)}.get(rows, (1, 1))
    ours(), theirs()
    return [(seconds(ours, many), seconds(theirs, few)) for _ in range(rounds)]


def compare(kind: str, estimator: Any, scorer: Scorer, rounds: int) -> bool:  # noqa: ANN401 - scikit-learn ships no types
    """Print a line for each number of rows; tell whether every budget holds."""
    x = np.random.default_rng(8).normal(size=(MANY, COLUMNS))
    row = x[0].tolist()
    check_light(scorer, row)
    held = True
    for rows in (1, 500, MANY):
        block = np.ascontiguousarray(x[:rows])
        ours = partial(scorer.score, row) if rows == 1 else partial(scorer.score_many, block)
        pairs = turns(ours, partial(estimator.predict_proba, block), rows, rounds)
        ratio = statistics.median(their / our for our, their in pairs)
        mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        budget = BUDGETS.get((kind, rows), 0.0)
        held &= ratio >= budget
        print(
            f"{kind:<6}{rows:>8,} rows  {mine * 1e3:10.4f} ms  predict_proba {other * 1e3:10.4f} ms"
            f"  {ratio:8.2f} x as quick" + (f"  (budget {budget:.2f})" if budget else "")
        )
    return held


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    held = True
    for kind, params in KINDS.items():
        estimator, scorer = make(kind, params)
        with one_thread():  # of the libraries loaded by now
            held &= compare(kind, estimator, scorer, rounds)
    sys.exit(not held)


if __name__ == "__main__":
    main()
