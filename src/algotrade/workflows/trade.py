"""Trade: decide for the newest completed bar, check risk, write it down, place it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.decisions import HOLD, Decision, Policy
from algotrade.domain.ledger import Portfolio, replay
from algotrade.domain.risk import Conditions
from algotrade.errors import InputError
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.database import immediate
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.decision import Moment
from algotrade.trading.session import Decider, MemoryJournal, run_session
from algotrade.workflows.context import DAILY, Workspace, account_lock, account_record, halts
from algotrade.workflows.models import load_model, no_bars, predict_symbol
from algotrade.workflows.settle import moments_of_bars, settle
from algotrade.workflows.state import load_state, stale_sessions

if TYPE_CHECKING:
    from algotrade.domain.orders import Fill
    from algotrade.domain.predictions import Prediction
    from algotrade.store.journal import OrderStatus
    from algotrade.workflows.sample_clock import ClockReport

PLACED = "placed"
ALREADY = "already placed"
DRY_RUN = "dry run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked of `trade`."""

    symbol: str
    quantity: int
    side: str | None = None
    use_model: bool = True
    model_id: str | None = None
    client_id: str = ""

    @property
    def strategy(self) -> str:
        """Name the strategy that the order's identity carries."""
        return "model" if self.use_model else "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeResult:
    """How a trade ended: an outcome word, the decision or the order that stands already.

    outcome: placed, already placed, hold, refused, dry run.
    fills: what became of waiting orders, before the decision and after it.
    portfolio: the account afterwards.
    """

    outcome: str
    account: str
    decision: Decision | None
    existing: OrderStatus | None
    fills: tuple[Fill, ...]
    clock: ClockReport | None
    portfolio: Portfolio


def trade(ws: Workspace, request: Request, *, dry_run: bool = False) -> TradeResult:
    """Decide once for the newest completed bar; repeating the call places nothing twice."""
    account_record(ws)
    if dry_run:
        return _rehearse(ws, request)
    with account_lock(ws) as locked:
        return _trade(locked, request)


def _trade(ws: Workspace, request: Request) -> TradeResult:
    """Trade, with the account's lock held and the clock as it is now."""
    ws, earlier = _finish_interrupted(ws)
    bar = _newest_bar(ws, request.symbol)
    with immediate(ws.db):
        filled = (*earlier, *settle(ws))
        existing = _existing(ws, request, bar)
        if existing is not None:
            return _result(ws, ALREADY, existing=existing, fills=filled)
        moment = _moment(ws, request, bar)
        book = journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now())
        decision = _decide(ws, request, moment, book)
    if decision.placed is None:
        outcome = HOLD if decision.action == HOLD else decision.action
        return _result(ws, outcome, decision=decision, fills=filled)
    if not ws.simulated:
        return _result(ws, PLACED, decision=decision, fills=filled)
    clock = _move_clock(ws)
    fills = (*filled, *(clock.fills if clock else ()))
    return _result(ws, PLACED, decision=decision, fills=fills, clock=clock)


def _rehearse(ws: Workspace, request: Request) -> TradeResult:
    """Decide as if, in memory; nothing is written."""
    bar = _newest_bar(ws, request.symbol)
    existing = _existing(ws, request, bar)
    if existing is not None:
        return _result(ws, ALREADY, existing=existing)
    decision = _decide(ws, request, _moment(ws, request, bar), MemoryJournal())
    return _result(ws, DRY_RUN, decision=decision)


def _result(
    ws: Workspace,
    outcome: str,
    *,
    decision: Decision | None = None,
    existing: OrderStatus | None = None,
    fills: tuple[Fill, ...] = (),
    clock: ClockReport | None = None,
) -> TradeResult:
    return TradeResult(
        outcome=outcome,
        account=ws.account,
        decision=decision,
        existing=existing,
        fills=fills,
        clock=clock,
        portfolio=replay(journal.load_entries(ws.db, ws.account)),
    )


def _newest_bar(ws: Workspace, symbol: str) -> Moment:
    """Give the newest completed bar as a moment that brings no actions: they are settled."""
    bars = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, until=ws.clock.now(), last=1)
    if not len(bars):
        raise no_bars(ws, symbol)
    return moments_of_bars(bars)[0]


def _moment(ws: Workspace, request: Request, bar: Moment) -> Moment:
    prediction: Prediction | None = None
    if request.use_model:
        prediction = predict_symbol(ws, load_model(ws, request.model_id), request.symbol)
    return Moment(
        ts=bar.ts,
        symbol=bar.symbol,
        ts_open=bar.ts_open,
        open=bar.open,
        close=bar.close,
        volume=bar.volume,
        prediction=prediction,
    )


def _decide(
    ws: Workspace, request: Request, moment: Moment, book: journal.StoreJournal | MemoryJournal
) -> Decision:
    conditions = Conditions(
        now=ws.clock.now(),
        reference_price=moment.close,
        stale_sessions=stale_sessions(ws, moment.ts),
        halts=halts(ws),
    )
    policy = Policy(
        account=ws.account,
        strategy=request.strategy,
        quantity=request.quantity,
        side=request.side,
        use_model=request.use_model,
        client_id=request.client_id,
    )
    state = load_state(ws, [request.symbol], now=moment.ts)
    result = run_session(
        [moment],
        state=state,
        broker=SimulatedBroker(ws.settings.costs(), state.open_orders),
        journal=book,
        decider=Decider(
            policy=policy, limits=ws.settings.limits(), conditions=lambda _: conditions
        ),
    )
    return result.decisions[0]


def _existing(ws: Workspace, request: Request, bar: Moment) -> OrderStatus | None:
    """Give the order that this call has already placed on this bar, if it has.

    A target order closes the bar: the same call again is a no-op, another size is an error.
    """
    placed = journal.orders_on_bar(
        ws.db, ws.account, request.strategy, request.symbol, bar.ts, request.client_id
    )
    for status in placed:
        policy = journal.decision_of(ws.db, status.order.key).body["policy"]
        if policy["side"] != request.side and not request.client_id:
            continue
        if (policy["side"], policy["quantity"]) == (request.side, request.quantity):
            return status
        if request.side is None or request.client_id:
            raise InputError(
                f"this bar is closed by order {status.order.id}, placed with other arguments",
                hint="add another --client-id for a further order on the same bar",
            )
    return None


def _finish_interrupted(ws: Workspace) -> tuple[Workspace, tuple[Fill, ...]]:
    """On the sample, make the clock move that an interrupted trade still owes its order."""
    if not ws.simulated or not journal.open_orders(ws.db, ws.account):
        return ws, ()
    report = _move_clock(ws)
    if report is None:
        return ws, ()
    from algotrade.workflows.context import at

    ws.say("moved the sample clock for an order that was still waiting")
    return at(ws, report.now), report.fills


def _move_clock(ws: Workspace) -> ClockReport | None:
    """Move the sample clock one session on, unless the sample is at its end."""
    from algotrade.workflows.sample_clock import advance_clock, show_clock

    if show_clock(ws).sessions_left == 0:
        ws.say("the sample is at its end: the order will wait for ever")
        return None
    return advance_clock(ws)
