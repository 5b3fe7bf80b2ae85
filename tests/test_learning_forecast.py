"""Forecasts: at every bar the bits of a live prediction, and nothing that comes later."""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import Bars
from algotrade.domain.actions import Split
from algotrade.domain.signals import ABSTAINS, DOWN, KEEP, NONE, UP
from algotrade.domain.times import DAY, HOUR, session_date, to_day
from algotrade.errors import DataError, ModelError
from algotrade.learning import forecast as module
from algotrade.learning.dataset import build_dataset
from algotrade.learning.features import FeatureSpec, compute_features
from algotrade.learning.forecast import check_unseen, forecast
from algotrade.learning.formulas import LOOKBACK
from algotrade.learning.predictor import predict_row
from algotrade.learning.training import Plan, train
from algotrade.market.sample import SYMBOLS, read_actions, read_columns
from learning_markets import (
    RATIOS,
    bar_times,
    from_closes,
    planted,
    random_bars,
    trained,
    with_splits,
)

if TYPE_CHECKING:
    from algotrade.domain.signals import Signals
    from algotrade.learning.training import TrainedModel

MODELS = ("rf", "logit")
COUNT = 300
places = st.lists(st.tuples(st.integers(0, COUNT + 20), st.sampled_from(RATIOS)), max_size=3)


def sample_bars(symbol: str) -> Bars:
    """A symbol of the sample, every session from 14:30 to 21:00 UTC."""
    columns = read_columns(symbol)
    splits = [a for a in read_actions() if isinstance(a, Split) and a.symbol == symbol]
    opens = array("q", (day * DAY + 29 * HOUR // 2 for day in columns.day))
    return Bars(
        source="sample",
        symbol=symbol,
        timeframe="1d",
        ts_open=opens,
        ts_close=array("q", (ts + 13 * HOUR // 2 for ts in opens)),
        open=columns.open,
        high=columns.high,
        low=columns.low,
        close=columns.close,
        volume=columns.volume,
        splits=tuple(splits),
    )


@cache
def trained_on_sample(model: str) -> TrainedModel:
    dataset = build_dataset([sample_bars(symbol) for symbol in SYMBOLS])
    return train(dataset, Plan(model=model, folds=1), seed=1, now=5)


def live(made: TrainedModel, bars: Bars, t: int) -> tuple[float, int, str]:
    """What a live prediction says of bar t from its look-back alone; NaN where it refuses."""
    try:
        said = predict_row(made.card, made.scorer, bars.slice(max(0, t + 1 - LOOKBACK), t + 1))
    except DataError:
        return math.nan, NONE, ""
    up = KEEP if said.abstains else UP
    return said.p_up, up if said.value else DOWN, said.abstains


def at(said: Signals, t: int) -> tuple[float, int, str]:
    assert said.p_up is not None
    spoken = said.abstains is not None and said.stances[t] != NONE
    why = ABSTAINS[said.abstains[t]] if spoken and said.abstains else ""
    return said.p_up[t], said.stances[t], why


def same(one: tuple[float, int, str], other: tuple[float, int, str]) -> bool:
    return array("d", one[:1]).tobytes() == array("d", other[:1]).tobytes() and one[1:] == other[1:]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_on_the_sample_every_bar_is_the_live_prediction(symbol: str, model: str) -> None:
    made, bars = trained_on_sample(model), sample_bars(symbol)
    said = forecast(made.card, made.scorer, bars)
    assert said.sources == ((0, made.card.id),)
    assert (said.threshold, said.weights, said.volatilities) == (0.5, None, None)
    for t in [*range(0, len(bars), 50), LOOKBACK - 2, LOOKBACK - 1, len(bars) - 1]:
        assert same(at(said, t), live(made, bars, t)), t
    assert set(said.stances[LOOKBACK - 1 :]) == {UP, DOWN}


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    mood=st.sampled_from(("walk", "wild", "flat")),
    splits=places,
    ts=st.lists(st.integers(LOOKBACK - 1, COUNT - 1), min_size=1, max_size=6),
    model=st.sampled_from(MODELS),
)
def test_with_splits_and_gaps_every_bar_is_the_live_prediction(
    seed: int, mood: str, splits: list[tuple[int, tuple[int, int]]], ts: list[int], model: str
) -> None:
    made, bars = trained(model), with_splits(random_bars(seed, COUNT, mood=mood), splits)
    said = forecast(made.card, made.scorer, bars)
    for t in ts:
        assert same(at(said, t), live(made, bars, t))


@pytest.mark.parametrize("model", MODELS)
def test_poisoned_futures_move_nothing_said_before(model: str) -> None:
    made, bars = trained(model), planted("A", 7, 600, edge=0.008)
    whole = forecast(made.card, made.scorer, bars)
    assert whole.p_up is not None
    rng = random.Random(4)  # noqa: S311 - a test market
    for draw in range(100):
        t = rng.randrange(LOOKBACK - 5, 599)
        noise = random_bars(draw, 600, mood=rng.choice(("walk", "wild", "flat")))
        place = rng.randrange(t + 1, 620)
        poisoned = with_splits(poison(bars, noise, t), [(place, rng.choice(RATIOS))])
        said = forecast(made.card, made.scorer, poisoned)
        assert said.p_up is not None
        assert said.p_up[: t + 1].tobytes() == whole.p_up[: t + 1].tobytes()
        assert said.stances[: t + 1] == whole.stances[: t + 1]
        assert said.p_up[t + 1 :].tobytes() != whole.p_up[t + 1 :].tobytes()


def poison(bars: Bars, noise: Bars, t: int) -> Bars:
    """Replace every bar after t."""
    start = t + 1
    return replace(
        bars,
        open=bars.open[:start] + noise.open[start:],
        high=bars.high[:start] + noise.high[start:],
        low=bars.low[:start] + noise.low[start:],
        close=bars.close[:start] + noise.close[start:],
        volume=bars.volume[:start] + noise.volume[start:],
    )


@pytest.mark.parametrize("model", MODELS)
def test_what_is_not_a_number_is_not_said(model: str) -> None:
    made = trained(model)
    closes = [10**8 + (index * 7919) % 10**6 for index in range(260)] + [10**8] * 80
    said = forecast(made.card, made.scorer, from_closes(closes))
    assert said.p_up is not None
    silent = [t for t in range(340) if math.isnan(said.p_up[t])]
    assert silent[: LOOKBACK - 1] == list(range(LOOKBACK - 1))
    assert silent[LOOKBACK - 1 :] == list(range(silent[LOOKBACK - 1], 340))
    assert 260 < silent[LOOKBACK - 1] < 300
    assert [t for t in range(340) if said.stances[t] == NONE] == silent
    for count in (0, 1, LOOKBACK - 1):
        few = forecast(made.card, made.scorer, from_closes(closes[:count]))
        assert few.stances == bytes([NONE]) * count


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_scored_in_parts_with_the_same_bits(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, bars = trained(model), planted("A", 7, 400, edge=0.008)
    whole = forecast(made.card, made.scorer, bars)
    monkeypatch.setattr(module, "SCORED_ROWS", 7)
    parts = forecast(made.card, made.scorer, bars)
    assert (parts.stances, parts.p_up) != (b"", None)
    assert whole.p_up is not None
    assert parts.p_up is not None
    assert parts.p_up.tobytes() == whole.p_up.tobytes()


def test_a_value_too_large_for_a_model_is_not_scored() -> None:
    made = trained("rf")
    matrix = compute_features(planted("A", 7, 210, edge=0), made_spec(made))
    matrix[205, 3], matrix[206, 4], matrix[207, 5] = 1e39, -math.inf, math.nan
    p = module.score_rows(made.scorer, matrix)
    assert np.flatnonzero(np.isnan(p)).tolist() == [*range(LOOKBACK - 1), 205, 206, 207]


def made_spec(made: TrainedModel) -> FeatureSpec:
    return FeatureSpec(preset="default", names=made.card.names)


def test_up_is_over_the_threshold_never_at_it() -> None:
    said = module.signals((), np.array([0.5, np.nextafter(0.5, 1), 0.4, np.nan]), 0.5)
    assert list(said.stances) == [DOWN, UP, DOWN, NONE]


def test_bars_that_do_not_fit_the_model_are_refused() -> None:
    made, bars = trained("logit"), planted("A", 7, 300, edge=0)
    with pytest.raises(DataError, match="trained on source sample, these bars are polygon"):
        forecast(made.card, made.scorer, replace(bars, source="polygon"))
    with pytest.raises(DataError, match="trained on timeframe 1d, these bars are 1m"):
        forecast(made.card, made.scorer, replace(bars, timeframe="1m"))
    with pytest.raises(ModelError, match="different features"):
        forecast(replace(made.card, names=made.card.names[::-1]), made.scorer, bars)


def test_a_span_the_model_has_seen_is_refused() -> None:
    card = trained("logit").card
    assert card.train_end == bar_times(1499)[0]
    check_unseen(card, card.train_end + 1)
    for from_ts in (card.train_end, card.train_end - DAY, 0):
        with pytest.raises(ModelError, match=f"model {card.id} has seen labels up to ") as caught:
            check_unseen(card, from_ts)
    assert caught.value.exit_code == 6
    first = session_date(card.train_end) + timedelta(days=1)
    assert caught.value.hint == f"--from {first} or later, or --walk-forward to refit on the way"
    check_unseen(card, to_day(first) * DAY)  # the hint is good
