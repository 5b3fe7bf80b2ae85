"""What trading costs: commission and slippage, the same code for every simulated account."""

from __future__ import annotations

from dataclasses import dataclass

from algotrade.domain.money import BPS, MICROS, NANOS, divide_half_even, notional


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Commission by share, by trade and by value, with a minimum; slippage against the trader.

    commission_per_share, commission_per_trade, commission_minimum: micro-dollars.
    commission_bps, slippage_bps: whole basis points of the value, of the price.
    """

    commission_per_share: int = 5_000
    commission_per_trade: int = 0
    commission_bps: int = 0
    commission_minimum: int = 1 * MICROS
    slippage_bps: int = 5

    def commission(self, quantity: int, price: int) -> int:
        """Give the commission of `abs(quantity)` nano-shares at `price`, micro-dollars."""
        size = abs(quantity)
        charged = (
            divide_half_even(size * self.commission_per_share, NANOS)
            + divide_half_even(notional(size, price) * self.commission_bps, BPS)
            + self.commission_per_trade
        )
        return max(charged, self.commission_minimum)

    def fill_price(self, price: int, *, buying: bool) -> int:
        """Give the price after slippage, rounded to the micro-dollar against the trader."""
        if buying:
            return -(-price * (BPS + self.slippage_bps) // BPS)
        return max(1, price * (BPS - self.slippage_bps) // BPS)
