"""Training: fit a regularised model, walk it forward first, and write down what it is worth."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from algotrade import __version__
from algotrade.errors import DataError, InputError, shown
from algotrade.learning.card import FoldSummary, ModelCard, with_id
from algotrade.learning.evaluation import OutOfSample, evaluate
from algotrade.learning.scorers import build_scorer, check_scorer
from algotrade.learning.splits import check_split, walk_forward

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from algotrade.learning.card import Params
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.scorers import Scorer
    from algotrade.learning.splits import Fold

    Estimator: TypeAlias = Any  # scikit-learn ships no types
    Progress: TypeAlias = Callable[[int, int], None]

ENOUGH_FOR_FOREST = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to learn: the model, its probability threshold, the number of folds.

    model: a name in MODELS, or `auto` (rf from 2,000 rows, else logit).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A kind of model: its default parameters for a number of rows, and how to make it."""

    defaults: Callable[[int], Params]
    make: Callable[[Params, int], Estimator]


def _forest_defaults(rows: int) -> Params:
    # shallow trees with large leaves kept 90% of a planted edge, scikit-learn's defaults 55%
    return {
        "n_estimators": 60,
        "max_depth": 6,
        "min_samples_leaf": max(100, rows // 200),
        "max_samples": 0.5,
    }


def _make_forest(params: Params, seed: int) -> Estimator:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**params, random_state=seed, n_jobs=1)


def _make_logit(params: Params, seed: int) -> Estimator:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(**params, random_state=seed))


MODELS = {
    "rf": Model(defaults=_forest_defaults, make=_make_forest),
    "logit": Model(defaults=lambda _: {"C": 0.05, "max_iter": 1000}, make=_make_logit),
}


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
    if dataset.y.min() == dataset.y.max():
        raise DataError(
            f"all {len(dataset)} labels are {dataset.y[0]}: nothing to learn",
            hint="load more bars: algotrade fetch with an earlier start",
        )
    folds = _usable_folds(dataset, plan.folds)
    told = progress or (lambda _done, _total: None)
    parts = []
    for done, fold in enumerate(folds, start=1):
        parts.append(_test_fold(dataset, fold, kind, plan, seed))
        told(done, len(folds) + 1)
    params = model_params(kind, plan.params, len(dataset))
    estimator = MODELS[kind].make(params, seed).fit(dataset.x, dataset.y)
    scorer = build_scorer(estimator, dataset.features.names)
    check_scorer(scorer, estimator, dataset.x)
    told(len(folds) + 1, len(folds) + 1)
    card = _card(dataset, plan, kind, params, folds, _pool(parts), seed=seed, now=now)
    return TrainedModel(estimator=estimator, scorer=scorer, card=with_id(card, scorer.to_json()))


def choose_model(name: str, rows: int) -> str:
    """Resolve `auto`; raises InputError for a name that is not in MODELS."""
    if name == "auto":
        return "rf" if rows >= ENOUGH_FOR_FOREST else "logit"
    if name not in MODELS:
        raise InputError(
            f"model {shown(name)} is unknown", hint=f"one of auto, {', '.join(MODELS)}"
        )
    return name


def model_params(kind: str, overrides: Params, rows: int) -> Params:
    """Give a model's parameters for that many rows; raises InputError for an unknown override."""
    defaults = MODELS[kind].defaults(rows)
    for name in overrides:
        if name not in defaults:
            raise InputError(
                f"model {kind} has no parameter {shown(name)}",
                hint=f"one of {', '.join(defaults)}",
            )
    return defaults | overrides


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
    estimator = MODELS[kind].make(params, seed).fit(x, y)
    scorer = build_scorer(estimator, dataset.features.names)
    p = scorer.score_many(dataset.x[fold.test], estimator)
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


def _card(
    dataset: Dataset,
    plan: Plan,
    kind: str,
    params: Params,
    folds: list[Fold],
    outcome: OutOfSample,
    *,
    seed: int,
    now: int,
) -> ModelCard:
    report = evaluate(dataset, outcome, threshold=plan.threshold)
    return ModelCard(
        id="",
        kind=kind,
        created=now,
        versions=_versions(),
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
        params=params,
        train_end=int(dataset.label_end.max()),
        folds=tuple(_summary(dataset, fold) for fold in folds),
        metrics=report.metrics,
        baselines=report.baselines,
        verdict=report.verdict,
    )


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
