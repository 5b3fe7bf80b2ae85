"""The commands of the portfolio: its value, its trades, deposits and withdrawals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from algotrade.cli.output import Column, View
from algotrade.cli.run import Run, command, new_app
from algotrade.cli.views import cents, money, order_words, signed
from algotrade.domain.ledger import DEPOSIT, WITHDRAWAL
from algotrade.domain.money import parse_usd, shares
from algotrade.domain.orders import MARKET
from algotrade.domain.times import DAY, iso, session_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algotrade.domain.orders import OpenOrder, Order
    from algotrade.portfolio.holdings import Holding
    from algotrade.workflows.portfolio import PortfolioResult, TradeLine

APPS = {name: new_app() for name in ("portfolio", "trades", "deposit", "withdraw")}

Amount = Annotated[str, typer.Argument(help="Dollars, such as 2500 or 19.99.")]
Note = Annotated[str, typer.Option("--note", help="Kept in the ledger.")]


@APPS["portfolio"].command()
@command
def portfolio(run: Run) -> None:
    """Value the account: holdings, cash, profit and loss, waiting orders."""
    from algotrade.workflows.portfolio import show_portfolio

    with run.workspace(reading=True) as ws:
        result = show_portfolio(ws)
    run.out.emit(portfolio_view(result))


@APPS["trades"].command()
@command
def trades(run: Run) -> None:
    """List the fills, oldest first."""
    from algotrade.workflows.portfolio import list_trades

    with run.workspace(reading=True) as ws:
        lines = list_trades(ws)
    run.out.emit(_trades_view(lines))


@APPS["deposit"].command()
@command
def deposit(run: Run, amount: Amount, note: Note = "") -> None:
    """Put cash into a simulated account."""
    _move(run, DEPOSIT, amount, note)


@APPS["withdraw"].command()
@command
def withdraw(run: Run, amount: Amount, note: Note = "") -> None:
    """Take cash out of a simulated account."""
    _move(run, WITHDRAWAL, amount, note)


def _move(run: Run, kind: str, amount: str, note: str) -> None:
    from algotrade.workflows.portfolio import move_cash

    micros = parse_usd(amount, field="amount")
    with run.workspace() as ws:
        result = move_cash(ws, kind, micros, note)
    run.out.emit(portfolio_view(result))


def portfolio_view(result: PortfolioResult) -> View:
    """Show an account with what it holds."""
    valued = result.valuation
    book = valued.portfolio
    positions = [_holding_row(holding, result.now) for holding in valued.holdings]
    data = {
        "ID": result.account,
        "Holdings": {row["symbol"]: row["quantity"] for row in positions},
        "Cash": money(book.cash),
        "TotalValue": money(valued.total),
        "as_of": iso(result.now),
        "source": result.source,
        "positions": positions,
        "waiting": [_waiting_row(one) for one in result.waiting],
        "contributed": money(book.contributed),
        "unrealised": money(valued.unrealised),
        "realised": money(book.realised),
        "dividends": money(book.dividends),
        "fees": money(book.fees),
    }
    waiting = [
        f"waiting  {order_words(one.order, one.left)},"
        f" for {_wanted_price(one.order)} after {iso(one.order.placed_at)}, order {one.order.id}"
        for one in result.waiting
    ]
    below = [
        *waiting,
        (
            f"cash ${cents(book.cash)}   total ${cents(valued.total)}"
            f"   unrealised {signed(valued.unrealised)}"
        ),
        (
            f"realised {signed(book.realised)}   dividends {signed(book.dividends)}"
            f"   fees {signed(-book.fees)}"
        ),
    ]
    return View(
        schema="algotrade.portfolio/1",
        data=data,
        rows=[*positions, _cash_row(data)],
        table_rows=positions,
        columns=_COLUMNS,
        above=[f"account {result.account} at {iso(result.now)}"],
        below=below,
    )


def _text(name: str) -> Any:  # noqa: ANN401  a cell function
    return lambda row: "n/a" if row[name] is None else f"{row[name]:,.2f}"


def _gain(row: Mapping[str, Any]) -> str:
    gained = row["unrealised"]
    return "n/a" if gained is None else f"{gained:+,.2f}"


_COLUMNS = (
    Column(title="symbol", cell=lambda row: str(row["symbol"]), right=False),
    Column(title="qty", cell=lambda row: f"{row['quantity']:,g}"),
    Column(title="avg cost", cell=_text("avg_cost")),
    Column(title="last", cell=_text("last")),
    Column(title="of", cell=lambda row: str(row["last_session"] or "-"), right=False),
    Column(title="value", cell=_text("value")),
    Column(title="P/L", cell=_gain),
)


def _holding_row(holding: Holding, now: int) -> dict[str, Any]:
    last = holding.last
    return {
        "symbol": holding.symbol,
        "quantity": shares(holding.quantity),
        "avg_cost": money(holding.avg_cost),
        "last": money(last.price) if last else None,
        "last_session": session_date(last.ts).isoformat() if last else None,
        "age_days": (now - last.ts) // DAY if last else None,
        "value": money(holding.value),
        "unrealised": money(holding.unrealised),
    }


def _wanted_price(order: Order) -> str:
    return "the first price" if order.type == MARKET else "a price that meets it"


def _waiting_row(one: OpenOrder) -> dict[str, Any]:
    order = one.order
    return {
        "ID": order.id,
        "Symbol": order.symbol,
        "Side": order.side,
        "Quantity": shares(order.quantity),
        "left": shares(one.left),
        "type": order.type,
        "limit_price": money(order.limit_price),
        "stop_price": money(order.stop_price),
        "time_in_force": order.time_in_force,
        "placed_at": iso(order.placed_at),
    }


def _cash_row(data: dict[str, Any]) -> dict[str, Any]:
    return {"symbol": "CASH", "quantity": data["Cash"], "value": data["Cash"]}


def _trades_view(lines: list[TradeLine]) -> View:
    rows = [
        {
            "ID": line.order_id,
            "Timestamp": iso(line.ts),
            "Symbol": line.symbol,
            "Side": line.side,
            "Quantity": shares(line.quantity),
            "Price": money(line.price),
            "fee": money(line.fee),
        }
        for line in lines
    ]
    names = ("ID", "Timestamp", "Symbol", "Side", "Quantity", "Price", "fee")
    return View(
        schema="algotrade.trades/1",
        data=rows,
        rows=rows,
        columns=[
            Column(title=name, cell=_plain(name), right=name in {"Quantity", "Price", "fee"})
            for name in names
        ],
        below=[] if rows else ["no trades yet"],
    )


def _plain(name: str) -> Any:  # noqa: ANN401  a cell function
    return lambda row: f"{row[name]:,.10g}" if isinstance(row[name], float) else str(row[name])
