"""Law: noise put in the place of every bar after t changes nothing that happened up to t."""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.bars import COLUMNS, from_rows
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.signals import KEEP, NONE, Signals
from algotrade.domain.times import session_date
from algotrade.trading.feed import History, Market
from algotrade.trading.strategies import load_strategy
from builders import replace
from engine_world import (
    ACCOUNT,
    DOLLAR,
    RATIOS,
    VOLUME,
    RunJournal,
    World,
    make_world,
    opening,
    story,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from algotrade.bars import Bars
    from algotrade.trading.session import Turn
    from algotrade.trading.state import TradingState

    Rule = Callable[[Bars], Signals]


def told_by(world: World, rule: Rule) -> World:
    """Give the same world in which a rule says something of every bar."""
    told = (history._replace(signals=rule(history.bars)) for history in world.histories)
    return world._replace(histories=tuple(told), policy=replace(world.policy, exit_below=None))


def poisoned(world: World, ts: int, rng: random.Random) -> World:
    """Put noise in the place of all bars and actions after an instant, or nothing at all."""
    return world._replace(
        histories=tuple(_poisoned(history, ts, rng) for history in world.histories)
    )


def _poisoned(history: History, ts: int, rng: random.Random) -> History:
    bars = history.bars
    known = bisect_right(bars.ts_close, ts)
    rows = list(zip(*(bars.column(name) for name in COLUMNS), strict=True))
    chance = rng.choice((0.0, 0.5, 1.0)) if known else 1.0
    later = [(*row[:2], *_noise(rng)) for row in rows[known:] if rng.random() < chance]
    seen = session_date(bars.ts_open[known - 1]) if known else session_date(ts)
    splits = [split for split in history.splits if split.ex_date <= seen]
    dividends = [paid for paid in history.dividends if paid.ex_date <= seen]
    for ex in sorted({session_date(row[0]) for row in later} - {seen}):
        if rng.random() < 0.1:
            splits.append(Split(bars.symbol, ex, *rng.choice(RATIOS)))
        if rng.random() < 0.1:
            dividends.append(Dividend(bars.symbol, ex, rng.randrange(1, 9 * DOLLAR)))
    after = from_rows(bars.source, bars.symbol, "1d", [*rows[:known], *later], tuple(splits))
    return History(after, None, splits, dividends)


def _noise(rng: random.Random) -> tuple[int, ...]:
    prices = [rng.randrange(1, 1_000 * DOLLAR) for _ in range(4)]
    ends = max(prices), min(prices)
    return (prices[0], *ends, prices[1], rng.choice((0, rng.randrange(10**6 * VOLUME))))


def told_until(world: World, ts: int) -> dict[str, object]:
    """Run a world up to an instant, skipping, and give what was written down by then."""
    state, journal = opening(world), RunJournal()
    market = Market(world.histories, world.policy)
    turns = market.turns(state, world.limits, skip=True)
    walk(world, _until(turns, ts, state, journal), state, journal)
    journal.close({history.bars.symbol: _newest_said(history, ts) for history in world.histories})
    told = story(journal, state)
    del told["equity"]  # is of the last turn; the marks are of every instant
    return told


def _until(
    turns: Iterator[Turn], ts: int, state: TradingState, journal: RunJournal
) -> Iterator[Turn]:
    for turn in turns:
        if turn.ts > ts:
            known = bisect_right(turn.skipped.ts, ts) if turn.skipped else 0
            if turn.skipped and known:
                journal.mark(ACCOUNT, turn.skipped.until(known))
                state.mark(turn.skipped.until(known))
            return
        yield turn


def _newest_said(history: History, ts: int) -> int:
    assert history.signals is not None
    said = zip(history.bars.ts_close, history.signals.stances, strict=True)
    return max((closed for closed, what in said if closed <= ts and what != NONE), default=0)


def broken_by(seed: int, symbols: int, rule: Rule) -> set[str]:
    """Name what a poisoned future changes before a random instant."""
    rng = random.Random(seed)  # noqa: S311 - where the poison begins, and the poison
    world = make_world(seed, symbols, 30)
    times = sorted({ts for history in world.histories for ts in history.bars.ts_close})
    ts = rng.choice(times)
    clean = told_until(told_by(world, rule), ts)
    after = told_until(told_by(poisoned(world, ts, rng), rule), ts)
    return {name for name in clean if clean[name] != after[name]}


averages = st.tuples(st.integers(1, 3), st.integers(1, 5)).map(lambda pair: (pair[0], sum(pair)))


@settings(max_examples=500, deadline=None)
@given(
    st.integers(0, 10**9),
    st.integers(1, 4),
    st.sampled_from(["sma-cross", "sma-state"]),
    averages,
)
def test_a_poisoned_future_changes_nothing_before_it(
    seed: int, symbols: int, name: str, lengths: tuple[int, int]
) -> None:
    fast, slow = lengths
    strategy = load_strategy(name, {"fast": str(fast), "slow": str(slow)})
    assert broken_by(seed, symbols, strategy.history) == set()


def test_a_rule_that_peeks_breaks_the_law() -> None:
    honest = load_strategy("sma-state", {"fast": "1", "slow": "2"})

    def peeking(bars: Bars) -> Signals:
        said = honest.history(bars)
        return said._replace(stances=said.stances[3:] + bytes([KEEP]) * len(said.stances[:3]))

    broken = set().union(*(broken_by(seed, 3, peeking) for seed in range(60)))
    assert broken >= {"entries", "orders", "marks", "runs"}


def test_something_happens_before_the_poison() -> None:
    strategy = load_strategy("sma-state", {"fast": "1", "slow": "2"})
    told = [
        told_until(told_by(make_world(seed, 3, 30)._replace(halt=None), strategy.history), 2**62)
        for seed in range(40)
    ]
    assert all(sum(bool(one[name]) for one in told) >= 10 for name in ("entries", "orders", "runs"))
