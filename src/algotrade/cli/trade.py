"""The commands of trading: trade and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.model import driver_words
from algotrade.cli.output import View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import check_row, fill_lines, in_unit, money
from algotrade.domain.decisions import ORDER, REFUSED
from algotrade.domain.money import NANOS, format_quantity, format_usd, parse_quantity, shares
from algotrade.domain.orders import BUY, OPEN_STATES, SELL
from algotrade.domain.risk import FAIL, Check
from algotrade.domain.symbols import parse_symbol
from algotrade.domain.times import DAY, iso, session_date
from algotrade.errors import EXIT_HALTED, EXIT_OK, EXIT_REFUSED, InputError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.domain.decisions import Decision
    from algotrade.domain.orders import Fill, Order
    from algotrade.workflows.trade import TradeResult
    from algotrade.workflows.why import WhyResult

APPS = {"trade": new_app(), "why": new_app()}

_CLIENT_ID_LENGTH = 32


@APPS["trade"].command()
@command
def trade(
    run: Run,
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="What to trade.")],
    qty: Annotated[str, typer.Option("--qty", help="Shares to hold, or with --side to order.")],
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

    choice = parse_symbol(symbol)
    if choice.note:
        run.out.say(choice.note)
    request = Request(
        symbol=choice.symbol,
        quantity=parse_quantity(qty),
        side=_read_side(side),
        use_model=not no_model,
        model_id=model,
        client_id=_read_client_id(client_id),
    )
    if no_model and model:
        raise InputError("--no-model and --model contradict each other", hint="give one of them")
    with run.workspace() as ws:
        if if_session and not has_session(ws):
            return
        result = trade_workflow(ws, request, dry_run=dry_run)
    code = _exit_code(result)
    run.out.emit(_trade_view(result, dry_run=dry_run), ok=code == EXIT_OK)
    if code:
        _tell_refusal(run, result)
        raise typer.Exit(code)


@APPS["why"].command()
@command
def why(
    run: Run,
    what: Annotated[str, typer.Argument(help="Order id (or its beginning), or a symbol.")],
) -> None:
    """Explain a decision: prediction, drivers, limits, inputs."""
    from algotrade.workflows.why import why as why_workflow

    with run.workspace() as ws:
        result = why_workflow(ws, what)
    run.out.emit(why_view(result))


def has_session(ws: Any) -> bool:  # noqa: ANN401  a Workspace; the room is not imported here
    """Tell whether the exchange has a session on the day of the workspace's clock."""
    now = ws.clock.now()
    return ws.calendar(now - 10 * DAY).find(session_date(now)) is not None


def why_view(result: WhyResult) -> View:
    """Show a stored decision as it was written down."""
    body = result.body
    order = result.order
    row = _decision_row(body)
    row["order_state"] = order.state if order else None
    row["order_detail"] = order.detail if order else None
    row["fills"] = [_entry_row(entry) for entry in result.fills]
    done = [
        f"filled   {format_quantity(abs(entry.quantity))} at {format_usd(entry.price)} on"
        f" {session_date(entry.ts)}, fee {format_usd(entry.fee)}"
        for entry in result.fills
    ]
    if order and not result.fills:
        done = [f"order    {order.state}{': ' if order.detail else ''}{order.detail}"]
    data: dict[str, Any] = {**row, "checks": [check_row(check) for check in _checks(body)]}
    if body["prediction"]:
        data["features"] = dict(body["prediction"]["features"])
        data["drivers"] = [
            {"name": name, "contribution": part, "unit": body["prediction"]["unit"]}
            for name, part in body["prediction"]["drivers"]
        ]
    return View(
        schema="algotrade.why/1",
        data=data,
        story=True,
        rows=[row],
        above=[*decision_lines(body), *done],
    )


def decision_lines(body: Mapping[str, Any]) -> list[str]:
    """Tell a decision in lines: what, signal, drivers, limits, inputs, how to repeat it."""
    order = body["order"]
    what = f"{body['action']} {body['symbol']}"
    if order:
        what = (
            f"{order['side']} {format_quantity(order['quantity'])} {body['symbol']}"
            f" ({body['action']}{' ' + order['key'][:10] if body['action'] == ORDER else ''})"
        )
    lines = [
        f"{body['account']:<8} {what}, decided for the close of {session_date(body['ts'])}",
        f"reason   {body['reason']}",
        *_signal_lines(body),
        _limits_line(_checks(body)),
    ]
    if body["prediction"]:
        prediction = body["prediction"]
        lines.append(
            f"inputs   bars to {session_date(prediction['ts'])} sha256"
            f" {prediction['bars_hash'][:12]}, model {prediction['model_id']}"
        )
    return lines


def _signal_lines(body: Mapping[str, Any]) -> list[str]:
    prediction = body["prediction"]
    if not prediction:
        return ["signal   none: --no-model"]
    word = "up" if prediction["value"] else "down"
    return [
        (
            f"signal   {prediction['model_id']} p(up) {prediction['p_up']:.4f},"
            f" threshold {prediction['threshold']:g}: {word}"
        ),
        (
            f"drivers  {driver_words(prediction['drivers'])}, from {prediction['base']:.4f}"
            f" ({prediction['unit']})"
        ),
    ]


def _limits_line(checks: list[Check]) -> str:
    failed = [check for check in checks if check.status == FAIL]
    if failed:
        told = ", ".join(
            f"{check.id} {check.name} {in_unit(check.value, check.unit)}"
            f" over {in_unit(check.limit, check.unit)}"
            for check in failed
        )
        return f"risk     {len(failed)} of {len(checks)} limits fail: {told}"
    used = [
        (check.value * 1000 // check.limit, check)
        for check in checks
        if check.value is not None and check.limit
    ]
    _, tightest = max(used, key=lambda pair: pair[0])
    return (
        f"risk     {len(checks)} of {len(checks)} limits pass; tightest: {tightest.name}"
        f" {in_unit(tightest.value, tightest.unit)} of {in_unit(tightest.limit, tightest.unit)}"
    )


def _checks(body: Mapping[str, Any]) -> list[Check]:
    return [Check(**check) for check in body["verdict"]["checks"]]


def _trade_view(result: TradeResult, *, dry_run: bool) -> View:
    order = _order_of(result)
    fill = _fill_of(result, order)
    row: dict[str, Any] = {
        "ID": order.id if order else None,
        "Timestamp": iso(fill.ts if fill else order.placed_at) if order else None,
        "Symbol": _symbol_of(result),
        "Quantity": shares(order.quantity) if order else 0,
        "Price": money(fill.price) if fill else None,
        "Side": order.side if order else None,
        "outcome": result.outcome,
        "account": result.account,
        "filled": fill is not None,
    }
    lines = []
    if result.decision is not None:
        body = _body(result.decision)
        row |= _decision_row(body)
        lines = decision_lines(body)
    if result.existing is not None:
        state = result.existing.state
        lines = [f"already placed as {result.existing.order.id} ({state}); nothing sent"]
        lines += ["for another order on the same bar: --client-id NAME"]
    lines += [*fill_lines(result.fills), *_ending(result, dry_run=dry_run)]
    data = dict(row)
    if result.decision is not None:
        data["checks"] = [check_row(check) for check in result.decision.verdict.checks]
    return View(schema="algotrade.trade/1", data=[data], rows=[row], above=lines)


def _ending(result: TradeResult, *, dry_run: bool) -> list[str]:
    """Tell what is now true, and what to type next."""
    order = _order_of(result)
    waiting = []
    if order is not None and not dry_run and _is_waiting(result, order):
        waiting = [f"waiting  for the first price after {iso(order.placed_at)}"]
    symbol = _symbol_of(result)
    held = format_quantity(result.portfolio.held(symbol))
    lines = [*waiting, f"now      {symbol} {held}, cash ${result.portfolio.cash / 1e6:,.2f}"]
    if result.clock is not None:
        lines.append(f"time     moved to the close of {result.clock.session}")
    if dry_run:
        lines.append("dry run: nothing was written")
    elif order is not None:
        lines.append(f"next: algotrade why {order.id}")
    return lines


def _is_waiting(result: TradeResult, order: Order) -> bool:
    if result.existing is not None and result.existing.state not in OPEN_STATES:
        return False
    return _fill_of(result, order) is None


def _body(decision: Decision) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(decision)


def _decision_row(body: Mapping[str, Any]) -> dict[str, Any]:
    prediction = body["prediction"] or {}
    return {
        "symbol": body["symbol"],
        "account": body["account"],
        "strategy": body["strategy"],
        "decided_for": session_date(body["ts"]).isoformat(),
        "decided_at": iso(body["decided_at"]),
        "action": body["action"],
        "reason": body["reason"],
        "order": body["order"]["key"][:10] if body["action"] == ORDER else None,
        "proposed": (
            {"Side": body["order"]["side"], "Quantity": shares(body["order"]["quantity"])}
            if body["order"]
            else None
        ),
        "prediction": prediction.get("value"),
        "p_up": prediction.get("p_up"),
        "threshold": prediction.get("threshold"),
        "model": prediction.get("model_id"),
        "bars_hash": prediction.get("bars_hash"),
        "max_quantity": shares(body["verdict"]["max_quantity"]),
    }


def _entry_row(entry: Any) -> dict[str, Any]:  # noqa: ANN401  a ledger entry
    return {
        "Timestamp": iso(entry.ts),
        "Quantity": shares(abs(entry.quantity)),
        "Price": money(entry.price),
        "fee": money(entry.fee),
    }


def _order_of(result: TradeResult) -> Order | None:
    if result.existing is not None:
        return result.existing.order
    return result.decision.placed if result.decision else None


def _fill_of(result: TradeResult, order: Order | None) -> Fill | None:
    if order is None:
        return None
    return next((fill for fill in result.fills if fill.order.key == order.key), None)


def _symbol_of(result: TradeResult) -> str:
    if result.decision is not None:
        return result.decision.symbol
    return result.existing.order.symbol if result.existing else ""


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
