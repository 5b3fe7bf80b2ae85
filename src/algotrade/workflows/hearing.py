"""Hearing: what a rule, a model, or models fitted on the way say of every bar of a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algotrade.domain.decisions import PROBABILITY, VOLATILITY
from algotrade.domain.signals import Signals
from algotrade.errors import InputError
from algotrade.record import NamedTuple
from algotrade.trading.feed import History
from algotrade.workflows.fan_out import ALONE, Workers, open_pool
from algotrade.workflows.speakers import (
    VOLATILITY_WINDOW,
    WEIGHT_WINDOW,
    Speaker,
    check_flat,
    check_reads,
    rule_speaker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from algotrade.bars import Bars
    from algotrade.learning.walkforward import Refit
    from algotrade.workflows.backtest_plan import Plan
    from algotrade.workflows.context import Workspace


class Heard(NamedTuple):
    """Who spoke in a run, and what was said of each symbol's whole history.

    refits, training: of a walk-forward, the models fitted on the way and how. others: bars that
    were read beside those of the run.
    """

    strategy: str
    signals: Mapping[str, Signals]
    refits: tuple[Refit, ...] = ()
    training: Mapping[str, Any] | None = None
    others: Sequence[Bars] = ()


def hear(
    ws: Workspace,
    plan: Plan,
    histories: Sequence[History],
    progress: Callable[[int, int], None] | None = None,
    workers: Workers = ALONE,
) -> Heard:
    """Ask who is to be asked about every bar; workers share the refits of a walk-forward."""
    request = plan.request
    if request.rule is not None:
        return hear_rule(plan, request.rule, histories)
    if request.params:
        raise InputError("-p sets parameters of a --strategy", hint="--strategy sma-state -p ...")
    if plan.walk_forward:
        return _heard_walking(ws, plan, histories, progress, workers)
    return _heard_model(ws, plan, histories)


def hear_rule(plan: Plan, rule: str, histories: Sequence[History]) -> Heard:
    """Ask a rule about every bar; no store is needed."""
    request = plan.request
    check_reads(request.sizing, request.exit_below, has_probability=False)
    speaker = rule_speaker(rule, request.params)
    said = {one.bars.symbol: _by_rule(speaker, one) for one in histories}
    return Heard(speaker.strategy, _sized(said, histories, plan))


def _by_rule(speaker: Speaker, history: History) -> Signals:
    if speaker.rule is None:
        raise InputError("a backtest needs a model or a --strategy")
    return speaker.rule.history(history.bars)


def _heard_model(ws: Workspace, plan: Plan, histories: Sequence[History]) -> Heard:
    from algotrade.learning.forecast import check_unseen, forecast
    from algotrade.workflows.crowd import whole_universe
    from algotrade.workflows.models import load_model, tell_model

    model = load_model(ws, plan.request.model_id)
    tell_model(ws, model)
    check_flat(plan.request.sizing, model)
    first = min(one.bars.ts_close[0] for one in histories)
    check_unseen(model.card, first if plan.from_ts is None else plan.from_ts)
    known = [one.bars for one in histories]
    spec, others = whole_universe(ws, model.card, known, until=plan.until_ts)
    said = {one.symbol: forecast(model.card, model.scorer, one, spec) for one in known}
    return Heard(f"model {model.card.id}", _sized(said, histories, plan), others=others)


def _heard_walking(
    ws: Workspace,
    plan: Plan,
    histories: Sequence[History],
    progress: Callable[[int, int], None] | None,
    workers: Workers,
) -> Heard:
    from algotrade.learning.walkforward import walk_forward_forecast
    from algotrade.workflows.train_plan import training_of

    spec, labels, learning, seed = training_of(ws.settings)
    training: dict[str, Any] = {
        "model": learning.model,
        "params": learning.params,
        "features": spec.preset,
        "window": learning.window,
        "horizon": labels.horizon,
        "threshold": learning.threshold,
        "seed": seed,
        "every": plan.every,
    }
    with open_pool(workers) as pool:
        walked = walk_forward_forecast(
            [one.bars for one in histories],
            spec,
            labels,
            learning,
            seed=seed,
            from_ts=plan.from_ts or min(one.bars.ts_close[0] for one in histories),
            every=plan.every,
            window=learning.window,
            pool=pool,
            progress=progress,
        )
    name = f"walk-forward {learning.model} horizon {labels.horizon} every {plan.every}"
    return Heard(name, _sized(walked.signals, histories, plan), walked.refits, training)


def _sized(
    said: Mapping[str, Signals], histories: Sequence[History], plan: Plan
) -> dict[str, Signals]:
    """Add the columns that the sizing reads."""
    sizing = plan.request.sizing
    if sizing is None or sizing.kind not in (VOLATILITY, PROBABILITY):
        return dict(said)
    from algotrade.learning.sizing import damped_weights, volatilities

    found = {}
    for history in histories:
        signals = said[history.bars.symbol]
        if sizing.kind == VOLATILITY:
            moves = volatilities(history.bars, window=VOLATILITY_WINDOW)
            signals = signals._replace(volatilities=moves)
        elif signals.p_up is not None:
            signals = signals._replace(weights=damped_weights(signals.p_up, window=WEIGHT_WINDOW))
        found[history.bars.symbol] = signals
    return found


def spoken(histories: Sequence[History], heard: Heard, plan: Plan) -> list[History]:
    """Cut the histories to the span, with what is said of each bar; earlier bars only warmed up."""
    return [
        _cut(one._replace(signals=heard.signals[one.bars.symbol]), plan.from_ts)
        for one in histories
    ]


def _cut(history: History, from_ts: int | None) -> History:
    from bisect import bisect_left

    from algotrade.domain.times import session_day, to_day

    said, bars = history.signals, history.bars
    first = 0 if from_ts is None else bisect_left(bars.ts_close, from_ts)
    if said is None or first == 0:
        return history
    day = session_day(bars.ts_open[first]) if first < len(bars) else 2**31
    sources = [(max(0, start - first), name) for start, name in said.sources]
    later = [pair for number, pair in enumerate(sources) if pair[0] or _is_last(sources, number)]
    return History(
        bars=bars.slice(first, len(bars)),
        signals=Signals(
            sources=tuple(later),
            stances=said.stances[first:],
            p_up=said.p_up[first:] if said.p_up is not None else None,
            threshold=said.threshold,
            weights=said.weights[first:] if said.weights is not None else None,
            volatilities=said.volatilities[first:] if said.volatilities is not None else None,
            abstains=said.abstains[first:] if said.abstains is not None else None,
        ),
        splits=[one for one in history.splits if to_day(one.ex_date) >= day],
        dividends=[one for one in history.dividends if to_day(one.ex_date) >= day],
    )


def _is_last(sources: Sequence[tuple[int, str]], number: int) -> bool:
    """Tell whether this is the last of the speakers that begin at or before the span."""
    return all(start for start, _ in sources[number + 1 :])


def named(strategy: str) -> Speaker:
    """Give a speaker that has spoken already, by its name."""
    return Speaker(strategy)
