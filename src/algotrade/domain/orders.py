"""Orders: what was asked, under an identity made before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

BUY = "buy"
SELL = "sell"

# states of an order's life; waiting is an accepted order that no price has met yet
ACCEPTED = "accepted"
FILLED = "filled"
CANCELLED = "cancelled"
OPEN_STATES = (ACCEPTED,)

KEY_SHOWN = 10  # characters of the key that people see and type


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A market order for the first price after `placed_at`.

    key: 32 hex characters from the order's identity; the broker's client order id.
    quantity: nano-shares, positive. bar_ts: close of the decision bar.
    """

    key: str
    account: str
    strategy: str
    symbol: str
    side: str
    quantity: int
    bar_ts: int
    placed_at: int
    client_id: str

    @property
    def signed(self) -> int:
        """Give the quantity with its sign: bought positive."""
        return self.quantity if self.side == BUY else -self.quantity

    @property
    def id(self) -> str:
        """Give the short form of the key for people."""
        return self.key[:KEY_SHOWN]


class Fill(NamedTuple):
    """(Part of) an order met at a price; `quantity` is signed, `fee` in micro-dollars."""

    order: Order
    ts: int
    quantity: int
    price: int
    fee: int


def order_key(
    account: str, strategy: str, symbol: str, bar_ts: int, client_id: str, request: str = ""
) -> str:
    """Derive the key from the order's identity.

    A target order is one per (account, strategy, symbol, bar, client id); an order for one
    direction adds `request`, its side and quantity.
    """
    import hashlib

    identity = "|".join((account, strategy, symbol, str(bar_ts), client_id, request))
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
