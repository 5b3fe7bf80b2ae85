"""The predictor: from the last bars of a symbol to a prediction with its reasons.

Standard library only at import: `predict` and `trade` start here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from algotrade.domain.predictions import Prediction
from algotrade.errors import DataError, ModelError
from algotrade.learning import familiar
from algotrade.learning.cross import CrossSection
from algotrade.learning.features import TREND, FeatureSpec, feature_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from algotrade.bars import Bars
    from algotrade.learning.card import ModelCard
    from algotrade.learning.scorers import Scorer

    Drift: TypeAlias = tuple[tuple[str, float], ...]


def predict_row(
    card: ModelCard,
    scorer: Scorer,
    bars: Bars,
    drift: Drift = (),
    spec: FeatureSpec | None = None,
) -> Prediction:
    """Predict from the last bar of `bars`; the same numbers as the batch over all bars.

    drift: the features of this symbol that have drifted, where that was looked at. spec: the
    model's features where they are bound to the bars of other symbols.
    Raises DataError where bars are too few, of another source or timeframe than the model's, or
    give a feature that is not a number; ModelError where card and scorer disagree.
    """
    check_fit(card, scorer, bars)
    names = tuple(dict.fromkeys((*TREND, *card.names)))
    spec = replace(spec or spec_of(card), names=names)
    named = dict(zip(names, feature_row(bars, spec), strict=True))
    row = [named[name] for name in card.names]
    if spec.crosses:
        _check_section(card, bars, spec, row)
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
        bars_hash=print_of(card, bars, spec),
        abstains=familiar.reason(card, ts, len(outside), len(drift)),
        outside=outside,
        drift=drift,
    )


def print_of(card: ModelCard, bars: Bars, spec: FeatureSpec) -> str:
    """Give the fingerprint of all bars that the row of the last bar reads."""
    if isinstance(spec.own, CrossSection):
        return spec.own.fingerprint(bars)
    return bars.slice(max(0, len(bars) - card.lookback), len(bars)).fingerprint()


def _check_section(card: ModelCard, bars: Bars, spec: FeatureSpec, row: Sequence[float]) -> None:
    """Refuse a row for which too few symbols of the universe take part; say who is missing."""
    if isinstance(spec.own, CrossSection) and any(math.isnan(value) for value in row):
        missing = spec.own.missing(bars)
        if missing:
            raise DataError(
                f"{bars.symbol}: model {card.id} says nothing: {missing}",
                hint="load their bars: algotrade fetch, or import",
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
