"""The commands that ask about the present: quote and market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.data import read_symbols
from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import money, text_cell
from algotrade.domain.times import MINUTE, iso

if TYPE_CHECKING:
    from algotrade.workflows.quotes import MarketResult, QuoteResult

APPS = {"quote": new_app(), "market": new_app()}


@APPS["quote"].command()
@command
def quote(
    run: Run,
    symbols: Annotated[list[str], typer.Argument(help="Symbols, @watchlist or - for stdin.")],
    details: Annotated[
        bool, typer.Option("--details", help="Also what stands behind the symbol.")
    ] = False,
) -> None:
    """Show the newest price that the plan allows: snapshot, last trade or previous close."""
    from algotrade.workflows.quotes import get_quotes

    names = read_symbols(run, symbols)
    with run.workspace(reading=True) as ws:
        found = get_quotes(ws, names, details=details)
    run.out.emit(_quotes_view(found))


@APPS["market"].command()
@command
def market(run: Run) -> None:
    """Show whether the market is open, and the coming holidays and half days."""
    from algotrade.workflows.quotes import get_market

    with run.workspace(reading=True) as ws:
        found = get_market(ws)
    run.out.emit(_market_view(found))


def _quotes_view(found: list[QuoteResult]) -> View:
    rows = [_quote_row(result) for result in found]
    return View(
        schema="algotrade.quote/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title="symbol", cell=text_cell("symbol"), right=False),
            Column(title="price", cell=lambda row: f"{row['price']:,.10g}"),
            Column(title="kind", cell=text_cell("kind"), right=False),
            Column(title="at", cell=text_cell("at"), right=False),
            Column(title="minutes old", cell=lambda row: f"{row['age_minutes']:,}"),
            Column(title="what", cell=_what, right=False),
        ],
    )


def _quote_row(result: QuoteResult) -> dict[str, Any]:
    told = result.details
    return {
        "symbol": result.quote.symbol,
        "price": money(result.quote.price),
        "kind": result.quote.kind,
        "at": iso(result.quote.ts),
        "age_minutes": max(0, (result.now - result.quote.ts) // MINUTE),
        "delayed": result.quote.delayed,
        "name": told.name if told else None,
        "active": told.active if told else None,
        "delisted": told.delisted.isoformat() if told and told.delisted else None,
        "listed": told.listed.isoformat() if told and told.listed else None,
    }


def _what(row: Any) -> str:  # noqa: ANN401  a row
    parts = [row["name"] or "", "delayed" if row["delayed"] else ""]
    if row["delisted"]:
        parts.append(f"delisted {row['delisted']}")
    return ", ".join(part for part in parts if part)


def _market_view(found: MarketResult) -> View:
    rows = [
        {
            "session": holiday.session.isoformat(),
            "name": holiday.name,
            "opens": iso(holiday.opens) if holiday.opens else None,
            "closes": iso(holiday.closes) if holiday.closes else None,
        }
        for holiday in found.holidays
    ]
    status = found.status
    return View(
        schema="algotrade.market/1",
        data={
            "state": status.state,
            "before_hours": status.before_hours,
            "after_hours": status.after_hours,
            "at": iso(status.ts),
            "holidays": rows,
        },
        rows=rows,
        columns=[
            Column(title=name, cell=text_cell(name), right=False)
            for name in ("session", "name", "opens", "closes")
        ],
        above=[f"market {status.state} at {iso(status.ts)}"],
    )
