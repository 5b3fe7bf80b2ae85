"""Sweep: one rule over a grid of its parameters; computed by any workers, kept one by one here."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from algotrade.errors import InputError
from algotrade.record import NamedTuple
from algotrade.trading.feed import Market
from algotrade.workflows.backtest import keep, load_histories, run
from algotrade.workflows.backtest_plan import BACKTEST, Outcome, Plan
from algotrade.workflows.fan_out import ALONE, Workers, open_pool
from algotrade.workflows.hearing import Heard, hear_rule, named, spoken
from algotrade.workflows.speakers import rule_speaker
from algotrade.workflows.trade import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.store.runs import RunRecord
    from algotrade.trading.feed import History
    from algotrade.trading.runs import RunJournal
    from algotrade.trading.state import TradingState
    from algotrade.workflows.context import Workspace


class _Walked(NamedTuple):
    """What a worker hands back: all of an outcome but the bars, which the parent has."""

    heard: Heard
    state: TradingState
    journal: RunJournal


def sweep_plans(plan: Plan) -> list[Plan]:
    """Give one plan for each point of a grid: parameters with several values, parted by commas."""
    names = [name for name, _ in plan.request.params]
    choices = [value.split(",") for _, value in plan.request.params]
    return [
        plan._replace(request=plan.request._replace(params=tuple(zip(names, point, strict=True))))
        for point in product(*choices)
    ]


def sweep(
    ws: Workspace,
    plans: Sequence[Plan],
    *,
    workers: Workers = ALONE,
    progress: Callable[[int, int], None],
) -> list[RunRecord]:
    """Run every plan of a grid; each is a trial, and the others bear the id of the first.

    A point that no rule can be made of spoils the grid before anything runs; points that are the
    same plan, 10 and 010, are one. What is kept does not depend on the workers.
    """
    for plan in plans:
        if plan.request.rule is None:
            raise InputError(
                "-p sets parameters of a --strategy", hint="--strategy sma-state -p ..."
            )
        rule_speaker(plan.request.rule, plan.request.params)
    histories = load_histories(ws, plans[0])
    made: dict[str, RunRecord] = {}
    first: str | None = None
    with open_pool(workers) as pool:
        for number, walked in enumerate(pool(_walk, histories, plans), 1):
            record = _kept(ws, plans[number - 1], histories, walked, first)
            first = first or record.run_id
            made.setdefault(record.run_id, record)
            progress(number, len(plans))
    return list(made.values())


def _walk(histories: Sequence[History], plan: Plan) -> _Walked:
    heard = hear_rule(plan, plan.request.rule or "", histories)
    policy = policy_of(BACKTEST, plan.request, named(heard.strategy))
    outcome = run(plan, policy, spoken(histories, heard, plan), known=histories)
    return _Walked(heard, outcome.state, outcome.journal)


def _kept(
    ws: Workspace, plan: Plan, histories: Sequence[History], walked: _Walked, first: str | None
) -> RunRecord:
    """Keep a run as `backtest` does."""
    policy = policy_of(BACKTEST, plan.request, named(walked.heard.strategy))
    said = spoken(histories, walked.heard, plan)
    market, marks = Market(said, policy), walked.journal.marks
    outcome = Outcome(walked.state, walked.journal, marks, market, said, plan.costs)
    return keep(ws, plan, policy, walked.heard, outcome, first)
