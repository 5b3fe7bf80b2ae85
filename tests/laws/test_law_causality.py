"""Law 4: row t reads the past, in the share basis of t, with the same bits live and in batch."""

from __future__ import annotations

import random
import struct
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.learning.features import FeatureSpec, compute_features, feature_row
from algotrade.learning.formulas import FORMULAS, LOOKBACK
from algotrade.learning.predictor import predict_row
from learning_markets import RATIOS, from_closes, random_bars, trained, with_splits

if TYPE_CHECKING:
    from algotrade.bars import Bars

EVERYTHING = FeatureSpec(preset="all", names=tuple(FORMULAS))
COUNT = 300
MODELS = ("rf", "logit")

moods = st.sampled_from(("walk", "wild", "flat"))
seeds = st.integers(0, 2**32)
places = st.lists(st.tuples(st.integers(0, COUNT + 20), st.sampled_from(RATIOS)), max_size=3)
later_places = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(RATIOS)), max_size=1
)  # more would grow prices beyond what is summed exactly, which is refused
rows_known = st.integers(LOOKBACK - 1, COUNT - 1)


def bits(values: object) -> bytes:
    return np.array(values, dtype=np.float64).tobytes()


def last_window(bars: Bars, t: int) -> Bars:
    return bars.slice(t + 1 - LOOKBACK, t + 1)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, mood=moods, splits=places, ts=st.lists(rows_known, min_size=1, max_size=6))
def test_one_row_from_its_lookback_is_the_row_of_the_whole_history(
    seed: int, mood: str, splits: list[tuple[int, tuple[int, int]]], ts: list[int]
) -> None:
    bars = with_splits(random_bars(seed, COUNT, mood=mood), splits)
    matrix = compute_features(bars, EVERYTHING)
    for t in ts:
        assert bits(feature_row(last_window(bars, t), EVERYTHING)) == bits(matrix[t])
        assert bits(feature_row(bars.slice(0, t + 1), EVERYTHING)) == bits(matrix[t])


@settings(max_examples=30, deadline=None)
@given(seed=seeds, mood=moods, splits=places)
def test_every_row_at_and_around_each_split_agrees(
    seed: int, mood: str, splits: list[tuple[int, tuple[int, int]]]
) -> None:
    bars = with_splits(random_bars(seed, COUNT, mood=mood), splits)
    matrix = compute_features(bars, EVERYTHING)
    edges = {p + d for p, _ in splits for d in (-1, 0, 1, LOOKBACK - 2, LOOKBACK - 1, LOOKBACK)}
    for t in sorted(edge for edge in edges if LOOKBACK - 1 <= edge < COUNT):
        assert bits(feature_row(last_window(bars, t), EVERYTHING)) == bits(matrix[t])


def test_sums_stay_exact_where_running_floats_would_drift() -> None:
    rng = random.Random(5)  # noqa: S311 - a test market
    bars = from_closes([rng.randrange(10**13, 3 * 10**13) for _ in range(3000)])
    matrix = compute_features(bars, EVERYTHING)
    for t in range(LOOKBACK - 1, 3000, 100):
        assert bits(feature_row(last_window(bars, t), EVERYTHING)) == bits(matrix[t])


@settings(max_examples=30, deadline=None)
@given(seed=seeds, t=rows_known, splits=places, later=later_places)
def test_later_splits_move_nothing(
    seed: int,
    t: int,
    splits: list[tuple[int, tuple[int, int]]],
    later: list[tuple[int, tuple[int, int]]],
) -> None:
    bars = random_bars(seed, COUNT)
    known = [place for place in splits if place[0] <= t]
    unknown = [(t + 1 + index, ratio) for index, ratio in later]
    before = compute_features(with_splits(bars, known), EVERYTHING)
    after = compute_features(with_splits(bars, known + unknown), EVERYTHING)
    assert before[: t + 1].tobytes() == after[: t + 1].tobytes()


@settings(max_examples=30, deadline=None)
@given(seed=seeds, other=seeds, t=rows_known, mood=moods, splits=places)
def test_another_future_moves_nothing(
    seed: int, other: int, t: int, mood: str, splits: list[tuple[int, tuple[int, int]]]
) -> None:
    bars = with_splits(random_bars(seed, COUNT), splits)
    future = random_bars(other, COUNT, mood=mood)
    start = t + 1
    mixed = replace(
        bars,
        open=bars.open[:start] + future.open[start:],
        high=bars.high[:start] + future.high[start:],
        low=bars.low[:start] + future.low[start:],
        close=bars.close[:start] + future.close[start:],
        volume=bars.volume[:start] + future.volume[start:],
    )
    whole, perturbed = compute_features(bars, EVERYTHING), compute_features(mixed, EVERYTHING)
    assert whole[: t + 1].tobytes() == perturbed[: t + 1].tobytes()


@settings(max_examples=30, deadline=None)
@given(seed=seeds, factor=st.integers(2, 50), splits=places)
def test_scale_moves_no_model_input(
    seed: int, factor: int, splits: list[tuple[int, tuple[int, int]]]
) -> None:
    bars = with_splits(random_bars(seed, COUNT), splits)
    scaled = replace(
        bars,
        open=array("q", [price * factor for price in bars.open]),
        high=array("q", [price * factor for price in bars.high]),
        low=array("q", [price * factor for price in bars.low]),
        close=array("q", [price * factor for price in bars.close]),
    )
    names = trained("logit").card.names
    spec = FeatureSpec(preset="default", names=names)
    assert compute_features(bars, spec).tobytes() == compute_features(scaled, spec).tobytes()


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, splits=places, t=rows_known)
def test_a_live_prediction_is_the_batch_prediction(
    model: str, seed: int, splits: list[tuple[int, tuple[int, int]]], t: int
) -> None:
    made = trained(model)
    bars = with_splits(random_bars(seed, COUNT), splits)
    matrix = compute_features(bars, FeatureSpec(preset="default", names=made.card.names))
    batch = made.scorer.score_many(matrix[LOOKBACK - 1 :], made.estimator)
    live = predict_row(made.card, made.scorer, last_window(bars, t))
    assert bits(live.p_up) == bits(batch[t - LOOKBACK + 1])


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_one_arithmetic_for_one_row_and_for_many(model: str, data: st.DataObject) -> None:
    made = trained(model)
    wide = st.floats(-1e30, 1e30) | st.floats(-3, 3)
    width = len(made.card.names)
    rows = data.draw(
        st.lists(st.lists(wide, min_size=width, max_size=width), min_size=1, max_size=5)
    )
    x = np.array(rows)
    many = made.scorer.score_many(x)
    assert bits(many) == bits([made.scorer.score(row) for row in rows])
    assert bits(many) == bits(made.scorer.score_many(x, made.estimator))


def test_rows_exactly_on_a_threshold_go_the_same_way() -> None:
    made = trained("rf")
    thresholds = sorted({value for value in made.scorer.threshold if value})  # type: ignore[attr-defined] # a forest
    single = [struct.unpack("f", struct.pack("f", value))[0] for value in thresholds[:300]]
    x = np.array([[value] * len(made.card.names) for value in (*thresholds[:300], *single)])
    one = [made.scorer.score(row) for row in x.tolist()]
    assert bits(one) == bits(made.scorer.score_many(x, made.estimator))
    assert np.abs(np.array(one) - made.estimator.predict_proba(x)[:, 1]).max() <= 1e-9
