"""Why: the decision behind an order, a hold or a refusal, and what would have changed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.errors import ModelError
from algotrade.record import NamedTuple
from algotrade.store import journal, records
from algotrade.store.past import load_past
from algotrade.trading.counterfactual import Case, Counterfactual, counterfactuals, outcome
from algotrade.trading.decision import Moment
from algotrade.workflows.conditions import store_outlook
from algotrade.workflows.context import Workspace, account_record
from algotrade.workflows.find import find_decision
from algotrade.workflows.models import load_card_of, standing_of
from algotrade.workflows.rebuild import Rebuilder

if TYPE_CHECKING:
    from datetime import date

    from algotrade.domain.decisions import Decision
    from algotrade.domain.ledger import Entry
    from algotrade.store.decisions import StoredDecision
    from algotrade.store.journal import OrderStatus
    from algotrade.store.past import PastDecision
    from algotrade.trading.state import TradingState


class Inputs(NamedTuple):
    """What a decision was made from, by hash; None where it was not kept or there was none.

    bars: of the bars that were read. card: of the model's card, which lists the scorer's bytes.
    grounds: of policy and limits. ledger_seq: the last ledger entry it saw; head: that one's hash.
    """

    bars: str | None
    card: str | None
    grounds: str | None
    ledger_seq: int | None
    head: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyResult:
    """A stored decision with what became of its order, its inputs, and what would have changed it.

    counterfactuals: the most telling first; none where the decision cannot be made again.
    model: what the model was at that time, in words.
    """

    decision_id: int
    decision: Decision
    order: OrderStatus | None
    fills: tuple[Entry, ...]
    inputs: Inputs
    counterfactuals: tuple[Counterfactual, ...]
    model: str | None = None


def why(
    ws: Workspace,
    what: str | None,
    *,
    session: date | None = None,
    decision_id: int | None = None,
) -> WhyResult:
    """Explain an order by its id or a prefix of it, else the newest decision on a symbol.

    session: the newest about that session's bar. decision_id: the decision of that number.
    """
    account_record(ws)
    stored = find_decision(ws, what, session=session, decision_id=decision_id)
    placed = stored.decision.placed
    order = journal.find_orders(ws.db, placed.key)[0] if placed else None
    past = load_past(ws.db, ws.account, only=stored)
    one = past.decisions[0]
    case = None
    if one.seen is not None:
        case = _case(ws, stored, Rebuilder(ws, past).state_before(one, one.seen))
    return WhyResult(
        decision_id=stored.decision_id,
        decision=stored.decision,
        order=order,
        fills=tuple(journal.fills_of(ws.db, placed.key)) if placed else (),
        inputs=_inputs(ws, stored, one),
        counterfactuals=_nearest(case, stored.decision),
        model=_model_then(ws, stored.decision),
    )


def _model_then(ws: Workspace, decision: Decision) -> str | None:
    """Say what the model was when it was asked; a card that is refused now says so."""
    if decision.prediction is None:
        return None
    name = decision.prediction.model_id
    try:
        card = load_card_of(ws, name)
    except ModelError as error:
        return error.message
    return f"{name} ({standing_of(ws, card, until=decision.decided_at).words})"


def _nearest(case: Case | None, stored: Decision) -> tuple[Counterfactual, ...]:
    """Give none where the same decision does not come out: then `replay` says what differs."""
    if case is None or outcome(case.decide()) != outcome(stored):
        return ()
    return tuple(counterfactuals(case))


def _case(ws: Workspace, stored: StoredDecision, state: TradingState) -> Case | None:
    decision = stored.decision
    price = decision.conditions.reference_price
    if price is None:
        return None
    moment = Moment(
        ts=decision.ts,
        symbol=decision.symbol,
        ts_open=decision.ts,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=0,
        signal=decision.signal,
        prediction=decision.prediction,
    )
    conditions = decision.conditions
    if decision.limits.complete and conditions.market is None:  # no order was checked then
        outlook = store_outlook(ws, known_at=decision.decided_at)
        facts = outlook.facts(decision.symbol, decision.ts, state)
        conditions = conditions._replace(market=facts)
    return Case(moment, state, decision.policy, decision.limits, conditions)


def _inputs(ws: Workspace, stored: StoredDecision, one: PastDecision) -> Inputs:
    decision = stored.decision
    bars = decision.signal.bars_hash if decision.signal else ""
    card = None
    if decision.prediction is not None:
        bars = decision.prediction.bars_hash
        known = {record.model_id: record.card_sha256 for record in records.trainings(ws.db)}
        card = known.get(decision.prediction.model_id)
    seq = one.seen.ledger_seq if one.seen else None
    return Inputs(
        bars=bars or None,
        card=card,
        grounds=one.columns.grounds,
        ledger_seq=seq,
        head=journal.entry_hash(ws.db, ws.account, seq) if seq else None,
    )
