"""Training: fit a regularised model, walk it forward first, and write down what it is worth."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from algotrade import __version__
from algotrade.errors import DataError
from algotrade.learning.card import FoldSummary, ModelCard, with_id
from algotrade.learning.evaluation import OutOfSample, Report, evaluate
from algotrade.learning.models import (
    MODELS,
    choose_model,
    fit_model,
    library_version,
    make_model,
    model_params,
    short_name,
)
from algotrade.learning.scorers import build_scorer, check_scorer
from algotrade.learning.splits import check_split, walk_forward
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.card import Params
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.scorers import Scorer
    from algotrade.learning.splits import Fold

    Estimator: TypeAlias = Any  # scikit-learn ships no types
    Progress: TypeAlias = Callable[[int, int], None]

__all__ = [
    "MODELS",
    "NOT_EVALUATED",
    "Plan",
    "TrainedModel",
    "choose_model",
    "model_params",
    "refit",
    "train",
]

CHECKED_ROWS = 16_384  # rows proven at once
NOT_EVALUATED = "not evaluated: refit on a schedule, judged by the decisions it makes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to learn: the model, its probability threshold, the number of folds.

    model: a name in MODELS, `auto` (rf from 2,000 rows, else logit), or the import path of a
        scikit-learn classifier, such as sklearn.ensemble:ExtraTreesClassifier.
    params: overrides of that model's defaults, by name.
    """

    model: str = "auto"
    threshold: float = 0.5
    folds: int = 5
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedModel:
    """A fitted estimator, its data-only scorer (proven equal) and the card of both."""

    estimator: Estimator
    scorer: Scorer
    card: ModelCard


class Fitted(NamedTuple):
    """What one fit on every row gives."""

    kind: str
    params: Params
    estimator: Estimator
    scorer: Scorer


def train(
    dataset: Dataset,
    plan: Plan,
    *,
    seed: int,
    now: int,
    progress: Progress | None = None,
) -> TrainedModel:
    """Evaluate by walk-forward, then fit on every row; the same input gives the same model id.

    now: microseconds UTC, for the card. progress(done, total) is called after each fit.
    Raises InputError for an unknown model or parameter, DataError where every label is the same
    or a split peeks, ModelError where the scorer differs from the estimator.
    """
    kind = choose_model(plan.model, len(dataset))
    _check_labels(dataset)
    folds = _usable_folds(dataset, plan.folds)
    told = progress or (lambda _done, _total: None)
    parts = []
    for done, fold in enumerate(folds, start=1):
        parts.append(_test_fold(dataset, fold, kind, plan, seed))
        told(done, len(folds) + 1)
    fitted = _fit(dataset, plan, kind, seed)
    told(len(folds) + 1, len(folds) + 1)
    report = evaluate(dataset, _pool(parts), threshold=plan.threshold)
    return _model(dataset, plan, fitted, folds, report, seed=seed, now=now)


def refit(dataset: Dataset, plan: Plan, *, seed: int, now: int) -> TrainedModel:
    """Fit on every row as `train` does, without walking forward first.

    Estimator and scorer are those of `train` on the same dataset, bit for bit. The card has no
    folds and no scores and says so; as the id is a hash over card and scorer, it differs from the
    id that `train` gives. Raises as `train`.
    """
    _check_labels(dataset)
    fitted = _fit(dataset, plan, choose_model(plan.model, len(dataset)), seed)
    nothing = Report(metrics={}, baselines={}, verdict=NOT_EVALUATED)
    return _model(dataset, plan, fitted, [], nothing, seed=seed, now=now)


def _check_labels(dataset: Dataset) -> None:
    if dataset.y.min() == dataset.y.max():
        raise DataError(
            f"all {len(dataset)} labels are {dataset.y[0]}: nothing to learn",
            hint="load more bars: algotrade fetch with an earlier start",
        )


def _fit(dataset: Dataset, plan: Plan, kind: str, seed: int) -> Fitted:
    """Fit on every row and prove the scorer equal on each."""
    params = model_params(kind, plan.params, len(dataset))
    estimator, scorer = _fit_rows(dataset, dataset.x, dataset.y, make_model(kind, params, seed))
    for start in range(0, len(dataset), CHECKED_ROWS):
        check_scorer(scorer, estimator, dataset.x[start : start + CHECKED_ROWS])
    return Fitted(kind, params, estimator, scorer)


def _fit_rows(
    dataset: Dataset, x: NDArray[np.float64], y: NDArray[np.int8], estimator: Estimator
) -> tuple[Estimator, Scorer]:
    fitted = fit_model(estimator, x, y)
    return fitted, build_scorer(fitted, dataset.features.names, x)


def _usable_folds(dataset: Dataset, wanted: int) -> list[Fold]:
    """Cut the folds, prove that none peeks, and leave out those that saw one class only."""
    folds = walk_forward(dataset.ts, dataset.label_end, folds=wanted)
    for fold in folds:
        check_split(dataset.ts, dataset.label_end, dataset.symbol, fold.train, fold.test)
    return [fold for fold in folds if 0 < dataset.y[fold.train].sum() < len(fold.train)]


def _test_fold(dataset: Dataset, fold: Fold, kind: str, plan: Plan, seed: int) -> OutOfSample:
    """Fit on the training part and predict the test block with the scorer's arithmetic."""
    import numpy as np

    x, y = dataset.x[fold.train], dataset.y[fold.train]
    params = model_params(kind, plan.params, len(y))
    _, scorer = _fit_rows(dataset, x, y, make_model(kind, params, seed))
    p = scorer.score_many(dataset.x[fold.test])
    return OutOfSample(rows=fold.test, p=p, base=np.full(len(p), float(y.mean())))


def _pool(parts: list[OutOfSample]) -> OutOfSample:
    import numpy as np

    nothing = OutOfSample(rows=np.zeros(0, np.intp), p=np.zeros(0), base=np.zeros(0))
    pooled = [nothing, *parts]
    return OutOfSample(
        rows=np.concatenate([part.rows for part in pooled]),
        p=np.concatenate([part.p for part in pooled]),
        base=np.concatenate([part.base for part in pooled]),
    )


def _model(
    dataset: Dataset,
    plan: Plan,
    fitted: Fitted,
    folds: list[Fold],
    report: Report,
    *,
    seed: int,
    now: int,
) -> TrainedModel:
    card = ModelCard(
        id="",
        kind=fitted.kind,
        scorer=fitted.scorer.kind,
        created=now,
        versions=_versions() | library_version(fitted.kind),
        source=dataset.source,
        symbols=dataset.symbols,
        timeframe=dataset.timeframe,
        first_ts=dataset.first_ts,
        last_ts=dataset.last_ts,
        rows=len(dataset),
        dropped=dataset.dropped,
        fingerprint=dataset.fingerprint,
        preset=dataset.features.preset,
        names=dataset.features.names,
        lookback=dataset.features.lookback,
        horizon=dataset.labels.horizon,
        threshold=plan.threshold,
        seed=seed,
        params=fitted.params,
        train_end=int(dataset.label_end.max()),
        folds=tuple(_summary(dataset, fold) for fold in folds),
        metrics=report.metrics,
        baselines=report.baselines,
        verdict=report.verdict,
    )
    named = with_id(card, fitted.scorer.to_json(), prefix=short_name(fitted.kind))
    return TrainedModel(estimator=fitted.estimator, scorer=fitted.scorer, card=named)


def _summary(dataset: Dataset, fold: Fold) -> FoldSummary:
    return FoldSummary(
        test_first=int(dataset.ts[fold.test[0]]),
        test_last=int(dataset.ts[fold.test[-1]]),
        train_label_end=int(dataset.label_end[fold.train].max()),
        train_rows=len(fold.train),
        test_rows=len(fold.test),
    )


def _versions() -> dict[str, str]:
    import joblib
    import numpy as np
    import sklearn

    return {
        "algotrade": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "joblib": joblib.__version__,
    }
