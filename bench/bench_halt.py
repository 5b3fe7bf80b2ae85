"""From a price that crosses a limit to the durable halt, and the cost of one full check.

    python bench/bench_halt.py [ROUNDS]

A process of `risk watch` follows a server on loopback, by its websocket and then by asking. Each
round lifts the halt, lets the price fall, and takes the time until the watch prints the halt, which
it does once that is on the disk. Prints min, median and max of both, and of one full check of an
order in this process; exits 1 where a median is over its budget.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from algotrade.config import load_settings
from algotrade.workflows.context import open_workspace
from algotrade.workflows.risk import what_if
from live_server import LiveServer
from watch_world import BARS, LAST, MONDAY, OPEN_MS, buy, watching

PROGRAM = str(Path(sys.executable).with_name("algotrade"))
HALT_BUDGET_S = 1.0
CHECK_BUDGET_S = 0.005
TIGHT = {
    "ALGOTRADE_RISK__DAILY_LOSS_HALT_PCT": "1",
    "ALGOTRADE_RISK__DAILY_LOSS_REDUCE_PCT": "0.9",
}


def halt_times(home: Path, feed: str, rounds: int) -> list[float]:
    """Take the seconds from price to halt, each round by a watch of its own."""
    found = []
    for number in range(rounds):
        for file in (home / "HALT", home / "data" / "notified"):
            file.unlink(missing_ok=True)
        with LiveServer({"AAPL": BARS}) as server:
            server.print_price("AAPL", LAST, ms=OPEN_MS)
            env = {
                "PATH": os.environ["PATH"],
                "ALGOTRADE_HOME": str(home),
                "ALGOTRADE_WATCH__FEED": feed,
                **watching(server, **TIGHT),
            }
            subprocess.run(
                [PROGRAM, "risk", "reset", "--reason", "bench", "-q"], env=env, check=False
            )
            watch = subprocess.Popen(
                [PROGRAM, "risk", "watch", "--max-seconds", "60"],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            told = iter(watch.stdout or [])
            next(told)  # it has looked once
            if feed == "stream" and not server.subscribed("LULD.AAPL"):
                raise TimeoutError("the watch does not subscribe")
            time.sleep(0.05 * (number % 7))  # at any moment between two rounds of asking
            began = time.perf_counter()
            server.print_price("AAPL", round(LAST * 0.8, 2), ms=OPEN_MS + 1000)
            while b'"level": "halting"' not in next(told):
                pass  # it prints once the halt is on the disk, and in the ledger
            found.append(time.perf_counter() - began)
            watch.kill()
            watch.communicate()
    return found


def check_times(home: Path, rounds: int) -> list[float]:
    """Take the seconds of one full check of an order, every condition gathered anew."""
    os.environ.update(ALGOTRADE_NOW=MONDAY, POLYGON_API_KEY="bench")
    found = []
    with open_workspace(load_settings(home=str(home)), print) as ws:
        for _ in range(rounds + 1):
            began = time.perf_counter()
            what_if(ws, "AAPL", quantity=10**9)
            found.append(time.perf_counter() - began)
    return found[1:]


def tell(what: str, found: list[float], budget: float) -> bool:
    """Print one line; tell whether the median is over the budget."""
    low, middle, high = min(found), statistics.median(found), max(found)
    print(
        f"{what:<28} min {low * 1000:8.2f} ms  median {middle * 1000:8.2f} ms"
        f"  max {high * 1000:8.2f} ms  (budget {budget * 1000:g} ms, {len(found)} rounds)"
    )
    return middle > budget


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        buy(home)
        over = tell("full check of one order", check_times(home, 5 * rounds), CHECK_BUDGET_S)
        for feed in ("stream", "poll"):
            times = halt_times(home, feed, rounds)
            over |= tell(f"price to halt, by {feed}", times, HALT_BUDGET_S)
    sys.exit(over)


if __name__ == "__main__":
    main()
