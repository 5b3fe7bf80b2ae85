"""The gate: whether a model may be promoted, by five conditions, each told with its number.

1. the audit is clean
2. at least 250 test dates, and 60 rows without overlap
3. the permutation p is at most 1 - 0.95^(1/N), on at least 20 N shifts
4. the excess over holding at the same exposure, after costs, has a deflated Sharpe ratio over 0.95
5. the log loss is no worse than the base rate's; else the model is good for direction only

N is the number of trials: distinct plans judged on overlapping test spans. The gate reads stored
figures only, so a card can be judged again when N has grown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade import measures
from algotrade.learning.evaluation import FEWEST_DATES, FEWEST_EFFECTIVE
from algotrade.learning.significance import SHIFTS_A_TRIAL
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from algotrade.learning.card import Metrics
    from algotrade.learning.evaluation import Report

CERTAIN = 0.95


class Trial(NamedTuple):
    """One plan judged before: what identifies it, its test span, its excess Sharpe ratio.

    plan: a hash or name that is the same for the same plan on the same data. first_ts, last_ts:
    first and last test decision, microseconds. sharpe: of the excess, a period; None: undefined.
    """

    plan: str
    first_ts: int
    last_ts: int
    sharpe: float | None


@dataclass(frozen=True, slots=True)
class Trials:
    """How many plans were judged, and the variance of their Sharpe ratios a period."""

    count: int = 1
    variance: float = 0.0


class GateVerdict(NamedTuple):
    """Whether a model is promoted, and every condition that failed, with its number.

    direction_only: promoted, but its probabilities are worse than the base rate: sized flat.
    numbers: what was compared, for the card.
    """

    promoted: bool
    direction_only: bool
    reasons: tuple[str, ...]
    numbers: Metrics

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        if not self.promoted:
            return f"REFUSED: {'; '.join(self.reasons)}"
        p, luck = self.numbers["permutation_p"], self.numbers["deflated_sharpe"]
        flat = f" For its direction only, sized flat: {self.reasons[0]}." if self.reasons else ""
        return (
            f"PROMOTED: permutation p {p:.4f}, deflated Sharpe {luck:.3f},"
            f" {plural(int(self.numbers['trials'] or 1), 'trial')}.{flat}"
        )


def plural(count: int, noun: str) -> str:
    """Give `1 trial`, `2 trials`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def count_trials(own: Trial, earlier: Iterable[Trial]) -> Trials:
    """Count the distinct plans whose test spans overlap this one's, this one included.

    Of a plan judged several times the newest, given last, counts. The variance is the sample's
    (ddof 1), 0 with fewer than two Sharpe ratios.
    """
    plans = {
        one.plan: one
        for one in (*earlier, own)
        if one.first_ts <= own.last_ts and own.first_ts <= one.last_ts
    }
    ratios = [one.sharpe for one in plans.values() if one.sharpe is not None]
    if len(ratios) < 2:
        return Trials(len(plans))
    middle = measures.mean(ratios)
    spread = measures.mean([(one - middle) ** 2 for one in ratios])
    return Trials(len(plans), spread * len(ratios) / (len(ratios) - 1))


def permutation_limit(trials: int) -> float:
    """Give the p that luck alone reaches in one of 20 families of so many trials."""
    return float(1 - CERTAIN ** (1 / trials))


def gate(report: Report, trials: Trials, *, audit_clean: bool) -> GateVerdict:
    """Judge a report; a figure that is missing fails its condition."""
    found = report.metrics
    luck = _deflated(found, trials)
    numbers: Metrics = {
        "trials": trials.count,
        "trials_variance": trials.variance,
        "permutation_p": found.get("permutation_p"),
        "permutation_limit": permutation_limit(trials.count),
        "deflated_sharpe": luck,
    }
    reasons = [
        *([] if audit_clean else ["the audit is not clean"]),
        *_too_little(found),
        *_by_chance(found, trials.count),
        *_no_money(found, luck, trials.count),
    ]
    worse = _worse_than_base(found)
    promoted = not reasons
    return GateVerdict(
        promoted=promoted,
        direction_only=promoted and bool(worse),
        reasons=(*reasons, *worse),
        numbers=numbers,
    )


def _too_little(found: Metrics) -> list[str]:
    dates, rows = found.get("test_dates") or 0, found.get("n_effective") or 0
    failed = []
    if dates < FEWEST_DATES:
        failed.append(f"{dates} test dates, at least {FEWEST_DATES} are needed")
    if rows < FEWEST_EFFECTIVE:
        failed.append(f"{rows} rows without overlap, at least {FEWEST_EFFECTIVE} are needed")
    return failed


def _by_chance(found: Metrics, trials: int) -> list[str]:
    p, shifts = found.get("permutation_p"), found.get("permutation_shifts") or 0
    if p is None:
        return ["no permutation test: too few dates to shift"]
    limit, needed = permutation_limit(trials), SHIFTS_A_TRIAL * trials
    failed = []
    if p > limit:
        failed.append(
            f"permutation p {p:.4f} is over {limit:.4f} ({plural(trials, 'trial')}):"
            " labels shifted in time do as well"
        )
    if shifts < needed:
        failed.append(f"{shifts} permutation shifts, {plural(trials, 'trial')} need {needed}")
    return failed


def _no_money(found: Metrics, luck: float | None, trials: int) -> list[str]:
    name = "PSR" if trials == 1 else "deflated Sharpe"
    if luck is None:
        return [f"no {name}: the excess over holding is not known, or does not vary"]
    if luck > CERTAIN:
        return []
    excess = found.get("excess")
    a_year = "" if excess is None else f" ({excess:+.2%} a year)"
    told = (
        f"{name} {luck:.3f} of the excess over holding at the same exposure, after costs{a_year},"
        f" is not over {CERTAIN} ({plural(trials, 'trial')})"
    )
    return [told]


def _worse_than_base(found: Metrics) -> list[str]:
    skill = found.get("log_loss_skill")
    if skill is None:
        return ["log loss not known"]
    return [] if skill >= 0 else [f"log loss {-skill:.2%} worse than the base rate's"]


def _deflated(found: Metrics, trials: Trials) -> float | None:
    ratio, periods = found.get("excess_sharpe"), found.get("excess_periods")
    skew, kurtosis = found.get("excess_skew"), found.get("excess_kurtosis")
    if ratio is None or periods is None or skew is None or kurtosis is None:
        return None
    return measures.deflated_sharpe(
        ratio,
        trials=trials.count,
        variance=trials.variance,
        n=int(periods),
        skew=skew,
        kurtosis=kurtosis,
    )
