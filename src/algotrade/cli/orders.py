"""The commands of orders: list, cancel, reconcile with the broker, flatten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.flags import plain_words
from algotrade.cli.notify import tell_fills, tell_trades
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.trade import exit_of, trade_rows
from algotrade.cli.venue import at_broker, ending
from algotrade.cli.views import cents, fill_lines, money, order_words, text_cell
from algotrade.domain.money import format_quantity, shares
from algotrade.domain.times import iso
from algotrade.errors import EXIT_OK, InputError, LedgerError, OrderUnknownError

if TYPE_CHECKING:
    from algotrade.domain.ledger import Entry
    from algotrade.store.journal import OrderStatus
    from algotrade.workflows.follow_orders import Told
    from algotrade.workflows.orders import Cancelled, OrderLine, OrderList
    from algotrade.workflows.reconcile import Difference, Reconciled

APPS = {name: new_app() for name in ("orders", "cancel", "reconcile", "flatten")}


@APPS["orders"].command()
@command
@at_broker
def orders(
    run: Run,
    everything: Annotated[
        bool, typer.Option("--all/--open", help="Those that have ended, too; default: open ones.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay, and book fills as the broker tells them.")
    ] = False,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", help="How long to follow; 0 for ever.", min=0)
    ] = 0.0,
) -> None:
    """List orders with their states; at a real broker they are caught up with first."""
    from algotrade.workflows.context import SIMULATED
    from algotrade.workflows.orders import list_orders

    simulated = run.settings.text("broker") == SIMULATED
    with run.workspace(reading=simulated) as ws:  # nothing is caught up with there
        if follow:
            from algotrade.workflows.follow_orders import follow_orders

            for told in follow_orders(ws, max_seconds):
                run.out.emit(_told_view(told))
                tell_fills(run, told.fills)
        result = list_orders(ws, everything=everything)
    run.out.emit(_orders_view(result), ok=not result.unknown)
    tell_fills(run, result.fills)
    _tell_unknown(result.unknown)


@APPS["cancel"].command()
@command
@at_broker
def cancel(
    run: Run,
    order: Annotated[
        list[str] | None, typer.Argument(help="Orders, as `orders` names them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every open order.")] = False,
) -> None:
    """Cancel open orders; never refused by a halt."""
    from algotrade.workflows.orders import cancel as cancel_workflow

    if bool(order) == everything:
        raise InputError("name orders, or all of them", hint="algotrade cancel ORDER, or --all")
    with run.workspace() as ws:
        ended = cancel_workflow(ws, order or (), everything=everything)
    run.out.emit(_cancelled_view(ended))


@APPS["reconcile"].command()
@command
@at_broker
def reconcile(
    run: Run,
    fix_local: Annotated[
        bool, typer.Option("--fix-local", help="Book what differs, as visible adjustments.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is written down.")] = "",
) -> None:
    """Compare the broker with the ledger: orders, fills, positions, cash. A difference halts."""
    from algotrade.workflows.reconcile import reconcile as reconcile_workflow

    with run.workspace() as ws:
        found = reconcile_workflow(ws, fix_local=fix_local, reason=plain_words(reason))
    run.out.emit(_reconciled_view(found), ok=not (found.differences or found.unknown))
    tell_fills(run, found.fills)
    if found.differences:
        raise LedgerError(
            f"account {found.account} is halted: broker and ledger differ",
            hint="algotrade reconcile --fix-local --reason TEXT books it;"
            " then algotrade risk reset --reason TEXT",
        )
    _tell_unknown(found.unknown)


@APPS["flatten"].command()
@command
@ending
def flatten(run: Run) -> None:
    """Cancel every open order, then end every position at the market; orders only reduce."""
    from algotrade.workflows.orders import flatten as flatten_workflow

    with run.workspace() as ws:
        ended, results = flatten_workflow(ws, consent=True)
    code = max([EXIT_OK, *map(exit_of, results)])
    run.out.emit(_flattened_view(ended, trade_rows(results), results), ok=code == EXIT_OK)
    tell_trades(run, results)
    if code:
        raise typer.Exit(code)


def _tell_unknown(unknown: tuple[OrderStatus, ...]) -> None:
    if unknown:
        raise OrderUnknownError(
            f"order {unknown[0].order.id} may or may not be at the broker:"
            f" {unknown[0].detail or 'it cannot be looked up'}",
            hint="algotrade reconcile looks again; algotrade cancel ORDER gives it up when it may",
        )


def _quantity(name: str) -> Any:  # noqa: ANN401  a cell function
    return lambda row: f"{row[name]:,g}"


_COLUMNS = (
    Column(title="order", cell=text_cell("ID"), right=False, whole=True),
    Column(title="placed", cell=lambda row: row["Timestamp"][:16], right=False, whole=True),
    Column(title="what", cell=text_cell("words"), right=False),
    Column(title="filled", cell=_quantity("filled")),
    Column(title="state", cell=text_cell("state"), right=False, whole=True),
)


def _order_row(line: OrderLine) -> dict[str, Any]:
    order = line.status.order
    return {
        "ID": order.id,
        "Timestamp": iso(order.placed_at),
        "Symbol": order.symbol,
        "Side": order.side,
        "Quantity": shares(order.quantity),
        "filled": shares(line.filled),
        "state": line.status.state,
        "since": iso(line.status.since),
        "detail": line.status.detail,
        "type": order.type,
        "limit_price": money(order.limit_price),
        "stop_price": money(order.stop_price),
        "time_in_force": order.time_in_force,
        "strategy": order.strategy,
        "key": order.key,
        "broker_id": line.broker_id,
    }


def _orders_view(result: OrderList) -> View:
    rows = [_order_row(line) for line in result.lines]
    shown = [
        {**row, "words": order_words(line.status.order)}
        for row, line in zip(rows, result.lines, strict=True)
    ]
    return View(
        schema="algotrade.orders/1",
        data=rows,
        rows=rows,
        table_rows=shown,
        columns=_COLUMNS,
        above=[f"account {result.account}", *fill_lines(result.fills)],
        below=[] if rows else ["no open orders; --all lists those that have ended"],
    )


def _told_view(told: Told) -> View:
    row = {"event": told.event, "fills": len(told.fills)}
    lines = [f"broker   {told.event}", *fill_lines(told.fills)]
    return View(schema="algotrade.orders-event/1", data=row, rows=[row], above=lines)


def _cancelled_rows(ended: tuple[Cancelled, ...]) -> list[dict[str, Any]]:
    return [
        {
            "ID": one.order.id,
            "Symbol": one.order.symbol,
            "state": one.state,
            "filled": shares(one.filled),
        }
        for one in ended
    ]


def _cancelled_lines(ended: tuple[Cancelled, ...]) -> list[str]:
    return [
        f"{one.state:<8} {order_words(one.order)}, filled {format_quantity(one.filled)},"
        f" order {one.order.id}"
        for one in ended
    ]


def _cancelled_view(ended: tuple[Cancelled, ...]) -> View:
    rows = _cancelled_rows(ended)
    lines = _cancelled_lines(ended) or ["no open orders"]
    return View(schema="algotrade.cancel/1", data=rows, rows=rows, above=lines)


def _flattened_view(
    ended: tuple[Cancelled, ...], rows: list[dict[str, Any]], results: list[Any]
) -> View:
    data = {"cancelled": _cancelled_rows(ended), "orders": rows}
    lines = _cancelled_lines(ended)
    lines += [
        f"{row['outcome']:<8} {row['Side']} {row['Quantity']:g} {row['Symbol']}, order {row['ID']}"
        if row["ID"]
        else f"{row['outcome']:<8} {row['Symbol']}: {row['reason']}"
        for row in rows
    ]
    lines += fill_lines(results[0].fills) if results else []
    return View(
        schema="algotrade.flatten/1",
        data=data,
        rows=rows,
        above=lines or ["nothing is held: nothing to do"],
    )


def _difference_row(one: Difference) -> dict[str, Any]:
    scale = money if one.what == "cash" else shares
    return {
        "what": one.what,
        "name": one.name,
        "ledger": scale(one.ledger),
        "broker": scale(one.broker),
        "told": one.told(),
    }


def _entry_line(entry: Entry) -> str:
    what = f"{format_quantity(entry.quantity)} {entry.symbol}" if entry.symbol else "cash"
    return f"booked   {what}, ${cents(entry.amount)}: {entry.note}"


def _reconciled_view(found: Reconciled) -> View:
    rows = [_difference_row(one) for one in found.differences]
    data = {
        "account": found.account,
        "number": found.number,
        "now": iso(found.now),
        "agree": not (rows or found.unknown),
        "differences": rows,
        "unknown": [status.order.id for status in found.unknown],
        "late_fills": found.late,
        "fills": len(found.fills),
        "fixed": [entry._asdict() for entry in found.fixed],
    }
    state = "agree" if data["agree"] else "differ" if rows else "cannot be compared"
    lines = [f"account {found.account}, number {found.number}: broker and ledger {state}"]
    lines += [f"differs  {row['told']}" for row in rows]
    lines += [f"unknown  order {status.order.id}, {status.detail}" for status in found.unknown]
    lines += [f"late     fills of {found.late} orders are not told yet"] if found.late else []
    lines += [*fill_lines(found.fills), *map(_entry_line, found.fixed)]
    return View(schema="algotrade.reconcile/1", data=data, rows=rows or [_flat(data)], above=lines)


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if not isinstance(value, list)}
