"""The journal of a backtest against one that keeps every decision, in worlds of every kind."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from algotrade.domain.decisions import HALTED, HOLD, ORDER, REFUSED
from algotrade.trading.feed import Market
from algotrade.trading.runs import RunDecision, RunJournal
from algotrade.trading.session import MemoryJournal
from engine_world import make_world, opening, walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.decisions import Decision
    from engine_world import World


def spans(decisions: Sequence[Decision]) -> list[RunDecision]:
    """Group each symbol's decisions by action and code, orders one by one; the slow way."""
    found = []
    for symbol in {one.symbol for one in decisions}:
        own = [one for one in decisions if one.symbol == symbol]
        numbered = list(enumerate(own))
        for (_, action, code), group in groupby(
            numbered,
            key=lambda pair: (
                pair[0] if pair[1].action == ORDER else -1,
                pair[1].action,
                pair[1].code,
            ),
        ):
            members = [one for _, one in group]
            first, order = members[0], members[0].order
            found.append(
                RunDecision(
                    symbol=symbol,
                    from_ts=first.ts,
                    until_ts=members[-1].ts,
                    action=action,
                    code=code,
                    reason=first.reason,
                    p_up=None if first.signal is None else first.signal.p_up,
                    source=None if first.signal is None else first.signal.source,
                    side=None if order is None else order.side,
                    quantity=None if order is None else order.quantity,
                    order_key=order.key if order is not None and action == ORDER else None,
                )
            )
    return sorted(found, key=lambda one: (one.from_ts, one.symbol))


def kept(world: World, *, skip: bool) -> tuple[RunJournal, list[RunDecision]]:
    journal, market = RunJournal(), Market(world.histories, world.policy)
    state = opening(world)
    walk(world, market.turns(state, world.limits, skip=skip), state, journal)
    return journal, journal.finish(market.last_decided())


def everything(world: World) -> MemoryJournal:
    journal, market = MemoryJournal(), Market(world.histories, world.policy)
    state = opening(world)
    walk(world, market.turns(state, world.limits, skip=False), state, journal)
    return journal


def bare(one: RunDecision) -> RunDecision:
    """Leave out what a halt that is told twice may word differently (see engine_world.opener)."""
    return one._replace(reason="") if one.code == HALTED else one


@pytest.mark.parametrize("seed", range(60))
def test_the_journal_tells_what_one_that_keeps_every_decision_tells(seed: int) -> None:
    world = make_world(seed, symbols=1 + seed % 3, length=40)
    every = everything(world)
    journal, decisions = kept(world, skip=False)
    assert decisions == spans(every.decisions)
    assert journal.entries == every.entries
    assert journal.marks == every.marks
    assert journal.halts == every.halts
    told = [(e.order.key, e.ts, e.state, e.detail) for e in journal.events]
    assert told == every.events


@pytest.mark.parametrize("seed", range(60, 120))
def test_what_is_skipped_is_told_all_the_same(seed: int) -> None:
    world = make_world(seed, symbols=1 + seed % 3, length=40)
    every = everything(world)
    journal, decisions = kept(world, skip=True)
    assert [*map(bare, decisions)] == [*map(bare, spans(every.decisions))]
    assert journal.entries == every.entries
    assert journal.marks == every.marks
    assert journal.halts == every.halts


def test_the_worlds_hold_what_is_to_be_told() -> None:
    actions = set()
    for seed in range(60):
        for one in kept(make_world(seed, symbols=1 + seed % 3, length=40), skip=True)[1]:
            actions.add((one.action, one.order_key is None, one.until_ts > one.from_ts))
    assert actions == {
        (ORDER, False, False),
        *((action, True, long) for action in (HOLD, REFUSED) for long in (False, True)),
    }


def test_an_empty_journal_ends_in_nothing() -> None:
    journal = RunJournal()
    assert (journal.finish({}), journal.marks, journal.halts) == ([], [], [])


def test_a_finished_journal_may_be_finished_again() -> None:
    world = make_world(3, symbols=2, length=30)
    journal, market = RunJournal(), Market(world.histories, world.policy)
    state = opening(world)
    walk(world, market.turns(state, world.limits), state, journal)
    once = list(journal.finish(market.last_decided()))
    assert journal.finish(market.last_decided()) == once
