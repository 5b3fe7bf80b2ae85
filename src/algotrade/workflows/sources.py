"""Where market data come from in this run: the source, the calendar, and what calls cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from algotrade.domain.times import DAY, session_date, to_date, to_day
from algotrade.errors import InputError
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.store import readonly, records
from algotrade.workflows.context import CSV, POLYGON, check_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.market.polygon_http import PolygonHttp
    from algotrade.market.source import BarSource, PlanningSource
    from algotrade.workflows.context import Workspace

_CALENDAR_START = date(1990, 1, 1)
_CALENDAR_AHEAD = timedelta(days=400)
_CALENDAR_LEFT = 60  # days ahead below which the cached calendar is renewed


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A source; how many seconds so many calls take; who can plan calls, where they cost.

    calls_made: gives how many were made in this run, tries that failed among them.
    """

    source: BarSource
    eta: Callable[[int], float]
    calls_made: Callable[[], int]
    planner: PlanningSource | None


def open_feed(
    ws: Workspace,
    calendar: Calendar,
    *,
    on_wait: Callable[[float, str], None] | None = None,
) -> Feed:
    """Build the source of market data that the workspace lives on.

    on_wait: told before every longer wait, with its seconds and reason; without it, `say` is.
    """
    if ws.simulated:
        from algotrade.market.sample import SampleSource

        sample = SampleSource(calendar, now=ws.clock.now())
        return Feed(source=sample, eta=lambda _calls: 0.0, calls_made=lambda: 0, planner=None)
    if ws.source == CSV:
        raise InputError(
            "source csv is imported, not fetched", hint="algotrade import FILE_OR_FOLDER"
        )
    from algotrade.market.polygon import PolygonSource

    http = open_polygon(ws, on_wait=on_wait)
    now = ws.clock.now()
    source = PolygonSource(http, calendar, today=session_date(now), now=now, announce=ws.say)
    return Feed(source=source, eta=http.eta, calls_made=lambda: http.calls_made, planner=source)


def open_polygon(
    ws: Workspace,
    *,
    on_wait: Callable[[float, str], None] | None = None,
    deadline_s: float = 180.0,
) -> PolygonHttp:
    """Open the transport to Polygon with the key of the settings.

    deadline_s: for one call with its retries and waits.
    """
    from algotrade.market.polygon_http import PolygonHttp

    check_key(ws.settings, POLYGON)
    key = ws.settings.key
    assert key is not None  # noqa: S101  it was checked above
    return PolygonHttp(
        base=ws.settings.text("api_base"),
        key=key.reveal(),
        rate_per_minute=ws.settings.number("rate"),
        announce=ws.say,
        on_wait=on_wait,
        deadline_s=deadline_s,
    )


def ensure_calendar(ws: Workspace, *, save: bool = True) -> Calendar:
    """Give the exchange calendar, computing and caching it where it does not reach far enough."""
    today = to_date(ws.clock.now() // DAY)
    cached = ws.calendar()
    if len(cached) and cached.day[-1] >= to_day(today) + _CALENDAR_LEFT:
        return cached
    fresh = exchange_calendar(_CALENDAR_START, today + _CALENDAR_AHEAD)
    rows = list(zip(fresh.day, fresh.opens, fresh.closes, strict=True)) if save else []
    if save:  # a store that cannot be written is no reason not to know the calendar
        readonly.note(ws.db, lambda: records.save_sessions(ws.db, rows))
    return fresh
