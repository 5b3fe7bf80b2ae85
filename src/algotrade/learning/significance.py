"""Significance: block-bootstrap intervals, circular-shift permutations and Newey-West errors.

Rows that overlap in time and symbols that move together are no independent evidence, so whole
stretches of sessions are drawn, or shifted, with all symbols at once. Every draw comes from the
generator that is passed in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from algotrade.learning.rows import midranks
from algotrade.measures import Interval
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.learning.rows import Rows

    Array = NDArray[Any]

DRAWS = 1_000
CONFIDENCE = 0.90
SHORTEST_BLOCK = 20  # sessions
FEWEST_BLOCKS = 3  # a bootstrap of fewer has nothing to draw from
LEVELS = 512  # ranks of p that the bootstrap of the AUC tells apart
FEWEST_SHIFTS = 999  # drawn, where not every one is taken
SHIFTS_A_TRIAL = 20
MOST_STRETCHES = 5
SEEN = 200  # bars back that a prediction has looked at: labels there are no stranger to it
FEWEST_LAGS = 5
ROUNDING = 1e-12


class Permutation(NamedTuple):
    """Circular shifts: the AUC, and how likely labels shifted in time are to reach it.

    p: the larger of `counted`, (1 + shifts that reach it) / (1 + shifts), and of the tail of
    Student's t for as many independent shifts as there are in truth.
    independent: shifts that say something new, as neighbours say nearly the same.
    """

    auc: float
    p: float
    counted: float
    shifts: int
    independent: float


def block_length(horizon: int) -> int:
    """Give the sessions of one block: max(20, 2 horizons)."""
    return max(SHORTEST_BLOCK, 2 * horizon)


def block_weights(
    dates: int, length: int, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw how often each date counts: (draws, dates), each row adding up to `dates`.

    Circular block bootstrap: blocks of `length` dates from anywhere, past the end going on at the
    start, the last block cut (Politis and Romano, A circular block-resampling procedure, 1992).
    """
    import numpy as np

    starts = rng.integers(0, dates, (draws, -(-dates // length)))
    picked = (starts[:, :, None] + np.arange(length)) % dates
    flat = picked.reshape(draws, -1)[:, :dates] + dates * np.arange(draws)[:, None]
    counts = np.bincount(flat.ravel(), minlength=draws * dates)
    return counts.reshape(draws, dates).astype(float)


def percentiles(drawn: Array, confidence: float = CONFIDENCE) -> Interval | None:
    """Give the two-sided percentile interval; None where any draw is undefined."""
    import numpy as np

    if not len(drawn) or not np.isfinite(drawn).all():
        return None
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def score_intervals(
    rows: Rows, rng: np.random.Generator, *, draws: int = DRAWS
) -> dict[str, Interval | None]:
    """Give the 90% interval of each score, by name; all None with fewer than 3 blocks of dates.

    The AUC's draws tell 512 ranks of p apart: its ends move by far less than they would with
    other draws.
    """
    length = block_length(rows.horizon)
    names = (*SCORES, "auc")
    if rows.days < FEWEST_BLOCKS * length:
        return dict.fromkeys(names)
    weights = block_weights(rows.days, length, draws, rng)
    found = _scores_of(weights @ _sums_by_day(rows))
    found["auc"] = _drawn_auc(rows, weights)
    return {name: percentiles(found[name]) for name in names}


def scores(rows: Rows) -> dict[str, float | None]:
    """Give the scores that `score_intervals` has intervals of, but the AUC; None if undefined."""
    values = _scores_of(_sums_by_day(rows).sum(axis=0))
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}


SCORES = ("accuracy", "balanced_accuracy", "mcc", "log_loss_skill", "brier_skill")


def _sums_by_day(rows: Rows) -> Array:
    """Add up per session what the scores are made of: (days, 8)."""
    import numpy as np

    from algotrade.learning.evaluation import log_losses

    said, y = rows.said_up, rows.y
    columns = [
        *(np.ones(len(y)), y, said, said * y),
        *(log_losses(y, rows.p), log_losses(y, rows.base)),
        *((rows.p - y) ** 2, (rows.base - y) ** 2),
    ]
    return np.stack([np.bincount(rows.day, weights=column) for column in columns], axis=1)


def _scores_of(sums: Array) -> dict[str, Array]:
    """Turn sums into scores along the last axis; NaN where undefined."""
    import numpy as np

    n, ups, said, hits, loss, base_loss, square, base_square = np.moveaxis(sums, -1, 0)
    downs, said_down = n - ups, n - said
    right_down = said_down - (ups - hits)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "accuracy": (hits + right_down) / n,
            "balanced_accuracy": (hits / ups + right_down / downs) / 2,
            "mcc": (n * hits - said * ups) / np.sqrt(said * ups * said_down * downs),
            "log_loss_skill": 1 - loss / base_loss,
            "brier_skill": 1 - square / base_square,
        }


def _drawn_auc(rows: Rows, weights: Array) -> Array:
    """Give the AUC of each draw from counts of ups and downs by session and rank of p."""
    import numpy as np

    _, level = np.unique(rows.p, return_inverse=True)
    if level.max() >= LEVELS:
        level = ((midranks(rows.p) - 0.5) * LEVELS / len(rows)).astype(np.int64)
    levels = int(level.max()) + 1
    cell, shape = rows.day * levels + level, (rows.days, levels)
    up, down = (
        np.bincount(cell, weights=count, minlength=rows.days * levels).reshape(shape)
        for count in (rows.y, 1 - rows.y)
    )
    ups, downs = weights @ up, weights @ down
    below = np.cumsum(downs, axis=1) - downs / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn: Array = (ups * below).sum(axis=1) / (ups.sum(axis=1) * downs.sum(axis=1))
    return drawn


def permutation_test(
    rows: Rows, rng: np.random.Generator, *, trials: int = 1
) -> Permutation | None:
    """Shift the labels against the predictions in time, and see how often the AUC is reached.

    Labels move by a number of dates, the last coming round to the front, all symbols alike: what
    hangs together in time and across symbols stays together. Moves that would set labels beside
    predictions which had looked back at them are left out (as many dates as features look back, at
    most half of them), and so are overlapping labels; all others are taken. Where that gives fewer
    than 20 shifts a trial, the span is cut into stretches that move by numbers drawn for each, at
    least 999 times. Rows that meet no row of their symbol on the other date are left out of that
    shift. A prediction that changes slowly has few independent shifts, so counting alone would
    call noise a find: of rules that look back on 5 to 200 bars of noise, 5% to 24% at the level
    of 5%, with Student's t 1% to 13%. None with one class only, or with too few dates to shift.
    """
    import numpy as np

    score = (midranks(rows.p) - 0.5) / len(rows)
    dates = int(rows.moment.max()) + 1
    cuts = _stretches(dates, rows.horizon, SHIFTS_A_TRIAL * trials)
    stretch = rows.moment * cuts // dates
    parts = [_shifted_sums(rows, score, stretch == number) for number in range(cuts)]
    own = float(_mean_difference(np.sum([sums[:, 0] for sums in parts], axis=0)))
    spans = [_allowed(sums.shape[1], rows.horizon) for sums in parts]
    if not math.isfinite(own) or any(first > last for first, last in spans):
        return None
    allowed = [sums[:, first : last + 1] for sums, (first, last) in zip(parts, spans, strict=True)]
    independent = sum(_independent(_mean_difference(sums)) for sums in allowed)
    drawn = max(FEWEST_SHIFTS, SHIFTS_A_TRIAL * trials)
    if cuts > 1:
        allowed = [sums[:, rng.integers(0, sums.shape[1], drawn)] for sums in allowed]
    shifted = _mean_difference(np.sum(allowed, axis=0))
    # a shift that leaves one class only reaches the AUC: it cannot speak against luck
    reached = len(shifted) - int((shifted < own - ROUNDING).sum())
    counted = (1 + reached) / (1 + len(shifted))
    tail = _student_tail(own, shifted[np.isfinite(shifted)], independent)
    return Permutation(0.5 + own, max(counted, tail), counted, len(shifted), independent)


def _stretches(dates: int, horizon: int, needed: int) -> int:
    """Give the fewest stretches whose shifts combine to as many as are needed."""
    for cuts in range(1, MOST_STRETCHES + 1):
        first, last = _allowed(dates // cuts, horizon)
        if max(0, last - first + 1) ** cuts >= needed:
            return cuts
    return 1


def _allowed(dates: int, horizon: int) -> tuple[int, int]:
    """Give the least and the most dates that labels may move forward; none if least > most."""
    return horizon + 1, dates - 1 - min(SEEN + horizon, dates // 2)


def _independent(shifted: Array) -> float:
    """Give how many independent values as many neighbouring shifts are worth, at least 2.

    Their number over 1 + 2 times the sum of the autocorrelations before the first that is not
    positive.
    """
    import numpy as np

    off = np.nan_to_num(shifted - np.nanmean(shifted))
    spectrum = np.fft.rfft(off, 2 * len(off))
    together = np.fft.irfft(np.abs(spectrum) ** 2)[: len(off)]
    if together[0] <= 0:
        return 2.0
    stop = int(np.argmax(together <= 0)) or len(off)
    return max(2.0, len(off) / (1 + 2 * float(together[1:stop].sum() / together[0])))


def _student_tail(own: float, shifted: Array, independent: float) -> float:
    """Give the probability of a new value at or above `own` by Student's t."""
    from scipy.special import stdtr

    spread = float(shifted.std()) if len(shifted) else 0.0
    if spread <= ROUNDING:
        return 0.0  # nothing to judge by but the count
    m = independent
    t = (own - float(shifted.mean())) / (spread * math.sqrt((1 + 1 / m) * m / (m - 1)))
    return float(stdtr(m - 1, -t))


def _shifted_sums(rows: Rows, score: Array, chosen: Array) -> Array:
    """Add up over the pairs of a block at every shift: (4, dates).

    Pairs, ups, score, and score of the ups, with row t meeting the label of t + shift; by the
    discrete Fourier transform, whose products are circular sums.
    """
    import numpy as np

    _, date = np.unique(rows.moment[chosen], return_inverse=True)
    dates = int(date.max()) + 1
    place = date, rows.symbol[chosen]
    grids = np.zeros((3, dates, int(rows.symbol.max()) + 1))
    grids[0][place], grids[1][place], grids[2][place] = 1, rows.y[chosen], score[chosen]
    there, up, scored = (np.fft.rfft(grid, axis=0) for grid in grids)
    pairs = [np.conj(a) * b for a in (there, scored) for b in (there, up)]
    sums = [np.fft.irfft(pair.sum(axis=1), n=dates) for pair in pairs]
    return np.stack([np.rint(sums[0]), np.rint(sums[1]), sums[2], sums[3]])


def _mean_difference(sums: Array) -> Array:
    """Give the mean score of ups less that of downs, which is the AUC less one half."""
    import numpy as np

    pairs, ups, score, up_score = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        difference: Array = up_score / ups - (score - up_score) / (pairs - ups)
    return difference


def newey_west_t(values: Array, lags: int) -> float | None:
    """Give the t statistic of a mean of values that hang together over `lags` steps.

    Bartlett weights, no small-sample correction: Newey and West, Econometrica 55(3), 1987. None
    where the values do not vary.
    """
    import numpy as np

    middle = float(values.mean()) if len(values) else 0.0
    errors = values - middle
    total = float(errors @ errors)
    for lag in range(1, min(lags, len(values) - 1) + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(errors[lag:] @ errors[:-lag])
    if total <= ROUNDING**2 * float(np.square(values).sum()):
        return None
    return middle * len(values) / math.sqrt(total)


def sharpe_interval(
    gains: Array, rng: np.random.Generator, *, length: int = SHORTEST_BLOCK, draws: int = DRAWS
) -> Interval | None:
    """Give the block-bootstrap interval of the per-period Sharpe ratio (ddof 1)."""
    import numpy as np

    n = len(gains)
    if n < FEWEST_BLOCKS * length:
        return None
    weights = block_weights(n, length, draws, rng)
    centre = gains.mean()
    off = gains - centre
    drawn = weights @ off / n
    spread = (weights @ (off * off) - n * drawn * drawn) / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return percentiles((centre + drawn) / np.sqrt(np.maximum(spread, 0)))
