"""Audit: does anything in a model's making know what comes later? Ten tests, one report.

Which test finds what, and what each one does not see, is told in docs/audit.md. Nothing here trusts
what it judges: label ends are found anew in the bars, futures are replaced, training is run again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from algotrade.domain.times import iso
from algotrade.errors import InputError, shown
from algotrade.learning import splits
from algotrade.learning.audit_decisions import (
    NULL_SEEDS,
    NULL_SYMBOLS,
    decisions,
    determinism,
    fills,
    label_trades,
    labels_begin_at_the_fill,
    null_markets,
    shifted_labels,
    split,
)
from algotrade.learning.audit_features import (
    Outcome,
    perturbation,
    scale,
    start_up,
    truncation,
)
from algotrade.learning.audit_pipeline import asked_once, out_of_sample, schedule, windowed
from algotrade.learning.audit_subject import subject
from algotrade.learning.cross import bind
from algotrade.learning.cross_rules import FEWEST
from algotrade.learning.dataset import build_dataset
from algotrade.learning.features import compute_features
from algotrade.learning.own_features import OwnFeatures
from algotrade.learning.training import choose_model, train
from algotrade.learning.walkforward import refit_times
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from algotrade.bars import Bars
    from algotrade.learning.audit_decisions import Gate, Trade
    from algotrade.learning.audit_subject import Subject
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.presets import FeatureSpec
    from algotrade.learning.splits import Fold
    from algotrade.learning.training import Plan, Progress

    Folds = Callable[[NDArray[np.int64], NDArray[np.int64]], Sequence[Fold]]

TESTS = {
    "A1": "features without later bars",
    "A1b": "features with other later bars",
    "A2": "features from the declared look-back",
    "A3": "predictions with other later bars",
    "A4": "labels of training before tests",
    "A5": "fills after decisions",
    "A6": "markets without a signal",
    "A6b": "labels shifted in time",
    "A7": "features at another price level",
    "A8": "two runs with one seed",
}
ALL = tuple(TESTS)
CHEAP = ("A1", "A1b", "A4", "A5", "A7")
SYMBOLS_LOOKED_AT = 4  # whose features and labels are looked at
SECTION = 12  # symbols that those are compared with, where features compare symbols
_FEATURES = ("A1", "A1b", "A2", "A7")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What the tests found: one outcome for each failure, else one for each test and symbol."""

    tests: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether no test failed; a test that does not apply is no failure."""
        return all(outcome.passed is not False for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """Give the outcomes that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.passed is False)

    def results(self) -> dict[str, str]:
        """Give "passed", "failed" or "n/a" by test, for a card or a screen."""
        found = {}
        for test in self.tests:
            verdicts = {one.passed for one in self.outcomes if one.test == test}
            found[test] = "failed" if False in verdicts else "passed" if True in verdicts else "n/a"
        return found

    def lines(self) -> list[str]:
        """Tell each test in a line, and below it each failure with its numbers."""
        told = []
        for test, result in self.results().items():
            mine = [one for one in self.outcomes if one.test == test]
            details = dict.fromkeys(one.detail for one in mine if one.detail)
            rest = "" if result == "failed" else f": {'; '.join(details)}" if details else ""
            told.append(f"{test:<4}{result:<7} {TESTS[test]}{rest}")
            told += [f"     {tell(one)}" for one in mine if one.passed is False]
        return told


class _World(NamedTuple):
    """What a run of the audit works on."""

    histories: Sequence[Bars]
    looked_at: Sequence[Bars]
    spec: FeatureSpec
    labels: LabelSpec
    plan: Plan
    seed: int
    folds: Folds
    trades: Sequence[Trade] | None
    gate: Gate | None
    now: int | None
    null_seeds: int
    exhaustive: bool
    step: Callable[[], None] = lambda: None


class _Steps:
    """What is done and what there is to do, told to whoever watches."""

    def __init__(self, told: Progress | None, total: int) -> None:
        self._told, self._total, self._done = told, total, 0

    def one(self, count: int = 1) -> None:
        """Count steps."""
        self._done += count
        if self._told is not None and count:
            self._told(self._done, self._total)


def run_audit(
    histories: Sequence[Bars],
    spec: FeatureSpec,
    labels: LabelSpec,
    plan: Plan,
    *,
    seed: int,
    tests: Sequence[str] = ALL,
    trades: Sequence[Trade] | None = None,
    gate: Gate | None = None,
    now: int | None = None,
    folds: Folds | None = None,
    null_seeds: int = NULL_SEEDS,
    exhaustive: bool = False,
    progress: Progress | None = None,
) -> AuditReport:
    """Run tests over features, split, fit, decisions and fills; the same input, the same report.

    tests: names in TESTS; `train` asks for CHEAP, `promote` for ALL. trades: to be judged by A5,
    else those the labels assume. gate: whether a model trained on these histories with this seed
    would be promoted; A6 allows one. folds: of A4, else those of `train`.
    exhaustive: A1 cuts at each of the last 500 bars, too. Where features fail, what is built on
    them is not run. progress(done, total) is called after each test, and after each market of A6.
    Raises InputError for an unknown test, and as `build_dataset` and `train`.
    """
    for test in tests:
        if test not in TESTS:
            raise InputError(
                f"audit test {shown(test)} is unknown", hint=f"one of {', '.join(ALL)}"
            )
    world = _World(
        histories,
        _chosen(histories, seed),
        spec,
        labels,
        plan,
        seed,
        folds or partial(splits.judged_folds, folds=plan.folds, window=plan.window),
        trades,
        gate,
        now,
        null_seeds,
        exhaustive,
    )
    steps = _Steps(progress, len(set(tests)) + (null_seeds - 1) * ("A6" in tests))
    world = world._replace(step=steps.one)
    asked = sorted(dict.fromkeys(tests), key=lambda test: (test not in _FEATURES, ALL.index(test)))
    outcomes: list[Outcome] = []
    for test in asked:
        broken = any(one.passed is False for one in outcomes if one.test in _FEATURES)
        if broken and test not in _FEATURES:
            outcomes.append(Outcome(test=test, passed=None, detail="not run: features failed"))
            steps.one(null_seeds if test == "A6" else 1)
        else:
            outcomes += _run(test, world)
            steps.one(test != "A6")
    in_order = tuple(test for test in ALL if test in asked)
    return AuditReport(tests=in_order, outcomes=tuple(outcomes))


def tell(outcome: Outcome) -> str:
    """Tell a failure in one line: what, where, both values, how far ahead."""
    where = " ".join(part for part in (outcome.what, outcome.symbol) if part)
    if outcome.ts is not None:
        where += f" {iso(outcome.ts)}"
    parts = [where]
    if outcome.value is not None and outcome.other is not None:
        parts.append(f"{outcome.value:.10g} against {outcome.other:.10g}")
    elif outcome.value is not None:
        parts.append(f"{outcome.value:.10g} against nothing")
    if outcome.ahead is not None:
        parts.append(f"looks {outcome.ahead} bar{'s' * (outcome.ahead != 1)} ahead")
    return ", ".join([*parts, *([outcome.detail] if outcome.detail else [])])


# ---- the tests


def _run(test: str, world: _World) -> list[Outcome]:
    runner = _RUNNERS[test]
    return runner(world)


def _each(test: Callable[[Subject, Bars], list[Outcome]], world: _World) -> list[Outcome]:
    """Look at the features of some symbols; of a feature that fails at several, tell the first."""
    of = subject(world.spec, _section(world))
    found: dict[tuple[str, bool | None, str], Outcome] = {}
    for bars in world.looked_at:
        for one in test(of, bars):
            found.setdefault((one.what, one.passed, one.detail if one.passed else ""), one)
    outcomes = list(found.values())
    if any(one.passed is False for one in outcomes):
        return [one for one in outcomes if one.passed is False]
    return outcomes


def _a3(world: _World) -> list[Outcome]:
    from_ts, every = schedule(world.histories)
    times = refit_times(world.histories, world.spec, world.labels, from_ts=from_ts, every=every)
    # a refit's own instant shows a label that reaches one bar too far; between two, a feature
    chosen = dict.fromkeys((times[0], times[-1]))
    pipeline = windowed(world.spec, world.labels, _fixed(world), seed=world.seed)
    return decisions(pipeline, world.histories, chosen, seed=world.seed)


def _a4(world: _World) -> list[Outcome]:
    dataset = build_dataset(world.histories, world.spec, world.labels)
    folds = world.folds(dataset.ts, dataset.label_end)
    return split(dataset, world.histories, folds)


def _a5(world: _World) -> list[Outcome]:
    assumed = label_trades(world.looked_at) if world.trades is None else world.trades
    outcomes = fills(assumed, world.histories, now=world.now)
    for bars in world.looked_at:
        outcomes += labels_begin_at_the_fill(bars, world.labels, seed=world.seed)
    return outcomes


def _a6(world: _World) -> list[Outcome]:
    pipeline = windowed(asked_once(world.spec), world.labels, _fixed(world), seed=world.seed)
    seeds = range(world.seed, world.seed + world.null_seeds)
    symbols = FEWEST if world.spec.crosses else NULL_SYMBOLS
    return null_markets(
        pipeline,
        world.labels,
        seeds=seeds,
        gate=world.gate,
        symbols=symbols,
        progress=world.step,
    )


def _a6b(world: _World) -> list[Outcome]:
    dataset = build_dataset(world.histories, world.spec, world.labels)
    folds = world.folds(dataset.ts, dataset.label_end)
    plan = _fixed(world)

    def score(rolled: Dataset) -> NDArray[np.float64]:
        return out_of_sample(rolled, plan, folds, seed=world.seed)

    return shifted_labels(dataset, score, seed=world.seed)


def _a8(world: _World) -> list[Outcome]:
    def run() -> Mapping[str, object]:
        own = world.spec.own
        if isinstance(own, OwnFeatures):
            own.memory.clear()
        spec = bind(world.spec, world.histories)
        rows = b"".join(compute_features(one, spec).tobytes() for one in world.looked_at)
        dataset = build_dataset(world.histories, world.spec, world.labels)
        model = train(dataset, world.plan, seed=world.seed, now=0)
        p = model.scorer.score_many(dataset.x, model.estimator)
        return {"features": rows, "model id": model.card.id, "predictions": p.tobytes()}

    return determinism(run)


def _chosen(histories: Sequence[Bars], seed: int) -> list[Bars]:
    """Choose whose features are looked at: one with a split among them, where there is one."""
    import random

    ordered = sorted((bars for bars in histories if len(bars) > 1), key=lambda bars: bars.symbol)
    if len(ordered) <= SYMBOLS_LOOKED_AT:
        return ordered
    drawn = random.Random(seed).sample(ordered, SYMBOLS_LOOKED_AT)  # noqa: S311 - where to look, not a secret
    split_ones = [bars for bars in ordered if bars.splits]
    if split_ones and not any(bars.splits for bars in drawn):
        drawn[-1] = max(split_ones, key=len)
    return drawn


def _section(world: _World) -> list[Bars]:
    """Choose whom the looked-at symbols are compared with: themselves and the longest histories."""
    seen = {one.symbol for one in world.looked_at}
    others = sorted(
        (one for one in world.histories if one.symbol not in seen),
        key=lambda bars: (-len(bars), bars.symbol),
    )
    return [*world.looked_at, *others][:SECTION]


def _fixed(world: _World) -> Plan:
    """Give the plan with the kind of model it takes on these histories, on smaller ones, too."""
    rows = sum(max(0, len(bars) - world.spec.lookback) for bars in world.histories)
    return replace(world.plan, model=choose_model(world.plan.model, rows))


_RUNNERS: dict[str, Callable[[_World], list[Outcome]]] = {
    "A1": lambda world: _each(
        partial(truncation, seed=world.seed, exhaustive=world.exhaustive), world
    ),
    "A1b": lambda world: _each(partial(perturbation, seed=world.seed), world),
    "A2": lambda world: _each(partial(start_up, seed=world.seed), world),
    "A3": _a3,
    "A4": _a4,
    "A5": _a5,
    "A6": _a6,
    "A6b": _a6b,
    "A7": lambda world: _each(scale, world),
    "A8": _a8,
}
