"""The exchange calendar (XNYS): sessions with their opening and closing instants.

exchange_calendars is slow to import (pandas), so its answer is cached in the store by the workflow
that fetches; light commands read the `Calendar` below, which is plain arrays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algotrade.domain.times import session_date, to_date, to_day
from algotrade.errors import DataError

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Sessions in order: `day` (days since 1970), `opens` and `closes` (microseconds UTC)."""

    day: array[int]
    opens: array[int]
    closes: array[int]

    def __len__(self) -> int:
        return len(self.day)

    def find(self, session: date) -> int | None:
        """Give the index of a session date, or None where the exchange is closed that day."""
        self._check_covers(to_day(session))
        index = bisect_left(self.day, to_day(session))
        return index if index < len(self.day) and self.day[index] == to_day(session) else None

    def last_at_or_before(self, day: int) -> int:
        """Give the index of the newest session on or before a day; -1 where there is none."""
        return bisect_right(self.day, day) - 1

    def last_closed(self, ts: int) -> int:
        """Give the index of the newest session that is complete at `ts`."""
        index = bisect_right(self.closes, ts) - 1
        if index < 0 or index + 1 >= len(self.closes):
            raise DataError(
                f"the stored exchange calendar does not cover {session_date(ts)}",
                hint="algotrade fetch SYMBOL renews it",
            )
        return index

    def is_open(self, ts: int) -> bool:
        """Tell whether regular trading is going on at `ts`."""
        index = bisect_right(self.opens, ts) - 1
        return index >= 0 and ts < self.closes[index]

    def _check_covers(self, day: int) -> None:
        if not self.day or not self.day[0] <= day <= self.day[-1]:
            raise DataError(
                f"the stored exchange calendar does not cover {to_date(day)}",
                hint="algotrade fetch SYMBOL renews it",
            )


def exchange_calendar(start: date, end: date) -> Calendar:
    """Build the XNYS calendar for [start, end] from exchange_calendars; slow to import."""
    import exchange_calendars
    import numpy as np

    xnys = exchange_calendars.get_calendar("XNYS", start=start.isoformat(), end=end.isoformat())

    def column(values: object) -> array[int]:
        return array("q", np.asarray(values, dtype="datetime64[us]").astype(np.int64).tolist())

    days = np.asarray(xnys.sessions.values, dtype="datetime64[D]").astype(np.int64)
    return Calendar(
        day=array("q", days.tolist()),
        opens=column(xnys.schedule["open"].dt.tz_localize(None).to_numpy()),
        closes=column(xnys.schedule["close"].dt.tz_localize(None).to_numpy()),
    )
