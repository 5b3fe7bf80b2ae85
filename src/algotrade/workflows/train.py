"""Train: audit, walk forward, judge, fit on every row, and register; all of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.errors import InputError, ModelError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import records
from algotrade.store import trials as trial_store
from algotrade.store.database import immediate
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.fan_out import ALONE, Workers, open_pool
from algotrade.workflows.holdout import check_spent, check_untouched, judge_holdout
from algotrade.workflows.model_money import report_with_money
from algotrade.workflows.models import load_model, no_bars
from algotrade.workflows.registry import inherit_promotion
from algotrade.workflows.search import run_search, with_search
from algotrade.workflows.settle import load_history
from algotrade.workflows.train_plan import Training, training_of
from algotrade.workflows.trials import earlier_trials, judge_card

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from algotrade.learning.audit import AuditReport
    from algotrade.learning.card import ModelCard
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.evaluation import Report
    from algotrade.learning.gate import GateVerdict, Trial, Trials
    from algotrade.learning.pool import Pool
    from algotrade.learning.registry import SavedModel
    from algotrade.learning.training import Plan, TrainedModel, Walked
    from algotrade.store.trials import HoldoutRecord
    from algotrade.trading.feed import History
    from algotrade.workflows.search import Found, Search

    Progress: TypeAlias = Callable[[str, int, int], None]

REPORT_STEPS = 3  # report, money, the last fit


class TrainRequest(NamedTuple):
    """What to train on, beside the settings; no symbol: all that are stored.

    as_of: train on the bars as they were known then, and on none that closed later; the training
    counts as of then, so that a newer model stays the one in use. final: judge the plan on the
    hold-out, too, which can be done once. search: choose the parameters among a grid first.
    workers: who fits the blocks.
    """

    symbols: Sequence[str] = ()
    as_of: int | None = None
    final: bool = False
    search: Search | None = None
    workers: Workers = ALONE


class TrainResult(NamedTuple):
    """A registered model as it was judged now; note: what its scorer cannot do, if anything."""

    card: ModelCard
    trials: Trials
    verdict: GateVerdict
    holdout: HoldoutRecord | None
    note: str | None


class _Job(NamedTuple):
    """One training under way."""

    ws: Workspace
    training: Training
    histories: Sequence[History]
    dataset: Dataset
    told: Progress
    pool: Pool
    found: Found | None = None

    @property
    def points(self) -> tuple[Trial, ...]:
        """Give the points of the search, each a trial."""
        return self.found.trials if self.found else ()


def train_model(
    ws: Workspace, request: TrainRequest | None = None, *, progress: Progress | None = None
) -> TrainResult:
    """Train on stored bars and register the model; files first, then the records that name them.

    progress(what, done, total) is called after each step. Raises DataError without bars, ModelError
    where the audit fails, InputError where the plan cannot be used or the hold-out is spent; then,
    and when it is interrupted, nothing is left behind.
    """
    from algotrade.learning.dataset import build_dataset

    asked = request or TrainRequest()
    training = training_of(ws.settings)
    histories = load_histories(ws, asked)
    bars = [one.bars for one in histories]
    told = progress or (lambda _what, _done, _total: None)
    audit = _audited(ws, training, histories, told)
    dataset = build_dataset(bars, training.spec, training.labels)
    _check_window(dataset, training.plan)
    if asked.final:
        check_untouched(ws, dataset, training.plan)
    with open_pool(asked.workers) as pool:
        job = _Job(ws, training, histories, dataset, told, pool)
        job = _searched(job, asked.search)
        training = job.training
        trained, trials, verdict = _judged(job, audit)
    holdout = judge_holdout(ws, training, dataset, histories) if asked.final else None
    saved, is_new = _save(job, trained, holdout, asked.as_of)
    kept = load_model(ws, saved.model_id)
    if asked.as_of is None:
        inherit_promotion(ws, kept.card)
    card = kept.card if is_new else _as_judged(kept.card, trained.card)
    return TrainResult(card, trials, verdict, holdout, getattr(kept.scorer, "note", None))


def _check_window(dataset: Dataset, plan: Plan) -> None:
    """Refuse a rolling window that leaves nothing to test, where a longer one would."""
    from dataclasses import replace

    from algotrade.learning.splits import FEWEST_TRAIN
    from algotrade.learning.training import usable_folds

    if plan.window is None or usable_folds(dataset, plan):
        return
    if usable_folds(dataset, replace(plan, window=None)):
        raise InputError(
            f"train.window = rolling:{plan.window} leaves no row to test: no test block has"
            f" {FEWEST_TRAIN} rows of both classes to train on before it",
            hint="--window rolling:756, or expanding",
        )


def load_histories(ws: Workspace, asked: TrainRequest) -> list[History]:
    """Load the bars to learn from; raises DataError where a symbol has none."""
    from algotrade.store.chunks import prepare_chunks

    names = list(dict.fromkeys(asked.symbols)) or bar_store.stored_symbols(ws.db, ws.source, DAILY)
    found = [bar_store.find_series(ws.db, ws.source, name, DAILY) for name in names]
    prepare_chunks(ws.db, [series for series in found if series is not None])
    histories = [
        load_history(ws, name, until=asked.as_of, known_at=asked.as_of) for name in sorted(names)
    ]
    empty = [one.bars.symbol for one in histories if not len(one.bars)]
    if empty or not names:
        raise no_bars(ws, empty[0] if empty else "any symbol")
    return histories


def _audited(
    ws: Workspace, training: Training, histories: Sequence[History], told: Progress
) -> AuditReport:
    """Run the cheap tests; raises ModelError that names the first feature, date and values."""
    from algotrade.learning.audit import CHEAP, run_audit, tell

    spec, labels, plan, seed = training
    total = _total(training)
    audit = run_audit(
        [one.bars for one in histories],
        spec,
        labels,
        plan,
        seed=seed,
        tests=CHEAP,
        now=ws.clock.now(),
        progress=lambda done, _: told("audit", done, total),
    )
    if not audit.passed:
        first = audit.failures[0]
        raise ModelError(
            f"the audit failed, test {first.test}: {tell(first)}",
            hint="algotrade audit tells all of it; nothing was trained",
        )
    return audit


def _searched(job: _Job, asked: Search | None) -> _Job:
    """Choose the parameters, where that was asked for."""
    if asked is None:
        return job
    found = run_search(
        job.dataset,
        job.training.plan,
        job.histories,
        asked,
        seed=job.training.seed,
        costs=job.ws.settings.costs(),
        pool=job.pool,
        told=lambda done, total: job.told("search", done, total),
    )
    return job._replace(found=found, training=job.training._replace(plan=found.plan))


def _judged(job: _Job, audit: AuditReport) -> tuple[TrainedModel, Trials, GateVerdict]:
    """Walk forward, report, fit on every row, and let the gate judge."""
    from dataclasses import replace

    from algotrade.learning.audit import CHEAP
    from algotrade.learning.card import Judgement
    from algotrade.learning.training import train

    total = _total(job.training)

    def fitted(done: int, fits: int) -> None:
        job.told("fit", total if done == fits else len(CHEAP) + done, total)

    trained = train(
        job.dataset,
        job.training.plan,
        seed=job.training.seed,
        now=job.ws.clock.now(),
        judge=lambda _dataset, walked: _report(job, walked),
        walked=job.found.searched.walked if job.found else None,
        pool=job.pool,
        progress=fitted,
    )
    trials, verdict = judge_card(job.ws, trained.card, audit_clean=audit.passed, points=job.points)
    judgement = Judgement(
        promoted=verdict.promoted,
        direction_only=verdict.direction_only,
        reasons=verdict.reasons,
        numbers=verdict.numbers,
        audit=audit.results(),
    )
    return replace(trained, card=replace(trained.card, judgement=judgement)), trials, verdict


def _report(job: _Job, walked: Walked) -> Report:
    """Make the full report, its money earned by the engine's own loop."""
    import numpy as np

    from algotrade.learning.gate import Trial, count_trials
    from algotrade.learning.training import name_plan

    ws, dataset, (_, _, plan, seed) = job.ws, job.dataset, job.training
    when = dataset.ts[walked.outcome.rows]
    count = 1
    if len(when):
        own = Trial(name_plan(dataset, plan, seed), int(when.min()), int(when.max()), None)
        earlier = earlier_trials(ws, dataset.symbols, own.first_ts, own.last_ts)
        count = count_trials(own, (*earlier, *job.points)).count
    total = _total(job.training)
    report = report_with_money(
        dataset,
        walked,
        job.histories,
        np.random.default_rng(seed),
        threshold=plan.threshold,
        costs=ws.settings.costs(),
        trials=count,
        told=lambda what, left: job.told(what, total - 1 - left, total),
    )
    return with_search(report, job.found)


def _save(
    job: _Job, trained: TrainedModel, holdout: HoldoutRecord | None, as_of: int | None
) -> tuple[SavedModel, bool]:
    """Write the files, then the records that name them; tell whether the model is new.

    Where anything fails or somebody interrupts, a folder that was not there before is gone again.
    """
    import shutil

    from algotrade.learning.registry import save_model

    ws, card = job.ws, trained.card
    ws.settings.models.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = ws.settings.models / card.id
    is_new = not folder.exists()
    now = ws.clock.now()
    try:
        saved = save_model(ws.settings.models, trained)
        with immediate(ws.db):
            if holdout is not None:
                check_spent(ws, holdout)
                trial_store.save_holdout(ws.db, holdout)
            for point in job.points:
                trial_store.save_trial(ws.db, _point(card, point, now))
            if card.folds:
                trial_store.save_trial(ws.db, _trial(card, now))
            at = now if as_of is None else as_of
            record = records.TrainingRecord(saved.model_id, ws.source, at, saved.card_sha256)
            records.save_training(ws.db, record)
    except BaseException:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return saved, is_new


def _trial(card: ModelCard, now: int) -> trial_store.TrialRecord:
    from algotrade.learning.card import plan_hash

    return trial_store.TrialRecord(
        plan=plan_hash(card),
        source=card.source,
        symbols=card.symbols,
        what=trial_store.TRAIN,
        first_ts=card.folds[0].test_first,
        last_ts=card.folds[-1].test_last,
        sharpe=card.metrics.get("excess_sharpe"),
        model_id=card.id,
        created_at=now,
    )


def _point(card: ModelCard, point: Trial, now: int) -> trial_store.TrialRecord:
    return trial_store.TrialRecord(
        plan=point.plan,
        source=card.source,
        symbols=card.symbols,
        what=trial_store.SEARCH,
        first_ts=point.first_ts,
        last_ts=point.last_ts,
        sharpe=point.sharpe,
        model_id=None,
        created_at=now,
    )


def _as_judged(kept: ModelCard, now: ModelCard) -> ModelCard:
    """Give the card that lies there with today's judgement, which may know of more trials."""
    from dataclasses import replace

    return replace(kept, judgement=now.judgement, metrics=now.metrics)


def _total(training: Training) -> int:
    from algotrade.learning.audit import CHEAP

    return len(CHEAP) + training.plan.folds + REPORT_STEPS
