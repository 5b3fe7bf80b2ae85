"""Folds, purge and embargo, checked by brute force over label intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.errors import DataError
from algotrade.learning.splits import (
    check_split,
    holdout_fold,
    holdout_start,
    judged_folds,
    sessions,
    train_mask,
    walk_forward,
)
from learning_markets import bar_times, market


def timeline(count: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    ts = np.array([bar_times(i)[1] for i in range(count)])
    return ts, np.array([bar_times(i + 1 + horizon)[0] for i in range(count)])


def test_real_folds_do_not_peek() -> None:
    data = market(edge=0.008)
    folds = walk_forward(data.ts, data.label_end)
    assert len(folds) == 5
    tested = np.concatenate([fold.test for fold in folds])
    days = sorted(set(sessions(data.ts).tolist()))
    second_half = np.flatnonzero(sessions(data.ts) >= days[len(days) // 2])
    assert tested.tolist() == second_half.tolist()
    for fold in folds:
        check_split(data.ts, data.label_end, data.symbol, fold.train, fold.test)
        first = data.ts[fold.test].min()
        assert set(sessions(data.ts[fold.test])).isdisjoint(sessions(data.ts[fold.train]))
        # brute force: every row that may train does, and no other
        allowed = [row for row in range(len(data)) if data.label_end[row] < first]
        assert fold.train.tolist() == allowed


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(40, 120),
    horizon=st.integers(1, 10),
    start=st.integers(15, 60),
    length=st.integers(1, 30),
    embargo=st.integers(0, 12),
)
def test_purge_and_embargo_by_brute_force(
    count: int, horizon: int, start: int, length: int, embargo: int
) -> None:
    ts, end = timeline(count, horizon)
    test = np.zeros(count, bool)
    test[min(start, count - 5) : start + length] = True
    kept = train_mask(ts, end, test, resume=True, embargo=embargo)
    inside = np.flatnonzero(test)
    for row in range(count):
        apart = all(end[row] < ts[t] or ts[row] > end[t] for t in inside)
        resumed = row > inside[-1] and row >= inside[-1] + horizon + 1 + embargo
        assert kept[row] == (apart and (row < inside[0] or resumed))
    assert (train_mask(ts, end, test) == (kept & (np.arange(count) < inside[0]))).all()


def test_short_histories_get_fewer_folds() -> None:
    assert len(walk_forward(*timeline(100, 5))) == 2
    assert len(walk_forward(*timeline(60, 5))) == 0
    assert len(walk_forward(*timeline(1000, 5), folds=7)) == 7


def test_a_fold_that_peeks_is_refused() -> None:
    ts, end = timeline(50, 5)
    symbol = np.zeros(50, np.int64)
    train, test = np.arange(25), np.arange(30, 40)
    check_split(ts, end, symbol, train, test)
    with pytest.raises(DataError, match="training label ends"):
        check_split(ts, end, symbol, np.arange(26), test)
    with pytest.raises(DataError, match="in training and in test"):
        check_split(ts, ts - 1, symbol, np.array([1, 2]), np.array([2, 3]))


# ---- rolling windows


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(200, 700),
    horizon=st.integers(1, 10),
    folds=st.integers(1, 6),
    window=st.integers(60, 300),
    twice=st.booleans(),
)
def test_rolling_folds_by_brute_force(
    *, count: int, horizon: int, folds: int, window: int, twice: bool
) -> None:
    """A row trains if its label had ended and its session is one of the last `window`."""
    ts, end = timeline(count, horizon)
    if twice:  # two symbols on every date
        ts, end = np.repeat(ts, 2), np.repeat(end, 2)
    expanding = walk_forward(ts, end, folds=folds)
    rolling = walk_forward(ts, end, folds=folds, window=window)
    assert [fold.test.tolist() for fold in rolling] == [fold.test.tolist() for fold in expanding]
    dates = sorted({*ts.tolist()})
    for fold in rolling:
        first = int(ts[fold.test].min())
        place = dates.index(first)
        inside = {*dates[max(0, place - window + 1) : place + 1]}
        allowed = [row for row in range(len(ts)) if end[row] < first and int(ts[row]) in inside]
        assert fold.train.tolist() == allowed
        check_split(ts, end, np.arange(len(ts)) % 2, fold.train, fold.test)


def test_a_rolling_split_that_is_not_purged_is_seen() -> None:
    """The sabotage: one bar of the purge left out, in a window, on a panel."""
    data = market(edge=0.008)
    for fold in walk_forward(data.ts, data.label_end, window=250):
        first = data.ts[fold.test].min()
        late = np.flatnonzero((data.label_end >= first) & (data.ts < first))
        assert len(late)
        for row in late.tolist():
            with pytest.raises(DataError, match="the split peeks"):
                check_split(
                    data.ts, data.label_end, data.symbol, np.append(fold.train, row), fold.test
                )


# ---- the hold-out


@settings(max_examples=40, deadline=None)
@given(count=st.integers(480, 900), horizon=st.integers(1, 10), rolling=st.booleans())
def test_the_hold_out_is_left_alone(*, count: int, horizon: int, rolling: bool) -> None:
    ts, end = timeline(count, horizon)
    start, window = holdout_start(ts), 200 if rolling else None
    folds = judged_folds(ts, end, window=window)
    whole = walk_forward(ts, end, window=window)
    if count < 500:
        assert start is None
        assert holdout_fold(ts, end) is None
        assert [fold.test.tolist() for fold in folds] == [fold.test.tolist() for fold in whole]
        return
    kept = count * 15 // 100
    assert start == ts[count - kept]
    for fold in folds:
        assert end[fold.test].max() < start
        assert end[fold.train].max() < ts[fold.test].min()
    early = [row for row in range(count) if end[row] < start]
    assert folds[-1].test[-1] == early[-1]
    assert folds[0].test[0] == early[len(early) // 2]
    last = holdout_fold(ts, end, window=window)
    assert last is not None
    assert last.test.tolist() == list(range(count - kept, count))
    oldest = count - kept - 200 + 1 if rolling else 0
    assert last.train.tolist() == [row for row in early if row >= oldest]
