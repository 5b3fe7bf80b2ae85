"""Daily and minute bars, splits and dividends from Polygon (now Massive): every page checked.

Bars are asked for unadjusted. A page that contradicts itself, the request or the page before it is
a DataError, so that part of an answer is never taken for the whole; a row that cannot be believed
is set aside as a finding.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from algotrade.domain.actions import Dividend, Split
from algotrade.errors import DataError, InputError, PlanError, shown
from algotrade.market.polygon_actions import (
    ACTION_PAGES,
    DATE_FIELDS,
    new_request,
    old_request,
    ratio,
    read_dividend,
    read_split,
)
from algotrade.market.polygon_bars import TIMESPANS, Asked, read_page
from algotrade.market.polygon_paging import pages, results_of
from algotrade.market.polygon_words import told
from algotrade.market.source import PlannedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from algotrade.market.calendar import Calendar
    from algotrade.market.polygon_http import JsonObject, PolygonHttp
    from algotrade.market.source import BarPage, Span

PLAN_DAYS = 729  # the free plan's two years, with a day in hand


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
        asked for. now: microseconds UTC; a bar that closes later is still forming, so left out.
        """
        self._http, self._calendar = http, calendar
        self._today, self._now, self._announce = today, now, announce
        self._granted: dict[str, date] = {}

    def bars(self, symbol: str, timeframe: str, span: Span) -> Iterator[BarPage]:
        """Give the bars of the New York days in `span`; complete only if no exception ends it.

        timeframe: `1d`, or `1m` with the minutes of all hours in which there was a trade.
        """
        return self._bar_pages(self._asked(symbol, timeframe, span))

    def granted_start(self, symbol: str) -> date | None:
        """Give the first session that the last bars() of the symbol could ask for under the plan.

        None before its first page has come, and where nothing had to be asked.
        """
        return self._granted.get(symbol)

    def splits(self, symbol: str) -> list[Split]:
        """Give all splits of the symbol by ex-date, as whole-number ratios."""
        found: dict[date, Split] = {}
        for row in self._actions(symbol, "splits"):
            split = read_split(symbol, row)
            known = found.setdefault(split.ex_date, split)
            if ratio(known) != ratio(split):
                raise DataError(f"polygon: {symbol} has two different splits on {split.ex_date}")
        return [found[ex_date] for ex_date in sorted(found)]

    def dividends(self, symbol: str) -> list[Dividend]:
        """Give all cash dividends of the symbol by ex-date; two amounts on one date stay two."""
        found: set[tuple[date, int]] = set()
        for row in self._actions(symbol, "dividends"):
            currency = row.get("currency") or "USD"  # old rows bear none: they are dollars
            dividend = read_dividend(symbol, row)
            if currency != "USD":
                paid_in = told(currency)
                self._announce(f"{symbol}: dividend of {dividend.ex_date} in {paid_in} left out")
            elif dividend.amount == 0:
                self._announce(f"{symbol}: dividend of {dividend.ex_date} of nothing left out")
            else:
                found.add((dividend.ex_date, dividend.amount))
        return [Dividend(symbol=symbol, ex_date=day, amount=paid) for day, paid in sorted(found)]

    def plan(self, symbol: str, timeframe: str, span: Span) -> list[PlannedCall]:
        """Give the calls that bars() would begin with, asking nothing; none for an empty span.

        Their pages are those of a stock that trades in every minute of every hour.
        """
        asked = self._asked(symbol, timeframe, span)
        if asked.start >= asked.end:
            return []
        count = asked.pages_expected(self._calendar)
        return [PlannedCall(target=asked.request().target, pages=count)]

    def plan_actions(self, symbol: str) -> list[PlannedCall]:
        """Give the calls that splits() and dividends() would begin with, asking nothing."""
        return [
            PlannedCall(target=new_request(symbol, kind).target, pages=1) for kind in DATE_FIELDS
        ]

    def _asked(self, symbol: str, timeframe: str, span: Span) -> Asked:
        if timeframe not in TIMESPANS:
            raise InputError(
                f"polygon bars of {shown(timeframe)} are not supported",
                hint=f"use one of {', '.join(TIMESPANS)}",
            )
        end = min(span.end, self._today + timedelta(days=1))
        return Asked(symbol, timeframe, span.start, end, self._now)

    def _bar_pages(self, asked: Asked) -> Iterator[BarPage]:
        self._granted.pop(asked.symbol, None)
        if asked.start >= asked.end:
            return
        asked, first = self._first_page(asked)
        self._granted[asked.symbol] = asked.start
        after = -1
        for answer in pages(self._http, asked.request(), first, cap=asked.page_cap()):
            page, last = read_page(answer, asked, self._calendar, after)
            if last == after and answer.get("next_url"):
                raise DataError(f"polygon: a page for {asked.symbol} brings no later bar")
            after = last
            answer.pop("results", None)  # a page of minutes is heavy, and the next one comes
            yield page

    def _first_page(self, asked: Asked) -> tuple[Asked, JsonObject]:
        """Ask for the first page, for a shorter span where the plan refuses the whole one."""
        try:
            answer = self._http.get(*asked.request())
        except PlanError:
            granted = asked._replace(start=self._today - timedelta(days=PLAN_DAYS))
            if not asked.start < granted.start < asked.end:
                raise
            self._announce(
                f"{asked.symbol}: the plan does not include {asked.start}..; "
                f"fetching from {granted.start}"
            )
            asked = granted
            answer = self._http.get(*asked.request())
        if answer is None:
            raise DataError(f"polygon: no bars of {asked.symbol} are known (404)")
        return asked, answer

    def _actions(self, symbol: str, kind: str) -> Iterator[JsonObject]:
        """Give the rows of the new endpoint, or of the old one where there is no new one."""
        request = new_request(symbol, kind)
        try:
            answer = self._http.get(*request)
        except PlanError:
            answer = None
        if answer is None:
            request = old_request(symbol, kind)
            answer = self._http.get(*request)
        if answer is None:
            raise DataError(f"polygon: no {kind} of {symbol} are known (404)")
        for page in pages(self._http, request, answer, cap=ACTION_PAGES):
            rows = results_of(page, f"{kind} of {symbol}")
            if not rows and page.get("next_url"):
                raise DataError(f"polygon: a page of {kind} of {symbol} brings nothing")
            for row in rows:
                if not isinstance(row, dict) or row.get("ticker") != symbol:
                    raise DataError(f"polygon: among {kind} of {symbol} stands {told(row)}")
                yield row
