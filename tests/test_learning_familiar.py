"""Whether a model is asked about what it was trained on: expiry, unfamiliar rows, drift."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from algotrade.domain.signals import ABSTAINS, DRIFTED, EXPIRED, KEEP, UNFAMILIAR, UP
from algotrade.learning import familiar
from algotrade.learning.card import FeatureRange, ModelCard
from algotrade.learning.dataset import Dataset, build_dataset
from algotrade.learning.familiar import (
    drift_of_matrix,
    drift_of_rows,
    drifted,
    limit,
    outside,
    reason,
    reasons,
    stability,
    usual_drift,
)
from algotrade.learning.features import feature_spec
from algotrade.learning.forecast import forecast
from algotrade.learning.labels import LabelSpec
from algotrade.learning.predictor import predict_row
from algotrade.learning.training import Plan, TrainedModel, train
from learning_markets import planted, random_bars

DECILES = tuple(k / 10 for k in range(1, 10))
NAMES = ("a", "b", "c", "d")


@cache
def dataset() -> Dataset:
    bars = [planted(symbol, 7 + place, 800, edge=0.008) for place, symbol in enumerate("AB")]
    return build_dataset(bars, feature_spec("default"), LabelSpec(horizon=5))


@cache
def made() -> TrainedModel:
    return train(dataset(), Plan(model="logit", folds=1), seed=1, now=0)


@pytest.fixture(autouse=True, scope="module")
def _trained_once() -> None:
    made()


def a_card(*, expires: int = 0, usual: float = 0.5) -> ModelCard:
    """Give a card of four features that lay evenly in [0, 1]."""
    ranges = {
        name: FeatureRange(
            mean=0.5, sd=0.29, low=0.0, high=1.0, p01=0.01, p99=0.99, deciles=DECILES, usual=usual
        )
        for name in NAMES
    }
    return replace(made().card, names=NAMES, ranges=ranges, expires=expires)


numbers = st.one_of(
    st.floats(-0.5, 1.5),
    st.sampled_from([0.0, -0.0, 1.0, *DECILES, math.nextafter(0, -1), math.nextafter(1, 2)]),
)
rows_of = st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=1, max_size=90)


@given(rows=rows_of, expires=st.sampled_from([0, 1, 5, 40]))
@example(rows=[[1.0, 0.0, -0.0, 0.5]], expires=0)
@example(rows=[[1.1, -0.1, 2.0, 0.5]], expires=0)
def test_a_row_is_strange_by_the_same_rule_in_both_arithmetics(
    rows: list[list[float]], expires: int
) -> None:
    card, closes = a_card(expires=expires), np.arange(len(rows))
    found = [ABSTAINS[code] for code in reasons(card, closes, np.array(rows))]
    for ts, row in enumerate(rows):
        strange = outside(card, row)
        assert strange == tuple(n for n, x in zip(NAMES, row, strict=True) if x < 0 or x > 1)
        assert found[ts] == reason(card, ts, len(strange))


@given(rows=rows_of)
@example(rows=[[0.1, 0.9, 0.0, 1.0]] * 63)
def test_drift_has_the_same_bits_in_both_arithmetics(rows: list[list[float]]) -> None:
    card = a_card()
    plain, batch = drift_of_rows(card, rows), drift_of_matrix(card, np.array(rows))
    assert plain == batch
    assert bool(plain) == (len(rows) >= 63)
    if plain:
        longer = [[0.3] * 4, *rows]
        assert drift_of_rows(card, longer) == plain  # the last 63 rows count


def test_the_index_is_that_of_the_formula() -> None:
    assert stability([7] * 10) == 0
    # 63 rows in one bin: by hand, a = 63.5 / 68 once and 0.5 / 68 nine times
    one, none = 63.5 / 68, 0.5 / 68
    by_hand = (one - 0.1) * math.log(one / 0.1) + 9 * (none - 0.1) * math.log(none / 0.1)
    assert stability([0, 63, *[0] * 8]) == pytest.approx(by_hand, rel=1e-12)
    assert by_hand == pytest.approx(4.0392, abs=0.0001)


def test_three_features_are_needed_and_expiry_comes_first() -> None:
    card = a_card(expires=10)
    assert [reason(card, 9, n) for n in range(5)] == ["", "", "", UNFAMILIAR, UNFAMILIAR]
    assert [reason(card, 9, 0, n) for n in range(4)] == ["", "", "", DRIFTED]
    assert reason(card, 9, 3, 4) == UNFAMILIAR
    assert reason(card, 10, 0) == reason(card, 11, 4, 4) == EXPIRED
    assert reason(a_card(), 2**60, 0) == ""


def test_an_index_counts_beyond_what_training_knew() -> None:
    found = {"a": 0.9, "b": 0.4, "c": 0.26, "d": 0.11}
    assert drifted(a_card(usual=0.5), found) == (("a", 0.9),)
    assert drifted(a_card(usual=0.05), found) == (("a", 0.9), ("b", 0.4), ("c", 0.26))
    assert len(drifted(a_card(usual=0.05), found, familiar.NOTICE)) == 4
    assert drifted(a_card(usual=0.0), found) == ()  # training was too short to tell
    assert limit(a_card(usual=0.0).ranges["a"]) == math.inf


def test_what_was_usual_is_the_largest_of_the_spans_of_training() -> None:
    data = dataset()
    deciles = np.quantile(data.x, np.arange(1, 10) / 10, axis=0)
    usual = usual_drift(data, deciles)
    for place in (0, 5, 18):
        largest = 0.0
        for symbol in (0, 1):
            column = data.x[data.symbol == symbol, place]
            for start in range(0, len(column) - 62, 7):
                counts = [0] * 10
                for value in column[start : start + 63]:
                    counts[sum(value >= edge for edge in deciles[:, place])] += 1
                largest = max(largest, stability(counts))
        assert usual[place] == pytest.approx(largest, rel=1e-12)
    # the customary 0.25 would call every quarter of training itself drifted
    assert sorted(usual)[-3] > 0.25


def test_a_card_without_ranges_never_abstains() -> None:
    card = replace(a_card(), ranges={})
    assert outside(card, [9.0] * 4) == ()
    assert not reasons(card, np.arange(3), np.full((3, 4), 9.0)).any()
    assert drift_of_rows(card, [[9.0] * 4] * 63) == drift_of_matrix(card, np.ones((63, 4))) == {}


def test_the_live_word_is_that_of_the_whole_history_when_it_is_strange_or_late() -> None:
    bars = random_bars(3, 260, mood="wild", symbol="A")
    late = replace(made().card, expires=bars.ts_close[250])
    said = forecast(late, made().scorer, bars)
    assert said.p_up is not None
    assert said.abstains is not None
    reached = set()
    for t in range(210, 260):
        live = predict_row(late, made().scorer, bars.slice(t - 199, t + 1))
        reached.add(live.abstains)
        assert ABSTAINS[said.abstains[t]] == live.abstains
        assert said.p_up[t] == live.p_up
        assert (said.stances[t] == KEEP) == (bool(live.abstains) and live.value == 1)
        assert (said.stances[t] == UP) == (not live.abstains and live.value == 1)
    assert {UNFAMILIAR, EXPIRED} <= reached


def test_drift_is_taken_as_it_was_noted() -> None:
    bars = planted("A", 7, 300, edge=0.008)
    found = (("a", 1.0), ("b", 0.9), ("c", 0.8))
    plain = predict_row(made().card, made().scorer, bars)
    there = predict_row(made().card, made().scorer, bars, found)
    assert (plain.abstains, there.abstains, there.drift) == ("", DRIFTED, found)
    assert there.p_up == plain.p_up
