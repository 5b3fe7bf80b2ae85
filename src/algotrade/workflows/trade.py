"""Trade: decide for the newest completed bar, check risk, write it down, place it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.decisions import HOLD, Decision, Policy, Sizing
from algotrade.domain.ledger import Portfolio, replay
from algotrade.domain.orders import ACCEPTED, GTC, INTENT, MARKET, UNSURE_STATES
from algotrade.errors import DataError, InputError, ModelError, SettingsError
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.database import immediate
from algotrade.store.decisions import decision_of
from algotrade.trading.broker import RemoteBroker, SimulatedBroker
from algotrade.trading.session import Decider, MemoryJournal, run_session, turns_of
from algotrade.workflows.conditions import Gatherer, store_outlook
from algotrade.workflows.context import DAILY, Workspace, account_lock, account_record
from algotrade.workflows.crowd import Crowd
from algotrade.workflows.models import choose_model_for, no_bars
from algotrade.workflows.settle import settle
from algotrade.workflows.speakers import (
    Speaker,
    check_flat,
    check_reads,
    check_stop,
    find_speaker,
    hear,
    lookback_of,
    settled_bar,
)
from algotrade.workflows.state import load_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.broker.protocol import BrokerClient
    from algotrade.domain.orders import Fill
    from algotrade.learning.card import ModelCard
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
    overrides: tuple[str, ...] = ()
    override_reason: str = ""


class TradeResult(NamedTuple):
    """How a trade ended: an outcome word, the decision or the order that stands already.

    outcome: placed, already placed, hold, refused, dry run. standing: its order as it is now.
    fills: what became of waiting orders, before the decision and after it, of any symbol.
    portfolio: the account afterwards. model: who was asked, with what it is.
    """

    symbol: str
    outcome: str
    account: str
    decision: Decision | None
    existing: OrderStatus | None
    fills: tuple[Fill, ...]
    clock: ClockReport | None
    portfolio: Portfolio
    standing: OrderStatus | None = None
    model: str | None = None

    @property
    def state(self) -> str | None:
        """Give the state of its order now, or None where it has none."""
        return None if self.standing is None else self.standing.state


class Pass(NamedTuple):
    """What one pass over the symbols decided; `already` are orders that stood before it."""

    decisions: dict[str, Decision]
    already: dict[str, OrderStatus]
    model: str | None = None


def trade(
    ws: Workspace,
    request: Request,
    *,
    dry_run: bool = False,
    speaker: Speaker | None = None,
    consent: bool = False,
    client: BrokerClient | None = None,
) -> list[TradeResult]:
    """Decide once for each symbol's newest completed bar, all in one commit.

    Repeating the call places nothing twice. At a real broker the pass begins with recovery and
    reconciliation, and what it placed is sent after the commit.

    speaker: whom the request asks for, where a process that stays has found it already.
    consent: a person said yes to real money. client: the account's broker, if it is open.
    """
    if ws.live and not dry_run:
        _check_live(ws, request, consent=consent)
    if dry_run or not ws.at_broker:
        account_record(ws)
    if dry_run:
        done = _decide(ws, request, MemoryJournal(), speaker)
        return _results(ws, (request,), done, dry_run=True)
    with account_lock(ws) as locked:
        return trade_locked(locked, (request,), speaker, client)


def _check_live(ws: Workspace, request: Request, *, consent: bool) -> None:
    """Refuse real money without a yes or a promoted model, before anybody is asked anything."""
    if not consent:
        raise SettingsError("real money moves only with a yes", hint="--live, and --yes in cron")
    if request.rule is not None or not request.use_model:
        raise ModelError(
            "a real account trades a promoted model only",
            hint="leave out --strategy and --no-model; algotrade flatten ends positions",
        )
    choose_model_for(ws, request.model_id, live=True)


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
        overrides=request.overrides,
        override_reason=request.override_reason,
    )


def trade_locked(
    ws: Workspace,
    requests: Sequence[Request],
    speaker: Speaker | None = None,
    client: BrokerClient | None = None,
) -> list[TradeResult]:
    """Trade, with the account's lock held and the clock as it is now; all in one commit."""
    ws, earlier = _finish_interrupted(ws)
    if ws.at_broker:
        client, caught = _caught_up(ws, client)
        earlier = (*earlier, *caught)
    with immediate(ws.db):
        filled = (*earlier, *settle(ws))
        first = INTENT if ws.at_broker else ACCEPTED
        now = ws.clock.now()
        book = journal.StoreJournal(ws.db, ws.account, recorded_at=now, first_state=first)
        done = Pass({}, {})
        for request in requests:
            with book.together():
                one = _decide(ws, request, book, speaker)
            both = (done.decisions | one.decisions, done.already | one.already)
            done = Pass(*both, model=one.model or done.model)
    if client is not None:
        from algotrade.workflows.send import send

        filled = (*filled, *send(ws, client))
    placed = any(decision.placed for decision in done.decisions.values())
    clock = _move_clock(ws) if placed and ws.simulated else None
    fills = (*filled, *(clock.fills if clock else ()))
    return _results(ws, requests, done, fills=fills, clock=clock)


def _caught_up(ws: Workspace, client: BrokerClient | None) -> tuple[BrokerClient, tuple[Fill, ...]]:
    """Finish what was interrupted, and insist that broker and ledger agree."""
    from algotrade.workflows.brokers import open_broker
    from algotrade.workflows.reconcile import insist, start

    client = client or open_broker(ws)
    return client, insist(start(ws, client)).fills


def _results(
    ws: Workspace,
    requests: Sequence[Request],
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
            standing=None if dry_run else _standing(ws, done, symbol),
            model=done.model,
        )
        for request in requests
        for symbol in request.symbols
    ]


def _standing(ws: Workspace, done: Pass, symbol: str) -> OrderStatus | None:
    """Give the order that stands on a symbol after the pass, as it is now."""
    decision, existing = done.decisions.get(symbol), done.already.get(symbol)
    order = existing.order if existing else decision.placed if decision else None
    return None if order is None else journal.find_orders(ws.db, order.key)[0]


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
    check_flat(request.sizing, speaker.model)
    policy = policy_of(ws.account, request, speaker)
    moments, already = [], {}
    keep = isinstance(book, journal.StoreJournal)
    unsure = {
        one.order.symbol: one
        for one in journal.open_orders(ws.db, ws.account)
        if one.state in UNSURE_STATES
    }  # R02: no other order of the symbol meanwhile
    crowd = Crowd(ws)
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
        existing = unsure.get(symbol) or _existing(ws, policy, symbol, bars.ts_close[-1])
        if existing is not None:
            already[symbol] = existing
            continue
        spoken = hear(ws, speaker, bars, request.sizing, crowd, keep=keep)
        if spoken.signal is None:
            raise DataError(
                f"{speaker.strategy} says nothing of {symbol}: it reads"
                f" {lookback_of(speaker, None)} bars, there are {len(bars)}",
                hint="algotrade fetch with an earlier --from",
            )
        moments.append(settled_bar(bars, spoken))
    if moments:
        card = speaker.model.card if speaker.model is not None else None
        _run(ws, policy, moments, book, card)
        if keep:
            _let_shadow_speak(ws, speaker, moments)
    asked = {*request.symbols}
    made = {one.symbol: one for one in book.decisions if one.symbol in asked}
    check_stop(request.sizing, moments, made)
    words = speaker.model.words if speaker.model else None
    return Pass(decisions=made, already=already, model=words)


def _let_shadow_speak(ws: Workspace, speaker: Speaker, moments: Sequence[Moment]) -> None:
    from algotrade.workflows.models import tell_note
    from algotrade.workflows.shadow import let_shadow_speak

    if speaker.model is not None:
        tell_note(ws, speaker.model)
        said = [one.prediction for one in moments if one.prediction is not None]
        let_shadow_speak(ws, speaker.model, said)


def _run(
    ws: Workspace,
    policy: Policy,
    moments: Sequence[Moment],
    book: journal.StoreJournal | MemoryJournal,
    card: ModelCard | None,
) -> None:
    gatherer = Gatherer(ws, policy, book.decisions, card)
    newest = {moment.symbol: moment.close for moment in moments}
    run_session(
        turns_of(moments),
        state=load_state(ws, known=newest),
        broker=RemoteBroker() if ws.at_broker else SimulatedBroker(ws.settings.costs()),
        journal=book,
        decider=Decider(
            policy=policy,
            limits=ws.settings.limits(),
            conditions=gatherer.conditions,
            look=store_outlook(ws).facts,
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
