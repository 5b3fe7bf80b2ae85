"""The figures of a report, against other libraries and plain definitions.

Constants named after a library come from `tools/learning_oracles.py`, run in an environment with
statsmodels 0.15.0, arch 8.0.0 and purgedcv 0.1.11; scikit-learn is asked directly.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    matthews_corrcoef,
    roc_auc_score,
)

from algotrade import measures
from algotrade.learning import significance as ours
from algotrade.learning.calibration import calibrate, logistic_line
from algotrade.learning.evaluation import auc
from algotrade.learning.information import information
from algotrade.learning.money import judge_money
from algotrade.learning.rows import Rows, midranks
from algotrade.learning.stability import _drawn_entries, by_group, consistency, random_entry
from oracle_rows import bells, gains, linked, table

STATSMODELS_T = {5: 0.10836975586436753, 9: 0.10290070191563294}
STATSMODELS_LOGIT = (1.3362778628045087, -0.17005532511209)
ARCH = {  # 20,000 circular block bootstraps, blocks of 20: the 5% and the 95% quantile
    "auc": (0.5548357158013284, 0.6177698674114356),
    "log_loss_skill": (0.004103541585270642, 0.02845879736827774),
    "sharpe": (0.01784578518139224, 0.14970633700868072),
}
# its Sharpe ratio divides by the population's standard deviation
PURGEDCV = {"dsr": 0.6232263725530026, "sr": 0.08336589889770597, "sr_star": 0.0692374441092119}
PURGEDCV_SHAPE = {"skew": -0.08139064786270911, "kurtosis": 3.1243259658526816}

near = pytest.approx


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def empty_market(seed: int, *, look: int, sign: int, dates: int = 600) -> Rows:
    """A rule that looks back `look` bars, on four walks that move together: no edge at all."""
    rng, symbols, horizon = generator(seed), 4, 5
    common = math.sqrt(0.4) * rng.standard_normal((dates + 300, 1))
    path = np.cumsum(common + math.sqrt(0.6) * rng.standard_normal((dates + 300, symbols)), axis=0)
    now = np.arange(250, 250 + dates)
    change = (path[now + horizon] - path[now]).ravel()
    p = 0.5 + 0.02 * sign * (path[now] - path[now - look]).ravel() / math.sqrt(look)
    return replace(
        table(dates, symbols),
        y=(change > 0).astype(float),
        p=np.clip(p, 0.05, 0.95),
        change=change,
    )


# ---- scores and their intervals


def test_scores_agree_with_scikit_learn() -> None:
    rows = table()
    found, said = ours.scores(rows), rows.said_up
    assert found["accuracy"] == near(accuracy_score(rows.y, said), abs=1e-12)
    assert found["balanced_accuracy"] == near(balanced_accuracy_score(rows.y, said), abs=1e-12)
    assert found["mcc"] == near(matthews_corrcoef(rows.y, said), abs=1e-12)
    skill = 1 - log_loss(rows.y, rows.p) / log_loss(rows.y, rows.base)
    assert found["log_loss_skill"] == near(skill, abs=1e-12)
    brier = 1 - brier_score_loss(rows.y, rows.p) / brier_score_loss(rows.y, rows.base)
    assert found["brier_skill"] == near(brier, abs=1e-12)
    assert ours.scores(replace(rows, y=np.ones(len(rows))))["balanced_accuracy"] is None


def test_a_draw_weighs_every_date_alike_and_keeps_blocks_together() -> None:
    weights = ours.block_weights(103, 20, 4_000, generator())
    assert weights.shape == (4_000, 103)
    assert (weights.sum(axis=1) == 103).all()
    # each date is drawn once on average: 6 blocks, the last cut
    assert weights.mean(axis=0) == near(1, abs=6 * weights.std() / math.sqrt(4_000))
    together = np.corrcoef(weights[:, 50], weights[:, 51])[0, 1]
    apart = np.corrcoef(weights[:, 20], weights[:, 71])[0, 1]
    assert together > 0.85
    assert abs(apart) < 0.3


@pytest.mark.parametrize("digits", [2, 9])
def test_the_auc_of_each_draw_is_the_weighted_auc(digits: int) -> None:
    rows = table(digits=digits)  # with many ties, and with more values than levels
    weights = ours.block_weights(rows.days, 20, 25, generator())
    exact = [roc_auc_score(rows.y, rows.p, sample_weight=draw[rows.day]) for draw in weights]
    assert ours._drawn_auc(rows, weights) == near(
        np.array(exact), abs=1e-12 if digits == 2 else 5e-4
    )


def test_intervals_agree_with_arch() -> None:
    found = ours.score_intervals(table(), generator(), draws=20_000)
    found["sharpe"] = ours.sharpe_interval(gains(), generator(), draws=20_000)
    for name, ends in ARCH.items():
        interval = found[name]
        assert interval is not None
        width = ends[1] - ends[0]
        # the Monte-Carlo error of such a quantile is 0.5% of the width, on either side
        assert tuple(interval) == near(ends, abs=0.02 * width), name


def test_intervals_need_three_blocks_of_dates() -> None:
    assert set(ours.score_intervals(table(59), generator()).values()) == {None}
    assert None not in ours.score_intervals(table(61), generator()).values()
    assert ours.sharpe_interval(gains()[:59], generator()) is None
    assert ours.sharpe_interval(np.zeros(100), generator()) is None
    assert ours.block_length(5) == 20
    assert ours.block_length(15) == 30


def test_one_generator_state_gives_one_report() -> None:
    first, again, other = (ours.score_intervals(table(), generator(seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_intervals_cover_what_hangs_together() -> None:
    """Hit rates that last for weeks: blocks of a day would cover the truth 60% of the time."""
    covered = 0
    for seed in range(120):
        luck = np.zeros(1_001)
        for date, shock in enumerate(generator(seed).standard_normal(1_000)):
            luck[date + 1] = 0.8 * luck[date] + shock
        rows = replace(table(1_000), y=np.repeat(luck[1:] > 0, 2).astype(float))
        interval = ours.score_intervals(
            replace(rows, p=np.full(2_000, 0.6)), generator(seed), draws=200
        )
        accuracy = interval["accuracy"]
        assert accuracy is not None
        covered += accuracy.low <= 0.5 <= accuracy.high
    assert 0.80 <= covered / 120 <= 0.96


# ---- permutation


def shifted_auc(rows: Rows, dates: int) -> float:
    """By definition: every symbol's labels moved by so many dates, round the end."""
    grid = rows.y.reshape(-1, len(rows.symbols))
    return float(roc_auc_score(np.roll(grid, -dates, axis=0).ravel(), rows.p))


def test_every_shift_is_the_auc_of_shifted_labels() -> None:
    rows = table()
    score = (midranks(rows.p) - 0.5) / len(rows)
    sums = ours._shifted_sums(rows, score, np.ones(len(rows), bool))
    fast = 0.5 + ours._mean_difference(sums)
    for dates in (0, 1, 57, 299):
        assert fast[dates] == near(shifted_auc(rows, dates), abs=1e-9)
    found = ours.permutation_test(rows, generator())
    assert found is not None
    assert found.auc == near(roc_auc_score(rows.y, rows.p), abs=1e-9)
    assert found.shifts == 144  # 6 to 149: no overlap of labels, no look back
    reached = sum(shifted_auc(rows, dates) >= found.auc - 1e-12 for dates in range(6, 150))
    assert found.counted == (1 + reached) / 145


def test_rows_that_are_missing_are_left_out_of_a_shift() -> None:
    rows = table()
    kept = np.flatnonzero((rows.moment < 200) | (rows.symbol == 0))
    fields = ("y", "p", "base", "change", "moment", "day", "fold", "year", "symbol")
    fewer = replace(rows, **{name: getattr(rows, name)[kept] for name in fields})
    score = (midranks(fewer.p) - 0.5) / len(fewer)
    sums = ours._shifted_sums(fewer, score, np.ones(len(fewer), bool))
    cells = {(m, s): i for i, (m, s) in enumerate(zip(fewer.moment, fewer.symbol, strict=True))}
    pairs = [
        (score[i], fewer.y[cells[(m + 70) % 300, s]])
        for (m, s), i in cells.items()
        if ((m + 70) % 300, s) in cells
    ]
    ups = [u for u, y in pairs if y == 1]
    downs = [u for u, y in pairs if y == 0]
    assert sums[0, 70] == len(pairs)
    assert ours._mean_difference(sums)[70] == near(np.mean(ups) - np.mean(downs), abs=1e-12)


@pytest.mark.parametrize(("look", "sign"), [(5, 1), (21, 1), (21, -1), (126, 1), (126, -1)])
def test_a_rule_on_noise_is_seldom_called_a_find(look: int, sign: int) -> None:
    """80 markets; slow rules that bet on a return are the hardest: about 10% at 0.05."""
    found = [
        ours.permutation_test(empty_market(seed, look=look, sign=sign), generator(seed))
        for seed in range(80)
    ]
    p = np.array([one.p for one in found if one])
    assert len(p) == 80
    assert (p <= 0.05).mean() <= 0.16
    assert (p <= 0.01).mean() <= 0.05


def test_a_real_edge_is_found_even_among_many_trials() -> None:
    rows = empty_market(1, look=5, sign=1)
    luck = np.tile(bells(len(rows) // 4, 8), (4, 1)).T.ravel() * 0.0 + bells(len(rows), 9)
    strong = replace(rows, p=np.clip(0.5 + 0.1 * rows.change / 3 + 0.08 * luck, 0.05, 0.95))
    for trials, least in ((1, 999 // 3), (100, 2_000)):
        found = ours.permutation_test(strong, generator(), trials=trials)
        assert found is not None
        assert found.shifts >= least
        assert found.p <= 1 - 0.95 ** (1 / trials)


def test_where_nothing_can_be_shifted_there_is_no_permutation() -> None:
    rows = table(12)
    assert ours.permutation_test(rows, generator()) is None
    assert ours.permutation_test(replace(table(), y=np.ones(600)), generator()) is None
    flat = ours.permutation_test(replace(table(), p=np.full(600, 0.6)), generator())
    assert flat is not None
    assert (flat.p, flat.auc) == (1.0, 0.5)


# ---- errors of means, information, calibration


@pytest.mark.parametrize("lags", [5, 9])
def test_newey_west_agrees_with_statsmodels(lags: int) -> None:
    assert ours.newey_west_t(0.1 + linked(300, 5), lags) == near(STATSMODELS_T[lags], abs=1e-9)
    assert ours.newey_west_t(np.full(50, 0.3), lags) is None
    assert ours.newey_west_t(np.zeros(0), lags) is None


def test_information_across_symbols_is_the_mean_correlation_of_the_dates() -> None:
    rows = table(60, 12)
    found = information(rows)
    grids = [values.reshape(60, 12) for values in (rows.p, rows.change)]
    dates = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(*grids, strict=True)])
    assert found.across
    assert (found.dates, found.lags) == (60, 5)
    assert found.ic is not None
    assert found.ic.mean == near(dates.mean(), abs=1e-12)
    assert found.ic.ratio == near(dates.mean() / dates.std(ddof=1), abs=1e-12)
    assert found.ic.t == near(ours.newey_west_t(dates, 5), abs=1e-12)
    ranked = [np.argsort(np.argsort(row)) for row in grids[1]]  # returns have no ties
    ties = [midranks(row) for row in grids[0]]
    spearman = [np.corrcoef(a, b)[0, 1] for a, b in zip(ties, ranked, strict=True)]
    assert found.rank_ic is not None
    assert found.rank_ic.mean == near(np.mean(spearman), abs=1e-12)


def test_information_along_time_is_the_mean_correlation_of_the_symbols() -> None:
    rows = table()
    found = information(rows)
    own = [np.corrcoef(rows.p[s::2], rows.change[s::2])[0, 1] for s in (0, 1)]
    assert not found.across
    assert found.ic is not None
    assert found.ic.mean == near(np.mean(own), abs=1e-12)
    silent = information(replace(rows, p=np.full(len(rows), 0.5)))
    assert (silent.dates, silent.ic, silent.rank_ic) == (0, None, None)


def test_calibration_agrees_with_statsmodels_and_by_hand() -> None:
    rows = table()
    found = calibrate(rows.y, rows.p)
    assert (found.slope, found.intercept) == near(STATSMODELS_LOGIT, abs=1e-9)
    assert sum(one.n for one in found.bins) == len(rows)
    assert len(found.bins) <= 10
    assert [one.p for one in found.bins] == sorted(one.p for one in found.bins)
    off = sum(one.n * abs(one.p - one.up_rate) for one in found.bins) / len(rows)
    assert found.ece == near(off, abs=1e-12)
    # up came 3 times in 4 where 0.75 was said, and never where 0.25 was
    y, p = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.repeat([0.75, 0.25], 4)
    assert [one.n for one in calibrate(y, p).bins] == [4, 4]
    assert calibrate(y, p).ece == near(0.125)


def test_no_line_where_it_is_not_defined() -> None:
    p = np.linspace(0.1, 0.9, 20)
    assert logistic_line((p > 0.5).astype(float), p) is None  # ups and downs are apart
    assert logistic_line(np.ones(20), p) is None
    assert logistic_line((p > 0.3).astype(float), np.full(20, 0.5)) is None


# ---- stability and baselines


def test_groups_are_scored_by_themselves() -> None:
    rows = table()
    found = by_group(rows, rows.fold, ["1", "2", "3"])
    assert list(found) == ["1", "2"]
    first = rows.fold == 0
    assert found["1"]["n"] == first.sum()
    assert found["1"]["auc"] == auc(rows.y[first], rows.p[first])
    said = first & (rows.p > 0.5)
    edge = rows.change[said].mean() - rows.change[first].mean()
    assert found["1"]["edge"] == near(edge, abs=1e-12)
    assert consistency(found) == 1.0
    assert consistency({"a": {"auc": None}}) is None
    assert consistency({"a": {"auc": 0.4}, "b": {"auc": 0.6}}) == 0.5


def test_random_entries_hold_as_much_and_trade_as_often() -> None:
    held = np.array([0, 1, 1, 0, 0, 0, 1, 0], bool)
    marks = 10.0 ** np.arange(8)  # the sum tells which rows were held
    drawn: set[tuple[int, ...]] = set()

    for total in _drawn_entries(held, marks, generator(), 400).tolist():
        digits = [int(digit) for digit in f"{round(total):08}"[::-1]]
        drawn.add(tuple(digits))
        assert sum(digits) == 3
        assert sum(b > a for a, b in zip([0, *digits], digits, strict=False)) == 2
    assert len(drawn) > 5


def test_random_entry_ranks_a_rule_that_knows_and_one_that_does_not() -> None:
    rows = table()
    knows = random_entry(replace(rows, p=np.where(rows.change > 0, 0.6, 0.4)), generator())
    assert knows is not None
    assert knows.percentile == 1.0
    assert knows.own > knows.mean
    wrong = random_entry(replace(rows, p=np.where(rows.change > 0, 0.4, 0.6)), generator())
    assert wrong is not None
    assert wrong.percentile == 0.0
    assert random_entry(replace(rows, p=np.full(len(rows), 0.9)), generator()) is None


# ---- money


def test_the_deflated_sharpe_ratio_agrees_with_purgedcv() -> None:
    found = measures.deflated_sharpe(
        PURGEDCV["sr"], trials=40, variance=0.001, n=500, **PURGEDCV_SHAPE
    )
    assert found == near(PURGEDCV["dsr"], abs=1e-9)
    assert measures.expected_max_sharpe(40, 0.001) == near(PURGEDCV["sr_star"], abs=1e-9)
    money = judge_money(gains().tolist(), [0.0] * 500, generator())
    assert money["excess_sharpe"] == near(PURGEDCV["sr"] * math.sqrt(499 / 500), abs=1e-12)
    # its skewness and kurtosis are corrected for the sample's size, ours are the population's
    n, corrected = 500, PURGEDCV_SHAPE["kurtosis"] - 3
    skew = PURGEDCV_SHAPE["skew"] * (n - 2) / math.sqrt(n * (n - 1))
    kurtosis = 3 + (corrected * (n - 2) * (n - 3) / (n - 1) - 6) / (n + 1)
    assert money["excess_skew"] == near(skew, abs=1e-12)
    assert money["excess_kurtosis"] == near(kurtosis, abs=1e-12)


def test_money_by_hand() -> None:
    net, hold = gains().tolist(), (0.4 * gains()).tolist()
    gross = (gains() + 0.0001).tolist()
    found = judge_money(net, hold, generator(), gross=gross, turnover=5.0, exposure=0.4, trades=9)
    excess = 0.6 * gains()
    assert found["excess"] == near(excess.mean() * 252)
    assert found["excess_sharpe"] == near(excess.mean() / excess.std(ddof=1))
    assert found["excess_psr"] == found["net_psr"]  # it does not depend on the scale
    assert found["net_return"] == near(math.prod(1 + gains()) ** (252 / 500) - 1)
    assert found["break_even_bps"] == near((excess.mean() + 0.0001) * 252 / 10 * 10_000)
    assert (found["turnover"], found["exposure"], found["trades"]) == (5.0, 0.4, 9)
    low, high = found["net_sharpe_low"], found["net_sharpe_high"]
    assert low is not None
    assert high is not None
    assert low < (found["net_sharpe"] or 0) < high


def test_money_that_never_moved_says_nothing() -> None:
    found = judge_money([0.0] * 300, [0.0] * 300, generator())
    assert found["excess_psr"] is None
    assert found["excess_sharpe"] is None
    assert found["break_even_bps"] is None
    assert found["net_return"] == 0
    nothing = judge_money([], [], generator())
    assert nothing["excess"] is None
    with pytest.raises(ValueError, match="shorter"):
        judge_money([0.1, 0.2], [0.1], generator())
