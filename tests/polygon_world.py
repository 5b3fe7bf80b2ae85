"""A loopback Polygon with a source bound to it, under a clock that only sleeping moves."""

from __future__ import annotations

import json
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from algotrade.domain.times import to_ts
from algotrade.market import polygon_pacing
from algotrade.market.calendar import Calendar, exchange_calendar
from algotrade.market.polygon import PolygonSource
from algotrade.market.polygon_http import PolygonHttp
from algotrade.market.polygon_reference import PolygonReference
from algotrade.market.source import BarPage, PlanningSource, ReferenceSource, Span
from polygon_faults import Fault
from polygon_server import KEY, PolygonServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TODAY = date(2026, 11, 22)  # a Sunday; the last session was Friday the 20th
NOW = to_ts(datetime(2026, 11, 22, 12, tzinfo=UTC))
WHOLE = Span(start=date(2024, 11, 1), end=date(2026, 11, 21))
FRIDAY = Span(start=date(2026, 11, 20), end=date(2026, 11, 21))


@cache
def sessions() -> Calendar:
    return exchange_calendar(date(2024, 1, 2), date(2026, 12, 31))


@dataclass
class FakeTime:
    """A clock that only sleeping moves."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@dataclass
class World:
    server: PolygonServer
    http: PolygonHttp
    source: PlanningSource
    reference: ReferenceSource
    clock: FakeTime
    said: list[str]

    def bars(self, span: Span = WHOLE, timeframe: str = "1d") -> list[BarPage]:
        return list(self.source.bars("AAPL", timeframe, span))

    def targets(self) -> list[str]:
        return [call.target for call in self.server.calls]


@contextmanager
def world(
    server: PolygonServer,
    calendar: Calendar | None = None,
    *,
    now: int = NOW,
    base: str = "",
    key: str = KEY,
    rate: int = 0,
    deadline_s: float = 180.0,
    read_timeout_s: float = 30.0,
    monotonic: Callable[[], float] | None = None,
    on_wait: Callable[[float, str], None] | None = None,
) -> Iterator[World]:
    polygon_pacing.ACCOUNTS.clear()  # ports come again, and fake clocks disagree
    clock, said = FakeTime(), list[str]()
    with server:
        http = PolygonHttp(
            base=base or server.base,
            key=key,
            rate_per_minute=rate,
            deadline_s=deadline_s,
            read_timeout_s=read_timeout_s,
            announce=said.append,
            on_wait=on_wait,
            sleep=clock.sleep,
            monotonic=monotonic or clock.monotonic,
        )
        known = calendar or Calendar(day=array("q"), opens=array("q"), closes=array("q"))
        source = PolygonSource(http, known, today=TODAY, now=now, announce=said.append)
        try:
            yield World(server, http, source, PolygonReference(http, known), clock, said)
        finally:
            http.close()


def replying(answer: object) -> PolygonServer:
    """Give a server that answers this to every call."""
    return PolygonServer(faults=[Fault(kind="reply", value=json.dumps(answer))])


def micros(number: float) -> int:
    return int(Decimal(repr(number)) * 1_000_000)
