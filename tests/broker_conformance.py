"""What every broker must keep to, whoever wrote its client; run by the tests of each.

`Bench` is what a test brings: a client of an account with 100,000 dollars and no position, which
fills a market order at once or lets it wait, as told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from algotrade.broker.protocol import Accepted, BrokerFill, Rejected, Unsure
from algotrade.domain.orders import ACCEPTED, CANCELLED, FILLED, PARTIAL, SELL
from builders import SHARE, order, replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from algotrade.broker.protocol import BrokerClient


class Bench(Protocol):
    """A broker on a test bench."""

    client: BrokerClient
    since: int

    def waits(self) -> None:
        """Let orders wait from now on."""
        ...


def an_order_is_told_under_its_key(bench: Bench) -> None:
    answer = bench.client.submit(order(key="a" * 32))
    assert isinstance(answer, Accepted)
    found = bench.client.lookup("a" * 32)
    assert found is not None
    assert found.broker_id == answer.order.broker_id
    assert (found.symbol, found.side, found.quantity) == ("AAPL", "buy", 10 * SHARE)
    assert found.state in (ACCEPTED, PARTIAL, FILLED)


def an_order_that_was_never_sent_is_not_there(bench: Bench) -> None:
    assert bench.client.lookup("f" * 32) is None


def a_key_that_was_used_is_no_second_order_where_it_says_so(bench: Bench) -> None:
    bench.waits()
    for _ in range(2):
        assert isinstance(bench.client.submit(order(key="b" * 32)), Accepted | Unsure)
    there = [one for one in bench.client.orders() if one.key == "b" * 32]
    assert len(there) == 1 or not bench.client.dedupes


def a_fill_is_told_once_an_execution_with_its_sign(bench: Bench) -> None:
    bench.client.submit(order(key="c" * 32))
    bench.client.submit(replace(order(key="d" * 32), side=SELL, quantity=4 * SHARE))
    fills = [one for one in bench.client.fills(bench.since) if isinstance(one, BrokerFill)]
    assert sorted(one.quantity for one in fills) == [-4 * SHARE, 10 * SHARE]
    assert len({one.execution_id for one in fills}) == 2
    again = bench.client.fills(bench.since)
    assert {one.execution_id for one in again} == {one.execution_id for one in fills}
    (held,) = bench.client.positions()
    assert (held.symbol, held.quantity) == ("AAPL", 6 * SHARE)


def cash_is_what_was_not_spent(bench: Bench) -> None:
    before = bench.client.account()
    bench.client.submit(order(key="e" * 32))
    (fill,) = bench.client.fills(bench.since)
    assert isinstance(fill, BrokerFill)
    after = bench.client.account()
    assert after.number == before.number
    assert before.cash - after.cash == 10 * fill.price + fill.fee


def an_order_is_cancelled_once(bench: Bench) -> None:
    bench.waits()
    answer = bench.client.submit(order(key="1" * 32))
    assert isinstance(answer, Accepted)
    assert [one.key for one in bench.client.orders()] == ["1" * 32]
    assert bench.client.cancel(answer.order.broker_id)
    assert not bench.client.cancel(answer.order.broker_id)
    found = bench.client.lookup("1" * 32)
    assert found is not None
    assert found.state == CANCELLED
    assert not bench.client.orders()


def what_cannot_be_paid_is_rejected(bench: Bench) -> None:
    large = replace(order(key="2" * 32), quantity=10**7 * SHARE)
    assert isinstance(bench.client.submit(large), Rejected)
    assert not bench.client.fills(bench.since)


CHECKS: tuple[Callable[[Bench], None], ...] = (
    an_order_is_told_under_its_key,
    an_order_that_was_never_sent_is_not_there,
    a_key_that_was_used_is_no_second_order_where_it_says_so,
    a_fill_is_told_once_an_execution_with_its_sign,
    cash_is_what_was_not_spent,
    an_order_is_cancelled_once,
    what_cannot_be_paid_is_rejected,
)
