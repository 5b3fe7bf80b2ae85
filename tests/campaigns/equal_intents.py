"""Ask for the same order many times at once, and find exactly one.

python tests/campaigns/equal_intents.py --rounds 500 --seed 1 --out equal_intents.json

A round is a home of its own, simulated or at a broker on loopback, and twenty processes that
are let go at the same moment, each to run the same `trade`. There must be one order in the store,
one at the broker, and every process must end well. The control forgets what an order's identity
is, as a program does that numbers its orders itself; it must find more than one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from algotrade import __version__
from algotrade.trading import decision
from algotrade.workflows import trade as trading
from campaigns.kill_trade import NOW, Bench, bench, memory
from cli_helpers import OPENING_CASH, query

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 20
COMMAND = ("trade", "--symbol", "AAPL", "--side", "buy", "--qty", "1", "--no-model")
NO_RATES = {
    "ALGOTRADE_RISK__DUPLICATE_SECONDS": "0",
    "ALGOTRADE_RISK__MAX_SYMBOL_ORDERS_DAY": "1000",
}


def one_round(
    running: Bench, *, at_broker: bool, at_once: int, more: dict[str, str]
) -> tuple[int, list[int]]:
    """Let the processes go at once; give the number of orders and how each process ended."""
    home = running.home(at_broker=True)
    env = {**(running.env(home, at_broker=True) if at_broker else _paper(home)), **more}
    waiting, gate = os.pipe()
    children = [running.fork(COMMAND, env, gate=waiting) for _ in range(at_once)]
    os.write(gate, b"x" * at_once)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(gate)
    os.close(waiting)
    ((orders,),) = query(home, "SELECT count(*) FROM orders")
    if at_broker:
        orders = max(orders, len(running.ask("GET", f"/_world?key={home.name}")["orders"]))
    shutil.rmtree(home)
    return orders, codes


def competing(running: Bench, *, at_once: int, room: float) -> tuple[list[float], list[int]]:
    """Let different orders of one share go at once, where the position's limit has room for some.

    room: shares. Give the quantities that were ordered and how each process ended.
    """
    home = running.home(at_broker=True)
    ((price,),) = query(home, "SELECT close FROM v_bars ORDER BY closed_at DESC LIMIT 1")
    limit = {"ALGOTRADE_RISK__MAX_POSITION_PCT": f"{100 * room * price / OPENING_CASH:.2f}"}
    env = {**_paper(home), **NO_RATES, **limit}
    waiting, gate = os.pipe()
    children = [
        running.fork((*COMMAND, "--client-id", f"c{number}"), env, gate=waiting)
        for number in range(at_once)
    ]
    os.write(gate, b"x" * at_once)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(gate)
    os.close(waiting)
    ordered = [quantity / 1e9 for (quantity,) in query(home, "SELECT quantity FROM orders")]
    shutil.rmtree(home)
    return ordered, codes


def _paper(home: Path) -> dict[str, str]:
    """Give the environment of the simulated account on the same bars: time stands still."""
    return {"ALGOTRADE_HOME": str(home), "ALGOTRADE_NOW": NOW, "ALGOTRADE_SOURCE": "polygon"}


def campaign(
    rounds: int, seed: int, *, at_once: int = AT_ONCE, broken: bool = False
) -> dict[str, Any]:
    """Run rounds, every other one at the broker."""
    wrong, ends, total = [], Counter[int](), 0
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="equal_intents_", dir=memory()) as folder,
        bench(Path(folder), seed) as running,
        _forgetful() if broken else contextlib.nullcontext(),
    ):
        for number in range(rounds):
            at_broker = number % 2 == 1
            more = NO_RATES if broken else {}
            orders, codes = one_round(running, at_broker=at_broker, at_once=at_once, more=more)
            total += orders
            ends.update(codes)
            if orders != 1 or any(codes):
                wrong.append(f"round {number}: {orders} orders, ends {sorted(set(codes))}")
    return {
        "campaign": "equal_intents",
        "control": broken,
        "seed": seed,
        "rounds": rounds,
        "at_once": at_once,
        "orders": total,
        "ends": {str(code): count for code, count in ends.items()},
        "breaches": len(wrong),
        "first": wrong[:5],
        "seconds": round(time.monotonic() - began, 1),
        "versions": {
            "algotrade": __version__,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        },
    }


@contextlib.contextmanager
def _forgetful() -> Iterator[None]:
    """Break the program: a key is drawn when it is needed, and nobody looks for the order."""
    kept = vars(decision)["order_key"], trading._existing
    drawn = random.SystemRandom()
    decision.order_key = lambda *_: f"{drawn.getrandbits(128):032x}"  # type: ignore[attr-defined]
    trading._existing = lambda *_: None
    try:
        yield
    finally:
        decision.order_key, trading._existing = kept  # type: ignore[attr-defined]


def main() -> int:
    """Run the campaign and its control; tell both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", "--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    control = campaign(2, asked.seed, broken=True)
    result = campaign(asked.rounds, asked.seed) | {"control_breaches": control["breaches"]}
    text = json.dumps(result, indent=2)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 0 if not result["breaches"] and control["breaches"] else 1


if __name__ == "__main__":
    sys.exit(main())
