"""What trading costs: commission and slippage, the same code for every simulated account."""

from __future__ import annotations

from algotrade.domain.money import BPS, MICROS, NANOS, divide_half_even, notional
from algotrade.record import NamedTuple


class CostModel(NamedTuple):
    """Commission by share, by trade and by value, with a minimum; slippage against the trader.

    commission_per_share, commission_per_trade, commission_minimum: micro-dollars; the minimum is
    of an order, however many fills it takes.
    commission_bps, slippage_bps: whole basis points of the value, of the price.
    volume_cap_bps: the part of a bar's volume that one account's orders may take.
    """

    commission_per_share: int = 5_000
    commission_per_trade: int = 0
    commission_bps: int = 0
    commission_minimum: int = 1 * MICROS
    slippage_bps: int = 5
    volume_cap_bps: int = 1_000

    def charge(self, quantity: int, price: int, *, first: bool = True) -> int:
        """Give the commission of `abs(quantity)` nano-shares before the minimum, micro-dollars.

        first: this is the order's first fill, which bears the commission of a trade.
        """
        size = abs(quantity)
        return (
            divide_half_even(size * self.commission_per_share, NANOS)
            + divide_half_even(notional(size, price) * self.commission_bps, BPS)
            + (self.commission_per_trade if first else 0)
        )

    def fee(self, charged: int, *, charged_before: int = 0, fee_before: int = 0) -> int:
        """Give what a fill costs: what its order is charged by now, less what was taken."""
        return max(self.commission_minimum, charged_before + charged) - fee_before

    def commission(self, quantity: int, price: int) -> int:
        """Give the commission of an order filled at once, micro-dollars."""
        return self.fee(self.charge(quantity, price))

    def fill_price(self, price: int, *, buying: bool) -> int:
        """Give the price after slippage, rounded to the micro-dollar against the trader."""
        if buying:
            return -(-price * (BPS + self.slippage_bps) // BPS)
        return max(1, price * (BPS - self.slippage_bps) // BPS)
