"""Replay: a stored decision made again from the store alone, and the first number that differs.

Each step compares what was written down with what comes out today: grounds, speaker, bars,
features, signal, state, risk, order. A step that needs what differs is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from algotrade.domain.signals import DOWN, KEEP, NONE, UP
from algotrade.domain.times import iso, session_date
from algotrade.errors import AlgotradeError, DataError, InputError, ModelError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.past import Past, PastDecision, load_past
from algotrade.trading.decision import Moment, decide
from algotrade.workflows.context import DAILY, Workspace, account_record
from algotrade.workflows.crowd import Crowd, parts_read
from algotrade.workflows.find import find_decision
from algotrade.workflows.models import load_model
from algotrade.workflows.rebuild import Rebuilder
from algotrade.workflows.speakers import (
    MANUAL,
    MODEL,
    Speaker,
    lookback_of,
    rule_speaker,
    said_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from algotrade.bars import Bars
    from algotrade.domain.decisions import Decision
    from algotrade.domain.orders import Order
    from algotrade.domain.predictions import Prediction
    from algotrade.domain.risk import RiskVerdict
    from algotrade.domain.signals import Signal
    from algotrade.learning.predictor import Drift
    from algotrade.learning.presets import FeatureSpec
    from algotrade.trading.state import TradingState
    from algotrade.workflows.speakers import Spoken

Pair = tuple[str, Any, Any]  # what, as stored, as it comes out now


class Difference(NamedTuple):
    """The first thing that differs: its name, as it was stored, as it comes out now."""

    what: str
    stored: Any
    now: Any


class Step(NamedTuple):
    """One step of the way, in words, and whether it came out the same."""

    name: str
    told: str
    identical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A decision made again.

    steps: those taken. difference: the first, or None. partial: stored before the store noted
    what a decision saw, so that state, risk and order cannot be made again.
    """

    decision_id: int
    decision: Decision
    steps: tuple[Step, ...]
    difference: Difference | None
    partial: bool

    @property
    def identical(self) -> bool:
        """Tell whether nothing differs."""
        return self.difference is None


class _Compared(NamedTuple):
    name: str
    told: str
    pairs: Sequence[Pair]


class Replayer:
    """Make the decisions of one account again, oldest first; speakers are loaded once."""

    def __init__(self, ws: Workspace, past: Past) -> None:
        """Take the account's past."""
        self._ws, self._past = ws, past
        self._rebuilder = Rebuilder(ws, past)
        self._speakers: dict[str, Speaker | AlgotradeError] = {}
        self._crowd = Crowd(ws)

    def replay(self, one: PastDecision) -> Replay:
        """Make one decision again; each later than the one before."""
        steps, difference = [], None
        for name, told, pairs in self._steps(one):
            found = next((Difference(*pair) for pair in pairs if pair[1] != pair[2]), None)
            steps.append(Step(name, told, found is None))
            if found is not None:
                difference = found
                break
        return Replay(
            decision_id=one.stored.decision_id,
            decision=one.stored.decision,
            steps=tuple(steps),
            difference=difference,
            partial=one.seen is None,
        )

    def _steps(self, one: PastDecision) -> Iterator[_Compared]:
        decision = one.stored.decision
        if one.columns.grounds is not None:
            told = f"policy and limits sha256 {one.columns.grounds[:12]}"
            pair = ("grounds", one.columns.grounds, one.columns.grounds_found)
            yield _Compared("grounds", told, [pair])
        speaker = self._speaker(decision)
        if isinstance(speaker, AlgotradeError):
            name, stored = ("model", "the file that was saved")
            if not isinstance(speaker, ModelError):
                name, stored = "rule", decision.signal.source if decision.signal else ""
            yield _Compared(name, speaker.message, [(name, stored, speaker.message)])
            return
        yield _speaker_step(speaker, decision)
        bars = self._bars(speaker, decision)
        spec = self._crowd.of(speaker, bars, known_at=decision.decided_at)
        yield _bars_step(speaker, decision, bars, spec)
        try:
            spoken = said_of(speaker, bars, decision.policy.sizing, drift_then(decision), spec)
        except DataError as error:
            yield _Compared("features", error.message, [("features", "numbers", error.message)])
            return
        if decision.prediction is not None:
            yield _features_step(decision.prediction, spoken)
        yield _signal_step(one, spoken)
        if one.seen is None:
            return
        state = self._rebuilder.state_before(one, one.seen)
        yield _state_step(decision, state)
        again = _decided(decision, bars, spoken, state)
        yield _risk_step(decision.verdict, again.verdict)
        yield self._order_step(one, again)

    def _speaker(self, decision: Decision) -> Speaker | AlgotradeError:
        source = decision.signal.source if decision.signal else ""
        if source not in self._speakers:
            try:
                is_model = decision.prediction is not None
                self._speakers[source] = find_again(self._ws, source, is_model=is_model)
            except (ModelError, InputError, DataError) as error:
                self._speakers[source] = error
        return self._speakers[source]

    def _bars(self, speaker: Speaker, decision: Decision) -> Bars:
        return bar_store.load_bars(
            self._ws.db,
            self._ws.source,
            decision.symbol,
            DAILY,
            until=decision.ts,
            known_at=decision.decided_at,
            last=lookback_of(speaker, decision.policy.sizing),
        )

    def _order_step(self, one: PastDecision, again: Decision) -> _Compared:
        """Compare the order three times: in the decision, made again, and in its own row."""
        stored, columns = one.stored.decision, one.columns
        pairs = [
            *((f"order.{what}", old, new) for what, old, new in _order_pairs(stored, again)),
            ("action", stored.action, again.action),
            ("code", stored.code, again.code),
            ("reason", stored.reason, again.reason),
        ]
        placed = stored.placed
        key = placed.key if placed else None
        pairs.append(("decisions.order_key", columns.order_key, key))
        if placed is not None:
            row = self._past.orders.get(placed.key)
            pairs += [
                (f"orders.{name}", value, getattr(row, name, None))
                for name, value in _values(placed).items()
            ]
        told = stored.reason if placed is None else f"{placed.side} {placed.symbol} {placed.id}"
        return _Compared("order", told, pairs)


def replay(ws: Workspace, what: str | None, *, decision_id: int | None = None) -> Replay:
    """Make the decision behind an order, of a number, or the newest on a symbol again."""
    account_record(ws)
    found = find_decision(ws, what, decision_id=decision_id)
    journal.verify_chain(ws.db, ws.account)
    past = load_past(ws.db, ws.account, only=found)
    return Replayer(ws, past).replay(past.decisions[0])


def drift_then(decision: Decision) -> Drift:
    """Give the drift that a decision was made with: what it saw of it is part of it."""
    return decision.prediction.drift if decision.prediction is not None else ()


def find_again(ws: Workspace, source: str, *, is_model: bool) -> Speaker:
    """Find the speaker of a stored signal by its source; a model's bytes are verified."""
    if is_model:
        return Speaker(MODEL, model=load_model(ws, source))
    if not source:
        return Speaker(MANUAL)
    name, _, rest = source.split(" @", maxsplit=1)[0].partition(" ")
    return rule_speaker(name, _parameters(rest))


def _parameters(text: str) -> list[tuple[str, str]]:
    """Read `fast=50 name='two words'` as it is written in a rule's source."""
    import ast
    import re

    quoted = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
    pairs = re.findall(rf"(\w+)=({quoted}|\S+)", text)
    return [
        (name, str(ast.literal_eval(value)) if value[0] in "'\"" else value)
        for name, value in pairs
    ]


# ---- the steps


def _speaker_step(speaker: Speaker, decision: Decision) -> _Compared:
    said = decision.signal.source if decision.signal else ""
    if speaker.model is not None:
        card = speaker.model.card
        return _Compared(
            "model", f"{card.id}, card and scorer as saved", [("model", said, card.id)]
        )
    if speaker.rule is not None:
        return _Compared("rule", speaker.rule.source, [("rule", said, speaker.rule.source)])
    return _Compared("speaker", "none: --no-model", [])


def _bars_step(
    speaker: Speaker, decision: Decision, bars: Bars, spec: FeatureSpec | None
) -> _Compared:
    count = len(bars)
    if speaker.model is not None:
        count = speaker.model.card.lookback
    elif speaker.rule is not None:
        count = speaker.rule.lookback
    read = bars.slice(max(0, len(bars) - count), len(bars))
    pairs: list[Pair] = []
    stored = decision.prediction.bars_hash if decision.prediction else ""
    if decision.signal is not None and not stored:
        stored = decision.signal.bars_hash
    if stored and spec is None:
        pairs.append(("bars", stored, read.fingerprint()))
    elif stored and spec is not None:
        pairs += parts_read(spec, bars, stored)
    last = bars.ts_close[-1] if len(bars) else None
    pairs.append(("bars.last", iso(decision.ts), None if last is None else iso(last)))
    close = bars.close[-1] if len(bars) else None
    pairs.append(("bars.close", decision.conditions.reference_price, close))
    told = f"{len(read)} to {session_date(decision.ts)} as known {iso(decision.decided_at)}"
    if "+" in stored:
        told += ", and those of its universe"
    return _Compared("bars", told, pairs)


def _features_step(stored: Prediction, spoken: Spoken) -> _Compared:
    now = dict(spoken.prediction.features) if spoken.prediction else {}
    pairs = [(f"features.{name}", value, now.get(name)) for name, value in stored.features]
    first = ", ".join(f"{name} {value:.6g}" for name, value in stored.features[:3])
    return _Compared("features", f"{len(stored.features)}: {first}, ...", pairs)


def _signal_step(one: PastDecision, spoken: Spoken) -> _Compared:
    decision, now = one.stored.decision, spoken.signal
    stored, columns = decision.signal, one.columns
    pairs: list[Pair] = []
    if stored is not None:
        pairs += [
            (f"signal.{name}", getattr(stored, name), getattr(now, name, None))
            for name in stored._fields
            if name != "bars_hash"
        ]
        pairs += [
            ("decisions.p_up", columns.p_up, stored.p_up),
            ("decisions.model_id", columns.source or "", stored.source),
        ]
    said, again = decision.prediction, spoken.prediction
    if said is not None:
        drivers = dict(again.drivers) if again else {}
        pairs += [(f"drivers.{name}", part, drivers.get(name)) for name, part in said.drivers]
        pairs += [
            (f"prediction.{name}", getattr(said, name), getattr(again, name, None))
            for name in said._fields
        ]
        pairs.append(("decisions.prediction", columns.prediction, said.value))
    return _Compared("signal", _told_signal(stored), pairs)


_WORDS = {NONE: "nothing", UP: "up", DOWN: "down", KEEP: "keep"}


def _told_signal(signal: Signal | None) -> str:
    if signal is None:
        return "none"
    if signal.p_up is None:
        return "up, as asked" if not signal.source else _WORDS[signal.stance]
    return f"p(up) {signal.p_up!r}, threshold {signal.threshold:g}"


def _state_step(decision: Decision, state: TradingState) -> _Compared:
    held = state.portfolio.held(decision.symbol)
    pairs = [
        ("state.held", decision.held, held),
        ("state.working", decision.working, state.projected(decision.symbol) - held),
        ("state.equity", decision.equity, state.equity),
    ]
    equity = "unknown" if decision.equity is None else f"{decision.equity / 1e6:,.2f}"
    told = f"equity {equity}, {len(state.open_orders)} orders waiting, halt {state.halt or 'none'}"
    return _Compared("state", told, pairs)


def _risk_step(stored: RiskVerdict, now: RiskVerdict) -> _Compared:
    again = {check.id: check for check in now.made}
    pairs = [
        (f"verdict.{check.id}.{name}", getattr(check, name), getattr(again.get(check.id), name, 0))
        for check in stored.made
        for name in ("value", "limit", "status", "name", "unit")
    ]
    pairs += [
        ("verdict.checks", [*stored.ids], [*now.ids]),
        ("verdict.max_quantity", stored.max_quantity, now.max_quantity),
        ("verdict.halt", stored.halt, now.halt),
        ("verdict.reduce", stored.reduce, now.reduce),
    ]
    told = f"{len(stored.made)} limits with value and bound, {len(stored.breaches)} fail"
    return _Compared("risk", told, pairs)


def _order_pairs(stored: Decision, again: Decision) -> Iterator[Pair]:
    if stored.order is None or again.order is None:
        yield "key", _key(stored), _key(again)
        return
    now = _values(again.order)
    for name, value in _values(stored.order).items():
        yield name, value, now[name]


def _key(decision: Decision) -> str | None:
    return decision.order.key if decision.order else None


def _values(order: Order) -> dict[str, Any]:
    return order._asdict()


def _decided(decision: Decision, bars: Bars, spoken: Spoken, state: TradingState) -> Decision:
    moment = Moment(
        ts=bars.ts_close[-1],
        symbol=bars.symbol,
        ts_open=bars.ts_open[-1],
        open=bars.open[-1],
        high=bars.high[-1],
        low=bars.low[-1],
        close=bars.close[-1],
        volume=bars.volume[-1],
        signal=spoken.signal,
        prediction=spoken.prediction,
    )
    return decide(moment, state, decision.policy, decision.limits, decision.conditions)
