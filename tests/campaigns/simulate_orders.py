"""Live through seeded schedules of broker, clock and crash faults in one process, and compare.

python tests/campaigns/simulate_orders.py --schedules 100000 --seed 1 --out simulate_orders.json

A schedule is a store in memory, a broker in memory and a clock. Orders are placed, sent, looked up,
filled, cancelled and recovered, while the broker answers late, wrongly or never, the clock runs,
and the process dies before or after any statement of the store and any call of the broker. Then the
faults end, the normal start runs, and broker and ledger must tell the same to the share: no order
twice, no fill lost, none invented. The same seed gives the same ledger, hash for hash.

The control is the same program with a key made at the time of the call: it must double orders.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from algotrade import __version__
from algotrade.broker.protocol import (
    Accepted,
    BrokerAccount,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    Rejected,
    Unsure,
)
from algotrade.clock import FixedClock
from algotrade.config import load_settings
from algotrade.domain.decisions import Policy
from algotrade.domain.ledger import DEPOSIT, Entry, imbalance, replay
from algotrade.domain.orders import (
    ACCEPTED,
    BUY,
    CANCELLED,
    EXPIRED,
    FILLED,
    INTENT,
    OPEN_STATES,
    PARTIAL,
    SELL,
    UNSURE_STATES,
)
from algotrade.domain.times import MICROSECONDS
from algotrade.errors import AlgotradeError, ProviderError
from algotrade.store import database, journal, records
from algotrade.store.database import immediate
from algotrade.trading.decision import decide
from algotrade.workflows import orders, send
from algotrade.workflows.context import Workspace
from builders import DOLLAR, NO_MODEL, SHARE, WIDE, deposit, moment, state, world

if TYPE_CHECKING:
    from algotrade.broker.protocol import Answer, BrokerSession, Listener, MarketClock
    from algotrade.domain.decisions import Decision
    from algotrade.domain.orders import Order

ACCOUNT = "paper:simulation"
START = 1_795_000_000 * MICROSECONDS
CASH = 10**12
PRICE = 100 * DOLLAR


class Death(BaseException):
    """The process dies here."""


class MortalConnection(sqlite3.Connection):
    """A store at which the process can die, before or after any statement."""

    left = -1  # statements until death; negative: never
    after = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401  as sqlite3
        """Run a statement, unless the process dies first."""
        if self.left == 0 and not self.after:
            raise Death
        done = super().execute(sql, *values)
        if self.left == 0:
            raise Death
        self.left -= self.left > 0
        return done


@dataclass(kw_only=True)
class SimulatedVenue:
    """The broker: what it holds is the truth. dedupes: one order under a key, or as many as sent.

    chance: draws its moods. well: answer as a good broker does.
    """

    chance: random.Random
    dedupes: bool
    key_at_call: bool = False
    name: str = "simulation"
    is_live: bool = False
    well: bool = False
    overfills: bool = False
    truth: list[dict[str, Any]] = field(default_factory=list)
    executions: list[BrokerFill] = field(default_factory=list)
    posts: Counter[str] = field(default_factory=Counter)

    def submit(self, order: Order) -> Answer:
        self.posts[order.key] += 1
        key = f"{self.chance.getrandbits(64):x}" if self.key_at_call else order.key
        mood = "" if self.well else self.chance.choice(("", "", "before", "after", "not", "no"))
        self._die(0.03)
        if mood == "not":
            raise ProviderError("not sent")
        if mood == "before":
            return Unsure("silence")
        if mood == "no":
            return Rejected("refused")
        there = [one for one in self.truth if one["key"] == key]
        if there and self.dedupes:
            return (
                Unsure("used before") if self.chance.random() < 0.5 else Accepted(_told(there[0]))
            )
        self.truth.append(
            {
                "key": key,
                "id": f"b{len(self.truth)}",
                "order": order,
                "filled": 0,
                "state": ACCEPTED,
            }
        )
        self._die(0.05)
        if self.chance.random() < 0.4:
            self.trade()
        self._die(0.03)
        return Unsure("silence") if mood == "after" else Accepted(_told(self.truth[-1]))

    def lookup(self, key: str) -> BrokerOrder | None:
        self._fail()
        if not self.well and self.chance.random() < 0.2:
            return None  # forgotten for a while
        return next((_told(one) for one in self.truth if one["key"] == key), None)

    def cancel(self, broker_id: str) -> bool:
        self._fail()
        one = next(one for one in self.truth if one["id"] == broker_id)
        was_open = one["state"] == ACCEPTED
        if was_open and (self.well or self.chance.random() < 0.8):
            one["state"] = CANCELLED
        self._die(0.05)
        return bool(was_open)

    def fills(self, since: int) -> list[BrokerFill]:
        del since
        self._fail()
        told = list(self.executions)
        if not self.well:
            if self.chance.random() < 0.3:
                told = told[: self.chance.randrange(len(told) + 1)]  # late
            if self.chance.random() < 0.3:
                told += told  # twice
            if self.chance.random() < 0.5:
                self.chance.shuffle(told)
        self._die(0.03)
        return told

    def orders(self) -> list[BrokerOrder]:
        self._fail()
        return [_told(one) for one in self.truth if one["state"] == ACCEPTED]

    def account(self) -> BrokerAccount:
        return BrokerAccount("SIM", CASH)

    def positions(self) -> list[BrokerPosition]:
        return []

    def clock(self) -> MarketClock:
        raise AssertionError("no schedule asks for the clock")

    def calendar(self, first: object, last: object) -> list[BrokerSession]:
        raise AssertionError("no schedule asks for the calendar", first, last)

    def listen(self) -> Listener:
        raise AssertionError("no schedule listens")

    def trade(self) -> None:
        """Let part of an order change hands, now and then after its end, rarely too much."""
        open_ones = [one for one in self.truth if one["state"] in (ACCEPTED, CANCELLED)]
        if not open_ones:
            return
        one = self.chance.choice(open_ones)
        order: Order = one["order"]
        left = order.quantity - one["filled"]
        if left <= 0:
            return
        part = left if self.chance.random() < 0.5 else self.chance.randint(1, left)
        if self.overfills and self.chance.random() < 0.3:
            part = left + SHARE
        one["filled"] += part
        if one["filled"] >= order.quantity and one["state"] == ACCEPTED:
            one["state"] = FILLED
        signed = part if order.side == BUY else -part
        at = order.placed_at + len(self.executions) + 1
        ident = f"x{len(self.executions)}"
        self.executions.append(BrokerFill(ident, one["id"], at, order.symbol, signed, PRICE))

    def end(self) -> None:
        """Let an order expire."""
        for one in self.truth:
            if one["state"] == ACCEPTED and self.chance.random() < 0.5:
                one["state"] = EXPIRED

    def _fail(self) -> None:
        self._die(0.02)
        if not self.well and self.chance.random() < 0.08:
            raise ProviderError("the broker is down")

    def _die(self, likely: float) -> None:
        if not self.well and self.chance.random() < likely:
            raise Death


def _told(one: dict[str, Any]) -> BrokerOrder:
    order: Order = one["order"]
    word = PARTIAL if one["state"] == ACCEPTED and one["filled"] else one["state"]
    return BrokerOrder(
        key=one["key"],
        broker_id=one["id"],
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        filled=one["filled"],
        state=word,
    )


class Simulation:
    """What all schedules share: an empty store as bytes, and a decision to vary."""

    def __init__(self, folder: Path) -> None:
        path = folder / "data" / "algotrade.db"
        with contextlib.closing(database.create_store(path)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            with immediate(db):
                records.open_account(db, records.AccountRecord(ACCOUNT, "polygon", START))
                book = journal.StoreJournal(db, ACCOUNT, recorded_at=START)
                book.append(Entry(ts=START, kind=DEPOSIT, ref="opening", amount=CASH))
            self._bytes = db.serialize()
        flags = {"broker": "simulation", "source": "polygon"}
        self._settings = load_settings(home=str(folder), flags=flags, isolated=True)
        policy = Policy(account=ACCOUNT, strategy="manual", quantity=10 * SHARE)
        one = decide(moment(0, signal=NO_MODEL), state(deposit()), policy, WIDE, world())
        assert one.placed is not None
        self._decision = one._replace(account=ACCOUNT)
        self.seen = Counter[str]()

    def run(self, seed: int, *, key_at_call: bool = False) -> tuple[str, list[str]]:
        """Live through one schedule; give the hash of what was written and what is wrong."""
        chance = random.Random(seed)  # noqa: S311  moments and moods
        venue = SimulatedVenue(
            chance=chance,
            dedupes=chance.random() < 0.5,
            key_at_call=key_at_call,
            overfills=chance.random() < 0.1,
        )
        with contextlib.closing(sqlite3.connect(":memory:", factory=MortalConnection)) as db:
            db.isolation_level = None
            db.deserialize(self._bytes)
            for pragma in ("foreign_keys", "recursive_triggers"):
                db.execute(f"PRAGMA {pragma} = ON")
            now = START
            for _ in range(chance.randint(3, 9)):
                now += chance.choice((0, 1, 5, 30, 61, 700)) * MICROSECONDS
                self._step(db, venue, now, chance)
            return self._ending(db, venue, now)

    def _step(
        self, db: MortalConnection, venue: SimulatedVenue, now: int, chance: random.Random
    ) -> None:
        """Do something that may be cut short anywhere."""
        ws = self._workspace(db, now)
        kind = chance.choice(
            ("place", "place", "place", "recover", "cancel", "trade", "trade", "end")
        )
        if kind == "trade":
            venue.trade()
            return
        if kind == "end":
            venue.end()
            return
        db.left = chance.choice((-1, -1, -1, chance.randrange(80)))
        db.after = chance.random() < 0.5
        try:
            send.recover(ws, venue)
            if kind == "place":
                self._place(ws, chance)
                send.send(ws, venue)
            elif kind == "cancel":
                orders.cancel_locked(ws, (), everything=True, client=venue)
        except (AlgotradeError, Death) as cut:  # the next step starts anew, as a command would
            self.seen["deaths" if isinstance(cut, Death) else "failures"] += 1
        finally:
            db.left = -1
            if db.in_transaction:
                db.execute("ROLLBACK")

    def _place(self, ws: Workspace, chance: random.Random) -> None:
        """Write a decision and its intent down, in one transaction, as the loop does."""
        now = ws.clock.now()
        held = replay(journal.load_entries(ws.db, ACCOUNT)).held("AAPL")
        known = journal.load_orders(ws.db, ACCOUNT)
        base = self._decision.order
        assert base is not None
        placed = base._replace(
            key=hashlib.sha256(f"{len(known)} {now}".encode()).hexdigest()[:32],
            account=ACCOUNT,
            side=SELL if held > 0 and chance.random() < 0.4 else BUY,
            quantity=chance.choice((1, 7, 10)) * SHARE + chance.choice((0, 0, 1)),
            placed_at=now,
        )
        made: Decision = self._decision._replace(order=placed, decided_at=now)
        with immediate(ws.db):
            journal.StoreJournal(ws.db, ACCOUNT, recorded_at=now, first_state=INTENT).record(made)

    def _ending(
        self, db: MortalConnection, venue: SimulatedVenue, now: int
    ) -> tuple[str, list[str]]:
        """Let the faults end and the normal start run; then look."""
        venue.well = True
        ws = self._workspace(db, now + 3600 * MICROSECONDS)
        refused = []
        for _ in range(2):
            try:
                send.recover(ws, venue)
            except AlgotradeError as error:
                refused.append(error.message)
        wrong = _breaches(ws, venue)
        self.seen["overfilled schedules"] += bool(_overfilled(venue))
        self.seen["orders at the broker"] += len(venue.truth)
        self.seen["executions"] += len(venue.executions)
        self.seen["sent again"] += sum(times > 1 for times in venue.posts.values())
        rows = [
            db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608  our own
            for table in ("ledger", "order_events", "executions", "halts")
        ]
        return hashlib.sha256(repr(rows).encode()).hexdigest(), wrong

    def _workspace(self, db: sqlite3.Connection, now: int) -> Workspace:
        return Workspace(
            settings=self._settings,
            db=db,
            source="polygon",
            account=ACCOUNT,
            clock=FixedClock(now),
            say=lambda _: None,
        )


def _breaches(ws: Workspace, venue: SimulatedVenue) -> list[str]:
    """Compare what the store holds with what the broker did."""
    wrong = []
    entries = journal.load_entries(ws.db, ACCOUNT)
    journal.verify_chain(ws.db, ACCOUNT)
    times = Counter(one["order"].key for one in venue.truth)
    wrong += [f"order {key} is there {n} times" for key, n in times.items() if n > 1]
    booked = Counter(e.note for e in entries if e.kind == "fill")
    wrong += [f"execution {note} was booked {n} times" for note, n in booked.items() if n > 1]
    asked = {order.key: order for order in journal.load_orders(ws.db, ACCOUNT)}
    over = _overfilled(venue)
    refused = {
        ident
        for (ident,) in ws.db.execute(
            "SELECT execution_id FROM executions WHERE key IS NOT NULL AND seq IS NULL"
        )
    }
    for one in venue.executions:
        if (one.execution_id in refused) == (one.execution_id in booked):
            wrong.append(f"execution {one.execution_id} is not booked, or booked and refused")
        if one.execution_id in refused and one.broker_id not in over:
            wrong.append(f"execution {one.execution_id} was refused and fits")
    known = {one.execution_id: one for one in venue.executions}
    for entry in entries:
        true = known.get(entry.note)
        if entry.kind == "fill" and (true is None or true.quantity != entry.quantity):
            wrong.append(f"entry {entry.ref} was invented")
    for key, order in asked.items():
        filled = sum(abs(e.quantity) for e in entries if e.ref.startswith(f"{key}."))
        if filled > order.quantity:
            wrong.append(f"order {key} is overfilled")
        wrong += _wrong_state(ws, venue, key, filled, is_over=bool(over))
    if over and journal.current_halt(ws.db, ACCOUNT) is None:
        wrong.append("an overfill did not halt")
    if imbalance(replay(entries)):
        wrong.append("the ledger does not balance")
    return wrong


def _wrong_state(
    ws: Workspace, venue: SimulatedVenue, key: str, filled: int, *, is_over: bool
) -> list[str]:
    state_now = journal.order_state(ws.db, key)
    true = next((one for one in venue.truth if one["order"].key == key), None)
    if true is None:
        ok = state_now not in (ACCEPTED, PARTIAL, FILLED) and filled == 0
    elif is_over:
        ok = True
    else:
        ended = true["state"] != ACCEPTED
        ok = (state_now not in OPEN_STATES) == ended and (state_now not in UNSURE_STATES)
        ok = ok and (state_now == FILLED) == (filled == true["order"].quantity)
    return [] if ok else [f"order {key} is {state_now}, at the broker {true and true['state']}"]


def _overfilled(venue: SimulatedVenue) -> set[str]:
    """Name the orders, as the broker does, of which more was filled than was asked."""
    return {one["id"] for one in venue.truth if one["filled"] > one["order"].quantity}


def campaign(
    schedules: int, seed: int, *, key_at_call: bool = False, repeat_every: int = 100
) -> dict[str, Any]:
    """Run schedules; every hundredth twice, which must give the same hash."""
    began, wrong, unequal = time.monotonic(), [], 0
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(Path(folder))
        for number in range(schedules):
            one = seed * 1_000_003 + number
            told, found = simulation.run(one, key_at_call=key_at_call)
            digest.update(told.encode())
            wrong += [f"schedule {one}: {line}" for line in found]
            if number % repeat_every == 0:
                unequal += simulation.run(one, key_at_call=key_at_call)[0] != told
    return {
        "campaign": "simulate_orders",
        "control": key_at_call,
        "seed": seed,
        "schedules": schedules,
        "breaches": len(wrong),
        "first": wrong[:5],
        "repeated": -(-schedules // repeat_every),
        "unequal": unequal,
        "seen": dict(simulation.seen),
        "hash": digest.hexdigest(),
        "seconds": round(time.monotonic() - began, 1),
        "versions": {
            "algotrade": __version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        },
    }


def main() -> int:
    """Run the campaign and its control; tell both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", "--trials", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    control = campaign(min(200, asked.schedules), asked.seed, key_at_call=True)
    result = campaign(asked.schedules, asked.seed) | {"control_breaches": control["breaches"]}
    text = json.dumps(result, indent=2)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    passed = not result["breaches"] and not result["unequal"] and control["breaches"] > 0
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
