"""Demo: the whole loop on built-in real prices, in a home of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.money import NANOS
from algotrade.workflows.context import Workspace, account_lock
from algotrade.workflows.fetch import FetchResult, fetch
from algotrade.workflows.fetch_plan import FetchRequest
from algotrade.workflows.portfolio import PortfolioResult, show_portfolio
from algotrade.workflows.sample_clock import advance_clock
from algotrade.workflows.trade import PLACED, Request, TradeResult, trade
from algotrade.workflows.train import train_model
from algotrade.workflows.why import WhyResult, why

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.learning.card import ModelCard

SYMBOLS = ("AAPL", "IBM", "MSFT")
SESSIONS = 15
QUANTITY = 10 * NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What each step of the loop led to."""

    fetched: FetchResult
    card: ModelCard
    trades: tuple[TradeResult, ...]
    reasons: tuple[WhyResult, ...]
    portfolio: PortfolioResult


def run_demo(
    reopen: Callable[[], Workspace], *, step: Callable[[str], None] = lambda _: None
) -> DemoResult:
    """Fetch, train, then trade one symbol a session for some sessions, and explain each trade.

    reopen: gives the workspace at its present simulated time, as each one-shot command would.
    """
    step(f"fetch {' '.join(SYMBOLS)}")
    fetched = fetch(reopen(), FetchRequest(symbols=SYMBOLS))
    step("train")
    card = train_model(reopen()).card
    trades: list[TradeResult] = []
    for session in range(SESSIONS):
        symbol = SYMBOLS[session % len(SYMBOLS)]
        step(f"trade --symbol {symbol} --qty 10")
        (result,) = trade(reopen(), Request(symbols=(symbol,), quantity=QUANTITY))
        trades.append(result)
        if result.outcome != PLACED:
            ws = reopen()
            with account_lock(ws) as now:
                advance_clock(now)
    ws = reopen()
    placed = [r.decision.placed.key for r in trades if r.decision and r.decision.placed]
    return DemoResult(
        fetched=fetched,
        card=card,
        trades=tuple(trades),
        reasons=tuple(why(ws, key) for key in placed),
        portfolio=show_portfolio(ws),
    )
