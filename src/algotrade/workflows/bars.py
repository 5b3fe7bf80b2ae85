"""Bars for people: as traded or adjusted, resampled, as they were known then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from algotrade.bars import Bars, adjusted
from algotrade.domain.timeframes import STORED, stored_base
from algotrade.domain.times import DAY, end_of_day, session_date
from algotrade.errors import DataError
from algotrade.store import bars as bar_store
from algotrade.workflows.models import no_bars

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from algotrade.workflows.context import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class BarsRequest:
    """Which bars: sessions [start, end], the last `tail` of them, as known at `as_of`."""

    symbol: str
    timeframe: str = "1d"
    start: date | None = None
    end: date | None = None
    tail: int | None = None
    as_of: int | None = None
    adjust: bool = False


def get_bars(ws: Workspace, request: BarsRequest) -> Bars:
    """Load bars as asked; the share basis of adjusted ones is that of the last bar."""
    stored = stored_base(request.timeframe)
    exact = stored == request.timeframe and request.start is None
    bars = bar_store.load_bars(
        ws.db,
        ws.source,
        request.symbol,
        stored,
        after=None if request.start is None else end_of_day(request.start) - DAY,
        until=_until(request),
        last=request.tail if exact else None,
        known_at=request.as_of,
    )
    if not len(bars):
        raise _none(ws, request.symbol, stored)
    if stored != request.timeframe:
        from algotrade.market.resample import resample

        calendar = ws.calendar(bars.ts_close[0] - 10 * DAY)
        bars = resample(bars, request.timeframe, calendar, now=request.as_of or ws.clock.now())
    if request.tail is not None:
        bars = bars.slice(max(0, len(bars) - request.tail), len(bars))
    return adjusted(bars) if request.adjust else bars


def export_bars(ws: Workspace, requests: Sequence[BarsRequest], path: Path) -> int:
    """Write bars to a file at once; an empty symbol stands for all that are stored."""
    from algotrade.export import write_bars

    wanted: list[BarsRequest] = []
    for request in requests:
        stored = bar_store.stored_symbols(ws.db, ws.source, stored_base(request.timeframe))
        names = [request.symbol] if request.symbol else stored
        wanted += [replace(request, symbol=name) for name in names]
    if not wanted:
        raise no_bars(ws, "any symbol")
    return write_bars((get_bars(ws, request) for request in wanted), path)


def _none(ws: Workspace, symbol: str, timeframe: str) -> DataError:
    """Say that there are no such bars, and which there are."""
    found = {name: bar_store.summary(ws.db, ws.source, symbol, name) for name in STORED}
    if stored := found[timeframe]:
        first, last = session_date(stored.first), session_date(stored.last)
        return DataError(
            f"no {timeframe} bars of {symbol} there and then; stored are {first} .. {last}",
            hint="another --from, --to or --as-of",
        )
    if any(found.values()):
        others = ", ".join(name for name in STORED if found[name])
        return DataError(
            f"no {timeframe} bars of {symbol} in the store, only {others}",
            hint=f"algotrade fetch {symbol} --timeframe {timeframe}",
        )
    return no_bars(ws, symbol)


def _until(request: BarsRequest) -> int | None:
    bounds = [ts for ts in (request.as_of, request.end and end_of_day(request.end)) if ts]
    return min(bounds) if bounds else None
