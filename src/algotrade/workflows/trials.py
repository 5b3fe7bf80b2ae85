"""Trials: everything that was tried on the same dates, from the ledger of plans and kept runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.learning.card import plan_hash
from algotrade.learning.evaluation import Report
from algotrade.learning.gate import GateVerdict, Trial, Trials, count_trials, gate
from algotrade.store import runs as run_store
from algotrade.store import trials as trial_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from algotrade.learning.card import ModelCard
    from algotrade.workflows.context import Workspace


def earlier_trials(
    ws: Workspace, symbols: Iterable[str], first_ts: int, last_ts: int
) -> list[Trial]:
    """Give what was judged on any of these symbols in an overlapping test span, oldest first.

    Trained and searched plans, and kept backtests, whose plans have names of their own.
    """
    wanted = tuple(symbols)
    trained = [
        Trial(one.plan, one.first_ts, one.last_ts, one.sharpe)
        for one in trial_store.load_trials(ws.db, ws.source, wanted, first_ts, last_ts)
    ]
    runs = [
        Trial(
            f"run {one.plan_hash}",
            one.from_ts,
            one.until_ts,
            one.report["figures"].get("judged_sharpe"),
        )
        for one in run_store.trials(ws.db, ws.source, wanted, first_ts, last_ts)
    ]
    return [*trained, *runs]


def trials_of(ws: Workspace, card: ModelCard, points: Iterable[Trial] = ()) -> Trials:
    """Count the trials on a model's test dates as of now, its own plan included.

    points: of a search that is not stored yet.
    """
    if not card.folds:
        return Trials()
    first, last = card.folds[0].test_first, card.folds[-1].test_last
    own = Trial(plan_hash(card), first, last, card.metrics.get("excess_sharpe"))
    return count_trials(own, (*earlier_trials(ws, card.symbols, first, last), *points))


def judge_card(
    ws: Workspace, card: ModelCard, *, audit_clean: bool, points: Iterable[Trial] = ()
) -> tuple[Trials, GateVerdict]:
    """Let the gate judge the figures that a card keeps, with the trials there are now."""
    trials = trials_of(ws, card, points)
    report = Report(metrics=card.metrics, baselines=card.baselines, verdict=card.verdict)
    return trials, gate(report, trials, audit_clean=audit_clean)
