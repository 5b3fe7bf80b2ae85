"""Pages of bars: columns at once where all of a page is well, row by row where something is not.

Both ways must agree; the second is the rule, and gives the words. Prices pass through a double,
which is exact to the micro-dollar below 9e9 dollars and is checked to be.
"""

from __future__ import annotations

from array import array
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from algotrade.bars import COLUMNS, Bars, Finding, from_rows
from algotrade.domain.money import MICROS
from algotrade.domain.timeframes import ONE_DAY, ONE_MINUTE
from algotrade.domain.times import MINUTE, iso, to_date, to_day
from algotrade.errors import DataError
from algotrade.market import polygon_fields as fields
from algotrade.market.polygon_paging import Request, results_of
from algotrade.market.polygon_words import told
from algotrade.market.source import BarPage
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from algotrade.market.calendar import Calendar
    from algotrade.market.polygon_http import JsonObject

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

TIMESPANS = {ONE_DAY: "day", ONE_MINUTE: "minute"}
BAR_LIMIT = 50_000

_NEW_YORK = ZoneInfo("America/New_York")
_MIDNIGHT = time()
_MINUTE_MS = 60_000
_HOURS_TRADED = 16  # from 04:00 to 20:00 New York
_FEW = 500  # rows that are read sooner than numpy is imported
_EXACT_SHARES = 9e9  # a whole number of shares below it is exact in micro-shares as a double


class Asked(NamedTuple):
    """What bars were asked for: New York days [start, end) of one symbol, complete at `now`."""

    symbol: str
    timeframe: str
    start: date
    end: date
    now: int

    def request(self) -> Request:
        """Give the call for the first page."""
        ticker, last = quote(self.symbol, safe=""), self.end - timedelta(days=1)
        return Request(
            f"/v2/aggs/ticker/{ticker}/range/1/{TIMESPANS[self.timeframe]}/{self.start}/{last}",
            (("adjusted", "false"), ("sort", "asc"), ("limit", str(BAR_LIMIT))),
        )

    def page_cap(self) -> int:
        """Give a number of pages no honest answer needs: one a session, or an hour of minutes."""
        days = (self.end - self.start).days
        return 10 + (days if self.timeframe == ONE_DAY else days * _HOURS_TRADED)

    def pages_expected(self, calendar: Calendar) -> int:
        """Estimate the pages of a stock that trades in every minute."""
        first, stop = to_day(self.start) - 1, to_day(self.end) - 1
        sessions = calendar.last_at_or_before(stop) - calendar.last_at_or_before(first)
        bars = sessions * (1 if self.timeframe == ONE_DAY else _HOURS_TRADED * 60)
        return max(1, -(-bars // BAR_LIMIT))


def read_page(
    answer: JsonObject, asked: Asked, calendar: Calendar, after: int
) -> tuple[BarPage, int]:
    """Read a page whose bars all start after `after` (ms); give it with the start of its last."""
    symbol = asked.symbol
    results = results_of(answer, f"bars of {symbol}")
    if answer.get("ticker", None if results else symbol) != symbol:
        raise DataError(f"polygon: asked for {symbol}, got {told(answer.get('ticker'))}")
    if answer.get("adjusted") not in (None, False):
        raise DataError(f"polygon: asked for bars of {symbol} as traded, got adjusted ones")
    rejected: tuple[Finding, ...] = ()
    bars = read_whole(results, asked, calendar, after) if len(results) >= _FEW else None
    if bars is None:
        bars, rejected, after = read_rows(results, asked, calendar, after)
    else:
        after = results[-1]["t"]
    bars = bars.slice(0, _complete(bars, asked.now))
    return BarPage(bars=bars, rejected=rejected, delayed=answer["status"] == "DELAYED"), after


def _complete(bars: Bars, now: int) -> int:
    """Count the bars that are complete; any others are the last."""
    count = len(bars)
    while count and bars.ts_close[count - 1] > now:
        count -= 1
    return count


# --- row by row


def read_rows(
    results: list[Any], asked: Asked, calendar: Calendar, after: int
) -> tuple[Bars, tuple[Finding, ...], int]:
    """Read row by row: believable bars, findings on the others, and the start of the last row."""
    rows: list[tuple[int, ...]] = []
    rejected: list[Finding] = []
    for position, result in enumerate(results, start=1):
        when = f"row {position}"
        try:
            session, t = _place(result, asked.timeframe)
            when = session.isoformat() if asked.timeframe == ONE_DAY else iso(t * 1_000)
            if t <= after:
                raise DataError(f"polygon: bars of {asked.symbol} are out of order at {when}")
            after = t
            rows.append(_bar(result, session, t, asked, calendar))
        except ValueError as why:
            rejected.append(Finding(symbol=asked.symbol, when=when, reason=str(why)))
    return from_rows("polygon", asked.symbol, asked.timeframe, rows), tuple(rejected), after


def _place(row: object, timeframe: str) -> tuple[date, int]:
    """Give the New York day of a row and its `t`: midnight there, or a whole minute."""
    t = fields.milliseconds(row, "t")
    moment = datetime.fromtimestamp(t // 1_000, UTC).astimezone(_NEW_YORK)
    if timeframe == ONE_MINUTE:
        if t % _MINUTE_MS:
            raise ValueError(f"t {t} is not a whole minute")
    elif t % 1_000 or moment.time() != _MIDNIGHT:
        raise ValueError(f"t {t} is not midnight in New York")
    return moment.date(), t


def _bar(
    row: JsonObject, session: date, t: int, asked: Asked, calendar: Calendar
) -> tuple[int, ...]:
    """Read one row into the order of `bars.COLUMNS`."""
    if not asked.start <= session < asked.end:
        raise ValueError("outside the range asked for")
    index = calendar.find(session)
    if index is None:
        raise ValueError("the exchange was closed that day")
    opened, high, low, close = (fields.price(row, name) for name in "ohlc")
    if high < max(opened, low, close) or low > min(opened, close):
        raise ValueError(
            f"o {row['o']} h {row['h']} l {row['l']} c {row['c']} contradict each other"
        )
    volume = fields.number(row, "v", highest=fields.HIGHEST_VOLUME)
    if volume < 0:
        raise ValueError(f"v {volume} is negative")
    times = calendar.opens[index], calendar.closes[index]
    if asked.timeframe == ONE_MINUTE:
        times = t * 1_000, t * 1_000 + MINUTE
    return (*times, opened, high, low, close, round(volume * MICROS))


# --- all at once


def read_whole(results: list[Any], asked: Asked, calendar: Calendar, after: int) -> Bars | None:
    """Read all rows as columns; None where a single one is not well, or would make an error."""
    try:
        columns = [[row[name] for row in results] for name in "tohlcv"]
    except (KeyError, TypeError):  # a field is missing, or a row is no object
        return None
    kinds = [set(map(type, column)) for column in columns]
    if kinds[0] != {int} or not set().union(*kinds) <= {int, float}:
        return None
    try:
        times = _times(columns[0], asked, calendar, after)
        values = _values(columns[1:5])
        volume = _volume(columns[5], kinds[5])
    except OverflowError:  # an integer beyond 64 bits, or beyond any double
        return None
    if times is None or values is None or volume is None:
        return None
    shaped = (array("q", column.tobytes()) for column in (*times, *values, volume))
    named = dict(zip(COLUMNS, shaped, strict=True))
    symbol, timeframe = asked.symbol, asked.timeframe
    return Bars(source="polygon", symbol=symbol, timeframe=timeframe, splits=(), **named)


def _times(
    column: list[int], asked: Asked, calendar: Calendar, after: int
) -> tuple[Integers, Integers] | None:
    """Give ts_open and ts_close where all `t` are in order, on the grid, and in a session."""
    import numpy as np

    t = np.array(column, dtype=np.int64)
    first = to_day(asked.start)
    midnights = np.array(_midnights(first, to_day(asked.end)), dtype=np.int64)
    if not (t[0] > after and (np.diff(t) > 0).all() and len(calendar)):
        return None
    if not (midnights[0] <= t[0] and t[-1] < midnights[-1]):
        return None
    place = np.searchsorted(midnights, t, side="right") - 1
    sessions = np.frombuffer(calendar.day, dtype=np.int64)
    index = np.searchsorted(sessions, place + first).clip(max=len(sessions) - 1)
    on_grid = t == midnights[place] if asked.timeframe == ONE_DAY else t % _MINUTE_MS == 0
    if not (on_grid & (sessions[index] == place + first)).all():
        return None
    if asked.timeframe == ONE_MINUTE:
        return t * 1_000, t * 1_000 + MINUTE
    opens, closes = (np.frombuffer(at, dtype=np.int64) for at in (calendar.opens, calendar.closes))
    return opens[index], closes[index]


@lru_cache(maxsize=32)
def _midnights(first: int, last: int) -> tuple[int, ...]:
    """Give the milliseconds at which the New York days [first, last] begin."""
    return tuple(
        int(datetime.combine(to_date(day), _MIDNIGHT, _NEW_YORK).timestamp()) * 1_000
        for day in range(first, last + 1)
    )


def _values(columns: list[list[float]]) -> list[Integers] | None:
    """Give o, h, l, c in micro-dollars where all are exact and do not contradict each other."""
    import numpy as np

    found: list[Floats] = []
    for column in columns:
        dollars = np.array(column, dtype=np.float64)
        micros = np.rint(dollars * MICROS)
        believed = (dollars > 0) & (dollars < fields.HIGHEST_PRICE) & (micros / MICROS == dollars)
        if not believed.all():
            return None
        found.append(micros)
    opened, high, low, close = found
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    if not ((high >= top) & (low <= bottom)).all():
        return None
    return [micros.astype(np.int64) for micros in found]


def _volume(column: list[float], kinds: set[type]) -> Integers | None:
    """Give the volume in micro-shares where all of it is believable."""
    import numpy as np

    shares = np.array(column, dtype=np.float64)
    if not ((shares >= 0) & (shares < fields.HIGHEST_VOLUME)).all():
        return None
    if int in kinds and shares.max() >= _EXACT_SHARES:
        return np.array([round(volume * MICROS) for volume in column], dtype=np.int64)
    return np.rint(shares * MICROS).astype(np.int64)
