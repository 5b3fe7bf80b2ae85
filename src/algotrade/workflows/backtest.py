"""Backtest: the live decision over stored history; every run is kept and counted as a trial."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from algotrade import __version__
from algotrade.domain.ledger import DEPOSIT, Entry
from algotrade.domain.risk import Conditions
from algotrade.domain.times import session_date
from algotrade.errors import DataError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import runs as run_store
from algotrade.store.database import immediate
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.feed import History, Market
from algotrade.trading.runs import RunJournal
from algotrade.trading.session import Decider, run_session
from algotrade.trading.state import TradingState
from algotrade.workflows.backtest_plan import BACKTEST, Outcome, Plan
from algotrade.workflows.backtest_report import make_report
from algotrade.workflows.conditions import outlook_of
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.fan_out import ALONE, Workers
from algotrade.workflows.hearing import Heard, hear, named, spoken
from algotrade.workflows.models import no_bars
from algotrade.workflows.settle import load_history
from algotrade.workflows.trade import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from algotrade.domain.decisions import Policy
    from algotrade.domain.ledger import Mark
    from algotrade.errors import AlgotradeError


class Kept(NamedTuple):
    """A run as it is kept, and its valuations."""

    record: run_store.RunRecord
    marks: Sequence[Mark]


def backtest(
    ws: Workspace,
    plan: Plan,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: Workers = ALONE,
) -> Kept:
    """Run one plan over stored bars and keep the run; the same run again is found, not repeated."""
    histories = load_histories(ws, plan)
    heard = hear(ws, plan, histories, progress, workers)
    policy = policy_of(BACKTEST, plan.request, named(heard.strategy))
    outcome = run(plan, policy, spoken(histories, heard, plan), known=histories)
    return Kept(keep(ws, plan, policy, heard, outcome), outcome.marks)


def load_histories(ws: Workspace, plan: Plan) -> list[History]:
    """Load the bars of a plan up to its end; raises DataError where a symbol has none."""
    histories = [
        load_history(ws, symbol, until=plan.until_ts) for symbol in sorted(plan.request.symbols)
    ]
    for history in histories:
        if not len(history.bars):
            raise _nothing_of(ws, history.bars.symbol, plan)
    return histories


def _nothing_of(ws: Workspace, symbol: str, plan: Plan) -> AlgotradeError:
    if plan.until_ts is None or symbol not in bar_store.stored_symbols(ws.db, ws.source, DAILY):
        return no_bars(ws, symbol)
    day = session_date(plan.until_ts)
    return DataError(f"no {ws.source} bars of {symbol} by {day}", hint="another --to")


def run(
    plan: Plan,
    policy: Policy,
    histories: Sequence[History],
    *,
    skip: bool = True,
    known: Sequence[History] | None = None,
) -> Outcome:
    """Walk the histories by the loop, in memory.

    known: the same with the bars before the span, which checks of risk look back on.
    """
    market = Market(histories, policy)
    if not market.times:
        raise DataError("no bar of any symbol lies in the span", hint="another --from or --to")
    journal = RunJournal()
    state = TradingState(account=policy.account)
    opening = Entry(ts=market.times[0] - 1, kind=DEPOSIT, ref="opening", amount=plan.cash)
    journal.append(opening)
    state.book(opening)
    run_session(
        market.turns(state, plan.limits, skip=skip),
        state=state,
        broker=SimulatedBroker(plan.costs),
        journal=journal,
        decider=Decider(
            policy=policy,
            limits=plan.limits,
            conditions=lambda moment: Conditions(moment.ts, moment.close),
            look=outlook_of(known or histories).facts if plan.limits.complete else None,
        ),
    )
    return Outcome(state, journal, journal.marks, market, histories, plan.costs)


def keep(
    ws: Workspace,
    plan: Plan,
    policy: Policy,
    heard: Heard,
    outcome: Outcome,
    sweep: str | None = None,
) -> run_store.RunRecord:
    """Keep a run; the same run again is found, not kept twice."""
    spec = _spec(plan, policy, heard)
    plan_hash = _hash({name: said for name, said in spec.items() if name != "limits_name"})
    read = [*(one.bars for one in outcome.histories), *heard.others]
    bars_hash = _hash([one.fingerprint() for one in read])
    times = outcome.market.times
    run_id = "b-" + _hash([plan_hash, bars_hash, times[0], times[-1], plan.benchmark])[:12]
    with immediate(ws.db):
        known = run_store.find_runs(ws.db, run_id)
        if known:
            return known[0]
        symbols = tuple(one.bars.symbol for one in outcome.histories)
        others = [
            one
            for one in run_store.trials(ws.db, ws.source, symbols, times[0], times[-1])
            if one.plan_hash != plan_hash
        ]
        decisions = outcome.journal.finish(outcome.market.last_decided())
        report = make_report(ws, plan.benchmark, outcome, decisions, others)
        report["refits"] = [list(refit) for refit in heard.refits]
        halts = outcome.journal.halts
        return run_store.save_run(
            ws.db,
            run_store.RunRecord(
                run_id=run_id,
                number=0,
                sweep=sweep,
                created_at=ws.clock.now(),
                source=ws.source,
                strategy=heard.strategy,
                symbols=symbols,
                from_ts=times[0],
                until_ts=times[-1],
                plan_hash=plan_hash,
                bars_hash=bars_hash,
                halt=halts[0][1] if halts else None,
                spec=spec,
                report=report,
            ),
            run_store.RunTrail(outcome.journal.entries, decisions, outcome.marks),
        )


def _spec(plan: Plan, policy: Policy, heard: Heard) -> dict[str, Any]:
    """Write down everything that the outcome depends on but the bars; the same text, same plan."""
    return {
        "version": __version__,
        "strategy": heard.strategy,
        "sources": [] if heard.refits else _sources(heard),
        "policy": policy._asdict(),
        "limits": plan.limits._asdict(),
        "limits_name": plan.limits_name,
        "costs": plan.costs._asdict(),
        "cash": plan.cash,
        "timeframe": DAILY,
        "training": heard.training,
    }


def _sources(heard: Heard) -> list[str]:
    return sorted({name for one in heard.signals.values() for _, name in one.sources})


def _hash(content: Any) -> str:  # noqa: ANN401  JSON
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
