"""The simulated broker: what one bar makes of each kind of order, worked out by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotrade.domain.costs import CostModel
from algotrade.domain.orders import (
    BUY,
    DAY,
    EXPIRED,
    GTC,
    LIMIT,
    MARKET,
    SELL,
    STOP,
    STOP_LIMIT,
    TRIGGERED,
    Fill,
    OpenOrder,
    Order,
    OrderEvent,
)
from algotrade.trading.broker import SimulatedBroker
from algotrade.trading.decision import Moment
from engine_world import DOLLAR, SHARE, VOLUME, day

FREE = CostModel(
    commission_per_share=0, commission_minimum=0, slippage_bps=0, volume_cap_bps=10_000
)


def micros(price: float) -> int:
    return round(price * DOLLAR)


def bar(*prices: float, volume: float = 10**6, at: int = 1) -> Moment:
    """Give a daily bar of open, high, low, close in dollars and volume in shares."""
    opened, closed = day(at)
    open_, high, low, close = map(micros, prices)
    return Moment(closed, "A", opened, open_, high, low, close, round(volume * VOLUME))


def order(
    order_type: str = MARKET,
    side: str = BUY,
    *,
    shares: float = 10,
    limit: float | None = None,
    stop: float | None = None,
    tif: str = GTC,
    key: str = "k",
    at: int = 0,
) -> Order:
    return Order(
        key=key,
        account="a",
        strategy="s",
        symbol="A",
        side=side,
        quantity=round(shares * SHARE),
        bar_ts=day(at)[1],
        placed_at=day(at)[1],
        client_id="",
        type=order_type,
        limit_price=None if limit is None else micros(limit),
        stop_price=None if stop is None else micros(stop),
        time_in_force=tif,
    )


def meet(
    moment: Moment, *waiting: OpenOrder | Order, costs: CostModel = FREE
) -> list[Fill | OrderEvent]:
    opens = [one if isinstance(one, OpenOrder) else OpenOrder(one) for one in waiting]
    return SimulatedBroker(costs).on_bar(moment, opens)


def fills(reports: list[Fill | OrderEvent]) -> list[Fill]:
    return [report for report in reports if isinstance(report, Fill)]


TOUCHED = True  # the stop, by this bar


class Case(NamedTuple):
    """An order, a bar, and the price it is met at (None: not) with whether its stop is touched."""

    type: str
    side: str
    limit: float | None
    stop: float | None
    bar: tuple[float, float, float, float]
    price: float | None
    triggered: bool = False


CASES = (
    Case(MARKET, BUY, None, None, (100, 103, 99, 101), 100),
    Case(MARKET, SELL, None, None, (100, 103, 99, 101), 100),
    # a limit to buy: the open where it is better, the limit where the bar comes down to it
    Case(LIMIT, BUY, 100, None, (98, 103, 97, 101), 98),
    Case(LIMIT, BUY, 100, None, (100, 103, 99, 101), 100),
    Case(LIMIT, BUY, 100, None, (101, 103, 99, 102), 100),
    Case(LIMIT, BUY, 100, None, (101, 103, 100, 102), 100),
    Case(LIMIT, BUY, 100, None, (101, 103, 100.01, 102), None),
    Case(LIMIT, SELL, 100, None, (102, 103, 97, 101), 102),
    Case(LIMIT, SELL, 100, None, (99, 101, 97, 98), 100),
    Case(LIMIT, SELL, 100, None, (99, 100, 97, 98), 100),
    Case(LIMIT, SELL, 100, None, (99, 99.99, 97, 98), None),
    # a stop to buy: the stop, or the open that gaps over it
    Case(STOP, BUY, None, 105, (104, 106, 103, 104), 105, TOUCHED),
    Case(STOP, BUY, None, 105, (104, 105, 103, 104), 105, TOUCHED),
    Case(STOP, BUY, None, 105, (107, 108, 103, 104), 107, TOUCHED),
    Case(STOP, BUY, None, 105, (104, 104.99, 103, 104), None),
    Case(STOP, SELL, None, 95, (96, 97, 94, 96), 95, TOUCHED),
    Case(STOP, SELL, None, 95, (93, 97, 92, 96), 93, TOUCHED),
    Case(STOP, SELL, None, 95, (96, 97, 95.01, 96), None),
    # a stop-limit whose limit lies behind its stop
    Case(STOP_LIMIT, BUY, 106, 105, (104, 107, 103, 104), 105, TOUCHED),
    Case(STOP_LIMIT, BUY, 106, 105, (105.5, 107, 103, 104), 105.5, TOUCHED),
    Case(STOP_LIMIT, BUY, 106, 105, (107, 108, 105.9, 107), 106, TOUCHED),
    Case(STOP_LIMIT, BUY, 106, 105, (107, 108, 106.5, 107), None, TOUCHED),
    Case(STOP_LIMIT, BUY, 106, 105, (104, 104.5, 103, 104), None),
    Case(STOP_LIMIT, SELL, 94, 95, (96, 97, 93, 96), 95, TOUCHED),
    Case(STOP_LIMIT, SELL, 94, 95, (94.5, 97, 93, 96), 94.5, TOUCHED),
    Case(STOP_LIMIT, SELL, 94, 95, (93, 94.2, 92, 93), 94, TOUCHED),
    Case(STOP_LIMIT, SELL, 94, 95, (93, 93.5, 92, 93), None, TOUCHED),
    Case(STOP_LIMIT, SELL, 94, 95, (96, 97, 95.5, 96), None),
    # a limit before the stop: whether the low came before or after the stop is not known
    Case(STOP_LIMIT, BUY, 104, 105, (104.5, 106, 103, 105), None, TOUCHED),
    Case(STOP_LIMIT, BUY, 104, 105, (105, 106, 104, 105), 104, TOUCHED),
    Case(STOP_LIMIT, SELL, 96, 95, (95.5, 97, 94, 95), None, TOUCHED),
    Case(STOP_LIMIT, SELL, 96, 95, (95, 96, 94, 95), 96, TOUCHED),
)


@pytest.mark.parametrize("case", CASES)
def test_a_bar_meets_an_order_as_worked_out(case: Case) -> None:
    asked = order(case.type, case.side, limit=case.limit, stop=case.stop)
    reports = meet(bar(*case.bar), asked)
    events = [report for report in reports if isinstance(report, OrderEvent)]
    assert [fill.price for fill in fills(reports)] == (
        [] if case.price is None else [micros(case.price)]
    )
    assert [event.state for event in events] == ([TRIGGERED] if case.triggered else [])
    assert all(fill.quantity == asked.signed for fill in fills(reports))
    assert all(fill.ts == day(1)[0] for fill in fills(reports))


def test_a_triggered_stop_limit_is_a_limit_from_then_on() -> None:
    waiting = OpenOrder(order(STOP_LIMIT, limit=104, stop=105), triggered=True)
    [fill] = meet(bar(104.5, 104.6, 103, 104), waiting)
    assert isinstance(fill, Fill)
    assert fill.price == micros(104)


def test_the_rest_of_a_triggered_stop_is_met_at_the_next_open() -> None:
    waiting = OpenOrder(order(STOP, stop=105), filled=4 * SHARE, fills=1, triggered=True)
    [fill] = meet(bar(101, 102, 100, 101), waiting)
    assert isinstance(fill, Fill)
    assert (fill.price, fill.quantity) == (micros(101), 6 * SHARE)


# ---- any bar, by walking both paths that its four prices allow

prices = st.integers(90, 110)


@given(
    st.sampled_from([MARKET, LIMIT, STOP, STOP_LIMIT]),
    st.sampled_from([BUY, SELL]),
    st.tuples(prices, prices),
    st.tuples(prices, prices, prices, prices),
)
def test_a_fill_is_the_worst_that_any_path_through_the_bar_gives(
    order_type: str, side: str, asked: tuple[int, int], drawn: tuple[int, int, int, int]
) -> None:
    open_, close, high, low = drawn[0], drawn[1], max(drawn), min(drawn)
    limit = asked[0] if order_type in (LIMIT, STOP_LIMIT) else None
    stop = asked[1] if order_type in (STOP, STOP_LIMIT) else None
    found = fills(
        meet(bar(open_, high, low, close), order(order_type, side, limit=limit, stop=stop))
    )
    sign = 1 if side == BUY else -1
    costs = [
        _walk([point * sign for point in path], order_type, limit, stop, sign)
        for path in ((open_, high, low, close), (open_, low, high, close))
    ]
    if stop is not None and limit is not None and (stop - limit) * sign > 0 and not found:
        assert (open_ - stop) * sign < 0 or None in costs  # touched within the bar: it waits
    elif None in costs:
        assert not found
    else:
        worst = max(cost for cost in costs if cost is not None)
        assert [fill.price for fill in found] == [worst * sign * DOLLAR]


def _walk(
    path: list[int], order_type: str, limit: int | None, stop: int | None, sign: int
) -> int | None:
    """Buy along straight lines from point to point; selling is buying with signs turned."""
    limit = None if limit is None else limit * sign
    live = stop is None or path[0] >= stop * sign
    if live and (limit is None or path[0] <= limit):
        return path[0]
    for a, b in pairwise(path):
        for price in range(a, b, 1 if b > a else -1):
            step = price + (1 if b > a else -1)
            live = live or (stop is not None and step >= stop * sign)
            if live and (limit is None or step <= limit):
                return step
    assert order_type != MARKET
    return None


# ---- slippage


@pytest.mark.parametrize(
    ("asked", "prices", "paid"),
    [
        (order(MARKET, BUY), (100, 101, 99, 100), 100.10),
        (order(MARKET, SELL), (100, 101, 99, 100), 99.90),
        (order(STOP, BUY, stop=105), (104, 106, 103, 104), 105.105),
        (order(STOP, SELL, stop=95), (96, 97, 94, 95), 94.905),
        (order(LIMIT, BUY, limit=100), (99, 101, 98, 100), 99.099),
        (order(LIMIT, BUY, limit=100), (99.95, 101, 98, 100), 100),
        (order(LIMIT, BUY, limit=100), (101, 102, 99, 100), 100),
        (order(LIMIT, SELL, limit=100), (100.05, 101, 98, 100), 100),
        (order(LIMIT, SELL, limit=100), (102, 103, 98, 100), 101.898),
        (order(STOP_LIMIT, BUY, limit=105.05, stop=105), (104, 106, 103, 104), 105.05),
        (order(STOP_LIMIT, SELL, limit=94.95, stop=95), (96, 97, 94, 95), 94.95),
    ],
)
def test_slippage_goes_against_the_trader_but_never_past_the_limit(
    asked: Order, prices: tuple[float, ...], paid: float
) -> None:
    costs = CostModel(commission_per_share=0, commission_minimum=0, slippage_bps=10)
    [fill] = fills(meet(bar(*prices), asked, costs=costs))
    assert fill.price == micros(paid)


def test_slippage_is_rounded_against_the_trader() -> None:
    odd = bar(0.000_007, 0.000_009, 0.000_003, 0.000_005)
    costs = CostModel(slippage_bps=5)
    [bought, sold] = fills(meet(odd, order(side=BUY), order(side=SELL, key="l"), costs=costs))
    assert (bought.price, sold.price) == (8, 6)


# ---- time in force


def test_a_day_order_ends_with_the_first_bar_and_a_lasting_one_waits() -> None:
    away = (100.0, 101.0, 99.0, 100.0)
    for tif, states in ((DAY, [EXPIRED]), (GTC, [])):
        reports = meet(bar(*away), order(LIMIT, limit=90, tif=tif))
        assert [report.state for report in reports if isinstance(report, OrderEvent)] == states
        assert all(report.ts == day(1)[1] for report in reports)


def test_a_day_order_that_is_filled_in_part_ends_with_the_rest() -> None:
    reports = meet(bar(100, 100, 100, 100, volume=4), order(tif=DAY))
    assert [type(report) for report in reports] == [Fill, OrderEvent]
    [whole] = meet(bar(100, 100, 100, 100, volume=10), order(tif=DAY))
    assert isinstance(whole, Fill)


def test_an_order_is_not_met_by_the_bar_it_was_placed_in() -> None:
    assert meet(bar(100, 100, 100, 100, at=1), order(at=1, tif=DAY)) == []
    assert len(meet(bar(100, 100, 100, 100, at=2), order(at=1))) == 1


# ---- volume

TENTH = CostModel(commission_per_share=0, commission_minimum=0, slippage_bps=0)  # 1,000 bps


@pytest.mark.parametrize(
    ("shares", "volume", "filled"),
    [
        ([50], 1_000, [50]),
        ([150], 1_000, [100]),
        ([150], 1_009.9, [100]),  # whole shares were asked for: 100.99 are 100
        ([150], 9.9, []),
        ([10.5], 33, [3.3]),  # parts were asked for
        ([0.000_000_001], 0.000_001, [0.000_000_001]),  # a tenth of a micro-share is 100 nano
        ([80, 50, 5], 1_000, [80, 20]),  # the oldest first, and nothing is left for the last
        ([150, 0.5], 1_004, [100, 0.4]),  # the whole order leaves its part of a share
    ],
)
def test_orders_share_a_part_of_the_volume(
    shares: list[float], volume: float, filled: list[float]
) -> None:
    asked = [order(shares=size, key=str(number)) for number, size in enumerate(shares)]
    met = fills(meet(bar(100, 100, 100, 100, volume=volume), *asked, costs=TENTH))
    assert [fill.quantity for fill in met] == [round(size * SHARE) for size in filled]


def test_a_bar_without_volume_prints_no_price() -> None:
    nothing = bar(107, 108, 103, 104, volume=0)
    asked = [order(MARKET), order(STOP, stop=105, key="s"), order(LIMIT, limit=110, key="l")]
    assert meet(nothing, *asked) == []
    assert [type(report) for report in meet(nothing, order(tif=DAY))] == [OrderEvent]


# ---- commission


def charges(costs: CostModel, shares: float, *volumes: float) -> list[int]:
    """Fill one order bar by bar and give the fee of each fill."""
    waiting, fees = OpenOrder(order(shares=shares)), []
    for volume in volumes:
        [fill] = fills(meet(bar(100, 100, 100, 100, volume=volume), waiting, costs=costs))
        fees.append(fill.fee)
        waiting = waiting._replace(
            filled=waiting.filled + fill.quantity,
            fills=waiting.fills + 1,
            charged=waiting.charged + fill.charged,
            fee=waiting.fee + fill.fee,
        )
    assert waiting.left == 0
    return fees


def test_the_minimum_is_taken_once_an_order() -> None:
    cent = CostModel(slippage_bps=0)  # half a cent a share, at least a dollar
    assert charges(cent, 100, 400, 400, 200) == [DOLLAR, 0, 0]
    assert charges(cent, 300, 1_000, 1_000, 1_000) == [DOLLAR, 0, DOLLAR // 2]
    assert charges(cent, 300, 3_000) == [DOLLAR * 3 // 2]


def test_a_trade_is_charged_once_and_the_value_each_time() -> None:
    costs = CostModel(
        commission_per_share=0,
        commission_per_trade=2 * DOLLAR,
        commission_bps=10,  # of 4,000 and of 6,000 dollars
        commission_minimum=0,
        slippage_bps=0,
    )
    assert charges(costs, 100, 400, 600) == [6 * DOLLAR, 6 * DOLLAR]
