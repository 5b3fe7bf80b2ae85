"""Training: fit a regularised model, walk it forward first, and write down what it is worth."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from algotrade import __version__
from algotrade.domain.times import DAY
from algotrade.errors import DataError, InputError
from algotrade.learning.card import FeatureRange, FoldSummary, ModelCard, hash_plan, with_id
from algotrade.learning.dataset import take_rows
from algotrade.learning.evaluation import OutOfSample, Report, evaluate
from algotrade.learning.familiar import usual_drift
from algotrade.learning.models import (
    MODELS,
    choose_model,
    fit_model,
    library_version,
    make_model,
    model_params,
    short_name,
)
from algotrade.learning.pool import alone
from algotrade.learning.scorers import build_scorer, check_scorer
from algotrade.learning.splits import check_split, judged_folds, sessions
from algotrade.learning.stability import Part
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.card import Params
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.pool import Pool
    from algotrade.learning.scorers import Scorer
    from algotrade.learning.splits import Fold

    Estimator: TypeAlias = Any  # scikit-learn ships no types
    Progress: TypeAlias = Callable[[int, int], None]
    Judge: TypeAlias = Callable[[Dataset, "Walked"], Report]

__all__ = [
    "MODELS",
    "NOT_EVALUATED",
    "Plan",
    "TrainedModel",
    "Walked",
    "choose_model",
    "model_params",
    "name_plan",
    "refit",
    "test_fold",
    "train",
    "walked_of",
]

CHECKED_ROWS = 16_384  # rows proven at once
NOT_EVALUATED = "not evaluated: refit on a schedule, judged by the decisions it makes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to learn: the model, its probability threshold, the number of folds, the window.

    model: a name in MODELS, `auto` (rf from 2,000 rows, else logit), or the import path of a
        scikit-learn classifier, such as sklearn.ensemble:ExtraTreesClassifier.
    params: overrides of that model's defaults, by name.
    window: None to train on everything before, else on the decisions of the last so many sessions.
    expires_days: after the newest bar, for which the model is meant to be used; 0 for ever.
    """

    model: str = "auto"
    threshold: float = 0.5
    folds: int = 5
    params: Params = field(default_factory=dict)
    window: int | None = None
    expires_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedModel:
    """A fitted estimator, its data-only scorer (proven equal) and the card of both."""

    estimator: Estimator
    scorer: Scorer
    card: ModelCard


class Walked(NamedTuple):
    """What walking forward gave: the folds, what was said in their test blocks, and by whom."""

    folds: tuple[Fold, ...]
    outcome: OutOfSample
    parts: tuple[Part, ...]


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
    judge: Judge | None = None,
    walked: Walked | None = None,
    pool: Pool = alone,
    progress: Progress | None = None,
) -> TrainedModel:
    """Evaluate by walk-forward, then fit on every row; the same input gives the same model id.

    The last 15% of the dates, where there are 500, take no part in the evaluation. now:
    microseconds UTC, for the card. judge: what makes the report of the tested rows, `evaluate`
    where None. walked: where a search has walked forward already. pool: what fits the folds.
    progress(done, total) is called after each fit. Raises InputError for an unknown model or
    parameter, DataError where every label is the same or a split peeks, ModelError where the scorer
    differs from the estimator.
    """
    kind = choose_model(plan.model, len(dataset))
    _check_labels(dataset)
    told = progress or (lambda _done, _total: None)
    if walked is None:
        folds, tested = usable_folds(dataset, plan), []
        for one in pool(_test_fold, (dataset, kind, plan, seed), folds):
            tested.append(one)
            told(len(tested), len(folds) + 1)
        walked = walked_of(folds, tested)
    report = judge(dataset, walked) if judge else _scored(dataset, walked, plan)
    fitted, fitted_on = _fit(dataset, plan, kind, seed)
    told(len(walked.folds) + 1, len(walked.folds) + 1)
    summaries = tuple(_summary(dataset, fold) for fold in walked.folds)
    return _model(fitted_on, plan, fitted, summaries, report, seed=seed, now=now)


def _scored(dataset: Dataset, walked: Walked, plan: Plan) -> Report:
    return evaluate(dataset, walked.outcome, threshold=plan.threshold)


def refit(dataset: Dataset, plan: Plan, *, seed: int, now: int) -> TrainedModel:
    """Fit on every row as `train` does, without walking forward first.

    Estimator and scorer are those of `train` on the same dataset, bit for bit. The card has no
    folds and no scores and says so; as the id is a hash over card and scorer, it differs from the
    id that `train` gives. Raises as `train`.
    """
    _check_labels(dataset)
    fitted, fitted_on = _fit(dataset, plan, choose_model(plan.model, len(dataset)), seed)
    nothing = Report(metrics={}, baselines={}, verdict=NOT_EVALUATED)
    return _model(fitted_on, plan, fitted, (), nothing, seed=seed, now=now)


def name_plan(dataset: Dataset, plan: Plan, seed: int) -> str:
    """Name a plan on a dataset before there is a card: `card.plan_hash` of what it will give."""
    features = dataset.features
    return hash_plan(
        source=dataset.source,
        symbols=dataset.symbols,
        kind=choose_model(plan.model, len(dataset)),
        overrides=plan.params,
        features=(features.preset, features.names, features.lookback),
        horizon=dataset.labels.horizon,
        threshold=plan.threshold,
        window=plan.window or 0,
        blocks=plan.folds,
        seed=seed,
    )


def _check_labels(dataset: Dataset) -> None:
    if dataset.y.min() == dataset.y.max():
        raise DataError(
            f"all {len(dataset)} labels are {dataset.y[0]}: nothing to learn",
            hint="load more bars: algotrade fetch with an earlier start",
        )


def _fit(dataset: Dataset, plan: Plan, kind: str, seed: int) -> tuple[Fitted, Dataset]:
    """Fit on every row, or those of the window, and prove the scorer equal on each."""
    rows = _windowed(dataset, plan.window)
    params = model_params(kind, plan.params, len(rows))
    estimator, scorer = _fit_rows(rows, rows.x, rows.y, make_model(kind, params, seed))
    for start in range(0, len(rows), CHECKED_ROWS):
        check_scorer(scorer, estimator, rows.x[start : start + CHECKED_ROWS])
    return Fitted(kind, params, estimator, scorer), rows


def _windowed(dataset: Dataset, window: int | None) -> Dataset:
    """Give the rows of the last `window` sessions of bars, of which the last have no label yet."""
    import numpy as np

    if window is None:
        return dataset
    labelled = window - dataset.labels.horizon - 1
    if labelled < 1:
        raise InputError(
            f"a window of {window} sessions has no label that looks {dataset.labels.horizon} ahead",
            hint="--window rolling:756 is three years",
        )
    day = sessions(dataset.ts)
    dates = np.unique(day)
    found = take_rows(dataset, np.flatnonzero(day >= dates[max(0, len(dates) - labelled)]))
    _check_labels(found)
    return found


def _fit_rows(
    dataset: Dataset, x: NDArray[np.float64], y: NDArray[np.int8], estimator: Estimator
) -> tuple[Estimator, Scorer]:
    fitted = fit_model(estimator, x, y)
    return fitted, build_scorer(fitted, dataset.features.names, x)


def usable_folds(dataset: Dataset, plan: Plan) -> list[Fold]:
    """Cut the folds, prove that none peeks, and leave out those that saw one class only."""
    folds = judged_folds(dataset.ts, dataset.label_end, folds=plan.folds, window=plan.window)
    for fold in folds:
        check_split(dataset.ts, dataset.label_end, dataset.symbol, fold.train, fold.test)
    return [fold for fold in folds if 0 < dataset.y[fold.train].sum() < len(fold.train)]


class Tested(NamedTuple):
    """One test block: what was fitted before it, what it said, the up-rate it had seen."""

    part: Part
    p: NDArray[np.float64]
    base: float


def test_fold(dataset: Dataset, fold: Fold, kind: str, plan: Plan, seed: int) -> Tested:
    """Fit on the training part and predict the test block with the scorer's arithmetic."""
    x, y = dataset.x[fold.train], dataset.y[fold.train]
    params = model_params(kind, plan.params, len(y))
    estimator, scorer = _fit_rows(dataset, x, y, make_model(kind, params, seed))

    def predict(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return scorer.score_many(rows, estimator)

    return Tested(Part(fold.test, predict), predict(dataset.x[fold.test]), float(y.mean()))


def _test_fold(shared: tuple[Dataset, str, Plan, int], fold: Fold) -> Tested:
    dataset, kind, plan, seed = shared
    return test_fold(dataset, fold, kind, plan, seed)


def walked_of(folds: Sequence[Fold], tested: Sequence[Tested]) -> Walked:
    """Put the test blocks of some folds together."""
    return Walked(tuple(folds), _pool(tested), tuple(one.part for one in tested))


def _pool(tested: Sequence[Tested]) -> OutOfSample:
    import numpy as np

    lengths = [len(one.part.rows) for one in tested]
    return OutOfSample(
        rows=np.concatenate([np.zeros(0, np.intp), *(one.part.rows for one in tested)]),
        p=np.concatenate([np.zeros(0), *(one.p for one in tested)]),
        base=np.repeat([one.base for one in tested], lengths).astype(float),
        fold=np.repeat(np.arange(len(tested)), lengths),
    )


def _model(
    dataset: Dataset,
    plan: Plan,
    fitted: Fitted,
    folds: tuple[FoldSummary, ...],
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
        folds=folds,
        metrics=report.metrics,
        baselines=report.baselines,
        verdict=report.verdict,
        overrides=dict(plan.params),
        window=plan.window or 0,
        blocks=plan.folds,
        tables=report.tables,
        ranges=_ranges(dataset),
        expires=dataset.last_ts + plan.expires_days * DAY if plan.expires_days else 0,
    )
    named = with_id(card, fitted.scorer.to_json(), prefix=short_name(fitted.kind))
    return TrainedModel(estimator=fitted.estimator, scorer=fitted.scorer, card=named)


def _ranges(dataset: Dataset) -> dict[str, FeatureRange]:
    """Tell what each feature was like in the rows that were fitted."""
    import numpy as np

    edges = np.quantile(dataset.x, [0.01, *np.arange(1, 10) / 10, 0.99], axis=0)
    usual = usual_drift(dataset, edges[1:-1])
    found = {}
    for place, name in enumerate(dataset.features.names):
        column, (p01, *deciles, p99) = dataset.x[:, place], edges[:, place].tolist()
        found[name] = FeatureRange(
            mean=float(column.mean()),
            sd=float(column.std()),
            low=float(column.min()),
            high=float(column.max()),
            p01=p01,
            p99=p99,
            deciles=tuple(deciles),
            usual=usual[place],
        )
    return found


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
