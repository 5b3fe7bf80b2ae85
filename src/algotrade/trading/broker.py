"""The simulated broker: an order is filled at the first price the market prints after it.

A bar tells its open before the rest, and nothing of the path in between; what is not certain from
its four prices is decided against the trader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotrade.domain.money import BPS, NANOS
from algotrade.domain.orders import (
    BUY,
    DAY,
    EXPIRED,
    LIMIT,
    MARKET,
    STOP,
    TRIGGERED,
    Fill,
    OpenOrder,
    Order,
    OrderEvent,
)
from algotrade.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from algotrade.domain.costs import CostModel
    from algotrade.trading.decision import Moment

_NANOS_IN_MICRO = 1_000  # nano-shares in a micro-share of volume


class SimulatedBroker:
    """Meet waiting orders with the next bar: slippage, commission, a part of its volume."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs

    def submit(self, order: Order) -> None:
        """Take an order; it waits in the account's own state."""

    def cancel(self, order: Order) -> None:
        """Forget a waiting order; the account's state does."""

    def on_bar(self, moment: Moment, waiting: Sequence[OpenOrder]) -> list[Fill | OrderEvent]:
        """Meet the symbol's orders that were placed before this bar opened, oldest first.

        A bar without volume prints no price, and fills nothing.
        """
        reports: list[Fill | OrderEvent] = []
        available = moment.volume * _NANOS_IN_MICRO * self._costs.volume_cap_bps // BPS
        for one in waiting:
            if one.order.placed_at > moment.ts_open:
                continue
            touch = _touch(one, moment) if moment.volume > 0 else _UNTOUCHED
            if touch.triggered:
                reports.append(OrderEvent(one.order, moment.ts_open, TRIGGERED))
            fill = self._fill(one, moment, touch, available)
            if fill is not None:
                available -= abs(fill.quantity)
                reports.append(fill)
            left = one.left - (abs(fill.quantity) if fill else 0)
            if left and one.order.time_in_force == DAY:
                reports.append(OrderEvent(one.order, moment.ts, EXPIRED, "at the session's end"))
        return reports

    def _fill(
        self, waiting: OpenOrder, moment: Moment, touch: _Touch, available: int
    ) -> Fill | None:
        order, price = waiting.order, touch.price
        quantity = min(waiting.left, available)
        if order.quantity % NANOS == 0:  # whole shares were asked for
            quantity -= quantity % NANOS
        if price is None or quantity <= 0:
            return None
        costs, buying = self._costs, order.side == BUY
        paid = costs.fill_price(price, buying=buying)
        if order.limit_price is not None:
            paid = min(paid, order.limit_price) if buying else max(paid, order.limit_price)
        charged = costs.charge(quantity, paid, first=waiting.fills == 0)
        return Fill(
            order=order,
            ts=moment.ts_open,
            quantity=quantity if buying else -quantity,
            price=paid,
            fee=costs.fee(charged, charged_before=waiting.charged, fee_before=waiting.fee),
            charged=charged,
        )


class RemoteBroker:
    """A broker elsewhere: an order is written down here and sent after the commit."""

    def submit(self, order: Order) -> None:
        """Send nothing: the journal has noted the intent."""

    def cancel(self, order: Order) -> None:
        """Cancel nothing: only the broker ends an order."""

    def on_bar(self, moment: Moment, waiting: Sequence[OpenOrder]) -> Sequence[Fill | OrderEvent]:
        """Give nothing: what a bar makes of an order is the broker's to tell."""
        del moment, waiting
        return ()


class _Touch(NamedTuple):
    """What a bar means for an order: the price it is met at, and whether its stop was touched."""

    price: int | None = None
    triggered: bool = False


_UNTOUCHED = _Touch()


def _touch(waiting: OpenOrder, moment: Moment) -> _Touch:
    order, sign = waiting.order, 1 if waiting.order.side == BUY else -1
    if order.type == MARKET or (order.type == STOP and waiting.triggered):
        return _Touch(moment.open)
    if order.type == LIMIT or waiting.triggered:
        return _Touch(_limit_price(order.limit_price, moment, sign))
    stop = order.stop_price
    far = moment.high if sign > 0 else moment.low
    if stop is None or (far - stop) * sign < 0:
        return _UNTOUCHED
    at_open = (moment.open - stop) * sign >= 0
    if order.type == STOP:
        return _Touch(moment.open if at_open else stop, triggered=True)
    if at_open:
        return _Touch(_limit_price(order.limit_price, moment, sign), triggered=True)
    limit = order.limit_price
    met = limit is not None and (limit - stop) * sign >= 0  # else it waits for a later bar
    return _Touch(stop if met else None, triggered=True)


def _limit_price(limit: int | None, moment: Moment, sign: int) -> int | None:
    """Give the open where it is at the limit or better, the limit where the bar reaches it."""
    if limit is None:
        return None
    if (limit - moment.open) * sign >= 0:
        return moment.open
    near = moment.low if sign > 0 else moment.high
    return limit if (limit - near) * sign >= 0 else None
