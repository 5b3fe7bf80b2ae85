"""The life of an order at a broker that behaves badly: never lost, never doubled, always told."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from algotrade.broker import alpaca_wire
from algotrade.workflows import reconcile as reconciling
from broker_server import KEY, SECRET, BrokerServer
from cli_helpers import FRIDAY, MONDAY, Ran, cli, copied, live, one_clear_line, query, served
from polygon_server import PolygonServer

pytest.importorskip("alpaca", reason="needs algotrade[alpaca]")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker_server import World

LATER = "2026-11-20T21:05:50Z"
MUCH_LATER = "2026-11-20T21:20:00Z"
BUY = ("trade", "--symbol", "AAPL", "--qty", "10", "--no-model")


@pytest.fixture(scope="session")
def fetched_live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with 500 polygon bars of AAPL until the Friday."""
    home = tmp_path_factory.mktemp("at_broker") / "home"
    with PolygonServer({"AAPL": served()}) as server:
        cli("fetch", "AAPL", home=home, env=live(server.base)).well()
    return home


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokerServer]:
    monkeypatch.setattr(alpaca_wire, "TIMEOUTS", (0.5, 0.3, 0.8))
    monkeypatch.setattr(alpaca_wire, "_PAUSE", 0.01)
    monkeypatch.setattr(reconciling, "_PAUSE_SECONDS", 0.01)
    with BrokerServer() as running:
        yield running


class Desk:
    """A home at the broker on loopback, and what is typed there."""

    def __init__(self, home: Path, server: BrokerServer) -> None:
        self.home, self.server = home, server

    @property
    def world(self) -> World:
        return self.server.world

    def env(self, now: str = FRIDAY) -> dict[str, str]:
        return {
            "ALGOTRADE_NOW": now,
            "ALGOTRADE_BROKER": "alpaca",
            "ALGOTRADE_BROKER_BASE": self.server.base,
            "ALPACA_PAPER_KEY_ID": KEY,
            "ALPACA_PAPER_SECRET": SECRET,
        }

    def types(self, *words: str, now: str = FRIDAY) -> Ran:
        return cli(*words, home=self.home, env=self.env(now))

    def states(self) -> list[str]:
        """Give the states of the one order there is, in order."""
        rows = query(self.home, "SELECT state FROM order_events ORDER BY seq")
        return [state for (state,) in rows]

    def fills(self) -> list[tuple[float, float]]:
        return query(self.home, "SELECT quantity, price FROM v_fills WHERE account LIKE '%:%'")


@pytest.fixture
def desk(fetched_live: Path, tmp_path: Path, server: BrokerServer) -> Desk:
    return Desk(copied(fetched_live, tmp_path / "home"), server)


# the way it goes


def test_an_order_is_an_intent_is_sent_is_accepted_and_filled(desk: Desk) -> None:
    desk.types(*BUY).well()
    assert desk.states() == ["intent", "submitting", "accepted", "filled"]
    assert desk.fills() == [(10.0, 101.25)]
    assert query(desk.home, "SELECT count(*) FROM executions WHERE seq IS NOT NULL") == [(1,)]
    again = desk.types(*BUY, "--json").well()
    assert (again.data[0]["outcome"], again.data[0]["state"]) == ("already placed", "filled")
    assert len(desk.world.posts) == 1


def test_the_key_is_committed_before_the_order_is_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algotrade.broker.alpaca import Alpaca

    seen = []

    def submit(self: Alpaca, order: object) -> None:
        del self
        seen.append(query(desk.home, "SELECT key, state FROM orders JOIN order_events USING (key)"))
        raise KeyboardInterrupt(order)

    monkeypatch.setattr(Alpaca, "submit", submit)
    desk.types(*BUY)
    ((first, second),) = seen
    assert (first[1], second[1]) == ("intent", "submitting")
    monkeypatch.undo()
    monkeypatch.setattr(alpaca_wire, "TIMEOUTS", (0.5, 0.3, 0.8))
    desk.types(*BUY).well()
    assert desk.world.posts == [first[0]]
    assert desk.states() == [
        *("intent", "submitting", "unknown"),  # it may have been sent
        *("submitting", "accepted", "filled"),  # it was not, and two of it would be one
    ]


@pytest.mark.parametrize("how", ["parts", "half"])
def test_parts_are_booked_each(desk: Desk, how: str) -> None:
    desk.world.fill = how
    desk.types(*BUY).well()
    parts = {"parts": [(2.0, 101.25), (3.0, 101.25), (5.0, 101.25)], "half": [(5.0, 101.25)]}
    assert desk.fills() == parts[how]
    waiting = desk.types("orders", "--json").well().data
    assert [(row["state"], row["filled"]) for row in waiting] == (
        [("partial", 5)] if how == "half" else []
    )
    if how == "half":
        desk.world.execute(desk.world.orders[0], Decimal(5))
        assert desk.types("orders", "--json").well().data == []
        assert desk.fills() == [(5.0, 101.25), (5.0, 101.25)]


# after the order was sent, nobody knows


@pytest.mark.parametrize("fault", ["504-after", "500-after", "reset", "empty", "bad", "hang"])
def test_a_lost_answer_is_looked_up_and_found(desk: Desk, fault: str) -> None:
    desk.world.faults.post = [fault]
    desk.types(*BUY).well()
    assert desk.states() == ["intent", "submitting", "unknown", "accepted", "filled"]
    assert (len(desk.world.posts), len(desk.world.orders)) == (1, 1)


def test_an_order_that_cannot_be_found_stays_unknown_and_blocks_its_symbol(desk: Desk) -> None:
    desk.world.faults.post, desk.world.faults.forget = ["504-after"], 99
    ran = desk.types(*BUY)
    assert ran.code == 8
    assert desk.states()[-1] == "unknown"
    desk.world.faults.forget = 99
    other = desk.types("trade", "--symbol", "AAPL", "--qty", "20", "--no-model", now=MUCH_LATER)
    assert other.code == 8  # no other order of the symbol, and none under this key: it is too old
    assert len(desk.world.posts) == 1
    desk.world.faults.forget = 0
    assert desk.types("reconcile", now=MUCH_LATER).code == 0
    assert desk.states()[-2:] == ["accepted", "filled"]
    assert desk.fills() == [(10.0, 101.25)]


def test_an_order_that_never_arrived_is_sent_again_under_its_key_but_not_late(desk: Desk) -> None:
    desk.world.faults.post = ["hang-before"]
    assert desk.types(*BUY).code == 8
    assert desk.types(*BUY, now=LATER).code == 0
    assert len({*desk.world.posts}) == 1
    assert len(desk.world.posts) == 2
    assert len(desk.world.orders) == 1


def test_an_order_that_never_arrived_is_given_up_by_a_person(desk: Desk) -> None:
    desk.world.faults.post = ["hang-before"]
    assert desk.types(*BUY).code == 8
    assert desk.types("orders", now=MUCH_LATER).code == 8
    assert desk.types("cancel", "--all", now=LATER.replace("50Z", "59Z")).code in (0, 8)
    assert desk.types("cancel", "--all", now=MUCH_LATER).code == 0
    assert not desk.types("orders", "--json", now=MUCH_LATER).well().data


def test_an_order_that_was_given_up_and_appears_is_cancelled_and_its_fills_are_booked(
    desk: Desk,
) -> None:
    """As seed 107002192 of the simulation found it: forgotten for longer than anybody waits."""
    desk.world.faults.post, desk.world.faults.forget = ["504-after"], 99
    desk.world.fill = "half"
    assert desk.types(*BUY).code == 8
    desk.types("cancel", "--all", now=MUCH_LATER).well()
    desk.world.faults.forget = 0
    desk.types("reconcile", now=MUCH_LATER).well()
    assert desk.world.orders[0]["status"] == "canceled"
    assert desk.fills() == [(5.0, 101.25)]


def test_a_refusal_is_told_and_is_no_trade(desk: Desk) -> None:
    desk.world.cash = Decimal(500)
    ran = desk.types("trade", "--symbol", "AAPL", "--side", "sell", "--qty", "1", "--no-model")
    assert ran.code == 3  # by our own limits already
    desk.world.cash = Decimal(100_000)


def test_what_the_broker_rejects_is_exit_3_with_its_words(desk: Desk) -> None:
    ran = desk.types("trade", "--symbol", "AAPL", "--qty", "1.5", "--no-model")
    assert ran.code == 3
    assert "rejected, fractional orders must be DAY orders" in ran.err
    assert desk.states() == ["intent", "submitting", "rejected"]


def test_an_order_that_was_never_sent_is_no_success_when_asked_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algotrade.broker.alpaca import Alpaca
    from algotrade.errors import ProviderError

    def submit(self: Alpaca, order: object) -> None:
        raise ProviderError(f"{self.name}: {type(order).__name__} was not sent: cannot connect")

    with monkeypatch.context() as patch:
        patch.setattr(Alpaca, "submit", submit)
        assert "was not sent" in one_clear_line(desk.types(*BUY), 7, hint=False)
    assert desk.states() == ["intent", "submitting", "intent"]
    again = desk.types(*BUY, now=MUCH_LATER)
    assert (again.code, desk.world.posts) == (7, [])
    assert desk.states()[-1] == "expired"
    assert "never sent: older than a minute" in again.err
    desk.types(*BUY, "--client-id", "anew", now=MUCH_LATER).well()


def test_an_intent_that_is_young_is_sent_by_the_next_trade(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algotrade.workflows import send as sending

    with monkeypatch.context() as patch:
        patch.setattr(sending, "send", lambda *_: ())
        desk.types(*BUY)
    assert desk.states() == ["intent"]
    desk.types(*BUY, now=LATER).well()
    assert desk.states() == ["intent", "submitting", "accepted", "filled"]
    assert len(desk.world.posts) == 1


def test_a_broker_that_is_down_is_exit_7_and_writes_nothing(desk: Desk) -> None:
    desk.types(*BUY).well()
    before = query(desk.home, "SELECT count(*) FROM decisions")
    desk.world.faults.get = ["503"] * 9
    assert desk.types(*BUY, "--client-id", "b").code == 7
    assert query(desk.home, "SELECT count(*) FROM decisions") == before


def test_an_unknown_order_is_worth_more_than_a_broker_that_is_down(desk: Desk) -> None:
    desk.world.faults.post, desk.world.faults.forget = ["504-after"], 99
    assert desk.types(*BUY).code == 8
    desk.world.faults.get = ["503"] * 99
    assert "may or may not be at the broker" in one_clear_line(desk.types("reconcile"), 8)


# fills that come as they like


def test_fills_told_twice_late_and_in_any_order_are_booked_once(desk: Desk) -> None:
    faults = desk.world.faults
    faults.twice = faults.reversed = True
    faults.late, desk.world.fill = 2, "parts"
    desk.types(*BUY).well()
    assert desk.fills() == []  # the order is there, its executions are not told yet
    ran = desk.types("reconcile", "--json").well()
    assert ran.data["agree"]
    assert sorted(desk.fills()) == [(2.0, 101.25), (3.0, 101.25), (5.0, 101.25)]
    desk.types("orders").well()
    assert len(desk.fills()) == 3


def test_fills_that_are_late_are_waited_for_and_are_no_mismatch(desk: Desk) -> None:
    desk.world.faults.late = 99
    desk.types(*BUY).well()
    ran = desk.types("reconcile", "--json").well()
    assert (ran.data["late_fills"], ran.data["differences"]) == (1, [])
    desk.world.faults.late = 0
    assert desk.types("reconcile", "--json").well().data["late_fills"] == 0
    assert desk.fills() == [(10.0, 101.25)]


def test_a_fill_after_the_end_is_booked(desk: Desk) -> None:
    desk.world.fill = "wait"
    desk.types(*BUY).well()
    desk.types("cancel", "--all").well()
    assert desk.states()[-1] == "cancelled"
    desk.world.execute(desk.world.orders[0], Decimal(4))
    desk.types("reconcile").well()
    assert desk.fills() == [(4.0, 101.25)]
    assert desk.states()[-2:] == ["cancelled", "cancelled"]


def test_an_overfill_is_not_booked_halts_and_is_told(desk: Desk) -> None:
    desk.world.fill = "over"
    ran = desk.types(*BUY)
    assert "asked to buy 10 AAPL, the broker filled more" in one_clear_line(ran, 10)
    assert desk.fills() == []
    assert query(desk.home, "SELECT quantity, seq FROM executions") == [(11 * 10**9, None)]
    assert desk.types("reconcile").code == 10
    assert desk.types(*BUY, "--client-id", "b").code == 10  # nothing is decided on a wrong position
    desk.types("reconcile", "--fix-local", "--reason", "one too many").well()
    assert desk.types(*BUY, "--client-id", "b").code == 4  # the halt stays until a person lifts it
    desk.types("risk", "reset", "--reason", "asked the broker").well()


# broker against ledger


def test_a_position_changed_by_hand_halts_and_is_booked_with_a_reason(desk: Desk) -> None:
    desk.types(*BUY).well()
    desk.world.move("AAPL", Decimal(3))
    ran = desk.types("reconcile")
    assert ran.code == 10
    assert "AAPL: ledger 10, broker 13" in ran.out
    assert desk.types(*BUY, "--client-id", "b").code == 10
    assert desk.types("reconcile", "--fix-local").code == 2  # without a reason
    desk.types("reconcile", "--fix-local", "--reason", "bought by hand").well()
    booked = query(desk.home, "SELECT quantity, note FROM ledger WHERE kind = 'adjustment'")
    assert booked[0] == (3 * 10**9, "bought by hand")
    cash = desk.types("portfolio", "--json").well().data["Cash"]
    assert cash == float(desk.world.cash)


def test_cash_that_moves_at_the_broker_is_booked_as_what_it_is(desk: Desk) -> None:
    desk.types(*BUY).well()
    for kind, amount in (("CSD", "500"), ("CSW", "-120.5"), ("FEE", "-0.03"), ("INT", "1.25")):
        desk.world.pay(kind, amount)
    desk.types("reconcile").well()
    rows = query(
        desk.home,
        "SELECT kind, amount, fee FROM ledger WHERE account LIKE '%:%' AND seq > 2 ORDER BY seq",
    )
    assert rows == [
        ("deposit", 500_000_000, 0),
        ("withdrawal", -120_500_000, 0),
        ("adjustment", 0, 30_000),
        ("adjustment", 1_250_000, 0),
    ]


def test_cash_is_not_moved_here(desk: Desk) -> None:
    desk.types("reconcile").well()
    assert "moves at the broker" in one_clear_line(desk.types("deposit", "100"), 2)


def test_a_split_halts_until_it_is_fetched(desk: Desk) -> None:
    desk.types(*BUY).well()
    desk.world.positions["AAPL"] *= 2
    assert desk.types("reconcile").code == 10
    split = {"ticker": "AAPL", "execution_date": "2026-11-23", "split_from": 1, "split_to": 2}
    dividend = {"ticker": "AAPL", "ex_dividend_date": "2026-11-23", "cash_amount": 1.5}
    with PolygonServer({"AAPL": served(1)}, splits=[split], dividends=[dividend]) as server:
        env = {**desk.env(MONDAY), **live(server.base, MONDAY)}
        cli("fetch", home=desk.home, env=env).well()
    assert desk.types("reconcile", now=MONDAY).code == 0
    kinds = query(desk.home, "SELECT kind FROM ledger WHERE account LIKE '%:%' ORDER BY seq")
    assert kinds == [("deposit",), ("fill",), ("split",)]  # dividends are the broker's to pay


def test_an_account_is_opened_with_what_is_there(desk: Desk) -> None:
    desk.world.move("MSFT", Decimal("2.5"))
    desk.types("reconcile").well()
    found = desk.types("portfolio", "--json").well().data
    assert found["Holdings"] == {"MSFT": 2.5}
    assert found["Cash"] == 100_000 - 2.5 * 101.25


def test_an_order_that_is_not_ours_is_a_difference(desk: Desk) -> None:
    desk.world.fill = "wait"
    desk.types("reconcile").well()
    desk.world.accept(
        {
            "client_order_id": "by-hand",
            "symbol": "AAPL",
            "side": "buy",
            "type": "market",
            "qty": "1",
        }
    )
    ran = desk.types("reconcile")
    assert ran.code == 10
    assert "is not of this ledger" in ran.out


def test_the_key_of_another_account_is_refused(desk: Desk) -> None:
    desk.types("reconcile").well()
    desk.world.number = "PAOTHER"
    assert "'PAOTHER'" in one_clear_line(desk.types("reconcile"), 10)


def test_a_blocked_account_is_halted(desk: Desk) -> None:
    desk.types("reconcile").well()
    desk.world.blocked = True
    assert "has blocked account" in one_clear_line(desk.types(*BUY), 4)


def test_what_differs_for_a_moment_is_no_difference(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.types(*BUY).well()
    desk.world.move("AAPL", Decimal(1))
    assert not reconciled(desk, monkeypatch)


def reconciled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """Reconcile with a sleep that changes the world once; give what differs in the end."""
    from algotrade.config import load_settings
    from algotrade.workflows.context import open_workspace

    for name, value in desk.env().items():
        monkeypatch.setenv(name, value)
    moved: list[float] = []

    def sleep(seconds: float) -> None:
        if not moved:
            desk.world.move("AAPL", Decimal(-1))
        moved.append(seconds)

    with open_workspace(load_settings(home=str(desk.home)), lambda _: None) as ws:
        found = reconciling.reconcile(ws, sleep=sleep)
    assert len(moved) == 1
    return found.differences


# ending


def test_cancel_asks_the_broker_and_believes_it(desk: Desk) -> None:
    desk.world.fill = "half"
    desk.types(*BUY).well()
    (row,) = desk.types("orders", "--json").well().data
    (ended,) = desk.types("cancel", row["ID"], "--json").well().data
    assert (ended["state"], ended["filled"]) == ("cancelled", 5)
    (ended,) = desk.types("cancel", row["ID"], "--json").well().data
    assert ended["state"] == "cancelled"
    assert one_clear_line(desk.types("cancel", "ffffff"), 2)


def test_flatten_cancels_and_sells_everything_with_a_yes(desk: Desk) -> None:
    desk.types(*BUY).well()
    desk.world.fill = "at-once"
    assert desk.types("flatten").code == 2
    ran = desk.types("flatten", "--yes", "--json").well()
    assert [row["Side"] for row in ran.data["orders"]] == ["sell"]
    assert desk.world.positions == {}
    assert desk.types("portfolio", "--json").well().data["Holdings"] == {}
    assert desk.types("flatten", "--yes", "--json").well().data["orders"] == []


def test_a_halt_keeps_an_intent_from_being_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algotrade.workflows import send as sending

    real = sending.send

    def halted_first(*given: object) -> object:
        (desk.home / "HALT").write_text("stop")
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(sending, "send", halted_first)
    assert desk.types(*BUY).code == 4
    assert desk.world.posts == []
    assert desk.states() == ["intent", "cancelled"]


def test_a_waiting_order_is_cancelled_while_halted(desk: Desk) -> None:
    desk.world.fill = "wait"
    desk.types(*BUY).well()
    desk.types("risk", "halt", "--reason", "drill").well()
    desk.types("cancel", "--all").well()
    assert desk.world.orders[0]["status"] == "canceled"


# who may


def test_the_sample_is_never_traded_at_a_broker(desk: Desk) -> None:
    ran = desk.types(*BUY, "--source", "sample")
    assert "cannot trade on source sample" in one_clear_line(ran, 12)


def test_live_needs_setting_flag_yes_and_its_own_key(desk: Desk) -> None:
    on = {**desk.env(), "ALGOTRADE_LIVE": "on", "ALPACA_LIVE_KEY_ID": "AK1"}
    on["ALPACA_LIVE_SECRET"] = SECRET
    del on["ALGOTRADE_NOW"]

    def types(*words: str, env: dict[str, str]) -> Ran:
        return cli(*words, home=desk.home, env=env)

    assert "R34 --live needs" in one_clear_line(types(*BUY, "--live", env=desk.env()), 12)
    assert "R34 this account is live" in one_clear_line(types(*BUY, env=on), 12)
    assert "needs a yes" in one_clear_line(types(*BUY, "--live", env=on), 2)
    told = one_clear_line(types(*BUY, "--live", "--yes", env={**on, "ALGOTRADE_NOW": FRIDAY}), 12)
    assert "ALGOTRADE_NOW" in told
    assert "promoted model only" in one_clear_line(types(*BUY, "--live", "--yes", env=on), 6)
    ran = types(*BUY[:-1], "--live", "--yes", env=on)
    assert "no model of source polygon is promoted" in one_clear_line(ran, 6)
    mixed = {**on, "ALPACA_LIVE_KEY_ID": "PK1"}
    assert "R34 the key" in one_clear_line(types("reconcile", env=mixed), 12)
    same = {**on, "ALPACA_LIVE_KEY_ID": KEY}
    assert "R34 the paper account" in one_clear_line(types("reconcile", env=same), 12)
    assert desk.server.worlds.get("AK1") is None  # nothing was asked, and nothing sent


def test_a_broker_with_other_hours_is_told(desk: Desk) -> None:
    assert not desk.types("reconcile", "--json").well().envelope["warnings"][1:]
    desk.world.closed = ("2026-11-24",)
    said = desk.types("reconcile").well().err
    assert "other hours on 2026-11-24" in said
    assert "other hours on 2026-11-26" in said


def test_a_closed_market_is_exit_13(desk: Desk) -> None:
    desk.world.is_open = False
    assert one_clear_line(desk.types(*BUY, "--require-open"), 13)
    desk.world.is_open = True
    desk.types(*BUY, "--require-open").well()


# streamed


@pytest.mark.slow
def test_fills_are_booked_as_the_stream_tells_them(desk: Desk) -> None:
    desk.world.fill = "wait"
    desk.types(*BUY).well()
    order = desk.world.orders[0]
    timers = [
        threading.Timer(at, desk.world.execute, (order, Decimal(part)))
        for at, part in ((0.3, 4), (0.5, 6))
    ]
    for timer in timers:
        timer.start()
    ran = desk.types("orders", "--follow", "--max-seconds", "2.5", "--format", "jsonl").well()
    assert sum('"fills": 1' in line for line in ran.out.splitlines()) == 2
    assert desk.fills() == [(4.0, 101.25), (6.0, 101.25)]
