"""What Polygon knows besides history: ticker details, market status, holidays, a current price."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote as quoted
from zoneinfo import ZoneInfo

from algotrade.domain.times import session_date, to_datetime
from algotrade.errors import DataError, PlanError
from algotrade.market import polygon_fields as fields
from algotrade.market.polygon_paging import results_of
from algotrade.market.polygon_words import clean, told
from algotrade.market.source import Holiday, MarketStatus, Quote, TickerDetails

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from algotrade.market.calendar import Calendar
    from algotrade.market.polygon_http import JsonObject, PolygonHttp

SNAPSHOT, TRADE, PREVIOUS_CLOSE = "snapshot", "trade", "previous close"

_NEW_YORK = ZoneInfo("America/New_York")
_STATES = ("open", "extended-hours", "closed")
_EXCHANGE = "NYSE"

T = TypeVar("T")


class PolygonReference:
    """Reference data and current prices of a Polygon or Massive account, as a ReferenceSource."""

    def __init__(self, http: PolygonHttp, calendar: Calendar) -> None:
        """Bind to a transport; calendar: covers the last session, for a previous close."""
        self._http, self._calendar = http, calendar

    def details(self, symbol: str) -> TickerDetails | None:
        """Tell what stands behind a symbol, delisted ones too; None where Polygon knows none."""
        answer = self._http.get(f"/v3/reference/tickers/{quoted(symbol, safe='')}")
        if answer is not None:
            what = f"details of {symbol}"
            return _read(_details, answer.get("results"), what, ticker=symbol)
        query = (("ticker", symbol), ("active", "false"), ("limit", "1000"))
        answer = self._http.get("/v3/reference/tickers", query)
        what = f"delisted tickers {symbol}"
        rows = [] if answer is None else results_of(answer, what)
        found = [_read(_details, row, what, ticker=symbol) for row in rows]
        return max(found, key=lambda one: str(one.delisted or ""), default=None)

    def market_status(self) -> MarketStatus:
        """Tell whether the market is open now, by the provider's own clock."""
        answer = self._http.get_bare("/v1/marketstatus/now")
        return _read(_status, answer, "market status")

    def holidays(self) -> list[Holiday]:
        """Give the coming days on which the NYSE is closed or closes early, by date."""
        answer = self._http.get_bare("/v1/marketstatus/upcoming")
        if not isinstance(answer, list):
            raise DataError(f"polygon: the holidays are {told(answer)}, not a list")
        found: dict[date, Holiday] = {}
        for row in answer:
            if isinstance(row, dict) and row.get("exchange") not in (None, _EXCHANGE):
                continue
            holiday = _read(_holiday, row, "holidays")
            if found.setdefault(holiday.session, holiday) != holiday:
                raise DataError(f"polygon: two different holidays on {holiday.session}")
        return [found[session] for session in sorted(found)]

    def quote(self, symbol: str) -> Quote | None:
        """Give the newest price that the plan allows to see; None where there is none.

        A kind that the plan has refused once is not asked for again in this process.
        """
        ways = {
            SNAPSHOT: self._snapshot,
            TRADE: self._last_trade,
            PREVIOUS_CLOSE: self._previous_close,
        }
        refused = self._http.refused
        for kind, ask in ways.items():
            if kind in refused:
                continue
            try:
                found = ask(symbol)
            except PlanError:
                refused.add(kind)
            else:
                if found is not None:
                    return found
        if refused >= set(ways):
            raise PlanError("polygon: the plan includes no current price, not even the last close")
        return None

    def _snapshot(self, symbol: str) -> Quote | None:
        path = f"/v2/snapshot/locale/us/markets/stocks/tickers/{quoted(symbol, safe='')}"
        answer = self._http.get(path)
        if answer is None:
            return None
        found = _read(_shot, answer.get("ticker"), f"snapshot of {symbol}", ticker=symbol)
        return found and _quote(answer, symbol, SNAPSHOT, *found)

    def _last_trade(self, symbol: str) -> Quote | None:
        answer = self._http.get(f"/v2/last/trade/{quoted(symbol, safe='')}")
        if answer is None:
            return None
        found = _read(_trade, answer.get("results"), f"last trade of {symbol}", T=symbol)
        return _quote(answer, symbol, TRADE, *found)

    def _previous_close(self, symbol: str) -> Quote | None:
        query = (("adjusted", "false"),)
        answer = self._http.get(f"/v2/aggs/ticker/{quoted(symbol, safe='')}/prev", query)
        what = f"previous close of {symbol}"
        rows = [] if answer is None else results_of(answer, what)
        if answer is None or not rows:
            return None
        if len(rows) != 1 or answer.get("adjusted") not in (None, False):
            raise DataError(f"polygon: the {what} is adjusted, or not one bar")
        if answer.get("ticker") != symbol:
            raise DataError(f"polygon: the {what} is of {told(answer.get('ticker'))}")
        price, session = _read(_close, rows[0], what)
        index = self._calendar.find(session)
        if index is None:
            raise DataError(f"polygon: the {what} is of {session}, when the exchange was closed")
        return _quote(answer, symbol, PREVIOUS_CLOSE, price, self._calendar.closes[index])


def _quote(answer: JsonObject, symbol: str, kind: str, price: int, ts: int) -> Quote:
    delayed = answer["status"] == "DELAYED"
    return Quote(symbol=symbol, price=price, ts=ts, kind=kind, delayed=delayed)


def _read(reader: Callable[[JsonObject], T], row: object, what: str, **same: str) -> T:
    """Read an object in which the fields of `same` must say just that."""
    if not isinstance(row, dict):
        raise DataError(f"polygon: the {what} came as {told(row)}")
    for name, value in same.items():
        if row.get(name) != value:
            raise DataError(f"polygon: the {what} came with {name} {told(row.get(name))}")
    try:
        return reader(row)
    except ValueError as why:
        raise DataError(f"polygon: {why} ({what})") from None


def _shot(shot: JsonObject) -> tuple[int, int] | None:
    """Read the last trade of a snapshot, or its last minute where the plan shows no trades.

    Both are zeros between the reset at 03:30 New York and the first trade of the day.
    """
    trade, minute = (shot.get(name) or {} for name in ("lastTrade", "min"))
    if not isinstance(trade, dict) or not isinstance(minute, dict):
        raise ValueError("lastTrade or min is no object")  # noqa: TRY004 -- vendor data
    if trade.get("p"):
        return fields.price(trade, "p"), fields.nanoseconds(trade, "t")
    if minute.get("c"):
        return fields.price(minute, "c"), fields.nanoseconds(shot, "updated")
    return None


def _trade(trade: JsonObject) -> tuple[int, int]:
    return fields.price(trade, "p"), fields.nanoseconds(trade, "t")


def _close(bar: JsonObject) -> tuple[int, date]:
    """Read a daily bar's close; its `t` is some time of the session's day in New York."""
    t = fields.milliseconds(bar, "t")
    return fields.price(bar, "c"), datetime.fromtimestamp(t // 1_000, UTC).astimezone(
        _NEW_YORK
    ).date()


def _details(row: JsonObject) -> TickerDetails:
    delisted = row.get("delisted_utc") and fields.instant(row, "delisted_utc")
    return TickerDetails(
        symbol=fields.words(row, "ticker"),
        name=clean(fields.words(row, "name")),
        active=fields.truth(row, "active"),
        delisted=to_datetime(delisted).date() if delisted else None,  # its UTC date is meant
        kind=clean(fields.words(row, "type")) if row.get("type") else None,
        listed=fields.day(row, "list_date") if row.get("list_date") else None,
    )


def _status(row: JsonObject) -> MarketStatus:
    state = fields.words(row, "market")
    if state not in _STATES:
        raise ValueError(f"market {told(state)} is none of {', '.join(_STATES)}")
    return MarketStatus(
        state=state,
        before_hours=fields.truth(row, "earlyHours"),
        after_hours=fields.truth(row, "afterHours"),
        ts=fields.instant(row, "serverTime"),
    )


def _holiday(row: JsonObject) -> Holiday:
    session, name = fields.day(row, "date"), clean(fields.words(row, "name"))
    status = fields.words(row, "status")
    if status == "closed":
        return Holiday(session=session, name=name, opens=None, closes=None)
    if status != "early-close":
        raise ValueError(f"status {told(status)} is neither closed nor early-close")
    opens, closes = (fields.instant(row, field) for field in ("open", "close"))
    if not session_date(opens) == session == session_date(closes) or opens >= closes:
        raise ValueError(f"open and close of {session} contradict the date or each other")
    return Holiday(session=session, name=name, opens=opens, closes=closes)
