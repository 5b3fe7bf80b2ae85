"""What a source of market data can do; the sample and Polygon are two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from algotrade.bars import Bars, Finding
    from algotrade.domain.actions import Dividend, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Sessions [start, end): `end` itself is not included."""

    start: date
    end: date


@dataclass(frozen=True, slots=True, kw_only=True)
class BarPage:
    """A page of bars, those that were set aside, and whether the provider calls it delayed."""

    bars: Bars
    rejected: tuple[Finding, ...] = ()
    delayed: bool = False


class BarSource(Protocol):
    """A source of bars, splits and dividends, all as traded and as paid."""

    name: str

    def bars(self, symbol: str, timeframe: str, span: Span) -> Iterator[BarPage]:
        """Give the bars of the sessions in `span`, in time order, page by page."""
        ...

    def granted_start(self, symbol: str) -> date | None:
        """Give the first session the source would answer for in the last `bars`, if it said."""
        ...

    def splits(self, symbol: str) -> list[Split]:
        """Give all known splits of the symbol, by ex-date."""
        ...

    def dividends(self, symbol: str) -> list[Dividend]:
        """Give all known cash dividends of the symbol, by ex-date."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """A call that would be made: path and query without the key, and how many pages it may be."""

    target: str
    pages: int


class PlanningSource(BarSource, Protocol):
    """A source whose calls cost something, so that it can tell them beforehand."""

    def plan(self, symbol: str, timeframe: str, span: Span) -> list[PlannedCall]:
        """Give the calls that `bars` would begin with, asking nothing."""
        ...

    def plan_actions(self, symbol: str) -> list[PlannedCall]:
        """Give the calls that `splits` and `dividends` would begin with, asking nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerDetails:
    """What stands behind a symbol; `kind` is the provider's word, such as CS or ETF."""

    symbol: str
    name: str
    active: bool
    delisted: date | None
    kind: str | None
    listed: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketStatus:
    """The market as the provider sees it; `state` is open, extended-hours or closed.

    ts: the provider's clock, microseconds UTC.
    """

    state: str
    before_hours: bool
    after_hours: bool
    ts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holiday:
    """A coming day without a whole session; `opens` and `closes` (microseconds) of a short one."""

    session: date
    name: str
    opens: int | None
    closes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A price in micro-dollars and the instant it stands for, microseconds UTC.

    kind: snapshot, trade or previous close. delayed: the provider says it is not of this moment.
    """

    symbol: str
    price: int
    ts: int
    kind: str
    delayed: bool


class ReferenceSource(Protocol):
    """A source of what is known about symbols and the market besides its history."""

    def details(self, symbol: str) -> TickerDetails | None:
        """Tell what stands behind a symbol, delisted ones too; None where nobody knows it."""
        ...

    def market_status(self) -> MarketStatus:
        """Tell whether the market is open now."""
        ...

    def holidays(self) -> list[Holiday]:
        """Give the coming days without a whole session, by date."""
        ...

    def quote(self, symbol: str) -> Quote | None:
        """Give the newest price that the account may see; None where there is none."""
        ...
