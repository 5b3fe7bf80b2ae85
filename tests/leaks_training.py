"""A collection of ways to fit, to split and to fill: those that know the future, and honest ones.

A pipeline is a small least-squares model walked forward over two symbols, with one thing wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from algotrade.learning.audit_decisions import Trade, label_ends
from algotrade.learning.labels import LabelSpec, compute_labels
from algotrade.learning.splits import Fold, sessions, walk_forward
from learning_markets import bar_times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from algotrade.bars import Bars
    from algotrade.learning.audit_decisions import Said
    from algotrade.learning.dataset import Dataset

    Array: TypeAlias = Any  # arrays of any type: a leak is no place for fine points
    Fit: TypeAlias = Callable[["Table", Fold], Array]

LABELS = LabelSpec(horizon=5)
FIRST, STEP = 200, 70  # first tested bar, bars of a test block


class Table(NamedTuple):
    """Rows of all symbols by (ts, symbol); y is -1 where it is not known."""

    x: Array
    y: Array
    ts: Array
    end: Array
    symbol: Array
    bar: Array


def table(histories: Sequence[Bars]) -> Table:
    parts = []
    for index, bars in enumerate(histories):
        close, count = bars.numpy("close").astype(float), len(bars)
        label = compute_labels(bars, LABELS)
        x = np.zeros((count, 4))
        for column, lag in enumerate((1, 5, 10)):
            x[lag:, column] = close[lag:] / close[:-lag] - 1
        x[:, 3] = sessions(bars.numpy("ts_close")) % 7
        where = np.full(count, index)
        parts.append((x, label.y, bars.numpy("ts_close"), label.label_end, where, np.arange(count)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[4], columns[2]))
    return Table(*(column[order] for column in columns))


def purged(rows: Table) -> list[Fold]:
    """Blocks of dates after bar 200; before each, the rows whose label had ended."""
    folds = []
    for first in range(FIRST, int(rows.bar.max()) + 1, STEP):
        test = (rows.bar >= first) & (rows.bar < first + STEP)
        train = (rows.y >= 0) & (rows.end < rows.ts[test].min())
        folds.append(Fold(np.flatnonzero(train), np.flatnonzero(test)))
    return folds


def least_squares(x: Array, y: Array, asked: Array) -> Array:
    design = np.column_stack([x, np.ones(len(x))])
    penalty = 1e-3 * np.eye(design.shape[1])
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ y)
    return np.column_stack([asked, np.ones(len(asked))]) @ weights


def pipeline(
    fit: Fit, folds: Callable[[Table], list[Fold]] = purged
) -> Callable[[Sequence[Bars]], Said]:
    """Turn a fit of one fold into what is said at each bar."""

    def say(histories: Sequence[Bars]) -> Said:
        rows = table(histories)
        p = np.full(len(rows.y), np.nan)
        for fold in folds(rows):
            p[fold.test] = fit(rows, fold)
        return {bars.symbol: p[rows.symbol == index] for index, bars in enumerate(histories)}

    return say


# ---- fits


def clean(rows: Table, fold: Fold) -> Array:
    x = rows.x[fold.train]
    mean, spread = x.mean(axis=0), x.std(axis=0)
    asked = (rows.x[fold.test] - mean) / spread
    return least_squares((x - mean) / spread, rows.y[fold.train], asked)


def scaled_on_all(rows: Table, fold: Fold) -> Array:
    x = (rows.x - rows.x.mean(axis=0)) / rows.x.std(axis=0)
    return least_squares(x[fold.train], rows.y[fold.train], x[fold.test])


def component_of_all(rows: Table, fold: Fold) -> Array:
    x = rows.x - rows.x.mean(axis=0)
    axis = np.linalg.eigh(x.T @ x)[1][:, -2:]
    x = x @ (axis * np.sign(axis.sum(axis=0)))
    return least_squares(x[fold.train], rows.y[fold.train], x[fold.test])


def encoded(rows: Table, fold: Fold, known: Array) -> Array:
    """Put in place of each weekday its share of ups among `known` rows."""
    x = rows.x.copy()
    for day in range(7):
        mine = rows.x[:, 3] == day
        x[mine, 3] = rows.y[known][rows.x[known, 3] == day].mean()
    return least_squares(x[fold.train], rows.y[fold.train], x[fold.test])


def encoded_on_all(rows: Table, fold: Fold) -> Array:
    return encoded(rows, fold, np.flatnonzero(rows.y >= 0))


def encoded_on_training(rows: Table, fold: Fold) -> Array:
    return encoded(rows, fold, fold.train)


def selected(rows: Table, fold: Fold, known: Array) -> Array:
    """Keep the two columns that go best with the label in `known` rows; weigh them by it."""
    spread = np.array([np.corrcoef(rows.x[known, k], rows.y[known])[0, 1] for k in range(4)])
    kept = np.argsort(-np.abs(spread))[:2]
    x = rows.x[:, kept] * spread[kept]
    return least_squares(x[fold.train], rows.y[fold.train], x[fold.test])


def selected_on_all(rows: Table, fold: Fold) -> Array:
    return selected(rows, fold, np.flatnonzero(rows.y >= 0))


def selected_on_training(rows: Table, fold: Fold) -> Array:
    return selected(rows, fold, fold.train)


def best_threshold(p: Array, y: Array) -> float:
    tried = np.quantile(p, np.linspace(0.1, 0.9, 17))
    return float(max(tried, key=lambda one: ((p > one) == (y == 1)).mean()))


def threshold_of_test(rows: Table, fold: Fold) -> Array:
    p = clean(rows, fold)
    return (p > best_threshold(p, rows.y[fold.test])).astype(float)


def threshold_of_training(rows: Table, fold: Fold) -> Array:
    inside = clean(rows, Fold(fold.train, fold.train))
    return (clean(rows, fold) > best_threshold(inside, rows.y[fold.train])).astype(float)


def chosen_on_test(rows: Table, fold: Fold) -> Array:
    """Model choice by the test block."""
    kinds = [clean(rows, fold), scaled_trend(rows, fold), 1 - scaled_trend(rows, fold)]
    return max(kinds, key=lambda p: ((p > 0.5) == (rows.y[fold.test] == 1)).mean())


def scaled_trend(rows: Table, fold: Fold) -> Array:
    return np.clip(0.5 + 5 * rows.x[fold.test, 2], 0, 1)


def balanced_by_all(rows: Table, fold: Fold) -> Array:
    return clean(rows, fold) - rows.y[rows.y >= 0].mean() + 0.5


def smoothed_ahead(rows: Table, fold: Fold) -> Array:
    """Probabilities damped by those of the days after, too."""
    p = clean(rows, fold)
    for index in set(rows.symbol.tolist()):
        mine = rows.symbol[fold.test] == index
        p[mine] = np.convolve(p[mine], np.ones(3) / 3, mode="same")
    return p


def nearest(rows: Table, fold: Fold) -> Array:
    """One nearest neighbour: remembers what it has seen."""
    x, asked = rows.x[fold.train, :3], rows.x[fold.test, :3]
    far = ((asked[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
    return rows.y[fold.train][far.argmin(axis=1)].astype(float)


def nearest_date(rows: Table, fold: Fold) -> Array:
    """The label of the nearest date: right by overlap alone where folds are shuffled."""
    far = np.abs(rows.ts[fold.test][:, None] - rows.ts[fold.train])
    far = far + 10**18 * (rows.symbol[fold.test][:, None] != rows.symbol[fold.train])
    return rows.y[fold.train][far.argmin(axis=1)].astype(float)


# ---- folds of a pipeline


def shuffled(rows: Table) -> list[Fold]:
    known = np.random.default_rng(3).permutation(np.flatnonzero(rows.y >= 0))
    parts = np.array_split(known, 5)
    return [Fold(np.setdiff1d(known, part), np.sort(part)) for part in parts]


def in_sample(rows: Table) -> list[Fold]:
    return [Fold(np.flatnonzero(rows.y >= 0), np.flatnonzero(rows.bar >= FIRST))]


def unended(rows: Table) -> list[Fold]:
    """Trains on every row decided before the block, whenever its label ends."""
    return [
        Fold(np.flatnonzero((rows.y >= 0) & (rows.ts < rows.ts[fold.test].min())), fold.test)
        for fold in purged(rows)
    ]


def blocked(rows: Table) -> list[Fold]:
    """K folds in time order: each block is tested by what came before and after."""
    known = np.flatnonzero(rows.y >= 0)
    return [Fold(np.setdiff1d(known, part), part) for part in np.array_split(known, 5)]


class Fitted(NamedTuple):
    name: str
    say: Callable[[Sequence[Bars]], Said]


PEEKING = [
    Fitted("scaler fitted on all rows", pipeline(scaled_on_all)),
    Fitted("component fitted on all rows", pipeline(component_of_all)),
    Fitted("target encoding on all rows", pipeline(encoded_on_all)),
    Fitted("columns selected on all rows", pipeline(selected_on_all)),
    Fitted("threshold tuned on test", pipeline(threshold_of_test)),
    Fitted("model chosen on test", pipeline(chosen_on_test)),
    Fitted("balance of all labels", pipeline(balanced_by_all)),
    Fitted("probabilities smoothed ahead", pipeline(smoothed_ahead)),
    Fitted("shuffled folds", pipeline(clean, shuffled)),
    Fitted("folds before and after", pipeline(clean, blocked)),
    Fitted("judged in sample", pipeline(clean, in_sample)),
    Fitted("labels that had not ended", pipeline(clean, unended)),
]
HONEST_FITS = [
    Fitted("scaler fitted on training", pipeline(clean)),
    Fitted("target encoding on training", pipeline(encoded_on_training)),
    Fitted("columns selected on training", pipeline(selected_on_training)),
    Fitted("threshold tuned on training", pipeline(threshold_of_training)),
    Fitted("a rule", pipeline(scaled_trend)),
    Fitted("nearest neighbour", pipeline(nearest)),
]

# ---- folds of a dataset


def own_folds(data: Dataset, histories: Sequence[Bars]) -> list[Fold]:  # noqa: ARG001 - one form
    return walk_forward(data.ts, data.label_end)


def unpurged(data: Dataset, histories: Sequence[Bars]) -> list[Fold]:
    return [
        Fold(np.flatnonzero(data.ts < data.ts[fold.test].min()), fold.test)
        for fold in own_folds(data, histories)
    ]


def purged_one_bar_short(data: Dataset, histories: Sequence[Bars]) -> list[Fold]:
    """Purges by the horizon alone: a label begins one bar after its decision, so one row peeks."""
    day = sessions(data.ts)
    return [
        Fold(np.flatnonzero(day <= day[fold.test].min() - data.labels.horizon), fold.test)
        for fold in own_folds(data, histories)
    ]


def gap_in_rows(data: Dataset, histories: Sequence[Bars]) -> list[Fold]:
    """A gap of horizon + 1 rows: on a panel of two symbols that is half of what is needed."""
    gap = data.labels.horizon + 1
    return [Fold(np.arange(fold.test[0] - gap), fold.test) for fold in own_folds(data, histories)]


def after_the_first_label(data: Dataset, histories: Sequence[Bars]) -> list[Fold]:
    """Starts the test window at the end of its first label (mlfinlab issue 295)."""
    folds = []
    for fold in own_folds(data, histories):
        start = data.label_end[fold.test].min()
        folds.append(Fold(np.flatnonzero(data.label_end < start), fold.test))
    return [Fold(np.setdiff1d(fold.train, fold.test), fold.test) for fold in folds]


def shuffled_rows(data: Dataset, histories: Sequence[Bars]) -> list[Fold]:  # noqa: ARG001 - one form
    parts = np.array_split(np.random.default_rng(5).permutation(len(data)), 5)
    return [Fold(np.setdiff1d(np.arange(len(data)), part), np.sort(part)) for part in parts]


def cut_inside_a_date(data: Dataset, histories: Sequence[Bars]) -> list[Fold]:
    """Half by rows: one symbol's row of a date trains, the other's is tested."""
    middle = len(data) // 2 | 1
    known = label_ends(data, histories) < data.ts[middle]
    train = np.union1d(np.flatnonzero(known), [middle])
    return [Fold(train, np.arange(middle, len(data)))]


def by_the_date_before(data: Dataset, histories: Sequence[Bars]) -> list[Fold]:
    """Honest: a gap by date, longer than needed."""
    day = sessions(data.ts)
    return [
        Fold(np.flatnonzero(day < day[fold.test].min() - 2 * data.labels.horizon), fold.test)
        for fold in own_folds(data, histories)
    ]


SPLITS = [
    unpurged,
    purged_one_bar_short,
    gap_in_rows,
    after_the_first_label,
    shuffled_rows,
    cut_inside_a_date,
]
HONEST_SPLITS = [own_folds, by_the_date_before]

# ---- fills; bar times are those of the test markets

OPEN, CLOSE = bar_times(10)
NEXT_OPEN, NEXT_CLOSE = bar_times(11)
MINUTE = 60_000_000
FILLS = {
    "filled at the close it was decided by": Trade("A", CLOSE, CLOSE),
    "filled at the open of the bar it was decided by": Trade("A", CLOSE, OPEN),
    "filled an instant before": Trade("A", CLOSE, CLOSE - 1),
    "decided before the bar had closed": Trade("A", CLOSE - MINUTE, NEXT_OPEN, read=CLOSE),
    "decided by tomorrow's bar": Trade("A", CLOSE, NEXT_OPEN, read=NEXT_CLOSE),
    "model trained past the decision": Trade("A", CLOSE, NEXT_OPEN, train_end=NEXT_OPEN),
    "model whose last label ends then": Trade("A", CLOSE, NEXT_OPEN, train_end=CLOSE),
}
HONEST_FILLS = {
    "next open": Trade("A", CLOSE, NEXT_OPEN, read=CLOSE),
    "next close": Trade("A", CLOSE, NEXT_CLOSE),
    "at an open where one begins": Trade("A", NEXT_OPEN, NEXT_OPEN, read=CLOSE),
    "model of before": Trade("A", CLOSE, NEXT_OPEN, train_end=OPEN),
}
