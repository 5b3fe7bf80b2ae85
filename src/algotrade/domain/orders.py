"""Orders: what was asked, under an identity made before anything is sent."""

from __future__ import annotations

from types import MappingProxyType

from algotrade.errors import LedgerError
from algotrade.record import NamedTuple

BUY = "buy"
SELL = "sell"

MARKET = "market"  # at the first price
LIMIT = "limit"  # at the limit or better
STOP = "stop"  # at the first price once the stop is touched
STOP_LIMIT = "stop-limit"  # a limit order once the stop is touched
ORDER_TYPES = (MARKET, LIMIT, STOP, STOP_LIMIT)

GTC = "gtc"  # good till cancelled
DAY = "day"  # for one session
TIMES_IN_FORCE = (GTC, DAY)

# states of an order's life; waiting is an accepted order that no price has met yet
INTENT = "intent"  # written down, its key made; nothing was sent
SUBMITTING = "submitting"  # about to be sent, or sent: a crash leaves it unknown
UNKNOWN = "unknown"  # the broker may or may not have it: looked up, never blindly sent again
REJECTED = "rejected"
ACCEPTED = "accepted"
TRIGGERED = "triggered"
PARTIAL = "partial"
FILLED = "filled"
CANCELLED = "cancelled"
EXPIRED = "expired"
OPEN_STATES = (INTENT, SUBMITTING, UNKNOWN, ACCEPTED, TRIGGERED, PARTIAL)
UNSURE_STATES = (SUBMITTING, UNKNOWN)  # the broker may or may not have the order

NEW = ""  # before the first state
_ENDS = (FILLED, CANCELLED, EXPIRED)
_TOLD = (ACCEPTED, REJECTED, PARTIAL, *_ENDS)  # what a broker may say of an order it was sent
ARROWS = MappingProxyType(
    {
        NEW: (INTENT, ACCEPTED),  # a simulated order is accepted in the transaction that asks
        INTENT: (SUBMITTING, PARTIAL, *_ENDS),
        SUBMITTING: (INTENT, UNKNOWN, *_TOLD),  # back to intent: it certainly was not sent
        UNKNOWN: (SUBMITTING, *_TOLD),
        ACCEPTED: (TRIGGERED, REJECTED, PARTIAL, *_ENDS),
        TRIGGERED: (PARTIAL, *_ENDS),
        PARTIAL: (PARTIAL, *_ENDS),
        # a fill may be told after the end, and is booked
        REJECTED: (PARTIAL, FILLED),
        CANCELLED: (CANCELLED, FILLED),
        EXPIRED: (EXPIRED, FILLED),
        FILLED: (),
    }
)

NEVER_SENT = "never sent"  # how the detail of an order begins that ended as an intent
GIVEN_UP = "not at the broker: given up by a person"

KEY_SHOWN = 10  # characters of the key that people see and type


class Order(NamedTuple):
    """An order for the prices after `placed_at`.

    key: 32 hex characters from the order's identity; the broker's client order id.
    quantity: nano-shares, positive. bar_ts: close of the decision bar.
    limit_price, stop_price: micro-dollars, of the types that have one.
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
    type: str = MARKET
    limit_price: int | None = None
    stop_price: int | None = None
    time_in_force: str = GTC

    @property
    def signed(self) -> int:
        """Give the quantity with its sign: bought positive."""
        return self.quantity if self.side == BUY else -self.quantity

    @property
    def id(self) -> str:
        """Give the short form of the key for people."""
        return self.key[:KEY_SHOWN]


class OpenOrder(NamedTuple):
    """An order that still waits, and what became of it so far.

    filled: nano-shares, positive. fills: how many. charged: commission before the minimum of an
    order, fee: commission taken, micro-dollars. triggered: its stop was touched.
    """

    order: Order
    filled: int = 0
    fills: int = 0
    charged: int = 0
    fee: int = 0
    triggered: bool = False

    @property
    def left(self) -> int:
        """Give what is not filled yet, nano-shares."""
        return self.order.quantity - self.filled

    @property
    def signed_left(self) -> int:
        """Give what is not filled yet with its sign: to be bought positive."""
        return self.left if self.order.side == BUY else -self.left


class Fill(NamedTuple):
    """(Part of) an order met at a price; `quantity` is signed, `fee` in micro-dollars.

    charged: the part of the commission that the order's minimum is measured against.
    """

    order: Order
    ts: int
    quantity: int
    price: int
    fee: int
    charged: int = 0


class OrderEvent(NamedTuple):
    """Another change of an order's state than a fill: triggered, expired."""

    order: Order
    ts: int
    state: str
    detail: str = ""


def check_arrow(key: str, before: str, after: str) -> None:
    """Raise where an order's life has no such step."""
    if after not in ARROWS.get(before, ()):
        raise LedgerError(
            f"order {key[:KEY_SHOWN]} cannot go from {before or 'nothing'} to {after}",
            hint="algotrade orders --all shows its life; algotrade reconcile compares it",
        )


def state_after_fill(before: str, left: int) -> str:
    """Give the state once a fill is booked; an order that has ended stays ended unless filled.

    left: nano-shares that are still to be filled.
    """
    if left == 0:
        return FILLED
    return before if before in (CANCELLED, EXPIRED) else PARTIAL


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
