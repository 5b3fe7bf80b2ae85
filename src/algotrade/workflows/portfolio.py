"""Portfolio: fold the ledger and value it; deposits, withdrawals, and the list of trades."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.ledger import DEPOSIT, FILL, WITHDRAWAL, Entry, imbalance, replay
from algotrade.domain.money import BPS, format_usd
from algotrade.domain.orders import KEY_SHOWN
from algotrade.errors import DataError, InputError, LedgerError
from algotrade.portfolio.holdings import Price, Valuation, value_portfolio
from algotrade.record import NamedTuple
from algotrade.store import bars as bar_store
from algotrade.store import journal
from algotrade.store.database import immediate
from algotrade.workflows.context import DAILY, Workspace, account_lock, account_record
from algotrade.workflows.waiting import waiting_orders

if TYPE_CHECKING:
    from algotrade.domain.orders import OpenOrder
    from algotrade.trading.state import TradingState


class PortfolioResult(NamedTuple):
    """An account, valued: holdings, cash, profit, and the orders still waiting."""

    account: str
    source: str
    now: int
    valuation: Valuation
    waiting: tuple[OpenOrder, ...]


class TradeLine(NamedTuple):
    """One fill as people list them; quantity positive, money in micro-dollars."""

    order_id: str
    ts: int
    symbol: str
    side: str
    quantity: int
    price: int
    fee: int


def show_portfolio(ws: Workspace) -> PortfolioResult:
    """Value the account at the newest stored prices; its hash chain is checked first."""
    account_record(ws)
    journal.verify_chain(ws.db, ws.account)
    portfolio = replay(journal.load_entries(ws.db, ws.account))
    missing = imbalance(portfolio)
    if missing:
        raise LedgerError(f"ledger of account {ws.account} is off by {format_usd(missing)} USD")
    prices = {}
    for symbol in portfolio.positions:
        newest = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, last=1)
        if len(newest):
            prices[symbol] = Price(newest.close[-1], newest.ts_close[-1])
    return PortfolioResult(
        account=ws.account,
        source=ws.source,
        now=ws.clock.now(),
        valuation=value_portfolio(portfolio, prices),
        waiting=tuple(waiting_orders(ws)),
    )


def move_cash(ws: Workspace, kind: str, amount: int, note: str) -> PortfolioResult:
    """Book a deposit or a withdrawal; `amount` positive micro-dollars."""
    from algotrade.workflows.state import load_state  # here: `portfolio` itself starts without it

    account_record(ws)
    if ws.at_broker:
        raise InputError(
            f"cash of account {ws.account} moves at the broker",
            hint="move it there; algotrade reconcile books it",
        )
    with account_lock(ws) as held, immediate(ws.db):
        state = load_state(held)
        entries = journal.load_entries(ws.db, ws.account)
        cash = state.portfolio.cash - _reserved(held, state)
        if kind == WITHDRAWAL and amount > cash:
            raise InputError(
                f"cannot withdraw {format_usd(amount)} USD: free cash is {format_usd(cash)}",
                hint=f"algotrade withdraw {cash / 1e6:.2f} at most" if cash > 0 else None,
            )
        number = sum(entry.kind == kind for entry in entries) + 1
        signed = amount if kind == DEPOSIT else -amount
        now = held.clock.now()
        entry = Entry(ts=now, kind=kind, ref=f"{kind} {number}", amount=signed, note=note)
        journal.StoreJournal(ws.db, ws.account, recorded_at=now).append(entry)
    return show_portfolio(ws)


def _reserved(ws: Workspace, state: TradingState) -> int:
    """Give the cash that waiting buys need, with room for the price to move."""
    needed = state.committed()
    if needed is None:
        raise DataError("a waiting order has no price", hint="algotrade fetch")
    collar = ws.settings.number("risk.price_collar_pct")
    return -(-needed * (BPS + collar) // BPS)


def list_trades(ws: Workspace) -> list[TradeLine]:
    """List the account's fills, oldest first; the hash chain is checked first."""
    account_record(ws)
    journal.verify_chain(ws.db, ws.account)
    return [
        TradeLine(
            order_id=entry.ref[:KEY_SHOWN],
            ts=entry.ts,
            symbol=entry.symbol,
            side="buy" if entry.quantity > 0 else "sell",
            quantity=abs(entry.quantity),
            price=entry.price,
            fee=entry.fee,
        )
        for entry in journal.load_entries(ws.db, ws.account)
        if entry.kind == FILL
    ]
