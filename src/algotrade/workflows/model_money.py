"""Model money: walk a model's out-of-sample probabilities through the one loop that trades."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade import measures
from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import PROBABILITY, Policy, Sizing
from algotrade.domain.ledger import FILL
from algotrade.domain.money import BPS, MICROS, notional
from algotrade.domain.risk import WIDE
from algotrade.domain.signals import DOWN, NONE, UP, Signals
from algotrade.domain.times import session_day, to_day
from algotrade.errors import DataError
from algotrade.record import NamedTuple
from algotrade.trading.feed import History
from algotrade.workflows.backtest import run
from algotrade.workflows.backtest_plan import BACKTEST, Plan
from algotrade.workflows.speakers import WEIGHT_WINDOW
from algotrade.workflows.trade import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from algotrade.learning.card import Metrics
    from algotrade.learning.dataset import Dataset
    from algotrade.learning.evaluation import OutOfSample, Report
    from algotrade.learning.training import Walked
    from algotrade.workflows.backtest_plan import Outcome

CASH = 100_000 * MICROS
SESSIONS_A_YEAR = 252


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Simple returns of each period, and what was held and traded on the way.

    gross: before what the same trades cost. hold: of equal parts of the symbols, dividends
    included, at the walk's average exposure.
    turnover: one way, a year. exposure: mean part of equity that was invested.
    """

    net: tuple[float, ...]
    gross: tuple[float, ...]
    hold: tuple[float, ...]
    turnover: float | None
    exposure: float
    trades: int


class Said(NamedTuple):
    """Probabilities of one symbol, one item for each bar, NaN where nothing is said."""

    history: History
    p_up: array[float]


def model_money(
    said: Sequence[Said],
    rng: np.random.Generator,
    *,
    threshold: float = 0.5,
    costs: CostModel | None = None,
) -> Metrics:
    """Give the figures of `judge_money` for probabilities that no model had seen the outcome of.

    Sized by damped probability, each symbol an equal part of equity, decided at every close and
    filled at the next open.
    """
    from algotrade.learning.money import judge_money

    paid = walk(said, costs or CostModel(), threshold=threshold)
    return judge_money(
        paid.net,
        paid.hold,
        rng,
        gross=paid.gross,
        turnover=paid.turnover,
        exposure=paid.exposure,
        trades=paid.trades,
    )


def report_with_money(
    dataset: Dataset,
    walked: Walked,
    histories: Sequence[History],
    rng: np.random.Generator,
    *,
    threshold: float,
    costs: CostModel | None = None,
    trials: int = 1,
    told: Callable[[str, int], None] = lambda _what, _left: None,
) -> Report:
    """Give the full report of tested rows with their money; told(what, steps left) after each."""
    from algotrade.learning.report import full_report, with_money

    outcome = walked.outcome
    report = full_report(
        dataset, outcome, rng, threshold=threshold, parts=walked.parts, trials=trials
    )
    told("report", 1)
    if len(outcome.rows):
        said = said_of(dataset, outcome, histories)
        report = with_money(report, model_money(said, rng, threshold=threshold, costs=costs))
    told("money", 0)
    return report


def said_of(
    dataset: Dataset, outcome: OutOfSample, histories: Sequence[History]
) -> tuple[Said, ...]:
    """Put tested probabilities beside the bars they were said of.

    histories: of every symbol of the dataset, and of no other.
    """
    import numpy as np

    said = []
    for history in histories:
        bars = history.bars
        rows = dataset.symbol[outcome.rows] == dataset.symbols.index(bars.symbol)
        p = np.full(len(bars), np.nan)
        place = np.searchsorted(bars.numpy("ts_close"), dataset.ts[outcome.rows[rows]])
        p[place] = outcome.p[rows]
        said.append(Said(history, array("d", p.tobytes())))
    return tuple(said)


def walk(said: Sequence[Said], costs: CostModel, *, threshold: float = 0.5) -> Walk:
    """Run the loop from the first bar of which anything is said to the last."""
    first, last = _span(said)
    spoken = [_spoken(one, first, last, threshold) for one in said]
    sizing = Sizing(PROBABILITY, BPS // len(spoken))
    request = Request(symbols=tuple(one.bars.symbol for one in spoken), sizing=sizing)
    plan = Plan(
        request=request,
        from_ts=None,
        until_ts=None,
        limits=WIDE,
        limits_name="wide",
        costs=costs,
        cash=CASH,
    )
    policy = Policy(account=BACKTEST, strategy="out of sample", sizing=sizing)
    return _walked(run(plan, policy, spoken))


def _span(said: Sequence[Said]) -> tuple[int, int]:
    """Give the first and the last close of which anything is said."""
    times = [
        ts
        for one in said
        for ts, p in zip(one.history.bars.ts_close, one.p_up, strict=True)
        if p == p  # noqa: PLR0124 - NaN is the only number that is not itself
    ]
    if not times:
        raise DataError("nothing was said of any bar: there is nothing to walk")
    return min(times), max(times)


def _spoken(one: Said, first: int, last: int, threshold: float) -> History:
    """Cut a history to a span of closes, with what is said of each bar."""
    from algotrade.learning.sizing import damped_weights

    bars = one.history.bars
    start, stop = bisect_left(bars.ts_close, first), bisect_right(bars.ts_close, last)
    p_up = one.p_up[start:stop]
    stances = bytes(UP if p > threshold else DOWN if p <= threshold else NONE for p in p_up)
    weights = damped_weights(p_up, window=WEIGHT_WINDOW)
    cut = bars.slice(start, stop)
    day = session_day(cut.ts_open[0]) if len(cut) else 0
    return History(
        bars=cut,
        signals=Signals(((0, "out of sample"),), stances, p_up, threshold, weights),
        splits=[split for split in one.history.splits if to_day(split.ex_date) >= day],
        dividends=[paid for paid in one.history.dividends if to_day(paid.ex_date) >= day],
    )


def _walked(outcome: Outcome) -> Walk:
    marks = outcome.journal.marks
    equity = [CASH, *(mark.cash + mark.value for mark in marks)]
    invested = [0, *(mark.value for mark in marks)]
    fills = [abs(entry.amount) for entry in outcome.journal.entries if entry.kind == FILL]
    exposed = measures.exposure(invested, equity)
    weight = exposed.net if exposed else 0.0
    held = equal_parts(outcome.histories, [mark.ts for mark in marks])
    net = measures.returns(equity) or []
    spent = _spent(outcome, [mark.ts for mark in marks])
    return Walk(
        net=tuple(net),
        gross=tuple(
            gain + cost / before for gain, cost, before in zip(net, spent, equity, strict=False)
        ),
        hold=tuple(weight * gain for gain in held),
        turnover=measures.turnover(fills, equity, SESSIONS_A_YEAR),
        exposure=weight,
        trades=len(fills),
    )


def _spent(outcome: Outcome, times: Sequence[int]) -> list[int]:
    """Give the fees and the slippage of the fills up to each time, since the one before.

    Every order of a walk meets the open of a bar.
    """
    by_symbol = {history.bars.symbol: history.bars for history in outcome.histories}
    spent = [0] * len(times)
    for entry in outcome.journal.entries:
        if entry.kind == FILL:
            bars = by_symbol[entry.symbol]
            met = bars.open[bisect_left(bars.ts_open, entry.ts)]
            slipped = abs(notional(entry.quantity, entry.price - met))
            spent[bisect_left(times, entry.ts)] += entry.fee + slipped
    return spent


def equal_parts(histories: Sequence[History], times: Sequence[int]) -> list[float]:
    """Give the return of equal parts of the symbols up to each time, dividends included.

    0 up to the first close, and for a symbol without a bar then.
    """
    gains: Mapping[int, list[float]] = {ts: [] for ts in times}
    for one in histories:
        for ts, gain in _total_returns(one).items():
            if ts in gains:
                gains[ts].append(gain)
    return [sum(found) / len(histories) for found in gains.values()]


def _total_returns(history: History) -> dict[int, float]:
    """Give the return from close to close across splits, dividends added, by ts_close."""
    bars, found = history.bars, {}
    days = [session_day(ts) for ts in bars.ts_open]
    for index in range(1, len(bars)):
        span = range(days[index - 1] + 1, days[index] + 1)
        before, after = bars.close[index - 1], bars.close[index]
        for split in history.splits:
            if to_day(split.ex_date) in span:
                after, before = after * split.split_to, before * split.split_from
        paid = sum(one.amount for one in history.dividends if to_day(one.ex_date) in span)
        found[bars.ts_close[index]] = (after - before) / before + paid / bars.close[index - 1]
    return found
