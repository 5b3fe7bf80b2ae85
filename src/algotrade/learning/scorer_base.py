"""What all scorers share: the port, the checks of their input, the sigmoid, the JSON.

A scorer is a model as plain arrays, scored without scikit-learn and without unpickling, by one
arithmetic for one row and for a million. Standard library only at import.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Protocol

from algotrade.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Estimator: TypeAlias = Any  # scikit-learn ships no types
    Matrix: TypeAlias = NDArray[np.float64]
    Explanation: TypeAlias = tuple[float, str, tuple[float, ...]]
    Table: TypeAlias = dict[str, Any]

PROBABILITY, LOG_ODDS = "probability", "log-odds"
LARGEST_SINGLE = (2 - 2**-23) * 2.0**127
ROUNDING = 1e-12  # what reordered sums of doubles may move a probability
BLOCK = 4_096  # rows at once: their columns stay in the cache
FARTHEST = 800.0  # log-odds beyond which p is 0 or 1
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # ln(2) in two, the first short
SERIES = tuple(1 / math.factorial(n) for n in range(13, -1, -1))


class Scorer(Protocol):
    """What gives p(up).

    names: the columns of a row. kind: the word for it in its file. tolerance: how far it may be
    from its estimator. note: None, or what a person must be told who uses it.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Give the columns of a row, in order."""

    @property
    def kind(self) -> str:
        """Give the word for this kind of scorer."""

    @property
    def note(self) -> str | None:
        """Give what a person must be told, if anything."""

    @property
    def tolerance(self) -> float:
        """Give the largest difference from the estimator that rounding explains."""

    def score(self, row: Sequence[float]) -> float:
        """Give p(up) of one row; raises DataError on a value that is not finite."""

    def score_many(self, x: Matrix, estimator: Estimator = None) -> Matrix:
        """Give p(up) of each row of (n, k): the bits of `score`."""

    def explain(self, row: Sequence[float]) -> Explanation:
        """Give (base, unit, contribution per column) of one row."""

    def table(self) -> Table:
        """Give the arrays by name, as its file holds them."""

    def to_json(self) -> bytes:
        """Give the arrays as JSON bytes; the same scorer always gives the same bytes."""


class Plain:
    """What is the same for every scorer made of plain arrays."""

    __slots__ = ()
    kind = ""
    fields: tuple[str, ...] = ()

    @property
    def note(self) -> str | None:
        """Give nothing: plain arrays need no warning."""
        return None

    def table(self) -> Table:
        """Give the arrays by name, as its file holds them."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in self.fields}

    def to_json(self) -> bytes:
        """Give the arrays as JSON bytes; the same scorer always gives the same bytes."""
        return json.dumps(
            self.table(), sort_keys=True, separators=(",", ":"), allow_nan=False
        ).encode()


def sigmoid(odds: float) -> float:
    """Give the probability of log-odds, without overflow.

    By our own exp of + - * and powers of two, so that it has the same bits for one value and in
    numpy, with any C library; it is within two units in the last place of the true one.
    """
    exponent = -min(abs(odds), FARTHEST)
    halvings = math.floor(exponent * LOG2_E + 0.5)
    rest = (exponent - halvings * LN2_HIGH) - halvings * LN2_LOW
    power = math.ldexp(_exp_series(rest), halvings)
    return 1 / (1 + power) if odds >= 0 else power / (1 + power)


def sigmoids(odds: Matrix) -> Matrix:
    """Give `sigmoid` of each of (n,), bit for bit."""
    import numpy as np

    p = np.empty(len(odds))
    for start in range(0, len(odds), BLOCK):
        block = odds[start : start + BLOCK]
        exponent = -np.minimum(np.abs(block), FARTHEST)
        halvings = np.floor(exponent * LOG2_E + 0.5)
        rest = (exponent - halvings * LN2_HIGH) - halvings * LN2_LOW
        power = np.ldexp(_exp_series(rest), halvings.astype(np.intc))
        p[start : start + BLOCK] = np.where(block >= 0, 1.0, power) / (1 + power)
    return p


def _exp_series(x: Any) -> Any:  # noqa: ANN401 - a double or an array of them
    """Give exp of |x| <= ln(2) / 2 by its series, whose next term is below 1e-17."""
    total = SERIES[0] * x
    total += SERIES[1]
    for coefficient in SERIES[2:]:
        total *= x  # in place in an array
        total += coefficient
    return total


def check_row(names: tuple[str, ...], row: Sequence[float]) -> None:
    """Refuse a row of another length or with a value that single precision cannot hold."""
    if len(row) != len(names):
        raise DataError(f"a row of {len(row)} features, the model reads {len(names)}")
    for name, value in zip(names, row, strict=True):
        if not abs(value) <= LARGEST_SINGLE:  # also true for NaN
            raise DataError(
                f"feature {name} is {value}: no prediction",
                hint="the bars are flat, halted or wrong; look at them before trading",
            )


def check_rows(names: tuple[str, ...], x: Matrix) -> None:
    """Refuse a matrix that `check_row` would refuse in any of its rows."""
    import numpy as np

    if x.shape[1] == len(names) and (
        not len(x) or (x.min() >= -LARGEST_SINGLE and x.max() <= LARGEST_SINGLE)
    ):
        return
    bad = np.flatnonzero(~(np.abs(x) <= LARGEST_SINGLE).all(axis=1))
    check_row(names, x[bad[0] if len(bad) else 0].tolist() if len(x) else [0.0] * x.shape[1])
