"""Where a fetch stands, what it waits for and when it will be done, for who watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.workflows.sources import Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How long a call has to wait, and why."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a fetch stands: units done of all, what is asked now, why it waits, seconds left."""

    done: int
    total: int
    doing: str
    wait: Wait | None = None
    seconds_left: float = 0.0


class Board:
    """Count units and pass on what a person watching wants to know."""

    def __init__(self, progress: Callable[[Progress], None]) -> None:
        self._progress, self._done, self._total, self._doing = progress, 0, 0, ""
        self._feed: Feed | None = None
        self._ahead: dict[str, list[int]] = {}  # calls of each unit that is not done, by symbol
        self._began = 0  # calls made before the present unit

    def start(self, feed: Feed, calls: dict[str, list[int]]) -> None:
        """Take the expected calls of each symbol's units."""
        self._feed, self._ahead = feed, calls
        self._total = sum(map(len, calls.values()))

    def doing(self, what: str) -> None:
        """Tell what is asked now."""
        self._doing = what
        self._tell()

    def step(self, symbol: str) -> None:
        """Count a unit as done."""
        if self._feed is None:
            return
        self._done += 1
        self._ahead[symbol].pop(0)
        self._began = self._feed.calls_made()
        self._tell()

    def skip(self, symbol: str) -> None:
        """Count the units that are left of a symbol that failed as done."""
        while self._ahead[symbol]:
            self.step(symbol)

    def waits(self, seconds: float, why: str) -> None:
        """Tell that the provider or our pacing makes us wait; the call that waits is reserved."""
        self._tell(Wait(seconds=seconds, why=why))

    def _tell(self, wait: Wait | None = None) -> None:
        if self._feed is None:
            return
        left = sum(map(sum, self._ahead.values())) + self._began - self._feed.calls_made()
        seconds = self._feed.eta(max(left - 1, 0) if wait else left)
        self._progress(
            Progress(
                done=self._done,
                total=self._total,
                doing=self._doing,
                wait=wait,
                seconds_left=max(seconds, wait.seconds if wait else 0.0),
            )
        )
