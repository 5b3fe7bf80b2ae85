"""Alpaca on loopback, behaving badly: every answer is read as what it proves, and no more."""

from __future__ import annotations

import sys
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from algotrade.broker.alpaca import HOSTS, Alpaca, open_alpaca
from algotrade.broker.alpaca_wire import Reply
from algotrade.broker.plugins import GROUP, open_client
from algotrade.broker.protocol import (
    Accepted,
    BrokerFill,
    CashMove,
    Keys,
    Opening,
    Rejected,
    Unsure,
)
from algotrade.domain.ledger import DEPOSIT
from algotrade.domain.orders import ACCEPTED, CANCELLED, DAY, FILLED, GTC, LIMIT, PARTIAL, SELL
from algotrade.domain.times import parse_instant
from algotrade.errors import DataError, ProviderError, SecretError, SettingsError
from broker_conformance import CHECKS
from broker_server import KEY, SECRET, BrokerServer
from builders import DOLLAR, SHARE, order, replace

pytest.importorskip("alpaca", reason="needs algotrade[alpaca]")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from algotrade.broker.protocol import Answer, BrokerClient
    from algotrade.domain.orders import Order
    from broker_conformance import Bench

QUICK = (0.5, 0.3, 0.8)  # seconds to connect, between bytes, in all
AT = parse_instant("2026-11-20T21:05:00Z", field="at")


@pytest.fixture
def server() -> Iterator[BrokerServer]:
    with BrokerServer() as running:
        yield running


def opened(server: BrokerServer, secret: str = SECRET) -> Alpaca:
    opening = Opening(live=False, keys=Keys(KEY, secret), base=server.base)
    return open_alpaca(opening, timeouts=QUICK, sleep=lambda _: None)


def asked(number: int = 1, **changes: object) -> Order:
    return replace(order(key=f"{number:032x}"), **changes)


class LoopbackBench:
    """Alpaca on loopback, for the checks that every broker must pass."""

    def __init__(self, server: BrokerServer) -> None:
        self.client: BrokerClient = opened(server)
        self.since, self._world = AT, server.world

    def waits(self) -> None:
        self._world.fill = "wait"


@pytest.mark.parametrize("check", CHECKS)
def test_alpaca_keeps_to_what_every_broker_must(
    server: BrokerServer, check: Callable[[Bench], None]
) -> None:
    check(LoopbackBench(server))


# what is sent, and what comes back


def test_an_order_that_is_taken_is_told_with_the_brokers_own_name(server: BrokerServer) -> None:
    answer = opened(server).submit(asked())
    assert isinstance(answer, Accepted)
    there = server.world.orders[0]
    assert (answer.order.key, answer.order.broker_id) == (asked().key, there["id"])
    assert (answer.order.state, answer.order.filled) == (FILLED, 10 * SHARE)


@pytest.mark.parametrize(
    ("quantity", "text"),
    [(SHARE, "1"), (SHARE // 2, "0.5"), (123_456_789, "0.123456789"), (12_345 * SHARE, "12345")],
)
def test_shares_are_sent_as_exact_text(server: BrokerServer, quantity: int, text: str) -> None:
    server.world.cash = Decimal(10**9)
    one = asked(quantity=quantity, time_in_force=DAY)
    assert isinstance(opened(server).submit(one), Accepted)
    assert server.world.orders[0]["qty"] == text


def test_a_limit_order_is_sent_with_its_price(server: BrokerServer) -> None:
    from algotrade.broker.alpaca import _fields

    one = asked(side=SELL, type="stop-limit", limit_price=1_234_500_000, stop_price=1_235 * DOLLAR)
    assert _fields(one) == {
        "symbol": "AAPL",
        "qty": "10",
        "side": "sell",
        "type": "stop_limit",
        "time_in_force": GTC,
        "client_order_id": one.key,
        "limit_price": "1234.50",
        "stop_price": "1235.00",
    }
    assert isinstance(opened(server).submit(asked(type=LIMIT, limit_price=DOLLAR)), Accepted)


MAY_BE_THERE = ("500-after", "502-after", "504-after", "reset", "empty", "bad", "hang", "drip")


@pytest.mark.parametrize("fault", MAY_BE_THERE)
def test_an_order_that_may_be_there_is_unsure_and_is_sent_once(
    server: BrokerServer, fault: str
) -> None:
    server.world.faults.post = [fault]
    client = opened(server)
    assert isinstance(client.submit(asked()), Unsure)
    assert server.world.posts == [asked().key]
    found = client.lookup(asked().key)
    assert found is not None
    assert found.broker_id == server.world.orders[0]["id"]


@pytest.mark.parametrize("fault", ["500-before", "429-before", "hang-before"])
def test_an_order_that_is_not_there_is_no_less_unsure(server: BrokerServer, fault: str) -> None:
    server.world.faults.post = [fault]
    client = opened(server)
    assert isinstance(client.submit(asked()), Unsure)
    assert len(server.world.posts) == 1  # the library's own retries are off
    assert client.lookup(asked().key) is None


def test_a_key_that_was_used_before_is_looked_up(server: BrokerServer) -> None:
    client = opened(server)
    first = client.submit(asked())
    again = client.submit(asked())
    assert first == again
    assert len(server.world.orders) == 1
    server.world.faults.forget = 1
    assert isinstance(client.submit(asked()), Unsure)  # used, and not to be found: not refused


def refusals() -> list[tuple[Order, str]]:
    return [
        (asked(quantity=10_000 * SHARE), "insufficient buying power"),
        (asked(quantity=SHARE // 2), "fractional orders must be DAY orders"),
    ]


@pytest.mark.parametrize(("one", "reason"), refusals())
def test_an_order_that_is_refused_is_refused_with_its_reason(
    server: BrokerServer, one: Order, reason: str
) -> None:
    assert opened(server).submit(one) == Rejected(reason)


def test_no_connection_is_certainly_not_sent() -> None:
    with BrokerServer() as server:
        base = server.base
    keys = Keys(KEY, SECRET)
    client = open_alpaca(Opening(live=False, keys=keys, base=base), timeouts=QUICK)
    with pytest.raises(ProviderError, match="was not sent: cannot connect"):
        client.submit(asked())


def test_a_wrong_key_is_told_and_never_shown(server: BrokerServer) -> None:
    client = opened(server, secret="wrong-secret")  # noqa: S106  not one
    for call in (client.account, lambda: client.submit(asked())):
        with pytest.raises(SecretError, match="refuses the key") as refused:
            call()
        assert "wrong-secret" not in f"{refused.value!r} {refused.value.hint}"
    assert "secret" not in repr(Keys("a", "secret"))


# asking


@pytest.mark.parametrize("fault", ["500", "429", "reset", "empty", "bad"])
def test_questions_are_asked_again(server: BrokerServer, fault: str) -> None:
    server.world.faults.get = [fault]
    if fault == "empty":
        with pytest.raises(ProviderError, match="empty"):
            opened(server).account()
    else:
        assert opened(server).account().cash == 100_000 * DOLLAR


def test_a_broker_that_is_down_ends_the_question(server: BrokerServer) -> None:
    server.world.faults.get = ["503"] * 9
    with pytest.raises(ProviderError, match="cannot be asked: status 503"):
        opened(server).positions()
    assert len(server.world.faults.get) == 6


def test_positions_orders_fills_and_cash_are_read_exactly(server: BrokerServer) -> None:
    world, client = server.world, opened(server)
    world.fill = "half"
    client.submit(asked(quantity=9 * SHARE))
    world.pay("CSD", "250.75")
    world.pay("FEE", "-0.03")
    (held,) = client.positions()
    assert (held.symbol, held.quantity, held.price) == ("AAPL", 4_500_000_000, 101_250_000)
    (waiting,) = client.orders()
    assert (waiting.state, waiting.filled, waiting.quantity) == (PARTIAL, 4_500_000_000, 9 * SHARE)
    fill, paid, fee = client.fills(AT)
    assert isinstance(fill, BrokerFill)
    assert (fill.quantity, fill.price, fill.broker_id) == (
        4_500_000_000,
        101_250_000,
        waiting.broker_id,
    )
    assert isinstance(paid, CashMove)
    assert isinstance(fee, CashMove)
    assert (paid.kind, paid.amount, fee.kind, fee.amount) == (DEPOSIT, 250_750_000, "FEE", -30_000)
    assert client.account().cash == 99_795_095_000  # 100000 - 4.5 x 101.25 + 250.75 - 0.03


def test_all_pages_of_activities_are_read(server: BrokerServer) -> None:
    for _ in range(250):
        server.world.pay("CSD", "1")
    found = opened(server).fills(AT)
    assert [one.execution_id for one in found] == [row["id"] for row in server.world.activities]


def test_an_open_order_is_ended_once(server: BrokerServer) -> None:
    server.world.fill = "wait"
    client = opened(server)
    answer = client.submit(asked())
    assert isinstance(answer, Accepted)
    assert answer.order.state == ACCEPTED
    assert client.cancel(answer.order.broker_id)
    assert not client.cancel(answer.order.broker_id)
    found = client.lookup(asked().key)
    assert found is not None
    assert found.state == CANCELLED


def test_clock_and_calendar(server: BrokerServer) -> None:
    client = opened(server)
    assert (client.clock().now, client.clock().is_open) == (AT, True)
    (session,) = client.calendar(date(2026, 11, 20), date(2026, 11, 20))
    assert session.opens == parse_instant("2026-11-20T14:30:00Z", field="at")
    assert session.closes == parse_instant("2026-11-20T21:00:00Z", field="at")


@pytest.mark.parametrize(
    ("name", "value"), [("cash", "NaN"), ("cash", "1e5"), ("qty", "1.0000000001")]
)
def test_numbers_that_are_none_are_refused(name: str, value: str) -> None:
    from algotrade.broker.numbers import micros, nanos

    with pytest.raises(DataError):
        (micros if name == "cash" else nanos)(value, name)


# paper and live apart


def test_the_hosts_of_paper_and_live_are_never_mixed() -> None:
    keys = Keys("PK1", SECRET)
    for live, base in ((False, HOSTS[True]), (True, HOSTS[False]), (False, "http://example.com")):
        key = keys._replace(key_id="AK1" if live else "PK1")
        with pytest.raises(SettingsError, match="R34"):
            open_alpaca(Opening(live=live, keys=key, base=base))
    assert not open_alpaca(Opening(live=False, keys=keys)).is_live


@pytest.mark.parametrize(("live", "key"), [(True, "PK12"), (False, "AK12")])
def test_the_key_of_the_other_kind_is_refused(live: bool, key: str) -> None:  # noqa: FBT001  a case
    with pytest.raises(SecretError, match="R34"):
        open_alpaca(Opening(live=live, keys=Keys(key, SECRET)))


def test_no_key_is_told_with_the_names_to_set() -> None:
    with pytest.raises(SecretError) as missing:
        open_alpaca(Opening(live=True, keys=None))
    assert "ALPACA_LIVE_KEY_ID" in (missing.value.hint or "")


# plug-ins


def test_a_plug_in_is_opened_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "mine"

        def load(self) -> object:
            return lambda opening: ("opened", opening)

    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [Entry()] * (group == GROUP)
    )
    opening = Opening(live=False, keys=None)
    opened: object = open_client("mine", opening)
    assert opened == ("opened", opening)
    with pytest.raises(SettingsError, match="no broker is called 'nobody'") as unknown:
        open_client("nobody", opening)
    assert unknown.value.hint == "simulated, alpaca, mine"


# answers that nobody expects


class Said:
    """A wire that says what it is told to say."""

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.address = list(replies), ("", "", "")

    def once(self, *_: object) -> Reply:
        return self.replies.pop(0)

    ask = once


def saying(*replies: Reply) -> Alpaca:
    return Alpaca(Said(*replies), live=False)  # type: ignore[arg-type]  # what of a wire is used


def told(**changes: object) -> dict[str, object]:
    row = {"id": "b1", "client_order_id": "1" * 32, "symbol": "AAPL", "side": "buy"}
    return {**row, "qty": "10", "filled_qty": "0", "status": "new", **changes}


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (Reply(200, told(status="rejected")), Rejected("rejected at once")),
        (Reply(200, told(client_order_id="2" * 32)), Unsure("the answer is of another order")),
        (
            Reply(200, told(status="dancing")),
            Unsure("the broker's order has the unknown status 'dancing'"),
        ),
        (Reply(200, told(side="hold")), Unsure("the broker's order has the unknown side 'hold'")),
        (Reply(200, []), Unsure("the broker's answer has no status")),
        (Reply(400, {"message": "no\x1b[31mred"}), Rejected("no[31mred")),
        (Reply(404, {}), Rejected("status 404")),
        (Reply(403, {"code": 40_310_000, "message": "wash trade"}), Rejected("wash trade")),
        (Reply(302, {}), Unsure("status 302")),
        (Reply(418, {}), Unsure("status 418")),
    ],
)
def test_only_what_proves_a_refusal_is_one(reply: Reply, answer: Answer) -> None:
    assert saying(reply).submit(order(key="1" * 32)) == answer


def test_a_forbidden_account_is_a_secret_that_is_wrong() -> None:
    with pytest.raises(SecretError, match="403"):
        saying(Reply(403, {"code": 40_110_000, "message": "forbidden"})).submit(order())


def test_a_used_key_that_cannot_be_looked_up_is_unsure() -> None:
    used = Reply(422, {"message": "client_order_id must be unique"})
    answer = saying(used, Reply(500, {})).submit(order(key="1" * 32))
    assert answer == Unsure("client_order_id must be unique; the broker answers 500: status 500")


def test_another_order_than_asked_for_is_no_answer() -> None:
    with pytest.raises(DataError, match="gives order"):
        saying(Reply(200, told())).lookup("2" * 32)


@pytest.mark.parametrize(
    "row",
    [
        {"activity_type": "FILL", "id": "x"},
        {"activity_type": "FEE", "id": "x", "date": "yesterday"},
        {"activity_type": "FEE", "id": "x", "date": "2026-11-20", "net_amount": 0.5},
        {"id": "x"},
    ],
)
def test_activities_that_cannot_be_read_are_refused(row: dict[str, object]) -> None:
    with pytest.raises(DataError, match="the broker's"):
        saying(Reply(200, [row])).fills(AT)


def test_activities_without_an_end_are_refused() -> None:
    pages = [Reply(200, [{"id": "x", "activity_type": "FEE", "date": "2026-11-20"}] * 100)] * 200
    with pytest.raises(DataError, match="do not end"):
        saying(*pages).fills(AT)


def test_a_calendar_and_lists_that_are_none_are_refused() -> None:
    day = date(2026, 11, 20)
    with pytest.raises(DataError, match="calendar"):
        saying(Reply(200, [{"date": "2026-11-20", "open": "9", "close": "x"}])).calendar(day, day)
    with pytest.raises(DataError, match="not a list"):
        saying(Reply(200, {})).positions()


def test_without_the_library_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alpaca.trading.client", None)
    with pytest.raises(SettingsError, match="needs alpaca-py") as missing:
        open_client("alpaca", Opening(live=False, keys=Keys("PK1", SECRET)))
    assert missing.value.hint == "pip install 'algotrade[alpaca]'"
