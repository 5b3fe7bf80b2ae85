"""Speakers: who says up or down to a trade: a model, a rule, or the person at the keyboard."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from algotrade.domain.decisions import PROBABILITY, RISK, SMALL, VOLATILITY
from algotrade.domain.money import format_usd
from algotrade.domain.signals import DOWN, KEEP, NONE, PPM, UP, Signal
from algotrade.errors import DataError, InputError, shown
from algotrade.record import NamedTuple
from algotrade.trading.decision import Moment
from algotrade.workflows.models import Model, load_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from algotrade.bars import Bars
    from algotrade.domain.decisions import Decision, Sizing
    from algotrade.domain.predictions import Prediction
    from algotrade.learning.predictor import Drift
    from algotrade.learning.presets import FeatureSpec
    from algotrade.trading.strategies import Strategy
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.crowd import Crowd

MODEL = "model"
MANUAL = "manual"
VOLATILITY_WINDOW = 20  # sessions whose returns the volatility of a position is measured by
WEIGHT_WINDOW = 20  # predictions that a damped weight is made of


class Speaker(NamedTuple):
    """One of model and rule, or neither: then a person asks, and up is taken as said.

    strategy: the name that the identity of its orders carries; the same after code has changed.
    """

    strategy: str
    model: Model | None = None
    rule: Strategy | None = None


class Spoken(NamedTuple):
    """What was said of a bar, and a model's reasons."""

    signal: Signal | None
    prediction: Prediction | None = None


def find_speaker(
    ws: Workspace,
    *,
    use_model: bool,
    model_id: str | None,
    rule: str | None,
    params: Sequence[tuple[str, str]] = (),
) -> Speaker:
    """Give the speaker that flags ask for."""
    if rule is not None:
        if model_id is not None:
            raise InputError("--strategy and --model contradict each other", hint="give one")
        return rule_speaker(rule, params)
    if params:
        raise InputError("-p sets parameters of a --strategy", hint="--strategy sma-state -p ...")
    if not use_model:
        return Speaker(MANUAL)
    return Speaker(MODEL, model=load_model(ws, model_id, live=ws.live))


def check_reads(sizing: Sizing | None, exit_below: float | None, *, has_probability: bool) -> None:
    """Refuse what reads p(up) where nobody says it."""
    if has_probability:
        return
    if sizing is not None and sizing.kind == PROBABILITY:
        raise InputError(
            "--probability sizes by p(up), which only a model says", hint="--equity 10%"
        )
    if exit_below is not None:
        raise InputError("--exit-below reads p(up), which only a model says", hint="leave it out")


def check_flat(sizing: Sizing | None, model: Model | None) -> None:
    """Refuse a size by p(up) where the gate let a model pass for its direction only."""
    if model is None or sizing is None or sizing.kind != PROBABILITY:
        return
    if model.direction_only:
        raise InputError(
            f"model {model.card.id} passed the gate for its direction only: its p(up) is worse than"
            " the base rate, and --probability sizes by it",
            hint="--equity 10%, or another size",
        )


def check_stop(
    sizing: Sizing | None, moments: Sequence[Moment], made: Mapping[str, Decision]
) -> None:
    """Refuse a stop price that lies on the wrong side of an entry that it sizes to nothing."""
    if sizing is None or sizing.kind != RISK or sizing.stop_price is None:
        return
    for moment in moments:
        decision = made[moment.symbol]
        short = decision.signal is not None and decision.signal.stance == DOWN
        wrong = (moment.close - sizing.stop_price) * (-1 if short else 1) <= 0
        if decision.code == SMALL and wrong:
            side, entry = ("above", "short") if short else ("below", "long")
            close = format_usd(moment.close)
            raise InputError(
                f"--stop {format_usd(sizing.stop_price)} is not {side} {close}, the last close of"
                f" {moment.symbol}, as that of a {entry} position is",
                hint=f"a stop {side} {close}, or a distance from it: --stop 5%",
            )


def rule_speaker(rule: str, params: Sequence[tuple[str, str]]) -> Speaker:
    """Give a rule strategy as a speaker."""
    from algotrade.trading.strategies import load_strategy

    names = [name for name, _ in params]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"-p {shown(twice)} is given twice", hint="once; a sweep: -p fast=10,20")
    strategy = load_strategy(rule, dict(params))
    return Speaker(strategy.source.rpartition(" @")[0] or strategy.source, rule=strategy)


def lookback_of(speaker: Speaker, sizing: Sizing | None) -> int:
    """Give the number of bars that one decision may read."""
    needed = 1
    if speaker.model is not None:
        needed = speaker.model.card.lookback
    elif speaker.rule is not None:
        needed = speaker.rule.lookback
    if sizing is not None and sizing.kind == PROBABILITY:
        needed += WEIGHT_WINDOW - 1
    if sizing is not None and sizing.kind == VOLATILITY:
        needed = max(needed, VOLATILITY_WINDOW + 1)
    return needed


def settled_bar(bars: Bars, spoken: Spoken) -> Moment:
    """Give the newest bar as a moment without actions or volume: it is settled.

    With its volume, an order that was filled in part would be filled from the same bar again.
    """
    return Moment(
        ts=bars.ts_close[-1],
        symbol=bars.symbol,
        ts_open=bars.ts_open[-1],
        open=bars.open[-1],
        high=bars.high[-1],
        low=bars.low[-1],
        close=bars.close[-1],
        volume=0,
        signal=spoken.signal,
        prediction=spoken.prediction,
    )


def hear(
    ws: Workspace,
    speaker: Speaker,
    bars: Bars,
    sizing: Sizing | None,
    crowd: Crowd,
    *,
    keep: bool,
) -> Spoken:
    """Hear what is said of the last of these bars now, after a look at a model's input.

    crowd: of this pass. keep: note how far its input has drifted.
    """
    if speaker.model is None:
        return said_of(speaker, bars, sizing)
    from algotrade.workflows.model_drift import drift_now

    card = speaker.model.card
    if bars.symbol not in card.symbols:
        ws.say(f"{bars.symbol}: model {card.id} was not trained on it")
    found = drift_now(ws, card, bars.symbol, bars.ts_close[-1], crowd, keep=keep)
    return said_of(speaker, bars, sizing, found.over, crowd.features(card, bars))


def said_of(
    speaker: Speaker,
    bars: Bars,
    sizing: Sizing | None = None,
    drift: Drift = (),
    spec: FeatureSpec | None = None,
) -> Spoken:
    """Hear what is said of the last of these bars.

    drift: of a model's input there, as it was noted; a stored decision keeps it. spec: a model's
    features where they are bound to the bars of other symbols.
    """
    volatility = _volatility(bars) if sizing is not None and sizing.kind == VOLATILITY else None
    if speaker.model is not None:
        from algotrade.learning.predictor import predict_row

        prediction = predict_row(speaker.model.card, speaker.model.scorer, bars, drift, spec)
        is_weighed = sizing is not None and sizing.kind == PROBABILITY
        weight = _weight(speaker.model, bars, spec) if is_weighed else PPM
        return _spoken(prediction, weight, volatility)
    if speaker.rule is None:
        return Spoken(Signal("", UP, volatility=volatility))
    stance = speaker.rule.stance(bars)
    if stance == NONE:
        return Spoken(None)
    read = bars.slice(max(0, len(bars) - speaker.rule.lookback), len(bars))
    source, digest = speaker.rule.source, read.fingerprint()
    return Spoken(Signal(source, stance, volatility=volatility, bars_hash=digest))


def _spoken(prediction: Prediction, weight: int, volatility: int | None) -> Spoken:
    stance = UP if prediction.value == 1 else DOWN
    signal = Signal(
        source=prediction.model_id,
        stance=KEEP if prediction.abstains and stance == UP else stance,
        p_up=prediction.p_up,
        threshold=prediction.threshold,
        weight=weight,
        volatility=volatility,
        bars_hash=prediction.bars_hash,
        abstains=prediction.abstains,
    )
    return Spoken(signal, prediction)


def _volatility(bars: Bars) -> int | None:
    from algotrade.learning.sizing import UNKNOWN, volatilities

    found = volatilities(bars, window=VOLATILITY_WINDOW)[-1]
    return None if found == UNKNOWN else found


def _weight(model: Model, bars: Bars, spec: FeatureSpec | None) -> int:
    """Damp the newest prediction by those of the bars before it."""
    from algotrade.learning.sizing import damped_weights

    return damped_weights(_probabilities(model, bars, spec), window=WEIGHT_WINDOW)[-1]


def _probabilities(model: Model, bars: Bars, spec: FeatureSpec | None) -> array[float]:
    from algotrade.learning.predictor import predict_row

    lookback = model.card.lookback
    first = max(lookback, len(bars) - WEIGHT_WINDOW + 1)
    found = array("d")
    for stop in range(first, len(bars) + 1):
        window = bars.slice(stop - lookback, stop)
        try:
            found.append(predict_row(model.card, model.scorer, window, spec=spec).p_up)
        except DataError:  # a feature of that bar is not a number: nothing was said of it
            found.append(math.nan)
    return found
