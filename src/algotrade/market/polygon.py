"""Daily bars, splits and dividends from Polygon (now Massive): every page and every row checked.

Bars are asked for unadjusted. A page that contradicts itself, the request or the page before it is
a DataError, so that part of an answer is never taken for the whole; a row that cannot be believed
is set aside as a finding. Prices pass through a double, which is exact to the micro-dollar below
9e9 dollars and is checked to be.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit
from zoneinfo import ZoneInfo

from algotrade.bars import Finding, from_rows
from algotrade.domain.actions import Dividend, Split
from algotrade.domain.money import MICROS
from algotrade.domain.times import parse_date
from algotrade.errors import DataError, InputError, PlanError, shown
from algotrade.market.polygon_http import clean, told
from algotrade.market.source import BarPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from algotrade.market.calendar import Calendar
    from algotrade.market.polygon_http import JsonObject, PolygonHttp
    from algotrade.market.source import Span

PLAN_DAYS = 729  # the free plan's two years, with a day in hand

_NEW_YORK = ZoneInfo("America/New_York")
_MIDNIGHT = time()
_BAR_LIMIT = 50_000
_ACTION_LIMIT = 1_000
_ACTION_PAGES = 50
_ADDRESS = re.compile(r"[\x21-\x7e]{1,4000}")
_HIGHEST_T = 253_402_300_800_000  # milliseconds at the year 10000
_HIGHEST_PRICE = 1e9  # dollars
_HIGHEST_VOLUME = 9e12  # shares: micro-shares still fit 64 bits
_HIGHEST_RATIO = 10**9


class _UnbelievableError(Exception):
    """This row cannot be believed; its text says why."""


class _Request(NamedTuple):
    """What to ask the pinned host for."""

    path: str
    query: tuple[tuple[str, str], ...]


class _Asked(NamedTuple):
    """What bars were asked for: sessions [start, end) of one symbol, complete at `now`."""

    symbol: str
    start: date
    end: date
    now: int


class PolygonSource:
    """Bars, splits and dividends of a Polygon or Massive account, as a BarSource."""

    name = "polygon"

    def __init__(
        self,
        http: PolygonHttp,
        calendar: Calendar,
        *,
        today: date,
        now: int,
        announce: Callable[[str], None],
    ) -> None:
        """Bind to a transport.

        calendar: covers the sessions asked for. today: in New York; nothing later is
        asked for. now: microseconds UTC; a session that closes later is still forming, so left out.
        """
        self._http, self._calendar = http, calendar
        self._today, self._now, self._announce = today, now, announce
        self._granted: dict[str, date] = {}

    def bars(self, symbol: str, timeframe: str, span: Span) -> Iterator[BarPage]:
        """Give the daily bars of the sessions in `span`; complete only if no exception ends it."""
        if timeframe != "1d":
            raise InputError(f"polygon bars of {shown(timeframe)} are not supported", hint="use 1d")
        end = min(span.end, self._today + timedelta(days=1))
        return self._bar_pages(_Asked(symbol, span.start, end, self._now))

    def granted_start(self, symbol: str) -> date | None:
        """Give the first session that the last bars() of the symbol could ask for under the plan.

        None before its first page has come, and where nothing had to be asked.
        """
        return self._granted.get(symbol)

    def splits(self, symbol: str) -> list[Split]:
        """Give all splits of the symbol by ex-date, as whole-number ratios."""
        found: dict[date, Split] = {}
        for row in self._actions(symbol, "splits", "execution_date"):
            split = _split(symbol, row)
            known = found.setdefault(split.ex_date, split)
            if _ratio(known) != _ratio(split):
                raise DataError(f"polygon: {symbol} has two different splits on {split.ex_date}")
        return [found[ex_date] for ex_date in sorted(found)]

    def dividends(self, symbol: str) -> list[Dividend]:
        """Give all cash dividends of the symbol by ex-date; two amounts on one date stay two."""
        found: set[tuple[date, int]] = set()
        for row in self._actions(symbol, "dividends", "ex_dividend_date"):
            currency = row.get("currency") or "USD"  # old rows bear none: they are dollars
            dividend = _dividend(symbol, row)
            if currency != "USD":
                paid_in = told(currency)
                self._announce(f"{symbol}: dividend of {dividend.ex_date} in {paid_in} left out")
            elif dividend.amount == 0:
                self._announce(f"{symbol}: dividend of {dividend.ex_date} of nothing left out")
            else:
                found.add((dividend.ex_date, dividend.amount))
        return [Dividend(symbol=symbol, ex_date=day, amount=paid) for day, paid in sorted(found)]

    def _bar_pages(self, asked: _Asked) -> Iterator[BarPage]:
        self._granted.pop(asked.symbol, None)
        if asked.start >= asked.end:
            return
        asked, request, first = self._first_page(asked)
        self._granted[asked.symbol] = asked.start
        cap = (asked.end - asked.start).days + 10  # each page brings a later session
        after = -1
        for answer in self._pages(request, first, cap):
            page, last = _read_page(answer, asked, self._calendar, after)
            if last == after and answer.get("next_url"):
                raise DataError(f"polygon: a page for {asked.symbol} brings no later bar")
            after = last
            yield page

    def _first_page(self, asked: _Asked) -> tuple[_Asked, _Request, JsonObject]:
        """Ask for the first page, for a shorter span where the plan refuses the whole one."""
        request = _bars_request(asked)
        try:
            answer = self._http.get(*request)
        except PlanError:
            granted = asked._replace(start=self._today - timedelta(days=PLAN_DAYS))
            if not asked.start < granted.start < asked.end:
                raise
            self._announce(
                f"{asked.symbol}: the plan does not include {asked.start}..; "
                f"fetching from {granted.start}"
            )
            asked, request = granted, _bars_request(granted)
            answer = self._http.get(*request)
        if answer is None:
            raise DataError(f"polygon: no bars of {asked.symbol} are known (404)")
        return asked, request, answer

    def _actions(self, symbol: str, kind: str, date_field: str) -> Iterator[JsonObject]:
        """Give the rows of the new endpoint, or of the old one where there is no new one."""
        common = (("ticker", symbol), ("limit", str(_ACTION_LIMIT)))
        request = _Request(f"/stocks/v1/{kind}", (*common, ("sort", f"{date_field}.asc")))
        try:
            answer = self._http.get(*request)
        except PlanError:
            answer = None
        if answer is None:
            order = (("order", "asc"), ("sort", date_field))
            request = _Request(f"/v3/reference/{kind}", (*common, *order))
            answer = self._http.get(*request)
        if answer is None:
            raise DataError(f"polygon: no {kind} of {symbol} are known (404)")
        for page in self._pages(request, answer, _ACTION_PAGES):
            rows = _rows(page, f"{kind} of {symbol}")
            if not rows and page.get("next_url"):
                raise DataError(f"polygon: a page of {kind} of {symbol} brings nothing")
            for row in rows:
                if not isinstance(row, dict) or row.get("ticker") != symbol:
                    raise DataError(f"polygon: among {kind} of {symbol} stands {told(row)}")
                yield row

    def _pages(self, request: _Request, answer: JsonObject, cap: int) -> Iterator[JsonObject]:
        """Give the first answer and all that follow it by `next_url`."""
        seen = {request}
        while True:
            yield answer
            next_url = answer.get("next_url")
            if next_url in (None, ""):
                return
            request = _next_request(next_url)
            if request in seen or len(seen) >= cap:
                raise DataError(f"polygon: the pages do not end ({clean(request.path)})")
            seen.add(request)
            following = self._http.get(*request)
            if following is None:
                raise DataError(f"polygon: page {len(seen)} is missing ({clean(request.path)})")
            answer = following


def _next_request(next_url: object) -> _Request:
    """Read a `next_url` by its path and query only, so that it cannot lead to another host."""
    if isinstance(next_url, str) and _ADDRESS.fullmatch(next_url):
        with suppress(ValueError):  # a bracketed host that is none
            parts = urlsplit(next_url)
            pairs = parse_qsl(parts.query, keep_blank_values=True)
            if parts.path.startswith("/"):
                return _Request(parts.path, tuple(p for p in pairs if p[0].casefold() != "apikey"))
    raise DataError(f"polygon: next_url {told(next_url)} is not an address")


def _bars_request(asked: _Asked) -> _Request:
    ticker, last = quote(asked.symbol, safe=""), asked.end - timedelta(days=1)
    return _Request(
        f"/v2/aggs/ticker/{ticker}/range/1/day/{asked.start}/{last}",
        (("adjusted", "false"), ("sort", "asc"), ("limit", str(_BAR_LIMIT))),
    )


def _rows(answer: JsonObject, what: str) -> list[Any]:
    """Give the results: absent and null are none; a count that differs is an answer cut short."""
    rows = answer.get("results")
    if rows is None:
        rows = []
    if not isinstance(rows, list):
        raise DataError(f"polygon: the results for {what} are not a list")
    for name in ("resultsCount", "count"):
        count = answer.get(name, len(rows))
        if count != len(rows):
            raise DataError(
                f"polygon: {name} for {what} is {told(count)}, but {len(rows)} rows came"
            )
    return rows


def _read_page(
    answer: JsonObject, asked: _Asked, calendar: Calendar, after: int
) -> tuple[BarPage, int]:
    """Read a page whose bars all start after `after` (ms); give it with the start of its last."""
    symbol = asked.symbol
    results = _rows(answer, f"bars of {symbol}")
    if answer.get("ticker", None if results else symbol) != symbol:
        raise DataError(f"polygon: asked for {symbol}, got {told(answer.get('ticker'))}")
    if answer.get("adjusted") not in (None, False):
        raise DataError(f"polygon: asked for bars of {symbol} as traded, got adjusted ones")
    rows: list[tuple[int, ...]] = []
    rejected: list[Finding] = []
    for number, result in enumerate(results, start=1):
        when = f"row {number}"
        try:
            session, t = _session(result)
            when = session.isoformat()
            if t <= after:
                raise DataError(f"polygon: bars of {symbol} are out of order at {when}")
            after = t
            row = _bar(result, session, asked, calendar)
        except _UnbelievableError as why:
            rejected.append(Finding(symbol=symbol, when=when, reason=str(why)))
            continue
        if row[1] <= asked.now:
            rows.append(row)
    bars = from_rows("polygon", symbol, "1d", rows)
    delayed = answer["status"] == "DELAYED"
    return BarPage(bars=bars, rejected=tuple(rejected), delayed=delayed), after


def _session(row: object) -> tuple[date, int]:
    """Give the session of a daily row and its `t`, which is midnight in New York."""
    t = row.get("t") if isinstance(row, dict) else None
    if type(t) is not int or not 0 <= t < _HIGHEST_T:
        raise _UnbelievableError(f"t {told(t)} is not a time in milliseconds")
    moment = datetime.fromtimestamp(t // 1000, UTC).astimezone(_NEW_YORK)
    if t % 1000 or moment.time() != _MIDNIGHT:
        raise _UnbelievableError(f"t {t} is not midnight in New York")
    return moment.date(), t


def _bar(row: JsonObject, session: date, asked: _Asked, calendar: Calendar) -> tuple[int, ...]:
    """Read one row into the order of `bars.COLUMNS`."""
    if not asked.start <= session < asked.end:
        raise _UnbelievableError("outside the range asked for")
    index = calendar.find(session)
    if index is None:
        raise _UnbelievableError("the exchange was closed that day")
    opened, high, low, close = (_price(row, name) for name in "ohlc")
    if high < max(opened, low, close) or low > min(opened, close):
        raise _UnbelievableError(
            f"o {row['o']} h {row['h']} l {row['l']} c {row['c']} contradict each other"
        )
    volume = _number(row, "v", highest=_HIGHEST_VOLUME)
    if volume < 0:
        raise _UnbelievableError(f"v {volume} is negative")
    times = calendar.opens[index], calendar.closes[index]
    return (*times, opened, high, low, close, round(volume * MICROS))


def _price(row: JsonObject, name: str) -> int:
    """Read a price into micro-dollars, exactly."""
    price = _number(row, name, highest=_HIGHEST_PRICE)
    if price <= 0:
        raise _UnbelievableError(f"{name} {price} is not positive")
    micros = round(price * MICROS)
    if micros / MICROS != price:
        raise _UnbelievableError(f"{name} {price} is finer than a micro-dollar")
    return micros


def _number(row: JsonObject, name: str, *, highest: float) -> float:
    """Read a number of a credible size: no text, no truth value, no NaN, no infinity."""
    value = row.get(name)
    if type(value) is not int and type(value) is not float:
        raise _UnbelievableError(f"{name} {told(value)} is not a number")
    if not -highest < value < highest:
        raise _UnbelievableError(f"{name} {told(value)} is beyond belief")
    return value


def _action_date(symbol: str, row: JsonObject, name: str) -> date:
    value = row.get(name)
    try:
        return parse_date(value if isinstance(value, str) else "", field=name)
    except InputError:
        raise DataError(f"polygon: {name} {told(value)} of {symbol} is not a date") from None


def _action_number(symbol: str, row: JsonObject, name: str, *, highest: float) -> Decimal:
    """Read a number not below zero by its shortest decimal text, which is what was sent."""
    try:
        number = _number(row, name, highest=highest)
    except _UnbelievableError as why:
        raise DataError(f"polygon: {why} ({symbol})") from None
    if number < 0:
        raise DataError(f"polygon: {name} {number} is negative ({symbol})")
    return Decimal(repr(number))


def _split(symbol: str, row: JsonObject) -> Split:
    """Read a split; a ratio such as 1 : 1.5 becomes 2 : 3."""
    ex_date = _action_date(symbol, row, "execution_date")
    old, new = (
        Fraction(_action_number(symbol, row, name, highest=_HIGHEST_RATIO))
        for name in ("split_from", "split_to")
    )
    if not old or not new:
        raise DataError(f"polygon: the split of {symbol} on {ex_date} has a zero")
    scale = math.lcm(old.denominator, new.denominator)
    return Split(
        symbol=symbol, ex_date=ex_date, split_from=int(old * scale), split_to=int(new * scale)
    )


def _ratio(split: Split) -> Fraction:
    return Fraction(split.split_to, split.split_from)


def _dividend(symbol: str, row: JsonObject) -> Dividend:
    """Read a dividend into micro-dollars a share, finer amounts rounded half-even."""
    cash = _action_number(symbol, row, "cash_amount", highest=_HIGHEST_PRICE)
    amount = int((cash * MICROS).to_integral_value(rounding=ROUND_HALF_EVEN))
    ex_date = _action_date(symbol, row, "ex_dividend_date")
    return Dividend(symbol=symbol, ex_date=ex_date, amount=amount)
