"""Evaluation: out-of-sample metrics, simple rules beside them, and one honest sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from algotrade.learning.splits import sessions

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.card import Metrics
    from algotrade.learning.dataset import Dataset

    Array = NDArray[Any]

TINY = 1e-12  # keeps log(p) finite; a probability of exactly 0 or 1 is a claim nobody can make
FEWEST_DATES = 250
FEWEST_EFFECTIVE = 60
ENOUGH_ERRORS = 2.0  # standard errors above zero before the word "edge" is used


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutOfSample:
    """Pooled predictions of all test blocks, m rows.

    rows: (m,) row numbers of the dataset. p: (m,) probability of up.
    base: (m,) up-rate of the training part of that block.
    fold: (m,) number of that block; where None, a block ends where `base` changes.
    """

    rows: NDArray[np.intp]
    p: NDArray[np.float64]
    base: NDArray[np.float64]
    fold: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the model scored, what simple rules scored on the same rows, and the sentence.

    tables: figures by table and row (years, folds, symbols, calibration, importance), in order.
    """

    metrics: Metrics
    baselines: dict[str, Metrics]
    verdict: str
    tables: dict[str, dict[str, Metrics]] = field(default_factory=dict)


def evaluate(dataset: Dataset, outcome: OutOfSample, *, threshold: float) -> Report:
    """Score pooled out-of-sample predictions; rates in [0, 1], None where undefined."""
    y = dataset.y[outcome.rows].astype(float)
    metrics = _scores(y, outcome, threshold) if len(y) else {}
    day = sessions(dataset.ts[outcome.rows])
    horizon = dataset.labels.horizon
    counts: Metrics = {
        "n": len(y),
        "n_effective": len(y) // horizon,
        "test_dates": len(set(day.tolist())),
        **(_gain(y, outcome, day, horizon) if len(y) else {}),
    }
    everything = counts | metrics
    baselines = _baselines(dataset, outcome, y) if len(y) else {}
    return Report(metrics=everything, baselines=baselines, verdict=verdict(everything, baselines))


def accuracy(y: Array, predicted: Array) -> float:
    """Share of rows predicted right."""
    return float((y == predicted).mean())


def balanced_accuracy(y: Array, predicted: Array) -> float | None:
    """Mean of the hit rates of ups and of downs; None when one of them never happened."""
    up = y == 1
    if up.all() or not up.any():
        return None
    return float((predicted[up] == 1).mean() + (predicted[~up] == 0).mean()) / 2


def auc(y: Array, p: Array) -> float | None:
    """Area under the ROC curve by ranks, ties counted half; None with one class only."""
    import numpy as np

    ups = int((y == 1).sum())
    downs = len(y) - ups
    if not ups or not downs:
        return None
    _, inverse, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[inverse]
    return float((rank[y == 1].sum() - ups * (ups + 1) / 2) / (ups * downs))


def log_losses(y: Array, p: Array) -> Array:
    """Give -log of the probability given to what happened, per row."""
    import numpy as np

    given: Array = np.where(y == 1, p, 1 - p)
    losses: Array = -np.log(np.clip(given, TINY, 1.0))
    return losses


def standard_error(values: Array, day: Array, length: int) -> tuple[float | None, int]:
    """Give the standard error of a mean of dependent rows, and the number of blocks it rests on.

    Rows of the same stretch of `length` sessions are one observation, so neither overlapping
    labels nor symbols that move together count as independent evidence. The error is that of a
    ratio estimator over blocks (Cochran, Sampling Techniques, ch. 6). None below 2 blocks.
    """
    import numpy as np

    _, order = np.unique(day, return_inverse=True)
    block = order // length
    blocks = int(block.max()) + 1
    if blocks < 2:
        return None, blocks
    sums = np.bincount(block, weights=values - values.mean())
    return float(np.sqrt((sums**2).sum() * blocks / (blocks - 1))) / len(values), blocks


def verdict(metrics: Metrics, baselines: dict[str, Metrics]) -> str:
    """Say in one sentence what the numbers allow.

    An edge is named only if log loss beats the base rate by more than two standard errors, the
    order of the probabilities is right (AUC over 0.5) and no simple rule is as accurate.
    """
    dates, effective = metrics["test_dates"] or 0, metrics["n_effective"] or 0
    if dates < FEWEST_DATES or effective < FEWEST_EFFECTIVE:
        return (
            f"too little data to judge: {dates} test dates and {effective} rows without overlap"
            f" out of sample, at least {FEWEST_DATES} and {FEWEST_EFFECTIVE} are needed"
        )
    name, best = max(
        ((rule, scores["accuracy"] or 0.0) for rule, scores in baselines.items()),
        key=lambda pair: pair[1],
    )
    errors, area = metrics["log_loss_gain_errors"] or 0.0, metrics["auc"] or 0.0
    skill = metrics["log_loss_skill"] or 0.0
    edge = errors > ENOUGH_ERRORS and area > 0.5 and (metrics["accuracy"] or 0.0) > best
    return (
        f"{'a weak edge' if edge else 'no evidence of an edge'}: out of sample AUC {area:.3f},"
        f" accuracy {metrics['accuracy']:.3f} against {best:.3f} of {name.replace('_', ' ')},"
        f" log loss {abs(skill):.2%} {'better' if skill > 0 else 'worse'} than the base rate"
        f" ({errors:+.1f} standard errors) on {metrics['n']} rows ({effective} without overlap)"
    )


def _scores(y: Array, outcome: OutOfSample, threshold: float) -> Metrics:
    predicted = (outcome.p > threshold).astype(float)
    brier, base_brier = ((outcome.p - y) ** 2).mean(), ((outcome.base - y) ** 2).mean()
    loss, base_loss = log_losses(y, outcome.p).mean(), log_losses(y, outcome.base).mean()
    return {
        "up_rate": float(y.mean()),
        "up_rate_train": float(outcome.base.mean()),
        "predicted_up": float(predicted.mean()),
        "accuracy": accuracy(y, predicted),
        "balanced_accuracy": balanced_accuracy(y, predicted),
        "auc": auc(y, outcome.p),
        "brier": float(brier),
        "brier_skill": float(1 - brier / base_brier) if base_brier else None,
        "log_loss": float(loss),
        "log_loss_skill": float(1 - loss / base_loss) if base_loss else None,
    }


def _gain(y: Array, outcome: OutOfSample, day: Array, horizon: int) -> Metrics:
    """Compare log loss with the base rate's, in standard errors over blocks of 2h sessions."""
    gain = log_losses(y, outcome.base) - log_losses(y, outcome.p)
    error, blocks = standard_error(gain, day, 2 * horizon)
    return {
        "log_loss_gain": float(gain.mean()),
        "log_loss_gain_errors": float(gain.mean()) / error if error else None,
        "blocks": blocks,
    }


def _baselines(dataset: Dataset, outcome: OutOfSample, y: Array) -> dict[str, Metrics]:
    """Score the simple rules on the same rows; the base rate is the only one with probabilities."""
    import numpy as np

    fast, slow, change = dataset.rules[outcome.rows].T
    majority = (outcome.base > 0.5).astype(float)
    rules = {
        "majority_class": majority,
        "always_up": np.ones(len(y)),
        "yesterdays_sign": (change > 0).astype(float),
        "sma_50_over_sma_200": (fast > slow).astype(float),
    }
    scored: dict[str, Metrics] = {
        name: {
            "accuracy": accuracy(y, predicted),
            "balanced_accuracy": balanced_accuracy(y, predicted),
        }
        for name, predicted in rules.items()
    }
    scored["base_rate"] = {
        "accuracy": accuracy(y, majority),
        "balanced_accuracy": balanced_accuracy(y, majority),
        "brier": float(((outcome.base - y) ** 2).mean()),
        "log_loss": float(log_losses(y, outcome.base).mean()),
    }
    return scored
