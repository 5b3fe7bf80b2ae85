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
    """A source of daily bars, splits and dividends, all as traded and as paid."""

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
