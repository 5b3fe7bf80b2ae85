"""Datasets: features and labels of several symbols in one table, ordered by date."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from algotrade.errors import DataError
from algotrade.learning.cross import bind
from algotrade.learning.features import DEFAULT, TREND, FeatureSpec, compute_features
from algotrade.learning.labels import UNKNOWN, LabelSpec, compute_labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars

FEWEST_ROWS = 100
BASELINE_COLUMNS = (*TREND, "return_1")  # what the simple rules beside a score look at


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Labelled rows in order of (decision time, symbol); n rows, k features.

    x: (n, k) float64, finite. y: (n,) int8, 0 or 1. ts: (n,) decision time (ts_close).
    label_end: (n,) when the label is known. change: (n,) simple return from entry to exit.
    symbol: (n,) index into `symbols`.
    rules: (n, 3) SMA_50, SMA_200 (dollars) and the last return, for baselines.
    dropped: bars without a full look-back, a finite row or a known label.
    first_ts, last_ts: ts_close of the first and the last bar read.
    """

    x: NDArray[np.float64]
    y: NDArray[np.int8]
    ts: NDArray[np.int64]
    label_end: NDArray[np.int64]
    change: NDArray[np.float64]
    symbol: NDArray[np.int64]
    rules: NDArray[np.float64]
    dropped: int
    source: str
    timeframe: str
    symbols: tuple[str, ...]
    first_ts: int
    last_ts: int
    features: FeatureSpec
    labels: LabelSpec
    fingerprint: str

    def __len__(self) -> int:
        return len(self.y)


def take_rows(dataset: Dataset, rows: NDArray[np.intp]) -> Dataset:
    """Give a dataset of these rows, of the same bars."""
    import numpy as np

    columns: dict[str, Any] = {
        one.name: column[rows]
        for one in fields(dataset)
        if isinstance(column := getattr(dataset, one.name), np.ndarray)
    }
    return replace(dataset, **columns)


def build_dataset(
    bars: Sequence[Bars], features: FeatureSpec = DEFAULT, labels: LabelSpec | None = None
) -> Dataset:
    """Compute features and labels of every symbol and keep the complete rows.

    The order of `bars` does not matter; they are the universe of features that compare symbols.
    Raises DataError for mixed sources or timeframes, a symbol given twice, and fewer than 100
    labelled rows; InputError where a universe is too small.
    """
    import numpy as np

    chosen = labels or LabelSpec()
    ordered = sorted(bars, key=lambda one: one.symbol)
    _check_alike(ordered)
    bound = bind(features, ordered)
    parts = [_rows(one, bound, chosen, index) for index, one in enumerate(ordered)]
    matrix, y, ts, label_end, change, symbol = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    total = sum(len(one) for one in ordered)
    _check_enough(len(y), total, features, chosen)
    order = np.lexsort((symbol, ts))
    width = len(features.names)
    return Dataset(
        x=np.ascontiguousarray(matrix[order, :width]),
        y=y[order],
        ts=ts[order],
        label_end=label_end[order],
        change=change[order],
        symbol=symbol[order],
        rules=matrix[order, width:],
        dropped=total - len(y),
        source=ordered[0].source,
        timeframe=ordered[0].timeframe,
        symbols=tuple(one.symbol for one in ordered),
        first_ts=min(one.ts_close[0] for one in ordered if len(one)),
        last_ts=max(one.ts_close[-1] for one in ordered if len(one)),
        features=features,
        labels=chosen,
        fingerprint=_fingerprint(ordered, features, chosen),
    )


def _rows(
    bars: Bars, features: FeatureSpec, labels: LabelSpec, index: int
) -> tuple[NDArray[Any], ...]:
    """Give one symbol's complete rows: matrix (with rules), y, ts, label_end, change, symbol."""
    import numpy as np

    wide = replace(features, names=(*features.names, *BASELINE_COLUMNS))
    matrix = compute_features(bars, wide)
    label = compute_labels(bars, labels)
    keep = np.isfinite(matrix).all(axis=1) & (label.y != UNKNOWN)
    ts, symbol = bars.numpy("ts_close"), np.full(int(keep.sum()), index, np.int64)
    seen, end, change = label.y[keep], label.label_end[keep], label.change[keep]
    return matrix[keep], seen, ts[keep], end, change, symbol


def _check_alike(bars: Sequence[Bars]) -> None:
    if not bars:
        raise DataError("no bars to learn from", hint="load some: algotrade fetch")
    for what, values in (
        ("sources", {one.source for one in bars}),
        ("timeframes", {one.timeframe for one in bars}),
    ):
        if len(values) > 1:
            raise DataError(
                f"bars of different {what}: {', '.join(sorted(values))}",
                hint="train on one source and one timeframe",
            )
    symbols = [one.symbol for one in bars]
    twice = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
    if twice:
        raise DataError(f"{twice[0]} is given twice", hint="name each symbol once")


def _check_enough(rows: int, total: int, features: FeatureSpec, labels: LabelSpec) -> None:
    if rows < FEWEST_ROWS:
        raise DataError(
            f"{rows} labelled rows from {total} bars, training needs {FEWEST_ROWS}: each symbol"
            f" gives {features.lookback - 1} bars to the look-back and {labels.horizon + 1} to the"
            f" label{', and 80% of them must have bars' if features.crosses else ''}",
            hint="load more bars: algotrade fetch with an earlier start",
        )


def _fingerprint(bars: Sequence[Bars], features: FeatureSpec, labels: LabelSpec) -> str:
    """Give the SHA-256 of everything the rows were made from."""
    digest = hashlib.sha256()
    for one in bars:
        digest.update(one.fingerprint().encode())
    spec = f"|{','.join(features.names)}|{features.lookback}|{labels.horizon}"
    digest.update(spec.encode())
    if features.own is not None:
        digest.update(f"|{features.preset}".encode())  # it holds the hash of the file
    return digest.hexdigest()
