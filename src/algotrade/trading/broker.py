"""The simulated broker: an order is filled at the first price the market prints after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.orders import BUY, Fill, Order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.costs import CostModel
    from algotrade.trading.decision import Moment


class SimulatedBroker:
    """Keep waiting orders and fill them at the next open, with slippage and commission."""

    def __init__(self, costs: CostModel, waiting: Sequence[Order] = ()) -> None:
        self._costs = costs
        self._waiting = list(waiting)

    def submit(self, order: Order) -> None:
        """Take an order; it waits for the next price."""
        self._waiting.append(order)

    def cancel(self, order: Order) -> None:
        """Forget a waiting order."""
        self._waiting.remove(order)

    def on_bar(self, moment: Moment) -> list[Fill]:
        """Fill the symbol's orders that were placed before this bar opened.

        A bar without volume prints no price, and fills nothing.
        """
        ready = [
            order
            for order in self._waiting
            if order.symbol == moment.symbol
            and order.placed_at <= moment.ts_open
            and moment.volume > 0
        ]
        for order in ready:
            self._waiting.remove(order)
        return [self._fill(order, moment) for order in ready]

    def _fill(self, order: Order, moment: Moment) -> Fill:
        price = self._costs.fill_price(moment.open, buying=order.side == BUY)
        return Fill(
            order=order,
            ts=moment.ts_open,
            quantity=order.signed,
            price=price,
            fee=self._costs.commission(order.quantity, price),
        )
