"""Quotes: the newest price that the account may see, what stands behind a symbol, the market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.errors import DataError
from algotrade.store import bars as bar_store
from algotrade.workflows.context import DAILY, Workspace
from algotrade.workflows.models import no_bars
from algotrade.workflows.sources import ensure_calendar, open_polygon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.market.source import Holiday, MarketStatus, Quote, ReferenceSource, TickerDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteResult:
    """A symbol's newest price, and what stands behind it where that was asked for."""

    quote: Quote
    now: int
    details: TickerDetails | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketResult:
    """The market as the provider sees it, and the days ahead without a whole session."""

    status: MarketStatus
    holidays: tuple[Holiday, ...]


def get_quotes(ws: Workspace, symbols: Sequence[str], *, details: bool) -> list[QuoteResult]:
    """Give the newest price of each symbol; the sample knows the last close it has revealed."""
    if ws.simulated:
        return [_sample_quote(ws, symbol) for symbol in symbols]
    reference = _reference(ws)
    found = []
    for symbol in symbols:
        quote = reference.quote(symbol)
        if quote is None:
            raise DataError(f"{ws.source} has no price of {symbol}", hint="check the symbol")
        told = reference.details(symbol) if details else None
        found.append(QuoteResult(quote=quote, now=ws.clock.now(), details=told))
    return found


def get_market(ws: Workspace) -> MarketResult:
    """Ask whether the market is open, and which days ahead are short or closed."""
    reference = _reference(ws)
    return MarketResult(status=reference.market_status(), holidays=tuple(reference.holidays()))


def _reference(ws: Workspace) -> ReferenceSource:
    from algotrade.market.polygon_reference import PolygonReference

    return PolygonReference(open_polygon(ws), ensure_calendar(ws))


def _sample_quote(ws: Workspace, symbol: str) -> QuoteResult:
    from algotrade.market.source import Quote

    bars = bar_store.load_bars(ws.db, ws.source, symbol, DAILY, last=1)
    if not len(bars):
        raise no_bars(ws, symbol)
    quote = Quote(
        symbol=symbol, price=bars.close[-1], ts=bars.ts_close[-1], kind="close", delayed=False
    )
    return QuoteResult(quote=quote, now=ws.clock.now(), details=None)
