"""The one file that reads the clock; everything else is given its time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Something that knows what time it is."""

    def now(self) -> int:
        """Give the present in microseconds UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Give the present in microseconds UTC."""
        return time.time_ns() // 1000


class FixedClock:
    """A clock that stands still: simulated time, rehearsals, tests."""

    def __init__(self, ts: int) -> None:
        self._ts = ts

    def now(self) -> int:
        """Give the fixed instant in microseconds UTC."""
        return self._ts


def monotonic() -> float:
    """Give seconds of a clock that never goes back, for deadlines and pacing."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def local_time(seconds_ahead: float) -> str:
    """Give the wall-clock time so many seconds from now, as a person here reads it."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() + seconds_ahead))
