"""The predictor: from the last bars of a symbol to a prediction with its reasons.

Standard library only at import: `predict` and `trade` start here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade.domain.predictions import Prediction
from algotrade.errors import DataError, ModelError
from algotrade.learning import familiar
from algotrade.learning.features import TREND, FeatureSpec, feature_row

if TYPE_CHECKING:
    from typing import TypeAlias

    from algotrade.bars import Bars
    from algotrade.learning.card import ModelCard
    from algotrade.learning.scorers import Scorer

    Drift: TypeAlias = tuple[tuple[str, float], ...]


def predict_row(card: ModelCard, scorer: Scorer, bars: Bars, drift: Drift = ()) -> Prediction:
    """Predict from the last bar of `bars`; the same numbers as the batch over all bars.

    drift: the features of this symbol that have drifted, where that was looked at.
    Raises DataError where bars are too few, of another source or timeframe than the model's, or
    give a feature that is not a number; ModelError where card and scorer disagree.
    """
    check_fit(card, scorer, bars)
    names = tuple(dict.fromkeys((*TREND, *card.names)))
    spec = replace(spec_of(card), names=names)
    named = dict(zip(names, feature_row(bars, spec), strict=True))
    row = [named[name] for name in card.names]
    p_up, ts = scorer.score(row), bars.ts_close[-1]
    outside = familiar.outside(card, row)
    base, unit, parts = scorer.explain(row)
    drivers = sorted(zip(card.names, parts, strict=True), key=lambda pair: -abs(pair[1]))
    return Prediction(
        model_id=card.id,
        symbol=bars.symbol,
        ts=ts,
        p_up=p_up,
        threshold=card.threshold,
        value=int(p_up > card.threshold),
        features=tuple(named.items()),
        drivers=tuple(drivers),
        base=base,
        unit=unit,
        bars_hash=bars.slice(len(bars) - card.lookback, len(bars)).fingerprint(),
        abstains=familiar.reason(card, ts, len(outside), len(drift)),
        outside=outside,
        drift=drift,
    )


def spec_of(card: ModelCard) -> FeatureSpec:
    """Give the features of a model; those of your own file are loaded where it has not changed."""
    if ":" not in card.preset:
        return FeatureSpec(preset=card.preset, names=card.names, lookback=card.lookback)
    from algotrade.learning.own_features import card_features  # here: presets need no loader

    return card_features(card)


def check_fit(card: ModelCard, scorer: Scorer, bars: Bars) -> None:
    """Refuse bars of another source or timeframe than the model's, and a foreign scorer."""
    if scorer.names != card.names:
        raise ModelError(
            f"model {card.id}: card and scorer name different features",
            hint="train again: algotrade train",
        )
    for what, ours, theirs in (
        ("source", card.source, bars.source),
        ("timeframe", card.timeframe, bars.timeframe),
    ):
        if ours != theirs:
            raise DataError(
                f"model {card.id} was trained on {what} {ours}, these bars are {theirs}",
                hint=f"use bars of {what} {ours}, or train on {theirs}: algotrade train",
            )
