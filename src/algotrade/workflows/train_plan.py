"""The plan of a training: what the settings ask for, read once, for `train` and for backtests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import InputError
from algotrade.record import NamedTuple
from algotrade.values import read_params, read_window

if TYPE_CHECKING:
    from algotrade.config import Settings
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.presets import FeatureSpec
    from algotrade.learning.training import Plan


class Training(NamedTuple):
    """Everything that a training depends on but the bars."""

    spec: FeatureSpec
    labels: LabelSpec
    plan: Plan
    seed: int


def training_of(settings: Settings) -> Training:
    """Read the `train.` settings; your own features are loaded, hence run.

    Raises InputError for a parameter, a window or features that cannot be read.
    """
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.own_features import load_features
    from algotrade.learning.training import Plan

    folds = settings.number("train.folds")
    if not folds:
        raise InputError("train.folds = 0: nothing would be judged", hint="--folds 5")
    if not settings.number("train.horizon"):
        raise InputError("train.horizon = 0: no future to look at", hint="--horizon 5")
    return Training(
        spec=load_features(settings.text("train.features")),
        labels=LabelSpec(horizon=settings.number("train.horizon")),
        plan=Plan(
            model=settings.text("train.model"),
            threshold=settings.threshold,
            folds=folds,
            params=read_params(settings.text("train.params")),
            window=read_window(settings.text("train.window")),
            expires_days=settings.number("train.expires_days"),
        ),
        seed=settings.number("train.seed"),
    )
