"""The hold-out: the last dates, which a plan may be judged on once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.times import iso, session_date
from algotrade.errors import InputError
from algotrade.store.trials import HoldoutRecord, load_holdouts
from algotrade.workflows.model_money import report_with_money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.learning.dataset import Dataset
    from algotrade.learning.splits import Fold
    from algotrade.learning.training import Plan
    from algotrade.trading.feed import History
    from algotrade.workflows.context import Workspace
    from algotrade.workflows.train_plan import Training


def check_untouched(ws: Workspace, dataset: Dataset, plan: Plan) -> None:
    """Refuse a hold-out that does not exist or was looked at before; raises InputError."""
    test = _fold(dataset, plan).test
    first, last = int(dataset.ts[test[0]]), int(dataset.ts[test[-1]])
    _refuse(load_holdouts(ws.db, dataset.source, dataset.symbols, first, last))


def check_spent(ws: Workspace, record: HoldoutRecord) -> None:
    """Refuse again inside the transaction that spends it: another run may have been quicker."""
    _refuse(load_holdouts(ws.db, record.source, record.symbols, record.first_ts, record.last_ts))


def judge_holdout(
    ws: Workspace, training: Training, dataset: Dataset, histories: Sequence[History]
) -> HoldoutRecord:
    """Fit on every row whose label ended before the hold-out, and report on the hold-out alone."""
    import numpy as np

    from algotrade.learning.training import choose_model, name_plan, test_fold, walked_of

    _, _, plan, seed = training
    fold = _fold(dataset, plan)
    kind = choose_model(plan.model, len(dataset))
    walked = walked_of([fold], [test_fold(dataset, fold, kind, plan, seed)])
    report = report_with_money(
        dataset,
        walked,
        histories,
        np.random.default_rng(seed),
        threshold=plan.threshold,
        costs=ws.settings.costs(),
    )
    return HoldoutRecord(
        plan=name_plan(dataset, plan, seed),
        source=dataset.source,
        symbols=dataset.symbols,
        first_ts=int(dataset.ts[fold.test[0]]),
        last_ts=int(dataset.ts[fold.test[-1]]),
        figures={
            "verdict": report.verdict,
            "train_rows": len(fold.train),
            "metrics": report.metrics,
            "baselines": report.baselines,
        },
        created_at=ws.clock.now(),
    )


def _fold(dataset: Dataset, plan: Plan) -> Fold:
    import numpy as np

    from algotrade.learning.splits import (
        ENOUGH_FOR_HOLDOUT,
        check_split,
        holdout_fold,
        sessions,
    )

    fold = holdout_fold(dataset.ts, dataset.label_end, window=plan.window)
    if fold is None:
        dates = len(np.unique(sessions(dataset.ts)))
        raise InputError(
            f"--final: {dates} dates are too few to keep a hold-out,"
            f" {ENOUGH_FOR_HOLDOUT} are needed",
            hint="load more bars: algotrade fetch with an earlier start",
        )
    check_split(dataset.ts, dataset.label_end, dataset.symbol, fold.train, fold.test)
    return fold


def _refuse(spent: Sequence[HoldoutRecord]) -> None:
    if spent:
        one = spent[0]
        raise InputError(
            f"the hold-out was touched at {iso(one.created_at)} by plan {one.plan}:"
            f" {session_date(one.first_ts)} .. {session_date(one.last_ts)}"
            f" of {', '.join(one.symbols[:4])}{' ...' if len(one.symbols) > 4 else ''}",
            hint="without --final; a new hold-out needs dates after that span",
        )
