"""The commands of risk: limits with headroom, what-if, changes of limits, halt and reset."""

from __future__ import annotations

from typing import Annotated

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.flags import plain_words
from algotrade.cli.output import View
from algotrade.cli.risk_views import changed_view, history_view, risk_view, what_if_view
from algotrade.cli.run import Run, State, command, new_app
from algotrade.cli.watch import check, watch
from algotrade.domain.money import parse_quantity, parse_usd
from algotrade.domain.orders import BUY, SELL
from algotrade.errors import EXIT_REFUSED, AlgotradeError, DiskError, InputError, shown

APPS = {"risk": new_app(invoke_without_command=True)}

APPS["risk"].command("watch")(watch)
APPS["risk"].command("check")(check)

Reason = Annotated[str, typer.Option("--reason", help="Why; it is written down.")]


@APPS["risk"].callback()
@command
def risk(run: Run, ctx: typer.Context) -> None:
    """Show each limit, its value now and its headroom."""
    del ctx
    _show(run)


@APPS["risk"].command("show")
@command
def show(run: Run) -> None:
    """Show each limit, its value now and its headroom: the same as without a word."""
    _show(run)


def _show(run: Run) -> None:
    from algotrade.workflows.risk import show_risk

    with run.workspace(reading=True) as ws:
        result = show_risk(ws)
    run.out.emit(risk_view(result))


@APPS["risk"].command("what-if")
@command
def what_if(
    run: Run,
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="What would be traded.")],
    qty: Annotated[str, typer.Option("--qty", help="Shares of the order.")],
    side: Annotated[str, typer.Option("--side", help="buy, the default, or sell.")] = BUY,
    price: Annotated[
        str | None, typer.Option("--price", help="Price to trade at; default: the newest close.")
    ] = None,
) -> None:
    """Check an order that nobody places: every limit, and the largest size that would pass."""
    from algotrade.workflows.risk import what_if as what_if_workflow

    if side not in (BUY, SELL):
        raise InputError(f"--side {shown(side)} is not a side", hint="buy or sell")
    name, *others = read_symbols(run, [symbol])
    if others:
        raise InputError(f"{shown(symbol)} is more than one symbol", hint="one order at a time")
    with run.workspace(reading=True) as ws:
        found = what_if_workflow(
            ws,
            name,
            quantity=parse_quantity(qty),
            side=side,
            price=None if price is None else parse_usd(price, field="--price"),
        )
    refused = not found.verdict.passed or found.verdict.halt is not None
    run.out.emit(what_if_view(found), ok=not refused)
    if refused:
        raise typer.Exit(EXIT_REFUSED)


@APPS["risk"].command("set")
@command
def set_(
    run: Run,
    name: Annotated[str, typer.Argument(help="Which limit: max_order_usd.")],
    value: Annotated[str, typer.Argument(help="What it becomes, as in algotrade.toml.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; needed to allow more.")] = "",
) -> None:
    """Change one limit in algotrade.toml; to allow more takes a reason; every change is kept."""
    from algotrade.workflows.limit_changes import set_limit

    with run.workspace() as ws:
        found = set_limit(ws, name, value, reason=plain_words(reason))
    run.out.emit(changed_view(found))


@APPS["risk"].command("history")
@command
def history(run: Run) -> None:
    """List every change of a limit that was made by risk set."""
    from algotrade.workflows.limit_changes import limit_history

    with run.workspace(reading=True) as ws:
        found = limit_history(ws)
    run.out.emit(history_view(found))


@APPS["risk"].command("halt")
@command
def halt(run: Run, reason: Reason) -> None:
    """Stop all trading until a person resets it; works with the store locked or broken."""
    from algotrade.workflows.halt import halt_by_file
    from algotrade.workflows.risk import HALT_WAIT_SECONDS, record_halt

    reason = _read_reason(reason)
    done = halt_by_file(run.settings, reason)
    try:
        if State.wrong is not None:  # whose account it is, nobody can tell
            raise State.wrong
        with run.workspace(checked=False, wait_s=HALT_WAIT_SECONDS) as ws:
            record_halt(ws, reason)
    except AlgotradeError as error:
        if not done.places:
            raise DiskError(
                f"trading is NOT halted: {done.failures[0]}; {error.message}",
                hint="touch HALT in the home, or export ALGOTRADE_HALT=1 where trade runs",
            ) from error
        run.out.say(f"halted by the {done.places[0]}; {error.message}")
    for line in done.failures:
        run.out.say(f"halted in the ledger only: {line}")
    row = {"halted": True, "reason": reason, "file": str(run.settings.halt_file)}
    lines = [f"halted: {reason}", "lift it with: algotrade risk reset --reason TEXT"]
    run.out.emit(View(schema="algotrade.risk-halt/1", data=row, rows=[row], above=lines))


@APPS["risk"].command("reset")
@command
def reset(run: Run, reason: Reason) -> None:
    """Lift a halt; refused while its cause remains."""
    from algotrade.workflows.risk import reset_halt

    reason = _read_reason(reason)
    with run.workspace() as ws:
        reset_halt(ws, reason)
    row = {"halted": False, "reason": reason}
    lines = [f"trading again: {reason}"]
    run.out.emit(View(schema="algotrade.risk-reset/1", data=row, rows=[row], above=lines))


def _read_reason(text: str) -> str:
    reason = plain_words(text)
    if not reason:
        raise InputError("--reason is empty", hint="a few words; they are written down")
    return reason
