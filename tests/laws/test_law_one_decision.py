"""Law: one run over n bars is n runs over one bar each, rebuilt from what was written down."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotrade.domain.actions import Dividend, Split
from algotrade.domain.costs import CostModel
from algotrade.domain.decisions import Policy
from algotrade.domain.risk import Conditions, Limits
from algotrade.store.database import create_store, immediate
from algotrade.store.journal import (
    StoreJournal,
    current_halt,
    load_entries,
    load_marks,
    open_orders,
)
from algotrade.store.records import AccountRecord, open_account
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.session import Decider, MemoryJournal, moments_of, run_session
from algotrade.trading.state import TradingState, opening_state
from builders import DOLLAR, SHARE, WIDE, bought, deposit, moment, session

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from algotrade.domain.ledger import Entry
    from algotrade.domain.orders import Order
    from algotrade.trading.decision import Moment

SYMBOLS = ("AAPL", "IBM", "MSFT")
COSTS = CostModel()
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
    ]
)


@st.composite
def bars(draw: st.DrawFn, day: int, symbol: str) -> Moment:
    price = draw(st.integers(80, 120)) * DOLLAR + draw(st.integers(0, 999_999))
    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()
    event = draw(st.sampled_from(["", "", "", "", "split", "dividend", "both"]))
    if event in ("split", "both"):
        old, new = draw(st.sampled_from([(1, 2), (2, 3), (10, 1)]))
        splits = (Split(symbol=symbol, ex_date=session(day), split_from=old, split_to=new),)
    if event in ("dividend", "both"):
        dividends = (Dividend(symbol=symbol, ex_date=session(day), amount=330_001),)
    return moment(
        day,
        price,
        symbol=symbol,
        close=price + draw(st.integers(-5, 5)) * DOLLAR,
        volume=draw(st.sampled_from([0, 10**12, 10**12, 10**12])),
        splits=splits,
        dividends=dividends,
        value=draw(st.sampled_from([1, 1, 1, 0, 0, None])),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    symbols = SYMBOLS[: draw(st.integers(1, 3))]
    days = draw(st.integers(3, 9))
    late = draw(st.integers(0, 2))  # the last symbol's first bar: until then it has no price
    groups = [
        [draw(bars(day, symbol)) for day in range(late * (symbol == symbols[-1]), days)]
        for symbol in symbols
    ]
    entries = [deposit()]
    if draw(st.booleans()):
        entries.append(bought(30 * SHARE, 100 * DOLLAR, symbol=symbols[-1]))
    policy = Policy(
        account="paper",
        strategy="model",
        quantity=draw(st.sampled_from([7, 50, 400])) * SHARE + draw(st.integers(0, 3)),
        side=draw(st.sampled_from([None, None, None, "buy", "sell"])),
        use_model=draw(st.sampled_from([True, True, True, False])),
    )
    return Scene(moments_of(groups), entries, policy, draw(limits_drawn), draw(st.integers(2, 30)))


def by_ts(moments: list[Moment]) -> list[list[Moment]]:
    return [list(group) for _, group in itertools.groupby(moments, key=lambda m: m.ts)]


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
        scene.moments,
        state=start,
        broker=SimulatedBroker(COSTS),
        journal=journal,
        decider=scene.decider(),
    )
    assert list(result.decisions) == journal.decisions
    return journal, result.state


def still_open(journal: MemoryJournal) -> list[Order]:
    ended = {key for key, *_ in journal.events}
    placed = [decision.placed for decision in journal.decisions if decision.placed]
    return [order for order in placed if order.key not in ended]


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
            group,
            state=state,
            broker=SimulatedBroker(COSTS, state.open_orders),
            journal=journal,
            decider=scene.decider(),
        ).state
    assert written(journal) == written(whole)
    assert state == last


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
        waiting = open_orders(self.db, self.name)
        state = opening_state(
            self.name,
            load_entries(self.db, self.name),
            open_orders=waiting,
            marks=load_marks(self.db, self.name),
            prices=prices,
            now=group[0].ts,
            halt=current_halt(self.db, self.name),
        )
        broker = SimulatedBroker(COSTS, waiting)
        with immediate(self.db):
            run_session(group, state=state, broker=broker, journal=self.journal(), decider=decider)

    def written(self) -> tuple[Any, ...]:
        rows = self.db.execute(
            "SELECT body FROM decisions WHERE account = ? ORDER BY decision_id", (self.name,)
        )
        events = self.db.execute(
            "SELECT e.key, e.ts, e.state, e.detail FROM order_events e JOIN orders o USING (key)"
            " WHERE o.account = ? AND e.state <> 'accepted'",
            (self.name,),
        )
        halts = self.db.execute("SELECT ts, reason FROM halts WHERE account = ?", (self.name,))
        return (
            load_entries(self.db, self.name),
            [json.loads(body) for (body,) in rows],
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
        scene.moments,
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
    return entries, [plain(asdict(d)) for d in decisions], sorted(events), marks, halts


def plain(value: Any) -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


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
            bare = replace(bar, splits=(), dividends=())
            stored.run([bare], prices_before(scene, ts + 1), stored.scene.decider())
    assert stored.written() == expected_of(stored)
