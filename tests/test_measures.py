"""Measures: small cases by hand, published figures, other libraries' figures, and laws."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from algotrade import measures
from algotrade.domain.times import to_day
from algotrade.market.sample import read_columns
from algotrade.measures import Drawdown, Exposure, Performance

near = pytest.approx


# ---- by hand


def test_returns_are_simple() -> None:
    assert measures.returns([100, 110, 99]) == near([0.1, -0.1])
    assert measures.returns([100]) == measures.returns([]) == []


def test_returns_end_with_a_total_loss_but_do_not_go_on_from_it() -> None:
    assert measures.returns([100, 0]) == [-1]
    assert measures.returns([100, -50]) == [-1.5]
    assert measures.returns([100, 0, 50]) is None
    assert measures.returns([0, 50]) is None


def test_total_and_annual_return() -> None:
    assert measures.total_return([100, 50, 121]) == near(0.21)
    # 1.21 in two periods of which a year has four: 1.21 ^ 2 - 1; of which it has one: 1.21 ^ 0.5
    assert measures.annual_return([100, 50, 121], 4) == near(0.4641)
    assert measures.annual_return([100, 50, 121], 1) == near(0.1)
    assert measures.annual_return([100, 0], 252) == -1


@pytest.mark.parametrize("equity", [[], [100], [0, 100], [-1, 100]])
def test_no_return_without_two_values_and_a_positive_start(equity: list[int]) -> None:
    assert measures.total_return(equity) is None
    assert measures.annual_return(equity, 252) is None


def test_an_annual_return_that_is_no_number_is_none() -> None:
    assert measures.annual_return([100, -1], 252) is None  # a root of a negative
    assert measures.annual_return([1, 10**6], 252) is None  # 1e1512


def test_volatility_and_sharpe() -> None:
    # mean 0.01, squares 4 * 0.0004, over 3: variance 0.0016 / 3
    gains = [0.03, -0.01, 0.03, -0.01]
    assert measures.volatility(gains, 3) == near(0.04)
    assert measures.sharpe(gains, 12) == near(0.01 / (0.04 / 3**0.5) * 12**0.5)
    assert measures.volatility([0.5], 252) is None
    assert measures.volatility([0.5, 0.5], 252) == 0


@pytest.mark.parametrize("gains", [[], [0.1], [0.0, 0.0], [0.1] * 3, [0.1, 0.1 + 1e-16]])
def test_nothing_that_needs_a_spread_is_told_without_one(gains: list[float]) -> None:
    assert measures.sharpe(gains, 252) is None
    assert measures.sharpe_interval(gains, 252) is None
    assert measures.moments(gains) is None
    assert measures.psr_of(gains) is None


def test_sortino_divides_by_what_is_below_zero_over_all_periods() -> None:
    # mean 0.01, downside sqrt(0.0004 / 4) = 0.01
    assert measures.sortino([0.04, -0.02, 0.01, 0.01], 9) == near(3)
    assert measures.sortino([0.1, 0.2, 0.0], 252) is None
    assert measures.sortino([], 252) is None


@pytest.mark.parametrize(
    ("equity", "expected"),
    [
        ([100, 120, 90, 60, 80, 120, 130], Drawdown(-0.5, 1, 3, 5, 4)),
        ([100, 80, 90], Drawdown(-0.2, 0, 1, None, 2)),  # a loss in the first period; still open
        ([100, 50, 100, 50, 100], Drawdown(-0.5, 0, 1, 2, 2)),  # the first of two alike
        ([100, 90, 91, 92, 100, 50, 100], Drawdown(-0.5, 4, 5, 6, 4)),  # the longest is another
        ([100, 100, 50], Drawdown(-0.5, 1, 2, None, 1)),  # from the last day at the peak
        ([100, 50, 100, 99, 98, 97], Drawdown(-0.5, 0, 1, 2, 3)),  # the longest is open
        ([100, 100, 101], Drawdown(0.0, 0, 0, 0, 0)),
        ([100], Drawdown(0.0, 0, 0, 0, 0)),
        ([100, -50], Drawdown(-1.5, 0, 1, None, 1)),
        ([], None),
        ([0, 100], None),
    ],
)
def test_drawdown(equity: list[int], expected: Drawdown | None) -> None:
    assert measures.max_drawdown(equity) == expected


def test_calmar_is_the_annual_return_over_the_deepest_fall() -> None:
    assert measures.calmar([100, 75, 150], 2) == near(0.5 / 0.25)
    assert measures.calmar([100, 110], 252) is None
    assert measures.calmar([100], 252) is None


def test_value_at_risk_lies_between_ranks_and_shortfall_is_the_mean_beyond() -> None:
    gains = [0.02, -0.04, 0.00, 0.01, -0.02]
    assert measures.value_at_risk(gains, level=0.25) == near(-0.02)  # rank 1
    assert measures.expected_shortfall(gains, level=0.25) == near(-0.03)
    assert measures.value_at_risk(gains) == near(-0.036)  # rank 0.2
    assert measures.expected_shortfall(gains) == near(-0.04)
    assert measures.value_at_risk([0.5]) == 0.5
    assert measures.value_at_risk(gains, level=1) == 0.02
    assert measures.value_at_risk([]) is measures.expected_shortfall([]) is None


def test_turnover_is_one_way_and_a_year() -> None:
    # 100 bought and 100 sold on mean equity 200 in two periods: half in two, a quarter in one
    assert measures.turnover([100, -100], [150, 250, 200], 1) == near(0.25)
    assert measures.turnover([], [150, 250], 252) == 0
    assert measures.turnover([100], [150], 252) is None
    assert measures.turnover([100], [100, -100], 252) is None


def test_exposure_gross_net_and_in_bars() -> None:
    assert measures.exposure([0, 50, -100, 0], [100, 100, 100, 100]) == Exposure(0.375, -0.125, 0.5)
    assert measures.exposure([], []) is None
    assert measures.exposure([1, 1], [100, 0]) is None


# ---- published figures


@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "deflated"),
    [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)],
)
def test_the_published_example_of_the_deflated_sharpe_ratio(
    trials: int, skew: float, kurtosis: float, deflated: float
) -> None:
    """Bailey and Lopez de Prado, The deflated Sharpe ratio, JPM 40(5), 2014, numerical example.

    Annual 2.5 over 1,250 daily returns, 250 a year; the trials' annual ratios have variance 1/2.
    """
    found = measures.deflated_sharpe(
        2.5 / 250**0.5, trials=trials, variance=0.5 / 250, n=1250, skew=skew, kurtosis=kurtosis
    )
    assert found == near(deflated, abs=5e-5)


def test_the_published_expected_maximum_of_a_hundred_trials() -> None:
    assert measures.expected_max_sharpe(100, 0.5 / 250) == near(0.1132, abs=5e-5)


def test_a_single_trial_deflates_nothing() -> None:
    assert measures.expected_max_sharpe(1, 0.5) == 0
    shape = {"n": 500, "skew": -0.5, "kurtosis": 5.0}
    once = measures.deflated_sharpe(0.1, trials=1, variance=0.5, **shape)  # type: ignore[arg-type]  # a dict of both
    assert once == measures.psr(0.1, **shape)  # type: ignore[arg-type]  # a dict of both


def test_the_error_of_a_normal_sharpe_ratio_is_that_of_lo() -> None:
    # Lo, The statistics of Sharpe ratios, FAJ 58(4), 2002: sqrt((1 + SR^2 / 2) / T)
    found = measures.sharpe_error(0.2, n=101, skew=0, kurtosis=3)
    assert found == near((1.02 / 100) ** 0.5)


def test_no_error_and_no_psr_where_the_variance_is_not_positive() -> None:
    assert measures.sharpe_error(1, n=100, skew=2, kurtosis=5) is None  # 1 - 2 + 1
    assert measures.psr(1, n=100, skew=2, kurtosis=5) is None
    assert measures.sharpe_error(1, n=1, skew=0, kurtosis=3) is None
    # skew 2 / 3^0.5 and kurtosis 7 / 3, so at SR = 3^0.5 the variance is 1 - 2 + 1
    shift = 3**0.5 / 2 - 0.25
    gains = [shift, shift, shift, 1 + shift]
    assert measures.sharpe(gains, 1) == near(3**0.5)
    assert measures.sharpe_interval(gains, 1) is None
    assert measures.psr_of(gains) is None


def test_the_interval_of_two_returns_by_hand() -> None:
    # two values once each: skew 0, kurtosis 1, so the variance is 1, over n - 1 = 1
    assert measures.sharpe_interval([0.03, -0.01], 1) == near((0.5**0.5 / 2 - Z, 0.5**0.5 / 2 + Z))


Z = 1.6448536269514722  # 95% of a normal; scipy.stats.norm.ppf(0.95)


def test_the_normal_distribution_is_that_of_scipy() -> None:
    for x in (-8.0, -1.5, 0.0, 0.3, 4.0):
        assert measures.normal_cdf(x) == near(stats.norm.cdf(x), rel=1e-12)
    for p in (1e-12, 0.01, 0.5, 0.95, 1 - 1e-9):
        assert measures.normal_quantile(p) == near(stats.norm.ppf(p), rel=1e-9, abs=1e-12)
    assert measures.normal_quantile(0.95) == near(Z, rel=1e-14)


# ---- figures of other libraries on a real price


def test_goog_measured_by_other_libraries() -> None:
    """Closes of GOOG with MSFT as the benchmark, 2004-08-19 to 2013-03-01, 2,147 returns.

    empyrical-reloaded 0.7.1: return, volatility, Sharpe, Sortino, drawdown, Calmar, VaR, ES, beta.
    ffn 1.4.1 and quantstats 0.0.86: the same Sharpe, Sortino and drawdown; quantstats: psr 0.995557
    (with sample kurtosis), the valley on 2008-11-24 and 2012-09-21 as the last day below the peak.
    statsmodels 0.15 OLS, HAC with 7 lags, no correction: alpha, beta and t. scipy: the moments.
    """
    goog, msft = read_columns("GOOG"), read_columns("MSFT")
    base = dict(zip(msft.day, msft.close, strict=True))
    found = measures.performance(
        list(goog.close), periods_per_year=252, benchmark=[base[day] for day in goog.day]
    )
    assert found.periods == 2147
    assert found.annual_return == near(0.27708813487579587)
    assert found.volatility == near(0.3440340556310436)
    assert found.sharpe == near(0.8815744596078819)
    assert found.sortino == near(1.3541588680824446)
    assert found.calmar == near(0.4243650409198238)
    assert found.value_at_risk == near(-0.030780025087434947)
    assert found.expected_shortfall == near(-0.04808917896331292)
    assert found.psr == near(0.995557, abs=1e-6)
    assert found.moments == near((0.7498556704031386, 11.954608628792025))
    fall = found.drawdown
    assert fall is not None
    assert fall.depth == near(-0.6529475997249894)
    days = [goog.day[row] for row in (fall.peak, fall.trough, fall.recovery or 0)]
    assert days == [
        to_day(date(2007, 11, 6)),
        to_day(date(2008, 11, 24)),
        to_day(date(2012, 9, 24)),
    ]
    assert fall.longest == fall.recovery - fall.peak if fall.recovery else False


# ---- all together


def test_performance_collects_what_it_is_given_the_data_for() -> None:
    equity, benchmark = [100, 110, 99, 104, 120], [10, 12, 11, 11, 13]
    alone = measures.performance(equity, periods_per_year=12)
    rich = measures.performance(
        equity,
        periods_per_year=12,
        benchmark=benchmark,
        invested=[0, 55, -99, 0, 0],
        traded=[55, 44, -99],
    )
    gains = [0.1, -0.1, 5 / 99, 16 / 104]
    steps = [0.2, -1 / 12, 0, 2 / 11]
    assert rich.total_return == near(0.2)
    assert rich.benchmark_return == near(0.3)
    assert rich.exposure == near((0.3, -0.1, 0.4))
    beyond = [gain + 0.1 * step for gain, step in zip(gains, steps, strict=True)]
    assert rich.excess == near(sum(beyond) / 4 * 12)
    assert rich.excess_psr == near(measures.psr_of(beyond))
    assert rich.turnover == measures.turnover([55, 44, -99], equity, 12)
    assert rich.sharpe_interval == measures.sharpe_interval(gains, 12)
    extra = ("turnover", "exposure", "benchmark_return", "excess", "excess_psr")
    for name in Performance._fields:
        assert getattr(alone, name) == (None if name in extra else getattr(rich, name))


@pytest.mark.parametrize("equity", [[], [100], [0, 0, 0], [100, 0, 100], [100, 100, 100]])
def test_performance_of_nothing_is_none_and_no_exception(equity: list[float]) -> None:
    found = measures.performance(
        equity, periods_per_year=252, benchmark=equity, invested=equity, traded=[]
    )
    undefined = ("sharpe", "sharpe_interval", "psr", "sortino", "moments")
    assert {getattr(found, name) for name in undefined} == {None}


def test_series_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        measures.performance([100, 110], periods_per_year=252, invested=[1])


def test_importing_measures_loads_no_heavy_library() -> None:
    code = "import sys, algotrade.measures; print({'numpy', 'statistics'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


# ---- laws


def alike(one: object, other: object) -> bool:
    if one is None or other is None:
        return one is other
    return bool(one == near(other, rel=1e-6, abs=1e-9))


returns = st.lists(st.integers(-9_000, 20_000).map(lambda n: n / 10_000), min_size=2, max_size=60)
curves = returns.map(lambda gains: list(accumulate(gains, lambda w, r: w * (1 + r), initial=1e5)))


@given(curves)
def test_a_drawdown_is_what_its_rows_say_and_nothing_is_deeper(equity: list[float]) -> None:
    found = measures.max_drawdown(equity)
    assert found is not None
    assert -1 <= found.depth <= 0
    assert found.depth == (equity[found.trough] - equity[found.peak]) / equity[found.peak]
    falls = [(w - top) / top for i, top in enumerate(equity) for w in equity[i:]]
    assert found.depth == min(falls)
    back = [i for i in range(found.trough, len(equity)) if equity[i] >= equity[found.peak]]
    assert found.recovery == (back[0] if back else None)
    assert found.longest <= len(equity) - 1


@given(curves, st.floats(0.001, 1000))
def test_no_measure_depends_on_the_unit_of_equity(equity: list[float], unit: float) -> None:
    one = measures.performance(equity, periods_per_year=252)
    other = measures.performance([value * unit for value in equity], periods_per_year=252)
    assert alike(one.total_return, other.total_return)
    assert alike(one.volatility, other.volatility)
    assert alike(one.value_at_risk, other.value_at_risk)


@given(returns, st.floats(0.01, 1))
def test_a_lever_changes_neither_sharpe_nor_sortino_nor_shape(
    gains: list[float], lever: float
) -> None:
    levered = [gain * lever for gain in gains]
    assert alike(measures.sharpe(levered, 252), measures.sharpe(gains, 252))
    assert alike(measures.sortino(levered, 252), measures.sortino(gains, 252))
    assert alike(measures.moments(levered), measures.moments(gains))


@given(returns)
def test_moments_are_those_of_scipy_and_bound_each_other(gains: list[float]) -> None:
    found = measures.moments(gains)
    if found is None:
        assert len(set(gains)) == 1
        return
    assert found.skew == near(float(stats.skew(gains)), rel=1e-6, abs=1e-6)
    assert found.kurtosis == near(float(stats.kurtosis(gains, fisher=False)), rel=1e-6)
    assert found.kurtosis >= found.skew**2 + 1 - 1e-9


@given(returns)
def test_the_interval_holds_the_ratio_and_grows_with_confidence(gains: list[float]) -> None:
    ratio, interval = measures.sharpe(gains, 252), measures.sharpe_interval(gains, 252)
    wider = measures.sharpe_interval(gains, 252, confidence=0.99)
    if ratio is None or interval is None or wider is None:
        assert measures.psr_of(gains) is None
        return
    assert wider.low < interval.low <= ratio <= interval.high < wider.high
    probability = measures.psr_of(gains)
    assert probability is not None
    assert (probability > 0.95) == (interval.low > 0) or probability == near(0.95)


@given(returns, st.floats(0, 1))
def test_a_shortfall_is_never_milder_than_the_value_at_risk(
    gains: list[float], level: float
) -> None:
    bound = measures.value_at_risk(gains, level=level)
    beyond = measures.expected_shortfall(gains, level=level)
    assert bound is not None
    assert beyond is not None
    assert min(gains) <= bound <= max(gains)
    assert beyond <= bound + 1e-12


@given(st.integers(2, 10**9), st.floats(1e-6, 1))
def test_more_trials_are_expected_to_find_a_higher_maximum(trials: int, variance: float) -> None:
    once, twice = (measures.expected_max_sharpe(n, variance) for n in (trials, 2 * trials))
    assert 0 < once < twice
