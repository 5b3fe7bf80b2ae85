"""Prices of this moment by asking: a snapshot of all symbols, else each by what the plan shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.live import LivePrice
from algotrade.errors import DataError, PlanError
from algotrade.market import polygon_fields as fields
from algotrade.market.polygon_reference import SNAPSHOT, TRADE, PolygonReference
from algotrade.market.polygon_words import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from algotrade.market.calendar import Calendar
    from algotrade.market.polygon_http import JsonObject, PolygonHttp

SNAPSHOTS = "/v2/snapshot/locale/us/markets/stocks/tickers"

_ALL = "snapshots"  # the name under which a plan's refusal is remembered
_AT_ONCE = 100  # symbols in one call: their names still fit an address


class PolygonPoll:
    """Asks for current prices, one round at a time; for one thread."""

    def __init__(self, http: PolygonHttp, calendar: Calendar) -> None:
        self._http = http
        self._reference = PolygonReference(http, calendar)

    def round(self, symbols: Sequence[str]) -> Iterator[LivePrice]:
        """Give the newest price of each symbol that has one, as the answers come.

        Raises PlanError where the plan shows no price at all, not even the last close.
        """
        left = dict.fromkeys(symbols)
        for price in self._together(symbols):
            left.pop(price.symbol, None)
            yield price
        for symbol in left:
            quote = self._reference.quote(symbol)
            if quote is not None:
                yield LivePrice(symbol, quote.price, quote.ts, quote.kind, quote.delayed)

    @property
    def is_end_of_day(self) -> bool:
        """Tell whether the plan shows nothing newer than a close."""
        return {_ALL, SNAPSHOT, TRADE} <= self._http.refused

    def _together(self, symbols: Sequence[str]) -> Iterator[LivePrice]:
        for start in range(0, len(symbols), _AT_ONCE):
            if _ALL in self._http.refused:
                return
            asked = symbols[start : start + _AT_ONCE]
            try:
                answer = self._http.get(SNAPSHOTS, (("tickers", ",".join(asked)),))
            except PlanError:
                self._http.refused.add(_ALL)
                return
            if answer is not None:
                yield from read_snapshots(answer, set(asked))


def read_snapshots(answer: JsonObject, asked: set[str]) -> Iterator[LivePrice]:
    """Read an answer with the snapshots of several tickers; one of another ticker is an error."""
    rows = answer.get("tickers")
    if not isinstance(rows, list | None):
        raise DataError(f"polygon: the snapshots came as {told(rows)}")
    delayed = answer.get("status") == "DELAYED"
    for row in rows or []:
        symbol = row.get("ticker") if isinstance(row, dict) else None
        if symbol not in asked:
            raise DataError(f"polygon: among the snapshots stands {told(symbol or row)}")
        try:
            found = _read(row, delayed=delayed)
        except ValueError as why:
            raise DataError(f"polygon: {why} (snapshot of {symbol})") from None
        if found is not None:
            yield found


def _read(row: JsonObject, *, delayed: bool) -> LivePrice | None:
    """Read the last trade, or the last minute where the plan shows no trades; None before any."""
    trade, minute = fields.part(row, "lastTrade"), fields.part(row, "min")
    if trade.get("p"):
        price, ts = fields.price(trade, "p"), fields.nanoseconds(trade, "t")
    elif minute.get("c"):
        price, ts = fields.price(minute, "c"), fields.nanoseconds(row, "updated")
    else:
        return None
    quote = fields.part(row, "lastQuote")
    both = bool(quote.get("p")) and bool(quote.get("P"))
    bid, ask = (fields.price(quote, "p"), fields.price(quote, "P")) if both else (None, None)
    return LivePrice(str(row["ticker"]), price, ts, SNAPSHOT, delayed, bid, ask)
