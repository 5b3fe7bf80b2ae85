"""Our loop against engines that no one here wrote: trades, commission and final equity."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

import engine_bars
import engine_goldens
from algotrade.bars import Bars
from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import Policy
from algotrade.domain.ledger import DEPOSIT, Entry
from algotrade.domain.money import BPS
from algotrade.domain.risk import WIDE, Conditions
from algotrade.domain.times import session_date
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.feed import History, Market
from algotrade.trading.round_trips import round_trips
from algotrade.trading.runs import RunJournal
from algotrade.trading.session import Decider, run_session
from algotrade.trading.state import TradingState
from algotrade.trading.strategies import load_strategy

if TYPE_CHECKING:
    from engine_goldens import Case, Trade


@cache
def bars_of(name: str) -> tuple[Bars, ...]:
    return tuple(
        Bars(
            source="csv",
            symbol=series.symbol,
            timeframe="1d",
            ts_open=engine_bars.opens(series),
            ts_close=engine_bars.closes(series),
            open=series.open,
            high=series.high,
            low=series.low,
            close=series.close,
            volume=series.volume,
        )
        for series in engine_bars.bar_set(name)
    )


def played(case: Case, *, skip: bool = True) -> tuple[RunJournal, TradingState]:
    """Run one case: next open, no slippage, every share of the volume to be had."""
    costs = CostModel(
        commission_per_share=0,
        commission_bps=case.commission_bps,
        commission_minimum=0,
        slippage_bps=0,
        volume_cap_bps=BPS,
    )
    rule = load_strategy(f"sma-{case.rule}", {"fast": str(case.fast), "slow": str(case.slow)})
    policy = Policy(account="backtest", strategy=rule.source, quantity=case.quantity)
    market = Market([History(bars, rule.history(bars)) for bars in bars_of(case.bar_set)], policy)
    state, journal = TradingState(account="backtest"), RunJournal()
    opening = Entry(ts=market.times[0] - 1, kind=DEPOSIT, ref="opening", amount=case.cash)
    journal.append(opening)
    state.book(opening)
    run_session(
        market.turns(state, WIDE, skip=skip),
        state=state,
        broker=SimulatedBroker(costs),
        journal=journal,
        decider=Decider(
            policy=policy,
            limits=WIDE,
            conditions=lambda moment: Conditions(moment.ts, moment.close),
        ),
    )
    return journal, state


def trades_of(journal: RunJournal) -> list[tuple[object, ...]]:
    return sorted(
        (
            trip.symbol,
            session_date(trip.opened),
            trip.entry_price,
            None if trip.closed is None else session_date(trip.closed),
            trip.exit_price,
            trip.quantity,
        )
        for trip in round_trips(journal.entries)
    )


def as_told(trade: Trade) -> tuple[object, ...]:
    return (
        trade.symbol,
        trade.entry_date,
        trade.entry_price,
        trade.exit_date,
        trade.exit_price,
        trade.quantity,
    )


@pytest.mark.parametrize("name", engine_goldens.NAMES)
def test_the_bars_are_those_that_the_engines_saw(name: str) -> None:
    assert engine_bars.identity(engine_bars.bar_set(name)) == engine_goldens.load(name).sha256


@pytest.mark.parametrize("case", list(engine_goldens.cases()), ids=lambda case: case.name)
def test_trades_and_equity_are_those_of_three_other_engines(case: Case) -> None:
    journal, state = played(case)
    assert trades_of(journal) == sorted(map(as_told, case.trades))
    assert abs(state.portfolio.fees - case.commission) <= case.money_tolerance
    assert state.equity is not None
    assert len(case.agreeing) >= 2
    for engine, equity in case.agreeing.items():
        assert abs(state.equity - equity) <= case.money_tolerance, engine


def test_a_wrong_price_is_seen() -> None:
    case = next(one for one in engine_goldens.cases() if one.trades)
    first = case.trades[0]
    wrong = case._replace(
        trades=(first._replace(entry_price=first.entry_price + 1), *case.trades[1:])
    )
    journal, _ = played(case)
    assert trades_of(journal) != sorted(map(as_told, wrong.trades))


@pytest.mark.parametrize("name", ["four", "cut"])
def test_deciding_at_every_bar_gives_the_same(name: str) -> None:
    for case in engine_goldens.load(name).cases:
        quick, slow = played(case), played(case, skip=False)
        assert quick[0].entries == slow[0].entries
        assert quick[0].marks == slow[0].marks
