"""Jumps: price moves between bars that a split explains, should explain, or leaves unexplained."""

from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from algotrade.domain.times import to_date, to_day
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.domain.actions import Split

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

_UP, _DOWN = 1.2, 0.8  # of the close before
_FAR = math.log(1.2)  # a price that misses a split by more did not follow it
_NEAR, _NEARER = 0.04, 0.015  # how close to a simple ratio an opening must be, in logarithms
_RATIOS = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)
_CALM = math.log(1.15)  # a split's own day does not move further than this after its opening
_LATE_BARS = 10
_TWICE_DAYS = 10
_REUSE_SESSIONS, _REUSE_LEVEL = 60, math.log(1.5)


class Move(NamedTuple):
    """One price move, or split without one: at which bar, what it looks like, in words."""

    bar: int
    kind: str
    message: str
    values: tuple[tuple[str, float | str], ...]
    explains: tuple[int, ...] = ()  # bars whose jump needs no telling of its own


class _Steps(NamedTuple):
    """Steps from the close before to each bar but the first, as logarithms, raw."""

    day: Ints
    skipped: Ints  # sessions without a bar just before
    opening: Floats
    closing: Floats
    split: Floats  # what known splits make of the price at that bar


def price_moves(
    day: Ints,
    at: Ints,
    opened: Ints,
    close: Ints,
    splits: Sequence[Split],
    *,
    sessions: Sequence[int],
) -> list[Move]:
    """Give the moves of over 20 % and the splits that the price contradicts.

    day, at: each bar's session as days since 1970, and its place among the calendar's sessions.
    opened, close: micro-dollars, positive. splits: known ones, by ex-date. Bars are in time order.
    """
    if len(day) <= 1:
        return []
    import numpy as np

    logs = np.log(close)
    places = _places(day, splits)
    factor = np.zeros(len(day))
    for place, split in places:
        factor[place] += math.log(split.split_from / split.split_to)
    steps = _Steps(
        day=day,
        skipped=np.diff(at, prepend=at[0]) - 1,
        opening=np.concatenate(([0.0], np.log(opened[1:]) - logs[:-1])),
        closing=np.diff(logs, prepend=logs[0]),
        split=factor,
    )
    told = [*_dates(places, sessions), *_unfollowed(steps, dict(places))]
    explained = {index for move in told for index in move.explains}
    return told + list(_unexplained(steps, explained))


def _places(day: Ints, splits: Sequence[Split]) -> list[tuple[int, Split]]:
    """Give each split that falls between two of these bars, with the first bar after it."""
    days = day.tolist()
    found = [(bisect_left(days, to_day(split.ex_date)), split) for split in splits]
    return [(place, split) for place, split in found if 0 < place < len(days)]


def _dates(places: Sequence[tuple[int, Split]], sessions: Sequence[int]) -> Iterator[Move]:
    """Give splits on days without trading, and those close to one another."""
    for place, split in places:
        ex_day = to_day(split.ex_date)
        index = bisect_left(sessions, ex_day)
        if index == len(sessions) or sessions[index] != ex_day:
            told = f"split {_ratio(split)} of {split.ex_date}: no session that day"
            yield Move(place, "split-off-session", told, _values(split))
    for (_, first), (place, second) in pairwise(places):
        if (second.ex_date - first.ex_date).days <= _TWICE_DAYS:
            told = (
                f"splits {_ratio(first)} of {first.ex_date} and {_ratio(second)} of"
                f" {second.ex_date}: is it one, told twice?"
            )
            yield Move(place, "duplicate-split", told, _values(second))


def _unfollowed(steps: _Steps, places: dict[int, Split]) -> Iterator[Move]:
    """Give the splits whose ratio the price did not take at the ex-date."""
    for place, split in places.items():
        expected, moved = float(steps.split[place]), float(steps.opening[place])
        if abs(moved - expected) <= _FAR:
            continue
        told = f"split {_ratio(split)} of {split.ex_date}: "
        values = (*_values(split), ("expected", math.exp(expected)), ("moved", math.exp(moved)))
        other = _nearby(steps, place, expected)
        if abs(moved) > _FAR:
            told += f"the price moved by {math.exp(moved):.4g}, not by {math.exp(expected):.4g}"
            yield Move(place, "wrong-split", told, values, (place,))
        elif other is None:
            told += f"the price did not move (by {math.exp(moved):.4g})"
            yield Move(place, "split-not-followed", told, values, (place,))
        else:
            day = to_date(int(steps.day[other])).isoformat()
            told += f"the price moved on {day}"
            yield Move(place, "late-split", told, (*values, ("followed", day)), (place, other))


def _nearby(steps: _Steps, place: int, expected: float) -> int | None:
    """Give the bar within a few of `place` whose price moved as the split says."""
    start, stop = max(1, place - _LATE_BARS), place + _LATE_BARS + 1
    misses = abs(steps.opening[start:stop] - expected)
    best = int(misses.argmin())
    return start + best if misses[best] <= _FAR / 2 else None


def _unexplained(steps: _Steps, explained: set[int]) -> Iterator[Move]:
    import numpy as np

    opening, closing = steps.opening - steps.split, steps.closing - steps.split
    widest = np.where(abs(opening) > abs(closing), opening, closing)
    far = (np.maximum(opening, closing) > math.log(_UP)) | (
        np.minimum(opening, closing) < math.log(_DOWN)
    )
    for index in np.flatnonzero(far).tolist():
        if index in explained or index == 0:
            continue
        step, skipped = float(widest[index]), int(steps.skipped[index])
        values = (
            ("open", math.exp(opening[index])),
            ("close", math.exp(closing[index])),
        )
        percent = f"{100 * math.expm1(step):+.3g} %"
        if skipped >= _REUSE_SESSIONS and abs(step) > _REUSE_LEVEL:
            told = f"{percent} after {skipped} sessions without a bar: another company?"
            yield Move(index, "ticker-reuse", told, (*values, ("sessions", skipped)))
            continue
        ratio = _simple_ratio(opening[index], closing[index]) if not steps.split[index] else None
        if ratio is None:
            yield Move(index, "jump", f"{percent} from the close before", values)
        else:
            told = f"opens at {math.exp(opening[index]):.4g} of the close before: a split {ratio}?"
            yield Move(index, "missing-split", told, (*values, ("ratio", ratio)))


def _simple_ratio(opening: float, closing: float) -> str | None:
    """Name the split that would explain an opening at exp(opening) of the close before."""
    if abs(closing - opening) > _CALM:
        return None
    for ratio in _RATIOS:
        if abs(abs(opening) - math.log(ratio)) <= _NEAR:
            return f"{ratio}-for-1" if opening < 0 else f"1-for-{ratio}"
    if abs(abs(opening) - math.log(1.5)) <= _NEARER:
        return "3-for-2" if opening < 0 else "2-for-3"
    return None


def _ratio(split: Split) -> str:
    ratio = Fraction(split.split_to, split.split_from)
    return f"{ratio.numerator}-for-{ratio.denominator}"


def _values(split: Split) -> tuple[tuple[str, float | str], ...]:
    return (("ex_date", split.ex_date.isoformat()), ("split", _ratio(split)))
