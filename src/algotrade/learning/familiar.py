"""Familiar: whether a model is still asked about what it was trained on, and in its time.

Three reasons to enter nothing: the model is past its time; a row lies outside all that training saw
in 3 features; the last 63 rows of a symbol have drifted in 3 features. Standard library only, but
for the functions over a whole history, which give the same answers.

The population stability index of a feature is sum((a - e) ln(a / e)) over ten bins between the
deciles of training, e = 0.1, a = (count + 0.5) / (rows + 5): Siddiqi, Credit Risk Scorecards,
2006, with half a row added to each bin. Its customary bounds 0.10 and 0.25 are for independent
rows; 63 rows in a row of one symbol are not, and a slow feature such as the distance from SMA_200
passes 0.25 in any of them. So a feature drifts when its index is over 0.25 and over the largest
that 63 such rows had in training.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

from algotrade.domain.signals import DRIFTED, EXPIRED, UNFAMILIAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.card import FeatureRange, ModelCard
    from algotrade.learning.dataset import Dataset

FEWEST = 3  # features that must be outside, or have drifted
ROWS = 63  # a quarter of a year, whose rows are compared with training
DRIFT, NOTICE = 0.25, 0.10
_BINS, _STEP = 10, 7  # the spans of training begin 7 rows apart
_EXPECTED = 1 / _BINS


def outside(card: ModelCard, row: Sequence[float]) -> tuple[str, ...]:
    """Name the features of one row, in the order of `card.names`, beyond all that training saw."""
    found = []
    for name, value in zip(card.names, row, strict=True):
        seen = card.ranges.get(name)
        if seen is not None and not seen.low <= value <= seen.high:
            found.append(name)
    return tuple(found)


def reason(card: ModelCard, ts: int, strange: int, drifted: int = 0) -> str:
    """Give why a model enters nothing on a bar that closes at `ts`; one of `signals.ABSTAINS`.

    strange, drifted: how many features are outside, and have drifted.
    """
    if card.expires and ts >= card.expires:
        return EXPIRED
    if strange >= FEWEST:
        return UNFAMILIAR
    return DRIFTED if drifted >= FEWEST else ""


def reasons(
    card: ModelCard, closes: NDArray[np.int64], matrix: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Give the reason at every bar as its place in ABSTAINS: (n,), of rows (n, k); no drift."""
    import numpy as np

    from algotrade.domain.signals import ABSTAINS

    strange = np.zeros(len(matrix), np.int64)
    for place, name in enumerate(card.names):
        seen = card.ranges.get(name)
        if seen is not None:
            strange += (matrix[:, place] < seen.low) | (matrix[:, place] > seen.high)
    found = np.where(strange >= FEWEST, ABSTAINS.index(UNFAMILIAR), 0)
    if card.expires:
        found[closes >= card.expires] = ABSTAINS.index(EXPIRED)
    return found.astype(np.uint8)


def stability(counts: Sequence[int]) -> float:
    """Give the population stability index of the rows in each of the ten bins."""
    rows = sum(counts) + _BINS / 2
    shares = [(count + 0.5) / rows for count in counts]
    return math.fsum((share - _EXPECTED) * math.log(share / _EXPECTED) for share in shares)


def drift_of_rows(card: ModelCard, rows: Sequence[Sequence[float]]) -> dict[str, float]:
    """Give the index of each feature over the last 63 rows, each in the order of `card.names`.

    Empty where there are fewer rows, or a card that keeps no deciles.
    """
    if len(rows) < ROWS or not card.ranges:
        return {}
    columns = zip(card.names, zip(*rows[-ROWS:], strict=True), strict=True)
    return {name: stability(_counts(values, card.ranges[name])) for name, values in columns}


def drift_of_matrix(card: ModelCard, matrix: NDArray[np.float64]) -> dict[str, float]:
    """Give what `drift_of_rows` gives for the last 63 rows of (n, k), to the bit."""
    import numpy as np

    if len(matrix) < ROWS or not card.ranges:
        return {}
    found = {}
    for place, name in enumerate(card.names):
        bins = np.searchsorted(card.ranges[name].deciles, matrix[-ROWS:, place], side="right")
        found[name] = stability(np.bincount(bins, minlength=_BINS).tolist())
    return found


def limit(seen: FeatureRange, bound: float = DRIFT) -> float:
    """Give the index from which on a feature counts; infinite where training was too short."""
    return max(bound, seen.usual) if seen.usual else math.inf


def drifted(
    card: ModelCard, found: Mapping[str, float], bound: float = DRIFT
) -> tuple[tuple[str, float], ...]:
    """Give the features whose index is over their limit, the worst first."""
    over = [
        (name, index)
        for name, index in found.items()
        if name in card.ranges and index > limit(card.ranges[name], bound)
    ]
    return tuple(sorted(over, key=lambda pair: -pair[1]))


def usual_drift(dataset: Dataset, deciles: NDArray[np.float64]) -> list[float]:
    """Give for each feature the largest index of any 63 rows of a symbol among those of training.

    deciles: (9, k). The spans begin 7 rows apart. 0 where no symbol has 63 rows.
    """
    import numpy as np

    order = np.argsort(dataset.symbol, kind="stable")  # by symbol, then in time
    starts = _spans(np.bincount(dataset.symbol, minlength=len(dataset.symbols)).tolist())
    if not len(starts):
        return [0.0] * len(dataset.features.names)
    found = []
    for place in range(len(dataset.features.names)):
        bins = np.searchsorted(deciles[:, place], dataset.x[order, place], side="right")
        within = np.zeros((len(bins) + 1, _BINS), np.int32)
        np.cumsum(bins[:, None] == np.arange(_BINS), axis=0, out=within[1:])
        shares = (within[starts + ROWS] - within[starts] + 0.5) / (ROWS + _BINS / 2)
        indices = ((shares - _EXPECTED) * np.log(shares / _EXPECTED)).sum(axis=1)
        found.append(float(indices.max()))
    return found


def _spans(lengths: Iterable[int]) -> NDArray[np.int64]:
    """Give where the spans of 63 rows begin in rows that lie symbol after symbol."""
    import numpy as np

    parts, first = [np.zeros(0, np.int64)], 0
    for length in lengths:
        parts.append(np.arange(first, first + length - ROWS + 1, _STEP))
        first += length
    return np.concatenate(parts)


def _counts(values: Sequence[float], seen: FeatureRange) -> list[int]:
    counts = [0] * _BINS
    for value in values:
        counts[bisect_right(seen.deciles, value)] += 1
    return counts
