"""The gate: each of its five conditions alone refuses, and says its number."""

from __future__ import annotations

import math

import pytest

from algotrade.learning.evaluation import Report
from algotrade.learning.gate import Trial, Trials, count_trials, gate, permutation_limit

GOOD: dict[str, float | int | None] = {
    "test_dates": 250,
    "n_effective": 60,
    "permutation_p": 0.001,
    "permutation_shifts": 999,
    "excess": 0.08,
    "excess_sharpe": 0.08,
    "excess_periods": 1_000,
    "excess_skew": 0.0,
    "excess_kurtosis": 3.0,
    "log_loss_skill": 0.0,
}
BEYOND = "of the excess over holding at the same exposure, after costs"


def report(**changed: float | None) -> Report:
    return Report(metrics=GOOD | changed, baselines={}, verdict="")


def test_what_fulfils_every_condition_is_promoted_exactly_at_the_bounds() -> None:
    found = gate(report(), Trials(), audit_clean=True)
    assert (found.promoted, found.direction_only, found.reasons) == (True, False, ())
    # psr of 0.08 a bar over 1,000 bars: Phi(0.08 sqrt(999) / sqrt(1 + 0.5 * 0.0064))
    z = 0.08 * math.sqrt(999) / math.sqrt(1 + 0.5 * 0.08**2)
    assert found.numbers["deflated_sharpe"] == pytest.approx(math.erfc(-z / math.sqrt(2)) / 2)
    assert found.numbers["permutation_limit"] == pytest.approx(0.05)
    assert found.sentence == "PROMOTED: permutation p 0.0010, deflated Sharpe 0.994, 1 trial."


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"test_dates": 249}, "249 test dates, at least 250 are needed"),
        ({"n_effective": 59}, "59 rows without overlap, at least 60 are needed"),
        (
            {"permutation_p": 0.0501},
            "permutation p 0.0501 is over 0.0500 (1 trial): labels shifted in time do as well",
        ),
        ({"permutation_shifts": 19}, "19 permutation shifts, 1 trial need 20"),
        ({"permutation_p": None}, "no permutation test: too few dates to shift"),
        (
            {"excess_sharpe": 0.05, "excess": 0.0312},
            f"PSR 0.943 {BEYOND} (+3.12% a year), is not over 0.95 (1 trial)",
        ),
        (
            {"excess_sharpe": None},
            "no PSR: the excess over holding is not known, or does not vary",
        ),
    ],
)
def test_each_condition_alone_refuses(changed: dict[str, float | None], reason: str) -> None:
    found = gate(report(**changed), Trials(), audit_clean=True)
    assert not found.promoted
    assert found.reasons == (reason,)
    assert found.sentence == f"REFUSED: {reason}"


def test_a_model_that_may_have_peeked_is_refused_whatever_it_earned() -> None:
    found = gate(report(), Trials(), audit_clean=False)
    assert (found.promoted, found.reasons) == (False, ("the audit is not clean",))


def test_bad_probabilities_are_good_for_direction_only() -> None:
    found = gate(report(log_loss_skill=-0.0123), Trials(), audit_clean=True)
    assert (found.promoted, found.direction_only) == (True, True)
    assert found.reasons == ("log loss 1.23% worse than the base rate's",)
    assert found.sentence.endswith(
        "For its direction only, sized flat: log loss 1.23% worse than the base rate's."
    )
    refused = gate(report(log_loss_skill=-0.01, test_dates=1), Trials(), audit_clean=True)
    assert not refused.direction_only
    assert len(refused.reasons) == 2


def test_nothing_evaluated_is_refused_for_every_reason() -> None:
    found = gate(Report(metrics={}, baselines={}, verdict=""), Trials(), audit_clean=True)
    assert not found.promoted
    assert len(found.reasons) == 5


def test_every_trial_raises_the_bar() -> None:
    assert permutation_limit(1) == pytest.approx(0.05)
    assert 1 - (1 - permutation_limit(40)) ** 40 == pytest.approx(0.05)
    alone = gate(report(), Trials(), audit_clean=True)
    many = gate(report(permutation_p=0.002), Trials(40, 0.0004), audit_clean=True)
    assert (alone.numbers["deflated_sharpe"] or 0) > (many.numbers["deflated_sharpe"] or 0)
    assert [reason.split(" is")[0] for reason in many.reasons] == [
        "permutation p 0.0020",
        f"deflated Sharpe 0.873 {BEYOND} (+8.00% a year),",
    ]
    few = gate(report(permutation_p=0.0001), Trials(60, 0.0), audit_clean=True)
    assert few.reasons == ("999 permutation shifts, 60 trials need 1200",)


def test_trials_are_distinct_plans_on_overlapping_test_spans() -> None:
    own = Trial("mine", 100, 200, 0.05)
    earlier = [
        Trial("a", 0, 99, 9.0),  # judged on other dates
        Trial("b", 0, 100, 0.01),
        Trial("c", 200, 300, 0.03),
        Trial("c", 200, 300, 0.02),  # judged again: the newest counts
        Trial("d", 120, 130, None),  # counts, but has no Sharpe ratio
        Trial("mine", 100, 200, 0.04),
    ]
    found = count_trials(own, earlier)
    assert found.count == 4
    # of 0.05, 0.01 and 0.02: mean 0.08 / 3, squares 0.0030 - 0.0064 / 3
    assert found.variance == pytest.approx((0.0030 - 0.0064 / 3) / 2)
    assert count_trials(own, []) == Trials(1, 0.0)
    assert count_trials(own, [Trial("d", 0, 999, None)]) == Trials(2, 0.0)
