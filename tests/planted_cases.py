"""One planted or empty market, learned from and judged: the unit of the campaign and its tests."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from algotrade.learning.dataset import build_dataset
from algotrade.learning.evaluation import OutOfSample
from algotrade.learning.gate import GateVerdict, Trials, gate
from algotrade.learning.labels import LabelSpec
from algotrade.learning.models import MODELS, choose_model, model_params
from algotrade.learning.report import full_report, with_money
from algotrade.learning.splits import judged_folds
from algotrade.learning.stability import Part
from algotrade.trading.feed import History
from algotrade.workflows.model_money import model_money, said_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.evaluation import Report


class Judged(NamedTuple):
    """What came of one market."""

    dataset: Dataset
    outcome: OutOfSample
    report: Report
    verdict: GateVerdict
    seconds: dict[str, float]


class Kept(NamedTuple):
    """How much of a planted edge a model keeps, on the rows that were tested.

    accuracy: of the model. expected: the same without the luck of the labels, as each answer is
    right with the probability that the theory gives it. best: of the best possible forecast.
    error: standard error of the accuracy, by rows without overlap.
    """

    accuracy: float
    expected: float
    best: float
    error: float

    @property
    def share(self) -> float:
        return (self.expected - 0.5) / (self.best - 0.5)

    @property
    def realised_share(self) -> float:
        return (self.accuracy - 0.5) / (self.best - 0.5)

    @property
    def errors_above(self) -> float:
        return (self.accuracy - self.best) / self.error


def learn(
    dataset: Dataset, *, model: str = "auto", seed: int = 1, folds: int = 5
) -> tuple[OutOfSample, list[Part]]:
    """Walk forward as `train` does, keeping what it throws away."""
    kind = choose_model(model, len(dataset))
    outcomes, parts = [], []
    for number, fold in enumerate(judged_folds(dataset.ts, dataset.label_end, folds=folds)):
        x, y = dataset.x[fold.train], dataset.y[fold.train]
        fitted = MODELS[kind].make(model_params(kind, {}, len(y)), seed).fit(x, y)

        def predict(x: NDArray[np.float64], fitted: object = fitted) -> NDArray[np.float64]:
            p: NDArray[np.float64] = fitted.predict_proba(x)[:, 1]  # type: ignore[attr-defined] # scikit-learn ships no types
            return p

        parts.append(Part(fold.test, predict))
        outcomes.append((fold.test, predict(dataset.x[fold.test]), y.mean(), number))
    lengths = [len(rows) for rows, *_ in outcomes]
    outcome = OutOfSample(
        rows=np.concatenate([rows for rows, *_ in outcomes]),
        p=np.concatenate([p for _, p, *_ in outcomes]),
        base=np.repeat([base for *_, base, _ in outcomes], lengths).astype(float),
        fold=np.repeat([number for *_, number in outcomes], lengths).astype(np.int64),
    )
    return outcome, parts


def judge(
    bars: Sequence[Bars],
    horizon: int,
    *,
    model: str = "auto",
    seed: int = 1,
    trials: Trials | None = None,
    draws: int = 200,
) -> Judged:
    """Learn from a market and let the gate judge, the money by the engine's own loop."""
    clock = [time.perf_counter()]
    dataset = build_dataset(bars, labels=LabelSpec(horizon=horizon))
    clock.append(time.perf_counter())
    outcome, _ = learn(dataset, model=model, seed=seed)
    clock.append(time.perf_counter())
    rng = np.random.default_rng(seed)
    report = full_report(
        dataset, outcome, rng, threshold=0.5, draws=draws, trials=(trials or Trials()).count
    )
    clock.append(time.perf_counter())
    money = model_money(said_of(dataset, outcome, [History(one) for one in bars]), rng)
    clock.append(time.perf_counter())
    report = with_money(report, money)
    verdict = gate(report, trials or Trials(), audit_clean=True)
    names = ("features", "fit", "report", "money")
    spent = np.diff(clock).tolist()
    return Judged(dataset, outcome, report, verdict, dict(zip(names, spent, strict=True)))


def compare(
    p_up: NDArray[np.float64], bars: Sequence[Bars], dataset: Dataset, outcome: OutOfSample
) -> Kept:
    """Score a model and the theory on the rows that were tested."""
    rows = outcome.rows
    place = np.searchsorted(bars[0].numpy("ts_close"), dataset.ts[rows])
    p = p_up[dataset.symbol[rows], place]
    said, best = outcome.p > 0.5, float(np.maximum(p, 1 - p).mean())
    return Kept(
        accuracy=float((said == (dataset.y[rows] == 1)).mean()),
        expected=float(np.where(said, p, 1 - p).mean()),
        best=best,
        error=math.sqrt(best * (1 - best) / (len(rows) / dataset.labels.horizon)),
    )
