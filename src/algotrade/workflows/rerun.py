"""Rerun: the span of an account's decisions walked once more by the loop, in memory.

The same turns, the same `decide`, the same broker; what is taken from the store and what is made
anew is chosen, so that two runs that differ in one choice tell what that choice is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.ledger import DEPOSIT, WITHDRAWAL
from algotrade.errors import DataError, InputError, ModelError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import records
from algotrade.store.past import first_bars
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.feed import History, Market
from algotrade.trading.session import Decider, MemoryJournal, run_session, turns_of
from algotrade.workflows.conditions import store_outlook
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.crowd import Crowd
from algotrade.workflows.rebuild import Rebuilder
from algotrade.workflows.replay import drift_then, find_again
from algotrade.workflows.settle import load_history
from algotrade.workflows.speakers import Spoken, lookback_of, said_of, settled_bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from algotrade.domain.decisions import Decision
    from algotrade.domain.ledger import Entry
    from algotrade.domain.orders import Order
    from algotrade.store.past import Past, PastDecision
    from algotrade.trading.decision import Moment
    from algotrade.trading.state import TradingState
    from algotrade.workflows.speakers import Speaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What is taken as it was, and what is made anew.

    at_close: decide every session at its close, those that were missed, too; else when and where
    it was decided. bars_then: bars as first known, signals from the bars known at the decision.
    stored_signals: what was said then. stored_halts: halts as they stood then. stored_orders:
    place the orders that were placed; nothing is decided.
    """

    at_close: bool = False
    bars_then: bool = False
    stored_signals: bool = False
    stored_halts: bool = False
    stored_orders: bool = False


class Ask(NamedTuple):
    """One decision to make: when, for which bar, and as which stored decision."""

    at: int
    ts: int
    like: Decision
    missed: bool = False


class Ran(NamedTuple):
    """What a run led to: its entries after the opening ones, and its orders."""

    entries: list[Entry]
    orders: list[Order]


class Rerun:
    """The decisions from `first` to `last` of one account, to be walked as often as needed."""

    def __init__(self, ws: Workspace, past: Past, decisions: Sequence[PastDecision]) -> None:
        """Take the decisions of the span, oldest first; each noted what it saw."""
        self._ws, self._past, self._decisions = ws, past, decisions
        self._speakers: dict[str, Speaker | None] = {}
        self._crowd = Crowd(ws)
        self._moments: dict[tuple[int, int, bool, bool], Moment | None] = {}
        settled = records.settled_until(ws.db, ws.account).values()
        newest = decisions[-1].stored.decision
        later = (one.stored.decision.ts for one in past.decisions)
        self.end = min(  # what was decided after the span is none of it
            [max([*settled, newest.decided_at]), *(ts for ts in later if ts > newest.ts)]
        )
        seen = decisions[0].seen
        self.opening = seen.ledger_seq if seen else 0
        self.opening_mark = self._opening_state().last_mark

    @property
    def symbols(self) -> list[str]:
        """Give the symbols that were decided or held."""
        start = self._opening_state()
        return sorted({*start.staked, *(one.stored.decision.symbol for one in self._decisions)})

    def asks(self, choices: Choices) -> list[Ask]:
        """Give the decisions to make, in order."""
        made = [one.stored.decision for one in self._decisions]
        if not choices.at_close:
            return [Ask(one.decided_at, one.ts, one) for one in made]
        asks, last = [], dict[tuple[str, str, str], Ask]()
        for one in sorted(made, key=lambda one: one.ts):
            name = (one.strategy, one.policy.client_id, one.symbol)
            before = last.get(name)
            if before is not None and one.policy.side is None:
                between = self._closes(one.symbol, before.ts, one.ts - 1)
                asks += [Ask(ts, ts, before.like, missed=True) for ts in between]
            last[name] = Ask(one.ts, one.ts, one)
            asks.append(last[name])
        return sorted(asks, key=lambda ask: ask.at)

    def run(self, choices: Choices) -> Ran:
        """Walk the bars of the span, settling each and deciding where it is asked."""
        broker = SimulatedBroker(self._ws.settings.costs())
        walk = _Walk(self._opening_state(), MemoryJournal(), broker, choices, [])
        pending = self._agenda(choices)
        ahead = next(pending, None)
        market = Market([self._history(symbol, choices) for symbol in self.symbols])
        for turn in market.turns(walk.state, skip=False) if market.times else ():
            while ahead is not None and ahead[0] < turn.ts:
                self._happen(ahead[1], walk)
                ahead = next(pending, None)
            run_session([turn], state=walk.state, broker=broker, journal=walk.journal, decider=None)
        while ahead is not None:
            self._happen(ahead[1], walk)
            ahead = next(pending, None)
        return Ran(walk.journal.entries, walk.orders)

    def _opening_state(self) -> TradingState:
        first = self._decisions[0]
        if first.seen is None:
            raise DataError("the span begins before decisions noted what they saw")
        return Rebuilder(self._ws, self._past).state_before(first, first.seen)

    def _agenda(self, choices: Choices) -> Iterator[tuple[int, Entry | str | Ask]]:
        """Give what happens between the bars: cash, resets and halts by people, decisions.

        What happens at one instant keeps the order in which the decisions saw it.
        """
        places = {id(one.stored.decision): place for place, one in enumerate(self._decisions)}
        things: list[tuple[tuple[int, int, int], Entry | str | Ask]] = [
            ((ask.at, places[id(ask.like)], 1), ask) for ask in self.asks(choices)
        ]
        for seq, entry in enumerate(self._past.entries[self.opening :], self.opening + 1):
            if entry.kind in (DEPOSIT, WITHDRAWAL):
                place = self._first_to_see("ledger_seq", seq)
                things.append(((entry.ts, place, 0), entry))
        own = {one.stored.decision.verdict.halt for one in self._decisions}
        for halt in self._past.halts:
            by_person = halt.kind != "reset" and halt.reason not in own
            place = self._first_to_see("halt_id", halt.halt_id)
            if place and (halt.kind == "reset" or (by_person and choices.stored_halts)):
                reason = "" if halt.kind == "reset" else halt.reason
                things.append(((halt.ts, place, 0), reason))
        for (at, _, _), thing in sorted(things, key=lambda one: one[0]):
            yield at, thing

    def _first_to_see(self, name: str, number: int) -> int:
        """Give the place of the first decision that saw this row; their number if none did."""
        for place, one in enumerate(self._decisions):
            if one.seen is not None and getattr(one.seen, name) >= number:
                return place
        return len(self._decisions)

    def _happen(self, thing: Entry | str | Ask, walk: _Walk) -> None:
        """Let one thing happen between two bars."""
        if isinstance(thing, str):
            walk.state.halt = thing or None
        elif not isinstance(thing, Ask):
            walk.journal.append(thing)
            walk.state.book(thing)
        elif not walk.choices.stored_orders:
            self._decide(thing, walk)
        elif thing.like.placed is not None:
            walk.state.place(thing.like.placed)
            walk.orders.append(thing.like.placed)

    def _decide(self, ask: Ask, walk: _Walk) -> None:
        moment, choices = self._moment(ask, walk.choices), walk.choices
        if moment is None or any(_closes_bar(order, ask) for order in walk.orders):
            return
        was = ask.like.conditions
        conditions = was._replace(
            now=ask.at,
            reference_price=moment.close,
            stale_sessions=0 if choices.at_close else was.stale_sessions,
            halts=was.halts if choices.stored_halts else (),
            market=None,
        )
        known_at = ask.like.decided_at if choices.bars_then and not ask.missed else None
        before = len(walk.journal.decisions)
        run_session(
            turns_of([moment]),
            state=walk.state,
            broker=walk.broker,
            journal=walk.journal,
            decider=Decider(
                policy=ask.like.policy,
                limits=ask.like.limits,
                conditions=lambda _: conditions,
                look=store_outlook(self._ws, known_at=known_at).facts,
            ),
        )
        made = walk.journal.decisions[before:]
        walk.orders.extend(one.placed for one in made if one.placed is not None)

    def _moment(self, ask: Ask, choices: Choices) -> Moment | None:
        """Give the bar as a moment that brings nothing but what is said: it is settled already."""
        name = (id(ask.like), ask.ts, choices.bars_then, choices.stored_signals)
        if name not in self._moments:
            self._moments[name] = self._heard(ask, choices)
        return self._moments[name]

    def _heard(self, ask: Ask, choices: Choices) -> Moment | None:
        like, speaker = ask.like, self._speaker(ask.like)
        is_known = speaker is not None and not (choices.stored_signals and not ask.missed)
        known_at = like.decided_at if choices.bars_then and not ask.missed else None
        bars = bar_store.load_bars(
            self._ws.db,
            self._ws.source,
            like.symbol,
            DAILY,
            until=ask.ts,
            known_at=known_at,
            last=lookback_of(speaker, like.policy.sizing) if speaker and is_known else 1,
        )
        if not len(bars) or (speaker is None and ask.missed):
            return None
        spoken = Spoken(like.signal, like.prediction)
        if speaker is not None and is_known:
            try:
                drift = () if ask.missed else drift_then(like)
                spec = self._crowd.of(speaker, bars, known_at=known_at)
                spoken = said_of(speaker, bars, like.policy.sizing, drift, spec)
            except DataError:  # a feature is no number: nothing is said
                return None
        return settled_bar(bars, spoken)

    def _speaker(self, like: Decision) -> Speaker | None:
        """Find who spoke; None where that is not to be had, then what was said then counts."""
        source = like.signal.source if like.signal else ""
        if source not in self._speakers:
            try:
                is_model = like.prediction is not None
                self._speakers[source] = find_again(self._ws, source, is_model=is_model)
            except (ModelError, InputError, DataError) as error:
                self._ws.say(f"{error.message}; what it said then is taken")
                self._speakers[source] = None
        return self._speakers[source]

    def _closes(self, symbol: str, after: int, until: int) -> list[int]:
        bars = bar_store.load_bars(
            self._ws.db, self._ws.source, symbol, DAILY, after=after, until=until
        )
        return list(bars.ts_close)

    def _history(self, symbol: str, choices: Choices) -> History:
        """Load the bars that the span's first decision had not seen, as chosen."""
        ws, opened = self._ws, self._decisions[0].stored.decision.decided_at
        seen = bar_store.load_bars(
            ws.db, ws.source, symbol, DAILY, until=opened, known_at=opened, last=1
        )
        after = seen.ts_close[-1] if len(seen) else opened
        history = load_history(ws, symbol, after=after, until=self.end)
        if not choices.bars_then:
            return history
        bars = first_bars(ws.db, ws.source, symbol, DAILY, after=after, until=self.end)
        return history._replace(bars=bars)


class _Walk(NamedTuple):
    """What one run moves along."""

    state: TradingState
    journal: MemoryJournal
    broker: SimulatedBroker
    choices: Choices
    orders: list[Order]


def _closes_bar(order: Order, ask: Ask) -> bool:
    """Tell whether an order of this identity stands already, as `trade` would find it."""
    policy, like = ask.like.policy, ask.like
    same = (like.strategy, like.symbol, ask.ts, policy.client_id)
    if (order.strategy, order.symbol, order.bar_ts, order.client_id) != same:
        return False
    return policy.side is None or (order.side, order.quantity) == (policy.side, policy.quantity)
