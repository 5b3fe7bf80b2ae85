"""A price of this moment: what it is, of when, and what kind of print it comes from."""

from __future__ import annotations

from algotrade.record import NamedTuple


class LivePrice(NamedTuple):
    """A symbol's newest price in micro-dollars, and the instant it stands for.

    ts: microseconds UTC. kind: second, minute, snapshot, trade, previous close or stored bar.
    delayed: the provider shows it about 15 minutes late. bid, ask: micro-dollars where they came
    with it. low_band, high_band: the exchange's price band (limit up, limit down), where known.
    """

    symbol: str
    price: int
    ts: int
    kind: str
    delayed: bool = False
    bid: int | None = None
    ask: int | None = None
    low_band: int | None = None
    high_band: int | None = None
