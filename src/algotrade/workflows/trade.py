"""Trade: decide for the newest completed bar, check risk, write it down, place it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.decisions import HOLD, Decision, Policy, Sizing
from algotrade.domain.ledger import Portfolio, replay
from algotrade.domain.orders import GTC, MARKET
from algotrade.domain.risk import Conditions
from algotrade.errors import DataError, InputError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.database import immediate
from algotrade.store.decisions import decision_of
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.session import Decider, MemoryJournal, run_session, turns_of
from algotrade.workflows.context import DAILY, Workspace, account_lock, account_record, halts
from algotrade.workflows.models import no_bars
from algotrade.workflows.settle import settle
from algotrade.workflows.speakers import (
    Speaker,
    check_reads,
    find_speaker,
    lookback_of,
    said_of,
    settled_bar,
)
from algotrade.workflows.state import load_state, stale_sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.orders import Fill
    from algotrade.store.journal import OrderStatus
    from algotrade.trading.decision import Moment
    from algotrade.workflows.sample_clock import ClockReport

PLACED = "placed"
ALREADY = "already placed"
DRY_RUN = "dry run"


class Request(NamedTuple):
    """What the user asked of `trade`: the same for every symbol.

    rule, params: a rule strategy instead of a model. The rest is as in `Policy`.
    """

    symbols: tuple[str, ...]
    quantity: int = 0
    sizing: Sizing | None = None
    side: str | None = None
    use_model: bool = True
    model_id: str | None = None
    rule: str | None = None
    params: tuple[tuple[str, str], ...] = ()
    client_id: str = ""
    exit_below: float | None = None
    short: bool = False
    whole: bool = False
    order_type: str = MARKET
    time_in_force: str = GTC
    limit_price: int | None = None
    stop_price: int | None = None
    limit_bps: int | None = None
    stop_bps: int | None = None


class TradeResult(NamedTuple):
    """How a trade ended: an outcome word, the decision or the order that stands already.

    outcome: placed, already placed, hold, refused, dry run.
    fills: what became of waiting orders, before the decision and after it, of any symbol.
    portfolio: the account afterwards.
    """

    symbol: str
    outcome: str
    account: str
    decision: Decision | None
    existing: OrderStatus | None
    fills: tuple[Fill, ...]
    clock: ClockReport | None
    portfolio: Portfolio


class Pass(NamedTuple):
    """What one pass over the symbols decided; `already` are orders that stood before it."""

    decisions: dict[str, Decision]
    already: dict[str, OrderStatus]


def trade(
    ws: Workspace, request: Request, *, dry_run: bool = False, speaker: Speaker | None = None
) -> list[TradeResult]:
    """Decide once for each symbol's newest completed bar, all in one commit.

    Repeating the call places nothing twice.

    speaker: whom the request asks for, where a process that stays has found it already.
    """
    account_record(ws)
    if dry_run:
        done = _decide(ws, request, MemoryJournal(), speaker)
        return _results(ws, request, done, dry_run=True)
    with account_lock(ws) as locked:
        return _trade(locked, request, speaker)


def policy_of(account: str, request: Request, speaker: Speaker) -> Policy:
    """Give what was asked as the policy of the decision."""
    return Policy(
        account=account,
        strategy=speaker.strategy,
        quantity=request.quantity,
        sizing=request.sizing,
        side=request.side,
        client_id=request.client_id,
        exit_below=request.exit_below,
        short=request.short,
        whole=request.whole,
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        limit_bps=request.limit_bps,
        stop_bps=request.stop_bps,
    )


def _trade(ws: Workspace, request: Request, speaker: Speaker | None) -> list[TradeResult]:
    """Trade, with the account's lock held and the clock as it is now."""
    ws, earlier = _finish_interrupted(ws)
    with immediate(ws.db):
        filled = (*earlier, *settle(ws))
        book = journal.StoreJournal(ws.db, ws.account, recorded_at=ws.clock.now())
        with book.together():
            done = _decide(ws, request, book, speaker)
    placed = any(decision.placed for decision in done.decisions.values())
    clock = _move_clock(ws) if placed and ws.simulated else None
    fills = (*filled, *(clock.fills if clock else ()))
    return _results(ws, request, done, fills=fills, clock=clock)


def _results(
    ws: Workspace,
    request: Request,
    done: Pass,
    *,
    fills: tuple[Fill, ...] = (),
    clock: ClockReport | None = None,
    dry_run: bool = False,
) -> list[TradeResult]:
    portfolio = replay(journal.load_entries(ws.db, ws.account))
    return [
        TradeResult(
            symbol=symbol,
            outcome=_outcome(done.decisions.get(symbol), dry_run=dry_run),
            account=ws.account,
            decision=done.decisions.get(symbol),
            existing=done.already.get(symbol),
            fills=fills,
            clock=clock,
            portfolio=portfolio,
        )
        for symbol in request.symbols
    ]


def _outcome(decision: Decision | None, *, dry_run: bool) -> str:
    if decision is None:
        return ALREADY
    if dry_run:
        return DRY_RUN
    return PLACED if decision.placed else HOLD if decision.action == HOLD else decision.action


def _decide(
    ws: Workspace,
    request: Request,
    book: journal.StoreJournal | MemoryJournal,
    speaker: Speaker | None,
) -> Pass:
    """Decide for every symbol whose newest bar has no order of this identity yet."""
    speaker = speaker or find_speaker(
        ws,
        use_model=request.use_model,
        model_id=request.model_id,
        rule=request.rule,
        params=request.params,
    )
    check_reads(request.sizing, request.exit_below, has_probability=speaker.model is not None)
    policy = policy_of(ws.account, request, speaker)
    moments, already = [], {}
    for symbol in request.symbols:
        bars = bar_store.load_bars(
            ws.db,
            ws.source,
            symbol,
            DAILY,
            until=ws.clock.now(),
            last=lookback_of(speaker, request.sizing),
        )
        if not len(bars):
            raise no_bars(ws, symbol)
        existing = _existing(ws, policy, symbol, bars.ts_close[-1])
        if existing is not None:
            already[symbol] = existing
            continue
        if speaker.model is not None and symbol not in speaker.model.card.symbols:
            ws.say(f"{symbol}: model {speaker.model.card.id} was not trained on it")
        spoken = said_of(speaker, bars, request.sizing)
        if spoken.signal is None:
            raise DataError(
                f"{speaker.strategy} says nothing of {symbol}: it reads"
                f" {lookback_of(speaker, None)} bars, there are {len(bars)}",
                hint="algotrade fetch with an earlier --from",
            )
        moments.append(settled_bar(bars, spoken))
    if moments:
        _run(ws, policy, moments, book)
    return Pass(decisions={made.symbol: made for made in book.decisions}, already=already)


def _run(
    ws: Workspace,
    policy: Policy,
    moments: Sequence[Moment],
    book: journal.StoreJournal | MemoryJournal,
) -> None:
    now, outside = ws.clock.now(), halts(ws)
    behind = {ts: stale_sessions(ws, ts) for ts in {moment.ts for moment in moments}}
    newest = {moment.symbol: moment.close for moment in moments}
    run_session(
        turns_of(moments),
        state=load_state(ws, known=newest),
        broker=SimulatedBroker(ws.settings.costs()),
        journal=book,
        decider=Decider(
            policy=policy,
            limits=ws.settings.limits(),
            conditions=lambda moment: Conditions(now, moment.close, behind[moment.ts], outside),
        ),
    )


def _existing(ws: Workspace, policy: Policy, symbol: str, bar_ts: int) -> OrderStatus | None:
    """Give the order that this call has already placed on this bar, if it has.

    A target order closes the bar: the same call again is a no-op, another size is an error.
    """
    placed = journal.orders_on_bar(
        ws.db, ws.account, policy.strategy, symbol, bar_ts, policy.client_id
    )
    for status in placed:
        asked = decision_of(ws.db, status.order.key).decision.policy
        if asked.side != policy.side and not policy.client_id:
            continue
        if asked == policy:
            return status
        if policy.side is None or policy.client_id:
            raise InputError(
                f"this bar is closed by order {status.order.id}, placed with other arguments",
                hint="add another --client-id for a further order on the same bar",
            )
    return None


def _finish_interrupted(ws: Workspace) -> tuple[Workspace, tuple[Fill, ...]]:
    """On the sample, make the clock move that an interrupted trade still owes its order."""
    if not ws.simulated:
        return ws, ()
    waiting = journal.open_orders(ws.db, ws.account)
    if not any(status.order.placed_at >= ws.clock.now() for status in waiting):
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
