"""Audit: look for knowledge of the future in what the settings would train, or in a saved model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import InputError, ModelError, shown
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.models import no_bars

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from algotrade.bars import Bars
    from algotrade.learning.audit import AuditReport
    from algotrade.learning.audit_decisions import Gate
    from algotrade.learning.card import ModelCard
    from algotrade.learning.evaluation import Report
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.presets import FeatureSpec
    from algotrade.learning.training import Plan

    Progress: TypeAlias = Callable[[int, int], None]

CHEAP = "cheap"


class AuditRequest(NamedTuple):
    """What to audit beside the `train.` settings; no symbol: all that are stored.

    tests: names of tests, `cheap` for those of `train`, empty for all. exhaustive: cut at each of
    the last 500 bars, too.
    """

    symbols: Sequence[str] = ()
    tests: tuple[str, ...] = ()
    exhaustive: bool = False


class Audited(NamedTuple):
    """What was audited, and what was found.

    null_seeds: markets without a signal that A6 takes. titles: what each test is, in words.
    """

    report: AuditReport
    symbols: tuple[str, ...]
    bars: int
    features: str
    model: str
    horizon: int
    seed: int
    null_seeds: int
    titles: Mapping[str, str]


class _Job(NamedTuple):
    histories: Sequence[Bars]
    spec: FeatureSpec
    labels: LabelSpec
    plan: Plan
    seed: int


def audit(ws: Workspace, request: AuditRequest, *, progress: Progress | None = None) -> Audited:
    """Audit what `train` would do with the settings; nothing is written.

    Raises InputError for a test that there is not, and for features that cannot be loaded or fail.
    """
    from algotrade.workflows.train_plan import training_of

    tests = read_tests(request.tests)
    spec, labels, plan, seed = training_of(ws.settings)
    names = list(dict.fromkeys(request.symbols)) or bar_store.stored_symbols(
        ws.db, ws.source, DAILY
    )
    if not names:
        raise no_bars(ws, "any symbol")
    job = _Job(_loaded(ws, sorted(names), ws.clock.now()), spec, labels, plan, seed)
    return _run(ws, job, tests, exhaustive=request.exhaustive, progress=progress)


def audit_card(ws: Workspace, card: ModelCard, *, progress: Progress | None = None) -> Audited:
    """Run all tests on the plan and the bars of a saved model; its features are verified first."""
    from algotrade.learning.audit import ALL
    from algotrade.learning.dataset import build_dataset
    from algotrade.learning.labels import LabelSpec
    from algotrade.learning.own_features import card_features

    spec, labels = card_features(card), LabelSpec(horizon=card.horizon)
    histories = _loaded(ws, card.symbols, card.last_ts)
    if build_dataset(histories, spec, labels).fingerprint != card.fingerprint:
        ws.say(f"bars of model {card.id} have changed since it was trained: as they are now")
    job = _Job(histories, spec, labels, plan_of(card), card.seed)
    return _run(ws, job, ALL, exhaustive=False, progress=progress)


def plan_of(card: ModelCard) -> Plan:
    """Give the plan that a model was trained by."""
    from algotrade.learning.training import Plan

    return Plan(
        model=card.kind,
        threshold=card.threshold,
        folds=card.blocks,
        params=card.overrides,
        window=card.window or None,
    )


def read_tests(names: Sequence[str]) -> tuple[str, ...]:
    """Give the tests by name, in their order; `cheap` stands for those that `train` runs."""
    from algotrade.learning.audit import ALL
    from algotrade.learning.audit import CHEAP as CHEAP_TESTS

    known = {name.lower(): name for name in ALL}
    found: set[str] = set()
    for name in names:
        if name == CHEAP:
            found |= {*CHEAP_TESTS}
        elif name.lower() in known:
            found.add(known[name.lower()])
        else:
            raise InputError(
                f"audit test {shown(name)} is unknown", hint=f"some of {','.join(ALL)}"
            )
    return tuple(name for name in ALL if name in found) if names else ALL


def insist_clean(audited: Audited, what: str) -> None:
    """Raise ModelError with the first failure where the audit failed."""
    from algotrade.learning.audit import tell

    if not audited.report.passed:
        first = audited.report.failures[0]
        raise ModelError(
            f"{what}: the audit failed, test {first.test}: {tell(first)}",
            hint="algotrade audit tells all of it",
        )


def _loaded(ws: Workspace, names: Sequence[str], until: int) -> list[Bars]:
    histories = [bar_store.load_bars(ws.db, ws.source, one, DAILY, until=until) for one in names]
    empty = [bars.symbol for bars in histories if not len(bars)]
    if empty:
        raise no_bars(ws, empty[0])
    return histories


def _run(
    ws: Workspace,
    job: _Job,
    tests: Sequence[str],
    *,
    exhaustive: bool,
    progress: Progress | None,
) -> Audited:
    from algotrade.learning.audit import TESTS, run_audit
    from algotrade.learning.audit_decisions import NULL_SEEDS
    from algotrade.learning.training import choose_model

    report = run_audit(
        job.histories,
        job.spec,
        job.labels,
        job.plan,
        seed=job.seed,
        tests=tests,
        gate=_gate(ws, job),
        now=ws.clock.now(),
        exhaustive=exhaustive,
        progress=progress,
    )
    rows = sum(max(0, len(bars) - job.spec.lookback) for bars in job.histories)
    return Audited(
        report=report,
        symbols=tuple(bars.symbol for bars in job.histories),
        bars=sum(map(len, job.histories)),
        features=job.spec.preset,
        model=choose_model(job.plan.model, rows),
        horizon=job.labels.horizon,
        seed=job.seed,
        null_seeds=NULL_SEEDS,
        titles=TESTS,
    )


def _gate(ws: Workspace, job: _Job) -> Gate:
    """Give whether the whole of `train`, its gate included, would promote on other histories."""
    from dataclasses import replace

    import numpy as np

    from algotrade.learning.audit_pipeline import asked_once
    from algotrade.learning.dataset import build_dataset
    from algotrade.learning.gate import Trials, gate
    from algotrade.learning.training import Walked, choose_model, train
    from algotrade.trading.feed import History
    from algotrade.workflows.model_money import report_with_money

    spec = asked_once(job.spec)
    rows = sum(max(0, len(bars) - job.spec.lookback) for bars in job.histories)
    plan = replace(job.plan, model=choose_model(job.plan.model, rows))

    def promotes(histories: Sequence[Bars], seed: int) -> bool:
        dataset = build_dataset(histories, spec, job.labels)
        reports: list[Report] = []

        def judge(_: object, walked: Walked) -> Report:
            made = report_with_money(
                dataset,
                walked,
                [History(bars) for bars in histories],
                np.random.default_rng(seed),
                threshold=plan.threshold,
                costs=ws.settings.costs(),
                trials=1,
            )
            reports.append(made)
            return made

        train(dataset, plan, seed=seed, now=0, judge=judge)
        return gate(reports[-1], Trials(), audit_clean=True).promoted

    return promotes
