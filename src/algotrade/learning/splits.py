"""Splits: walk-forward folds by date, purged, so that no training label looks into a test block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.times import DAY, HOUR
from algotrade.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

FEWEST_DATES = 20  # a test block shorter than a month of sessions says nothing
FEWEST_TRAIN = 30
HOLDOUT_PERCENT = 15  # of the dates, the last, which no report looks at until it is asked to
ENOUGH_FOR_HOLDOUT = 500  # dates; with fewer the report would have too little left


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Row numbers of one training part and of the test block after it."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def sessions(ts: Integers) -> Integers:
    """Give the session of each instant as days since 1970 (`times.session_day`, vectorised)."""
    return (ts - 5 * HOUR) // DAY


def judged_folds(
    ts: Integers, label_end: Integers, *, folds: int = 5, window: int | None = None
) -> list[Fold]:
    """Give the folds that `train` reports on: `walk_forward` over what ended before the hold-out.

    No row of a fold is decided in the hold-out, and no label of one ends in it.
    """
    import numpy as np

    start = holdout_start(ts)
    if start is None:
        return walk_forward(ts, label_end, folds=folds, window=window)
    early = np.flatnonzero(label_end < start)
    cut = walk_forward(ts[early], label_end[early], folds=folds, window=window)
    return [Fold(early[fold.train], early[fold.test]) for fold in cut]


def holdout_start(ts: Integers) -> int | None:
    """Give the first decision of the hold-out, the last 15% of the dates; None below 500 dates."""
    import numpy as np

    day = sessions(ts)
    dates = np.unique(day)
    if len(dates) < ENOUGH_FOR_HOLDOUT:
        return None
    first = dates[len(dates) - len(dates) * HOLDOUT_PERCENT // 100]
    return int(ts[day >= first].min())


def holdout_fold(ts: Integers, label_end: Integers, *, window: int | None = None) -> Fold | None:
    """Give the hold-out as one fold: trained on every label that ended before it."""
    import numpy as np

    start = holdout_start(ts)
    if start is None:
        return None
    test = ts >= start
    train = train_mask(ts, label_end, test)
    if window is not None:
        train &= sessions(ts) >= window_start(ts, start, window)
    return Fold(np.flatnonzero(train), np.flatnonzero(test))


def window_start(ts: Integers, until: int, window: int) -> int:
    """Give the day of the oldest of the `window` sessions that end with that of `until`."""
    import numpy as np

    dates = np.unique(sessions(ts))
    place = int(np.searchsorted(dates, (until - 5 * HOUR) // DAY))
    return int(dates[max(0, place - window + 1)])


def walk_forward(
    ts: Integers, label_end: Integers, *, folds: int = 5, window: int | None = None
) -> list[Fold]:
    """Cut the second half of the dates into test blocks; train on what was known before each.

    ts, label_end: (n,) decision time and end of label, microseconds; sorted by ts. Blocks are
    cut between sessions, never inside one, and are fewer when a block would have less than
    20 sessions. Folds with fewer than 30 training rows are left out; the list may be empty.
    window: None for everything before (expanding), else the sessions whose decisions train
    (rolling), the block's first counted, as `walkforward` counts them at a refit.
    """
    import numpy as np

    day = sessions(ts)
    dates = np.unique(day)
    tested = dates[len(dates) // 2 :]
    blocks = np.array_split(tested, max(1, min(folds, len(tested) // FEWEST_DATES)))
    made = []
    for block in blocks:
        test = (day >= block[0]) & (day <= block[-1])
        train = train_mask(ts, label_end, test)
        if window is not None:
            train &= day >= window_start(ts, int(ts[test].min()), window)
        if train.sum() >= FEWEST_TRAIN:
            made.append(Fold(np.flatnonzero(train), np.flatnonzero(test)))
    return made


def train_mask(
    ts: Integers,
    label_end: Integers,
    test: NDArray[np.bool_],
    *,
    resume: bool = False,
    embargo: int = 0,
) -> NDArray[np.bool_]:
    """Mark the rows that may train a model tested on `test`.

    Purge: a row before the block stays only if its label ended before the first test decision.
    With `resume`, rows after the block come back once every test label has ended and `embargo`
    further sessions have passed; without, nothing after the block is used.
    """
    import numpy as np

    before: NDArray[np.bool_] = label_end < ts[test].min()
    if not resume:
        return before
    day = sessions(ts)
    last = label_end[test].max()
    passed = np.unique(day[ts > last])[embargo:]
    after: NDArray[np.bool_] = (ts > last) & np.isin(day, passed)
    return before | after


def check_split(
    ts: Integers,
    label_end: Integers,
    symbol: Integers,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
) -> None:
    """Refuse a walk-forward fold that peeks; raises DataError.

    Every training label must have ended before the first test decision, and no (symbol, ts) may
    be in both parts.
    """
    if len(train) and label_end[train].max() >= ts[test].min():
        raise DataError(
            "a training label ends at or after the first test decision: the split peeks"
        )
    both = _keys(ts, symbol, train) & _keys(ts, symbol, test)
    if both:
        raise DataError(f"{len(both)} rows are in training and in test: the split peeks")


def _keys(ts: Integers, symbol: Integers, rows: NDArray[np.intp]) -> set[tuple[int, int]]:
    return set(zip(symbol[rows].tolist(), ts[rows].tolist(), strict=True))
