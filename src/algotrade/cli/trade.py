"""The command trade: decide, check risk, place an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.output import View
from algotrade.cli.policy import Asked, asking
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import check_row, fill_lines, money
from algotrade.cli.why import decision_lines, decision_row
from algotrade.domain.decisions import REFUSED
from algotrade.domain.money import NANOS, format_quantity, shares
from algotrade.domain.orders import BUY, MARKET, OPEN_STATES, SELL
from algotrade.domain.times import DAY, iso, session_date
from algotrade.errors import EXIT_HALTED, EXIT_OK, EXIT_REFUSED, InputError, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.decisions import Decision
    from algotrade.domain.orders import Fill, Order
    from algotrade.workflows.trade import TradeResult

APPS = {"trade": new_app()}

_CLIENT_ID_LENGTH = 32


@APPS["trade"].command()
@command
@asking()
def trade(
    run: Run,
    symbol: Annotated[
        list[str], typer.Option("--symbol", "-s", help="What to trade: symbols, or @watch-list.")
    ],
    asked: Asked,
    side: Annotated[
        str | None, typer.Option("--side", help="buy or sell: one order, if the model agrees.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model id; default: the newest trained.")
    ] = None,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Skip the model; never the risk checks.")
    ] = False,
    client_id: Annotated[
        str, typer.Option("--client-id", help="A name for a further order on the same bar.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Decide and explain; write nothing.")
    ] = False,
    if_session: Annotated[
        bool, typer.Option("--if-session", help="Do nothing on a day without a session.")
    ] = False,
) -> None:
    """Hold up to --qty shares while the model says up, none when it says down.

    Decides for the newest completed bar. Repeating the same call places nothing twice.
    """
    from algotrade.workflows.trade import Request
    from algotrade.workflows.trade import trade as trade_workflow

    if side is not None and asked.sizing is not None:
        raise InputError("--side asks for one order of a size", hint="--side buy --qty 10")
    if no_model and (model or asked.rule):
        named = "--model" if model else "--strategy"
        raise InputError(f"--no-model and {named} contradict each other", hint="give one of them")
    request = Request(
        symbols=tuple(read_symbols(run, symbol)),
        side=_read_side(side),
        use_model=not no_model,
        model_id=model,
        client_id=_read_client_id(client_id),
        **asked._asdict(),
    )
    with run.workspace() as ws:
        if if_session and not has_session(ws):
            return
        results = trade_workflow(ws, request, dry_run=dry_run)
    code = max(map(_exit_code, results))
    run.out.emit(_trade_view(results, dry_run=dry_run), ok=code == EXIT_OK)
    if code:
        for result in results:
            _tell_refusal(run, result)
        raise typer.Exit(code)


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
            data[-1]["checks"] = [check_row(check) for check in result.decision.verdict.checks]
            lines += decision_lines(result.decision)
        if result.existing is not None:
            order = result.existing.order
            what = f"{order.symbol}: " if len(results) > 1 else ""
            lines.append(
                f"{what}already placed as {order.id} ({result.existing.state}); nothing sent"
            )
            lines.append("for another order on the same bar: --client-id NAME")
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
    }
    return row | (decision_row(result.decision) if result.decision is not None else {})


def _endings(results: Sequence[TradeResult], *, dry_run: bool) -> list[str]:
    """Tell what is now true, and what to type next."""
    lines = []
    portfolio, clock = results[0].portfolio, results[0].clock
    for result in results:
        order = _order_of(result)
        if order is not None and not dry_run and _is_waiting(result, order):
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


def _exit_code(result: TradeResult) -> int:
    """Give 4 while trading is halted, whatever was decided; 3 for a refusal."""
    decision = result.decision
    if decision is None:
        return EXIT_OK
    verdict = decision.verdict
    if verdict.halt is not None or any(check.id == "R01" for check in verdict.breaches):
        return EXIT_HALTED
    return EXIT_REFUSED if decision.action == REFUSED else EXIT_OK


def _tell_refusal(run: Run, result: TradeResult) -> None:
    decision = result.decision
    if decision is None or _exit_code(result) == EXIT_OK:
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


def _read_side(text: str | None) -> str | None:
    if text is None or text in (BUY, SELL):
        return text
    raise InputError(f"--side {shown(text)} is not a side", hint="buy or sell")


def _read_client_id(text: str) -> str:
    if len(text) <= _CLIENT_ID_LENGTH and all(c.isalnum() or c in "-_." for c in text):
        return text
    raise InputError(
        f"--client-id {shown(text)} cannot be used", hint="up to 32 letters, digits, - _ ."
    )
