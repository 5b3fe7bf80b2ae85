"""Calibration: whether what is given a probability happens as often as that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.learning.rows import midranks
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    Array = NDArray[Any]

BINS = 10
CLIP = 1e-6  # keeps logit(p) finite
STEPS = 50
CONVERGED = 1e-12


class Bin(NamedTuple):
    """Rows of about the same p: how many, their mean p, and how often up came."""

    n: int
    p: float
    up_rate: float


class Calibration(NamedTuple):
    """The reliability table, its expected calibration error, and the line through logit(p).

    slope, intercept: of the logistic regression of what happened on logit(p); 1 and 0 when p is
    right, a slope under 1 when it is too bold. None where no such line exists.
    """

    bins: tuple[Bin, ...]
    ece: float
    slope: float | None
    intercept: float | None


def calibrate(y: Array, p: Array) -> Calibration:
    """Compare probabilities with what happened, in 10 bins of about as many rows each.

    Bins of equal width would put a market's probabilities, all near one half, into two of them.
    Equal probabilities share a bin, so there may be fewer. At least one row.
    """
    import numpy as np

    place = np.minimum(((midranks(p) - 0.5) * BINS / len(p)).astype(np.int64), BINS - 1)
    _, place = np.unique(place, return_inverse=True)
    n = np.bincount(place)
    mean_p, rate = np.bincount(place, weights=p) / n, np.bincount(place, weights=y) / n
    line = logistic_line(y, np.clip(p, CLIP, 1 - CLIP))
    return Calibration(
        bins=tuple(
            Bin(int(k), float(q), float(r)) for k, q, r in zip(n, mean_p, rate, strict=True)
        ),
        ece=float((n * np.abs(mean_p - rate)).sum() / len(p)),
        slope=line[0] if line else None,
        intercept=line[1] if line else None,
    )


def logistic_line(y: Array, p: Array) -> tuple[float, float] | None:
    """Fit y on logit(p) by maximum likelihood (Newton's method): slope and intercept.

    None where y or p does not vary, or where a line separates ups from downs.
    """
    import numpy as np

    logit = np.log(p) - np.log1p(-p)
    if np.ptp(y) == 0 or np.ptp(logit) == 0:
        return None
    design = np.stack([logit, np.ones(len(logit))])
    line = np.zeros(2)
    for _ in range(STEPS):
        with np.errstate(over="ignore"):
            fitted = 1 / (1 + np.exp(-(line @ design)))
        weight = fitted * (1 - fitted)
        hessian = (design * weight) @ design.T
        if np.linalg.cond(hessian) > 1 / CONVERGED:
            return None
        step = np.linalg.solve(hessian, design @ (y - fitted))
        line = line + step
        if np.abs(step).max() <= CONVERGED * max(1.0, float(np.abs(line).max())):
            return float(line[0]), float(line[1])
    return None
