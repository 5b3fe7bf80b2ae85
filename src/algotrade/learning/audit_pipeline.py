"""The pipeline that is audited: training as backtest and live run it, or fold by fold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade.learning.dataset import take_rows
from algotrade.learning.own_features import OwnFeatures
from algotrade.learning.splits import sessions
from algotrade.learning.training import refit
from algotrade.learning.walkforward import walk_forward_forecast
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.audit_decisions import Pipeline, Said
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.presets import FeatureSpec
    from algotrade.learning.splits import Fold
    from algotrade.learning.training import Plan

REFITS = 4  # of the training that is run again


def windowed(spec: FeatureSpec, labels: LabelSpec, plan: Plan, *, seed: int) -> Pipeline:
    """Give the pipeline that refits on schedule over the second half, as backtest and live do."""

    def say(histories: Sequence[Bars]) -> Said:
        import numpy as np

        from_ts, every = schedule(histories)
        told = walk_forward_forecast(
            histories, spec, labels, plan, seed=seed, from_ts=from_ts, every=every
        )
        return {
            symbol: np.array(one.p_up if one.p_up is not None else [], float)
            for symbol, one in told.signals.items()
        }

    return say


def out_of_sample(
    dataset: Dataset, plan: Plan, folds: Sequence[Fold], *, seed: int
) -> NDArray[np.float64]:
    """Give p(up) of each row in a test block, by a model fitted on that fold's training part.

    NaN outside the test blocks, and where a training part has one class only.
    """
    import numpy as np

    p = np.full(len(dataset), np.nan)
    for fold in folds:
        if 0 < dataset.y[fold.train].sum() < len(fold.train):
            model = refit(take_rows(dataset, fold.train), plan, seed=seed, now=0)
            p[fold.test] = model.scorer.score_many(dataset.x[fold.test], model.estimator)
    return p


def schedule(histories: Sequence[Bars]) -> tuple[int, int]:
    """Give the middle session's close and the sessions between refits: REFITS of them."""
    import numpy as np

    closes = np.unique(np.concatenate([bars.numpy("ts_close") for bars in histories]))
    days = np.unique(sessions(closes))
    middle = closes[sessions(closes) >= days[len(days) // 2]]
    return int(middle[0]), max(1, -(-(len(days) - len(days) // 2) // REFITS))


class _Whole(NamedTuple):
    """Your own features asked once about all bars: quicker, and the same where A1 and A2 passed."""

    own: OwnFeatures

    @property
    def columns(self) -> tuple[str, ...]:
        return self.own.columns

    def matrix(self, bars: Bars) -> NDArray[np.float64]:
        return self.own.whole(bars)

    def row(self, bars: Bars) -> tuple[float, ...]:
        return self.own.row(bars)


def asked_once(spec: FeatureSpec) -> FeatureSpec:
    """Give a spec whose own features are computed by one call a symbol."""
    own = spec.own
    return replace(spec, own=_Whole(own)) if isinstance(own, OwnFeatures) else spec
