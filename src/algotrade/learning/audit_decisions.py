"""Audit of split, fit, decisions and fills: what is said at T may not depend on what comes after T.

A3 decision perturbation, A4 split, A5 fills and model dates, A6 null market, A6b shifted labels,
A8 determinism; see docs/audit.md. A pipeline is anything that turns histories into what is said at
each bar, so these tests judge training of any kind.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from math import nan, sqrt
from typing import TYPE_CHECKING

from algotrade.learning.audit_features import SAME, Outcome, differs, nearest_that_agrees
from algotrade.learning.audit_markets import futures, null_market, other_past
from algotrade.learning.evaluation import auc
from algotrade.learning.labels import UNKNOWN, compute_labels
from algotrade.learning.splits import sessions
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.splits import Fold

    Integers = NDArray[np.int64]
    Said = Mapping[str, NDArray[np.float64]]  # by symbol, one number a bar, NaN where none is said
    Pipeline = Callable[[Sequence[Bars]], Said]
    Gate = Callable[[Sequence[Bars], int], bool]  # histories, seed: whether it would promote

NULL_SEEDS, NULL_SYMBOLS, NULL_BARS = 20, 2, 900
ERRORS = 3.0  # standard errors that chance is allowed
SHIFTS = 3
LABELS_LOOKED_AT = 64


class Trade(NamedTuple):
    """One trade to be judged, microseconds UTC: when it was decided and when it was filled.

    read: ts_close of the newest bar that was read, None for the decision time. train_end: end of
    the newest label of the model that decided, None without a model.
    """

    symbol: str
    decided: int
    filled: int
    read: int | None = None
    train_end: int | None = None


def decisions(
    pipeline: Pipeline, histories: Sequence[Bars], at: Iterable[int], *, seed: int
) -> list[Outcome]:
    """A3: rerun the whole pipeline with the bars after T replaced; nothing said until T moves.

    at: the instants T. The first that moves something is told, with how far ahead it looks.
    """
    said = pipeline(histories)
    tried = list(at)
    for number, instant in enumerate(tried):
        other = pipeline(futures(histories, instant, seed + number))
        if moved := _first_moved(histories, said, other, instant):
            symbol, row, value, changed = moved
            ahead = _decision_reach(pipeline, histories, moved, instant, seed)
            ts = next(bars for bars in histories if bars.symbol == symbol).ts_close[row]
            outcome = Outcome(
                test="A3",
                passed=False,
                what="prediction",
                symbol=symbol,
                ts=ts,
                value=value,
                other=changed,
                ahead=ahead,
                detail="what was said moves with bars after it",
            )
            return [outcome]
    passed = True if tried else None
    return [Outcome(test="A3", passed=passed, detail=f"{len(tried)} other futures")]


def split(dataset: Dataset, histories: Sequence[Bars], folds: Sequence[Fold]) -> list[Outcome]:
    """A4: in each fold every training label has ended before the first test decision.

    The end of each label is found anew in the bars, by symbol and date; what the dataset says of
    it is checked, too. No (symbol, date) is in both parts.
    """
    ends = label_ends(dataset, histories)
    outcomes = [*_wrong_ends(dataset, ends)]
    for number, fold in enumerate(folds, start=1):
        outcomes += _fold(dataset, histories, ends, fold, f"fold {number}")
    passed = True if folds else None
    detail = f"{len(folds)} folds, {len(dataset)} labels" if folds else "no fold to look at"
    return outcomes or [Outcome(test="A4", passed=passed, detail=detail)]


def fills(
    trades: Sequence[Trade], histories: Sequence[Bars], *, now: int | None = None
) -> list[Outcome]:
    """A5: fills come after decisions, decisions after the bars they read and the model's labels.

    A fill at the instant of its decision is right only where a bar opens then. With `now`, no bar
    may close later: it would still be forming.
    """
    opens = {bars.symbol: bars.ts_open for bars in histories}
    outcomes = []
    for bars in histories:
        if now is not None and len(bars) and bars.ts_close[-1] > now:
            detail = "the last bar is still forming: it closes after now"
            outcomes.append(_fail("A5", "bar", bars.symbol, bars.ts_close[-1], detail))
    outcomes += [
        _fail("A5", "fill", trade.symbol, trade.decided, wrong)
        for trade in trades
        if (wrong := _trade_fault(trade, opens))
    ]
    detail = f"{len(trades)} trades"
    return outcomes or [Outcome(test="A5", passed=True, detail=detail)]


def label_trades(histories: Sequence[Bars]) -> list[Trade]:
    """Give the trades that labels assume: decided at each close, filled at the next open."""
    return [
        Trade(bars.symbol, decided, filled)
        for bars in histories
        for decided, filled in zip(bars.ts_close, bars.ts_open[1:], strict=False)
    ]


def labels_begin_at_the_fill(bars: Bars, labels: LabelSpec, *, seed: int) -> list[Outcome]:
    """A5: a label holds no move from before its fill: another past leaves it as it is."""
    import random

    y = compute_labels(bars, labels).y
    known = max(0, len(bars) - labels.horizon - 1)
    rng = random.Random(seed)  # noqa: S311 - where to look, not a secret
    for row in sorted(rng.sample(range(known), min(LABELS_LOOKED_AT, known))):
        for number in range(3):
            other = compute_labels(other_past(bars, row + 1, seed + row + number), labels).y
            if other[row] != y[row]:
                detail = "the label holds a move from before the fill"
                found = _fail("A5", "label", bars.symbol, bars.ts_close[row], detail)
                return [replace(found, value=float(y[row]), other=float(other[row]))]
    return []


def null_markets(
    pipeline: Pipeline,
    labels: LabelSpec,
    *,
    seeds: Sequence[int] = range(NULL_SEEDS),
    gate: Gate | None = None,
    bars: int = NULL_BARS,
    symbols: int = NULL_SYMBOLS,
    progress: Callable[[], None] | None = None,
) -> list[Outcome]:
    """A6: where nothing can be known, accuracy is one half and at most one run is promoted.

    Accuracy over all seeds within 3 standard errors; labels overlap, so h rows count as one.
    """
    right, count, promoted = 0, 0, 0
    for seed in seeds:
        histories = [
            null_market(f"NULL{chr(65 + number)}", 1000 * seed + number, bars)
            for number in range(symbols)
        ]
        hits, rows = _hits(pipeline(histories), histories, labels)
        right, count = right + hits, count + rows
        promoted += bool(gate and gate(histories, seed))
        if progress is not None:
            progress()
    if not count:
        return [Outcome(test="A6", passed=None, detail="the pipeline says nothing of a fair walk")]
    accuracy, band = right / count, ERRORS * 0.5 / sqrt(max(1, count / labels.horizon))
    told = f"accuracy {accuracy:.3f} on {len(seeds)} markets without a signal, 0.5 +- {band:.3f}"
    if gate is not None:
        told += f", {promoted} promoted"
    passed = abs(accuracy - 0.5) <= band and promoted <= 1
    return [
        Outcome(test="A6", passed=passed, what="accuracy", value=accuracy, other=0.5, detail=told)
    ]


def shifted_labels(
    dataset: Dataset, score: Callable[[Dataset], NDArray[np.float64]], *, seed: int
) -> list[Outcome]:
    """A6b: with labels rolled in time, by another offset for each symbol, nothing can be learned.

    score: p(up) of each row out of sample, NaN elsewhere. The mean AUC of 3 runs stays within 3
    standard errors of one run; rows of one date, and h dates, count as one.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    areas, dates = [], 0
    for _ in range(SHIFTS):
        rolled = _rolled(dataset, rng)
        p = score(rolled)
        tested = np.isfinite(p)
        area = auc(rolled.y[tested].astype(float), p[tested])
        if area is not None:
            areas.append(area)
            dates = len(np.unique(sessions(dataset.ts[tested])))
    if not areas:
        return [Outcome(test="A6b", passed=None, detail="nothing was said out of sample")]
    mean, effective = sum(areas) / len(areas), max(1.0, dates / dataset.labels.horizon)
    band = ERRORS * sqrt((effective + 1) / 3) / effective
    told = f"AUC {mean:.3f} on labels shifted in time, 0.5 +- {band:.3f}"
    passed = abs(mean - 0.5) <= band
    return [Outcome(test="A6b", passed=passed, what="AUC", value=mean, other=0.5, detail=told)]


def determinism(run: Callable[[], Mapping[str, object]]) -> list[Outcome]:
    """A8: two runs with the same seed give the same, to the bit.

    run: named results (model id, predictions as bytes, rows as bytes).
    """
    first, second = run(), run()
    wrong = [name for name in first if first[name] != second.get(name)]
    return [
        Outcome(test="A8", passed=False, what=name, detail="two runs with one seed differ")
        for name in wrong
    ] or [Outcome(test="A8", passed=True, detail=f"the same twice: {', '.join(first)}")]


# ---- parts


def label_ends(dataset: Dataset, histories: Sequence[Bars]) -> Integers:
    """Find in the bars when each row's label is known: the open of bar t + 1 + horizon."""
    import numpy as np

    ends = np.zeros(len(dataset), np.int64)
    named = {bars.symbol: bars for bars in histories}
    for index, symbol in enumerate(dataset.symbols):
        rows, bars = dataset.symbol == index, named[symbol]
        place = np.searchsorted(bars.numpy("ts_close"), dataset.ts[rows])
        ends[rows] = bars.numpy("ts_open")[place + 1 + dataset.labels.horizon]
    return ends


def _wrong_ends(dataset: Dataset, ends: Integers) -> list[Outcome]:
    import numpy as np

    wrong = np.flatnonzero(dataset.label_end < ends)
    if not len(wrong):
        return []
    row = int(wrong[0])
    symbol = dataset.symbols[int(dataset.symbol[row])]
    detail = f"{len(wrong)} labels are said to end before the bar that ends them"
    return [_fail("A4", "label end", symbol, int(dataset.ts[row]), detail)]


def _fold(
    dataset: Dataset, histories: Sequence[Bars], ends: Integers, fold: Fold, name: str
) -> list[Outcome]:
    import numpy as np

    if not len(fold.train) or not len(fold.test):
        return []
    first = int(dataset.ts[fold.test].min())
    late = fold.train[ends[fold.train] >= first]
    outcomes = []
    if len(late):
        row = int(late[np.argmin(dataset.ts[late])])
        symbol = dataset.symbols[int(dataset.symbol[row])]
        bars = next(bars for bars in histories if bars.symbol == symbol)
        latest = int(ends[late].max())
        reach = bisect_right(bars.ts_open, latest) - bisect_right(bars.ts_close, first)
        detail = f"{len(late)} training labels end at or after the first test decision"
        found = _fail("A4", name, symbol, int(dataset.ts[row]), detail)
        outcomes.append(replace(found, ahead=reach))
    days = sessions(dataset.ts)
    both = _pairs(dataset, days, fold.train) & _pairs(dataset, days, fold.test)
    if both:
        index, day = min(both, key=lambda pair: pair[1])
        row = int(np.flatnonzero((dataset.symbol == index) & (days == day))[0])
        detail = f"{len(both)} symbols and dates are in training and in test"
        outcomes.append(_fail("A4", name, dataset.symbols[index], int(dataset.ts[row]), detail))
    return outcomes


def _pairs(dataset: Dataset, days: Integers, rows: NDArray[np.intp]) -> set[tuple[int, int]]:
    return set(zip(dataset.symbol[rows].tolist(), days[rows].tolist(), strict=True))


def _trade_fault(trade: Trade, opens: Mapping[str, Sequence[int]]) -> str:
    if trade.read is not None and trade.read > trade.decided:
        return "decided before the close of a bar that it read"
    if trade.filled < trade.decided:
        return "filled before it was decided"
    if trade.filled == trade.decided and not _opens_then(opens.get(trade.symbol, ()), trade.filled):
        return "filled at the price it was decided by"
    if trade.train_end is not None and trade.decided <= trade.train_end:
        return "decided by a model that has seen labels from after the decision"
    return ""


def _opens_then(opens: Sequence[int], ts: int) -> bool:
    place = bisect_left(opens, ts)
    return place < len(opens) and opens[place] == ts


def _fail(test: str, what: str, symbol: str, ts: int, detail: str) -> Outcome:
    return Outcome(test=test, passed=False, what=what, symbol=symbol, ts=ts, detail=detail)


Moved = tuple[str, int, float, float]  # symbol, bar, what was said, what is said now


def _first_moved(histories: Sequence[Bars], said: Said, other: Said, instant: int) -> Moved | None:
    """Give the first prediction dated until `instant` that differs, by date and symbol."""
    import numpy as np

    found = []
    for bars in histories:
        stop = bisect_right(bars.ts_close, instant)
        a, b = (one.get(bars.symbol, np.full(stop, nan))[:stop] for one in (said, other))
        rows = np.flatnonzero(differs(a, b, SAME, 0.0))
        if len(rows):
            row = int(rows[0])
            found.append((bars.ts_close[row], bars.symbol, row, float(a[row]), float(b[row])))
    return min(found)[1:] if found else None


def _decision_reach(
    pipeline: Pipeline,
    histories: Sequence[Bars],
    moved: Moved,
    instant: int,
    seed: int,
) -> int:
    """Search how many bars after the prediction must stay as they are for it to stay."""
    import numpy as np

    symbol, row, value, _ = moved
    bars = next(bars for bars in histories if bars.symbol == symbol)

    def agrees(ahead: int) -> bool:
        other = pipeline(futures(histories, bars.ts_close[row + ahead], seed))[symbol][row]
        return not differs(np.array([other]), np.array([value]), SAME, 0.0).any()

    bad = bisect_right(bars.ts_close, instant) - 1 - row
    return nearest_that_agrees(agrees, bad, len(bars) - 1 - row)


def _hits(said: Said, histories: Sequence[Bars], labels: LabelSpec) -> tuple[int, int]:
    """Count what was said right, and what was said."""
    import numpy as np

    right = count = 0
    for bars in histories:
        y, p = compute_labels(bars, labels).y, said[bars.symbol]
        told = np.isfinite(p) & (y != UNKNOWN)
        right += int(((p[told] > 0.5) == (y[told] == 1)).sum())
        count += int(told.sum())
    return right, count


def _rolled(dataset: Dataset, rng: np.random.Generator) -> Dataset:
    """Roll the labels of each symbol by an offset of its own, at least a tenth of its rows."""
    import numpy as np

    y = dataset.y.copy()
    for index in range(len(dataset.symbols)):
        rows = np.flatnonzero(dataset.symbol == index)
        tenth = max(1, len(rows) // 10)
        y[rows] = np.roll(y[rows], int(rng.integers(tenth, max(tenth + 1, len(rows) - tenth))))
    return replace(dataset, y=y)
