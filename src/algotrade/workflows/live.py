"""Prices of this moment for whoever watches: the provider's where it has some, else stored ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.live import LivePrice
from algotrade.domain.times import session_day, to_day
from algotrade.errors import SecretError
from algotrade.store import actions as action_store
from algotrade.store import bars as bar_store
from algotrade.store import records
from algotrade.workflows.context import DAILY, POLYGON

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from algotrade.market.live import LiveFeed
    from algotrade.market.polygon_http import PolygonHttp
    from algotrade.workflows.context import Workspace

STORED = "stored"
_OPEN_PAUSE, _CLOSED_PAUSE = 0.5, 30.0  # between rounds of asking, beside our own pacing
_DEADLINE_S = 10.0  # of one call: an older price is of no use


def is_live(ws: Workspace) -> bool:
    """Tell whether prices of this moment can be had: not of the sample, nor of imported files."""
    return ws.source == POLYGON and ws.settings.text("watch.feed") != STORED


def open_live(ws: Workspace, symbols: Sequence[str]) -> LiveFeed:
    """Build the feed of current prices; it begins with `start`."""
    from algotrade.market.polygon_live import PolygonLive
    from algotrade.market.polygon_ws import addresses

    key = ws.settings.key
    if key is None:
        raise SecretError(
            "current prices need an API key and none is set",
            hint="set POLYGON_API_KEY or MASSIVE_API_KEY, or key_file; or watch.feed = stored",
        )
    asked = ws.settings.text("watch.feed")
    calendar, clock = ws.calendar(), ws.clock

    def pause() -> float:
        return _OPEN_PAUSE if calendar.is_open(clock.now()) else _CLOSED_PAUSE

    streams = addresses(ws.settings.text("watch.stream"), ws.settings.text("api_base"))
    return PolygonLive(
        lambda note: _open_http(ws._replace(say=note)),
        calendar,
        symbols,
        key=key.reveal(),
        streams=streams if asked in ("auto", "stream") else (),
        every_s=pause,
    )


def ask_once(ws: Workspace, symbols: Sequence[str]) -> dict[str, LivePrice]:
    """Ask for current prices once, without a thread; for a single look."""
    from algotrade.market.polygon_poll import PolygonPoll

    http = _open_http(ws)
    try:
        found = PolygonPoll(http, ws.calendar()).round(symbols)
        return {price.symbol: price for price in found}
    finally:
        http.close()


def stored_prices(ws: Workspace, symbols: Iterable[str]) -> dict[str, LivePrice]:
    """Give the newest stored close of each symbol that has one."""
    found = {}
    for symbol in symbols:
        bars = bar_store.load_bars(
            ws.db, ws.source, symbol, DAILY, until=ws.clock.now() if ws.simulated else None, last=1
        )
        if len(bars):
            found[symbol] = LivePrice(symbol, bars.close[-1], bars.ts_close[-1], "stored bar")
    return found


def pending_splits(ws: Workspace, symbols: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Give as (new, old) shares the splits that the market has made and the ledger has not yet.

    A price of today is brought into the ledger's share basis by new / old.
    """
    settled = records.settled_until(ws.db, ws.account)
    today = session_day(ws.clock.now())
    found = {}
    for symbol in symbols:
        since = session_day(settled[symbol]) if symbol in settled else today
        new = old = 1
        for split in action_store.load_splits(ws.db, ws.source, symbol):
            if since < to_day(split.ex_date) <= today:
                new, old = new * split.split_to, old * split.split_from
        if new != old:
            found[symbol] = (new, old)
    return found


def overlaid(
    stored: Mapping[str, LivePrice],
    live: Mapping[str, LivePrice],
    splits: Mapping[str, tuple[int, int]],
) -> dict[str, LivePrice]:
    """Give the newer of the stored and the live price of each symbol, in the ledger's basis."""
    found = dict(stored)
    for symbol, price in live.items():
        if symbol in found and found[symbol].ts > price.ts:
            continue
        new, old = splits.get(symbol, (1, 1))
        found[symbol] = price if new == old else _rebased(price, new, old)
    return found


def _rebased(price: LivePrice, new: int, old: int) -> LivePrice:
    def scaled(value: int | None) -> int | None:
        return None if value is None else value * new // old

    return price._replace(
        price=price.price * new // old,
        bid=scaled(price.bid),
        ask=scaled(price.ask),
        low_band=scaled(price.low_band),
        high_band=scaled(price.high_band),
    )


def _open_http(ws: Workspace) -> PolygonHttp:
    from algotrade.workflows.sources import open_polygon

    return open_polygon(ws, on_wait=lambda _seconds, _why: None, deadline_s=_DEADLINE_S)
