"""The report of a backtest: figures, the benchmark beside it, and one sentence of verdict."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import repeat
from operator import mul
from typing import TYPE_CHECKING, Any

from algotrade.bars import adjusted
from algotrade.domain.decisions import HOLD, ORDER, REFUSED
from algotrade.domain.ledger import DELISTING, DEPOSIT, DIVIDEND, FILL
from algotrade.domain.money import MICROS, NANOS, divide_half_even, notional
from algotrade.domain.orders import CANCELLED, EXPIRED, TRIGGERED
from algotrade.domain.rules import RULE
from algotrade.domain.times import session_day
from algotrade.errors import InputError
from algotrade.measures import (
    deflated_sharpe,
    excess_returns,
    performance,
    returns,
    sample,
)
from algotrade.trading.round_trips import round_trips, trade_statistics
from algotrade.workflows.models import no_bars
from algotrade.workflows.settle import load_history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from algotrade.bars import Bars
    from algotrade.measures import Performance
    from algotrade.store.runs import RunRecord
    from algotrade.trading.runs import RunDecision
    from algotrade.workflows.backtest_plan import Outcome
    from algotrade.workflows.context import Workspace

EQUAL = "equal"
SESSIONS_A_YEAR = 252
CERTAIN = 0.95  # probability from which on luck is not the simplest explanation
FEWEST = 250  # sessions under which nothing is said


def make_report(
    ws: Workspace,
    benchmark: str | None,
    outcome: Outcome,
    decisions: Sequence[RunDecision],
    others: Sequence[RunRecord],
) -> dict[str, Any]:
    """Give the report as plain data: `figures` by name, the rest in words.

    others: the runs of other plans on these bars; they are the trials that luck had before this.
    """
    journal, marks = outcome.journal, outcome.marks
    contributed = sum(entry.amount for entry in journal.entries if entry.kind == DEPOSIT)
    equity = [contributed, *(cash + value for _, cash, value, _ in marks)]
    held = None if benchmark is None else _benchmark(ws, benchmark, outcome, contributed)
    found = performance(
        equity,
        periods_per_year=_periods_a_year(outcome.market.times),
        benchmark=held,
        invested=[0, *(mark.value for mark in marks)],
        traded=[abs(entry.amount) for entry in journal.entries if entry.kind == FILL],
    )
    figures: dict[str, Any] = {
        **_money(outcome, equity),
        **_measures(found),
        **_judged(equity, held, found),
        **_counts(outcome, decisions),
    }
    figures["trials"] = len(others) + 1
    figures["deflated_sharpe"] = luck(figures, [other.report["figures"] for other in others])
    halts, reductions = journal.halts, journal.reductions
    return {
        "figures": figures,
        "benchmark": benchmark,
        "halted_at": halts[0][0] if halts else None,
        "reducing_at": reductions[0][0] if reductions else None,
        "reducing": reductions[0][1] if reductions else None,
        "verdict": _verdict(figures) if figures["fills"] else _idle(figures, decisions),
    }


def _money(outcome: Outcome, equity: Sequence[int]) -> dict[str, float | None]:
    entries, portfolio = outcome.journal.entries, outcome.state.portfolio
    stats = trade_statistics(round_trips(entries))

    def usd(micros: int | None) -> float | None:
        return None if micros is None else micros / MICROS

    return {
        "start": usd(equity[0]),
        "end": usd(equity[-1]),
        "profit": usd(equity[-1] - equity[0]),
        "realised": usd(portfolio.realised),
        "dividends": usd(portfolio.dividends),
        "fees": usd(portfolio.fees),
        "slippage": usd(_slippage(outcome)),
        "closed_trades": stats.closed,
        "win_rate": stats.win_rate,
        "profit_factor": stats.profit_factor,
        "average_trade": usd(stats.average),
        "best_trade": usd(stats.largest_win),
        "worst_trade": usd(stats.largest_loss),
    }


def _slippage(outcome: Outcome) -> int:
    """Give what the fills cost beyond the price they were met at: the open, or a stop, a limit."""
    by_symbol = {history.bars.symbol: history.bars for history in outcome.histories}
    orders = {event.order.key: event.order for event in outcome.journal.events}
    stopped = {
        (event.order.key, event.ts) for event in outcome.journal.events if event.state == TRIGGERED
    }
    total = 0
    for entry in outcome.journal.entries if outcome.costs.slippage_bps else ():
        if entry.kind != FILL:
            continue
        key, sign = entry.ref.rpartition(".")[0], 1 if entry.quantity > 0 else -1
        bars, order = by_symbol[entry.symbol], orders[key]
        met = bars.open[bisect_left(bars.ts_open, entry.ts)] * sign
        if order.stop_price is not None and (key, entry.ts) in stopped:
            met = max(met, order.stop_price * sign)
        if order.limit_price is not None:
            met = min(met, order.limit_price * sign)
        total += notional(abs(entry.quantity), entry.price * sign - met)
    return total


def _measures(found: Performance) -> dict[str, float | int | None]:
    fall, exposed, interval = found.drawdown, found.exposure, found.sharpe_interval
    return {
        "sessions": found.periods,
        "periods_per_year": found.periods_per_year,
        "total_return": found.total_return,
        "annual_return": found.annual_return,
        "volatility": found.volatility,
        "sharpe": found.sharpe,
        "sharpe_low": interval.low if interval else None,
        "sharpe_high": interval.high if interval else None,
        "psr": found.psr,
        "sortino": found.sortino,
        "calmar": found.calmar,
        "max_drawdown": fall.depth if fall else None,
        "longest_drawdown": fall.longest if fall else None,
        "value_at_risk": found.value_at_risk,
        "expected_shortfall": found.expected_shortfall,
        "turnover": found.turnover,
        "exposure": exposed.gross if exposed else None,
        "time_invested": exposed.bars if exposed else None,
        "benchmark_return": found.benchmark_return,
        "excess": found.excess,
        "excess_psr": found.excess_psr,
    }


def _counts(outcome: Outcome, decisions: Sequence[RunDecision]) -> dict[str, int]:
    actions = Counter(one.action for one in decisions)
    states = Counter(event.state for event in outcome.journal.events)
    kinds = Counter(entry.kind for entry in outcome.journal.entries)
    return {
        "bars": sum(len(one.bars) for one in outcome.histories),
        "symbols": len(outcome.histories),
        "orders": actions[ORDER],
        "fills": kinds[FILL],
        "expired": states[EXPIRED],
        "cancelled": states[CANCELLED],
        "dividends_paid": kinds[DIVIDEND],
        "delisted": kinds[DELISTING],
        "refused_spans": actions[REFUSED],
        "hold_spans": actions[HOLD],
    }


def _periods_a_year(times: Sequence[int]) -> int:
    """Give bars a session times sessions a year, from the bars themselves."""
    sessions = len({session_day(ts) for ts in times})
    return SESSIONS_A_YEAR * max(1, round(len(times) / sessions))


def _benchmark(ws: Workspace, name: str, outcome: Outcome, cash: int) -> list[int]:
    """Give the equity of holding from the first bar's close on; dividends are kept as cash.

    `equal`: the same amount of each symbol, held from its own first bar, in cash until then.
    """
    times = outcome.market.times
    if name == EQUAL:
        histories = [one for one in outcome.histories if len(one.bars)]
    else:
        history = load_history(ws, name, until=times[-1])
        first = next((i for i, ts in enumerate(history.bars.ts_close) if ts >= times[0]), None)
        if first is None:
            raise no_bars(ws, name)
        bars = history.bars.slice(first, len(history.bars))
        if bars.ts_close[0] != times[0]:
            raise InputError(
                f"benchmark {name} begins after the run does", hint="--benchmark none, or --from"
            )
        histories = [history._replace(bars=bars)]
    each = cash // len(histories)
    columns = [_held(one.bars, times, each) for one in histories]
    rest = cash - each * len(histories)
    return [cash, *(sum(row, rest) for row in zip(*columns, strict=True))]


def _held(bars: Bars, times: Sequence[int], amount: int) -> list[int]:
    """Value `amount` held in one symbol from its first close on, at each of the times."""
    steady = adjusted(bars) if bars.splits else bars
    first = steady.close[0]
    quantity = amount * NANOS // first
    whole = divide_half_even(quantity, NANOS // 1_000)  # thousandths of a share are near enough
    kept = amount - whole * first // 1_000
    values = [kept + value // 1_000 for value in map(mul, steady.close, repeat(whole))]
    start = bisect_left(times, bars.ts_close[0])
    if list(bars.ts_close) != list(times[start : start + len(bars)]):
        values = _spread(values, bars, times[start:])
    return [*repeat(amount, start), *values, *repeat(values[-1], len(times) - start - len(values))]


def _spread(values: Sequence[int], bars: Bars, times: Sequence[int]) -> list[int]:
    """Carry the newest value over the times at which the symbol has no bar."""
    known = dict(zip(bars.ts_close, values, strict=True))
    found, newest = [], values[0]
    for ts in times:
        newest = known.get(ts, newest)
        found.append(newest)
    return found


def _judged(
    equity: Sequence[int], held: Sequence[int] | None, found: Performance
) -> dict[str, float | None]:
    """Give the shape of the returns to be judged: over the benchmark at the same exposure."""
    gains = returns(equity) or []
    base = None if held is None else returns(held)
    if base is not None and found.exposure is not None:
        gains = excess_returns(gains, base, found.exposure.net)
    one = sample(gains)
    shape = one.moments
    return {
        "judged_sharpe": one.sharpe,
        "judged_skew": shape.skew if shape else None,
        "judged_kurtosis": shape.kurtosis if shape else None,
    }


def luck(figures: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> float | None:
    """Give the probability that a run is better than the luckiest of so many tries.

    The deflated Sharpe ratio of the judged returns; others: the figures of the other trials.
    """
    own, skew, kurtosis = (figures[f"judged_{name}"] for name in ("sharpe", "skew", "kurtosis"))
    if own is None or skew is None or kurtosis is None:
        return None
    tried = [own, *(one["judged_sharpe"] for one in others if one["judged_sharpe"] is not None)]
    middle = sum(tried) / len(tried)
    spread = sum((one - middle) ** 2 for one in tried) / max(1, len(tried) - 1)
    return deflated_sharpe(
        own,
        trials=len(others) + 1,
        variance=spread,
        n=figures["sessions"],
        skew=skew,
        kurtosis=kurtosis,
    )


def _idle(figures: Mapping[str, Any], decisions: Sequence[RunDecision]) -> str:
    """Say of a run without a fill what stood in its way."""
    refusals = [one.code.split(",") for one in decisions if one.action == REFUSED]
    named = Counter(rule_id for ids in refusals for rule_id in ids if rule_id in RULE)
    if figures["orders"] or not named:
        return "Nothing was traded."
    ((most, _),) = named.most_common(1)
    return f"Nothing was traded: risk refused every order, most often by {most} {RULE[most].name}."


def _verdict(figures: Mapping[str, Any]) -> str:
    """Say in one sentence what the figures allow to be said."""
    trials, sure, excess = figures["trials"], figures["deflated_sharpe"], figures["excess"]
    if figures["max_drawdown"] is not None and figures["max_drawdown"] <= -1:
        return "The account is ruined: its equity fell to nothing."
    if figures["sessions"] < FEWEST:
        return f"Too short to judge: {figures['sessions']} bars, at least {FEWEST} are needed."
    if sure is None:
        return "Nothing can be said: the equity does not move."
    tries = "the only plan tried on these bars" if trials == 1 else f"{trials} plans tried"
    than = "cash" if excess is None else "the benchmark at the same exposure"
    made = "" if excess is None else f", {excess:+.1%} a year"
    if sure > CERTAIN:
        return f"Better than {than}{made}, hardly by luck: {sure:.0%} sure after {tries}."
    return f"No evidence of an edge over {than}{made}: {sure:.0%} sure it is not luck, {tries}."
