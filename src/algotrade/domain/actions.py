"""Corporate actions as dated facts: splits, cash dividends, delistings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from datetime import date


class Split(NamedTuple):
    """From `ex_date` on, `split_from` old shares are `split_to` new ones (4-for-1: 1 and 4)."""

    symbol: str
    ex_date: date
    split_from: int
    split_to: int


class Dividend(NamedTuple):
    """Holders at the close before `ex_date` receive `amount` micro-dollars a share, as paid."""

    symbol: str
    ex_date: date
    amount: int


class Delisting(NamedTuple):
    """No market is left for the symbol: what is held is settled at `price` micro-dollars."""

    symbol: str
    price: int
