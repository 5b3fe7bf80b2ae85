"""Orders at a broker that a test speaks for, word by word: what is rare, in memory and quickly."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from algotrade.broker.protocol import (
    Accepted,
    BrokerAccount,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    CashMove,
    MarketClock,
    Unsure,
)
from algotrade.domain.ledger import replay
from algotrade.domain.orders import (
    ACCEPTED,
    CANCELLED,
    EXPIRED,
    FILLED,
    GIVEN_UP,
    INTENT,
    OPEN_STATES,
    UNKNOWN,
)
from algotrade.domain.risk import Limits
from algotrade.domain.times import DAY, MICROSECONDS
from algotrade.errors import AlgotradeError, OrderUnknownError, ProviderError, SettingsError
from algotrade.store import journal
from algotrade.workflows import booking, brokers, orders, reconcile, send
from algotrade.workflows.conditions import around
from builders import DOLLAR, SHARE
from campaigns.simulate_orders import ACCOUNT, CASH, START, SimulatedVenue, Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from algotrade.broker.protocol import Answer
    from algotrade.domain.orders import Order
    from algotrade.workflows.context import Workspace


@dataclass(kw_only=True)
class Scripted(SimulatedVenue):
    """A broker that says what it is told to say. down: questions that it cannot answer."""

    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311  unused
    dedupes: bool = True
    answers: list[Answer | AlgotradeError] = field(default_factory=list)
    known: dict[str, BrokerOrder] = field(default_factory=dict)
    told: list[BrokerFill] = field(default_factory=list)
    held: list[BrokerPosition] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, order: Order) -> Answer:
        self.sent.append(order.key)
        answer = self.answers.pop(0)
        if isinstance(answer, AlgotradeError):
            raise answer
        return answer

    def lookup(self, key: str) -> BrokerOrder | None:
        self.answer("lookup")
        return self.known.get(key)

    def orders(self) -> list[BrokerOrder]:
        return [one for one in self.known.values() if one.state in OPEN_STATES]

    def fills(self, since: int) -> list[BrokerFill]:
        del since
        self.answer("fills")
        return self.told

    def cancel(self, broker_id: str) -> bool:
        self.cancelled.append(broker_id)
        return True

    def positions(self) -> list[BrokerPosition]:
        return self.held

    def answer(self, what: str) -> None:
        if what in self.down:
            raise ProviderError(f"{what} is down")


class First(random.Random):
    """Chance that always draws the first: orders of one share, sold where it is held."""

    def random(self) -> float:
        return 0.0

    def choice(self, seq: Any) -> Any:  # noqa: ANN401  as in random
        return seq[0]


class Desk:
    """An account with one intent to buy, the broker, and what was said."""

    def __init__(self, simulation: Simulation, db: sqlite3.Connection) -> None:
        self.simulation, self.db, self.venue = simulation, db, Scripted()
        self.said: list[str] = []
        simulation._place(self.at(0), First())
        (status,) = journal.open_orders(db, ACCOUNT)
        self.order = status.order

    def at(self, seconds: float) -> Workspace:
        now = START + round(seconds * MICROSECONDS)
        return self.simulation._workspace(self.db, now)._replace(say=self.said.append)

    def shown(self, state: str = ACCEPTED, filled: int = 0) -> BrokerOrder:
        """Give the order as the broker shows it."""
        order = self.order
        return BrokerOrder(
            key=order.key,
            broker_id="b1",
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            filled=filled,
            state=state,
        )

    def accepted(self) -> Desk:
        """Send the order; the broker takes it."""
        self.venue.known[self.order.key] = self.shown()
        self.venue.answers = [Accepted(self.shown())]
        assert send.send(self.at(0), self.venue) == ()
        assert self.state == ACCEPTED
        return self

    def lost(self) -> Desk:
        """Send the order into silence; the broker shows nothing."""
        self.venue.answers = [Unsure("silence")]
        send.send(self.at(0), self.venue)
        assert self.state == UNKNOWN
        return self

    def given_up(self) -> Desk:
        """Have a person give up the lost order, ten minutes and a microsecond later."""
        (ended,) = orders.cancel_locked(
            self.lost().at(600.000_001), (self.order.id,), client=self.venue
        )
        assert (ended.state, self.detail) == (CANCELLED, GIVEN_UP)
        return self

    @property
    def state(self) -> str:
        return journal.order_state(self.db, self.order.key)

    @property
    def detail(self) -> str:
        (found,) = self.db.execute(
            "SELECT detail FROM order_events ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return str(found)

    @property
    def entries(self) -> list[tuple[str, int, int]]:
        """Give kind, amount and fee of what the ledger has besides the opening."""
        return [(e.kind, e.amount, e.fee) for e in journal.load_entries(self.db, ACCOUNT)[1:]]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return Simulation(tmp_path_factory.mktemp("send"))


@pytest.fixture
def desk(simulation: Simulation) -> Iterator[Desk]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.deserialize(simulation._bytes)
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA recursive_triggers = ON")
        yield Desk(simulation, db)


# sending


@pytest.mark.parametrize(("late", "state", "times"), [(60, ACCEPTED, 1), (60.000_001, EXPIRED, 0)])
def test_an_intent_is_sent_for_a_minute(desk: Desk, late: float, state: str, times: int) -> None:
    desk.venue.answers = [Accepted(desk.shown())]
    desk.venue.known[desk.order.key] = desk.shown()
    send.send(desk.at(late), desk.venue)
    assert (desk.state, len(desk.venue.sent)) == (state, times)


def test_fills_that_cannot_be_asked_for_leave_the_order_sent(desk: Desk) -> None:
    desk.venue.down = {"fills"}
    desk.accepted()
    assert desk.said == ["fills is down; algotrade orders asks again"]


def test_an_order_that_the_broker_no_longer_shows_is_missing_and_stays_open(desk: Desk) -> None:
    desk.accepted().venue.known.clear()
    caught = send.recover(desk.at(5), desk.venue)
    assert [one.order.key for one in caught.missing] == [desk.order.key]
    assert (caught.unknown, desk.state) == ((), ACCEPTED)
    found = reconcile.compare(desk.at(5), desk.venue, caught)
    assert [one.order.key for one in found.unknown] == [desk.order.key]


def test_a_second_call_that_certainly_failed_leaves_the_first_one_unknown(desk: Desk) -> None:
    desk.lost().venue.answers = [ProviderError("no way to the broker")]
    caught = send.recover(desk.at(30), desk.venue)
    assert desk.said == ["no way to the broker"]
    assert ([one.state for one in caught.unknown], desk.state) == ([UNKNOWN], UNKNOWN)
    assert desk.venue.sent == [desk.order.key] * 2


# giving up


def test_an_unknown_order_is_given_up_after_ten_minutes_and_not_before(desk: Desk) -> None:
    desk.lost()
    with pytest.raises(OrderUnknownError, match="may or may not be at the broker"):
        orders.cancel_locked(desk.at(600), (), everything=True, client=desk.venue)
    assert desk.state == UNKNOWN
    (ended,) = orders.cancel_locked(desk.at(600.000_001), (), everything=True, client=desk.venue)
    assert (ended.state, desk.detail) == (CANCELLED, GIVEN_UP)


def test_an_intent_is_cancelled_without_asking_the_broker(desk: Desk) -> None:
    (ended,) = orders.cancel_locked(desk.at(1), (), everything=True, client=desk.venue)
    assert (ended.state, desk.detail) == (CANCELLED, "never sent: cancelled by a person")
    assert (desk.venue.sent, desk.venue.cancelled) == ([], [])


@pytest.mark.parametrize(
    ("shown", "cancelled"), [(None, []), (ACCEPTED, ["b1"]), (CANCELLED, []), (FILLED, [])]
)
def test_an_order_that_was_given_up_is_cancelled_where_it_appears_open(
    desk: Desk, shown: str | None, cancelled: list[str]
) -> None:
    desk.given_up()
    if shown:
        desk.venue.known[desk.order.key] = desk.shown(shown)
    send.recover(desk.at(700), desk.venue)
    assert (desk.venue.cancelled, desk.said, desk.state) == (cancelled, [], CANCELLED)


def test_an_order_that_was_given_up_and_cannot_be_looked_up_is_told(desk: Desk) -> None:
    desk.given_up().venue.down = {"lookup"}
    send.recover(desk.at(700), desk.venue)
    assert desk.said == [f"order {desk.order.id} cannot be looked up: lookup is down"]


def test_an_order_that_was_given_up_is_looked_for_a_week(desk: Desk) -> None:
    desk.given_up().venue.known[desk.order.key] = desk.shown()
    week = 600.000_001 + 7 * DAY / MICROSECONDS
    send.recover(desk.at(week + 1), desk.venue)
    assert desk.venue.cancelled == []
    send.recover(desk.at(week), desk.venue)
    assert desk.venue.cancelled == ["b1"]


# booking


def test_cash_of_before_the_opening_is_not_booked_and_nothing_is_no_entry(desk: Desk) -> None:
    moves = [
        CashMove("m1", START - 1, "deposit", 5 * DOLLAR),
        CashMove("m2", START, "deposit", 7 * DOLLAR),
        CashMove("m3", START + 1, "journal", 0),
        CashMove("m4", START + 2, "charge", -2 * DOLLAR),
    ]
    booking.book_activities(desk.at(5), moves)
    assert desk.entries == [("deposit", 7 * DOLLAR, 0), ("adjustment", 0, 2 * DOLLAR)]
    rows = desk.db.execute("SELECT execution_id, seq FROM executions ORDER BY 1").fetchall()
    assert rows == [("m2", 2), ("m3", None), ("m4", 3)]


# comparing


def test_positions_are_compared_with_what_their_own_orders_wait_for(desk: Desk) -> None:
    desk.accepted().venue.known[desk.order.key] = desk.shown(filled=desk.order.quantity)
    desk.venue.held = [
        BrokerPosition("AAPL", desk.order.quantity, 100 * DOLLAR),
        BrokerPosition("MSFT", 5 * SHARE, 100 * DOLLAR),
    ]
    caught = send.recover(desk.at(5), desk.venue)
    found = reconcile.compare(desk.at(5), desk.venue, caught)
    assert [(one.name, one.ledger, one.broker) for one in found.differences] == [
        ("MSFT", 0, 5 * SHARE)  # AAPL: its order tells of the fill, no execution does yet
    ]
    assert found.late == 1


def test_an_order_that_was_never_sent_explains_no_position(desk: Desk) -> None:
    orders.cancel_locked(desk.at(1), (), everything=True, client=desk.venue)
    desk.venue.held = [BrokerPosition("AAPL", desk.order.quantity, 100 * DOLLAR)]
    found = reconcile.compare(desk.at(5), desk.venue, send.recover(desk.at(5), desk.venue))
    assert [(one.name, one.ledger, one.broker) for one in found.differences] == [
        ("AAPL", 0, desk.order.quantity)
    ]


def test_a_position_that_was_paid_for_needs_no_adjustment_of_cash(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.venue.held = [BrokerPosition("MSFT", 5 * SHARE, 100 * DOLLAR)]
    paid = BrokerAccount("SIM", CASH - 500 * DOLLAR)
    monkeypatch.setattr(desk.venue, "account", lambda: paid)
    caught = send.Caught()
    found = reconcile.compare(desk.at(5), desk.venue, caught)
    fixed = reconcile._fix(desk.at(5), desk.venue, found.differences, "by hand")
    assert [(one.symbol, one.quantity, one.amount) for one in fixed] == [
        ("MSFT", 5 * SHARE, -500 * DOLLAR)
    ]
    book = replay(journal.load_entries(desk.db, ACCOUNT))
    assert (book.held("MSFT"), book.cash) == (5 * SHARE, CASH - 500 * DOLLAR)
    assert reconcile.compare(desk.at(6), desk.venue, caught).differences == ()


def test_real_money_is_not_flattened_without_a_yes(desk: Desk) -> None:
    live = desk.at(0)
    live = live._replace(settings=live.settings.with_flags({"live": "on"}))
    with pytest.raises(SettingsError, match="only with a yes"):
        orders.flatten(live, client=desk.venue)
    assert desk.state == INTENT


def test_a_sale_that_the_broker_has_not_ended_yet_is_not_sent_a_second_time(desk: Desk) -> None:
    desk.accepted()
    bought = BrokerFill("x1", "b1", START + 1, "AAPL", SHARE, 100 * DOLLAR)
    desk.venue.told, desk.venue.known = [bought], {}
    assert len(send.recover(desk.at(1), desk.venue).fills) == 1
    desk.simulation._place(desk.at(2), First())
    (sale,) = [one.order for one in journal.open_orders(desk.db, ACCOUNT) if one.state == INTENT]
    assert (sale.side, sale.quantity) == ("sell", SHARE)
    shown = desk.shown()._replace(key=sale.key, broker_id="b2", side="sell")
    desk.venue.known[sale.key], desk.venue.answers = shown, [Accepted(shown)]
    send.send(desk.at(3), desk.venue)
    ended, sent = orders.flatten(desk.at(4), client=desk.venue)
    assert [(one.order.key, one.state) for one in ended] == [(sale.key, orders.CANCEL_ASKED)]
    assert (desk.venue.cancelled, sent) == (["b2"], [])
    assert desk.venue.sent == [desk.order.key, sale.key]


# the broker's clock


@pytest.mark.parametrize(
    ("apart", "seconds"),
    [(0, 0), (5 * MICROSECONDS, 5), (5 * MICROSECONDS + 1, 6), (-7 * MICROSECONDS, 7)],
)
def test_how_far_the_brokers_clock_is_off_is_kept_and_bounds_orders(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, apart: int, seconds: int
) -> None:
    ws = desk.accepted().at(0)
    assert around(ws, Limits()).broker_clock is None, "nobody has asked yet: R28b refuses"
    now = ws.clock.now() + apart
    told = MarketClock(now=now, is_open=True, next_open=now, next_close=now)
    monkeypatch.setattr(Scripted, "clock", lambda _: told)
    assert brokers.clock_apart(ws, desk.venue) == seconds
    assert bool(desk.said) == (seconds > 5)
    assert reconcile.start(ws, desk.venue, sleep=lambda _: None).account == ACCOUNT
    assert around(ws, Limits()).broker_clock == seconds


def test_a_broker_that_does_not_tell_its_time_keeps_nobody_from_getting_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_: Scripted) -> MarketClock:
        raise ProviderError("clock is down")

    ws = desk.accepted().at(0)
    monkeypatch.setattr(Scripted, "clock", silent)
    assert reconcile.start(ws, desk.venue, sleep=lambda _: None).account == ACCOUNT
    assert "clock is down" in desk.said[0]
    assert around(ws, Limits()).broker_clock is None, "R28b refuses what does not only reduce"


def test_a_time_that_was_told_is_compared_with_nobodys(desk: Desk) -> None:
    ws = desk.at(0)
    told = ws._replace(settings=ws.settings._replace(now="2026-01-02T21:00:00Z"))
    assert brokers.clock_apart(told, desk.venue) == 0
