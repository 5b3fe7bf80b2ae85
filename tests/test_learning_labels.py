"""Labels by hand, across splits too; datasets: order, refusals, fingerprint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import Bars
from algotrade.errors import DataError
from algotrade.learning.dataset import build_dataset
from algotrade.learning.features import DEFAULT, SEED, compute_features
from algotrade.learning.labels import LabelSpec, compute_labels
from learning_markets import DOLLAR, RATIOS, from_closes, planted, random_bars, with_splits


def labels_of(bars: Bars, horizon: int) -> list[int]:
    return [int(value) for value in compute_labels(bars, LabelSpec(horizon=horizon)).y]


def test_labels_by_hand() -> None:
    bars = from_closes([price * DOLLAR for price in (10, 11, 12, 11, 11, 13)])
    assert labels_of(bars, 1) == [1, 0, 0, 1, -1, -1]
    assert labels_of(bars, 2) == [0, 0, 1, -1, -1, -1]
    ends = compute_labels(bars, LabelSpec(horizon=2)).label_end.tolist()
    assert ends == [bars.ts_open[3], bars.ts_open[4], bars.ts_open[5], -1, -1, -1]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_histories_have_no_label(count: int) -> None:
    bars = from_closes([DOLLAR] * count) if count else Bars(source="s", symbol="A", timeframe="1d")
    assert labels_of(bars, 1) == [-1] * count


def test_labels_across_a_two_for_one_split_by_hand() -> None:
    """100, 101 before; 51 (102 in old shares), 50 (100) after: h=1 reads opens t+1 and t+2."""
    bars = with_splits(from_closes([p * DOLLAR for p in (99, 100, 101, 51, 50)]), [(3, (1, 2))])
    assert labels_of(bars, 1) == [1, 1, 0, -1, -1]


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    horizon=st.integers(1, 12),
    places=st.lists(st.tuples(st.integers(0, 45), st.sampled_from(RATIOS)), max_size=3),
)
def test_labels_equal_a_brute_force_in_fractions(
    seed: int, horizon: int, places: list[tuple[int, tuple[int, int]]]
) -> None:
    bars = with_splits(random_bars(seed, 40, mood="wild"), places)
    worth = [
        price
        * int(np.prod([new for at, (_, new) in places if at <= index], dtype=object))
        / int(np.prod([old for at, (old, _) in places if at <= index], dtype=object))
        for index, price in enumerate(bars.open)
    ]
    known = [int(worth[t + 1 + horizon] > worth[t + 1]) for t in range(max(0, 39 - horizon))]
    assert labels_of(bars, horizon) == known + [-1] * (40 - len(known))


def test_a_dataset_is_in_order_of_date_whatever_the_order_of_symbols() -> None:
    bars = [planted(symbol, seed, 320, edge=0) for seed, symbol in enumerate("BAC")]
    dataset, again = build_dataset(bars), build_dataset(bars[::-1])
    assert dataset.symbols == ("A", "B", "C")
    assert (np.diff(dataset.ts) >= 0).all()
    assert dataset.symbol[:6].tolist() == [0, 1, 2, 0, 1, 2]
    assert len(dataset) == 3 * (320 - 199 - 6)
    assert dataset.dropped == 3 * 205
    assert (dataset.label_end > dataset.ts).all()
    assert dataset.x.tobytes() == again.x.tobytes()
    assert dataset.fingerprint == again.fingerprint
    of_b = dataset.x[dataset.symbol == 1]
    assert of_b.tobytes() == compute_features(bars[0], DEFAULT)[199:314].tobytes()


def test_the_fingerprint_sees_bars_features_and_labels() -> None:
    bars = planted("A", 1, 320, edge=0)
    nudged = replace(bars, close=type(bars.close)("q", [*bars.close[:-1], bars.close[-1] + 1]))
    marks = {
        build_dataset([bars]).fingerprint,
        build_dataset([nudged]).fingerprint,
        build_dataset([bars], SEED).fingerprint,
        build_dataset([bars], DEFAULT, LabelSpec(horizon=4)).fingerprint,
    }
    assert len(marks) == 4


def test_datasets_that_cannot_be_are_refused() -> None:
    one = planted("A", 1, 320, edge=0)
    other = replace(planted("B", 2, 320, edge=0), source="polygon")
    with pytest.raises(DataError, match="different sources: polygon, sample"):
        build_dataset([one, other])
    with pytest.raises(DataError, match="different timeframes"):
        build_dataset([one, replace(other, source="sample", timeframe="1m")])
    with pytest.raises(DataError, match="A is given twice"):
        build_dataset([one, one])
    with pytest.raises(DataError, match="no bars"):
        build_dataset([])
    with pytest.raises(DataError, match="99 labelled rows from 304 bars, training needs 100"):
        build_dataset([one.slice(0, 304)])
