"""Law: one run over n bars is n runs over one bar each, rebuilt from what was written down."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.domain.actions import Delisting, Dividend, Split
from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import (
    EQUITY,
    NOTIONAL,
    PROBABILITY,
    VOLATILITY,
    Policy,
    Sizing,
)
from algotrade.domain.orders import (
    LIMIT,
    MARKET,
    OPEN_STATES,
    ORDER_TYPES,
    TIMES_IN_FORCE,
    TRIGGERED,
    OpenOrder,
)
from algotrade.domain.risk import Conditions, Limits
from algotrade.domain.signals import DOWN, KEEP, PPM, UP, Signal
from algotrade.store.database import create_store, immediate
from algotrade.store.decisions import load_decisions
from algotrade.store.journal import StoreJournal, current_halt, load_entries, load_marks
from algotrade.store.records import AccountRecord, open_account
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.session import Decider, MemoryJournal, run_session, turns_of
from algotrade.trading.state import TradingState, opening_state
from algotrade.workflows.waiting import waiting_orders
from builders import DOLLAR, NO_MODEL, SHARE, WIDE, bought, deposit, look, moment, replace, session

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from algotrade.domain.ledger import Entry
    from algotrade.trading.decision import Moment
    from algotrade.workflows.context import Workspace

SYMBOLS = ("AAPL", "IBM", "MSFT")
COSTS = CostModel(commission_per_trade=350_000, commission_bps=3, commission_minimum=500_000)
NUMBERS = itertools.count()


@dataclass(frozen=True)
class Scene:
    """A market, what was held before it, and what is asked of the account."""

    moments: list[Moment]
    entries: list[Entry]
    policy: Policy
    limits: Limits
    halted_on: int

    def conditions(self, seen: Moment) -> Conditions:
        halts = ("file HALT",) if seen.ts == moment(self.halted_on).ts else ()
        return Conditions(now=seen.ts, reference_price=seen.close, stale_sessions=0, halts=halts)

    def decider(self) -> Decider:
        return Decider(policy=self.policy, limits=self.limits, conditions=self.conditions)


limits_drawn = st.sampled_from(
    [
        WIDE,
        WIDE,
        Limits(max_position_bps=1_200, max_order_quantity=60 * SHARE),
        replace(WIDE, daily_loss_reduce_bps=20, daily_loss_halt_bps=60),
        replace(WIDE, drawdown_halt_bps=100),
        replace(WIDE, allow_short=True),
    ]
)
words = st.one_of(  # of a rule, and of a model that somebody sized
    st.sampled_from([Signal("rule", stance) for stance in (UP, DOWN, KEEP)]),
    st.builds(
        Signal,
        source=st.just("m" * 12),
        stance=st.sampled_from([UP, UP, DOWN]),
        p_up=st.floats(0, 1),
        threshold=st.just(0.5),
        weight=st.integers(0, PPM),
        volatility=st.one_of(st.none(), st.integers(1, PPM)),
    ),
)
sizings = st.sampled_from(
    [
        *(None, None, None, None),
        Sizing(NOTIONAL, 7_000 * DOLLAR),
        Sizing(EQUITY, 2_000),
        Sizing(VOLATILITY, 1_500, cap=3_000),
        Sizing(PROBABILITY, 1_000, band=1_000),
    ]
)


@st.composite
def bars(draw: st.DrawFn, day: int, symbol: str, *, manual: bool) -> Moment:
    price = draw(st.integers(80, 120)) * DOLLAR + draw(st.integers(0, 999_999))
    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()
    event = draw(st.sampled_from(["", "", "", "", "", "split", "dividend", "both", "gone"]))
    if event in ("split", "both"):
        old, new = draw(st.sampled_from([(1, 2), (2, 3), (10, 1)]))
        splits = (Split(symbol=symbol, ex_date=session(day), split_from=old, split_to=new),)
    if event in ("dividend", "both"):
        dividends = (Dividend(symbol=symbol, ex_date=session(day), amount=330_001),)
    close = price + draw(st.integers(-5, 5)) * DOLLAR
    bar = moment(
        day,
        price,
        symbol=symbol,
        close=close,
        high=max(price, close) + draw(st.integers(0, 3)) * DOLLAR,
        low=min(price, close) - draw(st.integers(0, 3)) * DOLLAR,
        volume=draw(st.sampled_from([0, 7 * 10**7, 7 * 10**7, 10**9, 10**12, 10**12])),
        splits=splits,
        dividends=dividends,
        signal=NO_MODEL if manual else draw(st.one_of(st.none(), words)),
        value=None if manual else draw(st.sampled_from([1, 1, 1, 0, 0, None])),
    )
    return bar._replace(delisting=Delisting(symbol, price)) if event == "gone" else bar


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    symbols = SYMBOLS[: draw(st.integers(1, 3))]
    days = draw(st.integers(3, 9))
    late = draw(st.integers(0, 2))  # the last symbol's first bar: until then it has no price
    manual = draw(st.sampled_from([False, False, False, True]))
    moments = [
        draw(bars(day, symbol, manual=manual))
        for symbol in symbols
        for day in range(late * (symbol == symbols[-1]), days)
    ]
    entries = [deposit()]
    if draw(st.booleans()):
        entries.append(bought(30 * SHARE, 100 * DOLLAR, symbol=symbols[-1]))
    sizing = draw(sizings)
    policy = Policy(
        account="paper",
        strategy="model",
        quantity=draw(st.sampled_from([7, 50, 400])) * SHARE + draw(st.integers(0, 3)),
        sizing=sizing,
        side=draw(st.sampled_from([None, None, None, "buy", "sell"])) if sizing is None else None,
        exit_below=draw(st.sampled_from([None, None, 0.4])),
        short=draw(st.sampled_from([False, False, True])),
        whole=draw(st.booleans()),
        order_type=draw(st.sampled_from([MARKET, MARKET, LIMIT, *ORDER_TYPES])),
        time_in_force=draw(st.sampled_from(TIMES_IN_FORCE)),
        limit_bps=draw(st.sampled_from([-200, 0, 200])),
        stop_bps=draw(st.sampled_from([-100, 0, 100])),
    )
    turns = turns_of(moments)
    ordered = [bar for turn in turns for bar in turn.moments]
    return Scene(ordered, entries, policy, draw(limits_drawn), draw(st.integers(2, 30)))


def by_ts(moments: list[Moment]) -> list[list[Moment]]:
    return [list(turn.moments) for turn in turns_of(moments)]


def prices_before(scene: Scene, ts: int) -> dict[str, int]:
    return {m.symbol: m.close for m in scene.moments if m.ts < ts}


def in_one_go(scene: Scene) -> tuple[MemoryJournal, TradingState]:
    journal = MemoryJournal()
    journal.entries = list(scene.entries)
    start = opening_state(
        "paper",
        scene.entries,
        open_orders=(),
        marks=(),
        prices={},
        now=scene.moments[0].ts,
        halt=None,
    )
    result = run_session(
        turns_of(scene.moments),
        state=start,
        broker=SimulatedBroker(COSTS),
        journal=journal,
        decider=scene.decider(),
    )
    return journal, result.state


def still_open(journal: MemoryJournal) -> list[OpenOrder]:
    """Give what waits, from nothing but what was written down."""
    found = []
    for order in [decision.placed for decision in journal.decisions if decision.placed]:
        states = [state for key, _, state, _ in journal.events if key == order.key]
        if states and states[-1] not in OPEN_STATES:
            continue
        fills = [entry for entry in journal.entries if entry.ref.startswith(f"{order.key}.")]
        charged = [COSTS.charge(f.quantity, f.price, first=f is fills[0]) for f in fills]
        found.append(
            OpenOrder(
                order,
                filled=sum(abs(fill.quantity) for fill in fills),
                fills=len(fills),
                charged=sum(charged),
                fee=sum(fill.fee for fill in fills),
                triggered=TRIGGERED in states,
            )
        )
    return found


def written(journal: MemoryJournal) -> tuple[Any, ...]:
    parts = journal.entries, journal.decisions, journal.events, journal.marks, journal.halts
    return tuple(list(part) for part in parts)


@settings(max_examples=100, deadline=None)
@given(scenes())
def test_rebuilt_from_memory_before_every_bar(scene: Scene) -> None:
    whole, last = in_one_go(scene)
    journal = MemoryJournal()
    journal.entries = list(scene.entries)
    state = last
    for group in by_ts(scene.moments):
        ts = group[0].ts
        state = opening_state(
            "paper",
            journal.entries,
            open_orders=still_open(journal),
            marks=journal.marks,
            prices=prices_before(scene, ts),
            now=ts,
            halt=journal.halts[0][1] if journal.halts else None,
        )
        state = run_session(
            turns_of(group),
            state=state,
            broker=SimulatedBroker(COSTS),
            journal=journal,
            decider=scene.decider(),
        ).state
    assert written(journal) == written(whole)
    assert look(state) == look(last)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(create_store(tmp_path_factory.mktemp("law") / "a.db")) as store:
        store.execute("PRAGMA synchronous = OFF")  # no power is lost in this test
        yield store


class Stored:
    """One account of the store, opened with what was held before."""

    def __init__(self, db: sqlite3.Connection, scene: Scene) -> None:
        self.db, self.name = db, f"paper:{next(NUMBERS)}"
        self.scene = replace(scene, policy=replace(scene.policy, account=self.name))
        with immediate(db):
            open_account(db, AccountRecord(self.name, "sample", 0))
            for entry in scene.entries:
                self.journal().append(entry)

    def journal(self) -> StoreJournal:
        return StoreJournal(self.db, self.name, recorded_at=1)

    def run(self, group: list[Moment], prices: dict[str, int], decider: Decider | None) -> None:
        """Run as a process of its own would: rebuild everything, then one transaction."""
        state = opening_state(
            self.name,
            load_entries(self.db, self.name),
            open_orders=self.waiting(),
            marks=load_marks(self.db, self.name),
            prices=prices,
            now=group[0].ts,
            halt=current_halt(self.db, self.name),
        )
        with immediate(self.db):
            run_session(
                turns_of(group),
                state=state,
                broker=SimulatedBroker(COSTS),
                journal=self.journal(),
                decider=decider,
            )

    def waiting(self) -> list[OpenOrder]:
        """Give what waits as every command reads it."""
        settings = SimpleNamespace(costs=lambda: COSTS)
        ws = SimpleNamespace(db=self.db, account=self.name, settings=settings)
        return waiting_orders(cast("Workspace", ws))

    def written(self) -> tuple[Any, ...]:
        events = self.db.execute(
            "SELECT e.key, e.ts, e.state, e.detail FROM order_events e JOIN orders o USING (key)"
            " WHERE o.account = ? AND e.state <> 'accepted'",
            (self.name,),
        )
        halts = self.db.execute("SELECT ts, reason FROM halts WHERE account = ?", (self.name,))
        return (
            load_entries(self.db, self.name),
            [stored.decision for stored in load_decisions(self.db, self.name)],
            sorted(events),
            load_marks(self.db, self.name),
            halts.fetchall(),
        )


def expected_of(stored: Stored) -> tuple[Any, ...]:
    """Give what one run in memory writes for the same account."""
    scene = stored.scene
    journal = MemoryJournal()
    journal.entries = list(scene.entries)
    run_session(
        turns_of(scene.moments),
        state=opening_state(
            stored.name,
            scene.entries,
            open_orders=(),
            marks=(),
            prices={},
            now=scene.moments[0].ts,
            halt=None,
        ),
        broker=SimulatedBroker(COSTS),
        journal=journal,
        decider=scene.decider(),
    )
    entries, decisions, events, marks, halts = written(journal)
    return entries, decisions, sorted(events), marks, halts


@settings(max_examples=60, deadline=None)
@given(scene=scenes())
def test_rebuilt_from_the_store_before_every_bar(db: sqlite3.Connection, scene: Scene) -> None:
    stored = Stored(db, scene)
    for group in by_ts(scene.moments):
        stored.run(group, prices_before(scene, group[0].ts), stored.scene.decider())
    assert stored.written() == expected_of(stored)


@settings(max_examples=60, deadline=None)
@given(scene=scenes())
def test_settled_first_and_then_decided_symbol_by_symbol(
    db: sqlite3.Connection, scene: Scene
) -> None:
    """As `trade` does: settle what the bars bring, then one run for each symbol asked for."""
    stored = Stored(db, scene)
    for group in by_ts(scene.moments):
        ts = group[0].ts
        stored.run(group, prices_before(scene, ts), None)
        for bar in group:
            bare = bar._replace(splits=(), dividends=(), delisting=None, volume=0)
            stored.run([bare], prices_before(scene, ts + 1), stored.scene.decider())
    assert stored.written() == expected_of(stored)
