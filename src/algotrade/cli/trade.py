"""The command trade: decide, check risk, place an order."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.flags import plain_words
from algotrade.cli.follow import Loop, follow_trades, following
from algotrade.cli.notify import tell_trades
from algotrade.cli.output import View
from algotrade.cli.policy import Asked, asking, read_overrides
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.venue import Venue, placing
from algotrade.cli.views import check_row, fill_lines, money
from algotrade.cli.why import decision_lines, decision_row
from algotrade.domain.decisions import REFUSED
from algotrade.domain.money import NANOS, format_quantity, shares
from algotrade.domain.orders import (
    BUY,
    EXPIRED,
    MARKET,
    NEVER_SENT,
    OPEN_STATES,
    REJECTED,
    SELL,
    SUBMITTING,
    UNKNOWN,
    UNSURE_STATES,
)
from algotrade.domain.times import DAY, iso, session_date
from algotrade.errors import (
    EXIT_HALTED,
    EXIT_OK,
    EXIT_REFUSED,
    InputError,
    OrderUnknownError,
    ProviderError,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.decisions import Decision
    from algotrade.domain.orders import Fill, Order
    from algotrade.workflows.trade import TradeResult

APPS = {"trade": new_app()}

_CLIENT_ID_LENGTH = 32
_TOLD = {
    REJECTED: "rejected by the broker: algotrade why {order}",
    SUBMITTING: "unknown  order {order} may or may not be at the broker: algotrade reconcile",
    UNKNOWN: "unknown  order {order} may or may not be at the broker: algotrade reconcile",
}


@APPS["trade"].command()
@command
@asking()
@following
@placing
def trade(
    run: Run,
    symbol: Annotated[
        list[str], typer.Option("--symbol", "-s", help="What to trade: symbols, or @watch-list.")
    ],
    asked: Asked,
    loop: Loop | None,
    venue: Venue,
    side: Annotated[
        str | None, typer.Option("--side", help="buy or sell: one order, if the model agrees.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model id; default: promoted, else newest.")
    ] = None,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Skip the model; never the risk checks.")
    ] = False,
    client_id: Annotated[
        str | None, typer.Option("--client-id", help="A name for a further order on the same bar.")
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--override", help="A limit that this one order may pass, such as R07."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why it may pass; kept with the decision.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Decide and explain; write nothing.")
    ] = False,
) -> None:
    """Hold up to --qty shares while the model says up, none when it says down.

    Decides for the newest completed bar. Repeating the same call places nothing twice.
    """
    from algotrade.workflows.trade import Request
    from algotrade.workflows.trade import trade as trade_workflow

    _check_flags(asked, side, model, no_model=no_model, only_look=loop is not None and dry_run)
    request = Request(
        symbols=_read_traded(run, symbol, asked),
        side=_read_side(side),
        use_model=not no_model,
        model_id=model,
        client_id=_read_client_id(client_id),
        overrides=read_overrides(override, reason),
        override_reason=plain_words(reason or ""),
        **asked._asdict(),
    )
    if loop is not None:
        show = functools.partial(_show, run, dry_run=False)
        raise typer.Exit(follow_trades(run, request, show, loop, consent=venue.consent))
    with run.workspace(reading=dry_run) as ws:
        if not may_trade(ws, venue):
            return
        results = trade_workflow(ws, request, dry_run=dry_run, consent=venue.consent)
    code = _show(run, results, dry_run=dry_run)
    if not dry_run:
        tell_trades(run, results)
    raise typer.Exit(code)


def _check_flags(
    asked: Asked, side: str | None, model: str | None, *, no_model: bool, only_look: bool
) -> None:
    """Refuse flags that contradict each other. only_look: --follow with --dry-run."""
    if only_look:
        raise InputError("--follow and --dry-run contradict each other", hint="give one of them")
    if side is not None and asked.sizing is not None:
        raise InputError("--side asks for one order of a size", hint="--side buy --qty 10")
    if no_model and (model or asked.rule):
        named = "--model" if model else "--strategy"
        raise InputError(f"--no-model and {named} contradict each other", hint="give one of them")


def _show(run: Run, results: Sequence[TradeResult], *, dry_run: bool) -> int:
    """Print a pass, and why anything was refused; give the exit code."""
    code = max(map(exit_of, results))
    run.out.emit(_trade_view(results, dry_run=dry_run), ok=code == EXIT_OK)
    if code:
        for result in results:
            _tell_refusal(run, result)
    return code


def may_trade(ws: Any, venue: Venue) -> bool:  # noqa: ANN401  a Workspace, as below
    """Tell whether to go on: the day has a session, where that is asked; raise while closed."""
    if venue.if_session and not has_session(ws):
        return False
    if venue.require_open:
        from algotrade.workflows.brokers import require_open

        require_open(ws)
    return True


def has_session(ws: Any) -> bool:  # noqa: ANN401  a Workspace; the room is not imported here
    """Tell whether the exchange has a session on the day of the workspace's clock."""
    now = ws.clock.now()
    return ws.calendar(now - 10 * DAY).find(session_date(now)) is not None


def _trade_view(results: Sequence[TradeResult], *, dry_run: bool) -> View:
    rows, data, lines = [], [], []
    for result in results:
        row = _trade_row(result)
        rows.append(row)
        data.append(dict(row))
        if result.decision is not None:
            data[-1]["checks"] = [check_row(check) for check in result.decision.verdict.made]
            lines += decision_lines(result.decision)
        if result.existing is not None:
            order = result.existing.order
            what = f"{order.symbol}: " if len(results) > 1 else ""
            lines.append(
                f"{what}already placed as {order.id} ({result.existing.state}); nothing sent"
            )
            lines.append("for another order on the same bar: --client-id NAME")
    if results[0].model:
        lines.append(f"model    {results[0].model}")
    lines += [*fill_lines(results[0].fills), *_endings(results, dry_run=dry_run)]
    return View(schema="algotrade.trade/1", data=data, rows=rows, above=lines)


def _trade_row(result: TradeResult) -> dict[str, Any]:
    order = _order_of(result)
    fill = _fill_of(result, order)
    row: dict[str, Any] = {
        "ID": order.id if order else None,
        "Timestamp": iso(fill.ts if fill else order.placed_at) if order else None,
        "Symbol": result.symbol,
        "Quantity": shares(order.quantity) if order else 0,
        "Price": money(fill.price) if fill else None,
        "Side": order.side if order else None,
        "outcome": result.outcome,
        "account": result.account,
        "filled": fill is not None,
        "standing": result.model,
        "state": result.state,
    }
    return row | (decision_row(result.decision) if result.decision is not None else {})


def trade_rows(results: Sequence[TradeResult]) -> list[dict[str, Any]]:
    """Give each result as a flat row."""
    return [_trade_row(result) for result in results]


def _endings(results: Sequence[TradeResult], *, dry_run: bool) -> list[str]:
    """Tell what is now true, and what to type next."""
    lines = []
    portfolio, clock = results[0].portfolio, results[0].clock
    for result in results:
        order = _order_of(result)
        if order is not None and result.state in (*UNSURE_STATES, REJECTED):
            lines.append(_TOLD[result.state or ""].format(order=order.id))
        elif order is not None and not dry_run and _is_waiting(result, order):
            what = "the first price" if order.type == MARKET else "a price that meets it"
            lines.append(f"waiting  for {what} after {iso(order.placed_at)}")
    held = ", ".join(
        f"{result.symbol} {format_quantity(portfolio.held(result.symbol))}" for result in results
    )
    lines.append(f"now      {held}, cash ${portfolio.cash / 1e6:,.2f}")
    if clock is not None:
        lines.append(f"time     moved to the close of {clock.session}")
    orders = [order for order in map(_order_of, results) if order is not None]
    if dry_run:
        lines.append("dry run: nothing was written")
    elif orders:
        lines.append(f"next: algotrade why {orders[0].id}")
    return lines


def _is_waiting(result: TradeResult, order: Order) -> bool:
    if result.existing is not None and result.existing.state not in OPEN_STATES:
        return False
    return _fill_of(result, order) is None


def _order_of(result: TradeResult) -> Order | None:
    if result.existing is not None:
        return result.existing.order
    return result.decision.placed if result.decision else None


def _fill_of(result: TradeResult, order: Order | None) -> Fill | None:
    if order is None:
        return None
    return next((fill for fill in result.fills if fill.order.key == order.key), None)


def _exit_of_order(result: TradeResult) -> int:
    """Give what an order at a broker adds; 7 for one that nobody sent, whoever asks again."""
    if result.standing is None:
        return EXIT_OK
    if result.state in UNSURE_STATES:
        return OrderUnknownError.exit_code
    unsent = result.standing.detail.startswith(NEVER_SENT)
    if unsent and result.state == EXPIRED:
        return ProviderError.exit_code
    if result.existing is not None:
        return EXIT_OK
    return EXIT_HALTED if unsent else EXIT_REFUSED if result.state == REJECTED else EXIT_OK


def exit_of(result: TradeResult) -> int:
    """Give 8 for an order that may be at the broker, 4 while halted, 3 for a refusal."""
    code, decision = _exit_of_order(result), result.decision
    if code != EXIT_OK or decision is None:
        return code
    verdict = decision.verdict
    if verdict.halt is not None or any(check.id == "R01" for check in verdict.breaches):
        return EXIT_HALTED
    return EXIT_REFUSED if decision.action == REFUSED else EXIT_OK


def _tell_refusal(run: Run, result: TradeResult) -> None:
    decision = result.decision
    if exit_of(result) == EXIT_OK:
        return
    if result.standing is not None:
        run.out.say(f"order {result.standing.order.id}: {result.state}, {result.standing.detail}")
        return
    if decision is None:
        return
    run.out.say(decision.reason)
    if decision.verdict.halt is not None:
        run.out.say(f"trading is halted: {decision.verdict.halt}")
    largest = decision.verdict.max_quantity
    if largest:
        whole = largest // NANOS * NANOS or largest
        passing = whole + _target_before(decision)
        run.out.say(f"the largest order that would pass: --qty {format_quantity(passing)}")
    if any(check.id == "R01" for check in decision.verdict.breaches):
        run.out.say("who halted and why: algotrade risk; lift: algotrade risk reset --reason TEXT")


def _target_before(decision: Decision) -> int:
    """Give what --qty counts besides the order: without --side it says what to hold."""
    buys = decision.order is not None and decision.order.side == BUY
    if decision.policy.side is not None or not buys:
        return 0
    return max(0, decision.held) + max(0, decision.working)


def _read_traded(run: Run, typed: Sequence[str], asked: Asked) -> tuple[str, ...]:
    """Read the symbols; a stop that is a price sizes one only."""
    symbols = tuple(read_symbols(run, typed))
    if len(symbols) > 1 and asked.sizing is not None and asked.sizing.stop_price is not None:
        raise InputError(
            f"--stop is one price, and there are {len(symbols)} symbols to size by it",
            hint="a distance from each close: --stop 5%",
        )
    return symbols


def _read_side(text: str | None) -> str | None:
    if text is None or text in (BUY, SELL):
        return text
    raise InputError(f"--side {shown(text)} is not a side", hint="buy or sell")


def _read_client_id(text: str | None) -> str:
    if text is None:
        return ""
    if text and len(text) <= _CLIENT_ID_LENGTH and all(c.isalnum() or c in "-_." for c in text):
        return text
    raise InputError(
        f"--client-id {shown(text)} cannot be used", hint="1 to 32 letters, digits, - _ ."
    )
