"""Sizing columns: against plain definitions, and the same bits from the window alone."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
from array import array
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import Bars
from algotrade.domain.signals import PPM
from algotrade.errors import DataError
from algotrade.learning.sizing import _root_half_even, damped_weights, volatilities
from learning_markets import DOLLAR, RATIOS, from_closes, random_bars, with_splits

COUNT = 80
moods = st.sampled_from(("walk", "wild", "flat"))
seeds = st.integers(0, 2**32)
places = st.lists(st.tuples(st.integers(0, COUNT + 5), st.sampled_from(RATIOS)), max_size=4)
probabilities = st.lists(st.floats(0, 1) | st.floats(0.49, 0.61) | st.just(math.nan), max_size=90)


def by_definition(p_up: list[float], span: int, window: int) -> int:
    """The weight of the last of these probabilities, in fractions."""
    alpha = Fraction(2, span + 1)
    total = whole = Fraction()
    for back in range(window):
        weight = (1 - alpha) ** back
        p = p_up[-1 - back] if back < len(p_up) else math.nan
        size = 0.0 if math.isnan(p) else min(max((2 * p - 1) / 0.2, 0.0), 1.0)
        total, whole = total + weight * Fraction(size), whole + weight
    return round(total / whole * PPM)


@settings(max_examples=100, deadline=None)
@given(p_up=probabilities, span=st.integers(1, 30), window=st.integers(1, 40))
def test_a_weight_is_the_exponential_mean_of_the_raw_sizes(
    p_up: list[float], span: int, window: int
) -> None:
    found = damped_weights(array("d", p_up), span=span, window=window)
    assert len(found) == len(p_up)
    for t, weight in enumerate(found):
        # the raw size is rounded to 1e-9 on the way
        assert abs(weight - by_definition(p_up[: t + 1], span, window)) <= 1
        assert 0 <= weight <= PPM


@settings(max_examples=100, deadline=None)
@given(p_up=probabilities, window=st.integers(1, 25), span=st.integers(1, 12))
def test_the_last_probabilities_alone_give_the_same_weight(
    p_up: list[float], window: int, span: int
) -> None:
    whole = damped_weights(array("d", p_up), span=span, window=window)
    for t in range(len(p_up)):
        last = array("d", p_up[max(0, t + 1 - window) : t + 1])
        assert damped_weights(last, span=span, window=window)[-1] == whole[t]


def test_weights_by_hand() -> None:
    always = damped_weights(array("d", [0.7] * 25))
    assert always[:2].tolist() == [333434, 555723]  # it comes in by degrees: 1/3, 5/9, ...
    assert always[19:].tolist() == [PPM] * 6
    gone = damped_weights(array("d", [0.7] * 25 + [0.4, math.nan]))
    assert gone[25:].tolist() == [666566, 444277]
    assert damped_weights(array("d", [0.55, 0.5, 0.6]), span=1).tolist() == [500_000, 0, PPM]
    assert damped_weights(array("d", [0.525, 0.6]), window=1).tolist() == [250_000, PPM]
    assert damped_weights(array("d")).tolist() == []


def test_a_later_probability_moves_no_earlier_weight() -> None:
    p_up = [0.5 + (index % 7) / 50 for index in range(60)]
    whole = damped_weights(array("d", p_up))
    for t in range(60):
        assert damped_weights(array("d", p_up[:t] + [0.99] * 5))[:t] == whole[:t]


@settings(max_examples=60, deadline=None)
@given(seed=seeds, mood=moods, splits=places, window=st.integers(2, 25))
def test_the_last_bars_alone_give_the_same_volatility(
    seed: int, mood: str, splits: list[tuple[int, tuple[int, int]]], window: int
) -> None:
    bars = with_splits(random_bars(seed, COUNT, mood=mood), splits)
    whole = volatilities(bars, window=window)
    assert whole[:window].tolist() == [-1] * window
    for t in range(window, COUNT):
        assert volatilities(bars.slice(t - window, t + 1), window=window)[-1] == whole[t] >= 0
        assert volatilities(bars.slice(0, t + 1), window=window) == whole[: t + 1]


def test_a_volatility_is_that_of_the_statistics_module() -> None:
    bars = random_bars(3, 120)
    returns = [now / before - 1 for before, now in pairwise(bars.close)]
    for window, periods in ((20, 252), (5, 52)):
        found = volatilities(bars, window=window, periods_per_year=periods)
        for t in range(window, 120):
            expected = statistics.stdev(returns[t - window : t]) * math.sqrt(periods) * PPM
            assert found[t] == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize("place", [1, 10, 25, 39])
@pytest.mark.parametrize("ratio", RATIOS)
def test_a_split_alone_is_no_volatility(place: int, ratio: tuple[int, int]) -> None:
    closes = [100 * DOLLAR * ratio[1]] * place + [100 * DOLLAR * ratio[0]] * (40 - place)
    split = with_splits(from_closes(closes), [(place, ratio)])
    assert volatilities(split)[20:].tolist() == [0] * 20
    other = replace(split, splits=())
    assert max(volatilities(other)) > 0
    twice = with_splits(
        from_closes([16 * DOLLAR] * 30 + [4 * DOLLAR] * 10), [(30, (1, 2)), (30, (1, 2))]
    )
    assert max(volatilities(twice)) == 0


def test_too_few_bars_have_no_volatility() -> None:
    assert volatilities(Bars(source="s", symbol="A", timeframe="1d")).tolist() == []
    for count in (1, 20):
        assert volatilities(random_bars(1, count)).tolist() == [-1] * count
    assert volatilities(random_bars(1, 21))[-1] > 0
    with pytest.raises(DataError, match="must be positive"):
        volatilities(from_closes([DOLLAR] * 30 + [0]))


def test_a_root_is_rounded_to_the_nearest_ties_to_even() -> None:
    assert [_root_half_even(n, 1) for n in range(8)] == [0, 1, 1, 2, 2, 2, 2, 3]
    assert [_root_half_even(n * n, 4) for n in (1, 3, 5, 7)] == [0, 2, 2, 4]
    assert _root_half_even(10**40, 1) == 10**20


def test_sizing_loads_no_heavy_library() -> None:
    code = """
import sys
from array import array
from algotrade.bars import Bars
from algotrade.learning.sizing import damped_weights, volatilities
price = array('q', range(10**8, 10**8 + 21))
bars = Bars(source='s', symbol='A', timeframe='1d', ts_open=price, ts_close=price, open=price,
            high=price, low=price, close=price, volume=price)
assert volatilities(bars)[-1] >= 0
assert damped_weights(array('d', [0.6] * 20))[-1] == 1_000_000
heavy = {'numpy', 'pandas', 'sklearn', 'joblib', 'scipy'} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
