"""The commands of runs: list, show and diff of kept backtests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.backtest import RUN_COLUMNS, figured_row, run_row, run_view
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import money
from algotrade.domain.ledger import FILL
from algotrade.domain.money import format_quantity, format_usd, shares
from algotrade.domain.times import iso, session_date
from algotrade.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.domain.ledger import Entry, Mark
    from algotrade.store.runs import RunRecord, RunTrail

APPS = {"runs": new_app()}

RunName = Annotated[str, typer.Argument(help="Run id (or its beginning), or its number.")]


@APPS["runs"].command("list")
@command
def list_(
    run: Run,
    last: Annotated[int, typer.Option("--last", help="How many.", min=1)] = 20,
) -> None:
    """List kept runs, newest first."""
    from algotrade.workflows.runs import list_runs

    with run.workspace(reading=True) as ws:
        rows = [figured_row(record) for record in list_runs(ws, last)]
    below = [] if rows else ["no runs yet: algotrade backtest AAPL --strategy sma-state"]
    view = View(schema="algotrade.runs/1", data=rows, rows=rows, columns=RUN_COLUMNS, below=below)
    run.out.emit(view)


@APPS["runs"].command("show")
@command
def show(
    run: Run,
    name: RunName,
    fills: Annotated[bool, typer.Option("--fills", help="List the fills.")] = False,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="List orders, and spans of holds and refusals.")
    ] = False,
    equity: Annotated[bool, typer.Option("--equity", help="List the equity at each bar.")] = False,
) -> None:
    """Show a run, or a part of its journal."""
    from algotrade.workflows.runs import find_run, run_trail

    if fills + decisions + equity > 1:
        raise InputError("--fills, --decisions and --equity are three tables", hint="give one")
    with run.workspace(reading=True) as ws:
        record = find_run(ws, name)
        trail = run_trail(ws, record)
    if fills:
        run.out.emit(_fills_view(record, trail))
    elif decisions:
        run.out.emit(_decisions_view(record, trail))
    elif equity:
        run.out.emit(_equity_view(record, trail))
    else:
        run.out.emit(run_view(record, trail.marks))


@APPS["runs"].command("diff")
@command
def diff(run: Run, first: RunName, second: RunName) -> None:
    """Tell two runs apart: what was asked, and what came of it."""
    from algotrade.workflows.runs import diff_runs, find_run

    with run.workspace(reading=True) as ws:
        one, other = find_run(ws, first), find_run(ws, second)
    asked, figures = diff_runs(one, other)
    rows = [
        {"part": part, "name": name, "first": before, "second": after}
        for part, group in (("asked", asked), ("figure", figures))
        for name, before, after in group
    ]
    columns = (
        Column("", lambda row: str(row["part"]), right=False),
        Column("name", lambda row: str(row["name"]), right=False),
        Column(one.run_id, lambda row: _shown(row["name"], row["first"])),
        Column(other.run_id, lambda row: _shown(row["name"], row["second"])),
    )
    run.out.emit(
        View(
            schema="algotrade.runs-diff/1",
            data={"first": run_row(one), "second": run_row(other), "differences": rows},
            rows=rows,
            columns=columns,
            below=[] if rows else ["The two runs are the same."],
        )
    )


_DOLLARS = ("cash", "notional", "price", "commission_per_share", "commission_per_trade")


def _shown(name: str, value: Any) -> str:  # noqa: ANN401  JSON
    """Show what was asked in the units that people type it in."""
    if type(value) is int and name.endswith((*_DOLLARS, "commission_minimum")):
        return f"${format_usd(value)}"
    if type(value) is int and name.endswith("quantity"):
        return f"{format_quantity(value)} shares"
    if type(value) is int and name.endswith("_bps"):
        return f"{value / 100:g}%"
    if type(value) is int and name.endswith("_ts"):
        return session_date(value).isoformat()
    if isinstance(value, float):
        return f"{value:,.4f}"
    return "-" if value is None else str(value)


def _fills_view(record: RunRecord, trail: RunTrail) -> View:
    rows = [_fill_row(entry) for entry in trail.entries if entry.kind == FILL]
    columns = (
        Column("session", lambda row: str(row["session"]), right=False),
        Column("side", lambda row: str(row["side"]), right=False),
        Column("symbol", lambda row: str(row["symbol"]), right=False),
        Column("quantity", lambda row: f"{row['quantity']:,g}"),
        Column("price", lambda row: f"{row['price']:,.4f}"),
        Column("fee", lambda row: f"{row['fee']:,.2f}"),
        Column("order", lambda row: str(row["order"]), right=False, whole=True),
    )
    return _part(record, "fills", rows, columns)


def _fill_row(entry: Entry) -> dict[str, Any]:
    return {
        "session": session_date(entry.ts).isoformat(),
        "filled_at": iso(entry.ts),
        "side": "buy" if entry.quantity > 0 else "sell",
        "symbol": entry.symbol,
        "quantity": shares(abs(entry.quantity)),
        "price": money(entry.price),
        "fee": money(entry.fee),
        "order": entry.ref[:10],
    }


def _decisions_view(record: RunRecord, trail: RunTrail) -> View:
    rows = [_decision_row(one) for one in trail.decisions]
    columns = (
        Column("from", lambda row: str(row["first"]), right=False, whole=True),
        Column("until", lambda row: str(row["last"]), right=False, whole=True),
        Column("symbol", lambda row: str(row["symbol"]), right=False),
        Column("what", _what, right=False),
        Column("reason", lambda row: str(row["reason"]), right=False),
    )
    return _part(record, "decisions", rows, columns)


def _what(row: Mapping[str, Any]) -> str:
    if row["side"] is None:
        return f"{row['action']} {row['code']}"
    return f"{row['action']} {row['side']} {format_quantity(round(row['quantity'] * 10**9))}"


def _decision_row(one: tuple[Any, ...]) -> dict[str, Any]:
    symbol, first, last, action, code, reason, p_up, source, side, quantity, key = one
    return {
        "symbol": symbol,
        "first": session_date(first).isoformat(),
        "last": session_date(last).isoformat(),
        "action": action,
        "code": code,
        "reason": reason,
        "p_up": p_up,
        "source": source,
        "side": side,
        "quantity": None if quantity is None else shares(quantity),
        "order": key[:10] if key else None,
    }


def _equity_view(record: RunRecord, trail: RunTrail) -> View:
    rows = [_mark_row(mark) for mark in trail.marks]
    columns = (
        Column("at", lambda row: str(row["marked_at"]), right=False),
        Column("equity", lambda row: f"{row['equity']:,.2f}"),
        Column("cash", lambda row: f"{row['cash']:,.2f}"),
        Column("value", lambda row: f"{row['value']:,.2f}"),
    )
    return _part(record, "equity", rows, columns)


def _mark_row(mark: Mark) -> dict[str, Any]:
    return {
        "marked_at": iso(mark.ts),
        "equity": money(mark.cash + mark.value),
        "cash": money(mark.cash),
        "value": money(mark.value),
    }


def _part(
    record: RunRecord, what: str, rows: list[dict[str, Any]], columns: tuple[Column, ...]
) -> View:
    return View(
        schema=f"algotrade.run-{what}/1",
        data={"run": record.run_id, what: rows},
        rows=rows,
        columns=columns,
        below=[] if rows else [f"no {what}"],
    )
