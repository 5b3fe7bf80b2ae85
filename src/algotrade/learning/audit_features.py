"""Audit of features: no row may change when later bars are cut off, replaced or never were.

A1 truncation, A1b perturbation, A2 start-up, A7 scale; see docs/audit.md. A test gives one outcome
for each feature that fails, or one that says what was looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from algotrade.errors import InputError
from algotrade.learning.audit_markets import futures, other_future, rescaled, without_splits
from algotrade.learning.cross_rules import read_with
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.audit_subject import Subject

    Matrix = NDArray[np.float64]
    Part = Matrix | InputError | None
    Reach = Callable[[int], Part]

CUTS, WARM_UP_CUTS = 32, 8
OTHER_FUTURES = 12
EXHAUSTIVE = 500  # last bars of which each is a cut
ENDS = 4  # bars at which the start-up is looked at
STARTS = (250, 500, 1000, 2000)
SAME, START_SAME, SCALE_SAME = 1e-9, 1e-6, 1e-6  # relative
FACTOR = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one test found of one thing.

    passed: None where the test does not apply or could not be made. what: a feature, or the part
    of the pipeline. ts: first offending bar (ts_close, microseconds). value, other: with the later
    bars as they are, and without them or with others. ahead: how many bars further it looks.
    """

    test: str
    passed: bool | None
    what: str = ""
    symbol: str = ""
    ts: int | None = None
    value: float | None = None
    other: float | None = None
    ahead: int | None = None
    detail: str = ""


class Found(NamedTuple):
    """Where a column moved first: the row, the cut that showed it, the value there, an error."""

    row: int
    cut: int
    other: float | None
    error: str


# ---- the tests


def truncation(of: Subject, bars: Bars, *, seed: int, exhaustive: bool = False) -> list[Outcome]:
    """A1: rows computed without the bars after t are those computed with them, up to t.

    32 cuts, 8 of them inside the warm-up, the whole prefix compared at each; `exhaustive` adds
    every t of the last 500 bars.
    """
    given = _given(of, bars)
    whole = of.rows(given)
    cuts = _cuts(len(given), of.lookback, seed, exhaustive=exhaustive)
    without = {cut: partial(_cut_rows, of, given, cut) for cut in cuts}
    found = _compare(whole, without)
    reach = partial(_cut_rows, of, given)
    return _outcomes("A1", of, given, whole, found, reach) or [
        Outcome(test="A1", passed=True, symbol=bars.symbol, detail=f"{len(cuts)} cuts")
    ]


def perturbation(of: Subject, bars: Bars, *, seed: int) -> list[Outcome]:
    """A1b: rows up to t stay the same when the bars after t are replaced by another path."""
    given = _given(of, bars)
    whole = of.rows(given)
    cuts = _cuts(len(given), of.lookback, seed + 1, exhaustive=False)[:: CUTS // OTHER_FUTURES]
    other = {cut: partial(_other_rows, of, given, seed, cut) for cut in cuts}
    found = _compare(whole, other)
    reach = partial(_other_rows, of, given, seed)
    return _outcomes("A1b", of, given, whole, found, reach) or [
        Outcome(test="A1b", passed=True, symbol=bars.symbol, detail=f"{len(cuts)} other futures")
    ]


def start_up(of: Subject, bars: Bars, *, seed: int) -> list[Outcome]:
    """A2: the row of a bar from the declared look-back is that from a longer history.

    To 1e-6; to the bit where a row of the last bar is claimed. Recursive averages and statistics
    of the whole sample fail; bars needed are searched among 250, 500, 1000, 2000 and all.
    """
    given = _given(of, bars)
    ends = [end for end in _ends(len(given), of.lookback, seed) if end >= of.lookback]
    failed: dict[str, Outcome] = {}
    for end in ends:
        for outcome in _starts(of, given.slice(0, end + 1)):
            failed.setdefault(outcome.what, outcome)
    detail = f"{of.lookback} bars give the row of all, at {len(ends)} bars"
    passed = True if ends else None
    return list(failed.values()) or [
        Outcome(test="A2", passed=passed, symbol=bars.symbol, detail=detail)
    ]


def scale(of: Subject, bars: Bars) -> list[Outcome]:
    """A7: rows stay the same when every price is multiplied by 7; dollars are left out."""
    import numpy as np

    given = _given(of, bars)
    whole, moved = of.rows(given), of.rows(rescaled(given, FACTOR))
    wrong = differs(whole, moved, SCALE_SAME, _typical(whole))
    outcomes = []
    for column in np.flatnonzero(wrong.any(axis=0)):
        if of.names[column] in of.in_dollars:
            continue
        row = int(wrong[:, column].argmax())
        outcomes.append(
            Outcome(
                test="A7",
                passed=False,
                what=of.names[column],
                symbol=bars.symbol,
                ts=given.ts_close[row],
                value=float(whole[row, column]),
                other=float(moved[row, column]),
                detail=f"moves with the price level (prices times {FACTOR}): use ratios, or"
                " declare scale_free=False",
            )
        )
    claimed = [name for name in of.names if name not in of.in_dollars]
    dollars = ", ".join(sorted(of.in_dollars))
    detail = f"not judged, in dollars: {dollars}" if dollars else f"prices times {FACTOR}"
    passed = True if claimed else None
    return outcomes or [Outcome(test="A7", passed=passed, symbol=bars.symbol, detail=detail)]


# ---- comparing


def differs(a: Matrix, b: Matrix, tolerance: float, floor: Matrix | float) -> NDArray[np.bool_]:
    """Mark where two arrays differ by more than `tolerance` of their size, or of `floor`.

    NaN equals NaN and nothing else; an infinity equals itself.
    """
    import numpy as np

    with np.errstate(invalid="ignore"):
        size = np.maximum(np.maximum(np.abs(a), np.abs(b)), floor)
        far = ~(np.abs(a - b) <= tolerance * size) | (np.isinf(a) != np.isinf(b))
    wrong: NDArray[np.bool_] = far & ~((a == b) | (np.isnan(a) & np.isnan(b)))
    return wrong


def nearest_that_agrees(agrees: Callable[[int], bool], bad: int, good: int) -> int:
    """Search the smallest distance in (bad, good] that agrees, where `good` is known to.

    The first five are tried one by one, the rest is halved.
    """
    for near in range(bad + 1, min(bad + 6, good)):
        if agrees(near):
            return near
        bad = near
    while good - bad > 1:
        middle = (bad + good) // 2
        bad, good = (bad, middle) if agrees(middle) else (middle, good)
    return good


def _given(of: Subject, bars: Bars) -> Bars:
    return without_splits(bars) if of.one_basis else bars


def _typical(whole: Matrix) -> Matrix:
    """Give the usual size of each column: what a rounding error is measured by."""
    import numpy as np

    sizes = np.where(np.isfinite(whole), np.abs(whole), np.nan)
    empty = np.isnan(sizes).all(axis=0)
    sizes[:, empty] = 0.0
    typical: Matrix = np.nanmedian(sizes, axis=0) if len(whole) else np.zeros(whole.shape[1])
    return typical


def _cuts(count: int, lookback: int, seed: int, *, exhaustive: bool) -> list[int]:
    """Draw bars after which the history is cut: 8 inside the warm-up, the last but one always."""
    import random

    rng = random.Random(seed)  # noqa: S311 - where to look, not a secret
    warm, rest = range(min(lookback - 1, count - 1)), range(min(lookback - 1, count - 1), count - 1)
    drawn = {*rng.sample(warm, min(WARM_UP_CUTS, len(warm)))}
    drawn |= {*rng.sample(rest, min(CUTS - WARM_UP_CUTS, len(rest)))}
    if exhaustive:
        drawn |= {*range(max(0, count - 1 - EXHAUSTIVE), count - 1)}
    return sorted(drawn | {count - 2} if count > 1 else drawn)


def _ends(count: int, lookback: int, seed: int) -> list[int]:
    import random

    later = range(lookback, count - 1)
    drawn = random.Random(seed).sample(later, min(ENDS - 1, len(later)))  # noqa: S311 - as above
    return [count - 1, *drawn] if count else []


def _cut_rows(of: Subject, bars: Bars, cut: int) -> Part:
    """Give the rows without the bars after `cut`; what a function says of too few is left out."""

    def until(others: Sequence[Bars]) -> list[Bars]:
        return [one.slice(0, bisect_right(one.ts_close, bars.ts_close[cut])) for one in others]

    try:
        return of.amid(until)(bars.slice(0, cut + 1))
    except InputError as error:
        return error if cut >= of.lookback - 1 else None


def _other_rows(of: Subject, bars: Bars, seed: int, cut: int) -> Part:
    def replaced(others: Sequence[Bars]) -> list[Bars]:
        return futures(others, bars.ts_close[cut], seed + 1)

    try:
        return of.amid(replaced)(other_future(bars, cut, seed))
    except InputError as error:
        return error


def _compare(whole: Matrix, parts: Mapping[int, Callable[[], Part]]) -> dict[int, Found]:
    """Give for each column the first row that another future moved."""
    import numpy as np

    floor, found = _typical(whole), dict[int, Found]()
    for cut, compute in parts.items():
        part = compute()
        if part is None:
            continue
        if isinstance(part, InputError):
            if np.isfinite(whole[cut]).any():
                found.setdefault(0, Found(cut, cut, None, part.message))
            continue
        wrong = differs(part[: cut + 1], whole[: cut + 1], SAME, floor)
        for column in np.flatnonzero(wrong.any(axis=0)).tolist():
            row = int(wrong[:, column].argmax())
            if column not in found or row < found[column].row:
                found[column] = Found(row, cut, float(part[row, column]), "")
    return found


def _outcomes(
    test: str, of: Subject, bars: Bars, whole: Matrix, found: dict[int, Found], reach: Reach
) -> list[Outcome]:
    """Tell of each feature that moved, and how far ahead it looks."""
    floor, farthest = _typical(whole), len(bars) - 1
    outcomes = []
    for column, (row, cut, other, error) in sorted(found.items()):

        def agrees(ahead: int, row: int = row, column: int = column) -> bool:
            part = reach(row + ahead)
            if part is None or isinstance(part, InputError):
                return False
            pair = part[row, column : column + 1], whole[row, column : column + 1]
            return not differs(*pair, SAME, floor[column : column + 1]).any()

        ahead = nearest_that_agrees(agrees, cut - row, farthest - row)
        to_the_end = row + ahead == farthest and ahead > 1
        outcomes.append(
            Outcome(
                test=test,
                passed=False,
                what=of.names[column],
                symbol=bars.symbol,
                ts=bars.ts_close[row],
                value=float(whole[row, column]),
                other=other,
                ahead=ahead,
                detail=error or ("reads to the end of the history" if to_the_end else ""),
            )
        )
    return outcomes


def _starts(of: Subject, known: Bars) -> list[Outcome]:
    """Compare the last row from the declared look-back with that of all bars."""
    import numpy as np

    def loaded(others: Sequence[Bars]) -> list[Bars]:
        return read_with(known, others, of.lookback)

    rows, full = of.amid(loaded), of.rows(known)
    last, floor = full[-1], _typical(full)
    bits = None if of.row is None else np.array(of.row(known))

    def apart(length: int) -> NDArray[np.bool_]:
        return differs(
            rows(known.slice(len(known) - length, len(known)))[-1], last, START_SAME, floor
        )

    wrong = apart(of.lookback)
    if bits is not None:
        wrong |= differs(bits, last, 0.0, 0.0)
    lengths = [length for length in STARTS if of.lookback < length < len(known)]
    outcomes = []
    for column in np.flatnonzero(wrong).tolist():
        enough = next((n for n in lengths if not apart(n)[column]), None)
        needs = f"needs {enough} bars" if enough else f"needs more than {max([*lengths, 0])} bars"
        part = rows(known.slice(len(known) - of.lookback, len(known)))[-1, column]
        outcomes.append(
            Outcome(
                test="A2",
                passed=False,
                what=of.names[column],
                symbol=known.symbol,
                ts=known.ts_close[-1],
                value=float(last[column]),
                other=float(part),
                detail=f"{needs}, declares lookback={of.lookback}",
            )
        )
    return outcomes
