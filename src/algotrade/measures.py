"""Measures of performance and risk: pure functions of an equity curve or of its returns.

Equity: n + 1 Python ints or floats in any one unit, the starting value first, after costs, with no
deposit or withdrawal inside; its n simple returns are fractions (0.01 is one per cent). The
risk-free rate is 0: pass excess returns for another. `periods_per_year` is 252 for daily bars of
US equities. What is undefined is None, never infinite, NaN or an exception; sequences that should
be equally long and are not raise ValueError. Nothing beyond the standard library is imported.
"""

from __future__ import annotations

import math
from itertools import islice, pairwise
from operator import mul
from typing import TYPE_CHECKING

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EULER_GAMMA = 0.5772156649015329
ROUNDING = 1e-12  # a spread this small beside the mean is rounding: the values do not vary


class Moments(NamedTuple):
    """Shape of a sample: population skewness, and raw kurtosis, which is 3 for a normal."""

    skew: float
    kurtosis: float


class Sample(NamedTuple):
    """What a Sharpe ratio is judged by: n returns, their ratio a period, their shape or None."""

    n: int
    sharpe: float | None
    moments: Moments | None


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Drawdown(NamedTuple):
    """The deepest fall: depth <= 0 as a fraction of the peak, rows of the equity it lies at.

    recovery: first row at or above the peak again, None while it is open.
    longest: periods of the longest stay below a peak, deepest or not, peak to recovery or end.
    """

    depth: float
    peak: int
    trough: int
    recovery: int | None
    longest: int


class Exposure(NamedTuple):
    """Fractions: mean of |invested| / equity, mean of invested / equity, share of bars invested."""

    gross: float
    net: float
    bars: float


class Performance(NamedTuple):
    """Every measure of one equity curve; fractions, annual where the function of its name is.

    `psr` is the probability that the true Sharpe ratio is above 0, `excess` the annual mean return
    over the benchmark held at the same average exposure, `excess_psr` the psr of that excess.
    """

    periods: int
    periods_per_year: int
    total_return: float | None
    annual_return: float | None
    volatility: float | None
    sharpe: float | None
    sharpe_interval: Interval | None
    psr: float | None
    sortino: float | None
    drawdown: Drawdown | None
    calmar: float | None
    value_at_risk: float | None
    expected_shortfall: float | None
    moments: Moments | None
    turnover: float | None = None
    exposure: Exposure | None = None
    benchmark_return: float | None = None
    excess: float | None = None
    excess_psr: float | None = None


def performance(
    equity: Sequence[float],
    *,
    periods_per_year: int,
    benchmark: Sequence[float] | None = None,
    invested: Sequence[float] | None = None,
    traded: Iterable[float] | None = None,
) -> Performance:
    """Collect all measures of an equity curve.

    benchmark: prices or equity, as long as `equity`. invested: signed value of what is held, as
    long as `equity`. traded: value of each trade. The last two in the unit of `equity`.
    """
    own = returns(equity)
    gains = own or []
    one = sample(gains)
    annual, fall = annual_return(equity, periods_per_year), max_drawdown(equity)
    bound = value_at_risk(gains)
    scale = math.sqrt(periods_per_year)
    base = None if benchmark is None else returns(benchmark)
    exposed = None if invested is None else exposure(invested, equity)
    beyond: list[float] = []
    if own is not None and base is not None and exposed is not None:
        beyond = excess_returns(own, base, exposed.net)
    return Performance(
        periods=max(len(equity) - 1, 0),
        periods_per_year=periods_per_year,
        total_return=total_return(equity),
        annual_return=annual,
        volatility=volatility(gains, periods_per_year),
        sharpe=None if one.sharpe is None else one.sharpe * scale,
        sharpe_interval=_interval(one, periods_per_year, 0.90),
        psr=_psr(one),
        sortino=sortino(gains, periods_per_year),
        drawdown=fall,
        calmar=_calmar(annual, fall),
        value_at_risk=bound,
        expected_shortfall=None if bound is None else _mean_up_to(gains, bound),
        moments=one.moments,
        turnover=None if traded is None else turnover(traded, equity, periods_per_year),
        exposure=exposed,
        benchmark_return=None if benchmark is None else total_return(benchmark),
        excess=mean(beyond) * periods_per_year if beyond else None,
        excess_psr=psr_of(beyond),
    )


def returns(equity: Sequence[float]) -> list[float] | None:
    """Give the n simple returns of n + 1 values; None when one but the last is not positive."""
    if len(equity) > 1 and min(islice(equity, len(equity) - 1)) <= 0:
        return None
    return [(after - before) / before for before, after in pairwise(equity)]


def total_return(equity: Sequence[float]) -> float | None:
    """Give the last value over the first, less 1; None without a return."""
    if len(equity) < 2 or equity[0] <= 0:
        return None
    return (equity[-1] - equity[0]) / equity[0]


def annual_return(equity: Sequence[float], periods_per_year: int) -> float | None:
    """Give (W_n / W_0) ^ (A / n) - 1; None without a return, below zero or beyond a float."""
    total = total_return(equity)
    if total is None or total < -1:
        return None
    try:
        return float((1 + total) ** (periods_per_year / (len(equity) - 1))) - 1
    except OverflowError:
        return None


def mean(values: Sequence[float]) -> float:
    """Give the arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def volatility(gains: Sequence[float], periods_per_year: int) -> float | None:
    """Give the sample standard deviation (ddof 1) times sqrt(A); None below 2 returns."""
    if len(gains) < 2:
        return None
    middle = mean(gains)
    off = [gain - middle for gain in gains]
    return math.sqrt(math.fsum(map(mul, off, off)) / (len(gains) - 1) * periods_per_year)


def sharpe(gains: Sequence[float], periods_per_year: int) -> float | None:
    """Give mean over standard deviation (ddof 1), times sqrt(A); None when nothing varies."""
    found = sample(gains).sharpe
    return None if found is None else found * math.sqrt(periods_per_year)


def moments(gains: Sequence[float]) -> Moments | None:
    """Give population skewness and raw kurtosis; None below 2 returns or when nothing varies."""
    return sample(gains).moments


def sample(gains: Sequence[float]) -> Sample:
    """Give the Sharpe ratio a period and the shape of returns, in one walk over them."""
    n = len(gains)
    if n < 2:
        return Sample(n, None, None)
    middle = mean(gains)
    off = [gain - middle for gain in gains]
    squared = list(map(mul, off, off))
    squares = math.fsum(squared)
    spread = math.sqrt(squares / (n - 1))
    if spread <= ROUNDING * abs(middle):
        return Sample(n, None, None)
    width = math.sqrt(squares / n)
    skew = math.fsum(map(mul, squared, off)) / n / width**3
    kurtosis = math.fsum(map(mul, squared, squared)) / n / width**4
    return Sample(n, middle / spread, Moments(skew, kurtosis))


def sharpe_error(sr: float, *, n: int, skew: float, kurtosis: float) -> float | None:
    """Give the standard error of a per-period Sharpe ratio; None when it is not positive.

    sqrt((1 - skew SR + (kurtosis - 1) / 4 SR^2) / (n - 1)), kurtosis raw: Mertens, Comments on
    variance of the IID estimator, 2002; with n - 1 as in Bailey and Lopez de Prado, The Sharpe
    ratio efficient frontier, Journal of Risk 15(2), 2012. Asymptotic, for independent returns.
    """
    variance = 1 - skew * sr + (kurtosis - 1) / 4 * sr * sr
    return math.sqrt(variance / (n - 1)) if n > 1 and variance > ROUNDING else None


def sharpe_interval(
    gains: Sequence[float], periods_per_year: int, *, confidence: float = 0.90
) -> Interval | None:
    """Give the two-sided interval of the annual Sharpe ratio, by `sharpe_error`."""
    return _interval(sample(gains), periods_per_year, confidence)


def _interval(one: Sample, periods_per_year: int, confidence: float) -> Interval | None:
    sr, shape = one.sharpe, one.moments
    if sr is None or shape is None:
        return None
    error = sharpe_error(sr, n=one.n, skew=shape.skew, kurtosis=shape.kurtosis)
    if error is None:
        return None
    reach = normal_quantile((1 + confidence) / 2) * error
    scale = math.sqrt(periods_per_year)
    return Interval((sr - reach) * scale, (sr + reach) * scale)


def psr(sr: float, *, benchmark: float = 0.0, n: int, skew: float, kurtosis: float) -> float | None:
    """Give the probability that the true Sharpe ratio is above `benchmark`.

    Both ratios per period, never annual; kurtosis raw; n returns. Probabilistic Sharpe ratio:
    Bailey and Lopez de Prado, 2012. None where `sharpe_error` is.
    """
    error = sharpe_error(sr, n=n, skew=skew, kurtosis=kurtosis)
    return None if error is None else normal_cdf((sr - benchmark) / error)


def psr_of(gains: Sequence[float]) -> float | None:
    """Give the probability that returns have a true Sharpe ratio above 0."""
    return _psr(sample(gains))


def _psr(one: Sample) -> float | None:
    if one.sharpe is None or one.moments is None:
        return None
    return psr(one.sharpe, n=one.n, skew=one.moments.skew, kurtosis=one.moments.kurtosis)


def expected_max_sharpe(trials: int, variance: float) -> float:
    """Give SR0, the best per-period Sharpe ratio to expect of trials without skill.

    variance: of the trials' per-period Sharpe ratios. 0 for a single trial. Bailey and Lopez de
    Prado, The deflated Sharpe ratio, Journal of Portfolio Management 40(5), 2014.
    """
    if trials < 2:
        return 0.0
    usual, rare = -normal_quantile(1 / trials), -normal_quantile(1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER_GAMMA) * usual + EULER_GAMMA * rare)


def deflated_sharpe(
    sr: float, *, trials: int, variance: float, n: int, skew: float, kurtosis: float
) -> float | None:
    """Give the psr above `expected_max_sharpe`: what is left after picking the best of trials."""
    best = expected_max_sharpe(trials, variance)
    return psr(sr, benchmark=best, n=n, skew=skew, kurtosis=kurtosis)


def normal_cdf(x: float) -> float:
    """Give the probability that a standard normal is at or below x."""
    return math.erfc(-x / math.sqrt(2)) / 2


def normal_quantile(p: float) -> float:
    """Give the x whose `normal_cdf` is p, 0 < p < 1, by halving: no import that takes longer."""
    if p > 0.5:
        return -normal_quantile(1 - p)
    low, high = -40.0, 0.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if normal_cdf(middle) < p else (low, middle)
    return high


def sortino(gains: Sequence[float], periods_per_year: int) -> float | None:
    """Give mean over sqrt(mean(min(r, 0)^2)), times sqrt(A); None when no return is negative."""
    below = math.fsum(gain * gain for gain in gains if gain < 0)
    if below <= 0:
        return None
    return mean(gains) / math.sqrt(below / len(gains)) * math.sqrt(periods_per_year)


def max_drawdown(equity: Sequence[float]) -> Drawdown | None:
    """Give the deepest fall from a running peak; None when empty or not positive at the start.

    The starting value is a peak, so a loss in the first period counts. Depth 0 when nothing fell,
    below -1 when more than everything was lost. Of falls equally deep the first is given.
    """
    if not equity or equity[0] <= 0:
        return None
    high, top, longest = 0, equity[0], 0
    depth, peak, trough = 0.0, 0, 0
    recovery: int | None = 0
    for row, value in enumerate(equity):
        if value < top or row - high > 1:  # below the peak, or back from there
            longest = max(longest, row - high)
        if value >= top:
            recovery = row if recovery is None else recovery
            high, top = row, value
        elif (value - top) / top < depth:
            depth, peak, trough, recovery = (value - top) / top, high, row, None
    return Drawdown(depth, peak, trough, recovery, longest)


def calmar(equity: Sequence[float], periods_per_year: int) -> float | None:
    """Give annual return over the depth of the deepest fall; None when nothing fell."""
    return _calmar(annual_return(equity, periods_per_year), max_drawdown(equity))


def _calmar(annual: float | None, fall: Drawdown | None) -> float | None:
    if annual is None or fall is None or fall.depth == 0:
        return None
    return annual / -fall.depth


def value_at_risk(gains: Sequence[float], *, level: float = 0.05) -> float | None:
    """Give the historical quantile at `level`, linear between ranks; a loss is negative."""
    if not gains:
        return None
    ordered = sorted(gains)
    rank = level * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def expected_shortfall(gains: Sequence[float], *, level: float = 0.05) -> float | None:
    """Give the mean of the returns at or below `value_at_risk`; a loss is negative."""
    bound = value_at_risk(gains, level=level)
    return None if bound is None else _mean_up_to(gains, bound)


def _mean_up_to(gains: Sequence[float], bound: float) -> float:
    return mean([gain for gain in gains if gain <= bound])


def excess_returns(
    gains: Sequence[float], benchmark: Sequence[float], weight: float
) -> list[float]:
    """Give returns less those of holding the benchmark at a constant weight of equity."""
    return [gain - weight * base for gain, base in zip(gains, benchmark, strict=True)]


def turnover(
    traded: Iterable[float], equity: Sequence[float], periods_per_year: int
) -> float | None:
    """Give the value traded, one way (half), over mean equity, a year; None without a period."""
    if len(equity) < 2 or mean(equity) <= 0:
        return None
    value = math.fsum(abs(trade) for trade in traded)
    return value / 2 / mean(equity) * periods_per_year / (len(equity) - 1)


def exposure(invested: Sequence[float], equity: Sequence[float]) -> Exposure | None:
    """Give how much of equity was invested, row by row; None when empty or equity not positive."""
    if not equity or min(equity) <= 0:
        return None
    weights = [held / value for held, value in zip(invested, equity, strict=True)]
    return Exposure(
        gross=mean([abs(weight) for weight in weights]),
        net=mean(weights),
        bars=sum(weight != 0 for weight in weights) / len(weights),
    )
