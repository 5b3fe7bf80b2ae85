"""Features by hand and by an independent library; refusals; what the light path imports."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from algotrade.bars import Bars
from algotrade.errors import DataError, InputError, ModelError
from algotrade.learning.features import (
    DEFAULT,
    PRESETS,
    SEED,
    FeatureSpec,
    compute_features,
    feature_row,
    feature_spec,
    trend,
)
from algotrade.learning.formulas import LOOKBACK, MOMENTUM
from learning_markets import DOLLAR, RATIOS, from_closes, random_bars, with_splits


def row_of(bars: Bars, *names: str) -> tuple[float, ...]:
    return feature_row(bars, FeatureSpec(preset="test", names=names))


def test_a_straight_line_by_hand() -> None:
    bars = from_closes([day * DOLLAR for day in range(1, 201)])
    assert trend(bars) == (175.5, 100.5)
    assert row_of(bars, "close_sma_50", "close_sma_200", "sma_50_200") == (
        24.5 / 175.5,
        99.5 / 100.5,
        75 / 100.5,
    )
    assert row_of(bars, "rsi_14", "donchian_55", "volume_20") == (1.0, 1.0, 1.0)
    assert row_of(bars, "return_1", "range_vol") == (1 / 199, 0.0)


def test_volatility_and_momentum_agree_with_the_statistics_module() -> None:
    bars = random_bars(3, 260)
    closes = bars.close.tolist()
    returns = [now / before - 1 for before, now in pairwise(closes)]
    vol = {n: statistics.stdev(returns[-n:]) for n in (10, 20, 63)}
    assert row_of(bars, "vol_20", "vol_10_63") == pytest.approx(
        (vol[20], vol[10] / vol[63]), rel=1e-6
    )
    for k in MOMENTUM:
        expected = (closes[-1] / closes[-1 - k] - 1) / (vol[20] * math.sqrt(k))
        assert row_of(bars, f"momentum_{k}") == pytest.approx((expected,), rel=1e-6)
    for n in (10, 20):
        expected = (closes[-1] / statistics.mean(closes[-n:]) - 1) / vol[20]
        assert row_of(bars, f"close_sma_{n}_vol") == pytest.approx((expected,), rel=1e-6)
    gap = (bars.open[-1] / closes[-2] - 1) / vol[20]
    spread = (bars.high[-1] - bars.low[-1]) / closes[-1] / vol[20]
    assert row_of(bars, "gap_vol", "range_vol") == pytest.approx((gap, spread), rel=1e-6)


def test_channel_rsi_and_volume_agree_with_a_second_definition() -> None:
    bars = random_bars(4, 260)
    closes, shares = bars.close.tolist(), [volume // DOLLAR for volume in bars.volume]
    top, bottom = max(bars.high[-55:]), min(bars.low[-55:])
    moves = [now - before for before, now in zip(closes[-15:], closes[-14:], strict=False)]
    up, down = sum(m for m in moves if m > 0), -sum(m for m in moves if m < 0)
    expected = (
        (closes[-1] - bottom) / (top - bottom),
        1 - 1 / (1 + up / down),
        shares[-1] / statistics.mean(shares[-20:]),
    )
    assert row_of(bars, "donchian_55", "rsi_14", "volume_20") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("place", [60, 170, 209])
def test_a_split_alone_is_no_move(ratio: tuple[int, int], place: int) -> None:
    """The same value in other shares: nothing happened, and the SMA is the new price."""
    before, after = 100 * DOLLAR * ratio[1], 100 * DOLLAR * ratio[0]
    closes = [before] * place + [after] * (210 - place)
    bars = with_splits(from_closes(closes), [(place, ratio)])
    shares = [10**6 * DOLLAR * ratio[index >= place] for index in range(210)]
    bars = replace(bars, volume=type(bars.volume)("q", shares))
    assert trend(bars) == (100.0 * ratio[0], 100.0 * ratio[0])
    assert row_of(bars, "close_sma_200", "return_1", "vol_20", "volume_20") == (0, 0, 0, 1)


def test_a_flat_market_gives_nan_and_no_warning() -> None:
    bars = from_closes([100 * DOLLAR] * 210)
    names = ("rsi_14", "donchian_55", "momentum_5", "vol_10_63", "gap_vol")
    assert all(math.isnan(value) for value in row_of(bars, *names))
    last = compute_features(bars, DEFAULT)[-1]
    assert math.isnan(last[DEFAULT.names.index("rsi_14")])


def test_rows_before_the_warm_up_are_nan() -> None:
    matrix = compute_features(random_bars(1, 230), DEFAULT)
    assert matrix.shape == (230, len(DEFAULT.names))
    assert bool((matrix[: LOOKBACK - 1] != matrix[: LOOKBACK - 1]).all())
    assert bool((matrix[LOOKBACK - 1 :] == matrix[LOOKBACK - 1 :]).all())


@pytest.mark.parametrize("count", [0, 1, LOOKBACK - 1])
def test_too_few_bars_give_no_row(count: int) -> None:
    bars = random_bars(1, count) if count else Bars(source="s", symbol="AAPL", timeframe="1d")
    assert compute_features(bars, SEED).shape == (count, 2)
    with pytest.raises(DataError, match=f"AAPL: {count} bars, .* needs 200") as caught:
        feature_row(bars, SEED)
    assert "algotrade fetch" in str(caught.value.hint)


@pytest.mark.parametrize(("price", "message"), [(0, "must be positive"), (10**14, "too large")])
def test_prices_that_cannot_be_summed_exactly_are_refused(price: int, message: str) -> None:
    bars = from_closes([DOLLAR] * 200 + [price])
    with pytest.raises(DataError, match=message):
        compute_features(bars, SEED)
    with pytest.raises(DataError, match=message):
        feature_row(bars, SEED)


def test_presets() -> None:
    assert SEED.names == ("SMA_50", "SMA_200")
    assert len(DEFAULT.names) == 19
    assert not {"SMA_50", "SMA_200"} & set(DEFAULT.names)
    assert all(feature_spec(name) is spec for name, spec in PRESETS.items())
    with pytest.raises(InputError, match="unknown"):
        feature_spec("sede")
    with pytest.raises(ModelError, match="not known to this version"):
        feature_row(random_bars(1, 200), FeatureSpec(preset="x", names=("eval",)))


def test_the_light_path_loads_no_heavy_library() -> None:
    code = """
import random, sys
from array import array
from algotrade.bars import Bars
from algotrade.learning import predictor, registry
from algotrade.learning.features import DEFAULT, feature_row
rng = random.Random(1)
price = array('q', [10**8 + rng.randrange(10**6) for _ in range(200)])
bars = Bars(source='s', symbol='A', timeframe='1d', ts_open=price, ts_close=price, open=price,
            high=price, low=price, close=price, volume=price)
assert len(feature_row(bars, DEFAULT)) == 19
heavy = {'numpy', 'pandas', 'sklearn', 'joblib', 'scipy'} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
